/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration of the statistics of one prefix, and counting by code. Never forgets a number: another table
 * or cluster of the same name goes on with it.
 */
#include "telemetry/code_stats.h"

#include <stdlib.h>
#include <string.h>

void code_stats_init(struct code_stats *s, const char *prefix)
{
    memset(s, 0, sizeof(*s));
    s->prefix = strdup(prefix);
    s->completed = stat_counter("%supstream_rq_completed", prefix);
    for (unsigned i = 0; i < CODE_STATS_CLASSES; i++)
        s->classes[i] = stat_counter("%supstream_rq_%uxx", prefix, i + 1);
}

void code_stats_fini(struct code_stats *s)
{
    free(s->prefix);
    s->prefix = NULL;
}

void code_stats_count(struct code_stats *s, unsigned status)
{
    if (status < CODE_STATS_MIN || status - CODE_STATS_MIN >= CODE_STATS_COUNT || !s->prefix)
        return;
    _Atomic stat_id *slot = &s->codes[status - CODE_STATS_MIN];
    stat_id id = atomic_load_explicit(slot, memory_order_relaxed);
    if (id == 0) {
        /* The same name gives the same number on every thread. */
        id = stat_counter("%supstream_rq_%u", s->prefix, status);
        atomic_store_explicit(slot, id, memory_order_relaxed);
    }
    stat_inc(id);
    stat_inc(s->classes[status / 100 - 1]);
    stat_inc(s->completed);
}
