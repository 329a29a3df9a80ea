/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections of the TCP proxy. Counting follows Envoy's TCP pool: an attempt is a pending request,
 * an established connection is an active one. Never calls its owner.
 */
#include "proxy/tcp/tcp_upstream.h"

#include "base/assert.h"
#include "net/worker.h"
#include "upstream/host_connect.h"
#include "upstream/outlier.h"
#include "upstream/upstream_tls.h"

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

/* A failure is told by `closed`, as all others. */
static void start_tls(struct tcp_upstream *u, uint32_t worker)
{
    static const struct upstream_wants nothing;
    struct host_shard *shard = &u->host->shards[worker];
    if (!upstream_tls_start(u->conn, u->host, &nothing, UPSTREAM_ALPN_NONE, &shard->tls_sessions, &u->tls))
        conn_close(u->conn, CONN_CLOSE_NOW, 0);
}

enum tcp_upstream_result tcp_upstream_start(struct tcp_upstream *u, struct worker *w,
                                            struct worker_cluster *wc, const struct lb_request *wish,
                                            const struct upstream_origin *origin,
                                            const struct conn_events *events, void *owner)
{
    WEIR_ASSERT(!u->conn && !u->cluster);
    struct host *host = worker_cluster_pick_for(wc, wish);
    if (!host) {
        stat_inc(wc->cluster->stats.upstream_cx_none_healthy);
        return TCP_UPSTREAM_NO_HOST;
    }
    wc = worker_cluster_of_pick(wc);
    struct cluster_stats *stats = &wc->cluster->stats;
    if (u->host)
        host_unref(&u->host);
    u->host = host_ref(host);
    tls_info_unref(&u->tls);
    if (!breaker_can(&wc->cluster->breakers[BREAKER_DEFAULT].pending)) {
        stat_inc(stats->upstream_rq_pending_overflow);
        return TCP_UPSTREAM_OVERFLOW;
    }
    const struct cluster_config *config = wc->cluster->config;
    struct host_connect wanted = host_connect_of(&w->loop, config, host, w->index);
    wanted.origin = origin;
    u->conn = host_connect(&wanted, events, owner);
    if (!u->conn) {
        stat_inc(stats->upstream_cx_connect_fail);
        return TCP_UPSTREAM_FAILED;
    }
    if (WEIR_UNLIKELY(host->tls != NULL))
        start_tls(u, w->index);
    u->cluster = worker_cluster_ref(wc);
    u->listed = (struct worker_cluster_conn){.host = host, .conn = u->conn};
    list_init(&u->listed.node);
    list_push_back(&wc->conns, &u->listed.node);
    u->started_ms = w->loop.now_ms;
    u->bytes_in_counted = u->bytes_out_counted = 0;
    u->connected = u->ended_by_peer = false;
    count_start(u);
    return TCP_UPSTREAM_CONNECTING;
}

void tcp_upstream_connected(struct tcp_upstream *u)
{
    struct cluster_stats *stats = stats_of(u);
    u->connected = true;
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

void tcp_upstream_count_bytes(struct tcp_upstream *u)
{
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

void tcp_upstream_closed(struct tcp_upstream *u, enum conn_close why)
{
    struct cluster_stats *stats = stats_of(u);
    bool local = (why == CONN_CLOSE_LOCAL && !u->ended_by_peer) || why == CONN_CLOSE_CONNECT_TIMEOUT;
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
    u->tcp_open = u->conn->local.len > 0;
    u->conn = NULL;
    list_remove(&u->listed.node);
    worker_cluster_unref(&u->cluster);
}

void tcp_upstream_fini(struct tcp_upstream *u)
{
    WEIR_ASSERT(!u->conn && !u->cluster);
    tls_info_unref(&u->tls);
    if (u->host)
        host_unref(&u->host);
}
