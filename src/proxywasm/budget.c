/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lies idle within the budget. While nobody is short of room this is a list under a lock, and
 * without a limit not even that. It never ends what is in use.
 */
#include "proxywasm/budget.h"

void budget_init(struct budget *b)
{
    atomic_init(&b->used, 0);
    atomic_init(&b->idle, 0);
    atomic_init(&b->max, UINT64_MAX);
    pthread_mutex_init(&b->lock, NULL);
    list_init(&b->idles);
}

void budget_fini(struct budget *b)
{
    WEIR_ASSERT(list_empty(&b->idles));
    pthread_mutex_destroy(&b->lock);
}

bool budget_lie_idle(struct budget *b, struct budget_idle *idle)
{
    uint64_t max = atomic_load_explicit(&b->max, memory_order_relaxed);

    WEIR_ASSERT(!idle->listed);
    if (max == UINT64_MAX)
        return true; /* who sets a limit has the idle ones of before freed */
    if (atomic_load_explicit(&b->used, memory_order_relaxed) > max)
        return false;
    idle->listed = true;
    idle->ended = false;
    pthread_mutex_lock(&b->lock);
    list_push_back(&b->idles, &idle->node);
    atomic_fetch_add_explicit(&b->idle, idle->bytes, memory_order_relaxed);
    pthread_mutex_unlock(&b->lock);
    return true;
}

/* Under the lock. */
static void unlist(struct budget *b, struct budget_idle *idle)
{
    list_remove(&idle->node);
    atomic_fetch_sub_explicit(&b->idle, idle->bytes, memory_order_relaxed);
}

bool budget_wake(struct budget *b, struct budget_idle *idle)
{
    bool ended;

    if (!idle->listed)
        return true;
    idle->listed = false;
    pthread_mutex_lock(&b->lock);
    ended = idle->ended;
    if (!ended)
        unlist(b, idle);
    pthread_mutex_unlock(&b->lock);
    return !ended;
}

bool budget_take_from_idle(struct budget *b, uint64_t bytes)
{
    bool taken = false;

    if (bytes > budget_left(b))
        return false; /* even all of it would not do */
    pthread_mutex_lock(&b->lock);
    while (!(taken = budget_try(b, bytes)) && !list_empty(&b->idles)) {
        struct budget_idle *idle = list_first(&b->idles, struct budget_idle, node);

        unlist(b, idle);
        idle->end(idle);
        idle->ended = true;
        budget_give(b, idle->bytes);
    }
    pthread_mutex_unlock(&b->lock);
    return taken;
}
