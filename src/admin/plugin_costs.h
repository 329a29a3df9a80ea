/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugins cost and which limits they passed, for /plugins and /stats/prometheus.
 */
#ifndef WEIR_ADMIN_PLUGIN_COSTS_H
#define WEIR_ADMIN_PLUGIN_COSTS_H

#include "admin/stats_filter.h"
#include "filters/wasm/wasm_service.h"

/* Lines "PLUGIN::callback.NAME.COUNTER::N", "PLUGIN::limit.NAME::N"; callbacks that never ran are left out.
 */
void plugin_costs_text(const struct wasm_service *wasm, const struct wasm_plugin_report *r,
                       const char *plugin, struct strbuf *out);
/* Members "policy", "callbacks" and "limits_passed", each with a comma before it. */
void plugin_costs_json(const struct wasm_service *wasm, const struct wasm_plugin_report *r,
                       struct strbuf *out);
/* Series "weir_plugin_...{plugin=...}", those of equal names summed up. false when memory is out. */
bool plugin_costs_prometheus(struct wasm_service *wasm, const struct stats_filter *filter,
                             struct strbuf *out);

#endif
