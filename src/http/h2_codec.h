/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP/2 codec share. Internal to h2_*.c.
 *
 *   h2_session.c   the codec's life: creation, drain, what both sides' operations have in common
 *   h2_recv.c      input: feeding the library, events in order, failure of the connection
 *   h2_callbacks.c what the library tells, noted on streams; no event is called from there, but for 1xx
 *   h2_message.c   fields -> header maps, and what a whole header section must have
 *   h2_send.c      heads, bodies and trailers to the library; its frames to the output
 *   h2_stream.c    stream objects, the list of those for which something is due
 *   h2_flood.c     counts frames against the limits
 */
#ifndef WEIR_HTTP_H2_CODEC_H
#define WEIR_HTTP_H2_CODEC_H

#include "base/list.h"
#include "http/h2.h"

#include <nghttp2/nghttp2.h>

struct h2_stream {
    struct codec_stream base;
    struct list node; /* codec->streams */
    struct list due;  /* codec->due, or alone */
    int32_t id;       /* -1: nothing was sent for it yet */
    uint32_t informational;
    struct header_map *headers;            /* being received, or waiting for its event */
    struct header_map *trailers;           /* the same */
    size_t cookie_cap;                     /* bytes of the buffer in which crumbs are joined */
    struct chain recv;                     /* body that waits for its event */
    struct chain send;                     /* body that waits for the peer's window */
    size_t unconsumed;                     /* bytes taken while paused: no window is given for them yet */
    uint64_t send_left;                    /* of the content-length that was sent */
    struct slice upgrade;                  /* client: what an extended CONNECT asked for */
    uint64_t late_bytes;                   /* received after the answer was complete */
    uint64_t swept_bytes;                  /* send.bytes at the last sweep */
    const struct header_map *trailers_out; /* wait for the end of `send` */
    const struct http_error *error;        /* `reset` is due */
    bool headers_due : 1;
    bool final_received : 1; /* the final head, or the request's */
    bool recv_ended : 1;
    bool end_told : 1; /* the owner knows that recv has ended */
    bool paused : 1;
    bool abandoned : 1; /* the owner has given it up: no event any more */
    bool over : 1;      /* the library has closed it */
    bool reset_received : 1;
    bool drained_due : 1;
    bool swept : 1;
    bool connect : 1; /* CONNECT, or extended CONNECT */
    bool extended : 1;
    bool head_request : 1;
    bool head_sent : 1;
    bool passes_length : 1; /* the map's content-length is sent */
    bool holds_length : 1;  /* send_left holds the sender to it */
    bool no_body : 1;       /* HEAD, 204, 304: body bytes are dropped */
    bool send_ended : 1;    /* the owner has given everything */
    bool end_sent : 1;      /* and it has been put into the output */
    bool deferred : 1;      /* the library waits for resume */
    bool trailers_copied : 1;
    bool trailers_submitted : 1;
};

/* Frames in `out`, in order, without a record for each: a ring of groups, each with the position of its last
 * byte. */
#define H2_BACKLOG_GROUPS 32u
struct h2_backlog {
    uint64_t end[H2_BACKLOG_GROUPS];
    uint32_t count[H2_BACKLOG_GROUPS];
    uint32_t first;
    uint32_t used;
    uint32_t total;
};

/* Where the input stands in the sequence of frames. */
struct h2_scan {
    uint32_t skip;     /* preface: bytes that are no frame */
    uint32_t left;     /* of the present frame's payload */
    uint8_t head_used; /* bytes of a frame head that is not whole */
    uint8_t head[9];
};

/* Streams of the client that are closed, the last ones: what still comes for them is either on its way since
 * before our RST_STREAM, or the client's fault. */
#define H2_CLOSED_KEPT 64u
struct h2_closed {
    int32_t id[H2_CLOSED_KEPT];
    bool by_peer[H2_CLOSED_KEPT];
    uint64_t count; /* ever */
};

