/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections: between the socket and the client codec, and between the codec and the streams. Never
 * reuses a connection about which anything is in doubt.
 */
#include "upstream/upstream_conn.h"

#include "base/assert.h"
#include "http/h1.h"
#include "http/h2.h"
#include "http/raw.h"
#include "net/loop.h"
#include "upstream/host_connect.h"
#include "upstream/upstream_tls.h"

#include <errno.h>
#include <stdlib.h>

static struct cluster_stats *stats_of(const struct upstream_conn *uc)
{
    return uc->pool->context->stats;
}

/* Brings the byte counts up to date. */
static void count_bytes(struct upstream_conn *uc)
{
    stat_add(stats_of(uc)->upstream_cx_rx_bytes_total, uc->conn->bytes_in - uc->bytes_in_counted);
    stat_add(stats_of(uc)->upstream_cx_tx_bytes_total, uc->conn->bytes_out - uc->bytes_out_counted);
    uc->bytes_in_counted = uc->conn->bytes_in;
    uc->bytes_out_counted = uc->conn->bytes_out;
}

/* Takes the stream off the connection. Its owner may use it anew. */
static void detach(struct upstream_conn *uc, struct upstream_stream *s)
{
    WEIR_ASSERT(s->conn == uc && s->pool == uc->pool && uc->active > 0);
    list_remove(&s->node);
    uc->active--;
    s->conn = NULL;
    s->codec = NULL;
    s->pool = NULL;
    count_bytes(uc);
    pool_stream_done(uc->pool);
}

static void raw_flush(struct upstream_conn *uc)
{
    if (uc->codec->shut)
        conn_shutdown_write(uc->conn);
    if (uc->codec->due)
        loop_at_turn_end(uc->conn->loop, &uc->work);
}

void upstream_conn_flush(struct upstream_conn *uc)
{
    if (WEIR_UNLIKELY(uc->codec->due || uc->codec->shut))
        raw_flush(uc);
    if (!uc->codec->multiplexed)
        conn_flush_later(uc->conn);
    else if (!uc->in_codec && uc->connected && !uc->closing)
        loop_at_turn_end(uc->conn->loop, &uc->work);
}

size_t upstream_conn_room(const struct upstream_conn *uc)
{
    return uc->retiring || uc->closing ? 0 : codec_streams_available(uc->codec);
}

void upstream_conn_close(struct upstream_conn *uc)
{
    uc->retiring = true;
    if (uc->closing)
        return;
    uc->closing = true;
    uc->closed_busy = uc->closed_busy || uc->active > 0;
    /* While the codec runs it must live; after_codec closes. */
    if (!uc->in_codec)
        conn_close(uc->conn, CONN_CLOSE_NOW, 0);
}

/* What became due while the codec was running. */
static void after_codec(struct upstream_conn *uc, const struct http_error *error)
{
    WEIR_ASSERT(uc->in_codec && uc->conn);
    uc->in_codec = false;
    if (uc->closing) {
        conn_close(uc->conn, CONN_CLOSE_NOW, 0);
        return;
    }
    if (error || (uc->active == 0 && (uc->retiring || codec_wants_close(uc->codec)))) {
        upstream_conn_close(uc);
        return;
    }
    if (uc->codec->multiplexed) {
        conn_flush_later(uc->conn);
        if (uc->released && uc->active == 0)
            uc->idle_since_ms = uc->conn->loop->now_ms;
        uc->released = false;
        pool_conn_changed(uc->pool, uc);
    } else if (uc->released) {
        uc->released = false;
        uc->idle_since_ms = uc->conn->loop->now_ms;
        pool_conn_available(uc->pool, uc);
    }
}

static struct upstream_stream *stream_of(struct codec_stream *cs)
{
    struct upstream_stream *s = cs->user;
    WEIR_ASSERT(s->codec == cs && s->conn && s->conn->in_codec);
    return s;
}

static void on_informational(struct codec_stream *cs, struct header_map *headers)
{
    struct upstream_stream *s = stream_of(cs);
    s->events->informational(s, headers);
}

