/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's life: made at the first byte of a request, over when its response is complete or it was reset,
 * destroyed at the end of that turn after logs were written. It lives in its own arena.
 */
#include "net/tls_info.h"
#include "proxy/stream_private.h"

#include "base/clock.h"
#include "net/conn.h"
#include "proxy/connection_facts.h"
#include "proxy/downstream.h"
#include "proxy/limits.h"
#include "proxy/routing/route.h"
#include "upstream/host.h"

#include <time.h>

static void stream_finish(struct turn_task *task);
static void stream_release(struct turn_task *task);

static void info_init(struct stream *s, struct downstream *d)
{
    struct stream_info *i = &s->info;
    i->start_ns = monotonic_ns();
    i->start_realtime_ns = worker_realtime_ns(d->worker, i->start_ns);
    i->connection_id = d->conn->id;
    i->stream_id = ++d->worker->stream_ids << 10 | (d->worker->index & 1023);
    i->protocol = downstream_is_h2(d) ? HTTP_2 : HTTP_11;
    i->downstream_remote = &d->conn->remote;
    i->downstream_direct_remote = &d->conn->remote;
    if (WEIR_UNLIKELY(d->facts != NULL)) {
        i->facts = d->facts;
        i->downstream_direct_remote = &d->facts->direct_remote;
    }
    i->downstream_local = &d->conn->local;
    i->tls = d->tls;
}

static void priv_init(struct stream *s, struct stream_private *p)
{
    s->priv = p;
    p->stream = s;
    p->chain.stream = s;
    p->chain.request.headers = &s->request_headers;
    p->chain.request.trailers = &s->request_trailers;
    p->chain.response.headers = &s->response_headers;
    p->chain.response.trailers = &s->response_trailers;
    p->chain.response.response = true;
    p->buffer_limit = s->downstream->listener->config->per_connection_buffer_limit_bytes;
    list_init(&p->node);
    chain_init(&p->chain.request.buffer);
    chain_init(&p->chain.response.buffer);
    turn_task_init(&p->finish, stream_finish);
    turn_task_init(&p->release, stream_release);
    stream_timers_init(s);
}

struct stream *stream_create(struct downstream *d, struct codec_stream *cs)
{
    struct arena arena;
    size_t cap =
        STREAM_ARENA_BYTES_EXTRA + STREAM_ARENA_HEADER_FACTOR * (size_t)d->hcm->max_request_headers_bytes;
    arena_init(&arena, cap, &d->worker->loop.arenas);
    struct stream *s = ARENA_NEW(&arena, struct stream);
    struct stream_private *p = s ? ARENA_NEW(&arena, struct stream_private) : NULL;
    if (!p) {
        arena_fini(&arena);
        return NULL;
    }
    s->arena = arena;
    s->filter_state = (struct filter_state){.parent = &d->filter_state, .arena = &s->arena};
    s->downstream = d;
    s->worker = d->worker;
    /* The connection outlives its streams and holds the references: counting per stream would make workers
     * fight for the counter's cache line. */
    s->hcm = d->hcm;
    s->route_table = d->hcm->route_table;
    s->codec = cs;
    cs->user = s;
    cs->arena = &s->arena;
    priv_init(s, p);
    info_init(s, d);
    list_push_back(&d->streams, &p->node);
    const struct hcm_stats *stats = &d->hcm->stats;
    stat_inc(stats->downstream_rq_total);
    stat_inc(downstream_is_h2(d) ? stats->downstream_rq_http2_total : stats->downstream_rq_http1_total);
    stat_inc(stats->downstream_rq_active);
    stream_timers_begin(s);
    return s;
}

/* The codec knows the stream no more. */
static void forget_codec(struct stream *s)
{
    if (!s->codec)
        return;
    s->codec->user = NULL;
    if (downstream_is_h2(s->downstream) && s->priv->chain.request.holds && !s->priv->reset)
        codec_stream_pause(s->codec, false); /* what still comes is dropped there */
    s->codec = NULL;
    if (s->priv->chain.request.holds)
        downstream_stream_paused(s->downstream, false);
    downstream_codec_done(s->downstream);
}

void stream_over(struct stream *s)
{
    struct stream_private *p = s->priv;
    if (s->destroyed)
        return;
    s->destroyed = true;
    p->chain.request.aborted = true;
    p->chain.response.aborted = true;
    s->info.end_ns = monotonic_ns();
    stream_timers_stop(s);
    if (WEIR_UNLIKELY(p->restart != NULL))
        stream_restart_cancel(s);
    forget_codec(s);
    loop_at_event_end(&s->worker->loop, &p->finish);
}

void stream_reset(struct stream *s, const char *details, uint64_t flags)
{
    struct stream_private *p = s->priv;
    if (p->reset || s->destroyed)
        return;
    p->reset = true;
    stream_info_flag(&s->info, flags);
    if (details)
        s->info.details = slice_str(details);
    if (s->codec && !p->codec_reset) {
        stat_inc(s->hcm->stats.downstream_rq_tx_reset);
        codec_stream_reset(s->codec, NULL);
    }
    stream_over(s);
}

static void finish_stats(struct stream *s)
{
    const struct hcm_stats *stats = &s->hcm->stats;
    stat_dec(stats->downstream_rq_active);
    if (s->priv->upgrade_counted)
        stat_dec(stats->downstream_cx_upgrades_active);
    stat_record(stats->downstream_rq_time, (s->info.end_ns - s->info.start_ns) / 1000000u);
}

static void stream_finish(struct turn_task *task)
{
    struct stream_private *p = WEIR_CONTAINER_OF(task, struct stream_private, finish);
    struct stream *s = p->stream;
    WEIR_ASSERT(p->callbacks == 0 && !s->codec);
    finish_stats(s);
    if (downstream_is_h2(s->downstream))
        downstream_h2_ended(s->downstream, s);
    filters_complete(&s->priv->chain);
    const struct hcm_config *hcm = s->hcm;
    for (size_t i = 0; i < hcm->access_logs_count; i++)
        hcm->access_logs[i]->write(hcm->access_logs[i], s);
    filters_destroy(&s->priv->chain);
    list_remove(&p->node);
    loop_at_event_end(&s->worker->loop, &p->release); /* before the connection's */
    downstream_stream_gone(s->downstream);
}

static void stream_release(struct turn_task *task)
{
    struct stream_private *p = WEIR_CONTAINER_OF(task, struct stream_private, release);
    struct stream *s = p->stream;
    host_unref(&s->info.upstream_host);
    tls_info_unref(&s->info.upstream_tls);
    downstream_stream_released(s->downstream);
    chain_fini(&p->chain.request.buffer);
    chain_fini(&p->chain.response.buffer);
    struct arena arena = s->arena; /* which holds the stream itself */
    arena_fini(&arena);
}

const struct route *stream_route(struct stream *s)
{
    if (s->route_matched)
        return s->route;
    s->route_matched = true;
    s->route = NULL;
    s->virtual_host = NULL;
    s->weighted_cluster = NULL;
    s->info.route_name = SLICE_EMPTY;
    s->info.virtual_host_name = SLICE_EMPTY;
    if (!s->route_table || !s->request_headers)
        return NULL;
    struct route_result r =
        route_table_match(s->route_table, s->request_headers, s, worker_random_bits(s->worker));
    s->virtual_host = r.virtual_host;
    s->route = r.route;
    s->weighted_cluster = r.weighted;
    if (r.virtual_host)
        s->info.virtual_host_name = r.virtual_host->name;
    if (r.route)
        s->info.route_name = r.route->name;
    return s->route;
}
