/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watcher's side of time limits. It must never stop a call by a guess: a call is overdue only when the
 * clock says so. Calls are short and the watcher comes seldom, so it mostly finds nothing running; when it
 * does, it comes back a little before the limit passes, and at that moment.
 */
#include "proxywasm/engine/deadline.h"

#include "proxywasm/engine/engine_impl.h"
#include "proxywasm/host_impl.h"

/* How long the watcher may stay away: twice within the shortest limit, but not longer than the first, as a VM
 * may come meanwhile; and how soon it comes back. */
#define AWAY_MAX_NS UINT64_C(10000000)
#define AWAY_MIN_NS UINT64_C(1000000)
/* Between looks at a call that is overdue or soon will be, and how long before the limit they begin: two of
 * them, so that the third finds it passed. And the least pause before any. */
#define LOOK_NS  UINT64_C(500000)
#define LEAD_NS  (2 * LOOK_NS)
#define PAUSE_NS UINT64_C(50000)

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

/* How long the watcher may stay away for this call; UINT64_MAX: none runs, or it has no limit. *look: the
 * guest is to be met now. */
static uint64_t call_away_ns(struct deadline *d, const struct pw_host *host, uint64_t now_cycles, bool *look)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_acquire);
    uint64_t limit_ns = atomic_load_explicit(&d->limit_ns, memory_order_relaxed);
    uint64_t began = atomic_load_explicit(&d->began_cycles, memory_order_relaxed);
    uint64_t lead_ns = min_ns(LEAD_NS, limit_ns / 2);
    uint64_t ran_ns;

    /* A later call may have begun since the first of these reads. Then it is too young to be overdue, or the
     * mark below is on a call that is over, which harms nobody. Counters of cores may differ a little. */
    if ((call & 1) == 0 || limit_ns == DEADLINE_NONE)
        return UINT64_MAX;
    ran_ns = now_cycles > began ? host_cycles_to_ns(host, now_cycles - began) : 0;
    if (ran_ns < limit_ns - lead_ns)
        return limit_ns - lead_ns - ran_ns;
    *look = true;
    atomic_store_explicit(ran_ns < limit_ns ? &d->near_call : &d->overdue_call, call, memory_order_release);
    return ran_ns < limit_ns ? min_ns(LOOK_NS, limit_ns - ran_ns) : LOOK_NS;
}

bool deadline_scan(struct pw_engine *engine, uint64_t now_cycles, uint64_t *away_ns)
{
    uint64_t away = AWAY_MAX_NS;
    struct list *node;
    struct list *next;
    bool look = false;

    list_for_each(node, next, &engine->deadlines)
    {
        struct deadline *d = list_entry(node, struct deadline, node);

        away = min_ns(away, d->shortest_ns / 2 > AWAY_MIN_NS ? d->shortest_ns / 2 : AWAY_MIN_NS);
        away = min_ns(away, call_away_ns(d, engine->host, now_cycles, &look));
    }
    *away_ns = away > PAUSE_NS ? away : PAUSE_NS;
    return look;
}

/* One that was first met past its limit may just have got the processor back: it gets more time to finish. */
static enum deadline_verdict look_at(struct deadline *d, uint64_t call, bool overdue)
{
    if (d->looked_call != call) {
        d->looked_call = call;
        d->looks = 0;
        d->looks_max = overdue ? DEADLINE_LOOKS_LATE : DEADLINE_LOOKS;
    }
    d->looks++;
    return overdue && d->looks >= d->looks_max ? DEADLINE_OVERDUE : DEADLINE_GO_ON;
}

enum deadline_verdict deadline_verdict(struct deadline *d)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_relaxed);

    if ((call & 1) == 0)
        return DEADLINE_GO_ON;
    if (atomic_load_explicit(d->engine_interrupts, memory_order_acquire) != d->interrupts)
        return DEADLINE_INTERRUPTED;
    if (atomic_load_explicit(&d->overdue_call, memory_order_acquire) == call)
        return look_at(d, call, true);
    if (atomic_load_explicit(&d->near_call, memory_order_acquire) == call)
        return look_at(d, call, false);
    return DEADLINE_GO_ON;
}