static void on_headers(struct codec_stream *cs, struct header_map *headers, bool end_of_stream)
{
    struct upstream_stream *s = stream_of(cs);
    s->events->headers(s, headers, end_of_stream);
}

static void on_data(struct codec_stream *cs, struct chain *data, bool end_of_stream)
{
    struct upstream_stream *s = stream_of(cs);
    s->events->data(s, data, end_of_stream);
}

static void on_trailers(struct codec_stream *cs, struct header_map *trailers)
{
    struct upstream_stream *s = stream_of(cs);
    s->events->trailers(s, trailers);
}

/* A connection that ends before the first byte of an answer is terminated; one that ends inside of it has
 * broken the protocol, if there is one (Envoy). */
static enum upstream_reset reason_of(const struct upstream_conn *uc, const struct upstream_stream *s)
{
    return uc->conn->bytes_in == s->bytes_in_before || uc->pool->kind == POOL_RAW
               ? UPSTREAM_CONNECTION_TERMINATION
               : UPSTREAM_PROTOCOL_ERROR;
}

static enum upstream_reset h2_reason(const struct upstream_conn *uc, const struct http_error *error)
{
    if (error == &http_error_h2_remote_reset) {
        stat_inc(stats_of(uc)->upstream_rq_rx_reset);
        return UPSTREAM_REMOTE_RESET;
    }
    if (error == &http_error_h2_remote_refused) {
        stat_inc(stats_of(uc)->upstream_rq_rx_reset);
        return UPSTREAM_REMOTE_REFUSED;
    }
    return error == &http_error_server_closed ? UPSTREAM_CONNECTION_TERMINATION : UPSTREAM_PROTOCOL_ERROR;
}

static void on_reset(struct codec_stream *cs, const struct http_error *error)
{
    struct upstream_stream *s = stream_of(cs);
    struct upstream_conn *uc = s->conn;
    enum upstream_reset why = uc->codec->multiplexed ? h2_reason(uc, error) : reason_of(uc, s);
    if (why == UPSTREAM_PROTOCOL_ERROR)
        stat_inc(stats_of(uc)->upstream_cx_protocol_error);
    uc->released = true;
    if (!uc->codec->multiplexed)
        uc->closed_busy = true;
    detach(uc, s);
    s->events->reset(s, why);
}

static void on_closed(struct codec_stream *cs)
{
    struct upstream_stream *s = stream_of(cs);
    struct upstream_conn *uc = s->conn;
    uc->released = true;
    /* The owner may have paused the stream with its last bytes; the next one starts unpaused. */
    if (uc->paused) {
        uc->paused = false;
        conn_resume(uc->conn, CONN_PAUSE_WATERMARK);
    }
    detach(uc, s);
    s->events->complete(s);
}

static void on_drained(struct codec_stream *cs)
{
    struct upstream_stream *s = stream_of(cs);
    if (!s->conn->conn->above_high)
        s->events->backpressure(s, false);
}

static void on_pong(void *conn)
{
    struct upstream_conn *uc = conn;
    h2_keepalive_pong(&uc->keepalive);
}

static const struct codec_events codec_handlers = {
    .headers = on_headers,
    .informational = on_informational,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_closed,
    .drained = on_drained,
    .pong = on_pong,
};

/* The peer does not answer our PING. */
static void on_silent(struct h2_keepalive *k);
static void on_ping(struct h2_keepalive *k);

static struct http_codec *make_h2(struct upstream_conn *uc, const struct cluster_config *config,
                                  struct block_pool *blocks)
{
    struct h2_settings settings = config->http2;
    settings.headers_count_max = config->max_headers_count;
    settings.headers_bytes_max = config->max_headers_bytes;
    settings.stats = &stats_of(uc)->http2;
    settings.peer_streams_assumed =
        uc->pool->kind == POOL_HTTP2 ? uc->pool->streams_per_conn : config->http2.max_concurrent_streams;
    h2_keepalive_init(&uc->keepalive, uc->pool->context->loop, &config->keepalive, on_ping, on_silent);
    return h2_client_create(&settings, &codec_handlers, uc, blocks, &uc->conn->out);
}

