/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that has big modules compiled a second time, with care, while the proxy already serves with code
 * that was compiled quickly. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_OPTIMISER_H
#define WEIR_FILTERS_WASM_WASM_OPTIMISER_H

#include "base/slice.h"

#include <proxywasm/proxywasm.h>

struct wasm_optimiser;

struct wasm_optimiser *wasm_optimiser_create(struct pw_posix *posix);
/* Ends a compilation that runs. */
void wasm_optimiser_destroy(struct wasm_optimiser **optimiser);

/* [any thread but a worker's] Takes a reference to the module when it wants optimising. */
void wasm_optimiser_add(struct wasm_optimiser *optimiser, struct pw_module *module, struct slice plugin);
/* Begins with what was added; before this nobody competes with the start of the proxy. */
void wasm_optimiser_start(struct wasm_optimiser *optimiser);

#endif
