/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP proxying: connects to a host, moves bytes both ways with back-pressure, hands half-closes, closes and
 * resets on, and logs the connection when its client is gone. Never copies a byte.
 */
#include "proxy/tcp/tcp_proxy.h"

#include "base/assert.h"
#include "net/worker.h"
#include "proxy/overload/overload.h"
#include "proxy/tcp/tcp_session.h"

#include <errno.h>
#include <stdlib.h>

static void count_down_bytes(struct tcp_session *s, const struct conn *down)
{
    stat_add(s->config->stats.downstream_cx_rx_bytes_total, down->bytes_in - s->rx_counted);
    stat_add(s->config->stats.downstream_cx_tx_bytes_total, down->bytes_out - s->tx_counted);
    s->rx_counted = down->bytes_in;
    s->tx_counted = down->bytes_out;
}

static void count_turn(struct turn_task *task)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(task, struct tcp_session, count);
    if (s->down)
        count_down_bytes(s, s->down);
    tcp_upstream_count_bytes(&s->up);
}

/* --- the end --- */

static void session_free(struct turn_task *task)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(task, struct tcp_session, release);
    struct listener *l = s->listener;
    WEIR_ASSERT(!s->down && !tcp_upstream_open(&s->up) && !s->chain);
    list_remove(&s->node);
    tcp_upstream_fini(&s->up);
    tcp_proxy_config_unref(&s->config);
    free(s);
    listener_connection_gone(l);
}

void tcp_session_release(struct tcp_session *s)
{
    if (s->down || tcp_upstream_open(&s->up) || !s->chain)
        return;
    if (s->flushing)
        stat_dec(s->config->stats.upstream_flush_active);
    tcp_timers_stop(s);
    list_remove(&s->count.node);
    network_chain_release(&s->chain);
    loop_defer_destroy(&s->worker->loop, &s->release);
}

static void write_logs(struct tcp_session *s, enum log_moment moment)
{
    tcp_session_info(s)->log_moment = moment;
    for (size_t i = 0; i < s->config->access_logs_count; i++)
        s->config->access_logs[i]->write(s->config->access_logs[i], &s->chain->stream);
}

void tcp_session_log(struct tcp_session *s, enum log_moment moment)
{
    if (!s->down)
        return;
    network_chain_look(s->chain, s->down);
    write_logs(s, moment);
}

static void count_down_close(struct tcp_session *s, const struct conn *conn)
{
    const struct listener_stats *stats = &s->listener->config->stats;
    count_down_bytes(s, conn);
    if (conn->close_reason == CONN_CLOSE_CONNECT_TIMEOUT)
        stat_inc(stats->downstream_cx_transport_socket_connect_timeout);
    stat_dec(stats->downstream_cx_active);
    stat_inc(stats->downstream_cx_destroy);
    stat_record(stats->downstream_cx_length_ms, s->worker->loop.now_ms - s->opened_ms);
}

/* The client is gone: what it sent still goes to the upstream, unless this side ended it. */
static void let_go_of_upstream(struct tcp_session *s, bool remote, bool reset)
{
    if (s->finishing)
        return;
    if (reset)
        tcp_upstream_close(&s->up, CONN_CLOSE_RESET);
    else
        tcp_upstream_close(&s->up, remote && s->up.connected ? CONN_CLOSE_FLUSH : CONN_CLOSE_NOW);
}

static void down_closed(struct conn *conn, enum conn_close why)
{
    struct tcp_session *s = conn->owner;
    bool remote = why == CONN_CLOSE_REMOTE || why == CONN_CLOSE_ERROR;
    s->down = NULL;
    tcp_timers_client_gone(s);
    count_down_close(s, conn);
    network_chain_log(s->chain, conn);
    write_logs(s, LOG_TCP_CONNECTION_END);
    let_go_of_upstream(s, remote, remote && conn->error == ECONNRESET);
    if (tcp_upstream_flushing(&s->up)) {
        stat_inc(s->config->stats.upstream_flush_total);
        stat_inc(s->config->stats.upstream_flush_active);
        s->flushing = true;
    }
    tcp_session_release(s);
}

