/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting crashes. What quarantine means to streams and VMs is wasm_vm.c's.
 */
#include "filters/wasm/wasm_quarantine.h"

#include "base/assert.h"

void wasm_quarantine_init(struct wasm_quarantine *q)
{
    pthread_mutex_init(&q->lock, NULL);
}

void wasm_quarantine_fini(struct wasm_quarantine *q)
{
    pthread_mutex_destroy(&q->lock);
}

void wasm_quarantine_crash(struct wasm_quarantine *q, uint64_t now_ms)
{
    pthread_mutex_lock(&q->lock);
    q->crashes_ms[q->next] = now_ms;
    q->next = (q->next + 1) % WASM_CRASHES_MAX;
    if (q->count < WASM_CRASHES_MAX)
        q->count++;
    pthread_mutex_unlock(&q->lock);
}

bool wasm_quarantine_begins(struct wasm_quarantine *q, const struct wasm_policy *policy, uint64_t now_ms)
{
    uint32_t budget = policy->crash_failures;
    bool begins = false;
    if (budget == 0)
        return false;
    WEIR_ASSERT(budget <= WASM_CRASHES_MAX);
    pthread_mutex_lock(&q->lock);
    if (q->count >= budget && !wasm_quarantine_on(q)) {
        /* The oldest of the last `budget` crashes. */
        uint64_t since = q->crashes_ms[(q->next + WASM_CRASHES_MAX - budget) % WASM_CRASHES_MAX];
        begins = now_ms - since <= policy->crash_window_ms;
    }
    if (begins) {
        atomic_store_explicit(&q->on, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&q->times, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&q->lock);
    return begins;
}

bool wasm_quarantine_release(struct wasm_quarantine *q)
{
    pthread_mutex_lock(&q->lock);
    bool was = atomic_exchange_explicit(&q->on, false, memory_order_relaxed);
    q->count = 0;
    q->next = 0;
    pthread_mutex_unlock(&q->lock);
    return was;
}
