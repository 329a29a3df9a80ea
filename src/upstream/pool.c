/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection pools. A stream that waits is served by the first connection that becomes free, whoever it was
 * opened for. Never calls a stream's owner from inside pool_open_stream.
 */
#include "upstream/pool.h"

#include "base/assert.h"
#include "net/tls_sessions.h"
#include "upstream/host_connect.h"
#include "upstream/upstream_conn.h"
#include "upstream/upstream_proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct breakers *breakers_of(const struct pool *p)
{
    return &p->context->breakers[p->priority];
}

static bool is_unused(const struct pool *p)
{
    struct list *node, *next;
    list_for_each(node, next, &p->idle)
    {
        if (list_entry(node, struct upstream_conn, node)->active > 0)
            return false;
    }
    return list_empty(&p->busy) && list_empty(&p->connecting) && p->pending_count == 0;
}

/* max_connection_pools: another pool of the host that nobody uses makes room (Envoy). */
static bool may_have_pool(struct pool_context *context, struct host_shard *shard,
                          enum breaker_priority priority)
{
    struct breaker *pools = &context->breakers[priority].pools;
    for (int kind = 0; kind < POOL_KIND_COUNT && !breaker_can(pools); kind++) {
        struct pool *p = shard->pools[priority][kind];
        if (p && is_unused(p))
            pool_drain(p);
    }
    for (struct pool *p = pool_index_first(shard->wanted_pools), *next; p && !breaker_can(pools); p = next) {
        next = pool_index_next(shard->wanted_pools, p);
        if (p->priority == priority && is_unused(p))
            pool_drain(p);
    }
    if (breaker_can(pools))
        return true;
    stat_inc(context->stats->upstream_cx_pool_overflow);
    return false;
}

static struct slice put_text(char **at, struct slice text)
{
    if (text.len == 0)
        return SLICE_EMPTY;
    memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return slice_of(*at - text.len, text.len);
}

static char *put_origin(char *at, const struct upstream_origin *origin, struct upstream_wants *wants)
{
    if (!origin)
        return at;
    struct upstream_origin *own = (struct upstream_origin *)at;
    *own = *origin;
    wants->origin = own;
    at += sizeof(*own);
    own->tlvs = put_text(&at, origin->tlvs);
    return at;
}

static struct pool *create(struct pool_context *context, struct host *host, enum breaker_priority priority,
                           enum pool_kind kind, const struct upstream_wants *wants)
{
    struct host_shard *shard = &host->shards[context->worker];
    if (!may_have_pool(context, shard, priority)) {
        errno = EDQUOT;
        return NULL;
    }
    const struct upstream_origin *origin = wants->origin;
    size_t origin_bytes = origin ? sizeof(*origin) + origin->tlvs.len : 0;
    struct pool *p = calloc(1, sizeof(*p) + origin_bytes + wants->sni.len + wants->san.len);
    if (!p)
        return NULL;
    char *text = put_origin((char *)(p + 1), origin, &p->wants);
    breaker_take(&context->breakers[priority].pools);
    p->wants.sni = put_text(&text, wants->sni);
    p->wants.san = put_text(&text, wants->san);
    p->wants.downstream = wants->downstream;
    p->context = context;
    p->host = host_ref(host);
    p->shard = shard;
    list_init(&p->idle);
    list_init(&p->busy);
    list_init(&p->connecting);
    list_init(&p->pending);
    list_push_back(&context->pools, &p->node);
    p->priority = priority;
    p->kind = kind;
    p->streams_per_conn = kind == POOL_HTTP2 ? context->config->http2.max_concurrent_streams : 1;
    return p;
}

struct pool *pool_get_kind(struct pool_context *context, struct host *host, enum breaker_priority priority,
                           enum pool_kind kind)
{
    static const struct upstream_wants nothing;
    struct host_shard *shard = &host->shards[context->worker];
    WEIR_ASSERT(context->worker < host->shards_count);
    if (WEIR_UNLIKELY(shard->pools[priority][kind] == NULL))
        shard->pools[priority][kind] = create(context, host, priority, kind, &nothing);
    return shard->pools[priority][kind];
}

struct pool *pool_get_wanted(struct pool_context *context, struct host *host, enum breaker_priority priority,
                             enum pool_kind kind, const struct upstream_wants *wants)
{
    if (WEIR_LIKELY(upstream_wants_nothing(wants)) || (!host->tls && !wants->downstream && !wants->origin))
        return pool_get_kind(context, host, priority, kind);
    struct host_shard *shard = &host->shards[context->worker];
    uint64_t hash = upstream_wants_hash(wants);
    struct pool *p = pool_index_find(shard->wanted_pools, hash, priority, kind, wants);
    if (p)
        return p;
    if (!shard->wanted_pools && !(shard->wanted_pools = pool_index_create())) {
        errno = ENOMEM;
        return NULL;
    }
    p = create(context, host, priority, kind, wants);
    if (p)
        pool_index_add(shard->wanted_pools, p, hash);
    return p;
}

