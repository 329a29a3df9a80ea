/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up circuit breakers. A limit of 0 is open from the start.
 */
#include "upstream/breaker.h"

static void init_one(struct breaker *b, uint32_t max, stat_id open, stat_id remaining)
{
    atomic_init(&b->used, 0);
    b->max = max;
    b->open = open;
    b->remaining = remaining;
    stat_set(open, max == 0 ? 1 : 0);
    if (remaining)
        stat_set(remaining, max);
}

void breakers_init(struct breakers *b, const struct breaker_config *config, struct slice name,
                   const char *priority)
{
    struct breaker_stats stats;
    breaker_stats_init(&stats, name, priority, config->track_remaining);
    init_one(&b->connections, config->max_connections, stats.cx_open, stats.remaining_cx);
    init_one(&b->pending, config->max_pending_requests, stats.rq_pending_open, stats.remaining_pending);
    init_one(&b->requests, config->max_requests, stats.rq_open, stats.remaining_rq);
    /* A budget has no fixed number that could remain (Envoy). */
    init_one(&b->retries, config->max_retries, stats.rq_retry_open,
             config->retry_budget ? 0 : stats.remaining_retries);
    init_one(&b->pools, config->max_connection_pools, stats.cx_pool_open, stats.remaining_cx_pools);
    b->retry_budget = config->retry_budget;
    b->retry_budget_percent = config->retry_budget_percent;
    b->retry_budget_min = config->retry_budget_min;
    if (b->retry_budget)
        stat_set(b->retries.open, b->retry_budget_min == 0 ? 1 : 0);
}

void breaker_show_remaining(const struct breaker *b, uint32_t used)
{
    stat_set(b->remaining, used < b->max ? b->max - used : 0);
}

static uint32_t used_of(const struct breaker *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed);
}

static uint32_t budget_of(const struct breakers *b)
{
    double share = b->retry_budget_percent / 100.0 * ((double)used_of(&b->requests) + used_of(&b->pending));
    return share > b->retry_budget_min ? (uint32_t)share : b->retry_budget_min;
}

bool breaker_retry_try(struct breakers *b)
{
    if (!b->retry_budget) {
        if (!breaker_can(&b->retries))
            return false;
        breaker_take(&b->retries);
        return true;
    }
    uint32_t budget = budget_of(b);
    if (used_of(&b->retries) >= budget)
        return false;
    uint32_t used = atomic_fetch_add_explicit(&b->retries.used, 1, memory_order_relaxed) + 1;
    stat_set(b->retries.open, used >= budget);
    return true;
}

void breaker_retry_give(struct breakers *b)
{
    if (!b->retry_budget) {
        breaker_give(&b->retries);
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&b->retries.used, 1, memory_order_relaxed);
    WEIR_ASSERT(before > 0);
    stat_set(b->retries.open, before - 1 >= budget_of(b));
}
