/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all VMs of a host hold together: linear memory, and what the host keeps for them. Taken before it is
 * allocated, given back after it was freed. What lies idle, to be used again, is counted too, and ended when
 * somebody needs the room. [any thread]
 */
#ifndef PROXYWASM_BUDGET_H
#define PROXYWASM_BUDGET_H

#include "base/assert.h"
#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget {
    _Atomic uint64_t used; /* idle ones included */
    _Atomic uint64_t idle; /* what ending those in `idles` would give back */
    _Atomic uint64_t
        max; /* UINT64_MAX: none. May be lowered below what is used: then nothing more is given */
    pthread_mutex_t lock; /* guards `idles`; taken only where there is a limit */
    struct list idles;    /* the longest idle first */
};

/* Memory that lies idle. Its owner's, but for what is under the lock. */
struct budget_idle {
    struct list node;
    uint64_t bytes;
    void (*end)(struct budget_idle *idle); /* frees the memory; on any thread, under the lock */
    bool listed;                           /* it went to the list; only its owner */
    bool ended;                            /* under the lock */
};

void budget_init(struct budget *b);
void budget_fini(struct budget *b);

/* Its `bytes`, which are taken already, lie idle from now on, until budget_wake. False: they are to be freed,
 * as more is used than there may be. */
bool budget_lie_idle(struct budget *b, struct budget_idle *idle);
/* Before it is used again, or freed. False: it was ended meanwhile, and its bytes are given back. */
bool budget_wake(struct budget *b, struct budget_idle *idle);
/* The slow part of the two below: ends idle ones until it fits. */
bool budget_take_from_idle(struct budget *b, uint64_t bytes);

static inline bool budget_try(struct budget *b, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&b->max, memory_order_relaxed);
    if (WEIR_LIKELY(before <= max && bytes <= max - before))
        return true;
    atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
    return false;
}

/* Takes what must be taken, whatever the limit says. */
static inline void budget_force(struct budget *b, uint64_t bytes)
{
    if (WEIR_UNLIKELY(!budget_try(b, bytes) && !budget_take_from_idle(b, bytes)))
        atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed);
}

static inline void budget_give(struct budget *b, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
    WEIR_ASSERT(before >= bytes);
}

/* What could be taken: idle memory too. */
static inline uint64_t budget_left(struct budget *b)
{
    uint64_t max = atomic_load_explicit(&b->max, memory_order_relaxed);
    if (WEIR_LIKELY(max == UINT64_MAX))
        return UINT64_MAX;
    uint64_t idle = atomic_load_explicit(&b->idle, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    used = used > idle ? used - idle : 0;
    return max > used ? max - used : 0;
}

static inline bool budget_take(struct budget *b, uint64_t bytes)
{
    return WEIR_LIKELY(budget_try(b, bytes)) || budget_take_from_idle(b, bytes);
}

#endif
