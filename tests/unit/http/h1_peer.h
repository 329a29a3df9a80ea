/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A codec with an owner that writes down every event as text, for the tests of HTTP/1. Runs of data are one
 * entry however they were split, so the same bytes must give the same text in every split.
 */
#ifndef WEIR_TEST_H1_PEER_H
#define WEIR_TEST_H1_PEER_H

#include "base/assert.h"
#include "base/strbuf.h"
#include "http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct peer {
    struct http_codec *codec;
    struct block_pool pool;
    struct chain in;
    struct chain out;
    struct arena arena;
    struct strbuf log;
    struct codec_stream *stream;
    const struct http_error *error; /* what codec_recv returned last, if anything */
    bool in_data;
    bool ended;  /* the message that is received ended */
    bool hold;   /* do not answer at the end of a request */
    bool refuse; /* stream_begin says no */
    bool reset_in_headers;
    bool answer_errors;  /* answer a reset with its status */
    const char *respond; /* the answer: "STATUS;name: value;..." */
    const char *respond_body;
    bool respond_at_head; /* already in the headers event */
};

static inline void peer_note(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void peer_note(struct peer *p, const char *fmt, ...)
{
    va_list args;
    if (p->in_data)
        strbuf_append_str(&p->log, "\n");
    p->in_data = false;
    va_start(args, fmt);
    strbuf_vprintf(&p->log, fmt, args);
    va_end(args);
}

static inline void peer_note_map(struct peer *p, const char *what, const struct header_map *m)
{
    uint32_t cursor = 0;
    peer_note(p, "%s", what);
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;) {
        assert_true(h->id == header_id_of(h->name));
        assert_true(header_value_valid(h->value));
        strbuf_printf(&p->log, " [" SLICE_FMT "=" SLICE_FMT "]", SLICE_ARG(h->name), SLICE_ARG(h->value));
    }
    strbuf_append_str(&p->log, "\n");
}

/* "200;server: x;content-length: 3" into a map in the arena. */
static inline struct header_map *peer_map(struct arena *arena, const char *text, bool request)
{
    struct header_map *m = arena_alloc(arena, sizeof(*m));
    struct slice rest = slice_str(text), part;
    bool first = true;
    header_map_init(m, arena, 200, 100000);
    while (slice_split(&rest, ';', &part)) {
        if (first && !request) {
            assert_int_equal(header_map_set_id(m, HDR_STATUS, part), HEADER_OK);
        } else {
            ptrdiff_t colon = slice_find(part, SLICE_LIT(": "));
            assert_true(colon > 0);
            assert_int_equal(
                header_map_add(m, slice_take(part, (size_t)colon), slice_skip(part, (size_t)colon + 2)),
                HEADER_OK);
        }
        first = false;
    }
    return m;
}

static inline struct slice peer_bytes(const struct chain *c, struct arena *arena)
{
    char *p = arena_alloc_text(arena, c->bytes + 1);
    chain_copy_out(c, 0, p, c->bytes);
    p[c->bytes] = '\0';
    return slice_of(p, c->bytes);
}

static inline const struct http_error *peer_send_body(struct peer *p, const char *body, size_t len, bool end)
{
    struct chain data;
    chain_init(&data);
    assert_true(chain_append_copy(&data, &p->pool, slice_of(body, len)));
    const struct http_error *e = codec_send_data(p->stream, &data, end);
    assert_int_equal(data.bytes, 0);
    chain_fini(&data);
    return e;
}

static inline void peer_answer(struct peer *p)
{
    const char *body = p->respond_body;
    struct header_map *m = peer_map(&p->arena, p->respond, false);
    const struct http_error *e = codec_send_headers(p->stream, m, body == NULL);
    if (!e && body)
        e = peer_send_body(p, body, strlen(body), true);
    if (e)
        peer_note(p, "answer:%s\n", e->name);
}

static inline bool peer_on_begin(void *conn, struct codec_stream *s)
{
    struct peer *p = conn;
    p->stream = s;
    p->ended = false;
    s->user = p;
    s->arena = &p->arena;
    peer_note(p, "begin\n");
    return !p->refuse;
}

static inline void peer_on_end(struct peer *p)
{
    p->ended = true;
    peer_note(p, "end\n");
    if (p->respond && !p->hold && !p->respond_at_head)
        peer_answer(p);
}

