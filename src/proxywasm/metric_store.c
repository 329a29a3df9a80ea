/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and histograms of the library's own store. A histogram keeps its count and sum, which is
 * what the ABI lets anybody see. Never formats, never exports: an embedder that wants that brings its own.
 */
#include "proxywasm/metric_store.h"

#include "base/assert.h"
#include "proxywasm/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

struct metric {
    enum pw_metric_type type;
    _Atomic uint64_t value; /* histogram: sum */
    _Atomic uint64_t samples;
};

void metric_store_init(struct metric_store *store)
{
    pthread_mutex_init(&store->lock, NULL);
    map_init(&store->metrics);
}

void metric_store_fini(struct metric_store *store)
{
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&store->metrics, &cursor));)
        free(e->value);
    map_fini(&store->metrics);
    pthread_mutex_destroy(&store->lock);
}

uint64_t metric_store_count(struct metric_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t count = store->metrics.count;
    pthread_mutex_unlock(&store->lock);
    return count;
}

static struct metric *define_locked(struct metric_store *store, enum pw_metric_type type, struct slice key)
{
    struct metric *m = map_get(&store->metrics, key);
    if (m || store->metrics.count >= METRICS_HOST_MAX)
        return m;
    m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->type = type;
    if (!map_put(&store->metrics, key, m)) {
        free(m);
        return NULL;
    }
    return m;
}

void *metric_store_define(struct metric_store *store, enum pw_metric_type type, struct slice name)
{
    char key[METRIC_NAME_BYTES_MAX + 1];
    if (name.len > METRIC_NAME_BYTES_MAX)
        return NULL;
    key[0] = (char)('0' + type);
    if (name.len)
        memcpy(key + 1, name.ptr, name.len);
    pthread_mutex_lock(&store->lock);
    struct metric *m = define_locked(store, type, slice_of(key, name.len + 1));
    pthread_mutex_unlock(&store->lock);
    return m;
}

void metric_store_add(void *metric, int64_t delta)
{
    struct metric *m = metric;
    WEIR_ASSERT(m->type != PW_METRIC_HISTOGRAM);
    atomic_fetch_add_explicit(&m->value, (uint64_t)delta, memory_order_relaxed);
}

void metric_store_record(void *metric, uint64_t value)
{
    struct metric *m = metric;
    WEIR_ASSERT(m->type != PW_METRIC_COUNTER);
    if (m->type == PW_METRIC_GAUGE) {
        atomic_store_explicit(&m->value, value, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&m->value, value, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->samples, 1, memory_order_relaxed);
}

uint64_t metric_store_get(void *metric)
{
    struct metric *m = metric;
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}
