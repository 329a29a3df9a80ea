/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names on a worker. A name that is asked for holds one of the cluster's max_pending_requests until the main
 * thread has answered, even if nobody waits any more: or clients that come and go could ask without end.
 */
#include "upstream/worker_dynamic.h"

#include "base/assert.h"
#include "base/map.h"
#include "http/headers.h"
#include "net/worker.h"
#include "upstream/cluster.h"
#include "upstream/lb.h"

#include <stdio.h>
#include <stdlib.h>

struct known {
    struct dynamic_name *name; /* owned reference */
    enum dynamic_state state;  /* WAITING, KNOWN or FAILED */
    struct host *host;         /* owned reference, of KNOWN */
    struct list waits;         /* struct dynamic_wait, of WAITING */
    bool asked;                /* it holds one of max_pending_requests: WAITING */
    char error[DYNAMIC_ERROR_BYTES];
};

struct worker_dynamic {
    struct worker *worker;
    struct cluster *cluster; /* borrowed: it outlives this */
    void (*forget)(void *arg, struct host *h);
    void *arg;
    struct map names; /* the name's text -> struct known */
};

struct worker_dynamic *worker_dynamic_create(struct worker *w, struct cluster *cluster,
                                             void (*forget)(void *arg, struct host *h), void *arg)
{
    struct worker_dynamic *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->worker = w;
    d->cluster = cluster;
    d->forget = forget;
    d->arg = arg;
    return d;
}

static void known_free(struct known *k)
{
    WEIR_ASSERT(list_empty(&k->waits));
    host_unref(&k->host);
    dynamic_name_unref(&k->name);
    free(k);
}

void dynamic_wait_cancel(struct dynamic_wait *wait)
{
    if (!wait->in)
        return;
    list_remove(&wait->node);
    if (wait->counted)
        dynamic_hosts_wait_end(wait->in->cluster);
    wait->in = NULL;
}

/* It is known what became of the name; `k` may be gone after. */
static void wake(struct worker_dynamic *d, struct list *waits, enum dynamic_state state, const char *error)
{
    while (!list_empty(waits)) {
        struct dynamic_wait *w = list_first(waits, struct dynamic_wait, node);
        dynamic_wait_cancel(w);
        if (state == DYNAMIC_FULL)
            stat_inc(d->cluster->dynamic.stats.host_overflow);
        w->done(w, state, error);
    }
}

/* The waits of a name whose question is over. */
static void answered(struct worker_dynamic *d, struct known *k, struct list *waits)
{
    list_init(waits);
    list_splice_back(waits, &k->waits);
    if (k->asked)
        dynamic_hosts_wait_end(d->cluster);
    k->asked = false;
}

static void drop(struct worker_dynamic *d, struct known *k, enum dynamic_state state, const char *error)
{
    struct list waits;
    answered(d, k, &waits);
    map_remove(&d->names, dynamic_key_text(&k->name->key));
    known_free(k);
    wake(d, &waits, state, error);
}

void worker_dynamic_clear(struct worker_dynamic *d)
{
    size_t cursor = 0;
    for (struct map_entry *e; d && (e = map_next(&d->names, &cursor)) != NULL;)
        drop(d, e->value, DYNAMIC_FAILED, "cluster_is_gone");
}

void worker_dynamic_destroy(struct worker_dynamic **dynamic)
{
    struct worker_dynamic *d = *dynamic;
    *dynamic = NULL;
    worker_dynamic_clear(d);
    if (d)
        map_fini(&d->names);
    free(d);
}

static struct known *add(struct worker_dynamic *d, struct dynamic_name *name)
{
    struct known *k = calloc(1, sizeof(*k));
    if (!k || !map_put(&d->names, dynamic_key_text(&name->key), k)) {
        free(k);
        return NULL;
    }
    k->name = dynamic_name_ref(name);
    list_init(&k->waits);
    return k;
}

/* --- asking --- */

struct question {
    struct cluster *cluster;   /* owned reference */
    struct dynamic_name *name; /* owned reference */
};

static void question_drop(void *arg)
{
    struct question *q = arg;
    dynamic_name_unref(&q->name);
    cluster_unref(&q->cluster);
    free(q);
}

static void question_run(void *arg)
{
    struct question *q = arg;
    if (q->cluster->dynamic.table)
        dynamic_hosts_ask(q->cluster, q->name);
    question_drop(q);
}

