/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all VMs of a host hold together: linear memory, and what the host keeps for them. Taken before it is
 * allocated, given back after it was freed. [any thread]
 */
#ifndef PROXYWASM_BUDGET_H
#define PROXYWASM_BUDGET_H

#include "base/assert.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget {
    _Atomic uint64_t used;
    _Atomic uint64_t
        max; /* UINT64_MAX: none. May be lowered below what is used: then nothing more is given */
};

static inline void budget_init(struct budget *b)
{
    atomic_init(&b->used, 0);
    atomic_init(&b->max, UINT64_MAX);
}

/* Takes what must be taken, whatever the limit says. */
static inline void budget_force(struct budget *b, uint64_t bytes)
{
    atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed);
}

static inline void budget_give(struct budget *b, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
    WEIR_ASSERT(before >= bytes);
}

static inline uint64_t budget_left(struct budget *b)
{
    uint64_t max = atomic_load_explicit(&b->max, memory_order_relaxed);
    uint64_t used = max == UINT64_MAX ? 0 : atomic_load_explicit(&b->used, memory_order_relaxed);
    return max > used ? max - used : 0;
}

static inline bool budget_take(struct budget *b, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&b->max, memory_order_relaxed);
    if (WEIR_LIKELY(before <= max && bytes <= max - before))
        return true;
    budget_give(b, bytes);
    return false;
}

#endif
