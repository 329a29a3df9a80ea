/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection manager's connection: feeds the socket's bytes to the codec, and closes when the last
 * answer, a timeout, the peer or a drain says so. What the codec tells is downstream_codec.c's.
 */
#include "proxy/downstream.h"

#include "net/tls.h"
#include "proxy/connection_facts.h"
#include "proxy/limits.h"
#include "proxy/listener/network_chain.h"
#include "proxy/overload/overload.h"
#include "proxy/stream_private.h"
#include "proxy/tcp/tcp_proxy.h"
#include "telemetry/log.h"

#include <stdlib.h>
#include <unistd.h>

/* --- Closing --- */

static void close_conn(struct downstream *d, enum conn_close_mode mode)
{
    if (!d->conn)
        return;
    d->closing = true;
    uint64_t delay = d->hcm->delayed_close_timeout_ms;
    if (mode == CONN_CLOSE_DELAYED && delay == 0)
        mode = CONN_CLOSE_FLUSH; /* Envoy: 0 turns the delay off */
    conn_close(d->conn, mode, delay);
}

/* What waits in the input is for after the present answer: the next request, or the bytes of an upgrade that
 * is not decided. There is no reason to read more of it. */
static bool input_waits(const struct downstream *d)
{
    struct list *node, *tmp;
    if (chain_empty(&d->conn->in))
        return false;
    if (d->codec_streams == 0 || downstream_is_h2(d))
        return d->codec->hold;
    list_for_each(node, tmp, &d->streams)
    {
        const struct stream *s = list_entry(node, struct stream_private, node)->stream;
        if (s->codec && (s->request_complete || (s->is_upgrade && !s->response_started)))
            return true;
    }
    return false;
}

/* After each look at the input: is the connection done, may it read? */
static void settle(struct downstream *d)
{
    if (!d->conn || d->closing)
        return;
    if (d->codec_streams == 0 && codec_wants_close(d->codec)) {
        /* A peer that is still sending must get our last bytes before the reset that its own provoke. */
        close_conn(d, d->early_answer || d->codec_failed || downstream_is_h2(d) ? CONN_CLOSE_DELAYED
                                                                                : CONN_CLOSE_FLUSH);
        return;
    }
    if (input_waits(d))
        conn_pause(d->conn, CONN_PAUSE_CODEC);
    else
        conn_resume(d->conn, CONN_PAUSE_CODEC);
}

void downstream_recv(struct downstream *d)
{
    if (!d->conn || d->closing || d->in_recv)
        return;
    d->in_recv = true;
    const struct http_error *error = codec_recv(d->codec, &d->conn->in);
    d->in_recv = false;
    if (error && !d->codec_failed) {
        d->codec_failed = true;
        if (error->status || downstream_is_h2(d))
            stat_inc(d->hcm->stats.downstream_cx_protocol_error);
        log_write(HTTP, DEBUG, "[C%lu] %s: %s", (unsigned long)d->conn->id, error->name, error->text);
    }
    if (d->conn)
        conn_flush_later(d->conn);
    settle(d);
}

static void recv_again(struct turn_task *task)
{
    struct downstream *d = WEIR_CONTAINER_OF(task, struct downstream, recv_task);
    downstream_recv(d);
    if (d->conn && WEIR_UNLIKELY(d->conn->out.bytes >= DOWNSTREAM_WRITE_SOON_BYTES))
        conn_flush_soon(d->conn);
}

/* --- Events of the socket --- */

/* TLS: which protocol was agreed on is known before the first byte. */
static void on_conn_secured(struct conn *conn)
{
    struct downstream *d = conn->owner;
    if (!d->closing && !downstream_alpn(d, d->tls->alpn))
        downstream_close_now(d);
}

static void on_conn_data(struct conn *conn)
{
    struct downstream *d = conn->owner;
    if (WEIR_UNLIKELY(d->detect) && !downstream_detect(d))
        return;
    if (WEIR_UNLIKELY(overload_bits() & OVERLOAD_DISPATCH_BITS) && !overload_dispatch(d))
        return;
    h2_keepalive_active(&d->keepalive);
    downstream_recv(d);
}

/* A client that shuts its writing side has gone away: Envoy does not support half-closed HTTP clients. */
static void on_conn_eof(struct conn *conn)
{
    struct downstream *d = conn->owner;
    if (d->closing)
        return;
    d->unfinished_streams_at_close = d->codec_streams > 0;
    d->in_recv = true;
    (void)codec_recv_eof(d->codec); /* open streams have heard of it by `reset` */
    d->in_recv = false;
    /* An answer that is complete already is worth sending. */
    close_conn(d, d->unfinished_streams_at_close ? CONN_CLOSE_NOW : CONN_CLOSE_FLUSH);
}

