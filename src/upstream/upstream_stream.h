/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to an upstream host, as whoever makes it sees it: wait for a connection, send, receive. The
 * memory is the caller's (part of a filter's state); which connection carries it, nobody but the pool knows.
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_STREAM_H
#define WEIR_UPSTREAM_UPSTREAM_STREAM_H

#include "base/list.h"
#include "http/codec.h"
#include "net/address.h"

struct pool;
struct tls_info;
struct upstream_conn;
struct upstream_stream;

/* Why a stream ended before its time: X(NAME, Envoy's text, response flag); whoever keeps response flags
 * makes a table of the third. */
#define UPSTREAM_RESETS(X)                                                                                   \
    X(LOCAL_CONNECTION_FAILURE, "local connection failure", UPSTREAM_CONNECTION_FAILURE)                     \
    X(REMOTE_CONNECTION_FAILURE, "remote connection failure", UPSTREAM_CONNECTION_FAILURE)                   \
    X(CONNECTION_TIMEOUT, "connection timeout", UPSTREAM_CONNECTION_FAILURE)                                 \
    X(CONNECTION_TERMINATION, "connection termination", UPSTREAM_CONNECTION_TERMINATION)                     \
    X(REMOTE_RESET, "remote reset", UPSTREAM_REMOTE_RESET)                                                   \
    X(REMOTE_REFUSED, "remote refused stream reset", UPSTREAM_REMOTE_RESET)                                  \
    X(LOCAL_RESET, "local reset", LOCAL_RESET)                                                               \
    X(OVERFLOW, "overflow", UPSTREAM_OVERFLOW)                                                               \
    X(PROTOCOL_ERROR, "protocol error", UPSTREAM_PROTOCOL_ERROR)

enum upstream_reset {
#define UPSTREAM_RESET_X(name, text, flag) UPSTREAM_##name,
    UPSTREAM_RESETS(UPSTREAM_RESET_X)
#undef UPSTREAM_RESET_X
        UPSTREAM_RESET_COUNT
};

const char *upstream_reset_text(enum upstream_reset why);

/*
 * All come from the event loop, never from inside a function of this file. In any of them the stream may be
 * reset. After `failed`, `reset` or `complete` nothing follows and the object is free.
 */
struct upstream_stream_events {
    /* A connection is there: send. Only after POOL_PENDING. */
    void (*ready)(struct upstream_stream *s);
    /* No connection could be had. `transport` is "" or what the socket said; it lives during the call. */
    void (*failed)(struct upstream_stream *s, enum upstream_reset why, const char *transport);
    /* A 1xx other than 101. */
    void (*informational)(struct upstream_stream *s, struct header_map *headers);
    /* The map lies in the stream's arena. */
    void (*headers)(struct upstream_stream *s, struct header_map *headers, bool end_of_stream);
    void (*data)(struct upstream_stream *s, struct chain *data, bool end_of_stream);
    void (*trailers)(struct upstream_stream *s, struct header_map *trailers);
    void (*reset)(struct upstream_stream *s, enum upstream_reset why);
    /* Request and response have ended well; comes after the event with the end. */
    void (*complete)(struct upstream_stream *s);
    /* The connection has more unsent bytes than it likes (on), or room again (off). */
    void (*backpressure)(struct upstream_stream *s, bool on);
};

struct upstream_stream {
    const struct upstream_stream_events *events;
    struct arena *arena; /* of the owner's stream: response headers are put there */
    /* Private to pool.c and upstream_conn.c. */
    struct list node;
    struct pool *pool;          /* NULL: not in use */
    struct upstream_conn *conn; /* NULL: waiting */
    struct codec_stream *codec;
    uint64_t bytes_in_before; /* of the connection when the stream began */
};

static inline bool upstream_stream_active(const struct upstream_stream *s)
{
    return s->pool != NULL;
}
/* The connection that carries it; NULL while waiting. */
const struct address *upstream_stream_local(const struct upstream_stream *s);
const struct address *upstream_stream_remote(const struct upstream_stream *s);
uint64_t upstream_stream_connection_id(const struct upstream_stream *s);
/* NULL: clear text. Who needs it longer than the connection lives takes a reference. */
struct tls_info *upstream_stream_tls(const struct upstream_stream *s);

/* HTTP/2: the upstream's window is closed and enough waits. Asked after sending; `backpressure` off follows.
 */
static inline bool upstream_stream_blocked(const struct upstream_stream *s)
{
    return s->codec && s->codec->blocked;
}
/* Body bytes that wait below: in the codec, or, where it has the connection for itself, for the socket. */
size_t upstream_stream_held(const struct upstream_stream *s);
/* Of the connection, once ready. */
static inline bool upstream_stream_is_http2(const struct upstream_stream *s)
{
    return s->codec && s->codec->codec->multiplexed;
}

/* Sending, once ready. Not NULL: nothing was sent, or the stream is lost; reset it. */
const struct http_error *upstream_stream_headers(struct upstream_stream *s, const struct header_map *headers,
                                                 bool end_of_stream);
const struct http_error *upstream_stream_data(struct upstream_stream *s, struct chain *data,
                                              bool end_of_stream);
const struct http_error *upstream_stream_trailers(struct upstream_stream *s,
                                                  const struct header_map *trailers);
/* The end of the request was sent and is to be told by the connection, too, if it has only this one: whoever
 * is behind the peer knows no HTTP. */
void upstream_stream_shut(struct upstream_stream *s);
/* No response events (on) until off. */
void upstream_stream_pause(struct upstream_stream *s, bool on);
/* Gives it up, waiting or not; no event follows. Not active is fine. In HTTP/1 the connection closes, in
 * HTTP/2 the upstream gets RST_STREAM. */
void upstream_stream_reset(struct upstream_stream *s);

#endif
