/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP proxying: connects to a host, moves bytes both ways with back-pressure, hands half-closes, closes and
 * resets on, and logs the connection when its client is gone. Never copies a byte.
 */
#include "proxy/tcp/tcp_proxy.h"

#include "base/assert.h"
#include "base/clock.h"
#include "net/tls_info.h"
#include "net/worker.h"
#include "proxy/connection_facts.h"
#include "proxy/listener/network_chain.h"
#include "proxy/overload/overload.h"
#include "proxy/routing/hash_policy.h"
#include "proxy/tcp/tcp_upstream.h"
#include "telemetry/log.h"
#include "upstream/upstream_proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tcp_session {
    struct list node; /* listener->sessions */
    struct listener *listener;
    struct worker *worker;
    const struct tcp_proxy_config *config; /* owned reference */
    struct network_chain *chain;           /* one use of it */
    struct conn *down;                     /* NULL once closed */
    struct tcp_upstream up;
    const struct tcp_proxy_target *target;
    struct tcp_proxy_target own_target; /* instead of a configured one */
    uint32_t attempts;
    bool down_ended; /* the client has shut its side */
    bool up_ended;
    bool finishing; /* both have ended: both connections flush and close */
    bool flushing;  /* counted in upstream_flush_active */
    struct timer idle_timer;
    struct timer duration_timer;
    uint64_t opened_ms;
    uint64_t active_ms;
    uint64_t sent_seen; /* bytes sent to either side as of the last look */
    uint64_t rx_counted;
    uint64_t tx_counted;
    struct turn_task count; /* after the flush of this turn */
    struct turn_task release;
};

static void connect_upstream(struct tcp_session *s);

static struct stream_info *info_of(struct tcp_session *s)
{
    return &s->chain->stream.info;
}

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
    if (s->up.conn)
        tcp_upstream_count_bytes(&s->up);
}

/* --- the end --- */

static void session_free(struct turn_task *task)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(task, struct tcp_session, release);
    struct listener *l = s->listener;
    WEIR_ASSERT(!s->down && !s->up.conn && !s->chain);
    list_remove(&s->node);
    tcp_upstream_fini(&s->up);
    tcp_proxy_config_unref(&s->config);
    free(s);
    listener_connection_gone(l);
}

static void release_when_done(struct tcp_session *s)
{
    if (s->down || s->up.conn || !s->chain)
        return;
    if (s->flushing)
        stat_dec(s->config->stats.upstream_flush_active);
    timer_stop(&s->worker->loop, &s->idle_timer);
    list_remove(&s->count.node);
    network_chain_release(&s->chain);
    loop_defer_destroy(&s->worker->loop, &s->release);
}

static void write_logs(struct tcp_session *s, const struct conn *down)
{
    network_chain_log(s->chain, down);
    for (size_t i = 0; i < s->config->access_logs_count; i++)
        s->config->access_logs[i]->write(s->config->access_logs[i], &s->chain->stream);
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
    struct conn *up = s->up.conn;
    if (!up || s->finishing)
        return;
    if (reset)
        conn_close(up, CONN_CLOSE_RESET, 0);
    else
        conn_close(up, remote && s->up.connected ? CONN_CLOSE_FLUSH : CONN_CLOSE_NOW, 0);
}

static void down_closed(struct conn *conn, enum conn_close why)
{
    struct tcp_session *s = conn->owner;
    bool remote = why == CONN_CLOSE_REMOTE || why == CONN_CLOSE_ERROR;
    s->down = NULL;
    timer_stop(&s->worker->loop, &s->duration_timer);
    count_down_close(s, conn);
    write_logs(s, conn);
    let_go_of_upstream(s, remote, remote && conn->error == ECONNRESET);
    if (s->up.conn && !chain_empty(&s->up.conn->out)) {
        stat_inc(s->config->stats.upstream_flush_total);
        stat_inc(s->config->stats.upstream_flush_active);
        s->flushing = true;
    }
    release_when_done(s);
}

/* Both sides have said their last: what is on the way goes out, then both close. */
static void finish(struct tcp_session *s)
{
    s->finishing = true;
    conn_close(s->up.conn, CONN_CLOSE_FLUSH, 0);
    conn_shutdown_write(s->down);
    conn_close(s->down, CONN_CLOSE_FLUSH, 0);
}

