/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mirror owns all it needs, because it may outlive the request: headers in an arena, the body by reference.
 * It ends with its answer, a failure or its time limit, and nobody hears of it but statistics.
 */
#include "proxy/mirror.h"

#include "base/clock.h"
#include "net/worker.h"
#include "proxy/limits.h"
#include "proxy/overload/overload.h"
#include "proxy/stream.h"
#include "upstream/upstream_stream.h"
#include "upstream/worker_cluster.h"

#include <stdlib.h>

struct mirror {
    struct list node; /* of the request's open mirrors */
    struct worker *worker;
    struct worker_cluster *cluster; /* owned reference */
    struct host_shard *shard;
    struct arena arena;
    struct header_map headers;
    struct header_map trailers; /* count 0: none */
    struct chain body;          /* not sent yet */
    uint64_t bytes_max;
    uint64_t timeout_ms;
    uint64_t ended_ns;
    struct upstream_stream stream;
    struct timer timer;
    struct turn_task destroy;
    bool ended : 1;    /* the request is whole */
    bool ready : 1;    /* a connection carries it, the head is sent */
    bool sent : 1;     /* so is the end */
    bool blocked : 1;  /* the upstream takes no more for now */
    bool answered : 1; /* the head of an answer has come */
    bool over : 1;
};

static struct mirror *mirror_of(struct upstream_stream *us)
{
    return WEIR_CONTAINER_OF(us, struct mirror, stream);
}

static struct cluster_stats *stats_of(const struct mirror *m)
{
    return &m->cluster->cluster->stats;
}

static void destroy(struct turn_task *task)
{
    struct mirror *m = WEIR_CONTAINER_OF(task, struct mirror, destroy);
    worker_cluster_unref(&m->cluster);
    chain_fini(&m->body);
    arena_fini(&m->arena);
    free(m);
}

static void over(struct mirror *m)
{
    if (m->over)
        return;
    m->over = true;
    list_remove(&m->node);
    timer_stop(&m->worker->loop, &m->timer);
    upstream_stream_reset(&m->stream);
    loop_defer_destroy(&m->worker->loop, &m->destroy);
}

/* It never had an answer: counted as the one that a client would have got. */
static void failed(struct mirror *m, unsigned status)
{
    if (!m->answered) {
        worker_cluster_count_status(m->cluster, status);
        host_count(&m->shard->rq_error, 1);
    }
    over(m);
}

/* --- sending --- */

/* What waits goes out, as far as the upstream takes it. */
static void push(struct mirror *m)
{
    const struct http_error *error = NULL;
    bool last = m->ended && m->trailers.count == 0;
    if (!m->ready || m->sent || m->blocked)
        return;
    if (!chain_empty(&m->body) || last) {
        error = upstream_stream_data(&m->stream, &m->body, last);
        m->sent = last;
        m->blocked = upstream_stream_blocked(&m->stream);
    }
    if (!error && m->ended && !m->sent && !m->blocked) {
        error = upstream_stream_trailers(&m->stream, &m->trailers);
        m->sent = true;
    }
    if (error)
        failed(m, 503);
}

static void send_head(struct mirror *m)
{
    m->ready = true;
    m->sent = m->ended && chain_empty(&m->body) && m->trailers.count == 0;
    if (upstream_stream_headers(&m->stream, &m->headers, m->sent))
        failed(m, 503);
    else
        push(m);
}

static void on_timeout(struct timer *timer)
{
    struct mirror *m = WEIR_CONTAINER_OF(timer, struct mirror, timer);
    stat_inc(stats_of(m)->upstream_rq_timeout);
    host_count(&m->shard->rq_timeout, 1);
    failed(m, 504);
}

/* The request is whole: nobody but the timer and the upstream has a hold of it any more. */
static void ended(struct mirror *m)
{
    m->ended = true;
    m->ended_ns = monotonic_ns();
    list_remove(&m->node);
    if (m->timeout_ms)
        timer_set(&m->worker->loop, &m->timer, m->timeout_ms);
}

/* --- what comes back --- */

