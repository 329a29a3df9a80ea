/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec interface: bytes of one connection on one side, streams of messages on the other. A codec does no
 * I/O, has no clock and no timer; it consumes input that it is given and appends output to the connection's
 * chain. It has many streams per connection from the first day (HTTP/1 uses one at a time), in both
 * directions: `server` codecs receive requests, `client` codecs receive responses.
 *
 * Sending: every codec_send_* returns NULL, or why it sent nothing. After bad_outgoing_head from
 * codec_send_headers or codec_send_informational all is as before; after any other error the message on the
 * wire is cut short and the stream is lost: the owner resets it, or gets `reset` from the next codec_recv.
 *
 * Re-entrancy: events are called from codec_recv and codec_recv_eof only, so an owner that ends a message
 * outside an event calls codec_recv afterwards (with whatever `in` holds, also nothing) and gets `closed`
 * from there. The owner of a multiplexed codec does so once per turn after anything that it sent, reset or
 * un-paused outside of codec_recv: only there frames are put into `out`. Neither of the two may be called
 * from inside an event. Inside an event every codec_stream_* function may be called for any stream, and the
 * connection may decide to die, but the codec object must live until codec_recv has returned. After `reset`
 * or after both directions have ended (`closed` event) the stream pointer is dead.
 */
#ifndef WEIR_HTTP_CODEC_H
#define WEIR_HTTP_CODEC_H

#include "base/chain.h"
#include "http/error.h"
#include "http/headers.h"

struct http_codec;
struct codec_stream;

enum http_protocol { HTTP_10, HTTP_11, HTTP_2 };

/* What a codec tells its owner. `conn` is the owner's pointer given at creation. */
struct codec_events {
    /*
     * Server: the first byte of a request arrived (the owner starts its header timer). The owner sets
     * stream->user and stream->arena; returning false refuses the stream (the connection is about to close).
     * Client: not called, the owner made the stream.
     */
    bool (*stream_begin)(void *conn, struct codec_stream *stream);
    /* A whole, valid header section; the map lies in the stream's arena. Client: the final response. */
    void (*headers)(struct codec_stream *stream, struct header_map *headers, bool end_of_stream);
    /* Client: a 1xx other than 101. The map is only valid during the call. */
    void (*informational)(struct codec_stream *stream, struct header_map *headers);
    /* The callee may move bytes out of `data`; what it leaves is dropped. May be empty only with
     * end_of_stream. */
    void (*data)(struct codec_stream *stream, struct chain *data, bool end_of_stream);
    void (*trailers)(struct codec_stream *stream, struct header_map *trailers);
    /*
     * The stream is over before its time: the peer broke the protocol, reset it, or closed. `error` says why.
     * Nothing more is called for it. A server owner may still answer with error->status when no response was
     * begun, from inside this event (HTTP/1: codec_send_headers works once more and the connection closes
     * after it).
     */
    void (*reset)(struct codec_stream *stream, const struct http_error *error);
    /* Both directions have ended well; the stream is dead and, in HTTP/1, the next request may be parsed. */
    void (*closed)(struct codec_stream *stream);
    /* HTTP/2: what codec_send_data left waiting (stream->blocked) has gone down to half: send on. */
    void (*drained)(struct codec_stream *stream);
    /* HTTP/2: the answer to codec_ping. May be NULL. */
    void (*pong)(void *conn);
};

/* The part of a stream that its owner sees; codecs embed it at the start of their own. */
struct codec_stream {
    struct http_codec *codec;
    void *user;                  /* the owner's */
    struct arena *arena;         /* where header maps of this stream live; the owner's */
    enum http_protocol protocol; /* of the received message once `headers` was called */
    bool upgraded;               /* 101 or CONNECT 2xx: both directions are opaque bytes now */
    bool blocked; /* HTTP/2: the peer's window is closed and enough waits; look after each codec_send_data */
};

struct codec_ops {
    const char *name;
    const struct http_error *(*recv)(struct http_codec *codec, struct chain *in);
    const struct http_error *(*recv_eof)(struct http_codec *codec);
    const struct http_error *(*send_headers)(struct codec_stream *s, const struct header_map *headers,
                                             bool end_of_stream);
    const struct http_error *(*send_informational)(struct codec_stream *s, const struct header_map *headers);
    const struct http_error *(*send_data)(struct codec_stream *s, struct chain *data, bool end_of_stream);
    const struct http_error *(*send_trailers)(struct codec_stream *s, const struct header_map *trailers);
    void (*stream_reset)(struct codec_stream *s, const struct http_error *why);
    void (*stream_pause)(struct codec_stream *s, bool paused);
    struct codec_stream *(*stream_open)(struct http_codec *codec, void *user, struct arena *arena);
    size_t (*streams_available)(const struct http_codec *codec);
    void (*drain)(struct http_codec *codec);
    void (*ping)(struct http_codec *codec); /* NULL: the protocol has no such thing */
    size_t (*sweep)(struct http_codec *codec);
    size_t (*stream_held)(const struct codec_stream *s); /* NULL: it holds nothing of a stream's */
    bool (*wants_close)(const struct http_codec *codec);
    void (*destroy)(struct http_codec **codec);
};