/* Both sides have said their last: what is on the way goes out, then both close. */
static void finish(struct tcp_session *s)
{
    s->finishing = true;
    tcp_upstream_close(&s->up, CONN_CLOSE_FLUSH);
    conn_shutdown_write(s->down);
    conn_close(s->down, CONN_CLOSE_FLUSH, 0);
}

void tcp_session_give_up(struct tcp_session *s, uint64_t flags)
{
    stream_info_flag(tcp_session_info(s), flags);
    if (s->down)
        conn_close(s->down, CONN_CLOSE_NOW, 0);
}

void tcp_session_shed(struct tcp_session *s)
{
    stat_inc(s->config->stats.downstream_cx_overload_close);
    tcp_session_info(s)->details = SLICE_LIT("overload");
    tcp_session_give_up(s, RESPONSE_FLAG(OVERLOAD_MANAGER));
}

/* --- bytes --- */

/* What comes before there is an upstream waits in the connection, up to the limit. */
static void keep_early(struct tcp_session *s)
{
    const struct tcp_proxy_config *c = s->config;
    if (!c->early_data || s->early_limit)
        return; /* reading is paused: these bytes were released by a filter, and wait */
    tcp_timers_touch(s);
    stat_inc(c->stats.early_data_received_count_total);
    if (s->down->in.bytes >= c->early_bytes_max) {
        s->early_limit = true;
        conn_pause(s->down, CONN_PAUSE_CODEC);
    }
    if (!s->begun && c->connect_moment == TCP_CONNECT_ON_DATA)
        tcp_attempts_next(s);
}

static void down_data(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->up.connected || !tcp_upstream_open(&s->up)) {
        keep_early(s);
        return;
    }
    if (LISTENER_SHEDS(SHED_TCP_DATA, s->listener)) {
        tcp_session_shed(s);
        return;
    }
    tcp_timers_touch(s);
    if (!tcp_upstream_send(&s->up, &conn->in)) {
        tcp_session_give_up(s, 0);
        return;
    }
    loop_at_turn_end(&s->worker->loop, &s->count);
}

static void up_data(void *owner, struct chain *data)
{
    struct tcp_session *s = owner;
    if (!s->down) {
        chain_clear(data);
        return;
    }
    tcp_timers_touch(s);
    if (!chain_move(&s->down->out, data, data->bytes)) {
        tcp_session_give_up(s, 0);
        return;
    }
    conn_flush_later(s->down);
    loop_at_turn_end(&s->worker->loop, &s->count);
}

static void down_eof(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    s->down_ended = true;
    if (!s->begun) {
        conn_close(conn, CONN_CLOSE_FLUSH, 0); /* it has nothing to say to an upstream, and none will come */
        return;
    }
    if (!tcp_upstream_open(&s->up) || !s->up.connected)
        return;
    if (s->up_ended) {
        s->chain->ended_by_peer = true;
        finish(s);
    } else {
        tcp_upstream_end(&s->up);
    }
}

static void up_eof(void *owner)
{
    struct tcp_session *s = owner;
    s->up_ended = true;
    if (!s->down)
        return;
    if (s->down_ended) {
        s->up.ended_by_peer = true;
        finish(s);
    } else {
        conn_shutdown_write(s->down);
    }
}

static void up_full(void *owner, bool on)
{
    struct tcp_session *s = owner;
    const struct tcp_proxy_stats *stats = &s->config->stats;
    if (!s->down)
        return;
    stat_inc(on ? stats->downstream_flow_control_paused_reading_total
                : stats->downstream_flow_control_resumed_reading_total);
    if (on)
        conn_pause(s->down, CONN_PAUSE_WATERMARK);
    else
        conn_resume(s->down, CONN_PAUSE_WATERMARK);
}

static void down_high(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (tcp_upstream_open(&s->up))
        tcp_upstream_pause(&s->up, true);
}