static void on_ready(struct upstream_stream *us)
{
    send_head(mirror_of(us));
}

static void on_failed(struct upstream_stream *us, enum upstream_reset why, const char *transport)
{
    (void)why;
    (void)transport;
    failed(mirror_of(us), 503);
}

static void on_informational(struct upstream_stream *us, struct header_map *headers)
{
    (void)us;
    (void)headers;
}

/* The answer is whole; the connection is free when the request is, too. */
static void answered(struct mirror *m)
{
    if (!m->sent)
        over(m);
    else
        stat_record(stats_of(m)->upstream_rq_time, (monotonic_ns() - m->ended_ns) / 1000000);
}

static void on_headers(struct upstream_stream *us, struct header_map *headers, bool end_of_stream)
{
    struct mirror *m = mirror_of(us);
    uint64_t status = 0;
    (void)slice_parse_u64(header_map_get_id(headers, HDR_STATUS), &status); /* the codec checked it */
    m->answered = true;
    worker_cluster_count_status(m->cluster, (unsigned)status);
    host_count(status >= 500 ? &m->shard->rq_error : &m->shard->rq_success, 1);
    if (end_of_stream)
        answered(m);
}

static void on_data(struct upstream_stream *us, struct chain *data, bool end_of_stream)
{
    chain_clear(data);
    if (end_of_stream)
        answered(mirror_of(us));
}

static void on_trailers(struct upstream_stream *us, struct header_map *trailers)
{
    (void)trailers;
    answered(mirror_of(us));
}

static void on_reset(struct upstream_stream *us, enum upstream_reset why)
{
    failed(mirror_of(us), why == UPSTREAM_PROTOCOL_ERROR ? 502 : 503);
}

static void on_complete(struct upstream_stream *us)
{
    over(mirror_of(us));
}

static void on_backpressure(struct upstream_stream *us, bool on)
{
    struct mirror *m = mirror_of(us);
    m->blocked = on;
    if (!on && !m->over)
        push(m);
}

static const struct upstream_stream_events mirror_events = {
    .ready = on_ready,
    .failed = on_failed,
    .informational = on_informational,
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .complete = on_complete,
    .backpressure = on_backpressure,
};

/* --- the beginning --- */

static struct worker_cluster *find_cluster(struct worker *w, const struct mirror_policy *p,
                                           const struct header_map *headers)
{
    if (p->cluster.len > 0)
        return worker_cluster_find(w, p->cluster, p->cluster_hash);
    const struct header *h = header_map_find(headers, p->cluster_header);
    return h && h->value.len > 0 ? worker_cluster_find(w, h->value, slice_hash(h->value)) : NULL;
}

/* "a:80" becomes "a-shadow:80". */
static void set_host(struct mirror *m, const struct mirror_policy *p)
{
    struct slice host = header_map_get_id(&m->headers, HDR_AUTHORITY);
    size_t end = host.len;
    if (p->host.len > 0) {
        header_map_set_id(&m->headers, HDR_AUTHORITY, p->host);
        return;
    }
    if (p->plain_host || !host.ptr)
        return;
    while (end > 0 && host.ptr[end - 1] >= '0' && host.ptr[end - 1] <= '9')
        end--;
    end = end > 0 && host.ptr[end - 1] == ':' ? end - 1 : host.len;
    char *text =
        arena_printf(&m->arena, "%.*s-shadow%.*s", (int)end, host.ptr, (int)(host.len - end), host.ptr + end);
    if (text)
        header_map_set_id(&m->headers, HDR_AUTHORITY, slice_str(text));
}

/* Operators read the copy, which has its own host only behind that (Envoy). */
static void change_headers(struct mirror *m, const struct mirror_policy *p, struct stream *s)
{
    struct header_map *own = s->request_headers;
    s->request_headers = &m->headers;
    header_steps_apply(&p->headers, &m->headers, s);
    s->request_headers = own;
}

