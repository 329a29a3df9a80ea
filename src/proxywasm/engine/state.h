/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of an instance as bytes: one record per memory and mutable global, under the name that the
 * instrumented module exports it by. Written by this process, read by the compiler's: the reader checks
 * lengths.
 */
#ifndef PROXYWASM_ENGINE_STATE_H
#define PROXYWASM_ENGINE_STATE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroed before the first record; `bytes` is the caller's to free. */
struct state_writer {
    char *bytes;
    size_t len;
    size_t cap;
    bool failed; /* memory was out */
};

void state_add(struct state_writer *w, struct slice name, struct slice value);

/* Takes one record off the front. False: there is none, or it is damaged. */
bool state_next(struct slice *rest, struct slice *name, struct slice *value);
/* The value of `name`; empty when there is none. */
struct slice state_find(struct slice state, const char *name);
/* Of the first memory. */
uint64_t state_memory_bytes(struct slice state);

/* How the exports begin that instrumentation adds. */
#define STATE_NAME_PREFIX   "__wizer_"
#define STATE_MEMORY_PREFIX STATE_NAME_PREFIX "memory_"
#define STATE_GLOBAL_PREFIX STATE_NAME_PREFIX "global_"

#endif
