/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filter that changes headers, trailers and query parameters (envoy.filters.http.header_mutation),
 * in front of the router and in chains towards upstreams.
 */
#ifndef WEIR_FILTERS_MUTATION_FILTER_H
#define WEIR_FILTERS_MUTATION_FILTER_H

#include "filters/header_mutation/query_steps.h"
#include "proxy/filter.h"
#include "proxy/routing/header_steps.h"

/* Of the filter, or of a route. */
struct mutation_config {
    struct arena arena;
    bool specific_last; /* of the filter: the most specific route's changes are the last; else the first */
    struct query_steps query;
    struct header_steps request;
    struct header_steps response;
    struct header_steps request_trailers;
    struct header_steps response_trailers;
};

extern const struct filter_ops mutation_filter_ops;

/* NULL when memory is out. */
struct mutation_config *mutation_config_create(void);
/* For struct filter_config. */
void mutation_config_destroy(void *config);

#endif
