/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection of HTTP and gRPC health checks: one request at a time, over the codecs that requests take.
 * Results are told after the codec has returned, never from inside one of its events.
 */
#include "upstream/health_probe.h"

#include "base/assert.h"
#include "http/h1.h"
#include "http/h2.h"
#include "net/loop.h"
#include "upstream/health_request.h"
#include "upstream/limits.h"

#include <stdlib.h>

struct health_http {
    struct health_probe base;
    struct loop *loop;
    struct http_codec *codec;
    struct h2_stats h2_stats;    /* a copy: the connection may end after its cluster */
    struct codec_stream *stream; /* of the check under way; NULL: none, or it has ended */
    struct arena arena;          /* of the check under way */
    const struct header_map *headers;
    const struct header_map *trailers;
    struct strbuf body;
    size_t body_max;
    struct turn_task work; /* HTTP/2: frames to write */
    bool connected : 1;
    bool in_codec : 1;
    bool body_cut : 1;
    bool asked : 1;    /* a check is under way here */
    bool answered : 1; /* its answer is whole */
    bool broken : 1;   /* its stream was reset */
    bool closing : 1;
};

static struct health_http *http_of(struct health_probe *p)
{
    return WEIR_CONTAINER_OF(p, struct health_http, base);
}

static void close_now(struct health_http *c)
{
    if (c->closing)
        return;
    c->closing = true;
    conn_close(c->base.conn, CONN_CLOSE_NOW, 0);
}

/* Not the session's any more; it opens another one for the next check. */
static void leave_session(struct health_http *c)
{
    if (c->base.session)
        c->base.session->probe = NULL;
    c->base.session = NULL;
    close_now(c);
}

/* --- the answer --- */

static struct health_result judge(const struct health_http *c, struct health_session *s)
{
    const struct health_config *config = health_session_config(s);
    const struct health_answer answer = {c->headers, c->trailers, strbuf_slice(&c->body), c->body_cut};
    bool verified = false;
    enum health_verdict v = config->kind == HEALTH_GRPC ? health_answer_grpc(&answer)
                                                        : health_answer_http(&answer, config, &verified);
    if (verified)
        health_session_count_verify(s);
    bool http = config->kind == HEALTH_HTTP;
    bool passed = v == HEALTH_VERDICT_PASS;
    return (struct health_result){
        .passed = passed,
        .degraded = passed && http && health_answer_says(&answer, SLICE_LIT("x-envoy-degraded")),
        .retriable = v == HEALTH_VERDICT_RETRIABLE,
        .immediate =
            !passed && http && health_answer_says(&answer, SLICE_LIT("x-envoy-immediate-health-check-fail")),
        .failure = HEALTH_FAILURE_ACTIVE,
        .status = health_answer_status(&answer),
    };
}

/* After codec_recv: tells what has come of the check. */
static void settle(struct health_http *c, const struct http_error *error)
{
    struct health_session *s = c->base.session;
    bool answered = c->answered, broken = (c->broken || error) && !answered;
    bool over = error || codec_wants_close(c->codec) || (broken && !c->codec->multiplexed);
    struct health_result result = {.failure = HEALTH_FAILURE_NETWORK};
    bool told = s && c->asked && (answered || broken);
    if (told) {
        if (answered)
            result = judge(c, s);
        c->asked = false;
        over = over || !health_session_config(s)->reuse_connection || c->stream;
    }
    if (over && !c->asked)
        leave_session(c);
    if (told)
        health_session_result(s, &result);
}

static void drive(struct health_http *c)
{
    if (c->closing || !c->base.conn)
        return;
    c->in_codec = true;
    const struct http_error *error = codec_recv(c->codec, &c->base.conn->in);
    c->in_codec = false;
    conn_flush_later(c->base.conn);
    settle(c, error);
}

static void on_work(struct turn_task *task)
{
    drive(WEIR_CONTAINER_OF(task, struct health_http, work));
}

/* --- codec events --- */

static struct health_http *of_stream(struct codec_stream *cs)
{
    return cs->user;
}

static void on_informational(struct codec_stream *cs, struct header_map *headers)
{
    (void)cs;
    (void)headers;
}

static void on_headers(struct codec_stream *cs, struct header_map *headers, bool end_of_stream)
{
    struct health_http *c = of_stream(cs);
    c->headers = headers;
    c->answered = end_of_stream;
}

static void on_data(struct codec_stream *cs, struct chain *data, bool end_of_stream)
{
    struct health_http *c = of_stream(cs);
    while (!chain_empty(data)) {
        struct slice front = chain_front(data);
        size_t room = c->body_max - c->body.len;
        c->body_cut = c->body_cut || front.len > room;
        strbuf_append(&c->body, slice_take(front, room < front.len ? room : front.len));
        chain_drain(data, front.len);
    }
    c->answered = end_of_stream;
}

static void on_trailers(struct codec_stream *cs, struct header_map *trailers)
{
    struct health_http *c = of_stream(cs);
    c->trailers = trailers;
    c->answered = true;
}

static void on_reset(struct codec_stream *cs, const struct http_error *error)
{
    struct health_http *c = of_stream(cs);
    (void)error;
    c->stream = NULL;
    c->broken = true;
}

static void on_closed(struct codec_stream *cs)
{
    of_stream(cs)->stream = NULL;
}

