/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers with 1 ms resolution on a hierarchical wheel that one libuv timer per loop drives. libuv's own
 * timers would each need an asynchronous close before their object may be freed; here stopping is unlinking,
 * so timers can sit inside streams. Setting and stopping are O(1).
 */
#ifndef WEIR_NET_TIMER_H
#define WEIR_NET_TIMER_H

#include "base/list.h"

#include <stdint.h>
#include <uv.h>

struct loop;

#define TIMER_WHEEL_LEVELS 5
#define TIMER_WHEEL_SLOTS  64 /* 64^5 ms: 12 days; longer ones are re-armed */

struct timer {
    struct list node;
    uint64_t due_ms; /* loop time; 0: not set */
    void (*fire)(struct timer *timer);
};

struct timer_wheel {
    uint64_t now_ms; /* all timers due up to here have fired */
    uint64_t occupied[TIMER_WHEEL_LEVELS];
    struct list slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
    uv_timer_t uv;
    uint64_t armed_ms; /* when `uv` fires; UINT64_MAX: not */
    size_t count;
};

/* A zeroed timer with `fire` set is valid and not set. */
static inline void timer_init(struct timer *t, void (*fire)(struct timer *timer))
{
    list_init(&t->node);
    t->due_ms = 0;
    t->fire = fire;
}
/* For loop.c, and tests that turn the wheel by hand. */
int timer_wheel_init(struct loop *loop);
void timer_wheel_advance(struct loop *loop, uint64_t now_ms);
void timer_wheel_fini(struct loop *loop);

/* Fires once, `delay_ms` from the loop's now (at least 1 ms later); replaces what was set. */
void timer_set(struct loop *loop, struct timer *t, uint64_t delay_ms);
/* Not set is fine. */
void timer_stop(struct loop *loop, struct timer *t);
static inline bool timer_active(const struct timer *t)
{
    return t->due_ms != 0;
}

#endif
