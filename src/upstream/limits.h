/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caps of this room, each with its unit and reason. A cap that Envoy has too carries Envoy's default.
 */
#ifndef WEIR_UPSTREAM_LIMITS_H
#define WEIR_UPSTREAM_LIMITS_H

/* Bytes of one cluster's configuration: 100,000 endpoints take about 15 MiB. */
#define CLUSTER_CONFIG_BYTES_MAX ((size_t)256 << 20)
/* Addresses of one endpoint: as many as a name may have (net/limits.h). */
#define ENDPOINT_ADDRESSES_MAX 256u
/* Bytes of a server name (RFC 1035 3.1). */
#define SERVER_NAME_BYTES_MAX 255u
/* Bytes of one host set: the largest ring (8 Mi points) of each of a few priorities takes 128 MiB. */
#define HOST_SET_BYTES_MAX ((size_t)1 << 30)

/* Bytes of a health check's answer that are kept when response_buffer_size is 0, which Envoy takes for no
 * limit: what a page of status is at most. */
#define HEALTH_RESPONSE_MAX ((size_t)1 << 20)
/* Bytes that a TCP health check keeps while it waits for `receive`: an endpoint that sends more without it
 * fails. */
#define HEALTH_TCP_RECEIVE_MAX ((size_t)64 << 10)
/* Header fields and bytes of an answer to a health check. */
#define HEALTH_HEADERS_COUNT_MAX 100u
#define HEALTH_HEADERS_BYTES_MAX (60u << 10)
/* Bytes of one check's request and response headers. */
#define HEALTH_ARENA_BYTES_MAX ((size_t)1 << 20)
/* Bytes of the text of a set of labels. */
#define LB_MATCH_BYTES_MAX 16384u
/* Keys of one subset selector; those of real configurations are a few. */
#define LB_SELECTOR_KEYS_MAX 32u
/* Subsets of one cluster: each worker has a balancer for each of them. */
#define LB_SUBSETS_MAX 65536u
/* Labels that are looked at while the hosts of one cluster are divided: so many, and more for each host,
 * which are ten selectors of five keys. Each takes about a microsecond of the main thread. */
#define LB_SUBSET_STEPS_MAX      (256u << 10)
#define LB_SUBSET_STEPS_PER_HOST 64u

/* Hosts of one ORIGINAL_DST cluster, over all workers. Clients may think of any number of destinations; with
 * 8 workers each costs about 3 KiB and a pool, so these are 64 MiB at most. A host stays for two
 * cleanup_intervals, or as long as it has a connection: more connections than this are no proxy's default. */
#define ORIGINAL_DST_HOSTS_MAX 16384u
/* Milliseconds between two clean-ups that a worker makes because there was no room for a host: a flood of
 * destinations must not make it look through all of its hosts for each of them. */
#define ORIGINAL_DST_ROOM_INTERVAL_MS 1000u

/* Hosts of a dynamic forward proxy cluster, when there is no room for another: names that were never found go
 * at once, others when nobody wanted them for so many milliseconds; and how often that is looked for. A flood
 * of names then hinders other new names, never those in use. */
#define DYNAMIC_IDLE_MS          10000u
#define DYNAMIC_ROOM_INTERVAL_MS 100u
/* Members of an aggregate cluster and of those in it that are looked at: aggregates in aggregates multiply.
 */
#define AGGREGATE_MEMBERS_MAX 4096u

#endif
