/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to an upstream host: socket, codec, and the streams on it. Known to pool.c only.
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_CONN_H
#define WEIR_UPSTREAM_UPSTREAM_CONN_H

#include "net/conn.h"
#include "net/tls_info.h"
#include "upstream/h2_keepalive.h"
#include "upstream/pool.h"

struct upstream_conn {
    struct list node; /* in one of the pool's lists */
    struct pool *pool;
    struct conn *conn; /* NULL once the socket is gone */
    struct http_codec *codec;
    struct list streams; /* struct upstream_stream */
    uint32_t active;     /* streams */
    uint32_t requests;   /* streams so far */
    uint64_t created_ms;
    uint64_t idle_since_ms;
    uint64_t bytes_in_counted; /* already in the statistics */
    uint64_t bytes_out_counted;
    struct timer timer;    /* idle timeout, maximum duration */
    struct turn_task work; /* HTTP/2: the codec has something to write or to tell */
    struct h2_keepalive keepalive;
    struct tls_info *tls; /* owned reference; NULL: clear text */
    bool connected : 1;
    bool in_codec : 1;    /* codec_recv is on the stack */
    bool released : 1;    /* a stream has ended; what follows is done after codec_recv */
    bool retiring : 1;    /* takes no more streams */
    bool closing : 1;     /* conn_close was called or is due */
    bool paused : 1;      /* by its stream's owner */
    bool peer_closed : 1; /* the peer ended it, we only closed the rest */
    bool usable : 1;      /* in the pool's list of those that can take a stream */
    bool closed_busy : 1; /* it had streams when it was closed from our side */
};

/* Starts connecting. NULL and errno when that cannot even begin. */
struct upstream_conn *upstream_conn_create(struct pool *pool);
/* Puts the stream on it; false: the connection cannot take it. */
bool upstream_conn_attach(struct upstream_conn *uc, struct upstream_stream *s);
/* Drops what is unsent; the pool hears of it later. */
void upstream_conn_close(struct upstream_conn *uc);

/* Something was sent on one of its streams. */
void upstream_conn_flush(struct upstream_conn *uc);
/* How many more streams it can take now. */
size_t upstream_conn_room(const struct upstream_conn *uc);

/* upstream_stream_reset for a stream that is on a connection. */
void upstream_conn_reset_stream(struct upstream_stream *s);

/* What a connection tells its pool. */
void pool_conn_connected(struct pool *p, struct upstream_conn *uc);
/* HTTP/1: a stream has left it and it can take another. */
void pool_conn_available(struct pool *p, struct upstream_conn *uc);
/* HTTP/2: it may take more streams or fewer than before. */
void pool_conn_changed(struct pool *p, struct upstream_conn *uc);
/* A stream has left the cluster's counts. */
void pool_stream_done(struct pool *p);
/* It is gone, and so is `conn` in a moment. Streams that were on it have had their events. */
void pool_conn_gone(struct pool *p, struct upstream_conn *uc, const struct conn *conn, enum conn_close why);

#endif