static void hold_streams(struct downstream *d, bool on)
{
    struct list *node, *tmp;
    d->above_high = on;
    downstream_update_hold(d);
    list_for_each(node, tmp, &d->streams)
        filters_hold_response(&list_entry(node, struct stream_private, node)->chain, HOLD_CONN, on);
}

static void on_conn_write_high(struct conn *conn)
{
    hold_streams(conn->owner, true);
}

static void on_conn_write_low(struct conn *conn)
{
    hold_streams(conn->owner, false);
}

static void reset_streams(struct downstream *d, const char *details)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &d->streams)
    {
        struct stream *s = list_entry(node, struct stream_private, node)->stream;
        if (!s->destroyed)
            stat_inc(d->hcm->stats.downstream_rq_rx_reset);
        s->priv->codec_reset = true; /* the codec goes with the connection */
        stream_reset(s, details, RESPONSE_FLAG(DOWNSTREAM_CONNECTION_TERMINATION));
    }
}

static void count_close(struct downstream *d, const struct conn *conn, bool remote, bool active)
{
    const struct hcm_stats *stats = &d->hcm->stats;
    const struct listener_stats *ls = &d->listener->config->stats;
    uint64_t length = d->worker->loop.now_ms - d->opened_ms;
    stat_dec(stats->downstream_cx_active);
    if (d->tls)
        stat_dec(stats->downstream_cx_ssl_active);
    if (d->cx_counted)
        stat_dec(downstream_is_h2(d) ? stats->downstream_cx_http2_active : stats->downstream_cx_http1_active);
    stat_inc(stats->downstream_cx_destroy);
    stat_inc(remote ? stats->downstream_cx_destroy_remote : stats->downstream_cx_destroy_local);
    if (active) {
        stat_inc(stats->downstream_cx_destroy_active_rq);
        stat_inc(remote ? stats->downstream_cx_destroy_remote_active_rq
                        : stats->downstream_cx_destroy_local_active_rq);
    }
    if (conn->timed_out)
        stat_inc(stats->downstream_cx_delayed_close_timeout);
    stat_add(stats->downstream_cx_rx_bytes_total, conn->bytes_in);
    stat_add(stats->downstream_cx_tx_bytes_total, conn->bytes_out);
    stat_record(stats->downstream_cx_length_ms, length);
    if (conn->close_reason == CONN_CLOSE_CONNECT_TIMEOUT)
        stat_inc(ls->downstream_cx_transport_socket_connect_timeout);
    stat_dec(ls->downstream_cx_active);
    stat_inc(ls->downstream_cx_destroy);
    stat_record(ls->downstream_cx_length_ms, length);
}

static void release_when_done(struct downstream *d)
{
    if (!d->conn && list_empty(&d->streams) && list_empty(&d->release.node))
        loop_defer_destroy(&d->worker->loop, &d->release);
}

static void on_conn_closed(struct conn *conn, enum conn_close why)
{
    struct downstream *d = conn->owner;
    bool remote = why == CONN_CLOSE_REMOTE || why == CONN_CLOSE_ERROR || conn->read_eof;
    bool active = d->codec_streams > 0 || d->unfinished_streams_at_close;
    WEIR_ASSERT(!d->in_recv);
    reset_streams(d, remote ? "downstream_remote_disconnect" : "downstream_local_disconnect");
    count_close(d, conn, remote, active);
    if (d->network)
        network_chain_log(d->network, conn);
    d->closing = true;
    d->conn = NULL;
    timer_stop(&d->worker->loop, &d->idle_timer);
    timer_stop(&d->worker->loop, &d->duration_timer);
    downstream_h2_stop(d);
    list_remove(&d->recv_task.node);
    release_when_done(d);
}

static const struct conn_events conn_events = {
    .secured = on_conn_secured,
    .data = on_conn_data,
    .eof = on_conn_eof,
    .write_high = on_conn_write_high,
    .write_low = on_conn_write_low,
    .closed = on_conn_closed,
};

/* --- Timers of the connection --- */

static uint64_t idle_limit_ms(const struct downstream *d)
{
    return overload_timeout(OVERLOAD_TIMER_CONNECTION_IDLE, d->hcm->idle_timeout_ms);
}

