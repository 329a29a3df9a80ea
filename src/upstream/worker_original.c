/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Picking and forgetting destinations. As Envoy: a host stays while this worker has a connection to it, and
 * for one cleanup_interval after it was picked last.
 */
#include "upstream/worker_original.h"

#include "base/map.h"
#include "http/headers.h"
#include "net/worker.h"
#include "upstream/cluster.h"
#include "upstream/lb.h"
#include "upstream/limits.h"
#include "upstream/original_dst.h"

#include <stdlib.h>

struct destination {
    struct host *host; /* taken */
    bool used;         /* picked since the last clean-up */
};

struct worker_original {
    struct worker *worker;
    struct cluster *cluster; /* borrowed: it outlives this */
    void (*forget)(void *arg, struct host *h);
    void *arg;
    struct map destinations; /* original_dst_key -> struct destination */
    struct timer clean_up;   /* set while there are any */
    uint64_t cleaned_ms;     /* when it fired last */
    bool wants_room;         /* there was none for a host: those that were used go too */
};

static bool has_connections(const struct worker_original *o, const struct host *h)
{
    const struct host_shard *shard = &h->shards[o->worker->index];
    return atomic_load_explicit(&shard->cx_active, memory_order_relaxed) > 0 ||
           atomic_load_explicit(&shard->rq_pending_active, memory_order_relaxed) > 0;
}

static void drop(struct worker_original *o, struct destination *d)
{
    map_remove(&o->destinations, original_dst_key(&d->host->address));
    original_dst_give(o->cluster, &d->host);
    free(d);
}

static void on_clean_up(struct timer *timer)
{
    struct worker_original *o = WEIR_CONTAINER_OF(timer, struct worker_original, clean_up);
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&o->destinations, &cursor)) != NULL;) {
        struct destination *d = e->value;
        bool stays = has_connections(o, d->host) || (d->used && !o->wants_room);
        d->used = false;
        if (stays)
            continue;
        o->forget(o->arg, d->host);
        drop(o, d);
    }
    o->wants_room = false;
    o->cleaned_ms = o->worker->loop.now_ms;
    if (o->destinations.count > 0)
        timer_set(&o->worker->loop, &o->clean_up, o->cluster->config->original_dst.cleanup_interval_ms);
}

struct worker_original *worker_original_create(struct worker *w, struct cluster *cluster,
                                               void (*forget)(void *arg, struct host *h), void *arg)
{
    struct worker_original *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    o->worker = w;
    o->cluster = cluster;
    o->forget = forget;
    o->arg = arg;
    timer_init(&o->clean_up, on_clean_up);
    return o;
}

void worker_original_clear(struct worker_original *o)
{
    size_t cursor = 0;
    if (!o)
        return;
    timer_stop(&o->worker->loop, &o->clean_up);
    for (struct map_entry *e; (e = map_next(&o->destinations, &cursor)) != NULL;)
        drop(o, e->value);
}

void worker_original_destroy(struct worker_original **original)
{
    struct worker_original *o = *original;
    *original = NULL;
    worker_original_clear(o);
    if (o)
        map_fini(&o->destinations);
    free(o);
}

static bool destination_of(const struct worker_original *o, const struct lb_request *rq, struct address *out)
{
    const struct original_dst_config *config = &o->cluster->config->original_dst;
    const struct header *h =
        config->header.ptr && rq->headers ? header_map_find(rq->headers, config->header) : NULL;
    bool named = h && original_dst_parse(h->value, out);
    if (h && !named)
        stat_inc(o->cluster->stats.original_dst_host_invalid);
    if (!named && (!rq->destination || !original_dst_address(rq->destination, out)))
        return false;
    if (config->port != ORIGINAL_DST_PORT_OWN)
        address_set_port(out, (uint16_t)config->port);
    return true;
}

/* There is no room: what has no connection shall make some, but not from inside a pick. */
static void want_room(struct worker_original *o)
{
    uint64_t now = o->worker->loop.now_ms, since = now - o->cleaned_ms;
    uint64_t wait = since < ORIGINAL_DST_ROOM_INTERVAL_MS ? ORIGINAL_DST_ROOM_INTERVAL_MS - since : 1;
    if (o->wants_room || o->destinations.count == 0)
        return;
    o->wants_room = true;
    if (o->clean_up.due_ms > now + wait)
        timer_set(&o->worker->loop, &o->clean_up, wait);
}

static struct destination *add(struct worker_original *o, const struct address *a)
{
    struct destination *d = calloc(1, sizeof(*d));
    if (d)
        d->host = original_dst_take(o->cluster, a);
    if (!d || !d->host) {
        free(d);
        want_room(o);
        return NULL;
    }
    if (!map_put(&o->destinations, original_dst_key(a), d)) {
        original_dst_give(o->cluster, &d->host);
        free(d);
        return NULL;
    }
    if (!timer_active(&o->clean_up))
        timer_set(&o->worker->loop, &o->clean_up, o->cluster->config->original_dst.cleanup_interval_ms);
    return d;
}

struct host *worker_original_pick(struct worker_original *o, const struct lb_request *rq)
{
    struct address to;
    if (!rq || !destination_of(o, rq, &to))
        return NULL;
    struct destination *d = map_get(&o->destinations, original_dst_key(&to));
    if (!d)
        d = add(o, &to);
    if (!d)
        return NULL;
    d->used = true;
    return d->host;
}
