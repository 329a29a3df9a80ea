/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What compiled code depends on. The engine that runs code and the process that compiles it fill the same
 * struct into wasmtime's configuration by the same function, or the code would not load.
 */
#ifndef PROXYWASM_ENGINE_WASMTIME_CONFIG_H
#define PROXYWASM_ENGINE_WASMTIME_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <wasmtime.h>

/* Plain bytes: it is handed to another process of the same binary. */
struct wt_codegen {
    uint64_t reserve_bytes; /* of addresses, per memory */
    bool signals;           /* traps are found by signals */
    bool epoch;             /* with interruption points */
    bool limited;           /* few addresses: memories move, bounds are checked */
    /* Half the compile time, for slower code. Loads wherever the other loads. */
    bool quick;
    /* Of the compiler alone. */
    bool one_thread;
    bool images; /* memory begins as a mapped image: for pools, as the memories of others are counted by us */
};

wasm_config_t *wt_codegen_config(const struct wt_codegen *codegen);

#endif
