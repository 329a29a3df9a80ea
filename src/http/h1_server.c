/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side: requests come in one after the other, each is answered before the next is looked at.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/chars.h"
#include "http/limits.h"
#include "http/status.h"

/* Skips stray empty lines. False: no byte of a request is here yet. */
static bool skip_empty_lines(struct h1_codec *c, struct chain *in)
{
    char start[2];
    for (;;) {
        size_t n = chain_copy_out(in, 0, start, 2);
        if (n == 0 || (n == 1 && start[0] == '\r'))
            return false;
        if (start[0] != '\r' || start[1] != '\n' || c->leading_crlf == H1_LEADING_CRLF_MAX)
            return true;
        chain_drain(in, 2);
        c->leading_crlf++;
    }
}

static bool request_begin(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    WEIR_ASSERT(!c->open && !c->dead && !c->frames);
    if (c->base.hold || !skip_empty_lines(c, in))
        return false;
    c->leading_crlf = 0;
    h1_exchange_begin(c);
    if (!c->base.events->stream_begin(c->base.conn, &c->stream)) {
        c->open = false;
        c->recv = H1_RECV_IDLE;
        c->send = H1_SEND_DONE;
        c->dead = true;
        c->close_after = true;
        return true;
    }
    WEIR_ASSERT(!c->open || c->stream.arena);
    /* Another protocol (TLS, say) is recognised by its first byte, not after 60 KB of it. */
    if (c->open && !chars_is_token(chain_front(in).ptr[0]))
        *error = h1_fail(c, &http_error_bad_method);
    return true;
}

/* The first line of a head that is not whole yet: a wrong one is answered at once. */
static const struct http_error *check_early(struct h1_codec *c, struct chain *in)
{
    struct h1_text line;
    if (c->scan.lines == 0 || c->scan.line_checked)
        return NULL;
    c->scan.line_checked = true;
    const struct http_error *e = h1_copy_first_line(c, in, &line);
    if (!e)
        e = h1_request_line_check(c, &line);
    arena_fini(&c->scratch);
    return e;
}

static bool request_head(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    size_t len = 0;
    struct h1_text head;
    struct header_map *map = NULL;
    const struct http_error *e = h1_scan_head(c, in, true, &len);
    if (e || len == 0) {
        /* What is wrong first is reported, however the bytes came. */
        const struct http_error *line_error = check_early(c, in);
        e = line_error ? line_error : e;
    }
    if (!e && len == 0)
        return false;
    if (!e)
        e = h1_take(c->stream.arena, in, len, &head);
    if (!e)
        e = h1_request_parse(c, &head, &map);
    if (e) {
        *error = h1_fail(c, e);
        return false;
    }
    WEIR_ASSERT(c->open && c->recv != H1_RECV_HEAD && c->recv != H1_RECV_IDLE);
    h1_chunk_reset(&c->chunk);
    c->base.events->headers(&c->stream, map, c->recv == H1_RECV_DONE);
    return true;
}

static bool server_step(struct h1_codec *c, struct chain *in, const struct http_error **error)
{
    if (c->recv == H1_RECV_IDLE)
        return request_begin(c, in, error);
    if (c->recv == H1_RECV_HEAD)
        return request_head(c, in, error);
    return h1_recv_body(c, in, error);
}

static const struct http_error *server_recv(struct http_codec *codec, struct chain *in)
{
    return h1_recv_loop(h1_of(codec), in, server_step);
}

/* Frames a response with a body of unknown length. */
static void frame_unknown(struct h1_codec *c, struct h1_framing *f)
{
    if (c->http_10) {
        f->body = H1_SEND_RAW;
        c->close_after = true;
    } else {
        f->body = H1_SEND_CHUNKED;
        f->chunked = true;
    }
}

/* RFC 9112 6: how the answer is framed. */
static void frame_response(struct h1_codec *c, const struct header_map *m, unsigned status, bool end,
                           struct h1_framing *f)
{
    bool has_length = h1_map_length(m, &f->length);
    if (status == 101 || (c->connect_request && status >= 200 && status < 300)) {
        f->body = H1_SEND_RAW;
        f->upgrade = status == 101;
        return;
    }
    if (c->head_request || status_bodiless(status)) {
        f->body = H1_SEND_NO_BODY;
        f->map_length = has_length && status != 204;
        /* What a GET would have been answered with, as far as is known (Envoy). */
        f->chunked = c->head_request && !has_length && !status_bodiless(status) && !c->http_10;
        return;
    }
    if (end) {
        f->body = H1_SEND_LENGTH;
        f->map_length = has_length && f->length == 0;
        f->zero = !f->map_length;
        f->length = 0;
    } else if (has_length) {
        f->body = H1_SEND_LENGTH;
        f->map_length = true;
    } else {
        frame_unknown(c, f);
    }
}

