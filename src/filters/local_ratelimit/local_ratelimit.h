/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filter that limits requests by token buckets of this process
 * (envoy.filters.http.local_ratelimit).
 */
#ifndef WEIR_FILTERS_LOCAL_RATELIMIT_H
#define WEIR_FILTERS_LOCAL_RATELIMIT_H

#include "filters/local_ratelimit/local_limiter.h"
#include "proxy/filter.h"
#include "proxy/routing/header_mutation.h"
#include "telemetry/stats.h"

/* X(field, name) of "<stat_prefix>.http_local_rate_limit.<name>" */
#define LOCAL_LIMIT_STATS(X)                                                                                 \
    X(asked, enabled)                                                                                        \
    X(refused, enforced)                                                                                     \
    X(limited, rate_limited)                                                                                 \
    X(ok, ok)

/* Whether the virtual host's rate_limits count: same numbers as VhRateLimitsOptions. */
enum local_limit_vhost { LOCAL_LIMIT_VHOST_OVERRIDE, LOCAL_LIMIT_VHOST_INCLUDE, LOCAL_LIMIT_VHOST_IGNORE };

struct local_limit_share {
    uint32_t numerator, denominator; /* of the requests */
};

/* Of the filter, or of a route. Shared by all workers; immutable but for `state`. */
struct local_limit_config {
    struct arena arena;
    struct local_limiter limiter;
    struct local_limiter_state *state;       /* owned; NULL: each connection has its own */
    struct rate_limits rate_limits;          /* its own; none: those of routes and virtual hosts */
    struct header_mutation request_headers;  /* of requests above the limit that pass */
    struct header_mutation response_headers; /* of answers to others */
    struct local_limit_share enabled;
    struct local_limit_share enforced;
    enum local_limit_vhost vhost;
    uint32_t stage;
    uint16_t status;
    int grpc_status;    /* -1: by the status */
    bool tells_clients; /* x-ratelimit-* */
#define LOCAL_LIMIT_STAT_X(field, name) stat_id field;
    LOCAL_LIMIT_STATS(LOCAL_LIMIT_STAT_X)
#undef LOCAL_LIMIT_STAT_X
};

extern const struct filter_ops local_limit_filter_ops;

/* NULL when memory is out. */
struct local_limit_config *local_limit_config_create(struct slice stat_prefix);
/* The last step: the limiter is known. false: memory is out. */
bool local_limit_config_finish(struct local_limit_config *c, bool per_connection);
/* For struct filter_config. */
void local_limit_config_destroy(void *config);

#endif
