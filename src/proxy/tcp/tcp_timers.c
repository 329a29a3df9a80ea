/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection of the TCP proxy does by the clock: idling, its longest duration, waits between attempts,
 * lines of access logs about long connections. Sets no timer per byte.
 */
#include "proxy/tcp/tcp_session.h"

#include "net/worker.h"

static struct loop *loop_of(const struct tcp_session *s)
{
    return &s->worker->loop;
}

static uint64_t bytes_sent(const struct tcp_session *s)
{
    return (s->down ? s->down->bytes_out : 0) + tcp_upstream_bytes_sent(&s->up);
}

static void idle_fired(struct timer *t)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(t, struct tcp_session, idle_timer);
    uint64_t now = loop_of(s)->now_ms, limit = s->config->idle_timeout_ms;
    uint64_t sent = bytes_sent(s);
    /* A slow reader that takes bytes from a full buffer is not idle. */
    uint64_t due = sent != s->sent_seen ? now + limit : s->active_ms + limit;
    s->sent_seen = sent;
    if (now < due) {
        timer_set(loop_of(s), t, due - now);
        return;
    }
    stat_inc(s->config->stats.idle_timeout);
    if (s->down)
        conn_close(s->down, CONN_CLOSE_NOW, 0);
    tcp_upstream_close(&s->up, CONN_CLOSE_NOW);
}

static void duration_fired(struct timer *t)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(t, struct tcp_session, duration_timer);
    stat_inc(s->config->stats.max_downstream_connection_duration);
    tcp_session_give_up(s, RESPONSE_FLAG(DURATION_TIMEOUT));
}

static void retry_fired(struct timer *t)
{
    tcp_attempts_next(WEIR_CONTAINER_OF(t, struct tcp_session, retry_timer));
}

static void log_fired(struct timer *t)
{
    struct tcp_session *s = WEIR_CONTAINER_OF(t, struct tcp_session, log_timer);
    timer_set(loop_of(s), t, s->config->log_interval_ms);
    tcp_session_log(s, LOG_TCP_PERIODIC);
}

/* As much longer as the jitter says, at random: connections that began together do not end together. */
static uint64_t duration(struct tcp_session *s)
{
    uint64_t ms = s->config->duration_max_ms, most = s->config->duration_jitter_ms;
    return most ? ms + worker_random(s->worker, most) : ms;
}

void tcp_timers_start(struct tcp_session *s)
{
    timer_init(&s->idle_timer, idle_fired);
    timer_init(&s->duration_timer, duration_fired);
    timer_init(&s->retry_timer, retry_fired);
    timer_init(&s->log_timer, log_fired);
    if (s->config->duration_max_ms)
        timer_set(loop_of(s), &s->duration_timer, duration(s));
    if (s->config->log_interval_ms)
        timer_set(loop_of(s), &s->log_timer, s->config->log_interval_ms);
    if (s->config->idle_timeout_ms)
        timer_set(loop_of(s), &s->idle_timer, s->config->idle_timeout_ms);
}

void tcp_timers_retry(struct tcp_session *s, uint64_t delay_ms)
{
    timer_set(loop_of(s), &s->retry_timer, delay_ms);
}

void tcp_timers_client_gone(struct tcp_session *s)
{
    timer_stop(loop_of(s), &s->duration_timer);
    timer_stop(loop_of(s), &s->retry_timer);
    timer_stop(loop_of(s), &s->log_timer);
}

void tcp_timers_stop(struct tcp_session *s)
{
    timer_stop(loop_of(s), &s->idle_timer);
}