static inline void peer_on_headers(struct codec_stream *s, struct header_map *m, bool end)
{
    struct peer *p = s->user;
    peer_note_map(p, s->protocol == HTTP_10 ? "head10" : s->upgraded ? "head-upgraded" : "head", m);
    if (p->reset_in_headers) {
        codec_stream_reset(s, &http_error_peer_closed);
        return;
    }
    if (p->respond && p->respond_at_head)
        peer_answer(p);
    if (end)
        peer_on_end(p);
}

static inline void peer_on_informational(struct codec_stream *s, struct header_map *m)
{
    peer_note_map(s->user, "info", m);
}

static inline void peer_on_data(struct codec_stream *s, struct chain *data, bool end)
{
    struct peer *p = s->user;
    assert_true(end || data->bytes > 0);
    if (data->bytes > 0) {
        if (!p->in_data)
            strbuf_append_str(&p->log, "data ");
        p->in_data = true;
        for (size_t i = 0; i < data->count; i++)
            strbuf_append(&p->log, chain_seg_at(data, i));
    }
    if (end)
        peer_on_end(p);
}

static inline void peer_on_trailers(struct codec_stream *s, struct header_map *m)
{
    peer_note_map(s->user, "trailers", m);
    peer_on_end(s->user);
}

static inline void peer_on_reset(struct codec_stream *s, const struct http_error *error)
{
    struct peer *p = s->user;
    peer_note(p, "reset:%s\n", error->name);
    if (p->answer_errors && error->status) {
        char status[16];
        snprintf(status, sizeof(status), "%u", error->status);
        struct header_map *m = peer_map(&p->arena, status, false);
        const struct http_error *e = codec_send_headers(s, m, true);
        if (e)
            peer_note(p, "answer:%s\n", e->name);
    }
    p->stream = NULL;
}

static inline void peer_on_closed(struct codec_stream *s)
{
    struct peer *p = s->user;
    peer_note(p, "closed\n");
    p->stream = NULL;
}

static const struct codec_events peer_events = {
    .stream_begin = peer_on_begin,
    .headers = peer_on_headers,
    .informational = peer_on_informational,
    .data = peer_on_data,
    .trailers = peer_on_trailers,
    .reset = peer_on_reset,
    .closed = peer_on_closed,
};

static inline void peer_init(struct peer *p, const struct h1_settings *settings, bool client)
{
    *p = (struct peer){0};
    block_pool_init(&p->pool, 64);
    chain_init(&p->in);
    chain_init(&p->out);
    arena_init(&p->arena, 4u << 20, NULL);
    strbuf_init(&p->log, 4u << 20);
    p->codec = client ? h1_client_create(settings, &peer_events, p, &p->pool, &p->out)
                      : h1_server_create(settings, &peer_events, p, &p->pool, &p->out);
    assert_non_null(p->codec);
}

static inline void peer_fini(struct peer *p)
{
    codec_destroy(&p->codec);
    assert_null(p->codec);
    chain_fini(&p->in);
    chain_fini(&p->out);
    arena_fini(&p->arena);
    strbuf_fini(&p->log);
    block_pool_fini(&p->pool);
}

/* The bytes as a block of their own. */
static inline void peer_push(struct peer *p, struct slice bytes)
{
    struct block *b = block_create(bytes.len);
    assert_non_null(b);
    memcpy(b->data, bytes.ptr, bytes.len);
    b->used = (uint32_t)bytes.len;
    assert_true(chain_append_block(&p->in, b, slice_of(b->data, bytes.len)));
    block_unref(&b);
}

static inline void peer_recv(struct peer *p)
{
    const struct http_error *e = codec_recv(p->codec, &p->in);
    if (e) {
        assert_null(p->error);
        p->error = e;
        assert_true(codec_wants_close(p->codec));
        assert_int_equal(p->in.bytes, 0);
    }
}

static inline void peer_feed(struct peer *p, struct slice bytes)
{
    if (bytes.len)
        peer_push(p, bytes);
    peer_recv(p);
}

static inline void peer_open(struct peer *p)
{
    p->ended = false;
    p->stream = codec_stream_open(p->codec, p, &p->arena);
    assert_non_null(p->stream);
}

/* Client: sends a request given as "name: value;...". */
static inline const struct http_error *peer_request(struct peer *p, const char *fields, bool end)
{
    return codec_send_headers(p->stream, peer_map(&p->arena, fields, true), end);
}

static inline const char *peer_out(struct peer *p)
{
    return peer_bytes(&p->out, &p->arena).ptr;
}

static inline const char *peer_log(struct peer *p)
{
    if (p->in_data)
        strbuf_append_str(&p->log, "\n");
    p->in_data = false;
    return strbuf_cstr(&p->log);
}

#endif
