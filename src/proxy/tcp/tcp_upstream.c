/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections of the TCP proxy. Counting follows Envoy's TCP pool: an attempt is a pending request,
 * an established connection is an active one; of tunnels the HTTP pool counts.
 */
#include "proxy/tcp/tcp_upstream.h"

#include "base/assert.h"
#include "net/tls_info.h"
#include "net/worker.h"
#include "proxy/tcp/tcp_tunnel.h"
#include "upstream/host_connect.h"
#include "upstream/outlier.h"
#include "upstream/upstream_tls.h"

#include <errno.h>

static struct breakers *breakers_of(const struct tcp_upstream *u)
{
    return &u->cluster->cluster->breakers[BREAKER_DEFAULT];
}

static struct cluster_stats *stats_of(const struct tcp_upstream *u)
{
    return &u->cluster->cluster->stats;
}

static struct host_shard *shard_of(const struct tcp_upstream *u)
{
    return &u->host->shards[u->cluster->pools.worker];
}

bool tcp_upstream_allowed(struct worker_cluster *wc)
{
    if (breaker_can(&wc->cluster->breakers[BREAKER_DEFAULT].connections))
        return true;
    stat_inc(wc->cluster->stats.upstream_cx_overflow);
    return false;
}

static void count_start(struct tcp_upstream *u)
{
    struct cluster_stats *stats = stats_of(u);
    struct host_shard *shard = shard_of(u);
    stat_inc(stats->upstream_rq_pending_total);
    stat_inc(stats->upstream_rq_pending_active);
    stat_inc(stats->upstream_cx_total);
    stat_inc(stats->upstream_cx_active);
    host_count(&shard->cx_total, 1);
    host_count(&shard->cx_active, 1);
    host_count(&shard->rq_pending_active, 1);
    breaker_take(&breakers_of(u)->connections);
    breaker_take(&breakers_of(u)->pending);
}

static void count_pending_over(struct tcp_upstream *u)
{
    stat_dec(stats_of(u)->upstream_rq_pending_active);
    host_count(&shard_of(u)->rq_pending_active, (uint64_t)0 - 1);
    breaker_give(&breakers_of(u)->pending);
}

/* --- events of the connection --- */

static void count_connected(struct tcp_upstream *u)
{
    struct cluster_stats *stats = stats_of(u);
    count_pending_over(u);
    host_connect_count(u->conn, stats, shard_of(u));
    outlier_event(u->host, u->cluster->pools.worker, OUTLIER_CONNECTED_FINAL);
    stat_record(stats->upstream_cx_connect_ms, u->conn->loop->now_ms - u->started_ms);
    stat_inc(stats->upstream_rq_total);
    stat_inc(stats->upstream_rq_active);
    host_count(&shard_of(u)->rq_total, 1);
    host_count(&shard_of(u)->rq_active, 1);
    breaker_take(&breakers_of(u)->requests);
    if (u->cluster->pools.count_active)
        atomic_fetch_add_explicit(&u->host->active, 1, memory_order_relaxed);
}

static void conn_connected(struct conn *conn)
{
    struct tcp_upstream *u = conn->owner;
    u->connected = true;
    count_connected(u);
    u->events->connected(u->owner);
}

static void conn_data(struct conn *conn)
{
    struct tcp_upstream *u = conn->owner;
    u->events->data(u->owner, &conn->in);
}

static void conn_eof(struct conn *conn)
{
    struct tcp_upstream *u = conn->owner;
    u->events->eof(u->owner);
}

static void conn_high(struct conn *conn)
{
    struct tcp_upstream *u = conn->owner;
    u->events->full(u->owner, true);
}

static void conn_low(struct conn *conn)
{
    struct tcp_upstream *u = conn->owner;
    u->events->full(u->owner, false);
}

void tcp_upstream_count_bytes(struct tcp_upstream *u)
{
    if (!u->conn)
        return;
    stat_add(stats_of(u)->upstream_cx_rx_bytes_total, u->conn->bytes_in - u->bytes_in_counted);
    stat_add(stats_of(u)->upstream_cx_tx_bytes_total, u->conn->bytes_out - u->bytes_out_counted);
    u->bytes_in_counted = u->conn->bytes_in;
    u->bytes_out_counted = u->conn->bytes_out;
}

static void count_request_over(struct tcp_upstream *u, bool local)
{
    struct cluster_stats *stats = stats_of(u);
    stat_dec(stats->upstream_rq_active);
    host_count(&shard_of(u)->rq_active, (uint64_t)0 - 1);
    breaker_give(&breakers_of(u)->requests);
    if (u->cluster->pools.count_active)
        atomic_fetch_sub_explicit(&u->host->active, 1, memory_order_relaxed);
    stat_inc(stats->upstream_cx_destroy_with_active_rq);
    stat_inc(local ? stats->upstream_cx_destroy_local_with_active_rq
                   : stats->upstream_cx_destroy_remote_with_active_rq);
}

