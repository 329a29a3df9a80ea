/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The value of a property on its way from the embedder to the guest, in the ABI's form (2.3). Lives during
 * one host call.
 */
#ifndef PROXYWASM_VALUE_H
#define PROXYWASM_VALUE_H

#include "base/arena.h"

#include <proxywasm/stream.h>

struct pw_value {
    struct arena *arena; /* where copies go */
    struct slice bytes;
    char number[8];
    bool set;    /* false: null, which has no form */
    bool failed; /* no memory for it */
};

static inline void value_init(struct pw_value *value, struct arena *arena)
{
    value->arena = arena;
    value->bytes = SLICE_EMPTY;
    value->set = false;
    value->failed = false;
}

#endif