/* The proxy ends the connection; the upstream's follows. */
static void give_up(struct tcp_session *s, uint64_t flags)
{
    info_of(s)->flags |= flags;
    if (s->down)
        conn_close(s->down, CONN_CLOSE_NOW, 0);
}

/* A load shed point has acted. */
static void shed(struct tcp_session *s)
{
    stat_inc(s->config->stats.downstream_cx_overload_close);
    info_of(s)->details = SLICE_LIT("overload");
    give_up(s, RESPONSE_FLAG(OVERLOAD_MANAGER));
}

/* --- timers --- */

static uint64_t bytes_sent(const struct tcp_session *s)
{
    return (s->down ? s->down->bytes_out : 0) + (s->up.conn ? s->up.conn->bytes_out : 0);
}

static void idle_fired(struct timer *t)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(t, struct tcp_session, idle_timer);
    uint64_t now = s->worker->loop.now_ms, limit = s->config->idle_timeout_ms;
    uint64_t sent = bytes_sent(s);
    /* A slow reader that takes bytes from a full buffer is not idle. */
    uint64_t due = sent != s->sent_seen ? now + limit : s->active_ms + limit;
    s->sent_seen = sent;
    if (now < due) {
        timer_set(&s->worker->loop, t, due - now);
        return;
    }
    stat_inc(s->config->stats.idle_timeout);
    if (s->down)
        conn_close(s->down, CONN_CLOSE_NOW, 0);
    if (s->up.conn)
        conn_close(s->up.conn, CONN_CLOSE_NOW, 0);
}

static void duration_fired(struct timer *t)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(t, struct tcp_session, duration_timer);
    stat_inc(s->config->stats.max_downstream_connection_duration);
    give_up(s, RESPONSE_FLAG(DURATION_TIMEOUT));
}

/* The exact time of the last byte counts: the timer looks again when it fires. */
static void touch(struct tcp_session *s)
{
    s->active_ms = s->worker->loop.now_ms;
}

/* --- bytes --- */

static void down_data(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->up.connected || !s->up.conn)
        return; /* reading is paused: these bytes were released by a filter, and wait */
    if (OVERLOAD_SHEDS(SHED_TCP_DATA, s->worker) && !s->listener->config->bypass_overload) {
        shed(s);
        return;
    }
    touch(s);
    if (!chain_move(&s->up.conn->out, &conn->in, conn->in.bytes)) {
        give_up(s, 0);
        return;
    }
    conn_flush_later(s->up.conn);
    loop_at_turn_end(&s->worker->loop, &s->count);
}

static void up_data(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->down) {
        chain_clear(&conn->in);
        return;
    }
    touch(s);
    if (!chain_move(&s->down->out, &conn->in, conn->in.bytes)) {
        give_up(s, 0);
        return;
    }
    conn_flush_later(s->down);
    loop_at_turn_end(&s->worker->loop, &s->count);
}

static void down_eof(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    s->down_ended = true;
    if (!s->up.conn || !s->up.connected)
        return;
    if (s->up_ended) {
        s->chain->ended_by_peer = true;
        finish(s);
    } else {
        conn_shutdown_write(s->up.conn);
    }
}

static void up_eof(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    (void)conn;
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

static void up_high(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->down)
        return;
    stat_inc(s->config->stats.downstream_flow_control_paused_reading_total);
    conn_pause(s->down, CONN_PAUSE_WATERMARK);
}

static void up_low(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->down)
        return;
    stat_inc(s->config->stats.downstream_flow_control_resumed_reading_total);
    conn_resume(s->down, CONN_PAUSE_WATERMARK);
}

static void down_high(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->up.conn)
        return;
    stat_inc(s->up.cluster->cluster->stats.upstream_flow_control_paused_reading_total);
    conn_pause(s->up.conn, CONN_PAUSE_WATERMARK);
}

static void down_low(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    if (!s->up.conn)
        return;
    stat_inc(s->up.cluster->cluster->stats.upstream_flow_control_resumed_reading_total);
    conn_resume(s->up.conn, CONN_PAUSE_WATERMARK);
}

/* --- the upstream --- */