static void count_connect_failed(struct tcp_upstream *u, enum conn_close why)
{
    struct cluster_stats *stats = stats_of(u);
    count_pending_over(u);
    host_connect_count(u->conn, stats, shard_of(u));
    if (why == CONN_CLOSE_LOCAL) { /* given up: the client has gone */
        stat_inc(stats->upstream_rq_cancelled);
        return;
    }
    stat_inc(stats->upstream_rq_pending_failure_eject);
    stat_inc(stats->upstream_cx_connect_fail);
    host_count(&shard_of(u)->cx_connect_fail, 1);
    outlier_event(u->host, u->cluster->pools.worker,
                  why == CONN_CLOSE_CONNECT_TIMEOUT ? OUTLIER_TIMED_OUT : OUTLIER_CONNECT_FAILED);
    if (why == CONN_CLOSE_CONNECT_TIMEOUT)
        stat_inc(stats->upstream_cx_connect_timeout);
}

static void count_closed(struct tcp_upstream *u, enum conn_close why)
{
    struct cluster_stats *stats = stats_of(u);
    bool local = conn_closed_by_us(why) && !u->ended_by_peer;
    tcp_upstream_count_bytes(u);
    stat_dec(stats->upstream_cx_active);
    stat_inc(stats->upstream_cx_destroy);
    stat_inc(local ? stats->upstream_cx_destroy_local : stats->upstream_cx_destroy_remote);
    stat_record(stats->upstream_cx_length_ms, u->conn->loop->now_ms - u->started_ms);
    host_count(&shard_of(u)->cx_active, (uint64_t)0 - 1);
    breaker_give(&breakers_of(u)->connections);
    if (u->connected)
        count_request_over(u, local);
    else
        count_connect_failed(u, why);
}

static void conn_closed(struct conn *conn, enum conn_close why)
{
    struct tcp_upstream *u = conn->owner;
    char text[HOST_CONNECT_FAILURE_MAX];
    struct slice failure = SLICE_EMPTY;
    if (!u->connected && why != CONN_CLOSE_LOCAL)
        failure = u->tls && u->tls->failure.len
                      ? u->tls->failure
                      : slice_str(host_connect_failure(conn, why, u->cluster->cluster->config, text));
    count_closed(u, why);
    const struct tcp_upstream_end end = {
        .was_connected = u->connected,
        .given_up = why == CONN_CLOSE_LOCAL,
        .reset = why == CONN_CLOSE_REMOTE && conn->error == ECONNRESET,
        .local = why == CONN_CLOSE_SETUP_FAILED || why == CONN_CLOSE_BIND_FAILED,
        .failure = failure,
    };
    u->conn = NULL;
    list_remove(&u->listed.node);
    worker_cluster_unref(&u->cluster);
    u->events->closed(u->owner, &end);
}

static const struct conn_events conn_events = {
    .connected = conn_connected,
    .data = conn_data,
    .eof = conn_eof,
    .write_high = conn_high,
    .write_low = conn_low,
    .closed = conn_closed,
};

/* --- the beginning --- */

/* A failure is told by `closed`, as all others. */
static void start_tls(struct tcp_upstream *u, uint32_t worker)
{
    static const struct upstream_wants nothing;
    struct host_shard *shard = &u->host->shards[worker];
    if (!upstream_tls_start(u->conn, u->host, &nothing, UPSTREAM_ALPN_NONE, &shard->tls_sessions, &u->tls))
        conn_close(u->conn, CONN_CLOSE_NOW, 0);
}

static enum tcp_upstream_result start_conn(struct tcp_upstream *u, struct worker *w,
                                           const struct upstream_origin *origin)
{
    struct worker_cluster *wc = u->cluster;
    struct cluster_stats *stats = stats_of(u);
    struct host *host = u->host;
    if (!breaker_can(&breakers_of(u)->pending)) {
        stat_inc(stats->upstream_rq_pending_overflow);
        return TCP_UPSTREAM_OVERFLOW;
    }
    const struct cluster_config *config = wc->cluster->config;
    struct host_connect wanted = host_connect_of(&w->loop, config, host, w->index);
    wanted.origin = origin;
    u->conn = host_connect(&wanted, &conn_events, u);
    if (!u->conn) {
        stat_inc(stats->upstream_cx_connect_fail);
        return TCP_UPSTREAM_FAILED;
    }
    if (WEIR_UNLIKELY(host->tls != NULL))
        start_tls(u, w->index);
    u->listed = (struct worker_cluster_conn){.host = host, .conn = u->conn};
    list_init(&u->listed.node);
    list_push_back(&wc->conns, &u->listed.node);
    u->started_ms = w->loop.now_ms;
    u->bytes_in_counted = u->bytes_out_counted = 0;
    count_start(u);
    return TCP_UPSTREAM_CONNECTING;
}

