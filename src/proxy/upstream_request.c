/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at an upstream: waiting for the connection, sending, handing the answer to the filter chain,
 * and Envoy's answers to all that can go wrong. After the answer began, trouble can only reset the client's
 * stream.
 */
#include "proxy/upstream_request.h"

#include "base/assert.h"
#include "base/clock.h"
#include "net/loop.h"
#include "net/worker.h"
#include "proxy/hcm_config.h"
#include "proxy/limits.h"
#include "proxy/local_reply.h"
#include "proxy/route.h"
#include "proxy/stream.h"

#include <errno.h>
#include <stdio.h>

static struct stream *stream_of(const struct upstream_request *r)
{
    return r->filter->stream;
}

static struct cluster_stats *stats_of(const struct upstream_request *r)
{
    return &r->cluster->cluster->stats;
}

void upstream_request_count(struct upstream_request *r, unsigned status)
{
    cluster_stats_status(stats_of(r), r->cluster->cluster->config->alt_stat_name, status);
}

static void push_back(struct upstream_request *r, bool on)
{
    if (r->pushed_back == on)
        return;
    r->pushed_back = on;
    filter_request_backpressure(r->filter, on);
}

void upstream_request_finish(struct upstream_request *r)
{
    r->finished = true;
    r->ready = false;
    timer_stop(&stream_of(r)->worker->loop, &r->timer);
    chain_clear(&r->body);
    if (r->pushed_back)
        push_back(r, false);
}

/* The route's timeout: the whole answer must be there. */
static void on_timeout(struct timer *timer)
{
    struct upstream_request *r = WEIR_CONTAINER_OF(timer, struct upstream_request, timer);
    WEIR_ASSERT(!r->finished);
    stat_inc(stats_of(r)->upstream_rq_timeout);
    host_count(&r->shard->rq_timeout, 1);
    if (!r->response_started)
        host_count(&r->shard->rq_error, 1);
    upstream_stream_reset(&r->stream);
    upstream_request_answer(r, &(struct local_reply){
                                   .status = 504,
                                   .body = SLICE_LIT("upstream request timeout"),
                                   .details = SLICE_LIT("response_timeout"),
                                   .flags = RESPONSE_FLAG(UPSTREAM_REQUEST_TIMEOUT),
                                   .grpc_status = -1,
                               });
}

/* The last byte of the request is here: the route's timeout begins. */
static void request_done(struct upstream_request *r)
{
    WEIR_ASSERT(!r->request_done);
    r->request_done = true;
    r->request_done_ns = monotonic_ns();
    if (r->timeout_ms)
        timer_set(&stream_of(r)->worker->loop, &r->timer, r->timeout_ms);
}

/* The connection did not take what was sent. */
static void send_failed(struct upstream_request *r)
{
    upstream_stream_reset(&r->stream);
    upstream_request_failed(r, UPSTREAM_LOCAL_RESET, "");
}

/* A connection is there: everything that waits goes out. */
static void send_waiting(struct upstream_request *r)
{
    struct stream *s = stream_of(r);
    const struct address *local = upstream_stream_local(&r->stream);
    bool more = !chain_empty(&r->body) || r->trailers || !r->request_done;
    WEIR_ASSERT(local && !r->ready && !r->finished);
    r->ready = true;
    s->info.upstream_local = *local;
    s->info.upstream_connection_id = upstream_stream_connection_id(&r->stream);
    s->info.upstream_request_start_ns = monotonic_ns();
    const struct http_error *error = upstream_stream_headers(&r->stream, r->headers, !more);
    if (error) {
        upstream_request_head_refused(r);
        return;
    }
    if (!chain_empty(&r->body)) {
        r->body_sent = true;
        error = upstream_stream_data(&r->stream, &r->body, r->request_done && !r->trailers);
    }
    if (!error && r->trailers)
        error = upstream_stream_trailers(&r->stream, r->trailers);
    if (error)
        send_failed(r);
    else
        push_back(r, upstream_stream_blocked(&r->stream) && !r->request_done);
}

static struct upstream_request *request_of(struct upstream_stream *us)
{
    return WEIR_CONTAINER_OF(us, struct upstream_request, stream);
}

static void on_ready(struct upstream_stream *us)
{
    send_waiting(request_of(us));
}

static void on_failed(struct upstream_stream *us, enum upstream_reset why, const char *transport)
{
    upstream_request_failed(request_of(us), why, transport);
}

