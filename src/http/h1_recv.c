/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receive side behind a head, for both directions: bodies, trailers, upgraded bytes, the end of the
 * connection; and the life of the one stream: how an exchange ends well, and how it fails.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/limits.h"

#include <stdlib.h>

/* For 1xx heads, with the map beside them. */
#define SCRATCH_BYTES_MAX(headers_bytes_max) ((headers_bytes_max)*2 + 65536)

struct h1_codec *h1_create(const struct h1_settings *settings, const struct codec_events *events, void *conn,
                           struct block_pool *blocks, struct chain *out)
{
    WEIR_ASSERT(settings && events && out);
    struct h1_codec *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->base = (struct http_codec){.events = events, .conn = conn, .blocks = blocks, .out = out};
    c->settings = *settings;
    if (c->settings.headers_count_max == 0)
        c->settings.headers_count_max = HEADERS_COUNT_MAX;
    if (c->settings.headers_count_max > H1_HEADERS_COUNT_LIMIT)
        c->settings.headers_count_max = H1_HEADERS_COUNT_LIMIT;
    if (c->settings.headers_bytes_max == 0)
        c->settings.headers_bytes_max = HEADERS_BYTES_MAX;
    if (c->settings.start_line_bytes_max == 0 ||
        c->settings.start_line_bytes_max > c->settings.headers_bytes_max)
        c->settings.start_line_bytes_max = c->settings.headers_bytes_max;
    c->send = H1_SEND_DONE;
    chain_init(&c->body);
    arena_init(&c->scratch, SCRATCH_BYTES_MAX(c->settings.headers_bytes_max), NULL);
    return c;
}

void h1_destroy(struct http_codec **codec)
{
    struct h1_codec *c = h1_of(*codec);
    WEIR_ASSERT(!c->receiving);
    chain_fini(&c->body);
    block_unref(&c->frames);
    arena_fini(&c->scratch);
    free(c);
    *codec = NULL;
}

void h1_exchange_begin(struct h1_codec *c)
{
    WEIR_ASSERT(!c->open && c->recv == H1_RECV_IDLE);
    c->stream = (struct codec_stream){.codec = &c->base, .protocol = HTTP_11};
    c->open = true;
    c->paused = false;
    c->http_10 = false;
    c->head_request = false;
    c->connect_request = false;
    c->upgrade_request = false;
    c->informational = 0;
    c->send_error = NULL;
    c->recv = H1_RECV_HEAD;
    c->send = H1_SEND_HEAD;
    h1_scan_reset(&c->scan);
}

const struct http_error *h1_fail(struct h1_codec *c, const struct http_error *error)
{
    WEIR_ASSERT(error && c->receiving);
    c->dead = true;
    c->close_after = true;
    if (c->open) {
        /* The owner may answer from inside the event, if no head was sent yet. */
        c->base.events->reset(&c->stream, error);
        c->open = false;
        h1_send_finish(c);
    }
    return error;
}

/* Both directions are done. */
static void exchange_end(struct h1_codec *c)
{
    WEIR_ASSERT(c->open && c->recv == H1_RECV_DONE && c->send == H1_SEND_DONE);
    WEIR_ASSERT(!c->frames && chain_empty(&c->body));
    c->open = false;
    c->recv = H1_RECV_IDLE;
    if (c->close_after)
        c->dead = true;
    c->base.events->closed(&c->stream);
}

/* Hands c->body to the owner. */
static void deliver(struct h1_codec *c, bool end)
{
    WEIR_ASSERT(c->open && c->receiving);
    WEIR_ASSERT(end || !chain_empty(&c->body));
    if (end)
        c->recv = H1_RECV_DONE;
    c->base.events->data(&c->stream, &c->body, end);
    chain_clear(&c->body);
}

static bool recv_bytes(struct h1_codec *c, struct chain *in, size_t n, bool end,
                       const struct http_error **error)
{
    WEIR_ASSERT(n > 0 && n <= in->bytes && chain_empty(&c->body));
    if (!chain_move(&c->body, in, n)) {
        *error = h1_fail(c, &http_error_out_of_memory);
        return false;
    }
    deliver(c, end);
    return true;
}

static bool recv_length(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    size_t n = c->recv_left < in->bytes ? (size_t)c->recv_left : in->bytes;
    WEIR_ASSERT(c->recv_left > 0);
    c->recv_left -= n;
    return recv_bytes(c, in, n, c->recv_left == 0, error);
}

