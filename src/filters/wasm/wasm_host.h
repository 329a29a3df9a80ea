/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proxy gives to libproxywasm: its log, its statistics, clocks. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_HOST_H
#define WEIR_FILTERS_WASM_WASM_HOST_H

#include <proxywasm/proxywasm.h>

/* `posix` outlives the host. NULL when memory is out. */
struct pw_host *wasm_host_create(struct pw_posix *posix);

#endif
