/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caps of this room, each with its unit and reason. A cap that Envoy has too carries Envoy's default.
 */
#ifndef WEIR_PROXY_LIMITS_H
#define WEIR_PROXY_LIMITS_H

/* Bytes of one route table: 10,000 routes with headers take about 5 MiB. */
#define ROUTE_TABLE_BYTES_MAX ((size_t)256 << 20)
/* Bytes of one cluster's configuration: 100,000 endpoints take about 15 MiB. */
#define CLUSTER_CONFIG_BYTES_MAX ((size_t)256 << 20)
/* Bytes of one compiled regular expression; the crate's own default. */
#define REGEX_BYTES_MAX ((size_t)10 << 20)
/* Bytes of a pattern: Envoy has no cap, its control planes stay far below. */
#define REGEX_PATTERN_BYTES_MAX 16384u
/* Bytes of a body that a direct response may carry when the table says nothing (Envoy: 4096). */
#define DIRECT_RESPONSE_BYTES_DEFAULT 4096u
/* Distinct prefix lengths that a virtual host's index covers; the rest is scanned in order. */
#define ROUTE_PREFIX_LENGTHS_MAX 62u
/* Idle connections that one pool keeps: what max_connections allows anyway, but never more than this. */
#define POOL_IDLE_MAX 4096u

#endif