static struct http_codec *make_h1(struct upstream_conn *uc, const struct cluster_config *config,
                                  struct block_pool *blocks)
{
    const struct h1_settings settings = {
        .headers_count_max = config->max_headers_count,
        .headers_bytes_max = config->max_headers_bytes,
        .accept_http_10 = true,
        .enable_trailers = config->http1_enable_trailers,
        .keys = config->http1_keys,
        .allow_upgrade = true,
        .allow_connect = true,
    };
    return h1_client_create(&settings, &codec_handlers, uc, blocks, &uc->conn->out);
}

static bool make_codec(struct upstream_conn *uc, bool http2)
{
    const struct cluster_config *config = uc->pool->context->config;
    struct block_pool *blocks = &uc->conn->loop->blocks;
    if (WEIR_UNLIKELY(uc->pool->kind == POOL_RAW)) {
        uc->codec = raw_client_create(&codec_handlers, uc, blocks, &uc->conn->out);
        return uc->codec != NULL;
    }
    uc->codec = http2 ? make_h2(uc, config, blocks) : make_h1(uc, config, blocks);
    stat_inc(http2 ? stats_of(uc)->upstream_cx_http2_total : stats_of(uc)->upstream_cx_http1_total);
    if (http2)
        stat_inc(stats_of(uc)->upstream_cx_http2_active);
    return uc->codec != NULL;
}

/* What ALPN has agreed on, of a connection that could do both. */
static bool speaks_h2(const struct upstream_conn *uc)
{
    return uc->tls && slice_eq(uc->tls->alpn, SLICE_LIT("h2"));
}

static void conn_on_connected(struct conn *conn)
{
    struct upstream_conn *uc = conn->owner;
    WEIR_ASSERT(uc->conn == conn && !uc->connected && uc->active == 0);
    if (!uc->codec && !make_codec(uc, speaks_h2(uc)))
        abort(); /* out of memory for a size that no peer chose */
    uc->connected = true;
    host_connect_count(conn, stats_of(uc), uc->pool->shard);
    uc->idle_since_ms = conn->loop->now_ms;
    stat_record(stats_of(uc)->upstream_cx_connect_ms, conn->loop->now_ms - uc->created_ms);
    h2_keepalive_start(&uc->keepalive);
    pool_conn_connected(uc->pool, uc);
}

static void conn_on_data(struct conn *conn)
{
    struct upstream_conn *uc = conn->owner;
    if (uc->closing)
        return;
    h2_keepalive_active(&uc->keepalive);
    uc->in_codec = true;
    after_codec(uc, codec_recv(uc->codec, &conn->in));
}

static void on_work(struct turn_task *task)
{
    struct upstream_conn *uc = WEIR_CONTAINER_OF(task, struct upstream_conn, work);
    if (uc->closing || !uc->conn)
        return;
    uc->in_codec = true;
    after_codec(uc, codec_recv(uc->codec, &uc->conn->in));
}

static void on_silent(struct h2_keepalive *k)
{
    struct upstream_conn *uc = WEIR_CONTAINER_OF(k, struct upstream_conn, keepalive);
    stat_inc(stats_of(uc)->http2.keepalive_timeout);
    upstream_conn_close(uc);
}

static void on_ping(struct h2_keepalive *k)
{
    struct upstream_conn *uc = WEIR_CONTAINER_OF(k, struct upstream_conn, keepalive);
    codec_ping(uc->codec);
    upstream_conn_flush(uc);
}

static void conn_on_eof(struct conn *conn)
{
    struct upstream_conn *uc = conn->owner;
    if (uc->closing)
        return;
    uc->in_codec = true;
    uc->retiring = true;
    (void)codec_recv_eof(uc->codec);
    uc->in_codec = false;
    /* Raw bytes whose both ends were told: what is unsent is wanted still. */
    bool raw = uc->pool->kind == POOL_RAW, rest = raw && uc->codec->shut && uc->active == 0 && !uc->closing;
    uc->peer_closed = !raw || !uc->closing; /* its stream may have been given up because of that end */
    uc->closing = true;
    conn_close(conn, rest ? CONN_CLOSE_FLUSH : CONN_CLOSE_NOW,
               rest ? uc->pool->context->config->idle_timeout_ms : 0);
}