static bool recv_chunked(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    const struct http_error *e = h1_chunk_recv(c, in);
    if (e) {
        chain_clear(&c->body);
        *error = h1_fail(c, e);
        return false;
    }
    if (c->chunk.state != H1_CHUNK_LAST) {
        if (!chain_empty(&c->body))
            deliver(c, false);
        return true;
    }
    /* The usual end, without trailers, goes with the last data. */
    char crlf[2];
    if (chain_copy_out(in, 0, crlf, 2) == 2 && crlf[0] == '\r' && crlf[1] == '\n') {
        chain_drain(in, 2);
        deliver(c, true);
        return true;
    }
    c->recv = H1_RECV_TRAILERS;
    h1_scan_reset(&c->scan);
    if (!chain_empty(&c->body))
        deliver(c, false);
    return true;
}

static bool recv_trailers(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    size_t len = 0;
    struct h1_text text;
    struct header_map *map = NULL;
    const struct http_error *e = h1_scan_head(c, in, false, &len);
    if (!e && len == 0)
        return false;
    if (!e)
        e = h1_take(c->stream.arena, in, len, &text);
    if (!e) {
        map = h1_map_create(c, c->stream.arena, c->scan.lines);
        e = map ? h1_trailers_parse(map, &text) : &http_error_headers_too_large;
    }
    if (e) {
        *error = h1_fail(c, e);
        return false;
    }
    c->recv = H1_RECV_DONE;
    if (c->settings.enable_trailers && map->count > 0)
        c->base.events->trailers(&c->stream, map);
    else
        c->base.events->data(&c->stream, &c->body, true);
    return true;
}

bool h1_recv_body(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    if (c->paused || chain_empty(in))
        return false;
    switch (c->recv) {
    case H1_RECV_LENGTH:
        return recv_length(c, in, error);
    case H1_RECV_CHUNKED:
        return recv_chunked(c, in, error);
    case H1_RECV_TRAILERS:
        return recv_trailers(c, in, error);
    case H1_RECV_UNTIL_CLOSE:
    case H1_RECV_OPAQUE:
        return recv_bytes(c, in, in->bytes, false, error);
    case H1_RECV_IDLE:
    case H1_RECV_HEAD:
    case H1_RECV_UPGRADE_WAIT:
    case H1_RECV_DONE:
        break;
    }
    return false;
}

/* What is due before any byte is looked at. False: nothing was. */
static bool recv_due(struct h1_codec *c, const struct http_error **error)
{
    if (!c->open)
        return false;
    if (c->send_error) {
        *error = h1_fail(c, c->send_error);
        return true;
    }
    if (c->send == H1_SEND_DONE && c->recv != H1_RECV_DONE && !c->client) {
        /* Answered before the request ended. Reading the rest could take for ever: the connection goes. */
        c->recv = H1_RECV_DONE;
        c->close_after = true;
    }
    if (c->send != H1_SEND_DONE || c->recv != H1_RECV_DONE)
        return false;
    exchange_end(c);
    return true;
}

const struct http_error *h1_recv_loop(struct h1_codec *c, struct chain *in, h1_step_fn *step)
{
    const struct http_error *error = NULL;
    WEIR_ASSERT(!c->receiving);
    c->receiving = true;
    for (bool more = true; more && !error;) {
        if (recv_due(c, &error))
            continue;
        if (c->dead) {
            chain_clear(in);
            break;
        }
        more = step(c, in, &error);
    }
    if (error)
        chain_clear(in);
    c->receiving = false;
    return error;
}

static const struct http_error *eof_of_stream(struct h1_codec *c)
{
    switch (c->recv) {
    case H1_RECV_UNTIL_CLOSE:
    case H1_RECV_OPAQUE:
        deliver(c, true);
        return NULL;
    case H1_RECV_DONE:
        /* A client that shuts its side has gone away (Envoy); a server that answered is just done. */
        if (c->client || c->stream.upgraded)
            return NULL;
        break;
    default:
        break;
    }
    return h1_fail(c, c->client ? &http_error_server_closed : &http_error_peer_closed);
}

const struct http_error *h1_recv_eof(struct http_codec *codec)
{
    struct h1_codec *c = h1_of(codec);
    const struct http_error *error = NULL;
    WEIR_ASSERT(!c->receiving);
    c->receiving = true;
    c->close_after = true;
    if (!recv_due(c, &error) && c->open && !c->dead) {
        error = eof_of_stream(c);
        if (!error)
            recv_due(c, &error);
    }
    c->dead = true;
    c->receiving = false;
    return error;
}

void h1_stream_reset(struct codec_stream *s, const struct http_error *why)
{
    struct h1_codec *c = h1_of_stream(s);
    (void)why; /* HTTP/1 has no way to say it */
    c->dead = true;
    c->close_after = true;
    c->open = false;
    h1_send_finish(c);
}

void h1_stream_pause(struct codec_stream *s, bool paused)
{
    h1_of_stream(s)->paused = paused;
}

void h1_drain(struct http_codec *codec)
{
    h1_of(codec)->close_after = true;
}

bool h1_wants_close(const struct http_codec *codec)
{
    return h1_of(codec)->close_after;
}
