/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caps of this room, each with its unit and reason. A cap that Envoy has too carries Envoy's default.
 */
#ifndef WEIR_UPSTREAM_LIMITS_H
#define WEIR_UPSTREAM_LIMITS_H

/* Bytes of one cluster's configuration: 100,000 endpoints take about 15 MiB. */
#define CLUSTER_CONFIG_BYTES_MAX ((size_t)256 << 20)
/* Bytes of one host set: the largest ring (8 Mi points) of each of a few priorities takes 128 MiB. */
#define HOST_SET_BYTES_MAX ((size_t)1 << 30)

#endif
