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
    stat_id open; /* gauge: 1 while used >= max */
};

struct breakers {
    struct breaker connections;
    struct breaker pending;
    struct breaker requests;
};

void breakers_init(struct breakers *b, const struct breaker_config *config, struct slice name,
                   const char *priority);

static inline bool breaker_can(const struct breaker *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed) < b->max;
}
/* Takes one, whether allowed or not: ask breaker_can first where the limit counts. */
static inline void breaker_take(struct breaker *b)
{
    if (atomic_fetch_add_explicit(&b->used, 1, memory_order_relaxed) + 1 == b->max)
        stat_set(b->open, 1);
}
static inline void breaker_give(struct breaker *b)
{
    uint32_t before = atomic_fetch_sub_explicit(&b->used, 1, memory_order_relaxed);
    WEIR_ASSERT(before > 0);
    if (before == b->max)
        stat_set(b->open, 0);
}

#endif