/*
 * RFC 9113 8.7: a refused stream was not looked at, so sending it again is safe whatever the method; an
 * HTTP/2 upstream refuses what it had no chance to forbid before (its SETTINGS, its GOAWAY). Only while the
 * request is still whole here.
 */
static bool send_again(struct upstream_request *r, enum upstream_reset why)
{
    enum breaker_priority priority = r->high_priority ? BREAKER_HIGH : BREAKER_DEFAULT;
    struct pool *pool = r->shard->pools[priority][r->http2 ? POOL_HTTP2 : POOL_HTTP1];
    if (why != UPSTREAM_REMOTE_REFUSED || r->response_started || r->body_sent || !pool ||
        r->refusals == REFUSALS_MAX)
        return false;
    r->refusals++;
    r->ready = false;
    enum pool_result result = pool_open_stream(pool, &r->stream);
    if (result == POOL_READY)
        send_waiting(r);
    return result == POOL_READY || result == POOL_PENDING;
}

static void on_reset(struct upstream_stream *us, enum upstream_reset why)
{
    struct upstream_request *r = request_of(us);
    if (!r->finished && !send_again(r, why))
        upstream_request_failed(r, why, "");
}

/* The answer is whole. If the request is not, the connection cannot be kept: what is missing would have to be
 * sent first (Envoy resets it too). */
static void response_done(struct upstream_request *r)
{
    struct stream *s = stream_of(r);
    uint64_t now = monotonic_ns();
    s->info.upstream_response_end_ns = now;
    if (r->request_done)
        stat_record(stats_of(r)->upstream_rq_time, (now - r->request_done_ns) / 1000000);
    else
        upstream_stream_reset(&r->stream);
    upstream_request_finish(r);
}

static unsigned status_of(const struct header_map *headers)
{
    uint64_t status = 0;
    bool valid = slice_parse_u64(header_map_get_id(headers, HDR_STATUS), &status);
    WEIR_ASSERT(valid && status >= 100 && status <= 999); /* the codec checked it */
    return (unsigned)status;
}

/* Envoy passes 100 on when it is told to, and no other 1xx. */
static void on_informational(struct upstream_stream *us, struct header_map *headers)
{
    struct upstream_request *r = request_of(us);
    if (r->finished)
        return;
    upstream_request_count(r, status_of(headers));
    if (status_of(headers) == 100 && stream_of(r)->hcm->proxy_100_continue)
        filter_encode_informational(r->filter, headers);
}

static void set_number(struct header_map *headers, enum header_id id, uint64_t value)
{
    char text[SLICE_U64_BYTES];
    header_map_set_id(headers, id, slice_from_u64(value, text));
}

/* What the router adds to an answer. */
static void decorate(struct upstream_request *r, struct header_map *headers, uint64_t now)
{
    struct stream *s = stream_of(r);
    if (!r->suppress_envoy_headers && r->request_done)
        set_number(headers, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME, (now - r->request_done_ns) / 1000000);
    route_finalize_response(r->route, r->weighted, headers, s);
    if (r->route->virtual_host->include_attempt_count_in_response)
        set_number(headers, HDR_X_ENVOY_ATTEMPT_COUNT, s->info.upstream_attempts);
}

/* An upstream that answers a WebSocket handshake with something else than 101, but with no error either:
 * Envoy passes on the status alone. */
static bool handshake_unsuccessful(struct upstream_request *r, unsigned status)
{
    struct stream *s = stream_of(r);
    if (!s->is_upgrade || status == 101 || status >= 400 ||
        !slice_eq_nocase(header_map_get_id(r->headers, HDR_UPGRADE), SLICE_LIT("websocket")))
        return false;
    upstream_stream_reset(&r->stream);
    upstream_request_finish(r);
    filter_local_reply(r->filter, &(struct local_reply){
                                      .status = (uint16_t)status,
                                      .details = SLICE_LIT("websocket_handshake_unsuccessful"),
                                      .grpc_status = -1,
                                  });
    return true;
}

