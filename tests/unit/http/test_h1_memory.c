/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec when memory is out: with the n-th allocation failing, for each n, an exchange ends well or the
 * connection wants to close; the answer on the wire is then cut, never one that looks whole but is not. Run
 * under ASan it also shows that nothing leaks.
 */
#include "../base/failing.h"

#define block_get arena_block_get /* the arena's own; the chain's has the same name */
#define block_put arena_block_put
#include "base/arena.c"
#undef block_get
#undef block_put
#include "base/chain.c"
#include "http/h1_recv.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define BODY_BYTES 5000

struct side {
    struct http_codec *codec;
    struct chain in;
    struct chain out;
    struct chain body; /* what is sent, made before memory fails */
    struct arena arena;
    struct codec_stream *stream;
    struct header_map map;
    struct header items[8];
    size_t received;
    bool ended;
    bool dead;
};

static void set_map(struct side *s, enum header_id id, const char *value)
{
    struct slice v = slice_str(value);
    assert_int_equal(header_map_append(&s->map, id, header_id_name(id), v, SLICE_EMPTY), HEADER_OK);
}

static bool on_begin(void *conn, struct codec_stream *s)
{
    struct side *side = conn;
    side->stream = s;
    s->user = side;
    s->arena = &side->arena;
    return true;
}

static void finish(struct codec_stream *s)
{
    struct side *side = s->user;
    side->ended = true;
    if (header_map_has_id(&side->map, HDR_STATUS) && !codec_send_headers(s, &side->map, false))
        codec_send_data(s, &side->body, true);
}

static void on_headers(struct codec_stream *s, struct header_map *m, bool end)
{
    assert_true(m->count >= 1);
    if (end)
        finish(s);
}

static void on_data(struct codec_stream *s, struct chain *data, bool end)
{
    ((struct side *)s->user)->received += data->bytes;
    if (end)
        finish(s);
}

static void on_trailers(struct codec_stream *s, struct header_map *m)
{
    (void)m;
    finish(s);
}

static void on_reset(struct codec_stream *s, const struct http_error *error)
{
    ((struct side *)s->user)->dead = true;
    assert_true(error == &http_error_out_of_memory || error == &http_error_headers_too_large);
}

static void on_closed(struct codec_stream *s)
{
    ((struct side *)s->user)->stream = NULL;
}

static void on_informational(struct codec_stream *s, struct header_map *m)
{
    (void)s;
    assert_int_equal(m->count, 2);
}

static const struct codec_events events = {
    .stream_begin = on_begin,
    .headers = on_headers,
    .informational = on_informational,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_closed,
};

static const struct h1_settings settings = {.enable_trailers = true, .keys = {.preserve_case = true}};

static void side_init(struct side *s)
{
    static char text[BODY_BYTES];
    *s = (struct side){0};
    memset(text, 'b', sizeof(text));
    chain_init(&s->in);
    chain_init(&s->out);
    chain_init(&s->body);
    arena_init(&s->arena, 1u << 20, NULL);
    header_map_init(&s->map, NULL, 8, 1000);
    s->map.items = s->items;
    s->map.cap = 8;
    assert_true(chain_append_copy(&s->body, NULL, slice_of(text, sizeof(text))));
}

static void side_fini(struct side *s)
{
    codec_destroy(&s->codec);
    chain_fini(&s->in);
    chain_fini(&s->out);
    chain_fini(&s->body);
    arena_fini(&s->arena);
}

/* Each byte in a segment of its own, so that every move needs room. */
static void push_bytes(struct side *s, struct slice bytes)
{
    for (size_t i = bytes.len; i > 0; i--)
        assert_true(chain_prepend_copy(&s->in, NULL, slice_of(bytes.ptr + i - 1, 1)));
}

static bool out_ends_with(struct side *s, const char *end)
{
    char tail[32];
    size_t n = strlen(end);
    return s->out.bytes >= n && chain_copy_out(&s->out, s->out.bytes - n, tail, n) == n &&
           memcmp(tail, end, n) == 0;
}

static bool serve_once(long n)
{
    struct side s;
    side_init(&s);
    set_map(&s, HDR_STATUS, "200");
    push_bytes(&s,
               SLICE_LIT("POST / HTTP/1.1\r\nHost: h\r\nX-Long-Name: v\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"));
    failing_after = n;
    s.codec = h1_server_create(&settings, &events, &s, NULL, &s.out);
    const struct http_error *e = s.codec ? codec_recv(s.codec, &s.in) : &http_error_out_of_memory;
    bool failed = failing_after == 0;
    failing_after = -1;
    if (failed) {
        assert_true(!s.codec || codec_wants_close(s.codec) || (s.ended && !e));
        assert_true(s.codec == NULL || e || !codec_wants_close(s.codec));
    } else {
        assert_null(e);
        assert_true(s.ended && s.received == 11 && !s.stream);
    }
    /* Whole or cut, never in between. */
    assert_int_equal(out_ends_with(&s, "b\r\n0\r\n\r\n"), s.ended && !e);
    side_fini(&s);
    return !failed;
}

static void server(void **state)
{
    (void)state;
    long n = 0;
    while (!serve_once(n))
        assert_true(++n < 200);
    assert_true(n > 5);
}

static bool ask_once(long n)
{
    struct side s;
    side_init(&s);
    set_map(&s, HDR_METHOD, "POST");
    set_map(&s, HDR_PATH, "/");
    set_map(&s, HDR_AUTHORITY, "h");
    push_bytes(&s, SLICE_LIT("HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n"
                             "Content-Length: 11\r\n\r\nhello world"));
    failing_after = n;
    s.codec = h1_client_create(&settings, &events, &s, NULL, &s.out);
    const struct http_error *e = &http_error_out_of_memory;
    if (s.codec) {
        s.stream = codec_stream_open(s.codec, &s, &s.arena);
        e = codec_send_headers(s.stream, &s.map, false);
        if (!e)
            e = codec_send_data(s.stream, &s.body, true);
        const struct http_error *r = codec_recv(s.codec, &s.in);
        assert_true(!e || r == e);
        e = r;
        assert_int_equal(codec_wants_close(s.codec), e != NULL);
        assert_int_equal(s.dead, e != NULL);
    }
    bool failed = failing_after == 0;
    failing_after = -1;
    if (!e)
        assert_true(s.ended && s.received == 11 && out_ends_with(&s, "b\r\n0\r\n\r\n"));
    assert_true(failed || !e);
    side_fini(&s);
    return !failed;
}

static void client(void **state)
{
    (void)state;
    long n = 0;
    while (!ask_once(n))
        assert_true(++n < 200);
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(server), cmocka_unit_test(client)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