static bool has_wants(const struct pool *p)
{
    return !upstream_wants_nothing(&p->wants);
}

/* No new stream finds it from now on. */
static void leave_host(struct pool *p)
{
    if (p->draining)
        return;
    p->draining = true;
    breaker_give(&breakers_of(p)->pools);
    if (p->shard->pools[p->priority][p->kind] == p)
        p->shard->pools[p->priority][p->kind] = NULL;
    if (has_wants(p))
        pool_index_remove(p->shard->wanted_pools, p);
}

/* A drained pool goes when its last connection does, and so does one for certain wants: there may be as many
 * of these as names that clients think of. */
static void pool_maybe_free(struct pool *p)
{
    if ((!p->draining && !has_wants(p)) || p->entered || p->conns > 0 || p->pending_count > 0)
        return;
    leave_host(p);
    struct pool_context *context = p->context;
    WEIR_ASSERT(list_empty(&p->idle) && list_empty(&p->busy) && list_empty(&p->connecting));
    WEIR_ASSERT(list_empty(&p->pending) && p->connecting_count == 0);
    list_remove(&p->node);
    tls_sessions_destroy(&p->tls_sessions);
    host_unref(&p->host);
    free(p);
    if (context->empty && list_empty(&context->pools))
        context->empty(context);
}

static void count_new_conn(struct pool *p)
{
    struct cluster_stats *stats = p->context->stats;
    stat_inc(stats->upstream_cx_total);
    stat_inc(stats->upstream_cx_active);
    host_count(&p->shard->cx_total, 1);
    host_count(&p->shard->cx_active, 1);
    breaker_take(&breakers_of(p)->connections);
    p->conns++;
}

/* per_host_thresholds: connections of all workers. */
static bool host_is_full(const struct pool *p)
{
    uint32_t max = p->context->config->breakers[p->priority].host_connections_max;
    if (WEIR_LIKELY(max == UINT32_MAX))
        return false;
    uint64_t active = 0;
    for (uint32_t i = 0; i < p->host->shards_count; i++)
        active += atomic_load_explicit(&p->host->shards[i].cx_active, memory_order_relaxed);
    return active >= max;
}

/* An idle connection that was made for others, whose pool was used the longest ago, goes. Its place is free
 * from the turn's end on; the new connection may take it now. */
static bool make_room(struct pool *p)
{
    struct upstream_conn *oldest = NULL; /* the last in the list */
    const struct pool_index *wanted = p->shard->wanted_pools;
    for (struct pool *other = pool_index_first(wanted); other; other = pool_index_next(wanted, other)) {
        if (other == p || other->priority != p->priority || other->entered || list_empty(&other->idle))
            continue;
        struct upstream_conn *uc = list_entry(other->idle.prev, struct upstream_conn, node);
        if (uc->active == 0 && !uc->closing)
            oldest = uc;
    }
    if (oldest)
        upstream_conn_close(oldest);
    return oldest;
}

/* Whether a pool may pass the limit. One without any connection may have one, or its streams would wait for
 * ever. But clients may think of any number of names: a pool for one of them must find room, unless the host
 * has no connection at all. */
static bool may_exceed(struct pool *p)
{
    if (p->conns > 0)
        return false;
    return !has_wants(p) || atomic_load_explicit(&p->shard->cx_active, memory_order_relaxed) == 0 ||
           make_room(p);
}

/* One more connection, if the breakers let it. 0, or a negative errno when none could be started: -EDQUOT
 * when the breakers leave a pool without any. */
static int pool_connect(struct pool *p)
{
    if (!breaker_can(&breakers_of(p)->connections) || host_is_full(p)) {
        stat_inc(p->context->stats->upstream_cx_overflow);
        if (!may_exceed(p))
            return p->conns > 0 ? 0 : -EDQUOT;
    }
    struct upstream_conn *uc = upstream_conn_create(p);
    if (!uc)
        return errno ? -errno : -ENOMEM;
    list_push_back(&p->connecting, &uc->node);
    p->connecting_count++;
    count_new_conn(p);
    return 0;
}

