/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash budget of a group of plugins, over all workers: so many failures in so much time, and no VM of it
 * is given work any more until an operator releases it. [any thread] Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_QUARANTINE_H
#define WEIR_FILTERS_WASM_WASM_QUARANTINE_H

#include "filters/wasm/wasm_policy.h"

#include <pthread.h>

#define WASM_CRASHES_MAX 1000u /* as the policy's highest count */

struct wasm_quarantine {
    pthread_mutex_t lock;
    uint64_t crashes_ms[WASM_CRASHES_MAX]; /* a ring of the last ones */
    uint32_t next;
    uint32_t count;
    _Atomic bool on;
    _Atomic uint64_t times; /* how often it came to that */
};

void wasm_quarantine_init(struct wasm_quarantine *q);
void wasm_quarantine_fini(struct wasm_quarantine *q);
/* A failure happened now. */
void wasm_quarantine_crash(struct wasm_quarantine *q, uint64_t now_ms);
/* Whether the budget of `policy` is used up. True once: when it begins. */
bool wasm_quarantine_begins(struct wasm_quarantine *q, const struct wasm_policy *policy, uint64_t now_ms);
/* Forgets the crashes. Whether there was a quarantine. */
bool wasm_quarantine_release(struct wasm_quarantine *q);

static inline bool wasm_quarantine_on(struct wasm_quarantine *q)
{
    return atomic_load_explicit(&q->on, memory_order_relaxed);
}

#endif
