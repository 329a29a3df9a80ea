/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A downstream connection: socket, codec and its streams. It decides when the connection closes: after its
 * last stream, on drain, on errors and timeouts.
 */
#ifndef WEIR_PROXY_DOWNSTREAM_H
#define WEIR_PROXY_DOWNSTREAM_H

#include "net/conn.h"
#include "proxy/filter_state.h"
#include "proxy/hcm_config.h"
#include "proxy/listener/listener.h"
#include "upstream/h2_keepalive.h"

struct network_chain;
struct stream;

struct local_limit_connection; /* filters/local_ratelimit */

struct downstream {
    struct list node; /* listener->connections */
    struct listener *listener;
    struct worker *worker;
    const struct hcm_config *hcm; /* owned reference */
    struct conn *conn;            /* NULL once closed */
    struct http_codec *codec;
    struct list streams;     /* struct stream_private; over ones until they are destroyed */
    uint32_t codec_streams;  /* those that the codec still knows */
    uint32_t paused_streams; /* those that read no more for now (HTTP/1: the socket too) */
    uint32_t requests;       /* ever */
    uint32_t unreleased;     /* streams whose memory is still there */
    bool in_recv;            /* codec_recv is on the stack */
    bool closing;            /* conn_close was called */
    bool close_wanted;       /* after the current request: drain, max_requests, duration */
    bool early_answer;       /* answered before the request ended: the close is delayed */
    bool above_high;         /* the socket takes no more */
    bool codec_failed;
    bool detect;         /* codec_type AUTO without TLS: the first bytes say which protocol it is */
    bool cx_counted;     /* in the gauge of its protocol */
    uint8_t drain_stage; /* HTTP/2: GOAWAYs sent */
    bool unfinished_streams_at_close;
    struct turn_task recv_task; /* look at input again */
    struct turn_task release;
    struct arena arena; /* of filter_state */
    struct filter_state filter_state;
    const struct local_limit_connection *rate_limit; /* of filters that limit it, in `arena`; NULL: none */
    struct connection_facts *facts;                  /* owned reference; NULL: no listener filters */
    struct tls_info *tls;                            /* owned reference; NULL: clear text */
    struct network_chain *network;                   /* a use of the filters in front; NULL: none */
    struct timer idle_timer;
    struct timer duration_timer;
    /* HTTP/2 */
    struct timer drain_timer; /* between the two GOAWAYs */
    struct timer sweep_timer; /* answers that the peer does not take */
    struct h2_keepalive keepalive;
    uint64_t ended_streams;
    uint64_t premature_resets;
    uint64_t idle_since_ms;
    uint64_t opened_ms;
};

/* For incoming.c: takes the connection over; false when memory is out (drop it). */
bool downstream_open(struct listener *l, struct conn *conn, const struct hcm_config *hcm);
/* Behind network filters, which begin here; takes the use of them over. */
void downstream_start_filters(struct downstream *d, struct network_chain *filters);
/* Drain: idle connections that had a request close now, others with their answer. */
void downstream_drain(struct downstream *d);
void downstream_close_now(struct downstream *d);
/* Tells an HTTP/2 client that this is the end, and closes when it knows. Its streams are over. */
void downstream_shed(struct downstream *d);
/* Time limits are shorter or longer than they were: some may be over. */
void downstream_look_at_timers(struct downstream *d);

/* For downstream_codec.c. */
extern const struct codec_events downstream_codec_events;
/* New requests wait while the socket takes no more answers, or while earlier streams hold their memory. */
void downstream_update_hold(struct downstream *d);

/* downstream.c: looks at the input, writes what waits in the codec, closes when all is done. */
void downstream_recv(struct downstream *d);

/* downstream_h2.c */

/* Makes the codec that the configuration asks for; AUTO begins with HTTP/1 and looks at the first bytes. */
bool downstream_make_codec(struct downstream *d);
/* What ALPN has agreed on, before the first byte: "h2" is HTTP/2, all else as without TLS. */
bool downstream_alpn(struct downstream *d, struct slice protocol);
/* The limit for answers that the client does not take has changed. */
void downstream_h2_look_at_flush(struct downstream *d);
/* With the first bytes. False: too few to say. */
bool downstream_detect(struct downstream *d);
void downstream_h2_stop(struct downstream *d);
/* Asks the client to open no more streams, refuses them after the drain timeout, closes after the last one.
 */
void downstream_h2_drain(struct downstream *d, uint64_t timeout_ms);
/* Rapid reset: counts how streams end. Envoy's rule. */
void downstream_h2_ended(struct downstream *d, const struct stream *s);
static inline bool downstream_is_h2(const struct downstream *d)
{
    return d->codec->multiplexed;
}

/* For the stream's files. */

/* The codec has forgotten the stream, or will at its next look. */
void downstream_codec_done(struct downstream *d);
/* A stream was destroyed; its memory was released. */
void downstream_stream_gone(struct downstream *d);
void downstream_stream_released(struct downstream *d);
void downstream_stream_paused(struct downstream *d, bool paused);
/* Something was written. */
void downstream_flush(struct downstream *d);
/* The same for `n` bytes of a body. */
void downstream_flush_body(struct downstream *d, size_t n);
/* Whether the answer that is about to be sent should be the connection's last. */
bool downstream_should_close(const struct downstream *d);

#endif
