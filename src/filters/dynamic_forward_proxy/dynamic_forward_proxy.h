/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter in front of dynamic forward proxy clusters (envoy.filters.http.dynamic_forward_proxy): a request
 * waits until it is known where its host is. Requests for other clusters pass.
 */
#ifndef WEIR_FILTERS_DYNAMIC_FORWARD_PROXY_DYNAMIC_FORWARD_PROXY_H
#define WEIR_FILTERS_DYNAMIC_FORWARD_PROXY_DYNAMIC_FORWARD_PROXY_H

#include "proxy/filter.h"

/* PerRouteConfig: which host the request is for, instead of its own. */
struct dynamic_forward_route {
    struct slice literal; /* empty: none */
    struct slice header;  /* lower case; empty: none */
};

/* filter_config.config is NULL: names are resolved as the cluster says. */
extern const struct filter_ops dynamic_forward_proxy_ops;

#endif
