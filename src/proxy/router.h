/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router filter: the last of every chain. Picks the cluster and the host, sends the request, hands the
 * answer back; or answers itself for redirects, direct responses and failures.
 */
#ifndef WEIR_PROXY_ROUTER_H
#define WEIR_PROXY_ROUTER_H

#include "proxy/filter.h"

/* envoy.extensions.filters.http.router.v3.Router, as far as it has a meaning here. */
struct router_config {
    bool suppress_envoy_headers;
    bool respect_expected_rq_timeout;
    struct filter_list upstream_filters; /* of all that it sends, but to clusters that have their own */
};

/* filter_config.config is a struct router_config *, or NULL for the defaults. */
extern const struct filter_ops router_filter_ops;

#endif