struct http_codec {
    const struct codec_ops *ops;
    const struct codec_events *events;
    void *conn;
    struct block_pool *blocks;
    struct chain *out; /* the connection's output; the owner flushes it */
    bool hold;         /* server: the owner wants no further stream for now; input waits */
    bool multiplexed;  /* HTTP/2: many streams at once; pausing or resetting one concerns no other */
    bool due;          /* raw bytes: it has an event to tell, the owner calls codec_recv soon */
    bool shut;         /* raw bytes, tunnels: nothing more will be in `out`; the peer is to be told */
};

/*
 * Consumes from `in`; events are called from here. What is left in `in` waits for more bytes, for the current
 * HTTP/1 response to end, or for un-pausing; the owner calls again then. A non-NULL result means that the
 * connection cannot go on: streams were reset, what is in `out` (GOAWAY, an answer) may be flushed, then it
 * closes.
 */
static inline const struct http_error *codec_recv(struct http_codec *c, struct chain *in)
{
    return c->ops->recv(c, in);
}
/*
 * The peer will send no more. Ends bodies that run to the end of the connection; otherwise resets what is
 * open (Envoy: a client that shuts its writing side has gone away). Called after codec_recv has seen all
 * bytes, and not while a stream is paused: its bytes come first.
 */
static inline const struct http_error *codec_recv_eof(struct http_codec *c)
{
    return c->ops->recv_eof(c);
}
/*
 * Sends the response head (server; with :status) or the request head (client; with :method, :path,
 * :authority). The codec decides the framing: content-length is kept only if it is one valid number and the
 * codec holds the sender to it, otherwise chunked (or close for HTTP/1.0); any transfer-encoding, connection,
 * keep-alive of the map is not sent as is. `connection: close` in the map of a response closes after it.
 * An answer that ends before the request did closes the connection too; what still arrives is dropped.
 * Upgrades: the request is reported with end_of_stream false and no byte behind it is read until the answer's
 * head is sent; 101 (or 2xx to CONNECT) turns both directions into bytes, any other answer ends the request
 * without an event and the connection closes after it.
 */
static inline const struct http_error *codec_send_headers(struct codec_stream *s, const struct header_map *h,
                                                          bool end_of_stream)
{
    return s->codec->ops->send_headers(s, h, end_of_stream);
}
/* 100-continue, 103, ... and 101 is a final head: use codec_send_headers for it. */
static inline const struct http_error *codec_send_informational(struct codec_stream *s,
                                                                const struct header_map *h)
{
    return s->codec->ops->send_informational(s, h);
}
/* Takes all bytes out of `data` (moved, not copied). */
static inline const struct http_error *codec_send_data(struct codec_stream *s, struct chain *data,
                                                       bool end_of_stream)
{
    return s->codec->ops->send_data(s, data, end_of_stream);
}
static inline const struct http_error *codec_send_trailers(struct codec_stream *s, const struct header_map *t)
{
    return s->codec->ops->send_trailers(s, t);
}
/* Gives the stream up; no event follows. In HTTP/1 the connection wants to close. */
static inline void codec_stream_reset(struct codec_stream *s, const struct http_error *why)
{
    s->codec->ops->stream_reset(s, why);
}
/* No `data` event while paused; the owner also stops reading the socket in HTTP/1. Counting reasons is the
 * owner's. After un-pausing the owner calls codec_recv. */
static inline void codec_stream_pause(struct codec_stream *s, bool paused)
{
    s->codec->ops->stream_pause(s, paused);
}
/* Client: a new request; NULL when none can be opened now. */
static inline struct codec_stream *codec_stream_open(struct http_codec *c, void *user, struct arena *arena)
{
    return c->ops->stream_open(c, user, arena);
}
/* Client: how many more streams could be opened now. */
static inline size_t codec_streams_available(const struct http_codec *c)
{
    return c->ops->streams_available(c);
}
/* Finish what is open, take no more: HTTP/1 answers with connection: close. An HTTP/2 server needs two calls:
 * the first asks the client to open no more streams, the second, some round trips later, refuses them. */
static inline void codec_drain(struct http_codec *c)
{
    c->ops->drain(c);
}
/* Asks the peer for a sign of life: `pong` follows. HTTP/2 only. */
static inline void codec_ping(struct http_codec *c)
{
    if (c->ops->ping)
        c->ops->ping(c);
}
/* Gives up answers that are complete here but of which the peer has taken nothing since the last call;
 * returns how many are still waiting. HTTP/2 server only: their owners have forgotten them. */
static inline size_t codec_sweep(struct http_codec *c)
{
    return c->ops->sweep ? c->ops->sweep(c) : 0;
}
/* Body bytes of the stream that wait in the codec, in both directions. */
static inline size_t codec_stream_held(const struct codec_stream *s)
{
    return s->codec->ops->stream_held ? s->codec->ops->stream_held(s) : 0;
}
/* The connection should close once `out` is flushed and no stream is open. */
static inline bool codec_wants_close(const struct http_codec *c)
{
    return c->ops->wants_close(c);
}
/* Open streams are dropped without events. Clears the pointer. */
static inline void codec_destroy(struct http_codec **c)
{
    if (*c)
        (*c)->ops->destroy(c);
}

#endif
