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
}

void breaker_stats_init(struct breaker_stats *s, struct slice name, const char *priority)
{
#define BREAKER_STAT_X(field)                                                                                \
    s->field =                                                                                               \
        stat_shared_gauge("cluster." SLICE_FMT ".circuit_breakers.%s." #field, SLICE_ARG(name), priority);
    BREAKER_STATS(BREAKER_STAT_X)
#undef BREAKER_STAT_X
}

void cluster_stats_status(struct cluster_stats *s, struct slice name, unsigned status)
{
    const stat_id classes[] = {s->upstream_rq_1xx, s->upstream_rq_2xx, s->upstream_rq_3xx, s->upstream_rq_4xx,
                               s->upstream_rq_5xx};
    if (status < CLUSTER_STATUS_MIN || status - CLUSTER_STATUS_MIN >= CLUSTER_STATUS_COUNT)
        return;
    _Atomic stat_id *slot = &s->status[status - CLUSTER_STATUS_MIN];
    stat_id id = atomic_load_explicit(slot, memory_order_relaxed);
    if (id == 0) {
        /* The same name gives the same number on every thread. */
        id = stat_counter("cluster." SLICE_FMT ".upstream_rq_%u", SLICE_ARG(name), status);
        atomic_store_explicit(slot, id, memory_order_relaxed);
    }
    stat_inc(id);
    stat_inc(classes[status / 100 - 1]);
    stat_inc(s->upstream_rq_completed);
}

/* Made with the first retry of the cluster: most have none. */
struct cluster_retried {
    stat_id completed;
    stat_id classes[5];
    _Atomic stat_id status[CLUSTER_STATUS_COUNT];
};

static struct cluster_retried *retried_of(struct cluster_stats *s, struct slice name)
{
    struct cluster_retried *r = atomic_load_explicit(&s->retried, memory_order_acquire), *other = NULL;
    if (r)
        return r;
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->completed = stat_counter("cluster." SLICE_FMT ".retry.upstream_rq_completed", SLICE_ARG(name));
    for (unsigned i = 0; i < 5; i++)
        r->classes[i] = stat_counter("cluster." SLICE_FMT ".retry.upstream_rq_%uxx", SLICE_ARG(name), i + 1);
    if (atomic_compare_exchange_strong(&s->retried, &other, r))
        return r;
    free(r); /* another worker was first */
    return other;
}

void cluster_stats_fini(struct cluster_stats *s)
{
    free(atomic_load_explicit(&s->retried, memory_order_relaxed));
    atomic_store_explicit(&s->retried, NULL, memory_order_relaxed);
}

void cluster_stats_retried(struct cluster_stats *s, struct slice name, unsigned status)
{
    if (status < CLUSTER_STATUS_MIN || status - CLUSTER_STATUS_MIN >= CLUSTER_STATUS_COUNT)
        return;
    struct cluster_retried *r = retried_of(s, name);
    if (!r)
        return;
    _Atomic stat_id *slot = &r->status[status - CLUSTER_STATUS_MIN];
    stat_id id = atomic_load_explicit(slot, memory_order_relaxed);
    if (id == 0) {
        id = stat_counter("cluster." SLICE_FMT ".retry.upstream_rq_%u", SLICE_ARG(name), status);
        atomic_store_explicit(slot, id, memory_order_relaxed);
    }
    stat_inc(id);
    stat_inc(r->classes[status / 100 - 1]);
    stat_inc(r->completed);
}