static void idle_fired(struct timer *t)
{
    struct downstream *d = WEIR_CONTAINER_OF(t, struct downstream, idle_timer);
    uint64_t now = d->worker->loop.now_ms, limit = idle_limit_ms(d), due = d->idle_since_ms + limit;
    if (d->codec_streams > 0)
        due = now + limit;
    bool silent_in_drain = d->close_wanted && d->codec_streams == 0 && d->requests == 0;
    if (now < due && !silent_in_drain) {
        timer_set(&d->worker->loop, t, due - now);
        return;
    }
    stat_inc(d->hcm->stats.downstream_cx_idle_timeout);
    if (downstream_is_h2(d))
        downstream_h2_drain(d, d->hcm->drain_timeout_ms);
    else
        close_conn(d, CONN_CLOSE_FLUSH);
}

static uint64_t duration_limit_ms(const struct downstream *d)
{
    return overload_timeout(OVERLOAD_TIMER_CONNECTION_MAX, d->hcm->max_connection_duration_ms);
}

static void duration_fired(struct timer *t)
{
    struct downstream *d = WEIR_CONTAINER_OF(t, struct downstream, duration_timer);
    uint64_t now = d->worker->loop.now_ms, due = d->opened_ms + duration_limit_ms(d);
    if (now < due) {
        timer_set(&d->worker->loop, t, due - now);
        return;
    }
    stat_inc(d->hcm->stats.downstream_cx_max_duration_reached);
    d->close_wanted = true;
    if (downstream_is_h2(d))
        downstream_h2_drain(d, d->hcm->drain_timeout_ms);
    else if (d->codec_streams == 0)
        close_conn(d, CONN_CLOSE_FLUSH);
}

/* --- For the streams --- */

void downstream_codec_done(struct downstream *d)
{
    WEIR_ASSERT(d->codec_streams > 0);
    d->codec_streams--;
    d->idle_since_ms = d->worker->loop.now_ms;
    if (d->conn && !d->in_recv)
        loop_at_turn_end(&d->worker->loop, &d->recv_task);
}

/* New requests wait while the socket takes no more answers, or while earlier streams hold their memory. */
void downstream_update_hold(struct downstream *d)
{
    bool hold = d->above_high || d->unreleased - d->codec_streams >= STREAMS_UNRELEASED_MAX;
    if (d->codec->hold && !hold && d->conn)
        loop_at_turn_end(&d->worker->loop, &d->recv_task);
    d->codec->hold = hold;
}

void downstream_stream_gone(struct downstream *d)
{
    release_when_done(d);
}

void downstream_stream_released(struct downstream *d)
{
    WEIR_ASSERT(d->unreleased > 0);
    d->unreleased--;
    downstream_update_hold(d);
}

void downstream_stream_paused(struct downstream *d, bool paused)
{
    WEIR_ASSERT(paused || d->paused_streams > 0);
    d->paused_streams = paused ? d->paused_streams + 1 : d->paused_streams - 1;
    if (!d->conn)
        return;
    if (downstream_is_h2(d)) { /* the others read on */
        downstream_flush(d);
        return;
    }
    if (paused && d->paused_streams == 1)
        conn_pause(d->conn, CONN_PAUSE_WATERMARK);
    else if (d->paused_streams == 0)
        conn_resume(d->conn, CONN_PAUSE_WATERMARK);
}

void downstream_flush(struct downstream *d)
{
    if (!d->conn)
        return;
    if (!downstream_is_h2(d))
        conn_flush_later(d->conn);
    else if (!d->in_recv)
        loop_at_turn_end(&d->worker->loop, &d->recv_task);
}

/* Several streams of a connection may each have got much in this turn: what one has is written before the
 * next one's upstream is read. Over HTTP/1 it is the only one. */
void downstream_flush_body(struct downstream *d, size_t n)
{
    if (WEIR_UNLIKELY(n >= DOWNSTREAM_WRITE_SOON_BYTES) && d->conn && !d->in_recv && downstream_is_h2(d))
        loop_sooner(&d->worker->loop, &d->recv_task);
    else
        downstream_flush(d);
}

bool downstream_should_close(const struct downstream *d)
{
    return d->close_wanted;
}

/* --- The life of a connection --- */

