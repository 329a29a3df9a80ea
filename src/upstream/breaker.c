/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up circuit breakers. A limit of 0 is open from the start.
 */
#include "upstream/breaker.h"

static void init_one(struct breaker *b, uint32_t max, stat_id open)
{
    atomic_init(&b->used, 0);
    b->max = max;
    b->open = open;
    stat_set(open, max == 0 ? 1 : 0);
}

void breakers_init(struct breakers *b, const struct breaker_config *config, struct slice name,
                   const char *priority)
{
    struct breaker_stats stats;
    breaker_stats_init(&stats, name, priority);
    init_one(&b->connections, config->max_connections, stats.cx_open);
    init_one(&b->pending, config->max_pending_requests, stats.rq_pending_open);
    init_one(&b->requests, config->max_requests, stats.rq_open);
}