static void pending_add(struct pool *p, struct upstream_stream *s)
{
    struct cluster_stats *stats = p->context->stats;
    s->pool = p;
    s->conn = NULL;
    s->codec = NULL;
    list_push_back(&p->pending, &s->node);
    p->pending_count++;
    breaker_take(&breakers_of(p)->pending);
    stat_inc(stats->upstream_rq_pending_total);
    stat_inc(stats->upstream_rq_pending_active);
    host_count(&p->shard->rq_pending_active, 1);
}

static void pending_remove(struct pool *p, struct upstream_stream *s)
{
    WEIR_ASSERT(s->pool == p && !s->conn && p->pending_count > 0);
    list_remove(&s->node);
    s->pool = NULL;
    p->pending_count--;
    breaker_give(&breakers_of(p)->pending);
    stat_dec(p->context->stats->upstream_rq_pending_active);
    host_count(&p->shard->rq_pending_active, (uint64_t)0 - 1);
}

static void count_stream(struct pool *p)
{
    struct cluster_stats *stats = p->context->stats;
    breaker_take(&breakers_of(p)->requests);
    stat_inc(stats->upstream_rq_total);
    stat_inc(stats->upstream_rq_active);
    host_count(&p->shard->rq_total, 1);
    host_count(&p->shard->rq_active, 1);
    if (p->context->count_active)
        atomic_fetch_add_explicit(&p->host->active, 1, memory_order_relaxed);
}

void pool_stream_done(struct pool *p)
{
    breaker_give(&breakers_of(p)->requests);
    stat_dec(p->context->stats->upstream_rq_active);
    host_count(&p->shard->rq_active, (uint64_t)0 - 1);
    if (p->context->count_active)
        atomic_fetch_sub_explicit(&p->host->active, 1, memory_order_relaxed);
}

/* Streams wait that no connection under way will take. */
static bool needs_conn(const struct pool *p)
{
    return (uint64_t)p->connecting_count * p->streams_per_conn < p->pending_count;
}

bool pool_would_connect(const struct pool *p)
{
    return list_empty(&p->idle) && (uint64_t)p->connecting_count * p->streams_per_conn <= p->pending_count;
}

/* How many connections one event may open ahead of demand (Envoy). */
#define PRECONNECTS_AT_ONCE 3

/* Whether there shall be more room than there is: for every stream that waits or runs, `ratio` of one
 * (Envoy). A host that is not healthy is not made to do extra work. */
static bool wants_more(const struct pool *p)
{
    size_t active = 0, room = (size_t)p->connecting_count * p->streams_per_conn;
    const struct list *lists[] = {&p->idle, &p->busy};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        for (const struct list *node = lists[i]->next; node != lists[i]; node = node->next) {
            const struct upstream_conn *uc = list_entry(node, struct upstream_conn, node);
            active += uc->active;
            room += uc->closing || (p->kind == POOL_HTTP1 && uc->active) ? 0 : upstream_conn_room(uc);
        }
    }
    return host_standing_of(host_health_flags(p->host)) == HOST_HEALTHY &&
           (double)(p->pending_count + active) * p->context->config->preconnect_ratio >
               (double)(room + active);
}

static void preconnect(struct pool *p)
{
    for (int i = 0; i < PRECONNECTS_AT_ONCE && !p->draining && wants_more(p); i++) {
        uint32_t before = p->conns;
        if (pool_connect(p) < 0 || p->conns == before)
            break; /* as many as the breakers let, or the system */
    }
}

static inline void maybe_preconnect(struct pool *p)
{
    if (WEIR_UNLIKELY(p->context->config->preconnect_ratio > 1))
        preconnect(p);
}

static void list_usable(struct pool *p, struct upstream_conn *uc)
{
    list_remove(&uc->node);
    list_push_front(&p->idle, &uc->node);
    uc->usable = true;
}

static void list_busy(struct pool *p, struct upstream_conn *uc)
{
    list_remove(&uc->node);
    list_push_front(&p->busy, &uc->node);
    uc->usable = false;
}

/* Puts the stream on an idle connection. false: there is none that can take it. */
static bool attach_idle(struct pool *p, struct upstream_stream *s)
{
    while (!list_empty(&p->idle)) {
        struct upstream_conn *uc = list_first(&p->idle, struct upstream_conn, node);
        bool attached = upstream_conn_attach(uc, s);
        if (!uc->codec->multiplexed || upstream_conn_room(uc) == 0)
            list_busy(p, uc);
        if (attached) {
            count_stream(p);
            return true;
        }
        if (uc->active == 0)
            upstream_conn_close(uc);
        else if (uc->usable)
            list_busy(p, uc);
    }
    return false;
}

