/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filter that answers health checks of this proxy (envoy.filters.http.health_check), by its own
 * state, by the health of its clusters, or by a cached answer of the service behind it.
 */
#ifndef WEIR_FILTERS_HEALTH_CHECK_HEALTH_CHECK_H
#define WEIR_FILTERS_HEALTH_CHECK_HEALTH_CHECK_H

#include "proxy/filter.h"
#include "proxy/routing/matcher.h"
#include "telemetry/stats.h"

/* "http.<stat_prefix>.health_check.<name>" */
#define HEALTH_FILTER_STATS(X)                                                                               \
    X(request_total)                                                                                         \
    X(ok)                                                                                                    \
    X(failed)                                                                                                \
    X(degraded)                                                                                              \
    X(cached_response)                                                                                       \
    X(failed_cluster_not_found)                                                                              \
    X(failed_cluster_empty)                                                                                  \
    X(failed_cluster_unhealthy)

/* A cluster of which so many percent must be healthy. */
struct health_filter_cluster {
    struct slice name;
    uint64_t hash; /* slice_hash(name) */
    double percent;
};

/* Shared by all workers; immutable but for `cached`. */
struct health_filter_config {
    struct arena arena;
    bool pass_through;
    uint64_t cache_ms; /* 0: nothing is cached */
    struct header_matcher *headers;
    size_t headers_count;
    struct health_filter_cluster *clusters;
    size_t clusters_count;
    struct slice node_cluster;
    /* The last answer of the service: until when (ms) << 16, degraded << 15, status. 0: none. */
    _Atomic uint64_t cached;
#define HEALTH_FILTER_STAT_X(name) stat_id name;
    HEALTH_FILTER_STATS(HEALTH_FILTER_STAT_X)
#undef HEALTH_FILTER_STAT_X
};

extern const struct filter_ops health_filter_ops;

/* NULL when memory is out. */
struct health_filter_config *health_filter_config_create(struct slice stat_prefix);
/* For struct filter_config. */
void health_filter_config_destroy(void *config);

#endif
