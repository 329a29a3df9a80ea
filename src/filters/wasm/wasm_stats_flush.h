/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives the process's statistics to plugins, time after time: the wasm stat sink. Everything runs on the
 * thread for singletons.
 */
#ifndef WEIR_FILTERS_WASM_WASM_STATS_FLUSH_H
#define WEIR_FILTERS_WASM_WASM_STATS_FLUSH_H

#include "filters/wasm/wasm_plugin.h"
#include "net/worker.h"

struct wasm_stats_flush;

/* Before the worker's thread starts. `sinks` are borrowed and outlive the worker. NULL when memory is out. */
struct wasm_stats_flush *wasm_stats_flush_create(struct worker *worker, struct wasm_plugin *const *sinks,
                                                 size_t count, uint64_t interval_ms);
/* After the worker has stopped. NULL content is fine. */
void wasm_stats_flush_destroy(struct wasm_stats_flush **flush);

#endif