static struct mirror *create(struct stream *s, struct worker_cluster *wc, const struct header_map *headers)
{
    struct mirror *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->worker = s->worker;
    m->cluster = worker_cluster_ref(wc);
    list_init(&m->node);
    list_init(&m->stream.node);
    arena_init(&m->arena, s->arena.cap_bytes, &s->worker->loop.arenas);
    header_map_init(&m->headers, &m->arena, headers->count_max + MIRROR_HEADERS_EXTRA,
                    headers->bytes_max + MIRROR_HEADERS_BYTES_EXTRA);
    header_map_init(&m->trailers, &m->arena, headers->count_max, headers->bytes_max);
    chain_init(&m->body);
    timer_init(&m->timer, on_timeout);
    turn_task_init(&m->destroy, destroy);
    m->stream.events = &mirror_events;
    m->stream.arena = &m->arena;
    return m;
}

static void begin(struct mirror *m)
{
    struct host *host = worker_cluster_pick_alone(m->cluster, &m->headers);
    if (!host) {
        stat_inc(stats_of(m)->upstream_cx_none_healthy);
        worker_cluster_count_status(m->cluster, 503);
        over(m);
        return;
    }
    m->shard = &host->shards[m->worker->index];
    struct pool *pool =
        pool_get(&worker_cluster_of_pick(m->cluster)->pools, host, BREAKER_DEFAULT, &m->headers);
    switch (pool ? overload_open_stream(pool, &m->stream, m->worker) : POOL_FAILED) {
    case POOL_READY:
        send_head(m);
        break;
    case POOL_PENDING:
        break;
    case POOL_OVERFLOW:
    case POOL_FAILED:
        worker_cluster_count_status(m->cluster, 503);
        over(m);
        break;
    }
}

void mirror_policies_fini(const struct mirror_policies *policies)
{
    for (uint32_t i = 0; i < policies->count; i++)
        header_steps_fini(&policies->items[i].headers);
}

void mirror_start(struct stream *s, const struct mirror_policies *policies, const struct header_map *headers,
                  uint64_t timeout_ms, uint64_t bytes_max, bool end_of_stream, struct list *open)
{
    for (uint32_t i = 0; i < policies->count; i++) {
        const struct mirror_policy *p = &policies->items[i];
        if (p->numerator < p->denominator && worker_random(s->worker, p->denominator) >= p->numerator)
            continue;
        struct worker_cluster *wc = find_cluster(s->worker, p, headers);
        struct mirror *m = wc ? create(s, wc, headers) : NULL;
        if (!m)
            continue;
        m->timeout_ms = timeout_ms;
        m->bytes_max = bytes_max;
        list_push_back(open, &m->node);
        if (end_of_stream)
            ended(m);
        if (header_map_copy(&m->headers, headers) != HEADER_OK) {
            over(m);
            continue;
        }
        change_headers(m, p, s);
        set_host(m, p);
        header_map_set_id(&m->headers, HDR_X_ENVOY_INTERNAL, SLICE_LIT("true"));
        begin(m);
    }
}

uint32_t mirror_data(struct list *open, const struct chain *data, bool end_of_stream)
{
    struct list *node, *next;
    uint32_t given_up = 0;
    list_for_each(node, next, open)
    {
        struct mirror *m = list_entry(node, struct mirror, node);
        if (data->bytes > m->bytes_max || m->body.bytes > m->bytes_max - data->bytes ||
            !chain_append_kept(&m->body, data, &m->worker->loop.blocks, FILTER_BUFFER_COPY_MAX)) {
            given_up++;
            over(m);
            continue;
        }
        if (end_of_stream)
            ended(m);
        push(m);
    }
    return given_up;
}

void mirror_trailers(struct list *open, const struct header_map *trailers)
{
    struct list *node, *next;
    list_for_each(node, next, open)
    {
        struct mirror *m = list_entry(node, struct mirror, node);
        ended(m);
        if (header_map_copy(&m->trailers, trailers) != HEADER_OK)
            over(m);
        else
            push(m);
    }
}

void mirror_cancel(struct list *open)
{
    struct list *node, *next;
    list_for_each(node, next, open)
    {
        over(list_entry(node, struct mirror, node));
    }
}
