/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circuit breakers: how much of a cluster may be in use at once, counted over all workers by relaxed atomics.
 * Two workers may pass a limit at the same moment and exceed it by one each: as in Envoy.
 */
#ifndef WEIR_UPSTREAM_BREAKER_H
#define WEIR_UPSTREAM_BREAKER_H

#include "base/assert.h"
#include "upstream/cluster_config.h"
#include "upstream/cluster_stats.h"

/* One counted resource with its limit. On a cache line of its own: workers write it for every request. */
struct breaker {
    _Alignas(64) _Atomic uint32_t used;
    uint32_t max;
    stat_id open;      /* gauge: 1 while used >= max */
    stat_id remaining; /* gauge: max - used; 0: not tracked */
};

struct breakers {
    struct breaker connections;
    struct breaker pending;
    struct breaker requests;
    struct breaker retries; /* its max does not count with a budget */
    struct breaker pools;
    bool retry_budget;
    double retry_budget_percent;
    uint32_t retry_budget_min;
};

void breakers_init(struct breakers *b, const struct breaker_config *config, struct slice name,
                   const char *priority);

static inline bool breaker_can(const struct breaker *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed) < b->max;
}
/* The slow part of the two below: nobody tracks what remains unless told to. */
void breaker_show_remaining(const struct breaker *b, uint32_t used);
/* Takes one, whether allowed or not: ask breaker_can first where the limit counts. */
static inline void breaker_take(struct breaker *b)
{
    uint32_t used = atomic_fetch_add_explicit(&b->used, 1, memory_order_relaxed) + 1;
    if (used == b->max)
        stat_set(b->open, 1);
    if (WEIR_UNLIKELY(b->remaining != 0))
        breaker_show_remaining(b, used);
}
static inline void breaker_give(struct breaker *b)
{
    uint32_t before = atomic_fetch_sub_explicit(&b->used, 1, memory_order_relaxed);
    WEIR_ASSERT(before > 0);
    if (before == b->max)
        stat_set(b->open, 0);
    if (WEIR_UNLIKELY(b->remaining != 0))
        breaker_show_remaining(b, before - 1);
}

/*
 * Retries: how many may be under way at once, a fixed number or a share of the requests that wait or are
 * active. Takes one when there is one left; false: upstream_rq_retry_overflow is the caller's to count.
 */
bool breaker_retry_try(struct breakers *b);
/* That retry has ended, however it did. */
void breaker_retry_give(struct breakers *b);

#endif
