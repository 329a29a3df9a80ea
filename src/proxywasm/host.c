/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host object: takes the embedder's callbacks, owns the stores that VMs share and the foreign functions.
 * Knows no VM and no engine.
 */
#include "proxywasm/host_impl.h"

#include "base/assert.h"
#include "proxywasm/limits.h"

#include <stdlib.h>

/* The oldest table of callbacks that this library understands ends with metric_get. */
#define HOST_OPS_SIZE_MIN offsetof(struct pw_host_ops, compile)

static bool ops_complete(const struct pw_host_ops *ops)
{
    if (!ops || ops->size < HOST_OPS_SIZE_MIN)
        return false;
    if (!ops->log || !ops->log_level || !ops->realtime_ns || !ops->monotonic_ns || !ops->random)
        return false;
    if (!ops->cache_open != !ops->cache_store)
        return false;
    /* Metrics: all four or none. */
    bool any = ops->metric_define || ops->metric_add || ops->metric_record || ops->metric_get;
    bool all = ops->metric_define && ops->metric_add && ops->metric_record && ops->metric_get;
    return any == all;
}

struct pw_host *pw_host_create(const struct pw_host_ops *ops, void *ctx)
{
    if (!ops_complete(ops))
        return NULL;
    struct pw_host *host = calloc(1, sizeof(*host));
    if (!host)
        return NULL;
    memcpy(&host->ops, ops, ops->size < sizeof(host->ops) ? ops->size : sizeof(host->ops));
    budget_init(&host->budget);
    host->ctx = ctx;
    shared_store_init(&host->shared, &host->budget);
    queue_store_init(&host->queues, &host->budget);
    metric_store_init(&host->metrics);
    map_init(&host->foreign);
    host->start_ns = ops->monotonic_ns(ctx);
    host->start_cycles = host_cycles(host);
    return host;
}

void pw_host_destroy(struct pw_host **host)
{
    struct pw_host *h = *host;
    if (!h)
        return;
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&h->foreign, &cursor));)
        free(e->value);
    map_fini(&h->foreign);
    metric_store_fini(&h->metrics);
    queue_store_fini(&h->queues);
    shared_store_fini(&h->shared);
    budget_fini(&h->budget);
    free(h);
    *host = NULL;
}

int pw_host_add_foreign(struct pw_host *host, const char *name, pw_foreign_fn fn, void *ctx)
{
    WEIR_ASSERT(host && name && fn);
    struct foreign_function *old = map_get(&host->foreign, slice_str(name));
    if (old) {
        *old = (struct foreign_function){fn, ctx};
        return PW_OK;
    }
    if (host->foreign.count >= FOREIGN_FUNCTIONS_MAX)
        return PW_ERR_LIMIT;
    struct foreign_function *f = malloc(sizeof(*f));
    if (!f)
        return PW_ERR_NOMEM;
    *f = (struct foreign_function){fn, ctx};
    if (!map_put(&host->foreign, slice_str(name), f)) {
        free(f);
        return PW_ERR_NOMEM;
    }
    return PW_OK;
}

const struct foreign_function *host_foreign(const struct pw_host *host, struct slice name)
{
    return map_get(&host->foreign, name);
}

void pw_host_stats(struct pw_host *host, struct pw_host_stats *out)
{
    *out = (struct pw_host_stats){0};
    shared_store_count(&host->shared, &out->shared_data_keys, &out->shared_data_bytes);
    queue_store_count(&host->queues, &out->queues, &out->queued_items, &out->queued_bytes);
    out->metrics = metric_store_count(&host->metrics);
    out->memory_bytes = atomic_load_explicit(&host->budget.used, memory_order_relaxed);
    out->memory_max_bytes = atomic_load_explicit(&host->budget.max, memory_order_relaxed);
}

void pw_host_set_memory_max(struct pw_host *host, uint64_t bytes)
{
    atomic_store_explicit(&host->budget.max, bytes, memory_order_relaxed);
}

uint64_t host_cycles_to_ns(const struct pw_host *host, uint64_t cycles)
{
    uint64_t ns = host->ops.monotonic_ns(host->ctx) - host->start_ns;
    uint64_t total = host_cycles(host) - host->start_cycles;
    if (total == 0)
        return 0;
    return (uint64_t)((double)cycles * ((double)ns / (double)total));
}
