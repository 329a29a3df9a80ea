/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of clusters that a worker routes to. Updates arrive as whole, immutable objects; pools of hosts
 * that stay are kept, those of hosts that left drain.
 */
#include "upstream/worker_cluster.h"

#include "base/assert.h"
#include "net/conn.h"
#include "net/worker.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 16u

struct worker_clusters {
    struct worker *worker;
    struct worker_cluster **buckets; /* by name's hash */
    size_t buckets_count;            /* a power of two */
    size_t count;
    struct host_set *local; /* owned reference: the hosts of the cluster that is_local; NULL: none yet */
    struct list aggregates; /* struct worker_aggregate */
};

static struct worker_clusters *table_of(struct worker *w)
{
    return w->slots[WORKER_SLOT_CLUSTERS];
}

int worker_clusters_init(struct worker *w)
{
    struct worker_clusters *t = calloc(1, sizeof(*t));
    if (t)
        t->buckets = calloc(BUCKETS_MIN, sizeof(struct worker_cluster *));
    if (!t || !t->buckets) {
        free(t);
        return -ENOMEM;
    }
    t->worker = w;
    t->buckets_count = BUCKETS_MIN;
    list_init(&t->aggregates);
    w->slots[WORKER_SLOT_CLUSTERS] = t;
    return 0;
}

static struct worker_cluster **slot_of(struct worker_clusters *t, struct slice name, uint64_t hash)
{
    struct worker_cluster **slot = &t->buckets[hash & (t->buckets_count - 1)];
    while (*slot &&
           ((*slot)->cluster->config->name_hash != hash || !slice_eq((*slot)->cluster->config->name, name)))
        slot = &(*slot)->next;
    return slot;
}

struct worker_cluster *worker_cluster_find(struct worker *w, struct slice name, uint64_t hash)
{
    return *slot_of(table_of(w), name, hash);
}

struct worker_cluster *worker_cluster_ref(struct worker_cluster *wc)
{
    WEIR_ASSERT(wc->refs > 0);
    wc->refs++;
    return wc;
}

static void provided_destroy(struct worker_cluster *wc)
{
    worker_original_destroy(&wc->original);
    worker_aggregate_destroy(&wc->aggregate);
    worker_dynamic_destroy(&wc->dynamic);
}

/* The last stream and the last pool are gone. */
static void maybe_free(struct worker_cluster *wc)
{
    if (wc->refs > 0 || !list_empty(&wc->pools.pools))
        return;
    provided_destroy(wc);
    lb_fini(&wc->lb);
    host_set_unref(&wc->hosts);
    cluster_unref(&wc->cluster);
    free(wc);
}

void worker_cluster_unref(struct worker_cluster **cluster)
{
    struct worker_cluster *wc = *cluster;
    *cluster = NULL;
    if (!wc)
        return;
    WEIR_ASSERT(wc->refs > 0);
    wc->refs--;
    maybe_free(wc);
}

static void pools_empty(struct pool_context *context)
{
    maybe_free(WEIR_CONTAINER_OF(context, struct worker_cluster, pools));
}

static uint64_t random_of_worker(void *arg, uint64_t bound)
{
    return worker_random(arg, bound);
}

/* No new stream goes to the host; pools of this worker go with their last connection. */
static void drain_host(struct worker_cluster *wc, struct host *h)
{
    struct host_shard *shard = &h->shards[wc->pools.worker];
    wc->refs++; /* the last pool does not free the cluster here */
    for (int n = 0; n < BREAKER_PRIORITY_COUNT * POOL_KIND_COUNT; n++) {
        struct pool *p = shard->pools[n / POOL_KIND_COUNT][n % POOL_KIND_COUNT];
        if (p)
            pool_drain(p);
    }
    for (struct pool *p = pool_index_first(shard->wanted_pools), *next; p; p = next) {
        next = pool_index_next(shard->wanted_pools, p);
        pool_drain(p);
    }
    wc->refs--;
}

static void drop_host(void *arg, struct host *h)
{
    drain_host(arg, h);
}

/* false when memory is out. */
static bool provided_create(struct worker_cluster *wc, struct worker *w, struct cluster *cluster)
{
    const struct cluster_config *config = cluster->config;
    if (config->type == CLUSTER_ORIGINAL_DST)
        wc->original = worker_original_create(w, cluster, drop_host, wc);
    else if (config->type == CLUSTER_AGGREGATE)
        wc->aggregate = worker_aggregate_create(w, config, &table_of(w)->aggregates);
    else if (config->type == CLUSTER_DYNAMIC)
        wc->dynamic = worker_dynamic_create(w, cluster, drop_host, wc);
    wc->provided = cluster_type_provides(config->type);
    return !wc->provided || wc->original || wc->aggregate || wc->dynamic;
}

