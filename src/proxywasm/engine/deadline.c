/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watcher's side of time limits. It must never stop a call by a guess: a call is overdue only when the
 * clock says so. Calls are short and the watcher comes seldom, so it mostly finds nothing running; when it
 * does, it comes back at the moment the limit passes.
 */
#include "proxywasm/engine/deadline.h"

#include "proxywasm/engine/engine_impl.h"
#include "proxywasm/host_impl.h"

/* How long the watcher may stay away: twice within the shortest limit, but not longer than the first, as a VM
 * may come meanwhile; and how soon it comes back. */
#define AWAY_MAX_NS UINT64_C(10000000)
#define AWAY_MIN_NS UINT64_C(1000000)
/* Between looks at an overdue call, and the least pause before one that is nearly so. */
#define LOOK_NS  UINT64_C(1000000)
#define PAUSE_NS UINT64_C(100000)

void deadline_register(struct pw_engine *engine, struct deadline *deadline, uint64_t shortest_ns)
{
    deadline->engine_interrupts = &engine->interrupts;
    deadline->shortest_ns = shortest_ns;
    pthread_mutex_lock(&engine->lock);
    list_push_back(&engine->deadlines, &deadline->node);
    pthread_mutex_unlock(&engine->lock);
}

void deadline_set_shortest(struct pw_engine *engine, struct deadline *deadline,
                           const struct pw_limits *limits)
{
    bool start_first = limits->start_time_max_ns < limits->callback_time_max_ns;
    pthread_mutex_lock(&engine->lock);
    deadline->shortest_ns = start_first ? limits->start_time_max_ns : limits->callback_time_max_ns;
    pthread_mutex_unlock(&engine->lock);
}

void deadline_unregister(struct pw_engine *engine, struct deadline *deadline)
{
    WEIR_ASSERT((atomic_load_explicit(&deadline->call, memory_order_relaxed) & 1) == 0);
    pthread_mutex_lock(&engine->lock);
    list_remove(&deadline->node);
    pthread_mutex_unlock(&engine->lock);
}

static uint64_t min_ns(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Nanoseconds until the running call is overdue; 0: it is. UINT64_MAX: none runs, or it has no limit. */
static uint64_t deadline_left(struct deadline *d, const struct pw_host *host, uint64_t now_cycles)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_acquire);
    uint64_t limit_ns = atomic_load_explicit(&d->limit_ns, memory_order_relaxed);
    uint64_t began = atomic_load_explicit(&d->began_cycles, memory_order_relaxed);
    uint64_t ran_ns;

    /* A later call may have begun since the first of these reads. Then it is too young to be overdue, or the
     * mark below is on a call that is over, which harms nobody. Counters of cores may differ a little. */
    if ((call & 1) == 0 || limit_ns == DEADLINE_NONE)
        return UINT64_MAX;
    ran_ns = now_cycles > began ? host_cycles_to_ns(host, now_cycles - began) : 0;
    if (ran_ns < limit_ns)
        return limit_ns - ran_ns;
    atomic_store_explicit(&d->overdue_call, call, memory_order_release);
    return 0;
}

bool deadline_scan(struct pw_engine *engine, uint64_t *away_ns)
{
    uint64_t now_cycles = host_cycles(engine->host);
    uint64_t away = AWAY_MAX_NS;
    struct list *node;
    struct list *next;
    bool overdue = false;

    list_for_each(node, next, &engine->deadlines)
    {
        struct deadline *d = list_entry(node, struct deadline, node);
        uint64_t left = deadline_left(d, engine->host, now_cycles);

        away = min_ns(away, d->shortest_ns / 2 > AWAY_MIN_NS ? d->shortest_ns / 2 : AWAY_MIN_NS);
        if (left == 0)
            overdue = true;
        else
            away = min_ns(away, left > PAUSE_NS ? left : PAUSE_NS);
    }
    *away_ns = overdue ? min_ns(away, LOOK_NS) : away;
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
