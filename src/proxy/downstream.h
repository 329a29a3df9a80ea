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
#include "proxy/listener.h"

struct network_chain;
struct stream;

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
    bool unfinished_streams_at_close;
    struct turn_task recv_task; /* look at input again */
    struct turn_task release;
    struct arena arena; /* of filter_state */
    struct filter_state filter_state;
    struct network_chain *network; /* a use of the filters in front; NULL: none */
    struct timer idle_timer;
    struct timer duration_timer;
    uint64_t idle_since_ms;
    uint64_t opened_ms;
};

/* For listener.c: takes the fd over; false when something is out (fd closed). */
bool downstream_accept(struct listener *l, int fd, const struct address *remote);
/* Drain: idle connections that had a request close now, others with their answer. */
void downstream_drain(struct downstream *d);
void downstream_close_now(struct downstream *d);

/* For downstream_codec.c. */
extern const struct codec_events downstream_codec_events;
/* New requests wait while the socket takes no more answers, or while earlier streams hold their memory. */
void downstream_update_hold(struct downstream *d);

/* For the stream's files. */

/* The codec has forgotten the stream, or will at its next look. */
void downstream_codec_done(struct downstream *d);
/* A stream was destroyed; its memory was released. */
void downstream_stream_gone(struct downstream *d);
void downstream_stream_released(struct downstream *d);
void downstream_stream_paused(struct downstream *d, bool paused);
/* Something was written. */
void downstream_flush(struct downstream *d);
/* Whether the answer that is about to be sent should be the connection's last. */
bool downstream_should_close(const struct downstream *d);

#endif