static void up_connected(struct conn *conn)
{
    struct tcp_session *s = conn->owner;
    struct stream_info *info = info_of(s);
    tcp_upstream_connected(&s->up);
    if (!s->down)
        return;
    info->upstream_local = conn->local;
    if (WEIR_UNLIKELY(host_moves(s->up.host)))
        stream_info_note_peer(info, &s->chain->stream.arena, &conn->remote);
    info->upstream_connected_ns = monotonic_ns();
    info->upstream_connection_id = conn->id;
    tls_info_unref(&info->upstream_tls);
    if (s->up.tls)
        info->upstream_tls = tls_info_ref(s->up.tls);
    touch(s);
    if (s->config->idle_timeout_ms)
        timer_set(&s->worker->loop, &s->idle_timer, s->config->idle_timeout_ms);
    if (!chain_empty(&s->down->in))
        down_data(s->down);
    if (s->down_ended)
        conn_shutdown_write(conn);
    conn_resume(s->down, CONN_PAUSE_CODEC);
}

/* Why connecting failed, in Envoy's words. */
static void note_connect_failure(struct tcp_session *s, enum conn_close why, int error)
{
    struct stream_info *info = info_of(s);
    char message[120];
    if (why == CONN_CLOSE_LOCAL)
        return;
    info->flags |= RESPONSE_FLAG(UPSTREAM_CONNECTION_FAILURE);
    if (s->up.tls && s->up.tls->failure.len) {
        info->upstream_failure_reason = arena_dup(&s->chain->stream.arena, s->up.tls->failure);
        return;
    }
    if (why == CONN_CLOSE_CONNECT_TIMEOUT || error == 0 || s->up.tcp_open)
        return;
    char *text = arena_printf(&s->chain->stream.arena, "delayed connect error: %s",
                              strerror_r(error, message, sizeof(message)));
    if (text)
        info->upstream_failure_reason = slice_str(text);
}

static void up_closed(struct conn *conn, enum conn_close why)
{
    struct tcp_session *s = conn->owner;
    bool reset = why == CONN_CLOSE_REMOTE && conn->error == ECONNRESET;
    bool was_connected = s->up.connected;
    tcp_upstream_closed(&s->up, why);
    if (!s->down) {
        release_when_done(s);
        return;
    }
    if (!was_connected) {
        note_connect_failure(s, why, conn->error);
        connect_upstream(s);
        return;
    }
    if (reset)
        info_of(s)->flags |= RESPONSE_FLAG(UPSTREAM_REMOTE_RESET);
    if (!s->finishing)
        conn_close(s->down, reset ? CONN_CLOSE_RESET : CONN_CLOSE_FLUSH, 0);
}

static const struct conn_events up_events = {
    .connected = up_connected,
    .data = up_data,
    .eof = up_eof,
    .write_high = up_high,
    .write_low = up_low,
    .closed = up_closed,
};

/* --- choosing where to --- */

/* Envoy's PerConnectionCluster: a filter in front has said where this connection goes. */
static const struct tcp_proxy_target *target_of_filters(struct tcp_session *s)
{
    const struct filter_state_entry *e =
        filter_state_get(&s->chain->stream.filter_state, SLICE_LIT("envoy.tcp_proxy.cluster"));
    if (!e)
        return NULL;
    s->own_target = (struct tcp_proxy_target){.cluster = e->value, .hash = slice_hash(e->value)};
    return &s->own_target;
}

static const struct tcp_proxy_target *pick_target(struct tcp_session *s)
{
    const struct tcp_proxy_config *c = s->config;
    const struct tcp_proxy_target *own = target_of_filters(s);
    if (own)
        return own;
    size_t last = c->targets_count - 1;
    uint64_t total = c->targets[last].cumulative_end;
    if (last == 0 || total == 0)
        return &c->targets[0];
    uint64_t at = worker_random(s->worker, total);
    size_t i = 0;
    while (i < last && at >= c->targets[i].cumulative_end)
        i++;
    return &c->targets[i];
}

/* What a PROXY header to the upstream says. */
static struct upstream_origin origin_of(const struct tcp_session *s)
{
    const struct stream_info *info = &s->chain->stream.info;
    bool proxied = info->facts && info->facts->proxied;
    return (struct upstream_origin){.from = *info->downstream_remote,
                                    .to = *info->downstream_local,
                                    .tlvs = proxied ? info->facts->proxy_tlvs : s->config->proxy_tlvs};
}

