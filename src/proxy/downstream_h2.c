/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an HTTP/2 downstream connection has beyond HTTP/1: the choice of protocol, the two-step drain, PINGs,
 * and the eye on clients that reset what they ask for. Nothing here runs per request on HTTP/1.
 */
#include "proxy/downstream.h"
#include "proxy/limits.h"
#include "proxy/overload/overload.h"
#include "proxy/stream_private.h"
#include "telemetry/log.h"

static struct loop *loop_of(struct downstream *d)
{
    return &d->worker->loop;
}

/* --- Which protocol --- */

static void count_protocol(struct downstream *d)
{
    const struct hcm_stats *stats = &d->hcm->stats;
    bool h2 = downstream_is_h2(d);
    d->cx_counted = true;
    stat_inc(h2 ? stats->downstream_cx_http2_total : stats->downstream_cx_http1_total);
    stat_inc(h2 ? stats->downstream_cx_http2_active : stats->downstream_cx_http1_active);
}

static void ping(struct h2_keepalive *k)
{
    struct downstream *d = WEIR_CONTAINER_OF(k, struct downstream, keepalive);
    codec_ping(d->codec);
    downstream_flush(d);
}

static void silent(struct h2_keepalive *k)
{
    struct downstream *d = WEIR_CONTAINER_OF(k, struct downstream, keepalive);
    stat_inc(d->hcm->http2_stats.keepalive_timeout);
    downstream_close_now(d);
}

static void drain_fired(struct timer *t)
{
    struct downstream *d = WEIR_CONTAINER_OF(t, struct downstream, drain_timer);
    d->drain_stage = 2;
    codec_drain(d->codec);
    downstream_recv(d);
}

static uint64_t sweep_interval_ms(const struct downstream *d)
{
    return overload_timeout(OVERLOAD_TIMER_STREAM_FLUSH, d->hcm->stream_idle_timeout_ms);
}

static void sweep_fired(struct timer *t)
{
    struct downstream *d = WEIR_CONTAINER_OF(t, struct downstream, sweep_timer);
    (void)codec_sweep(d->codec);
    timer_set(loop_of(d), t, sweep_interval_ms(d));
    downstream_recv(d);
}

void downstream_h2_look_at_flush(struct downstream *d)
{
    struct timer *t = &d->sweep_timer;
    if (timer_active(t) && t->due_ms > loop_of(d)->now_ms + sweep_interval_ms(d))
        timer_set(loop_of(d), t, sweep_interval_ms(d));
}

static bool become_h2(struct downstream *d)
{
    struct h2_settings settings = d->hcm->http2;
    settings.stats = &d->hcm->http2_stats;
    struct http_codec *codec =
        h2_server_create(&settings, &downstream_codec_events, d, &loop_of(d)->blocks, &d->conn->out);
    if (!codec)
        return false;
    codec_destroy(&d->codec);
    d->codec = codec;
    d->detect = false;
    count_protocol(d);
    timer_init(&d->drain_timer, drain_fired);
    timer_init(&d->sweep_timer, sweep_fired);
    if (d->hcm->stream_idle_timeout_ms)
        timer_set(loop_of(d), &d->sweep_timer, sweep_interval_ms(d));
    h2_keepalive_init(&d->keepalive, loop_of(d), &d->hcm->keepalive, ping, silent);
    h2_keepalive_start(&d->keepalive);
    conn_flush_later(d->conn);
    return true;
}

bool downstream_make_codec(struct downstream *d)
{
    if (d->hcm->codec == HCM_CODEC_HTTP2)
        return become_h2(d);
    d->codec =
        h1_server_create(&d->hcm->http1, &downstream_codec_events, d, &loop_of(d)->blocks, &d->conn->out);
    d->detect = d->hcm->codec == HCM_CODEC_AUTO;
    if (d->codec && !d->detect)
        count_protocol(d);
    return d->codec != NULL;
}

bool downstream_alpn(struct downstream *d, struct slice protocol)
{
    if (!d->detect || !slice_eq(protocol, SLICE_LIT("h2")))
        return true;
    return become_h2(d);
}

bool downstream_detect(struct downstream *d)
{
    switch (h2_preface_detect(&d->conn->in)) {
    case H2_PREFACE_PART:
        return false;
    case H2_PREFACE_YES:
        if (become_h2(d))
            return true;
        downstream_close_now(d);
        return false;
    case H2_PREFACE_NO:
        break;
    }
    d->detect = false;
    count_protocol(d);
    return true;
}

void downstream_h2_stop(struct downstream *d)
{
    if (!downstream_is_h2(d))
        return;
    timer_stop(loop_of(d), &d->drain_timer);
    timer_stop(loop_of(d), &d->sweep_timer);
    h2_keepalive_stop(&d->keepalive);
}

/* --- Draining --- */

void downstream_h2_drain(struct downstream *d, uint64_t timeout_ms)
{
    if (!d->conn || d->drain_stage == 2)
        return;
    if (d->drain_stage++ == 0)
        codec_drain(d->codec);
    if (timeout_ms == 0) {
        timer_stop(loop_of(d), &d->drain_timer);
        d->drain_stage = 2;
        codec_drain(d->codec);
    } else if (!timer_active(&d->drain_timer)) {
        d->drain_stage = 1;
        timer_set(loop_of(d), &d->drain_timer, timeout_ms);
    }
    downstream_flush(d);
}

/* --- Rapid reset --- */

/* Envoy's overload.premature_reset_total_stream_count and premature_reset_min_stream_lifetime_seconds. */
static bool premature(const struct stream *s)
{
    uint64_t lifetime_ms = (s->info.end_ns - s->info.start_ns) / 1000000u;
    return s->info.response_code == 0 && lifetime_ms < PREMATURE_RESET_LIFETIME_MS;
}

void downstream_h2_ended(struct downstream *d, const struct stream *s)
{
    d->ended_streams++;
    if (!premature(s))
        return;
    d->premature_resets++;
    uint64_t of = d->ended_streams < PREMATURE_RESETS_WINDOW ? PREMATURE_RESETS_WINDOW : d->ended_streams;
    if (d->premature_resets * 2 < of || d->closing || !d->conn)
        return;
    stat_inc(d->hcm->stats.downstream_rq_too_many_premature_resets);
    log_write(HTTP, DEBUG, "[C%lu] closed: too many premature resets", (unsigned long)d->conn->id);
    downstream_close_now(d);
}
