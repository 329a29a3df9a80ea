/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time limit of guest calls. A VM notes with plain stores when its outermost guest call begins and ends;
 * the thread that calls pw_engine_tick watches all of them and judges by the wall clock. A call is never
 * stopped before its limit. A guest that was met running at two looks shortly before is stopped at the third,
 * when the limit has passed. One that was not met before, as it was not given the processor, comes back,
 * finishes and is not stopped: it has four looks more, half a millisecond apart. Time spent in host functions
 * counts; nothing here blocks the VM's thread.
 */
#ifndef PROXYWASM_ENGINE_DEADLINE_H
#define PROXYWASM_ENGINE_DEADLINE_H

#include "base/list.h"

#include <proxywasm/engine.h>
#include <proxywasm/vm_limits.h>

#include <stdatomic.h>

#define DEADLINE_NONE UINT64_MAX
/* Looks that find the guest running before it is stopped, the last one past its limit; and if the first one
 * was past it already. */
#define DEADLINE_LOOKS      3
#define DEADLINE_LOOKS_LATE 5

/* One per VM. Zeroed before registration. */
struct deadline {
    struct list node; /* in the engine's registry, under its lock */
    /* Written by the VM's thread, read by the watcher. `call` is odd while an outermost guest call runs. */
    _Atomic uint64_t call;
    _Atomic uint64_t limit_ns;
    _Atomic uint64_t began_cycles;
    /* The value of `call` that the watcher found overdue, or about to be. */
    _Atomic uint64_t overdue_call;
    _Atomic uint64_t near_call;
    /* The engine's count of interrupts when the call began. Only the VM's thread. */
    uint32_t interrupts;
    const _Atomic uint32_t *engine_interrupts;
    /* Only the VM's thread: how often a call was met near or past its limit, and how often it may be. */
    uint64_t looked_call;
    uint32_t looks;
    uint32_t looks_max;
    /* The shortest limit that its calls will have: how seldom the watcher may come. Under the engine's lock.
     */
    uint64_t shortest_ns;
};

enum deadline_verdict { DEADLINE_GO_ON, DEADLINE_OVERDUE, DEADLINE_INTERRUPTED };

/* [any thread] Before the first and after the last guest call of the VM. */
void deadline_register(struct pw_engine *engine, struct deadline *deadline, uint64_t shortest_ns);
/* [the VM's thread] Its limits have changed. */
void deadline_set_shortest(struct pw_engine *engine, struct deadline *deadline,
                           const struct pw_limits *limits);
void deadline_unregister(struct pw_engine *engine, struct deadline *deadline);

/* Around an OUTERMOST guest call only: an allocation inside a host call neither resets nor ends the limit.
 * `now_cycles` is host_cycles. */
static inline void deadline_enter(struct deadline *d, uint64_t limit_ns, uint64_t now_cycles)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_relaxed);

    WEIR_ASSERT((call & 1) == 0);
    d->interrupts = atomic_load_explicit(d->engine_interrupts, memory_order_relaxed);
    atomic_store_explicit(&d->limit_ns, limit_ns, memory_order_relaxed);
    atomic_store_explicit(&d->began_cycles, now_cycles, memory_order_relaxed);
    /* A watcher that sees this call sees its limit too. */
    atomic_store_explicit(&d->call, call + 1, memory_order_release);
}

static inline void deadline_leave(struct deadline *d)
{
    uint64_t call = atomic_load_explicit(&d->call, memory_order_relaxed);

    WEIR_ASSERT((call & 1) == 1);
    atomic_store_explicit(&d->call, call + 1, memory_order_relaxed);
}

/* On the VM's thread, inside a guest call that an engine stopped for a look. */
enum deadline_verdict deadline_verdict(struct deadline *d);

#endif
