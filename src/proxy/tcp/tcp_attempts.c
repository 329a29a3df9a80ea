/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one connection to an upstream: which cluster, which host, how often, and what the connection's
 * record says of it. Never touches bytes.
 */
#include "proxy/tcp/tcp_session.h"

#include "base/clock.h"
#include "net/tls_info.h"
#include "net/worker.h"
#include "proxy/connection_facts.h"
#include "proxy/limits.h"
#include "proxy/overload/overload.h"
#include "proxy/routing/hash_policy.h"
#include "upstream/upstream_proxy.h"

/* --- choosing where to --- */

/* A filter in front has said where this connection goes. */
static const struct tcp_proxy_target *target_of_filters(struct tcp_session *s)
{
    const struct filter_state_entry *e =
        filter_state_get(&s->chain->stream.filter_state, TCP_PROXY_CLUSTER_KEY);
    if (!e)
        return NULL;
    s->own_target = (struct tcp_proxy_target){
        .cluster = e->value, .hash = slice_hash(e->value), .match = s->config->match};
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

/* What the balancer is told. */
static struct lb_request wish_of(struct tcp_session *s)
{
    struct stream_info *info = tcp_session_info(s);
    struct lb_request wish = {
        .match = connection_facts_labels(info->facts, &s->chain->stream.arena, s->target->match),
        .destination = stream_info_destination(info)};
    if (s->config->hash_source_ip)
        wish.has_hash = hash_of_address(info->downstream_remote, &wish.hash);
    else if (s->config->hash_filter_state.ptr)
        wish.has_hash =
            hash_of_filter_state(&s->chain->stream.filter_state, s->config->hash_filter_state, &wish.hash);
    return wish;
}

/* One attempt. False: it could not begin, the next one may. */
static bool try_upstream(struct tcp_session *s, struct worker_cluster *wc)
{
    struct stream_info *info = tcp_session_info(s);
    struct lb_request wish = wish_of(s);
    struct upstream_origin origin;
    bool told = wc->cluster->config->proxies_count > 0 || wc->aggregate; /* its members may */
    if (told)
        origin = origin_of(s);
    const struct tcp_upstream_wish all = {.request =
                                              wish.has_hash || wish.match || wish.destination ? &wish : NULL,
                                          .origin = told ? &origin : NULL,
                                          .tunnel = s->config->tunnel,
                                          .stream = &s->chain->stream};
    enum tcp_upstream_result result = tcp_upstream_start(&s->up, s->worker, wc, &all);
    if (result == TCP_UPSTREAM_NO_HOST) {
        tcp_session_give_up(s, RESPONSE_FLAG(NO_HEALTHY_UPSTREAM));
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

/* The cluster for the next attempt; NULL: there will be none, and the connection ends. */
static struct worker_cluster *next_cluster(struct tcp_session *s)
{
    s->target = pick_target(s);
    struct worker_cluster *wc = worker_cluster_find(s->worker, s->target->cluster, s->target->hash);
    if (!wc) {
        stat_inc(s->config->stats.downstream_cx_no_route);
        tcp_session_give_up(s, RESPONSE_FLAG(NO_CLUSTER_FOUND));
        return NULL;
    }
    tcp_session_info(s)->cluster_name = s->target->cluster;
    if (!tcp_upstream_allowed(wc)) {
        tcp_session_give_up(s, RESPONSE_FLAG(UPSTREAM_OVERFLOW));
        return NULL;
    }
    if (s->attempts >= s->config->connect_attempts_max) {
        stat_inc(wc->cluster->stats.upstream_cx_connect_attempts_exceeded);
        tcp_session_give_up(s, RESPONSE_FLAG(UPSTREAM_RETRY_LIMIT_EXCEEDED));
        return NULL;
    }
    return wc;
}

/* After a wait? The bound doubles with each, and any time up to it is as good (Envoy's jittered back-off). */
static bool waits(struct tcp_session *s)
{
    uint64_t bound = s->back_off_ms, most = s->config->back_off_max_ms;
    if (bound == 0 || s->attempts == 0 || s->attempts >= s->config->connect_attempts_max)
        return false;
    s->back_off_ms = bound < most / 2 ? bound * 2 : most;
    tcp_timers_retry(s, worker_random(s->worker, bound));
    return true;
}

void tcp_attempts_next(struct tcp_session *s)
{
    s->begun = true;
    if (LISTENER_SHEDS(SHED_TCP_CONNECT, s->listener)) {
        tcp_session_shed(s);
        return;
    }
    for (unsigned n = 0; n < TCP_ATTEMPTS_AT_ONCE_MAX; n++) {
        struct worker_cluster *wc = next_cluster(s);
        if (!wc || try_upstream(s, wc) || waits(s))
            return;
    }
    tcp_timers_retry(s, 1); /* 0 would be in this turn yet */
}

void tcp_attempts_connected(struct tcp_session *s)
{
    struct stream_info *info = tcp_session_info(s);
    struct tls_info *tls = tcp_upstream_tls(&s->up);
    info->upstream_local = *tcp_upstream_local(&s->up);
    if (WEIR_UNLIKELY(host_moves(s->up.host)))
        stream_info_note_peer(info, &s->chain->stream.arena, tcp_upstream_remote(&s->up));
    info->upstream_connected_ns = monotonic_ns();
    info->upstream_connection_id = tcp_upstream_connection_id(&s->up);
    tls_info_unref(&info->upstream_tls);
    if (tls)
        info->upstream_tls = tls_info_ref(tls);
}

void tcp_attempts_failed(struct tcp_session *s, const struct tcp_upstream_end *end)
{
    struct stream_info *info = tcp_session_info(s);
    if (!end->given_up && !end->local) /* as Envoy */
        stream_info_flag(info, RESPONSE_FLAG(UPSTREAM_CONNECTION_FAILURE));
    if (end->failure.len)
        info->upstream_failure_reason = arena_dup(&s->chain->stream.arena, end->failure);
    if (!waits(s))
        tcp_attempts_next(s);
}