static void on_headers(struct upstream_stream *us, struct header_map *headers, bool end_of_stream)
{
    struct upstream_request *r = request_of(us);
    struct stream *s = stream_of(r);
    unsigned status = status_of(headers);
    uint64_t now = monotonic_ns();
    if (r->finished)
        return;
    s->info.upstream_response_start_ns = now;
    if (!s->local_reply_sent) /* one may be on its way, held by a filter */
        s->info.details = SLICE_LIT("via_upstream");
    upstream_request_count(r, status);
    host_count(status >= 500 ? &r->shard->rq_error : &r->shard->rq_success, 1);
    if (handshake_unsuccessful(r, status))
        return;
    decorate(r, headers, now);
    r->response_started = true;
    if (end_of_stream)
        response_done(r);
    filter_encode_headers(r->filter, headers, end_of_stream);
}

static void on_data(struct upstream_stream *us, struct chain *data, bool end_of_stream)
{
    struct upstream_request *r = request_of(us);
    if (r->finished)
        return;
    if (end_of_stream)
        response_done(r);
    filter_encode_data(r->filter, data, end_of_stream);
}

static void on_trailers(struct upstream_stream *us, struct header_map *trailers)
{
    struct upstream_request *r = request_of(us);
    if (r->finished)
        return;
    response_done(r);
    filter_encode_trailers(r->filter, trailers);
}

static void on_complete(struct upstream_stream *us)
{
    WEIR_ASSERT(request_of(us)->finished);
}

static void on_backpressure(struct upstream_stream *us, bool on)
{
    struct upstream_request *r = request_of(us);
    if (!r->finished)
        push_back(r, on);
}

static const struct upstream_stream_events request_events = {
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

void upstream_request_start(struct upstream_request *r, struct host *host, enum breaker_priority priority,
                            bool end_of_stream)
{
    struct stream *s = stream_of(r);
    WEIR_ASSERT(r->route && r->cluster && r->headers && !upstream_stream_active(&r->stream));
    enum upstream_protocol protocol = r->cluster->cluster->config->protocol;
    r->http2 =
        protocol == UPSTREAM_HTTP2 || (protocol == UPSTREAM_AS_DOWNSTREAM && s->info.protocol == HTTP_2);
    r->high_priority = priority == BREAKER_HIGH;
    struct pool *pool = pool_get_kind(&r->cluster->pools, host, priority, r->http2 ? POOL_HTTP2 : POOL_HTTP1);
    timer_init(&r->timer, on_timeout);
    r->stream.events = &request_events;
    r->stream.arena = &s->arena;
    r->shard = &host->shards[s->worker->index];
    s->info.upstream_remote = *host_address(host, s->worker->index);
    if (host->shown)
        s->info.upstream_host = host_ref(host);
    s->info.upstream_attempts = 1;
    if (end_of_stream)
        request_done(r);
    enum pool_result result = pool              ? pool_open_stream(pool, &r->stream)
                              : errno == EDQUOT ? POOL_OVERFLOW
                                                : POOL_FAILED;
    if (result == POOL_READY)
        send_waiting(r);
    else if (result == POOL_OVERFLOW)
        upstream_request_failed(r, UPSTREAM_OVERFLOW, "");
    else if (result == POOL_FAILED)
        upstream_request_no_connection(r, pool ? errno : ENOMEM);
    else
        s->info.upstream_pool_wait_ns = monotonic_ns();
}

void upstream_request_data(struct upstream_request *r, struct chain *data, bool end_of_stream)
{
    if (r->finished) {
        chain_clear(data);
        return;
    }
    if (end_of_stream)
        request_done(r);
    if (r->ready) {
        r->body_sent = true;
        if (upstream_stream_data(&r->stream, data, end_of_stream))
            send_failed(r);
        else if (WEIR_UNLIKELY(upstream_stream_blocked(&r->stream)) && !end_of_stream)
            push_back(r, true);
        return;
    }
    if (!chain_move(&r->body, data, data->bytes)) {
        send_failed(r);
        return;
    }
    if (!end_of_stream && r->body.bytes > r->cluster->cluster->config->buffer_bytes_max)
        push_back(r, true);
}

void upstream_request_trailers(struct upstream_request *r, struct header_map *trailers)
{
    if (r->finished)
        return;
    request_done(r);
    r->body_sent = r->ready;
    if (!r->ready)
        r->trailers = trailers;
    else if (upstream_stream_trailers(&r->stream, trailers))
        send_failed(r);
}

void upstream_request_cancel(struct upstream_request *r)
{
    upstream_stream_reset(&r->stream);
    r->finished = true;
    r->ready = false;
    if (r->timer.fire)
        timer_stop(&stream_of(r)->worker->loop, &r->timer);
    chain_fini(&r->body);
    worker_cluster_unref(&r->cluster);
}