static void conn_on_pressure(struct conn *conn, bool on)
{
    struct upstream_conn *uc = conn->owner;
    struct cluster_stats *stats = stats_of(uc);
    stat_inc(on ? stats->upstream_flow_control_backed_up_total : stats->upstream_flow_control_drained_total);
    struct list *node, *next;
    list_for_each(node, next, &uc->streams)
    {
        struct upstream_stream *s = list_entry(node, struct upstream_stream, node);
        if (on || !upstream_stream_blocked(s))
            s->events->backpressure(s, on);
    }
}

static void conn_on_high(struct conn *conn)
{
    conn_on_pressure(conn, true);
}

static void conn_on_low(struct conn *conn)
{
    conn_on_pressure(conn, false);
}

/* The socket is gone: streams that are still here never got their end. */
static void conn_on_closed(struct conn *conn, enum conn_close why)
{
    struct upstream_conn *uc = conn->owner;
    WEIR_ASSERT(!uc->in_codec);
    uc->closing = true;
    uc->retiring = true;
    while (!list_empty(&uc->streams)) {
        struct upstream_stream *s = list_first(&uc->streams, struct upstream_stream, node);
        enum upstream_reset reason =
            uc->codec->multiplexed ? UPSTREAM_CONNECTION_TERMINATION : reason_of(uc, s);
        uc->closed_busy = true;
        detach(uc, s);
        s->events->reset(s, reason);
    }
    count_bytes(uc);
    if (!uc->connected)
        host_connect_count(conn, stats_of(uc), uc->pool->shard);
    timer_stop(conn->loop, &uc->timer);
    h2_keepalive_stop(&uc->keepalive);
    list_remove(&uc->work.node);
    if (uc->codec && uc->codec->multiplexed)
        stat_dec(stats_of(uc)->upstream_cx_http2_active);
    stat_record(stats_of(uc)->upstream_cx_length_ms, conn->loop->now_ms - uc->created_ms);
    stat_record(stats_of(uc)->upstream_rq_per_cx, uc->requests);
    if (uc->codec)
        codec_destroy(&uc->codec);
    uc->conn = NULL;
    pool_conn_gone(uc->pool, uc, conn, uc->peer_closed ? CONN_CLOSE_REMOTE : why);
    tls_info_unref(&uc->tls);
    free(uc);
}

static const struct conn_events conn_handlers = {
    .connected = conn_on_connected,
    .data = conn_on_data,
    .eof = conn_on_eof,
    .write_high = conn_on_high,
    .write_low = conn_on_low,
    .closed = conn_on_closed,
};

/* One timer for both limits: it fires at the earliest moment one could be reached, and looks again. */
static void arm_timer(struct upstream_conn *uc)
{
    const struct cluster_config *config = uc->pool->context->config;
    struct loop *loop = uc->conn->loop;
    uint64_t due = UINT64_MAX;
    if (config->idle_timeout_ms)
        due = (uc->active ? loop->now_ms : uc->idle_since_ms) + config->idle_timeout_ms;
    if (config->max_connection_duration_ms && !uc->retiring &&
        uc->created_ms + config->max_connection_duration_ms < due)
        due = uc->created_ms + config->max_connection_duration_ms;
    if (due != UINT64_MAX)
        timer_set(loop, &uc->timer, due > loop->now_ms ? due - loop->now_ms : 1);
}

static void on_timer(struct timer *timer)
{
    struct upstream_conn *uc = WEIR_CONTAINER_OF(timer, struct upstream_conn, timer);
    const struct cluster_config *config = uc->pool->context->config;
    uint64_t now = uc->conn->loop->now_ms;
    if (uc->closing)
        return;
    if (config->max_connection_duration_ms && !uc->retiring &&
        now - uc->created_ms >= config->max_connection_duration_ms) {
        stat_inc(stats_of(uc)->upstream_cx_max_duration_reached);
        uc->retiring = true;
    }
    if (uc->active == 0 && uc->connected && uc->retiring) {
        upstream_conn_close(uc);
    } else if (uc->active == 0 && uc->connected && config->idle_timeout_ms &&
               now - uc->idle_since_ms >= config->idle_timeout_ms) {
        stat_inc(stats_of(uc)->upstream_cx_idle_timeout);
        upstream_conn_close(uc);
    } else {
        arm_timer(uc);
    }
}

