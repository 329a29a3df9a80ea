/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration of a cluster's statistics, and counting by status code.
 */
#include "upstream/cluster_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_stats_init(struct cluster_stats *s, struct slice name)
{
    memset(s, 0, sizeof(*s));
#define CLUSTER_STAT_X(field, kind) s->field = stat_##kind("cluster." SLICE_FMT "." #field, SLICE_ARG(name));
    CLUSTER_STATS(CLUSTER_STAT_X)
#undef CLUSTER_STAT_X
    char prefix[STATS_NAME_MAX];
    snprintf(prefix, sizeof(prefix), "cluster." SLICE_FMT ".", SLICE_ARG(name));
    h2_stats_init(&s->http2, slice_str(prefix));
    code_stats_init(&s->answers, prefix);
}

void breaker_stats_init(struct breaker_stats *s, struct slice name, const char *priority, bool remaining)
{
    memset(s, 0, sizeof(*s));
#define BREAKER_STAT_X(field)                                                                                \
    s->field =                                                                                               \
        stat_shared_gauge("cluster." SLICE_FMT ".circuit_breakers.%s." #field, SLICE_ARG(name), priority);
    BREAKER_STATS(BREAKER_STAT_X)
    if (!remaining)
        return;
    BREAKER_REMAINING_STATS(BREAKER_STAT_X)
#undef BREAKER_STAT_X
}

static struct code_stats *retried_of(struct cluster_stats *s)
{
    struct code_stats *r = atomic_load_explicit(&s->retried, memory_order_acquire), *other = NULL;
    char prefix[STATS_NAME_MAX];
    if (r || !s->answers.prefix)
        return r;
    r = malloc(sizeof(*r));
    if (!r)
        return NULL;
    snprintf(prefix, sizeof(prefix), "%sretry.", s->answers.prefix);
    code_stats_init(r, prefix);
    if (atomic_compare_exchange_strong(&s->retried, &other, r))
        return r;
    code_stats_fini(r); /* another worker was first */
    free(r);
    return other;
}

void cluster_stats_fini(struct cluster_stats *s)
{
    struct code_stats *retried = atomic_load_explicit(&s->retried, memory_order_relaxed);
    code_stats_fini(&s->answers);
    if (retried)
        code_stats_fini(retried);
    free(retried);
    atomic_store_explicit(&s->retried, NULL, memory_order_relaxed);
}

void cluster_stats_retried(struct cluster_stats *s, unsigned status)
{
    struct code_stats *r = retried_of(s);
    if (r)
        code_stats_count(r, status);
}