struct host *worker_cluster_pick_provided(struct worker_cluster *wc, const struct lb_request *request)
{
    if (wc->original)
        return worker_original_pick(wc->original, request);
    if (wc->dynamic)
        return worker_dynamic_pick(wc->dynamic, request);
    return wc->aggregate ? worker_aggregate_pick(wc->aggregate, request) : NULL; /* retired */
}

static struct worker_cluster *create(struct worker *w, struct cluster *cluster, struct host_set *hosts)
{
    struct worker_cluster *wc = calloc(1, sizeof(*wc));
    if (!wc)
        return NULL;
    wc->refs = 1;
    lb_init(&wc->lb, cluster->config, random_of_worker, w);
    wc->lb.now_ms = &w->loop.now_ms;
    wc->lb.stats = &cluster->stats;
    for (int i = 0; i < BREAKER_PRIORITY_COUNT; i++)
        wc->lb.in_flight[i] = &cluster->breakers[i].requests.used;
    wc->lb.local = &table_of(w)->local;
    if (!provided_create(wc, w, cluster) || !lb_update(&wc->lb, hosts)) {
        provided_destroy(wc);
        free(wc);
        return NULL;
    }
    wc->cluster = cluster_ref(cluster);
    wc->hosts = host_set_ref(hosts);
    wc->pools = (struct pool_context){
        .loop = &w->loop,
        .config = cluster->config,
        .stats = &cluster->stats,
        .breakers = cluster->breakers,
        .worker = w->index,
        .count_active = lb_counts_active(cluster->config),
        .empty = pools_empty,
    };
    list_init(&wc->pools.pools);
    list_init(&wc->conns);
    return wc;
}

