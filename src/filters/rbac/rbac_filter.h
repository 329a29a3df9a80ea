/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filter that lets requests through by rules (envoy.filters.http.rbac). It holds no request back:
 * its verdict is there at once.
 */
#ifndef WEIR_FILTERS_RBAC_FILTER_H
#define WEIR_FILTERS_RBAC_FILTER_H

#include "proxy/filter.h"

/* filter_config.config is a struct rbac_engine, filter_override.config a struct rbac_pair. */
extern const struct filter_ops rbac_filter_ops;

#endif