/* One attempt. False: it could not begin, the next one may. */
static bool try_upstream(struct tcp_session *s, struct worker_cluster *wc)
{
    struct stream_info *info = info_of(s);
    struct lb_request wish = {
        .match = connection_facts_labels(info->facts, &s->chain->stream.arena, s->config->match),
        .destination = stream_info_destination(info)};
    if (s->config->hash_source_ip)
        wish.has_hash = hash_of_address(info->downstream_remote, &wish.hash);
    else if (s->config->hash_filter_state.ptr)
        wish.has_hash =
            hash_of_filter_state(&s->chain->stream.filter_state, s->config->hash_filter_state, &wish.hash);
    struct upstream_origin origin;
    bool told = wc->cluster->config->proxies_count > 0 || wc->aggregate; /* its members may */
    if (told)
        origin = origin_of(s);
    enum tcp_upstream_result result = tcp_upstream_start(
        &s->up, s->worker, wc, wish.has_hash || wish.match || wish.destination ? &wish : NULL,
        told ? &origin : NULL, &up_events, s);
    if (result == TCP_UPSTREAM_NO_HOST) {
        give_up(s, RESPONSE_FLAG(NO_HEALTHY_UPSTREAM));
        return true;
    }
    info->upstream_attempts = ++s->attempts;
    info->upstream_pool_wait_ns = monotonic_ns();
    info->upstream_remote = *host_address(s->up.host, s->worker->index);
    host_unref(&info->upstream_host);
    if (s->up.host->shown)
        info->upstream_host = host_ref(s->up.host);
    return result == TCP_UPSTREAM_CONNECTING;
}

static void connect_upstream(struct tcp_session *s)
{
    bool decided = false;
    if (OVERLOAD_SHEDS(SHED_TCP_CONNECT, s->worker) && !s->listener->config->bypass_overload) {
        shed(s);
        return;
    }
    while (!decided) {
        s->target = pick_target(s);
        struct worker_cluster *wc = worker_cluster_find(s->worker, s->target->cluster, s->target->hash);
        if (!wc) {
            stat_inc(s->config->stats.downstream_cx_no_route);
            give_up(s, RESPONSE_FLAG(NO_CLUSTER_FOUND));
            return;
        }
        info_of(s)->cluster_name = s->target->cluster;
        if (!tcp_upstream_allowed(wc)) {
            give_up(s, RESPONSE_FLAG(UPSTREAM_OVERFLOW));
            return;
        }
        if (s->attempts >= s->config->connect_attempts_max) {
            stat_inc(wc->cluster->stats.upstream_cx_connect_attempts_exceeded);
            give_up(s, RESPONSE_FLAG(UPSTREAM_RETRY_LIMIT_EXCEEDED));
            return;
        }
        decided = try_upstream(s, wc);
    }
}

/* --- the client --- */

/* All network filters in front have let the connection through. */
static void down_ready(struct conn *conn)
{
    connect_upstream(conn->owner);
}

static const struct conn_events down_events = {
    .connected = down_ready,
    .data = down_data,
    .eof = down_eof,
    .write_high = down_high,
    .write_low = down_low,
    .closed = down_closed,
};

static void start(struct tcp_session *s)
{
    struct conn *conn = s->down;
    conn->events = &down_events;
    conn->owner = s;
    conn->detect_close = false; /* a client that has shut its side may still wait for the answer */
    conn_pause(conn, CONN_PAUSE_CODEC);
    stat_inc(s->config->stats.downstream_cx_total);
    timer_init(&s->idle_timer, idle_fired);
    timer_init(&s->duration_timer, duration_fired);
    turn_task_init(&s->count, count_turn);
    turn_task_init(&s->release, session_free);
    if (s->config->duration_max_ms)
        timer_set(&s->worker->loop, &s->duration_timer, s->config->duration_max_ms);
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
    s->opened_ms = s->active_ms = l->worker->loop.now_ms;
    start(s);
    return true;
}

void tcp_proxy_close_now(struct list *node)
{
    struct tcp_session *s = list_entry(node, struct tcp_session, node);
    if (s->down)
        conn_close(s->down, CONN_CLOSE_NOW, 0);
    if (s->up.conn)
        conn_close(s->up.conn, CONN_CLOSE_NOW, 0);
}