static void start_tls(struct upstream_conn *uc)
{
    static const enum upstream_alpn offers[] = {
        [POOL_HTTP1] = UPSTREAM_ALPN_HTTP1,
        [POOL_HTTP2] = UPSTREAM_ALPN_HTTP2,
        [POOL_AUTO] = UPSTREAM_ALPN_BOTH,
        [POOL_RAW] = UPSTREAM_ALPN_NONE,
    };
    struct pool *p = uc->pool;
    struct tls_sessions **sessions =
        upstream_wants_nothing(&p->wants) ? &p->shard->tls_sessions : &p->tls_sessions;
    if (!upstream_tls_start(uc->conn, p->host, &p->wants, offers[p->kind], sessions, &uc->tls))
        conn_close(uc->conn, CONN_CLOSE_NOW, 0);
}

struct upstream_conn *upstream_conn_create(struct pool *pool)
{
    const struct cluster_config *config = pool->context->config;
    struct loop *loop = pool->context->loop;
    struct upstream_conn *uc = calloc(1, sizeof(*uc));
    if (!uc) {
        errno = ENOMEM;
        return NULL;
    }
    uc->pool = pool;
    list_init(&uc->node);
    list_init(&uc->streams);
    timer_init(&uc->timer, on_timer);
    turn_task_init(&uc->work, on_work);
    uc->created_ms = loop->now_ms;
    uc->idle_since_ms = loop->now_ms;
    struct host_connect wanted = host_connect_of(loop, config, pool->host, pool->context->worker);
    wanted.origin = pool->wants.origin;
    uc->conn = host_connect(&wanted, &conn_handlers, uc);
    if (!uc->conn) {
        free(uc);
        return NULL;
    }
    if (WEIR_UNLIKELY(pool->host->tls != NULL))
        start_tls(uc);
    /* With ALPN the protocol is known once the handshake is done. */
    if (pool->kind != POOL_AUTO && !make_codec(uc, pool->kind == POOL_HTTP2))
        abort(); /* out of memory for a size that no peer chose */
    arm_timer(uc);
    return uc;
}

bool upstream_conn_attach(struct upstream_conn *uc, struct upstream_stream *s)
{
    WEIR_ASSERT(uc->connected && (!uc->in_codec || uc->codec->multiplexed) && !s->conn);
    if (uc->retiring || uc->closing || codec_wants_close(uc->codec))
        return false;
    s->codec = codec_stream_open(uc->codec, s, s->arena);
    if (!s->codec)
        return false;
    const struct cluster_config *config = uc->pool->context->config;
    s->conn = uc;
    s->pool = uc->pool;
    s->bytes_in_before = uc->conn->bytes_in;
    list_push_back(&uc->streams, &s->node);
    if (WEIR_UNLIKELY(uc->keepalive.loop != NULL) && uc->active == 0)
        h2_keepalive_request(&uc->keepalive);
    uc->active++;
    uc->requests++;
    if (config->max_requests_per_connection && uc->requests >= config->max_requests_per_connection) {
        stat_inc(stats_of(uc)->upstream_cx_max_requests);
        uc->retiring = true;
    }
    return true;
}

/* The part of upstream_stream_reset for a stream on a connection; pool.c has the other. */
void upstream_conn_reset_stream(struct upstream_stream *s)
{
    struct upstream_conn *uc = s->conn;
    codec_stream_reset(s->codec, NULL);
    if (uc->pool->kind != POOL_RAW)
        stat_inc(stats_of(uc)->upstream_rq_tx_reset);
    if (uc->codec->multiplexed) {
        detach(uc, s);
        uc->released = true;
        upstream_conn_flush(uc);
        return;
    }
    uc->closed_busy = true;
    detach(uc, s);
    upstream_conn_close(uc);
}