static enum tcp_upstream_result start_tunnel(struct tcp_upstream *u, struct worker *w,
                                             const struct tcp_upstream_wish *wish)
{
    bool overflow;
    u->tunnel = tcp_tunnel_open(u, w, wish, &overflow);
    if (u->tunnel)
        return TCP_UPSTREAM_CONNECTING;
    return overflow ? TCP_UPSTREAM_OVERFLOW : TCP_UPSTREAM_FAILED;
}

enum tcp_upstream_result tcp_upstream_start(struct tcp_upstream *u, struct worker *w,
                                            struct worker_cluster *wc, const struct tcp_upstream_wish *wish)
{
    WEIR_ASSERT(!tcp_upstream_open(u) && !u->cluster);
    struct host *host = worker_cluster_pick_for(wc, wish->request);
    if (!host) {
        stat_inc(wc->cluster->stats.upstream_cx_none_healthy);
        return TCP_UPSTREAM_NO_HOST;
    }
    wc = worker_cluster_of_pick(wc);
    if (u->host)
        host_unref(&u->host);
    u->host = host_ref(host);
    tls_info_unref(&u->tls);
    u->connected = u->ended_by_peer = false;
    u->cluster = worker_cluster_ref(wc);
    enum tcp_upstream_result result =
        WEIR_UNLIKELY(wish->tunnel != NULL) ? start_tunnel(u, w, wish) : start_conn(u, w, wish->origin);
    if (result != TCP_UPSTREAM_CONNECTING)
        worker_cluster_unref(&u->cluster);
    return result;
}

/* --- what the owner does with it --- */

bool tcp_upstream_send(struct tcp_upstream *u, struct chain *data)
{
    if (WEIR_UNLIKELY(u->tunnel != NULL))
        return tcp_tunnel_send(u->tunnel, data);
    if (!chain_move(&u->conn->out, data, data->bytes))
        return false;
    conn_flush_later(u->conn);
    return true;
}

void tcp_upstream_end(struct tcp_upstream *u)
{
    if (u->tunnel)
        tcp_tunnel_end(u->tunnel);
    else
        conn_shutdown_write(u->conn);
}

void tcp_upstream_pause(struct tcp_upstream *u, bool on)
{
    if (u->tunnel) {
        tcp_tunnel_pause(u->tunnel, on);
        return;
    }
    stat_inc(on ? stats_of(u)->upstream_flow_control_paused_reading_total
                : stats_of(u)->upstream_flow_control_resumed_reading_total);
    if (on)
        conn_pause(u->conn, CONN_PAUSE_WATERMARK);
    else
        conn_resume(u->conn, CONN_PAUSE_WATERMARK);
}

void tcp_upstream_close(struct tcp_upstream *u, enum conn_close_mode mode)
{
    if (u->tunnel)
        tcp_tunnel_close(u->tunnel, mode);
    else if (u->conn)
        conn_close(u->conn, mode, 0);
}

void tcp_upstream_tunnel_gone(struct tcp_upstream *u)
{
    u->tunnel = NULL;
    worker_cluster_unref(&u->cluster);
}

const struct address *tcp_upstream_local(const struct tcp_upstream *u)
{
    return u->tunnel ? tcp_tunnel_local(u->tunnel) : &u->conn->local;
}

const struct address *tcp_upstream_remote(const struct tcp_upstream *u)
{
    return u->tunnel ? tcp_tunnel_remote(u->tunnel) : &u->conn->remote;
}

uint64_t tcp_upstream_connection_id(const struct tcp_upstream *u)
{
    return u->tunnel ? tcp_tunnel_connection_id(u->tunnel) : u->conn->id;
}

struct tls_info *tcp_upstream_tls(const struct tcp_upstream *u)
{
    return u->tunnel ? tcp_tunnel_tls(u->tunnel) : u->tls;
}

void tcp_upstream_fini(struct tcp_upstream *u)
{
    WEIR_ASSERT(!tcp_upstream_open(u) && !u->cluster);
    tls_info_unref(&u->tls);
    if (u->host)
        host_unref(&u->host);
}
