/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timeouts of one stream. The idle timer is not moved with every byte: activity notes the time, and the
 * timer looks at it when it fires. What is off costs nothing.
 */
#include "http/headers.h"
#include "proxy/grpc.h"
#include "proxy/overload/overload.h"
#include "proxy/routing/route_config.h"
#include "proxy/stream_private.h"

static struct loop *loop_of(struct stream *s)
{
    return &s->worker->loop;
}

/* Envoy: 504 when the client has done its part, 408 when it has not. */
static void timed_out(struct stream *s, struct slice body, struct slice details, uint64_t flags, int grpc)
{
    struct local_reply reply = {.status = s->request_complete ? 504 : 408,
                                .body = body,
                                .details = details,
                                .flags = flags,
                                .grpc_status = grpc};
    if (s->response_started) {
        s->info.details = details;
        stream_info_flag(&s->info, flags);
    }
    (void)stream_local_reply(s, &reply); /* false: it was reset */
}

static uint64_t idle_limit_ms(const struct stream_private *p)
{
    return overload_timeout(OVERLOAD_TIMER_STREAM_IDLE, p->idle_timeout_ms);
}

static void idle_fired(struct timer *t)
{
    struct stream_private *p = WEIR_CONTAINER_OF(t, struct stream_private, idle_timer);
    struct stream *s = p->stream;
    uint64_t now = loop_of(s)->now_ms, due = p->active_ms + idle_limit_ms(p);
    if (now < due) {
        timer_set(loop_of(s), t, due - now);
        return;
    }
    stat_inc(s->hcm->stats.downstream_rq_idle_timeout);
    timed_out(s, SLICE_LIT("stream timeout"), SLICE_LIT("stream_idle_timeout"),
              RESPONSE_FLAG(STREAM_IDLE_TIMEOUT), -1);
    /* A filter may hold this answer too: the next one goes past the filters. */
    if (!s->destroyed)
        timer_set(loop_of(s), t, idle_limit_ms(p));
}

static void headers_fired(struct timer *t)
{
    struct stream *s = WEIR_CONTAINER_OF(t, struct stream_private, headers_timer)->stream;
    stat_inc(s->hcm->stats.downstream_rq_header_timeout);
    timed_out(s, SLICE_LIT("request header timeout"), SLICE_LIT("request_header_timeout"), 0, -1);
}

static void request_fired(struct timer *t)
{
    struct stream *s = WEIR_CONTAINER_OF(t, struct stream_private, request_timer)->stream;
    stat_inc(s->hcm->stats.downstream_rq_timeout);
    timed_out(s, SLICE_LIT("request timeout"), SLICE_LIT("request_overall_timeout"), 0, -1);
}

static void duration_fired(struct timer *t)
{
    struct stream *s = WEIR_CONTAINER_OF(t, struct stream_private, duration_timer)->stream;
    stat_inc(s->hcm->stats.downstream_rq_max_duration_reached);
    timed_out(s, SLICE_LIT("downstream duration timeout"), SLICE_LIT("max_duration_timeout"),
              0 /* as Envoy */, 4 /* DEADLINE_EXCEEDED */);
}

void stream_timers_init(struct stream *s)
{
    struct stream_private *p = s->priv;
    timer_init(&p->idle_timer, idle_fired);
    timer_init(&p->headers_timer, headers_fired);
    timer_init(&p->request_timer, request_fired);
    timer_init(&p->duration_timer, duration_fired);
}

void stream_timers_begin(struct stream *s)
{
    const struct hcm_config *hcm = s->hcm;
    struct stream_private *p = s->priv;
    p->active_ms = loop_of(s)->now_ms;
    p->idle_timeout_ms = hcm->stream_idle_timeout_ms;
    if (p->idle_timeout_ms)
        timer_set(loop_of(s), &p->idle_timer, idle_limit_ms(p));
    if (hcm->request_headers_timeout_ms)
        timer_set(loop_of(s), &p->headers_timer, hcm->request_headers_timeout_ms);
    if (hcm->request_timeout_ms)
        timer_set(loop_of(s), &p->request_timer, hcm->request_timeout_ms);
    if (hcm->max_stream_duration_ms)
        timer_set(loop_of(s), &p->duration_timer, hcm->max_stream_duration_ms);
}

void stream_timers_headers(struct stream *s)
{
    timer_stop(loop_of(s), &s->priv->headers_timer);
}

void stream_timers_request_end(struct stream *s)
{
    timer_stop(loop_of(s), &s->priv->request_timer);
}

/* 0: no limit. */
static uint64_t route_duration(struct stream *s, const struct route_action *a)
{
    uint64_t ms;
    struct slice header = header_map_get_id(s->request_headers, HDR_GRPC_TIMEOUT);
    if (a->grpc_timeout_header_max_ms != ROUTE_TIMEOUT_UNSET && header.ptr &&
        grpc_timeout_parse(header, &ms)) {
        if (a->grpc_timeout_header_max_ms && (ms == 0 || ms > a->grpc_timeout_header_max_ms))
            ms = a->grpc_timeout_header_max_ms;
        return ms > a->grpc_timeout_header_offset_ms ? ms - a->grpc_timeout_header_offset_ms : ms;
    }
    if (a->max_stream_duration_ms != ROUTE_TIMEOUT_UNSET)
        return a->max_stream_duration_ms;
    return s->hcm->max_stream_duration_ms;
}

void stream_timers_route(struct stream *s)
{
    struct stream_private *p = s->priv;
    if (!s->route || s->route->kind != ROUTE_FORWARD)
        return;
    const struct route_action *a = &s->route->action;
    if (a->idle_timeout_ms != ROUTE_TIMEOUT_UNSET && a->idle_timeout_ms != p->idle_timeout_ms) {
        p->idle_timeout_ms = a->idle_timeout_ms;
        timer_stop(loop_of(s), &p->idle_timer);
        if (p->idle_timeout_ms)
            timer_set(loop_of(s), &p->idle_timer, idle_limit_ms(p));
    }
    uint64_t duration = route_duration(s, a);
    if (duration != s->hcm->max_stream_duration_ms) {
        timer_stop(loop_of(s), &p->duration_timer);
        if (duration)
            timer_set(loop_of(s), &p->duration_timer, duration);
    }
}

void stream_timers_look(struct stream *s)
{
    if (timer_active(&s->priv->idle_timer))
        idle_fired(&s->priv->idle_timer);
}

void stream_timers_stop(struct stream *s)
{
    struct stream_private *p = s->priv;
    timer_stop(loop_of(s), &p->idle_timer);
    timer_stop(loop_of(s), &p->headers_timer);
    timer_stop(loop_of(s), &p->request_timer);
    timer_stop(loop_of(s), &p->duration_timer);
}
