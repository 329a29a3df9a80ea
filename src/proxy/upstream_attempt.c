/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One try of a request at one host: waiting for the connection, sending, handing the answer to the filter
 * chain. An attempt of which nothing is expected any more may still have a stream whose rest is read and
 * dropped, so that its connection can be used again.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "net/proxy_header.h"
#include "net/tls_info.h"
#include "net/worker.h"
#include "proxy/connection_facts.h"
#include "proxy/downstream.h"
#include "proxy/hcm_config.h"
#include "proxy/local_reply.h"
#include "proxy/overload/overload.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"
#include "proxy/upstream_filters.h"
#include "upstream/upstream_proxy.h"

#include <errno.h>

static struct loop *loop_of(const struct upstream_attempt *a)
{
    return &upstream_request_stream(a->request)->worker->loop;
}

static struct upstream_attempt *attempt_of(struct upstream_stream *us)
{
    return WEIR_CONTAINER_OF(us, struct upstream_attempt, stream);
}

/* Whether its events still mean something. */
static bool in_flight(const struct upstream_attempt *a)
{
    return !list_empty(&a->node);
}

static void stop(struct upstream_attempt *a, struct timer *t)
{
    if (WEIR_UNLIKELY(timer_active(t)))
        timer_stop(loop_of(a), t);
}

void upstream_attempt_end(struct upstream_attempt *a, bool reset)
{
    struct upstream_request *r = a->request;
    list_remove(&a->node);
    if (r->current == a)
        r->current = NULL;
    stop(a, &a->try_timer);
    stop(a, &a->idle_timer);
    stop(a, &a->duration_timer);
    chain_clear(&a->body);
    a->ready = false;
    if (WEIR_UNLIKELY(a->filters != NULL))
        upstream_filters_end(a);
    if (reset)
        upstream_stream_reset(&a->stream);
}

void upstream_attempt_send_failed(struct upstream_attempt *a)
{
    upstream_stream_reset(&a->stream);
    upstream_attempt_failed(a, UPSTREAM_LOCAL_RESET, "");
}

void upstream_attempt_arm(struct upstream_attempt *a)
{
    const struct upstream_request *r = a->request;
    if (r->per_try_ms && !r->response_started)
        timer_set(loop_of(a), &a->try_timer, r->per_try_ms);
    if (r->per_try_idle_ms)
        timer_set(loop_of(a), &a->idle_timer, r->per_try_idle_ms);
}

/* Something of the answer has come. */
static void active(struct upstream_attempt *a)
{
    if (WEIR_UNLIKELY(timer_active(&a->idle_timer)))
        timer_set(loop_of(a), &a->idle_timer, a->request->per_try_idle_ms);
}

/* What attributes and access logs show: the attempt that was begun last, or the one that answers. */
static void note_connection(struct upstream_attempt *a)
{
    struct stream *s = upstream_request_stream(a->request);
    struct stream_info *info = &s->info;
    const struct address *local = upstream_stream_local(&a->stream);
    if (local)
        info->upstream_local = *local;
    if (WEIR_UNLIKELY(host_moves(a->host)))
        stream_info_note_peer(info, &s->arena, upstream_stream_remote(&a->stream));
    info->upstream_connection_id = upstream_stream_connection_id(&a->stream);
    struct tls_info *tls = upstream_stream_tls(&a->stream);
    if (WEIR_UNLIKELY(info->upstream_tls != NULL))
        tls_info_unref(&info->upstream_tls);
    if (WEIR_UNLIKELY(tls != NULL))
        info->upstream_tls = tls_info_ref(tls);
}

static void note_host(struct upstream_attempt *a)
{
    struct stream_info *info = &upstream_request_stream(a->request)->info;
    info->upstream_remote = *host_address(a->host, upstream_request_stream(a->request)->worker->index);
    info->upstream_local.len = 0; /* of the attempt before */
    info->upstream_peer = NULL;
    if (WEIR_UNLIKELY(info->upstream_host != NULL))
        host_unref(&info->upstream_host);
    if (a->host->shown)
        info->upstream_host = host_ref(a->host);
}