static bool ask(struct worker_dynamic *d, struct dynamic_name *name)
{
    struct question *q = calloc(1, sizeof(*q));
    if (!q)
        return false;
    *q = (struct question){cluster_ref(d->cluster), dynamic_name_ref(name)};
    if (loop_post_owned(d->cluster->main, question_run, question_drop, q))
        return true;
    question_drop(q);
    return false;
}

/* The first who wants it; NULL: nobody can ask. */
static struct known *begin(struct worker_dynamic *d, const struct dynamic_key *key)
{
    struct dynamic_name *name = dynamic_name_create(key, d->worker->loop.now_ms);
    struct known *k = name ? add(d, name) : NULL;
    if (k && !ask(d, name)) {
        map_remove(&d->names, dynamic_key_text(key));
        known_free(k);
        k = NULL;
    }
    dynamic_name_unref(&name);
    return k;
}

static uint16_t port_of(const struct worker_dynamic *d)
{
    return d->cluster->config->made.tls ? 443 : 80;
}

enum dynamic_state worker_dynamic_find(struct worker_dynamic *d, struct slice authority,
                                       struct dynamic_wait *wait, const char **error)
{
    struct dynamic_key key;
    if (!dynamic_key_parse(authority, port_of(d), &key)) {
        stat_inc(d->cluster->dynamic.stats.dns_query_attempt);
        stat_inc(d->cluster->dynamic.stats.dns_query_failure);
        *error = "cares_failure:Misformatted domain name";
        return DYNAMIC_FAILED;
    }
    struct known *k = map_get(&d->names, dynamic_key_text(&key));
    if (k)
        dynamic_name_use(k->name, d->worker->loop.now_ms);
    if (k && k->state != DYNAMIC_WAITING) {
        *error = k->error;
        return k->state;
    }
    list_init(&wait->node);
    wait->in = NULL;
    wait->counted = k != NULL;
    if (!dynamic_hosts_wait_begin(d->cluster))
        return DYNAMIC_WAITING;
    if (!k && !(k = begin(d, &key))) {
        dynamic_hosts_wait_end(d->cluster);
        *error = "out_of_memory";
        return DYNAMIC_FAILED;
    }
    k->asked = true;
    wait->in = d;
    list_push_back(&k->waits, &wait->node);
    return DYNAMIC_WAITING;
}

/* --- hearing --- */

void worker_dynamic_hear(struct worker_dynamic *d, const struct dynamic_news *news)
{
    struct known *k = map_get(&d->names, dynamic_key_text(&news->name->key));
    struct list waits;
    if (news->state == DYNAMIC_GONE || news->state == DYNAMIC_FULL) {
        /* A name that is asked for anew is not the one that has gone. */
        if (!k || (news->state == DYNAMIC_GONE && k->state == DYNAMIC_WAITING))
            return;
        if (k->host)
            d->forget(d->arg, k->host);
        drop(d, k, news->state, "");
        return;
    }
    if (!k && !(k = add(d, news->name)))
        return;
    answered(d, k, &waits);
    if (k->name != news->name) { /* each of several workers has begun one: the main thread looks at its own */
        dynamic_name_unref(&k->name);
        k->name = dynamic_name_ref(news->name);
    }
    k->state = news->state;
    snprintf(k->error, sizeof(k->error), "%s", news->error);
    if (news->host && k->host != news->host) {
        if (k->host)
            d->forget(d->arg, k->host);
        host_unref(&k->host);
        k->host = host_ref(news->host);
    }
    if (k->host)
        host_place_put(&k->host->moving[d->worker->index], &news->place);
    wake(d, &waits, k->state, k->error);
}

struct host *worker_dynamic_pick(struct worker_dynamic *d, const struct lb_request *rq)
{
    struct dynamic_key key;
    struct slice authority = rq && rq->headers ? header_map_get_id(rq->headers, HDR_AUTHORITY) : SLICE_EMPTY;
    if (!dynamic_key_parse(authority, port_of(d), &key))
        return NULL;
    struct known *k = map_get(&d->names, dynamic_key_text(&key));
    if (!k || !k->host || host_standing_of(host_health_flags(k->host)) == HOST_UNHEALTHY)
        return NULL;
    dynamic_name_use(k->name, d->worker->loop.now_ms);
    return k->host;
}
