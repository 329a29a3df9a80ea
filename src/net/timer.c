/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer wheel. A timer sits on the level of the highest 6-bit group in which its due time differs from
 * the wheel's now; so slots behind now are empty and the lowest occupied level holds the next due timer. The
 * wheel never fires a timer early, and never calls libuv for a timer that fires later than what is armed.
 */
#include "net/timer.h"

#include "net/loop.h"

#define LEVEL_BITS 6u
#define SLOT_MASK  (TIMER_WHEEL_SLOTS - 1u)
#define TOP        (TIMER_WHEEL_LEVELS - 1u)
#define TOP_SHIFT  (LEVEL_BITS * TOP)
/* The farthest a timer can be placed: one slot less than the top level's turn. */
#define SPAN ((uint64_t)SLOT_MASK << TOP_SHIFT)

static void wheel_uv_fired(uv_timer_t *uv);

int timer_wheel_init(struct loop *loop)
{
    struct timer_wheel *w = &loop->timers;
    w->now_ms = uv_now(&loop->uv);
    w->armed_ms = UINT64_MAX;
    w->count = 0;
    for (size_t level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (size_t slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
    w->uv.data = loop;
    return uv_timer_init(&loop->uv, &w->uv);
}

static void wheel_insert(struct timer_wheel *w, struct timer *t)
{
    uint64_t due = t->due_ms;
    WEIR_ASSERT(due > w->now_ms);
    if (due - w->now_ms > SPAN)
        due = w->now_ms + SPAN;
    uint64_t differs = (due ^ w->now_ms) | SLOT_MASK;
    unsigned level = (63u - (unsigned)__builtin_clzll(differs)) / LEVEL_BITS;
    if (level > TOP)
        level = TOP;
    unsigned slot = (unsigned)(due >> (LEVEL_BITS * level)) & SLOT_MASK;
    w->occupied[level] |= UINT64_C(1) << slot;
    list_push_back(&w->slots[level][slot], &t->node);
}

/* When the next occupied slot begins; UINT64_MAX: there is none. */
static uint64_t wheel_next(const struct timer_wheel *w, unsigned *level_out, unsigned *slot_out)
{
    for (unsigned level = 0; level < TOP; level++) {
        if (!w->occupied[level])
            continue;
        unsigned slot = (unsigned)__builtin_ctzll(w->occupied[level]);
        unsigned shift = LEVEL_BITS * (level + 1);
        *level_out = level;
        *slot_out = slot;
        return (w->now_ms >> shift << shift) | ((uint64_t)slot << (LEVEL_BITS * level));
    }
    if (!w->occupied[TOP])
        return UINT64_MAX;
    /* The top level goes round: rotate so that the present slot is bit 0, which is empty. */
    unsigned here = (unsigned)(w->now_ms >> TOP_SHIFT) & SLOT_MASK;
    uint64_t bits = w->occupied[TOP];
    uint64_t turned = here ? (bits >> here) | (bits << (TIMER_WHEEL_SLOTS - here)) : bits;
    unsigned ahead = (unsigned)__builtin_ctzll(turned);
    *level_out = TOP;
    *slot_out = (here + ahead) & SLOT_MASK;
    return ((w->now_ms >> TOP_SHIFT) + ahead) << TOP_SHIFT;
}

static void wheel_arm(struct loop *loop)
{
    struct timer_wheel *w = &loop->timers;
    unsigned level, slot;
    uint64_t next = w->count ? wheel_next(w, &level, &slot) : UINT64_MAX;
    if (next >= w->armed_ms)
        return;
    w->armed_ms = next;
    uint64_t now = uv_now(&loop->uv);
    int rc = uv_timer_start(&w->uv, wheel_uv_fired, next > now ? next - now : 0, 0);
    WEIR_ASSERT(rc == 0);
}

static void timer_fire(struct loop *loop, struct timer *t)
{
    list_remove(&t->node);
    if (t->due_ms > loop->timers.now_ms) {
        wheel_insert(&loop->timers, t);
        return;
    }
    t->due_ms = 0;
    loop->timers.count--;
    t->fire(t);
}

void timer_wheel_advance(struct loop *loop, uint64_t now_ms)
{
    struct timer_wheel *w = &loop->timers;
    unsigned level, slot;
    for (;;) {
        uint64_t next = wheel_next(w, &level, &slot);
        if (next > now_ms)
            break;
        if (next > w->now_ms)
            w->now_ms = next;
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        struct list due;
        list_init(&due);
        list_splice_back(&due, &w->slots[level][slot]);
        while (!list_empty(&due))
            timer_fire(loop, list_first(&due, struct timer, node));
    }
    if (now_ms > w->now_ms)
        w->now_ms = now_ms;
}

static void wheel_uv_fired(uv_timer_t *uv)
{
    struct loop *loop = uv->data;
    loop_refresh(loop);
    loop->timers.armed_ms = UINT64_MAX;
    timer_wheel_advance(loop, loop->now_ms);
    wheel_arm(loop);
}

void timer_set(struct loop *loop, struct timer *t, uint64_t delay_ms)
{
    struct timer_wheel *w = &loop->timers;
    WEIR_ASSERT(t->fire != NULL);
    timer_stop(loop, t);
    if (!t->node.next)
        list_init(&t->node);
    uint64_t base = loop->now_ms > w->now_ms ? loop->now_ms : w->now_ms;
    delay_ms = delay_ms ? delay_ms : 1;
    t->due_ms = delay_ms > UINT64_MAX / 2 ? UINT64_MAX / 2 : base + delay_ms;
    if (w->count == 0 && base > w->now_ms)
        w->now_ms = base; /* nothing to pass on the way: shorter distances, lower levels */
    wheel_insert(w, t);
    w->count++;
    wheel_arm(loop);
}

void timer_stop(struct loop *loop, struct timer *t)
{
    struct timer_wheel *w = &loop->timers;
    if (!t->due_ms)
        return;
    struct list *head = t->node.next == t->node.prev ? t->node.next : NULL;
    list_remove(&t->node);
    t->due_ms = 0;
    WEIR_ASSERT(w->count > 0);
    w->count--;
    /* The last one of its slot leaves the slot empty; a list on timer_wheel_advance's stack is no slot. */
    struct list *first = &w->slots[0][0];
    if (head && head >= first && head < first + TIMER_WHEEL_LEVELS * TIMER_WHEEL_SLOTS) {
        size_t n = (size_t)(head - first);
        w->occupied[n / TIMER_WHEEL_SLOTS] &= ~(UINT64_C(1) << (n % TIMER_WHEEL_SLOTS));
    }
}

void timer_wheel_fini(struct loop *loop)
{
    if (!uv_is_closing((uv_handle_t *)&loop->timers.uv))
        uv_close((uv_handle_t *)&loop->timers.uv, NULL);
}
