/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the TCP proxy: the record that its parts share. tcp_proxy.c has the client's side and the
 * bytes, tcp_attempts.c the way to an upstream, tcp_timers.c what happens by the clock. Private to this
 * folder.
 */
#ifndef WEIR_PROXY_TCP_SESSION_H
#define WEIR_PROXY_TCP_SESSION_H

#include "proxy/listener/listener.h"
#include "proxy/listener/network_chain.h"
#include "proxy/stream_info.h"
#include "proxy/tcp/tcp_proxy_config.h"
#include "proxy/tcp/tcp_upstream.h"

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
    uint64_t back_off_ms; /* the bound of the next wait; 0: there is none */
    bool ready;           /* the filters in front have let it through */
    bool secured;         /* the client's TLS handshake is done */
    bool begun;           /* a first attempt has been asked for */
    bool down_ended;      /* the client has shut its side */
    bool up_ended;
    bool finishing;   /* both have ended: both connections flush and close */
    bool flushing;    /* counted in upstream_flush_active */
    bool early_limit; /* as much as may has come from the client before there is an upstream */
    struct timer idle_timer;
    struct timer duration_timer;
    struct timer retry_timer;
    struct timer log_timer;
    uint64_t opened_ms;
    uint64_t active_ms;
    uint64_t sent_seen; /* bytes sent to either side as of the last look */
    uint64_t rx_counted;
    uint64_t tx_counted;
    struct turn_task count; /* after the flush of this turn */
    struct turn_task release;
};

static inline struct stream_info *tcp_session_info(struct tcp_session *s)
{
    return &s->chain->stream.info;
}
/* The proxy ends the connection; the upstream's follows. */
void tcp_session_give_up(struct tcp_session *s, uint64_t flags);
/* A load shed point has acted. */
void tcp_session_shed(struct tcp_session *s);
/* When both sides are gone. */
void tcp_session_release(struct tcp_session *s);
/* A line in each access log, about a connection that goes on. */
void tcp_session_log(struct tcp_session *s, enum log_moment moment);

/* --- tcp_attempts.c --- */
/* Begins an attempt at an upstream, as far as there is one; else the connection ends. */
void tcp_attempts_next(struct tcp_session *s);
/* The attempt has led to a connection: the record says which. */
void tcp_attempts_connected(struct tcp_session *s);
/* It has failed; the next one follows now, or after a wait. */
void tcp_attempts_failed(struct tcp_session *s, const struct tcp_upstream_end *end);

/* --- tcp_timers.c --- */
void tcp_timers_start(struct tcp_session *s);
/* The client is gone: only idleness still counts. */
void tcp_timers_client_gone(struct tcp_session *s);
void tcp_timers_stop(struct tcp_session *s);
void tcp_timers_retry(struct tcp_session *s, uint64_t delay_ms);
/* Something came. The exact time counts: the timer looks again when it fires. */
static inline void tcp_timers_touch(struct tcp_session *s)
{
    s->active_ms = s->worker->loop.now_ms;
}

#endif
