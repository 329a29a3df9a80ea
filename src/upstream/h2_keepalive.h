/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_keepalive of Http2ProtocolOptions: when to send a PING, and how long to wait for its answer.
 * Both sides of the proxy use it; what a PING is, is the codec's. Off unless configured, and then costs
 * nothing.
 */
#ifndef WEIR_UPSTREAM_H2_KEEPALIVE_H
#define WEIR_UPSTREAM_H2_KEEPALIVE_H

#include "net/loop.h"

struct h2_keepalive_config {
    uint64_t interval_ms; /* 0: off */
    uint64_t timeout_ms;
    uint32_t jitter_percent;   /* 15 */
    uint64_t idle_interval_ms; /* after that much silence a PING goes before the first new request; 0: off */
};

struct h2_keepalive {
    struct loop *loop; /* NULL: never initialised */
    const struct h2_keepalive_config *config;
    void (*ping)(struct h2_keepalive *k);
    void (*silent)(struct h2_keepalive *k); /* no answer within timeout_ms: close */
    struct timer timer;                     /* the next PING */
    struct timer timeout;                   /* the answer */
    uint64_t active_ms;
};

/* The connection outlives it; `config` too. Nothing runs before start. */
void h2_keepalive_init(struct h2_keepalive *k, struct loop *loop, const struct h2_keepalive_config *config,
                       void (*ping)(struct h2_keepalive *k), void (*silent)(struct h2_keepalive *k));
void h2_keepalive_start(struct h2_keepalive *k);
void h2_keepalive_stop(struct h2_keepalive *k);
/* The answer is there. */
void h2_keepalive_pong(struct h2_keepalive *k);
/* Bytes have come. */
static inline void h2_keepalive_active(struct h2_keepalive *k)
{
    if (k->loop)
        k->active_ms = k->loop->now_ms;
}
/* A request is about to be sent. */
void h2_keepalive_request(struct h2_keepalive *k);

#endif