static const struct codec_events codec_handlers = {
    .headers = on_headers,
    .informational = on_informational,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_closed,
};

/* --- the check --- */

static bool send_request(struct health_http *c, struct health_session *s)
{
    const struct health_config *config = health_session_config(s);
    struct chain body;
    struct header_map *headers =
        health_request_headers(&c->arena, config, health_session_authority(s), s->host->tls != NULL);
    struct slice payload = health_request_body(&c->arena, config);
    c->stream = headers ? codec_stream_open(c->codec, c, &c->arena) : NULL;
    if (!c->stream || codec_send_headers(c->stream, headers, payload.len == 0))
        return false;
    if (payload.len == 0)
        return true;
    chain_init(&body);
    bool ok = chain_append_copy(&body, &c->loop->blocks, payload) && !codec_send_data(c->stream, &body, true);
    chain_fini(&body);
    return ok;
}

static void begin(struct health_probe *p)
{
    struct health_http *c = http_of(p);
    struct health_session *s = p->session;
    WEIR_ASSERT(s && !c->asked && !c->closing);
    c->asked = true;
    if (!c->connected)
        return;
    c->answered = c->broken = c->body_cut = false;
    c->headers = c->trailers = NULL;
    strbuf_reset(&c->body);
    arena_fini(&c->arena);
    if (!send_request(c, s)) {
        leave_session(c);
        health_session_lost(s);
        return;
    }
    conn_flush_later(c->base.conn);
    if (c->codec->multiplexed)
        loop_at_turn_end(c->loop, &c->work);
}

/* --- connection events --- */

static void conn_on_connected(struct conn *conn)
{
    struct health_http *c = conn->owner;
    c->connected = true;
    if (c->base.session && c->asked) {
        c->asked = false;
        begin(&c->base);
    }
}

static void conn_on_data(struct conn *conn)
{
    drive(conn->owner);
}

static void conn_on_eof(struct conn *conn)
{
    struct health_http *c = conn->owner;
    if (c->closing)
        return;
    c->in_codec = true;
    (void)codec_recv_eof(c->codec);
    c->in_codec = false;
    c->broken = true;
    settle(c, NULL);
    if (c->base.session)
        leave_session(c);
    close_now(c);
}

static void conn_on_closed(struct conn *conn, enum conn_close why)
{
    struct health_http *c = conn->owner;
    struct health_session *s = c->base.session;
    (void)why;
    WEIR_ASSERT(!c->in_codec);
    c->closing = true;
    c->base.conn = NULL;
    tls_info_unref(&c->base.tls);
    list_remove(&c->work.node);
    codec_destroy(&c->codec);
    arena_fini(&c->arena);
    strbuf_fini(&c->body);
    free(c);
    if (s)
        health_session_lost(s);
}

static const struct conn_events conn_handlers = {
    .connected = conn_on_connected,
    .data = conn_on_data,
    .eof = conn_on_eof,
    .closed = conn_on_closed,
};

static bool speaks_http2(const struct health_config *config)
{
    return config->http2 || config->kind == HEALTH_GRPC;
}

static struct http_codec *make_codec(struct health_http *c, const struct health_session *s)
{
    const struct cluster_config *cluster = health_session_cluster(s);
    const struct health_config *config = health_session_config(s);
    struct block_pool *blocks = &c->loop->blocks;
    if (speaks_http2(config)) {
        struct h2_settings settings = cluster->http2;
        settings.headers_count_max = HEALTH_HEADERS_COUNT_MAX;
        settings.headers_bytes_max = HEALTH_HEADERS_BYTES_MAX;
        c->h2_stats = health_session_stats(s)->http2;
        settings.stats = &c->h2_stats;
        return h2_client_create(&settings, &codec_handlers, c, blocks, &c->base.conn->out);
    }
    const struct h1_settings settings = {
        .headers_count_max = HEALTH_HEADERS_COUNT_MAX,
        .headers_bytes_max = HEALTH_HEADERS_BYTES_MAX,
        .accept_http_10 = true,
        .keys = {.proper_case = cluster->http1_keys.proper_case},
    };
    return h1_client_create(&settings, &codec_handlers, c, blocks, &c->base.conn->out);
}

struct health_probe *health_http_open(struct health_session *s)
{
    const struct health_config *config = health_session_config(s);
    struct health_http *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->loop = health_session_loop(s);
    c->base = (struct health_probe){.session = s, .begin = begin};
    c->body_max =
        config->kind == HEALTH_HTTP && config->response_max ? config->response_max : HEALTH_RESPONSE_MAX;
    if (c->body_max > HEALTH_RESPONSE_MAX)
        c->body_max = HEALTH_RESPONSE_MAX;
    strbuf_init(&c->body, c->body_max + 1);
    arena_init(&c->arena, HEALTH_ARENA_BYTES_MAX, NULL);
    turn_task_init(&c->work, on_work);
    if (!health_probe_connect(&c->base, &conn_handlers, c,
                              speaks_http2(config) ? UPSTREAM_ALPN_HTTP2 : UPSTREAM_ALPN_HTTP1)) {
        free(c);
        return NULL;
    }
    c->codec = make_codec(c, s);
    if (!c->codec)
        abort(); /* out of memory for a size that no peer chose */
    c->asked = true;
    return &c->base;
}
