/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network filter connection_limit: at most so many connections through the chains that share the filter.
 */
#ifndef WEIR_PROXY_CONNECTION_LIMIT_H
#define WEIR_PROXY_CONNECTION_LIMIT_H

#include "proxy/listener/network_filter.h"

/* Fills ops, config and destroy. One too many is closed after delay_ms. False: memory is out. */
bool connection_limit_init(struct network_filter_config *f, struct slice stat_prefix, uint64_t max,
                           uint64_t delay_ms);

#endif