/* The PROXY header that the route wants before the payload of a CONNECT that ends here. */
static bool tell_origin(struct upstream_attempt *a)
{
    const struct stream *s = upstream_request_stream(a->request);
    const struct conn *down = s->downstream->conn;
    char text[PROXY_HEADER_V1_BYTES_MAX];
    enum proxy_version version = a->request->route->action.connect->proxy_version;
    if (version == PROXY_VERSION_NONE || !down)
        return true;
    size_t len = version == PROXY_VERSION_1 ? proxy_header_v1(&down->remote, &down->local, text)
                                            : proxy_header_v2(&down->remote, &down->local, SLICE_EMPTY, text);
    return chain_prepend_copy(&a->body, &s->worker->loop.blocks, slice_of(text, len));
}

static void begin_limits(struct upstream_attempt *a)
{
    const struct upstream_request *r = a->request;
    if (r->duration_ms != 0)
        timer_set(loop_of(a), &a->duration_timer, r->duration_ms);
    if (r->request_done)
        upstream_attempt_arm(a);
}

/* The scheme is that of the connection (scheme_header_transformation.match_upstream). */
static void match_scheme(struct upstream_attempt *a)
{
    header_map_set_id(a->request->headers, HDR_SCHEME,
                      upstream_stream_tls(&a->stream) ? SLICE_LIT("https") : SLICE_LIT("http"));
}

static void connected(struct upstream_attempt *a)
{
    struct upstream_request *r = a->request;
    WEIR_ASSERT(upstream_stream_local(&a->stream) && !a->ready && !r->finished);
    a->ready = true;
    note_connection(a);
    outlier_event(a->host, upstream_request_stream(r)->worker->index, OUTLIER_CONNECTED);
    upstream_request_stream(r)->info.upstream_request_start_ns = monotonic_ns();
    if (WEIR_UNLIKELY(upstream_request_stream(r)->hcm->scheme_as_upstream))
        match_scheme(a);
    REQUEST_SCOPES_INC(&r->scopes, upstream_rq_total);
}

/* A connection is there: everything that waits goes out. */
static void send_waiting(struct upstream_attempt *a)
{
    struct upstream_request *r = a->request;
    if (WEIR_UNLIKELY(a->kind == POOL_RAW) && !tell_origin(a)) {
        upstream_attempt_send_failed(a);
        return;
    }
    bool more = !chain_empty(&a->body) || r->trailers || !r->request_done;
    connected(a);
    const struct http_error *error = upstream_stream_headers(&a->stream, r->headers, !more);
    if (error) {
        upstream_attempt_head_refused(a);
        return;
    }
    if (!chain_empty(&a->body))
        error = upstream_stream_data(&a->stream, &a->body, r->request_done && !r->trailers);
    if (!error && r->trailers)
        error = upstream_stream_trailers(&a->stream, r->trailers);
    if (error) {
        upstream_attempt_send_failed(a);
        return;
    }
    if (WEIR_UNLIKELY(r->per_try_ms | r->per_try_idle_ms | r->duration_ms))
        begin_limits(a);
    upstream_request_push_back(r, upstream_stream_blocked(&a->stream) && !r->request_done);
}

/* The same through filters, which may have let nothing pass yet. */
static void connected_filters(struct upstream_attempt *a)
{
    connected(a);
    begin_limits(a);
    upstream_filters_ready(a);
}

static void on_ready(struct upstream_stream *us)
{
    struct upstream_attempt *a = attempt_of(us);
    if (WEIR_UNLIKELY(a->filters != NULL))
        connected_filters(a);
    else
        send_waiting(a);
}

static void on_failed(struct upstream_stream *us, enum upstream_reset why, const char *transport)
{
    upstream_attempt_failed(attempt_of(us), why, transport);
}

static void on_reset(struct upstream_stream *us, enum upstream_reset why)
{
    struct upstream_attempt *a = attempt_of(us);
    if (in_flight(a))
        upstream_attempt_failed(a, why, "");
}

