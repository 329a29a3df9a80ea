/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP/1 codec share: the codec object, its states, and who calls whom. Internal to
 * h1_*.c.
 *
 *   h1_server.c  h1_client.c    the two tables of operations; when a message begins
 *   h1_recv.c                   the receive loop, bodies, the end of the exchange, failure
 *   h1_scan.c                   finds the end of a head in a chain, and takes it into an arena
 *   h1_request.c h1_response.c  a whole head -> header map and framing
 *   h1_fields.c                 field lines, shared by heads and trailers
 *   h1_chunk.c                  chunk framing of received bodies
 *   h1_send.c    h1_write.c     sending: states and bodies; text of heads
 */
#ifndef WEIR_HTTP_H1_CODEC_H
#define WEIR_HTTP_H1_CODEC_H

#include "base/assert.h"
#include "http/h1.h"

enum h1_recv_state {
    H1_RECV_IDLE,         /* between messages */
    H1_RECV_HEAD,         /* a start line and fields */
    H1_RECV_LENGTH,       /* recv_left bytes of body */
    H1_RECV_CHUNKED,      /* chunk framing, see struct h1_chunk */
    H1_RECV_TRAILERS,     /* behind the last chunk */
    H1_RECV_UNTIL_CLOSE,  /* a response's body up to the end of the connection */
    H1_RECV_UPGRADE_WAIT, /* server: nothing is read until the answer to the upgrade is sent */
    H1_RECV_OPAQUE,       /* upgraded: bytes */
    H1_RECV_DONE,         /* the message is complete */
};

enum h1_send_state {
    H1_SEND_HEAD,    /* no final head was sent */
    H1_SEND_LENGTH,  /* send_left bytes of body are owed */
    H1_SEND_CHUNKED, /* each send_data is a chunk */
    H1_SEND_RAW,     /* to the end of the connection, or upgraded */
    H1_SEND_NO_BODY, /* HEAD, 204, 304: body bytes are dropped */
    H1_SEND_DONE,
};

/* How far the search for the end of a head has come. Offsets are from the front of `in`, of which nothing is
 * taken until the head is whole: no byte is looked at twice. */
struct h1_scan {
    size_t scanned;
    size_t line_start;
    size_t first_line; /* length of the first line without its end, once lines > 0 */
    uint32_t lines;    /* complete ones, the empty one not counted */
    bool after_cr;     /* the last byte scanned was CR */
    bool line_checked; /* the first line was looked at before the head was whole */
};

enum h1_chunk_state {
    H1_CHUNK_SIZE,
    H1_CHUNK_EXTENSION,
    H1_CHUNK_SIZE_LF,
    H1_CHUNK_DATA,
    H1_CHUNK_DATA_CR,
    H1_CHUNK_DATA_LF,
    H1_CHUNK_LAST, /* the line of the last chunk was read */
};

struct h1_chunk {
    enum h1_chunk_state state;
    uint32_t digits;
    uint32_t extension_bytes; /* of this line */
    uint32_t extension_total; /* of this body */
};

struct h1_codec {
    struct http_codec base;
    struct codec_stream stream; /* the only one; dead unless `open` */
    struct h1_settings settings;

    bool client;
    bool open;        /* the stream is alive */
    bool receiving;   /* codec_recv is on the stack */
    bool paused;      /* by the stream's owner */
    bool close_after; /* this connection takes no further exchange */
    bool dead;        /* all input is dropped */

    /* About the current exchange. */
    bool http_10;
    bool head_request;
    bool connect_request;
    bool upgrade_request;

    enum h1_recv_state recv;
    enum h1_send_state send;
    uint64_t recv_left;
    uint64_t send_left;
    struct h1_scan scan;
    struct h1_chunk chunk;
    uint32_t informational;
    uint32_t leading_crlf;
    const struct http_error *send_error; /* a send failed: `reset` is due */

    struct chain body;    /* what is handed to `data` */
    struct block *frames; /* where framing is written, NULL between messages */
    struct arena scratch; /* for what lives during one call: 1xx heads */
};

static inline struct h1_codec *h1_of(const struct http_codec *codec)
{
    return (struct h1_codec *)(uintptr_t)codec;
}
static inline struct h1_codec *h1_of_stream(struct codec_stream *s)
{
    struct h1_codec *c = h1_of(s->codec);
    WEIR_ASSERT(s == &c->stream);
    return c;
}

/* h1_scan.c */

/* Bytes behind a taken head that are zero and may be read: lets the parsers read 16 bytes at a time. */
#define H1_PAD 32

/* A head in an arena, writable. */
struct h1_text {
    char *ptr;
    size_t len; /* H1_PAD zero bytes follow */
};

void h1_scan_reset(struct h1_scan *s);
/* Looks at what is new in `in`. Sets *head_bytes once a head, up to its empty line, is there; 0: not yet. */
const struct http_error *h1_scan_head(struct h1_codec *c, const struct chain *in, bool has_start_line,
                                      size_t *head_bytes);
/* Moves the first `len` bytes of `in` to the arena. */
const struct http_error *h1_take(struct arena *arena, struct chain *in, size_t len, struct h1_text *text);
/* The first line while the head is incomplete, copied, with its CRLF. */
const struct http_error *h1_copy_first_line(struct h1_codec *c, const struct chain *in, struct h1_text *text);

/* h1_fields.c */