/* Twice the buckets; when memory is out chains just grow longer. */
static void grow(struct worker_clusters *t)
{
    size_t count = t->buckets_count * 2;
    struct worker_cluster **buckets = calloc(count, sizeof(struct worker_cluster *));
    if (!buckets)
        return;
    for (size_t i = 0; i < t->buckets_count; i++) {
        for (struct worker_cluster *wc = t->buckets[i], *next; wc; wc = next) {
            next = wc->next;
            struct worker_cluster **slot = &buckets[wc->cluster->config->name_hash & (count - 1)];
            wc->next = *slot;
            *slot = wc;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->buckets_count = count;
}

/* Drains pools that the last update did not name; all of them when the cluster leaves. */
static void drain_pools(struct worker_cluster *wc, bool all)
{
    struct list *node, *next;
    /* A reference, so that the last pool does not free the cluster under the loop. */
    wc->refs++;
    list_for_each(node, next, &wc->pools.pools)
    {
        struct pool *p = list_entry(node, struct pool, node);
        if (!p->draining && (all || p->generation != wc->generation))
            pool_drain(p);
    }
    wc->refs--;
}

static void retire(struct worker_cluster *wc)
{
    drain_pools(wc, true);
    worker_original_clear(wc->original);
    worker_dynamic_clear(wc->dynamic);
    worker_aggregate_destroy(&wc->aggregate); /* members may go before the last stream */
    worker_cluster_unref(&wc);
}

/* Zones of all others are divided by these. */
static void local_changed(struct worker_clusters *t, struct host_set *hosts)
{
    host_set_unref(&t->local);
    t->local = host_set_ref(hosts);
    for (size_t i = 0; i < t->buckets_count; i++) {
        for (struct worker_cluster *wc = t->buckets[i]; wc; wc = wc->next)
            lb_local_changed(&wc->lb);
    }
}

bool worker_clusters_put(struct worker *w, struct cluster *cluster, struct host_set *hosts)
{
    struct worker_clusters *t = table_of(w);
    struct worker_cluster *wc = create(w, cluster, hosts);
    if (!wc)
        return false;
    struct worker_cluster **slot = slot_of(t, cluster->config->name, cluster->config->name_hash);
    struct worker_cluster *old = *slot;
    wc->next = old ? old->next : NULL;
    *slot = wc;
    if (old)
        retire(old);
    else if (++t->count > t->buckets_count)
        grow(t);
    worker_aggregates_stale(&t->aggregates);
    if (WEIR_UNLIKELY(cluster->config->is_local))
        local_changed(t, hosts);
    return true;
}

void worker_clusters_remove(struct worker *w, struct slice name)
{
    struct worker_clusters *t = table_of(w);
    struct worker_cluster **slot = slot_of(t, name, slice_hash(name));
    struct worker_cluster *wc = *slot;
    if (!wc)
        return;
    *slot = wc->next;
    t->count--;
    worker_aggregates_stale(&t->aggregates);
    retire(wc);
}

static bool same_hosts(const struct host_set *a, const struct host_set *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = a->hosts[i] == b->hosts[i];
    return same;
}

void worker_clusters_update(struct worker *w, struct cluster *cluster, struct host_set *hosts)
{
    struct worker_cluster *wc = worker_cluster_find(w, cluster->config->name, cluster->config->name_hash);
    if (!wc || wc->cluster != cluster || !lb_update(&wc->lb, hosts))
        return;
    WEIR_ASSERT(wc->lb.hosts == hosts);
    worker_aggregates_stale(&table_of(w)->aggregates);
    struct host_set *old = wc->hosts;
    bool close_all = cluster->config->close_on_host_set_change && !same_hosts(old, hosts);
    wc->hosts = host_set_ref(hosts);
    wc->generation++;
    for (uint32_t i = 0; i < hosts->count; i++) {
        struct host_shard *shard = &hosts->hosts[i]->shards[w->index];
        for (int n = 0; n < BREAKER_PRIORITY_COUNT * POOL_KIND_COUNT; n++) {
            struct pool *p = shard->pools[n / POOL_KIND_COUNT][n % POOL_KIND_COUNT];
            if (p)
                p->generation = wc->generation;
        }
        for (struct pool *p = pool_index_first(shard->wanted_pools); p;
             p = pool_index_next(shard->wanted_pools, p))
            p->generation = wc->generation;
    }
    drain_pools(wc, close_all);
    host_set_unref(&old);
    if (WEIR_UNLIKELY(cluster->config->is_local))
        local_changed(table_of(w), hosts);
}

void worker_clusters_move(struct worker *w, struct host_set *hosts, const struct host_place *place)
{
    WEIR_ASSERT(hosts->count == 1 && hosts->hosts[0]->moving);
    host_place_put(&hosts->hosts[0]->moving[w->index], place);
}

static void close_conns(struct worker_cluster *wc, const struct host *h)
{
    struct list *node, *next;
    list_for_each(node, next, &wc->conns)
    {
        struct worker_cluster_conn *c = list_entry(node, struct worker_cluster_conn, node);
        if (c->host == h)
            conn_close(c->conn, CONN_CLOSE_NOW, 0); /* its owner hears of it in a later step */
    }
}

void worker_clusters_host_failed(struct worker *w, const struct cluster *cluster, struct host *h)
{
    struct worker_cluster *wc = worker_cluster_find(w, cluster->config->name, cluster->config->name_hash);
    if (!wc || wc->cluster != cluster)
        return;
    drain_host(wc, h);
    if (cluster->config->close_on_health_failure)
        close_conns(wc, h);
}

void worker_clusters_hear(struct worker *w, const struct cluster *cluster, const struct dynamic_news *news)
{
    struct worker_cluster *wc = worker_cluster_find(w, cluster->config->name, cluster->config->name_hash);
    if (wc && wc->cluster == cluster && wc->dynamic)
        worker_dynamic_hear(wc->dynamic, news);
}

void worker_clusters_drain(struct worker *w)
{
    struct worker_clusters *t = table_of(w);
    for (size_t i = 0; i < t->buckets_count; i++) {
        for (struct worker_cluster *wc = t->buckets[i]; wc; wc = wc->next) {
            struct list *node, *next;
            list_for_each(node, next, &wc->pools.pools)
            {
                pool_close_all(list_entry(node, struct pool, node));
            }
        }
    }
}

void worker_clusters_fini(struct worker *w)
{
    struct worker_clusters *t = table_of(w);
    if (!t)
        return;
    for (size_t i = 0; i < t->buckets_count; i++) {
        while (t->buckets[i]) {
            struct worker_cluster *wc = t->buckets[i];
            t->buckets[i] = wc->next;
            retire(wc);
        }
    }
    host_set_unref(&t->local);
    free(t->buckets);
    free(t);
    w->slots[WORKER_SLOT_CLUSTERS] = NULL;
}
