/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in place of messages. What comes before there is a stream waits; the end of what was sent is told by
 * `shut`, the end of what comes by codec_recv_eof. Never used for a second stream.
 */
#include "http/raw.h"

#include "base/assert.h"

#include <stdlib.h>

struct raw_codec {
    struct http_codec base;
    struct codec_stream stream;
    bool used;   /* it has had its stream */
    bool open;   /* the stream is alive */
    bool paused; /* by its owner */
};

static struct raw_codec *raw_of(const struct http_codec *codec)
{
    return WEIR_CONTAINER_OF(codec, struct raw_codec, base);
}

static struct raw_codec *raw_of_stream(const struct codec_stream *s)
{
    return raw_of(s->codec);
}

/* The head was sent: the answer that no upstream gives. */
static void answer(struct raw_codec *c)
{
    struct codec_stream *s = &c->stream;
    c->base.due = false;
    struct header_map *map = ARENA_NEW(s->arena, struct header_map);
    if (map)
        header_map_init(map, s->arena, HEADERS_COUNT_MAX, HEADERS_BYTES_MAX);
    if (!map || header_map_set_id(map, HDR_STATUS, SLICE_LIT("200")) != HEADER_OK) {
        c->open = false;
        c->base.events->reset(s, &http_error_out_of_memory);
        return;
    }
    s->protocol = HTTP_11;
    s->upgraded = true;
    c->base.events->headers(s, map, false);
}

static const struct http_error *raw_recv(struct http_codec *codec, struct chain *in)
{
    struct raw_codec *c = raw_of(codec);
    if (c->open && c->base.due)
        answer(c);
    if (c->open && c->stream.upgraded && !c->paused && !chain_empty(in)) {
        c->base.events->data(&c->stream, in, false);
        chain_clear(in);
    } else if (c->used && !c->open) {
        chain_clear(in);
    }
    return NULL;
}

static const struct http_error *raw_recv_eof(struct http_codec *codec)
{
    struct raw_codec *c = raw_of(codec);
    struct chain nothing;
    if (c->open && c->base.due)
        answer(c);
    if (!c->open)
        return NULL;
    chain_init(&nothing);
    c->base.events->data(&c->stream, &nothing, true);
    chain_fini(&nothing);
    if (c->open && c->base.shut) {
        c->open = false;
        c->base.events->closed(&c->stream);
    }
    return NULL;
}

static const struct http_error *raw_send_headers(struct codec_stream *s, const struct header_map *headers,
                                                 bool end_of_stream)
{
    struct raw_codec *c = raw_of_stream(s);
    (void)headers;
    WEIR_ASSERT(c->open && !s->upgraded);
    c->base.due = true;
    c->base.shut = end_of_stream;
    return NULL;
}

static const struct http_error *raw_send_informational(struct codec_stream *s,
                                                       const struct header_map *headers)
{
    (void)s;
    (void)headers;
    return &http_error_bad_outgoing_head;
}

static const struct http_error *raw_send_data(struct codec_stream *s, struct chain *data, bool end_of_stream)
{
    struct raw_codec *c = raw_of_stream(s);
    WEIR_ASSERT(c->open && !c->base.shut);
    if (!chain_move(c->base.out, data, data->bytes))
        return &http_error_out_of_memory;
    c->base.shut = end_of_stream;
    return NULL;
}

/* There is no place for them; they end what is sent. */
static const struct http_error *raw_send_trailers(struct codec_stream *s, const struct header_map *trailers)
{
    (void)trailers;
    raw_of_stream(s)->base.shut = true;
    return NULL;
}

static void raw_stream_reset(struct codec_stream *s, const struct http_error *why)
{
    (void)why;
    raw_of_stream(s)->open = false;
}

static void raw_stream_pause(struct codec_stream *s, bool paused)
{
    raw_of_stream(s)->paused = paused;
}

static size_t raw_streams_available(const struct http_codec *codec)
{
    return raw_of(codec)->used ? 0 : 1;
}

static struct codec_stream *raw_stream_open(struct http_codec *codec, void *user, struct arena *arena)
{
    struct raw_codec *c = raw_of(codec);
    if (c->used)
        return NULL;
    c->used = c->open = true;
    c->stream = (struct codec_stream){.codec = codec, .user = user, .arena = arena};
    return &c->stream;
}

static void raw_drain(struct http_codec *codec)
{
    raw_of(codec)->used = true;
}

static bool raw_wants_close(const struct http_codec *codec)
{
    const struct raw_codec *c = raw_of(codec);
    return c->used && !c->open;
}

static void raw_destroy(struct http_codec **codec)
{
    free(raw_of(*codec));
    *codec = NULL;
}

static const struct codec_ops raw_ops = {
    .name = "raw client",
    .recv = raw_recv,
    .recv_eof = raw_recv_eof,
    .send_headers = raw_send_headers,
    .send_informational = raw_send_informational,
    .send_data = raw_send_data,
    .send_trailers = raw_send_trailers,
    .stream_reset = raw_stream_reset,
    .stream_pause = raw_stream_pause,
    .stream_open = raw_stream_open,
    .streams_available = raw_streams_available,
    .drain = raw_drain,
    .wants_close = raw_wants_close,
    .destroy = raw_destroy,
};

struct http_codec *raw_client_create(const struct codec_events *events, void *conn, struct block_pool *blocks,
                                     struct chain *out)
{
    WEIR_ASSERT(events && out);
    struct raw_codec *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->base =
        (struct http_codec){.ops = &raw_ops, .events = events, .conn = conn, .blocks = blocks, .out = out};
    return &c->base;
}
