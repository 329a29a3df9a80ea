/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wasm access logger: a plugin whose root context gets proxy_on_log for each stream or connection.
 */
#ifndef WEIR_FILTERS_WASM_WASM_ACCESS_LOG_H
#define WEIR_FILTERS_WASM_WASM_ACCESS_LOG_H

#include "filters/wasm/wasm_plugin.h"
#include "proxy/logging/access_log.h"

/* Takes the caller's reference and `filter` (NULL: log all) over, also on failure. NULL when memory is out.
 */
struct access_log *wasm_access_log_create(struct wasm_plugin *plugin, struct stream_predicate *filter);

#endif