static void count_time(const struct upstream_request *r, uint64_t ms)
{
    stat_record(upstream_request_stats(r)->upstream_rq_time, ms);
    if (WEIR_UNLIKELY(request_scopes_any(&r->scopes)))
        request_scopes_time(&r->scopes, ms);
}

/* The answer is whole. If the request is not, the connection cannot be kept: what is missing would have to be
 * sent first (Envoy resets it too). */
static void response_done(struct upstream_request *r)
{
    struct stream *s = upstream_request_stream(r);
    uint64_t now = monotonic_ns();
    s->info.upstream_response_end_ns = now;
    if (r->request_done)
        count_time(r, (now - r->request_done_ns) / 1000000);
    else
        upstream_stream_reset(&r->winner->stream);
    upstream_request_finish(r);
}

static unsigned status_of(const struct header_map *headers)
{
    uint64_t status = 0;
    bool valid = slice_parse_u64(header_map_get_id(headers, HDR_STATUS), &status);
    WEIR_ASSERT(valid && status >= 100 && status <= 999); /* the codec checked it */
    return (unsigned)status;
}

/* All other tries are over. */
static void end_others(struct upstream_attempt *a)
{
    struct list *node, *next;
    if (WEIR_LIKELY(a->node.next == a->node.prev))
        return;
    list_for_each(node, next, &a->request->attempts)
    {
        if (node != &a->node)
            upstream_attempt_end(list_entry(node, struct upstream_attempt, node), true);
    }
    note_host(a);
    if (upstream_stream_active(&a->stream)) /* filters may have held the answer longer */
        note_connection(a);
}

/* Envoy passes 100 on when it is told to, and no other 1xx. After any of them nothing is sent again. */
static void on_informational(struct upstream_stream *us, struct header_map *headers)
{
    struct upstream_attempt *a = attempt_of(us);
    struct upstream_request *r = a->request;
    if (!in_flight(a))
        return;
    active(a);
    end_others(a);
    upstream_request_count(r, status_of(headers));
    if (r->retry && r->route->action.redirects.enabled)
        upstream_retry_end(r); /* the body may have to go elsewhere yet */
    else if (r->retry)
        upstream_retry_drop(r);
    if (status_of(headers) == 100 && upstream_request_stream(r)->hcm->proxy_100_continue)
        filter_encode_informational(r->filter, headers);
}

static void set_number(struct header_map *headers, enum header_id id, uint64_t value)
{
    char text[SLICE_U64_BYTES];
    header_map_set_id(headers, id, slice_from_u64(value, text));
}

/* What the router adds to an answer. */
static void decorate(struct upstream_request *r, struct header_map *headers, unsigned status, uint64_t now)
{
    struct stream *s = upstream_request_stream(r);
    s->info.response_code = (uint16_t)status; /* %RESPONSE_CODE% of the headers that follow */
    if (!r->suppress_envoy_headers && r->request_done)
        set_number(headers, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME, (now - r->request_done_ns) / 1000000);
    for (const struct hash_cookie *c = r->cookies; WEIR_UNLIKELY(c != NULL); c = c->next)
        header_map_add(headers, header_id_name(HDR_SET_COOKIE), c->value);
    route_finalize_response(r->route, r->weighted, headers, s);
    if (r->route->virtual_host->include_attempt_count_in_response)
        set_number(headers, HDR_X_ENVOY_ATTEMPT_COUNT, s->info.upstream_attempts);
}

/* An upstream that answers a WebSocket handshake with something else than 101, but with no error either:
 * Envoy passes on the status alone. */
static bool handshake_unsuccessful(struct upstream_attempt *a, unsigned status)
{
    struct upstream_request *r = a->request;
    struct stream *s = upstream_request_stream(r);
    if (!s->is_upgrade || status == 101 || status >= 400 ||
        !slice_eq_nocase(header_map_get_id(r->headers, HDR_UPGRADE), SLICE_LIT("websocket")))
        return false;
    upstream_request_finish(r);
    filter_local_reply(r->filter, &(struct local_reply){
                                      .status = (uint16_t)status,
                                      .details = SLICE_LIT("websocket_handshake_unsuccessful"),
                                      .grpc_status = -1,
                                  });
    return true;
}

