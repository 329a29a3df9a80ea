/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wasm network filter: a plugin over the bytes of a downstream connection.
 */
#ifndef WEIR_FILTERS_WASM_WASM_NETWORK_FILTER_H
#define WEIR_FILTERS_WASM_WASM_NETWORK_FILTER_H

#include "filters/wasm/wasm_plugin.h"
#include "proxy/listener/network_filter.h"

/* Fills `out`; takes the caller's reference over. `filter_name` must live as long as the chain. */
void wasm_network_filter_config_init(struct network_filter_config *out, struct slice filter_name,
                                     struct wasm_plugin *plugin);

#endif