static enum pool_result open_stream(struct pool *p, struct upstream_stream *s)
{
    struct cluster_stats *stats = p->context->stats;
    WEIR_ASSERT(!s->pool && !p->draining);
    if (!list_empty(&p->idle)) {
        if (!breaker_can(&breakers_of(p)->requests)) {
            stat_inc(stats->upstream_rq_active_overflow);
            return POOL_OVERFLOW;
        }
        if (attach_idle(p, s)) {
            maybe_preconnect(p);
            return POOL_READY;
        }
    }
    if (!breaker_can(&breakers_of(p)->pending)) {
        stat_inc(stats->upstream_rq_pending_overflow);
        return POOL_OVERFLOW;
    }
    pending_add(p, s);
    if (needs_conn(p)) {
        int rc = pool_connect(p);
        if (rc == -EDQUOT) {
            pending_remove(p, s);
            stat_inc(stats->upstream_rq_pending_overflow);
            return POOL_OVERFLOW;
        }
        if (rc < 0 && p->conns == 0) {
            pending_remove(p, s);
            stat_inc(stats->upstream_cx_connect_fail);
            host_count(&p->shard->cx_connect_fail, 1);
            errno = -rc;
            return POOL_FAILED;
        }
    }
    maybe_preconnect(p);
    return POOL_PENDING;
}

void pool_left(struct pool *p)
{
    pool_maybe_free(p); /* one that was made for this request alone */
}

enum pool_result pool_open_stream(struct pool *p, struct upstream_stream *s)
{
    enum pool_result result = open_stream(p, s);
    if (result == POOL_OVERFLOW || result == POOL_FAILED) {
        int error = errno;
        pool_left(p);
        errno = error;
    }
    return result;
}

/* The oldest waiting streams go to idle connections. */
static void serve_pending(struct pool *p)
{
    struct cluster_stats *stats = p->context->stats;
    while (!list_empty(&p->pending) && !list_empty(&p->idle)) {
        struct upstream_stream *s = list_first(&p->pending, struct upstream_stream, node);
        if (!breaker_can(&breakers_of(p)->requests)) {
            stat_inc(stats->upstream_rq_active_overflow);
            pending_remove(p, s);
            s->events->failed(s, UPSTREAM_OVERFLOW, "");
            continue;
        }
        pending_remove(p, s);
        if (attach_idle(p, s)) {
            s->events->ready(s);
            continue;
        }
        /* The idle connections turned out to be of no use: wait on, at the front. */
        pending_add(p, s);
        list_remove(&s->node);
        list_push_front(&p->pending, &s->node);
        break;
    }
    if (needs_conn(p))
        (void)pool_connect(p);
}

void pool_conn_connected(struct pool *p, struct upstream_conn *uc)
{
    WEIR_ASSERT(p->connecting_count > 0 && !p->entered);
    p->entered = true;
    p->connecting_count--;
    if (p->kind == POOL_AUTO)
        p->streams_per_conn = uc->codec->multiplexed ? (uint32_t)upstream_conn_room(uc) : 1;
    list_usable(p, uc);
    serve_pending(p);
    if (p->draining && uc->active == 0)
        upstream_conn_close(uc);
    p->entered = false;
    pool_maybe_free(p);
}

void pool_conn_available(struct pool *p, struct upstream_conn *uc)
{
    WEIR_ASSERT(uc->pool == p && uc->active == 0 && !uc->closing);
    if (p->draining && p->pending_count == 0) {
        list_busy(p, uc);
        upstream_conn_close(uc);
        return;
    }
    p->entered = true;
    list_usable(p, uc);
    if (p->pending_count > 0)
        serve_pending(p);
    p->entered = false;
    pool_maybe_free(p);
}

void pool_conn_changed(struct pool *p, struct upstream_conn *uc)
{
    WEIR_ASSERT(uc->pool == p && uc->connected && !uc->closing);
    size_t free_streams = upstream_conn_room(uc);
    bool room = free_streams > 0;
    if (room) /* what one says of itself is likely true of the next */
        p->streams_per_conn = (uint32_t)free_streams + uc->active;
    if (p->draining && p->pending_count == 0 && uc->active == 0) {
        upstream_conn_close(uc);
        return;
    }
    if (uc->usable && !room)
        list_busy(p, uc);
    else if (!uc->usable && room)
        list_usable(p, uc);
    if (p->pending_count == 0)
        return;
    p->entered = true;
    serve_pending(p);
    p->entered = false;
    pool_maybe_free(p);
}