/* What the answer says of the host. */
static void watch_answer(struct upstream_attempt *a, const struct header_map *headers, unsigned status)
{
    const struct stream *s = upstream_request_stream(a->request);
    const struct cluster_policy *policy = a->request->policy;
    bool grpc = s->is_grpc;
    if (WEIR_UNLIKELY(policy != NULL))
        status = cluster_policy_judge(policy, headers, status, &grpc);
    host_watch_answer(a->host, s->worker->index, status, headers, grpc, s->worker->loop.now_ms);
}

/* This answer is the one. */
static void win(struct upstream_attempt *a)
{
    a->request->winner = a;
    end_others(a);
}

void upstream_attempt_answer(struct upstream_attempt *a, struct header_map *headers, bool end_of_stream)
{
    struct upstream_request *r = a->request;
    struct stream *s = upstream_request_stream(r);
    unsigned status = status_of(headers);
    uint64_t now = monotonic_ns();
    watch_answer(a, headers, status);
    if (WEIR_UNLIKELY(r->retry != NULL) && upstream_retry_headers(a, headers, status, end_of_stream))
        return;
    if (WEIR_UNLIKELY(r->route->action.redirects.enabled) && internal_redirect(r, headers, status))
        return;
    if (WEIR_UNLIKELY(r->kept != NULL))
        upstream_retry_drop(r);
    s->info.upstream_response_start_ns = now;
    if (!s->local_reply_sent) /* one may be on its way, held by a filter */
        s->info.details = SLICE_LIT("via_upstream");
    upstream_request_count(r, status);
    host_count(status >= 500 ? &a->shard->rq_error : &a->shard->rq_success, 1);
    if (handshake_unsuccessful(a, status))
        return;
    win(a);
    stop(a, &a->try_timer);
    decorate(r, headers, status, now);
    r->response_started = true;
    if (end_of_stream)
        response_done(r);
    filter_encode_headers(r->filter, headers, end_of_stream);
}

static void on_headers(struct upstream_stream *us, struct header_map *headers, bool end_of_stream)
{
    struct upstream_attempt *a = attempt_of(us);
    if (!in_flight(a))
        return;
    active(a);
    if (WEIR_UNLIKELY(a->filters != NULL))
        upstream_filters_answer(a, headers, end_of_stream);
    else
        upstream_attempt_answer(a, headers, end_of_stream);
}

void upstream_attempt_answer_data(struct upstream_attempt *a, struct chain *data, bool end_of_stream)
{
    struct upstream_request *r = a->request;
    if (end_of_stream)
        response_done(r);
    filter_encode_data(r->filter, data, end_of_stream);
}

static void on_data(struct upstream_stream *us, struct chain *data, bool end_of_stream)
{
    struct upstream_attempt *a = attempt_of(us);
    if (!in_flight(a))
        return;
    active(a);
    if (WEIR_UNLIKELY(a->filters != NULL))
        upstream_filters_answer_data(a, data, end_of_stream);
    else
        upstream_attempt_answer_data(a, data, end_of_stream);
}

void upstream_attempt_answer_trailers(struct upstream_attempt *a, struct header_map *trailers)
{
    struct upstream_request *r = a->request;
    response_done(r);
    filter_encode_trailers(r->filter, trailers);
}

static void on_trailers(struct upstream_stream *us, struct header_map *trailers)
{
    struct upstream_attempt *a = attempt_of(us);
    if (!in_flight(a))
        return;
    if (WEIR_UNLIKELY(a->filters != NULL))
        upstream_filters_answer_trailers(a, trailers);
    else
        upstream_attempt_answer_trailers(a, trailers);
}

/* Filters may still hold the answer. */
static void on_complete(struct upstream_stream *us)
{
    WEIR_ASSERT(!in_flight(attempt_of(us)) || attempt_of(us)->filters);
}

static void on_backpressure(struct upstream_stream *us, bool on)
{
    struct upstream_attempt *a = attempt_of(us);
    if (!in_flight(a))
        return;
    if (WEIR_UNLIKELY(a->filters != NULL))
        upstream_filters_backpressure(a, on);
    else if (a == a->request->current)
        upstream_request_push_back(a->request, on);
}