static void downstream_free(struct turn_task *task)
{
    struct downstream *d = WEIR_CONTAINER_OF(task, struct downstream, release);
    struct listener *l = d->listener;
    WEIR_ASSERT(!d->conn && list_empty(&d->streams) && d->unreleased == 0);
    codec_destroy(&d->codec);
    list_remove(&d->node);
    hcm_config_unref(&d->hcm);
    network_chain_release(&d->network);
    connection_facts_unref(&d->facts);
    tls_info_unref(&d->tls);
    arena_fini(&d->arena);
    free(d);
    listener_connection_gone(l);
}

static void count_open(struct downstream *d)
{
    const struct hcm_stats *stats = &d->hcm->stats;
    stat_inc(stats->downstream_cx_total);
    stat_inc(stats->downstream_cx_active);
    if (d->tls) {
        stat_inc(stats->downstream_cx_ssl_total);
        stat_inc(stats->downstream_cx_ssl_active);
    }
}

static void start_timers(struct downstream *d)
{
    struct loop *loop = &d->worker->loop;
    timer_init(&d->idle_timer, idle_fired);
    timer_init(&d->duration_timer, duration_fired);
    if (d->hcm->idle_timeout_ms)
        timer_set(loop, &d->idle_timer, idle_limit_ms(d));
    if (d->hcm->max_connection_duration_ms)
        timer_set(loop, &d->duration_timer, duration_limit_ms(d));
}

bool downstream_open(struct listener *l, struct conn *conn, const struct hcm_config *hcm)
{
    struct downstream *d = calloc(1, sizeof(*d));
    if (!d)
        return false;
    d->listener = l;
    d->worker = l->worker;
    d->hcm = hcm;
    d->conn = conn;
    if (!downstream_make_codec(d)) {
        free(d);
        return false;
    }
    hcm_config_ref(hcm);
    arena_init(&d->arena, CONNECTION_STATE_BYTES_MAX, NULL);
    d->filter_state.arena = &d->arena;
    d->opened_ms = d->idle_since_ms = l->worker->loop.now_ms;
    list_init(&d->streams);
    turn_task_init(&d->recv_task, recv_again);
    turn_task_init(&d->release, downstream_free);
    conn->events = &conn_events;
    conn->owner = d;
    d->facts = connection_facts_ref(conn->facts);
    if (d->facts)
        d->filter_state.parent = &d->facts->filter_state;
    if (tls_info_of(conn))
        d->tls = tls_info_ref(tls_info_of(conn));
    list_push_back(&l->connections, &d->node);
    start_timers(d);
    count_open(d);
    return true;
}

void downstream_start_filters(struct downstream *d, struct network_chain *filters)
{
    d->network = filters;
    d->filter_state.parent = &filters->stream.filter_state; /* what network filters leave, requests see */
    network_chain_start(filters);
}

void downstream_drain(struct downstream *d)
{
    d->close_wanted = true;
    if (downstream_is_h2(d)) {
        downstream_h2_drain(d, d->codec_streams > 0 ? DRAIN_SILENT_MS : 0);
        return;
    }
    if (d->codec_streams > 0 || !d->conn || !chain_empty(&d->conn->in))
        return;
    if (d->requests > 0)
        close_conn(d, CONN_CLOSE_FLUSH);
    else /* its first request may be under way: a connection that stays silent does not hold the process up */
        timer_set(&d->worker->loop, &d->idle_timer, DRAIN_SILENT_MS);
}

void downstream_look_at_timers(struct downstream *d)
{
    struct list *node, *next;
    list_for_each(node, next, &d->streams)
        stream_timers_look(list_entry(node, struct stream_private, node)->stream);
    if (timer_active(&d->duration_timer))
        duration_fired(&d->duration_timer);
    if (timer_active(&d->idle_timer) && !d->close_wanted)
        idle_fired(&d->idle_timer);
    if (downstream_is_h2(d))
        downstream_h2_look_at_flush(d);
}

void downstream_shed(struct downstream *d)
{
    if (!d->conn || d->closing)
        return;
    if (!downstream_is_h2(d)) {
        close_conn(d, CONN_CLOSE_NOW);
        return;
    }
    struct chain nothing;
    chain_init(&nothing);
    downstream_h2_drain(d, 0);
    d->in_recv = true;
    (void)codec_recv(d->codec, &nothing); /* puts the GOAWAY into the output */
    d->in_recv = false;
    chain_fini(&nothing);
    if (d->conn)
        conn_flush_later(d->conn);
    close_conn(d, CONN_CLOSE_DELAYED);
}

void downstream_close_now(struct downstream *d)
{
    close_conn(d, CONN_CLOSE_NOW);
}