struct h2_codec {
    struct http_codec base;
    struct h2_settings settings;
    nghttp2_session *session;
    bool server;
    bool in_library; /* nghttp2 is on the stack: it must not be entered again */
    bool receiving;
    bool due_now;        /* more than body bytes are to be told */
    bool dead;           /* takes no input */
    uint32_t error_code; /* for GOAWAY, with `error` */
    bool goaway_received;
    uint8_t drain_stage;
    uint32_t count; /* streams */
    struct list streams;
    struct list due;
    struct list idle; /* stream objects for reuse */
    uint32_t idle_count;
    struct h2_stream *current;      /* whose header section is being received */
    struct block *heads;            /* of DATA frames; only while the library is asked for output */
    struct block *feed;             /* where the bytes lie that the library is looking at */
    const struct http_error *error; /* of the connection */
    size_t send_bytes;              /* of all streams */
    uint64_t appended;              /* bytes ever put into `out` */
    uint64_t opened;                /* streams ever */
    nghttp2_nv *nva;                /* of the last h2_message_fields: the thread's, or own_nva */
    nghttp2_nv *own_nva;            /* for sections of many fields */
    size_t own_nva_cap;
    struct h2_scan scan;
    struct h2_closed closed;
    int32_t last_id; /* the highest that the client has opened */
    struct h2_backlog frames;
    struct h2_backlog control;
    uint32_t empty_frames; /* consecutive */
    uint64_t priority_frames;
    uint64_t window_frames;
    uint64_t data_frames_sent;
    uint64_t pings;
};

static inline struct h2_codec *h2_of(const struct http_codec *codec)
{
    return (struct h2_codec *)(uintptr_t)codec;
}
static inline struct h2_stream *h2_stream_of(struct codec_stream *s)
{
    return (struct h2_stream *)s;
}

/* h2_stream.c */

/* NULL when memory is out. */
struct h2_stream *h2_stream_new(struct h2_codec *c);
void h2_stream_free(struct h2_codec *c, struct h2_stream *st);
/* Something is to be told about it, or it is to be freed. */
void h2_stream_due(struct h2_codec *c, struct h2_stream *st);
/* Body bytes have come: they can wait for more of them in the same input. */
void h2_stream_due_body(struct h2_codec *c, struct h2_stream *st);
void h2_streams_fini(struct h2_codec *c);

/* h2_callbacks.c */

/* The library's table of our functions, made once; NULL when memory is out. */
const nghttp2_session_callbacks *h2_callbacks(void);

/* h2_message.c */

enum h2_field { H2_FIELD_OK, H2_FIELD_BAD, H2_FIELD_LIMIT };
/* Appends a field to the section that is being received. */
enum h2_field h2_message_field(struct h2_codec *c, struct h2_stream *st, struct slice name,
                               struct slice value);
/* Checks a whole request head and gives it the common form; false: bad. */
bool h2_message_request(struct h2_codec *c, struct h2_stream *st);
/* The same for a final response. */
bool h2_message_response(struct h2_stream *st);
/* The map as the library wants it, in c->nva; 0: it cannot be sent. */
size_t h2_message_fields(struct h2_codec *c, struct h2_stream *st, const struct header_map *m, bool head);

/* h2_recv.c */

const struct http_error *h2_recv(struct http_codec *codec, struct chain *in);
const struct http_error *h2_recv_eof(struct http_codec *codec);

/* h2_send.c */

/* Lets the library write what it can. */
void h2_pump(struct h2_codec *c);
bool h2_submit_fields(struct h2_codec *c, struct h2_stream *st, size_t n, bool end);
const struct http_error *h2_send_headers(struct codec_stream *s, const struct header_map *m, bool end);
const struct http_error *h2_send_informational(struct codec_stream *s, const struct header_map *m);
const struct http_error *h2_send_data(struct codec_stream *s, struct chain *data, bool end);
const struct http_error *h2_send_trailers(struct codec_stream *s, const struct header_map *m);
ssize_t h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                     nghttp2_data_source *source, void *user);
int h2_write_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
                  nghttp2_data_source *source, void *user);
void h2_trailers_drop(struct h2_stream *st);

/* h2_flood.c: NULL, or the limit that was crossed (counted). */

const struct http_error *h2_flood_inbound(struct h2_codec *c, uint8_t type, size_t length);
const struct http_error *h2_flood_data(struct h2_codec *c, bool empty, bool end);
const struct http_error *h2_flood_outbound(struct h2_codec *c, bool control);
/* How many of the bytes to feed now. */
size_t h2_scan(struct h2_codec *c, struct slice bytes);
void h2_closed_add(struct h2_codec *c, int32_t id, bool by_peer);
/* A DATA or HEADERS frame for a stream that is not open. NGHTTP2_NO_ERROR: to be ignored. */
uint32_t h2_closed_check(const struct h2_codec *c, int32_t id);

#endif
