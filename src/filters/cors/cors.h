/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CORS filter (envoy.filters.http.cors): answers preflight requests and marks answers, as the policies of
 * the route, its virtual host and the table say. It never refuses a request: that is the browser's part.
 */
#ifndef WEIR_FILTERS_CORS_CORS_H
#define WEIR_FILTERS_CORS_CORS_H

#include "proxy/filter.h"
#include "proxy/routing/matcher.h"
#include "telemetry/stats.h"

/* The filter's entry in a chain; filter_config.config. */
struct cors_config {
    stat_id origin_valid;
    stat_id origin_invalid;
};

enum cors_choice { CORS_UNSET, CORS_NO, CORS_YES };

struct cors_share {
    uint32_t numerator;
    uint32_t denominator;
};

/* extensions.filters.http.cors.v3.CorsPolicy of one level. What it leaves unset, the next level says. */
struct cors_policy {
    struct string_matcher *origins;
    uint32_t origins_count;
    struct slice methods, headers, expose, max_age;
    enum cors_choice credentials;
    enum cors_choice private_network;
    enum cors_choice forward_not_matching;
    struct cors_share enabled; /* the requests that it holds for */
    struct cors_share shadow;  /* those of the others that are counted */
};

extern const struct filter_ops cors_filter_ops;

/* filter_override.destroy */
void cors_policy_fini(void *policy);

#endif
