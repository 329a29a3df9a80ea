/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side: one request at a time, and what the upstream says to it. A byte that no request asked
 * for ends the connection: it could be the answer to somebody else's request.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/limits.h"

static bool informational(struct h1_codec *c, struct h1_text *head, struct h1_status_line *line,
                          const struct http_error **error)
{
    struct header_map *map = NULL;
    const struct http_error *e = ++c->informational > H1_INFORMATIONAL_MAX
                                     ? &http_error_too_many_informational
                                     : h1_informational_parse(c, head, line, &map);
    if (e)
        *error = h1_fail(c, e);
    else
        c->base.events->informational(&c->stream, map);
    arena_fini(&c->scratch);
    h1_scan_reset(&c->scan);
    return !e;
}

/* A whole head, of `len` bytes: final, or informational, which is parsed in scratch memory. */
static bool response_take(struct h1_codec *c, struct chain *in, size_t len, const struct http_error **error)
{
    char start[12]; /* "HTTP/1.1 NNN" */
    struct h1_text head;
    struct h1_status_line line;
    struct header_map *map = NULL;
    bool interim = chain_copy_out(in, 0, start, sizeof(start)) == sizeof(start) && start[9] == '1' &&
                   memcmp(start + 9, "101", 3) != 0;
    const struct http_error *e = h1_take(interim ? &c->scratch : c->stream.arena, in, len, &head);
    if (!e)
        e = h1_status_line_parse(&head, &line);
    if (!e && interim)
        return informational(c, &head, &line, error);
    if (!e)
        e = h1_response_parse(c, &head, &line, &map);
    if (e) {
        *error = h1_fail(c, e);
        arena_fini(&c->scratch);
        return false;
    }
    WEIR_ASSERT(c->open && c->recv != H1_RECV_HEAD && c->recv != H1_RECV_IDLE);
    h1_chunk_reset(&c->chunk);
    if (c->send == H1_SEND_RAW && !c->stream.upgraded) {
        /* The upgrade was refused: its request is over, and nothing may follow on this connection. */
        c->close_after = true;
        h1_send_finish(c);
    }
    if (c->send != H1_SEND_DONE && c->recv == H1_RECV_DONE)
        c->close_after = true; /* answered before the request ended: the rest may be in its way */
    c->base.events->headers(&c->stream, map, c->recv == H1_RECV_DONE);
    return true;
}

static bool response_head(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    size_t len = 0;
    if (chain_empty(in))
        return false;
    const struct http_error *e =
        c->send == H1_SEND_HEAD ? &http_error_unexpected_response : h1_scan_head(c, in, true, &len);
    if (e) {
        *error = h1_fail(c, e);
        return false;
    }
    return len > 0 && response_take(c, in, len, error);
}

static bool client_step(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    if (c->recv == H1_RECV_IDLE) {
        WEIR_ASSERT(!c->open);
        if (!chain_empty(in))
            *error = h1_fail(c, &http_error_unexpected_response);
        return false;
    }
    if (c->recv == H1_RECV_HEAD)
        return response_head(c, in, error);
    bool more = h1_recv_body(c, in, error);
    if (c->recv == H1_RECV_DONE && c->send != H1_SEND_DONE)
        c->close_after = true;
    return more;
}

static const struct http_error *client_recv(struct http_codec *codec, struct chain *in)
{
    return h1_recv_loop(h1_of(codec), in, client_step);
}

/* Methods whose requests usually have no body get no content-length: 0 (RFC 9110 8.6). */
static bool method_bodiless(struct slice method)
{
    return slice_eq(method, SLICE_LIT("GET")) || slice_eq(method, SLICE_LIT("HEAD")) ||
           slice_eq(method, SLICE_LIT("DELETE")) || slice_eq(method, SLICE_LIT("TRACE")) ||
           slice_eq(method, SLICE_LIT("CONNECT"));
}

static void frame_request(const struct h1_codec *c, const struct header_map *m, bool end,
                          struct h1_framing *f)
{
    bool has_length = h1_map_length(m, &f->length);
    if (c->connect_request || c->upgrade_request) {
        f->body = H1_SEND_RAW;
        f->upgrade = c->upgrade_request;
    } else if (end) {
        f->body = H1_SEND_LENGTH;
        f->map_length = has_length && f->length == 0;
        f->zero = !f->map_length && !method_bodiless(header_map_get_id(m, HDR_METHOD));
        f->length = 0;
    } else if (has_length) {
        f->body = H1_SEND_LENGTH;
        f->map_length = true;
    } else {
        f->body = H1_SEND_CHUNKED;
        f->chunked = true;
    }
}

static const struct http_error *client_send_headers(struct codec_stream *s, const struct header_map *m,
                                                    bool end)
{
    struct h1_codec *c = h1_of_stream(s);
    struct h1_framing f = {.body = H1_SEND_RAW};
    struct slice method = header_map_get_id(m, HDR_METHOD);
    if (!c->open || c->send != H1_SEND_HEAD)
        return &http_error_send_out_of_order;
    c->head_request = slice_eq(method, SLICE_LIT("HEAD"));
    c->connect_request = slice_eq(method, SLICE_LIT("CONNECT"));
    c->upgrade_request = c->settings.allow_upgrade && !end && header_map_has_id(m, HDR_UPGRADE) &&
                         h1_list_has(header_map_get_id(m, HDR_CONNECTION), SLICE_LIT("upgrade"));
    frame_request(c, m, end, &f);
    const struct http_error *e = h1_write_request(c, m, &f);
    if (e)
        return e == &http_error_bad_outgoing_head ? e : h1_send_fail(c, e);
    h1_send_begin(c, f.body, f.length, end);
    return NULL;
}

static const struct http_error *client_send_informational(struct codec_stream *s, const struct header_map *m)
{
    (void)s;
    (void)m;
    return &http_error_send_out_of_order;
}

static size_t client_streams_available(const struct http_codec *codec)
{
    const struct h1_codec *c = h1_of(codec);
    return !c->open && !c->dead && !c->close_after ? 1 : 0;
}

static struct codec_stream *client_stream_open(struct http_codec *codec, void *user, struct arena *arena)
{
    struct h1_codec *c = h1_of(codec);
    if (client_streams_available(codec) == 0)
        return NULL;
    WEIR_ASSERT(arena);
    h1_exchange_begin(c);
    c->stream.user = user;
    c->stream.arena = arena;
    return &c->stream;
}

static const struct codec_ops client_ops = {
    .name = "h1 client",
    .recv = client_recv,
    .recv_eof = h1_recv_eof,
    .send_headers = client_send_headers,
    .send_informational = client_send_informational,
    .send_data = h1_send_data,
    .send_trailers = h1_send_trailers,
    .stream_reset = h1_stream_reset,
    .stream_pause = h1_stream_pause,
    .stream_open = client_stream_open,
    .streams_available = client_streams_available,
    .drain = h1_drain,
    .wants_close = h1_wants_close,
    .destroy = h1_destroy,
};

struct http_codec *h1_client_create(const struct h1_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out)
{
    struct h1_codec *c = h1_create(settings, events, conn, blocks, out);
    if (!c)
        return NULL;
    c->base.ops = &client_ops;
    c->client = true;
    return &c->base;
}