static void down_low(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (tcp_upstream_open(&s->up))
        tcp_upstream_pause(&s->up, false);
}

/* --- the upstream --- */

static void up_connected(void *owner)
{
    struct tcp_session *s = owner;
    if (!s->down)
        return;
    tcp_attempts_connected(s);
    tcp_timers_touch(s);
    if (!chain_empty(&s->down->in))
        down_data(s->down);
    if (s->down_ended && tcp_upstream_open(&s->up))
        tcp_upstream_end(&s->up);
    conn_resume(s->down, CONN_PAUSE_CODEC);
    if (s->config->log_connected)
        tcp_session_log(s, LOG_TCP_UPSTREAM_CONNECTED);
}

static void up_closed(void *owner, const struct tcp_upstream_end *end)
{
    struct tcp_session *s = owner;
    if (!s->down) {
        tcp_session_release(s);
        return;
    }
    if (!end->was_connected) {
        tcp_attempts_failed(s, end);
        return;
    }
    if (end->reset)
        stream_info_flag(tcp_session_info(s), RESPONSE_FLAG(UPSTREAM_REMOTE_RESET));
    if (!s->finishing)
        conn_close(s->down, end->reset ? CONN_CLOSE_RESET : CONN_CLOSE_FLUSH, 0);
}

static const struct tcp_upstream_events up_events = {
    .connected = up_connected,
    .data = up_data,
    .eof = up_eof,
    .full = up_full,
    .closed = up_closed,
};

/* --- the client --- */

/* All network filters in front have let the connection through. */
static void down_ready(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    bool tls = tcp_session_info(s)->tls != NULL;
    s->ready = true;
    if (s->begun || s->config->connect_moment == TCP_CONNECT_ON_DATA ||
        (s->config->connect_moment == TCP_CONNECT_ON_HANDSHAKE && tls && !s->secured))
        return;
    tcp_attempts_next(s);
}

/* The client's TLS handshake is done. */
static void down_secured(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    s->secured = true;
    if (s->ready)
        down_ready(conn);
}

static const struct conn_events down_events = {
    .connected = down_ready,
    .data = down_data,
    .eof = down_eof,
    .write_high = down_high,
    .write_low = down_low,
    .closed = down_closed,
    .secured = down_secured,
};

static void start(struct tcp_session *s)
{
    struct conn *conn = s->down;
    conn->events = &down_events;
    conn->owner = s;
    conn->detect_close = false; /* a client that has shut its side may still wait for the answer */
    if (!s->config->early_data)
        conn_pause(conn, CONN_PAUSE_CODEC);
    stat_inc(s->config->stats.downstream_cx_total);
    turn_task_init(&s->count, count_turn);
    turn_task_init(&s->release, session_free);
    tcp_timers_start(s);
    list_push_back(&s->listener->sessions, &s->node);
    network_chain_start(s->chain);
}

bool tcp_proxy_open(struct listener *l, struct conn *conn, const struct filter_chain *chain)
{
    struct tcp_session *s = calloc(1, sizeof(*s));
    struct network_chain *record = s ? network_chain_create(l->worker, l->config, chain, conn) : NULL;
    if (!record) {
        free(s);
        return false;
    }
    s->listener = l;
    s->worker = l->worker;
    s->config = tcp_proxy_config_ref(chain->tcp);
    s->chain = record;
    s->down = conn;
    s->up = (struct tcp_upstream){.events = &up_events, .owner = s};
    s->back_off_ms = s->config->back_off_base_ms;
    s->opened_ms = s->active_ms = l->worker->loop.now_ms;
    start(s);
    return true;
}

void tcp_proxy_close_now(struct list *node)
{
    struct tcp_session *s = list_entry(node, struct tcp_session, node);
    if (s->down)
        conn_close(s->down, CONN_CLOSE_NOW, 0);
    tcp_upstream_close(&s->up, CONN_CLOSE_NOW);
}
