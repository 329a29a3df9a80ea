/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watcher's side of time limits. It never stops a call by a guess: a call is overdue only when the clock
 * says that its limit has passed since the watcher first saw it.
 */
#include "proxywasm/engine/deadline.h"

#include "proxywasm/engine/engine_impl.h"

void deadline_register(struct pw_engine *engine, struct deadline *deadline)
{
    deadline->engine_interrupts = &engine->interrupts;
    pthread_mutex_lock(&engine->lock);
    list_push_back(&engine->deadlines, &deadline->node);
    pthread_mutex_unlock(&engine->lock);
}

void deadline_unregister(struct pw_engine *engine, struct deadline *deadline)
{
    WEIR_ASSERT((atomic_load_explicit(&deadline->call, memory_order_relaxed) & 1) == 0);
    pthread_mutex_lock(&engine->lock);
    list_remove(&deadline->node);
    pthread_mutex_unlock(&engine->lock);
}

static bool deadline_look(struct deadline *d, uint64_t now_ns)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_acquire);
    uint64_t limit_ns;

    if ((call & 1) == 0)
        return false;
    if (call != d->seen_call) {
        d->seen_call = call;
        d->seen_ns = now_ns;
        return false;
    }
    /* A later call may have begun by now and changed the limit; then the mark below is on a call that is
     * over, which harms nobody. */
    limit_ns = atomic_load_explicit(&d->limit_ns, memory_order_relaxed);
    if (limit_ns == DEADLINE_NONE || now_ns - d->seen_ns < limit_ns)
        return false;
    atomic_store_explicit(&d->overdue_call, call, memory_order_release);
    return true;
}

bool deadline_scan(struct pw_engine *engine, uint64_t now_ns)
{
    struct list *node;
    struct list *next;
    bool overdue = false;

    list_for_each(node, next, &engine->deadlines) overdue |=
        deadline_look(list_entry(node, struct deadline, node), now_ns);
    return overdue;
}

static enum deadline_verdict look_past_limit(struct deadline *d, uint64_t call)
{
    if (d->looked_call != call) {
        d->looked_call = call;
        d->looks = 0;
    }
    return ++d->looks < DEADLINE_LOOKS ? DEADLINE_GO_ON : DEADLINE_OVERDUE;
}

enum deadline_verdict deadline_verdict(struct deadline *d)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_relaxed);

    if ((call & 1) == 0)
        return DEADLINE_GO_ON;
    if (atomic_load_explicit(d->engine_interrupts, memory_order_acquire) != d->interrupts)
        return DEADLINE_INTERRUPTED;
    if (atomic_load_explicit(&d->overdue_call, memory_order_acquire) == call)
        return look_past_limit(d, call);
    return DEADLINE_GO_ON;
}
