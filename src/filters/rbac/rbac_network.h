/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network filter that lets connections through by rules (envoy.filters.network.rbac). It asks when the
 * first bytes have come, because a client that speaks TLS is known only then; it never looks at the bytes.
 */
#ifndef WEIR_FILTERS_RBAC_NETWORK_H
#define WEIR_FILTERS_RBAC_NETWORK_H

#include "filters/rbac/rbac_engine.h"
#include "proxy/listener/network_filter.h"

/* network_filter_config.config */
struct rbac_network {
    struct rbac_engine engine;
    bool continuous;   /* asks again with all that comes */
    uint64_t delay_ms; /* a denied connection is closed that much later */
};

extern const struct network_filter_ops rbac_network_ops;

#endif