/* Whether the connection ends with this answer. */
static void decide_close(struct h1_codec *c, const struct header_map *m, bool upgraded, bool end)
{
    if (h1_list_has(header_map_get_id(m, HDR_CONNECTION), SLICE_LIT("close")))
        c->close_after = true;
    /* An answer to half a head, or a refused upgrade whose bytes may already be on their way. */
    if (c->recv == H1_RECV_HEAD || upgraded || c->recv == H1_RECV_UPGRADE_WAIT)
        c->close_after = true;
    if (end && c->recv != H1_RECV_DONE)
        c->close_after = true;
}

static void enter_upgrade(struct h1_codec *c, bool upgraded)
{
    if (upgraded) {
        c->stream.upgraded = true;
        c->recv = H1_RECV_OPAQUE;
    } else if (c->recv == H1_RECV_UPGRADE_WAIT) {
        c->recv = H1_RECV_DONE;
    }
}

static const struct http_error *server_send_headers(struct codec_stream *s, const struct header_map *m,
                                                    bool end)
{
    struct h1_codec *c = h1_of_stream(s);
    struct h1_framing f = {.body = H1_SEND_RAW};
    if (!c->open || c->send != H1_SEND_HEAD)
        return &http_error_send_out_of_order;
    unsigned status = status_parse(header_map_get_id(m, HDR_STATUS));
    if (status < 200 && !(status == 101 && c->upgrade_request && c->recv == H1_RECV_UPGRADE_WAIT))
        return &http_error_bad_outgoing_head;
    frame_response(c, m, status, end, &f);
    bool upgraded = f.body == H1_SEND_RAW && (status == 101 || c->connect_request);
    decide_close(c, m, upgraded, end);
    f.close = c->close_after && !upgraded;
    f.keep_alive = !c->close_after && c->http_10;
    WEIR_ASSERT(f.body > H1_SEND_HEAD && f.body < H1_SEND_DONE);
    const struct http_error *e = h1_write_response(c, m, status, &f);
    if (e)
        return e == &http_error_bad_outgoing_head ? e : h1_send_fail(c, e);
    enter_upgrade(c, upgraded);
    h1_send_begin(c, f.body, f.length, end);
    return NULL;
}

static const struct http_error *server_send_informational(struct codec_stream *s, const struct header_map *m)
{
    static const struct h1_framing none = {.body = H1_SEND_NO_BODY};
    struct h1_codec *c = h1_of_stream(s);
    unsigned status = status_parse(header_map_get_id(m, HDR_STATUS));
    if (!c->open || c->send != H1_SEND_HEAD || c->recv == H1_RECV_HEAD)
        return &http_error_send_out_of_order;
    if (status < 100 || status > 199 || status == 101)
        return &http_error_bad_outgoing_head;
    if (c->http_10)
        return NULL; /* RFC 9110 15.2: an HTTP/1.0 client would not understand it */
    const struct http_error *e = h1_write_response(c, m, status, &none);
    return e && e != &http_error_bad_outgoing_head ? h1_send_fail(c, e) : e;
}

static struct codec_stream *server_stream_open(struct http_codec *codec, void *user, struct arena *arena)
{
    (void)codec;
    (void)user;
    (void)arena;
    return NULL;
}

static size_t server_streams_available(const struct http_codec *codec)
{
    (void)codec;
    return 0;
}

static const struct codec_ops server_ops = {
    .name = "h1 server",
    .recv = server_recv,
    .recv_eof = h1_recv_eof,
    .send_headers = server_send_headers,
    .send_informational = server_send_informational,
    .send_data = h1_send_data,
    .send_trailers = h1_send_trailers,
    .stream_reset = h1_stream_reset,
    .stream_pause = h1_stream_pause,
    .stream_open = server_stream_open,
    .streams_available = server_streams_available,
    .drain = h1_drain,
    .wants_close = h1_wants_close,
    .destroy = h1_destroy,
};

struct http_codec *h1_server_create(const struct h1_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out)
{
    struct h1_codec *c = h1_create(settings, events, conn, blocks, out);
    if (!c)
        return NULL;
    c->base.ops = &server_ops;
    return &c->base;
}