/* What the fields of a head say beyond the map. */
struct h1_fields {
    struct header_map *map;
    struct header_spelling *spelling; /* the map's; NULL: not kept */
    bool has_host;
    bool has_length;
    bool has_transfer_encoding;
    bool chunked;        /* the only Transfer-Encoding is "chunked" */
    bool close;          /* Connection or Proxy-Connection: close */
    bool keep_alive;     /* Connection: keep-alive */
    bool upgrade;        /* Connection: upgrade */
    bool too_many_names; /* in Connection */
    uint32_t name_count;
    struct slice names[9]; /* what Connection lists besides these */
    struct slice host;
    struct slice host_spelling;
    uint64_t length;
};

/* Parses field lines from `p` up to and with the empty line that ends at text->ptr + text->len. Fields that
 * concern only this connection stay out of the map, `upgrade` and `connection` for the caller to decide. */
const struct http_error *h1_fields_parse(struct h1_fields *f, char *p, struct h1_text *text);
/* The same for trailers: names that have no place there are left out. */
const struct http_error *h1_trailers_parse(struct header_map *map, struct h1_text *text);
/* Removes what Connection lists. `guarded`: names whose loss would change where a request goes are an error,
 * otherwise they are kept. */
const struct http_error *h1_fields_drop_listed(struct h1_fields *f, bool guarded);
/* A map in the arena with room for `fields` and some more, and for the spelling where it is kept. NULL when
 * the arena is full. */
struct header_map *h1_map_create(const struct h1_codec *c, struct arena *arena, uint32_t fields);

/* h1_request.c, h1_response.c */

const struct http_error *h1_request_line_check(struct h1_codec *c, struct h1_text *line);
/* Sets the exchange's facts and the receive state, and gives the map. */
const struct http_error *h1_request_parse(struct h1_codec *c, struct h1_text *head, struct header_map **map);

struct h1_status_line {
    unsigned status;
    struct slice digits;
    struct slice reason;
    bool http_10;
    char *fields;
};
const struct http_error *h1_status_line_parse(struct h1_text *head, struct h1_status_line *line);
const struct http_error *h1_response_parse(struct h1_codec *c, struct h1_text *head,
                                           struct h1_status_line *line, struct header_map **map);
const struct http_error *h1_informational_parse(struct h1_codec *c, struct h1_text *head,
                                                struct h1_status_line *line, struct header_map **map);

/* h1_chunk.c */

void h1_chunk_reset(struct h1_chunk *k);
/* Moves the data of chunks from `in` to c->body until `in` is empty or the line of the last chunk is read. */
const struct http_error *h1_chunk_recv(struct h1_codec *c, struct chain *in);

/* h1_recv.c */

struct h1_codec *h1_create(const struct h1_settings *settings, const struct codec_events *events, void *conn,
                           struct block_pool *blocks, struct chain *out);
void h1_destroy(struct http_codec **codec);
/* Makes the stream alive, with nothing sent or received. */
void h1_exchange_begin(struct h1_codec *c);
/* Ends the stream with a `reset` event; the codec takes no more input. Returns `error`. */
const struct http_error *h1_fail(struct h1_codec *c, const struct http_error *error);
/* One step of a received message behind its head. False: wait for more bytes, or for the owner. */
bool h1_recv_body(struct h1_codec *c, struct chain *in, const struct http_error **error);
/* Calls `step` until it waits. */
typedef bool h1_step_fn(struct h1_codec *c, struct chain *in, const struct http_error **error);
const struct http_error *h1_recv_loop(struct h1_codec *c, struct chain *in, h1_step_fn *step);
const struct http_error *h1_recv_eof(struct http_codec *codec);

void h1_stream_reset(struct codec_stream *s, const struct http_error *why);
void h1_stream_pause(struct codec_stream *s, bool paused);
void h1_drain(struct http_codec *codec);
bool h1_wants_close(const struct http_codec *codec);

/* h1_send.c */

/* Enters the state after a head; `end` finishes the message. */
void h1_send_begin(struct h1_codec *c, enum h1_send_state body, uint64_t length, bool end);
void h1_send_finish(struct h1_codec *c);
/* The message on the wire is cut; returns `error`. */
const struct http_error *h1_send_fail(struct h1_codec *c, const struct http_error *error);
const struct http_error *h1_send_data(struct codec_stream *s, struct chain *data, bool end_of_stream);
const struct http_error *h1_send_trailers(struct codec_stream *s, const struct header_map *trailers);
/* At least `len` writable bytes, or NULL; h1_room_put sends the first n of them. */
char *h1_room(struct h1_codec *c, size_t len);
bool h1_room_put(struct h1_codec *c, size_t n);

/* h1_write.c */

/* How a head that is about to be sent frames its message. */
struct h1_framing {
    enum h1_send_state body;
    uint64_t length; /* H1_SEND_LENGTH */
    bool map_length; /* the map's content-length is sent as it is */
    bool zero;       /* "content-length: 0" is added */
    bool chunked;    /* "transfer-encoding: chunked" is added */
    bool upgrade;    /* `upgrade` is sent, with "connection: upgrade" */
    bool close;      /* "connection: close" is added */
    bool keep_alive; /* "connection: keep-alive" is added */
};

/* NULL, bad_outgoing_head (nothing was written) or out_of_memory. */
const struct http_error *h1_write_response(struct h1_codec *c, const struct header_map *m, unsigned status,
                                           const struct h1_framing *f);
const struct http_error *h1_write_request(struct h1_codec *c, const struct header_map *m,
                                          const struct h1_framing *f);
const struct http_error *h1_write_trailers(struct h1_codec *c, const struct header_map *m);
/* The map's content-length if it is exactly one valid number. */
bool h1_map_length(const struct header_map *m, uint64_t *length);

/* True if a comma-separated list has the token, in any case. */
bool h1_list_has(struct slice list, struct slice token);

#endif