static const struct upstream_stream_events attempt_events = {
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

static enum pool_result open_stream(struct upstream_attempt *a)
{
    const struct upstream_request *r = a->request;
    struct pool *pool =
        pool_get_wanted(&a->cluster->pools, a->host, upstream_request_priority(r), a->kind, &a->wants);
    return pool ? overload_open_stream(pool, &a->stream, upstream_request_stream(r)->worker) : POOL_FAILED;
}

/* What the PROXY header of its connection says; NULL: that it is ours. */
static const struct upstream_origin *origin_of(struct stream *s)
{
    const struct downstream *d = s->downstream;
    bool proxied = d->facts && d->facts->proxied;
    if (!d->conn || (!s->hcm->tells_origin && !proxied))
        return NULL;
    struct upstream_origin *o = ARENA_NEW(&s->arena, struct upstream_origin);
    if (o)
        *o = (struct upstream_origin){.from = d->conn->remote,
                                      .to = d->conn->local,
                                      .tlvs = proxied ? d->facts->proxy_tlvs : SLICE_EMPTY};
    return o;
}

static enum pool_kind kind_of(const struct upstream_request *r, const struct cluster_config *config)
{
    const struct route_connect *connect = r->route->action.connect;
    if (WEIR_UNLIKELY(connect != NULL)) {
        struct slice method = header_map_get_id(r->headers, HDR_METHOD);
        if (slice_eq(method, SLICE_LIT("CONNECT")) ||
            (connect->allow_post && slice_eq(method, SLICE_LIT("POST"))))
            return POOL_RAW;
    }
    return pool_kind_of(config, upstream_request_stream(r)->info.protocol == HTTP_2);
}

void upstream_attempt_begin(struct upstream_attempt *a, struct host *host)
{
    struct upstream_request *r = a->request;
    struct stream *s = upstream_request_stream(r);
    WEIR_ASSERT(!in_flight(a) && !upstream_stream_active(&a->stream));
    a->cluster = worker_cluster_of_pick(r->cluster);
    const struct cluster_config *config = a->cluster->cluster->config;
    a->kind = kind_of(r, config);
    a->wants = upstream_wants_of(r->cluster->cluster->config, r->headers);
    /* Envoy asks an aggregate only; a member's own wish for a name must not be lost in one. */
    if (WEIR_UNLIKELY(a->cluster != r->cluster) && upstream_wants_nothing(&a->wants))
        a->wants = upstream_wants_of(config, r->headers);
    if (WEIR_UNLIKELY(config->pool_per_downstream))
        a->wants.downstream = s->info.connection_id;
    if (WEIR_UNLIKELY(host->proxy != NULL))
        a->wants.origin = origin_of(s);
    timer_init(&a->try_timer, upstream_retry_try_timeout);
    timer_init(&a->idle_timer, upstream_retry_idle_timeout);
    timer_init(&a->duration_timer, upstream_retry_duration_timeout);
    a->stream.events = &attempt_events;
    a->host = host;
    a->shard = &host->shards[s->worker->index];
    list_push_back(&r->attempts, &a->node);
    r->current = a;
    note_host(a);
    if (WEIR_UNLIKELY(r->filters != NULL) && a->kind != POOL_RAW && !upstream_filters_create(a))
        return;
    switch (open_stream(a)) {
    case POOL_READY:
        if (WEIR_UNLIKELY(a->filters != NULL))
            connected_filters(a);
        else
            send_waiting(a);
        break;
    case POOL_PENDING:
        s->info.upstream_pool_wait_ns = monotonic_ns();
        break;
    case POOL_OVERFLOW:
        upstream_attempt_failed(a, UPSTREAM_OVERFLOW, "");
        break;
    case POOL_FAILED:
        if (errno == EDQUOT)
            upstream_attempt_no_pool(a);
        else
            upstream_attempt_no_connection(a, errno);
        break;
    }
    if (WEIR_UNLIKELY(a->filters != NULL))
        upstream_filters_request(a);
}