/* As many waiting streams as nothing is on its way for any more. */
static void fail_pending(struct pool *p, enum upstream_reset why, const char *transport)
{
    while (needs_conn(p)) {
        struct upstream_stream *s = list_first(&p->pending, struct upstream_stream, node);
        pending_remove(p, s);
        stat_inc(p->context->stats->upstream_rq_pending_failure_eject);
        s->events->failed(s, why, transport);
    }
}

static void connect_failed(struct pool *p, const struct upstream_conn *uc, const struct conn *conn,
                           enum conn_close why)
{
    struct cluster_stats *stats = p->context->stats;
    char text[HOST_CONNECT_FAILURE_MAX];
    enum upstream_reset reason = UPSTREAM_REMOTE_CONNECTION_FAILURE;
    stat_inc(stats->upstream_cx_connect_fail);
    host_count(&p->shard->cx_connect_fail, 1);
    if (why == CONN_CLOSE_CONNECT_TIMEOUT) {
        stat_inc(stats->upstream_cx_connect_timeout);
        reason = UPSTREAM_CONNECTION_TIMEOUT;
    } else if (conn_closed_by_us(why)) {
        reason = UPSTREAM_LOCAL_CONNECTION_FAILURE;
    }
    /* In the handshake the library knows better than the socket. */
    fail_pending(p, reason,
                 uc->tls && uc->tls->failure.len ? uc->tls->failure.ptr
                                                 : host_connect_failure(conn, why, p->context->config, text));
}

static void count_gone(struct pool *p, const struct upstream_conn *uc, enum conn_close why)
{
    struct cluster_stats *stats = p->context->stats;
    bool local = conn_closed_by_us(why);
    stat_dec(stats->upstream_cx_active);
    stat_inc(stats->upstream_cx_destroy);
    stat_inc(local ? stats->upstream_cx_destroy_local : stats->upstream_cx_destroy_remote);
    if (uc->closed_busy) {
        stat_inc(stats->upstream_cx_destroy_with_active_rq);
        stat_inc(local ? stats->upstream_cx_destroy_local_with_active_rq
                       : stats->upstream_cx_destroy_remote_with_active_rq);
    }
    host_count(&p->shard->cx_active, (uint64_t)0 - 1);
    breaker_give(&breakers_of(p)->connections);
}

void pool_conn_gone(struct pool *p, struct upstream_conn *uc, const struct conn *conn, enum conn_close why)
{
    WEIR_ASSERT(p->conns > 0 && uc->active == 0);
    list_remove(&uc->node);
    p->conns--;
    count_gone(p, uc, why);
    p->entered = true;
    if (!uc->connected) {
        WEIR_ASSERT(p->connecting_count > 0);
        p->connecting_count--;
        connect_failed(p, uc, conn, why);
    }
    int rc = needs_conn(p) ? pool_connect(p) : 0;
    if (rc < 0)
        fail_pending(p, rc == -EDQUOT ? UPSTREAM_OVERFLOW : UPSTREAM_LOCAL_CONNECTION_FAILURE, "");
    p->entered = false;
    pool_maybe_free(p);
}

void upstream_stream_reset(struct upstream_stream *s)
{
    struct pool *p = s->pool;
    if (!p)
        return;
    if (s->conn) {
        upstream_conn_reset_stream(s);
        return;
    }
    stat_inc(p->context->stats->upstream_rq_cancelled);
    pending_remove(p, s);
}

static void close_list(struct list *conns)
{
    struct list *node, *next;
    list_for_each(node, next, conns)
    {
        upstream_conn_close(list_entry(node, struct upstream_conn, node));
    }
}

void pool_drain(struct pool *p)
{
    struct list *node, *next;
    leave_host(p);
    list_for_each(node, next, &p->idle)
    {
        struct upstream_conn *uc = list_entry(node, struct upstream_conn, node);
        if (uc->active == 0)
            upstream_conn_close(uc);
        else /* it may have to serve what waits already */
            uc->retiring = p->pending_count == 0;
    }
    list_for_each(node, next, &p->busy)
    {
        list_entry(node, struct upstream_conn, node)->retiring = true;
    }
    if (p->pending_count == 0)
        close_list(&p->connecting);
    pool_maybe_free(p);
}

void pool_close_all(struct pool *p)
{
    leave_host(p);
    p->entered = true;
    close_list(&p->idle);
    close_list(&p->busy);
    close_list(&p->connecting);
    while (!list_empty(&p->pending)) {
        struct upstream_stream *s = list_first(&p->pending, struct upstream_stream, node);
        pending_remove(p, s);
        s->events->failed(s, UPSTREAM_LOCAL_CONNECTION_FAILURE, "");
    }
    p->entered = false;
    pool_maybe_free(p);
}
