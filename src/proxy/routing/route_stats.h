/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of routes with a stat_prefix and of virtual clusters, under Envoy's names below
 * "vhost.<virtual host>.". They only count: a virtual cluster never decides where a request goes.
 */
#ifndef WEIR_PROXY_ROUTE_STATS_H
#define WEIR_PROXY_ROUTE_STATS_H

#include "proxy/routing/matcher.h"
#include "telemetry/code_stats.h"

/* X(name, kind): "vhost.<virtual host>.<route|vcluster>.<name>.<name>". */
#define ROUTE_STATS(X)                                                                                       \
    X(upstream_rq_retry, counter)                                                                            \
    X(upstream_rq_retry_limit_exceeded, counter)                                                             \
    X(upstream_rq_retry_overflow, counter)                                                                   \
    X(upstream_rq_retry_success, counter)                                                                    \
    X(upstream_rq_time, histogram)                                                                           \
    X(upstream_rq_timeout, counter)                                                                          \
    X(upstream_rq_total, counter)

struct route_stats {
#define ROUTE_STAT_X(name, kind) stat_id name;
    ROUTE_STATS(ROUTE_STAT_X)
#undef ROUTE_STAT_X
    struct code_stats answers;
};

/* `kind`: "route" or "vcluster". NULL when the arena is full. fini takes NULL, and leaves the memory to the
 * arena. */
struct route_stats *route_stats_create(struct arena *arena, struct slice virtual_host, const char *kind,
                                       struct slice name);
void route_stats_fini(struct route_stats *s);

/* route.v3.VirtualCluster. */
struct virtual_cluster {
    struct slice name;
    struct header_matcher *headers; /* all must match */
    uint32_t headers_count;
    struct route_stats *stats; /* by finish */
};

struct virtual_clusters {
    struct virtual_cluster *items;
    uint32_t count;
    struct virtual_cluster other; /* by finish: what none of them takes; without a name */
};

/* `path` is that of the list. */
void virtual_clusters_finish(struct virtual_clusters *v, struct arena *arena, struct slice virtual_host,
                             const char *path, struct build_errors *errors);
void virtual_clusters_fini(struct virtual_clusters *v);
/* The first that matches; NULL: there are none. */
const struct virtual_cluster *virtual_clusters_find(const struct virtual_clusters *v,
                                                    const struct header_map *headers);

/* The statistics that one request counts on, beside its cluster's: its route's, its virtual cluster's. */
#define REQUEST_SCOPES_MAX 2u
struct request_scopes {
    struct route_stats *items[REQUEST_SCOPES_MAX]; /* NULL: no more */
};

#define REQUEST_SCOPES_INC(scopes, field)                                                                    \
    do {                                                                                                     \
        for (unsigned i_ = 0; i_ < REQUEST_SCOPES_MAX && (scopes)->items[i_]; i_++)                          \
            stat_inc((scopes)->items[i_]->field);                                                            \
    } while (0)

static inline bool request_scopes_any(const struct request_scopes *s)
{
    return s->items[0] != NULL;
}
void request_scopes_add(struct request_scopes *s, struct route_stats *stats);
void request_scopes_answer(const struct request_scopes *s, unsigned status);
void request_scopes_time(const struct request_scopes *s, uint64_t ms);

#endif
