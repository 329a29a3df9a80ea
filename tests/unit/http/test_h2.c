/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 codec, both sides against each other: what one sends, the other tells, in order and whole,
 * however the bytes are cut; flow control, pausing, resets, GOAWAY, limits. Conformance to the frames is
 * h2spec's (tests/integration/test_http2.py).
 */
#include "base/assert.h"
#include "base/strbuf.h"
#include "http/h2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STREAMS_MAX 64

struct side {
    struct http_codec *codec;
    struct block_pool pool;
    struct chain in;
    struct chain out;
    struct arena arena;
    struct strbuf log;
    struct codec_stream *streams[STREAMS_MAX]; /* of this side, in the order of their beginning */
    unsigned count;
    size_t bytes; /* of bodies */
    unsigned data_events;
    bool pause_in_data;
    bool echo; /* answer each request with its method and path */
    unsigned pongs;
    const struct http_error *error;
};

static struct side server, client;
static struct h2_stats stats;

static unsigned number_of(struct side *s, struct codec_stream *stream)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->streams[i] == stream)
            return i;
    }
    fail();
    return 0;
}

static struct side *side_of(struct codec_stream *stream)
{
    return stream->codec->conn;
}

static void note_map(struct side *s, const char *what, struct codec_stream *stream,
                     const struct header_map *m, bool end)
{
    uint32_t cursor = 0;
    strbuf_printf(&s->log, "%s %u", what, number_of(s, stream));
    for (const struct header *h; m && (h = header_map_next(m, &cursor)) != NULL;) {
        assert_true(h->id == header_id_of(h->name));
        assert_true(header_value_valid(h->value));
        strbuf_printf(&s->log, " [" SLICE_FMT "=" SLICE_FMT "]", SLICE_ARG(h->name), SLICE_ARG(h->value));
    }
    strbuf_append_str(&s->log, end ? " end\n" : "\n");
}

static bool on_begin(void *conn, struct codec_stream *stream)
{
    struct side *s = conn;
    if (s->count == STREAMS_MAX)
        return false;
    s->streams[s->count++] = stream;
    stream->user = s;
    stream->arena = &s->arena;
    return true;
}

/* ":method: GET;a: b" into a map. */
static struct header_map *map_of(struct side *s, const char *text)
{
    struct header_map *m = arena_alloc(&s->arena, sizeof(*m));
    struct slice rest = slice_str(text), part;
    header_map_init(m, &s->arena, 500, 200000);
    while (slice_split(&rest, ';', &part)) {
        ptrdiff_t colon = slice_find(part, SLICE_LIT(": "));
        assert_true(colon > 0);
        assert_int_equal(
            header_map_add(m, slice_take(part, (size_t)colon), slice_skip(part, (size_t)colon + 2)),
            HEADER_OK);
    }
    return m;
}

static const struct http_error *send_bytes(struct side *s, struct codec_stream *stream, size_t n, bool end)
{
    struct chain data;
    char block[1000];
    memset(block, 'x', sizeof(block));
    chain_init(&data);
    for (size_t left = n; left > 0;) {
        size_t some = left < sizeof(block) ? left : sizeof(block);
        assert_true(chain_append_copy(&data, &s->pool, slice_of(block, some)));
        left -= some;
    }
    const struct http_error *e = codec_send_data(stream, &data, end);
    assert_true(chain_empty(&data));
    chain_fini(&data);
    return e;
}

static void on_headers(struct codec_stream *stream, struct header_map *m, bool end)
{
    struct side *s = side_of(stream);
    note_map(s, "headers", stream, m, end);
    if (s->echo && end)
        assert_null(codec_send_headers(stream, map_of(s, ":status: 204"), true));
}

static void on_informational(struct codec_stream *stream, struct header_map *m)
{
    note_map(side_of(stream), "informational", stream, m, false);
}

static void on_data(struct codec_stream *stream, struct chain *data, bool end)
{
    struct side *s = side_of(stream);
    s->bytes += data->bytes;
    s->data_events++;
    if (end)
        strbuf_printf(&s->log, "end %u after %zu\n", number_of(s, stream), s->bytes);
    if (s->pause_in_data)
        codec_stream_pause(stream, true);
}

static void on_trailers(struct codec_stream *stream, struct header_map *m)
{
    note_map(side_of(stream), "trailers", stream, m, true);
}

static void on_reset(struct codec_stream *stream, const struct http_error *error)
{
    struct side *s = side_of(stream);
    strbuf_printf(&s->log, "reset %u %s\n", number_of(s, stream), error->name);
    s->streams[number_of(s, stream)] = NULL;
}

static void on_closed(struct codec_stream *stream)
{
    struct side *s = side_of(stream);
    strbuf_printf(&s->log, "closed %u\n", number_of(s, stream));
    s->streams[number_of(s, stream)] = NULL;
}

static void on_drained(struct codec_stream *stream)
{
    assert_false(stream->blocked);
    strbuf_append_str(&side_of(stream)->log, "drained\n");
}

static void on_pong(void *conn)
{
    ((struct side *)conn)->pongs++;
}

static const struct codec_events events = {
    .stream_begin = on_begin,
    .headers = on_headers,
    .informational = on_informational,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_closed,
    .drained = on_drained,
    .pong = on_pong,
};

static void side_init(struct side *s, const struct h2_settings *settings, bool is_server)
{
    *s = (struct side){0};
    block_pool_init(&s->pool, 8);
    chain_init(&s->in);
    chain_init(&s->out);
    arena_init(&s->arena, 64u << 20, NULL);
    strbuf_init(&s->log, 1u << 20);
    s->codec = is_server ? h2_server_create(settings, &events, s, &s->pool, &s->out)
                         : h2_client_create(settings, &events, s, &s->pool, &s->out);
    assert_non_null(s->codec);
}

static void side_fini(struct side *s)
{
    codec_destroy(&s->codec);
    assert_null(s->codec);
    chain_fini(&s->in);
    chain_fini(&s->out);
    arena_fini(&s->arena);
    strbuf_fini(&s->log);
    block_pool_fini(&s->pool);
}

static void recv_side(struct side *s)
{
    const struct http_error *e = codec_recv(s->codec, &s->in);
    if (e)
        s->error = e;
}

static bool carry(struct side *from, struct side *to, size_t step)
{
    if (chain_empty(&from->out))
        return false;
    assert_true(chain_move(&to->in, &from->out, step ? step : from->out.bytes));
    recv_side(to);
    return true;
}

/* Until neither has anything to say. step 0: all at once. */
static void run(size_t step)
{
    recv_side(&client);
    recv_side(&server);
    for (bool more = true; more;) {
        more = carry(&client, &server, step);
        more = carry(&server, &client, step) || more;
    }
}

static void pair(const struct h2_settings *of_server, const struct h2_settings *of_client)
{
    struct h2_settings settings;
    h2_settings_default(&settings);
    settings.stats = &stats;
    side_init(&server, of_server ? of_server : &settings, true);
    side_init(&client, of_client ? of_client : &settings, false);
    run(0);
}

static void finish(void)
{
    side_fini(&server);
    side_fini(&client);
}

static struct codec_stream *request(const char *fields, bool end)
{
    struct codec_stream *stream = codec_stream_open(client.codec, &client, &client.arena);
    assert_non_null(stream);
    client.streams[client.count++] = stream;
    assert_null(codec_send_headers(stream, map_of(&client, fields), end));
    return stream;
}

static void assert_log(struct side *s, const char *wanted)
{
    struct slice log = strbuf_slice(&s->log);
    char *text = slice_strdup(log);
    assert_string_equal(text, wanted);
    free(text);
    strbuf_reset(&s->log);
}

#define GET  ":method: GET;:scheme: http;:authority: a;:path: /"
#define POST ":method: POST;:scheme: http;:authority: a;:path: /"

static void exchange(void **state)
{
    static const size_t steps[] = {0, 1, 7, 4096};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++) {
        pair(NULL, NULL);
        struct codec_stream *up =
            request(POST ";x-a: b;content-length: 70000;connection: close;te: trailers", false);
        assert_null(send_bytes(&client, up, 70000, true));
        run(steps[i]);
        assert_log(&server, "headers 0 [:method=POST] [:authority=a] [:scheme=http] [:path=/] [x-a=b] "
                            "[content-length=70000] [te=trailers]\nend 0 after 70000\n");
        struct codec_stream *down = server.streams[0];
        assert_int_equal(down->protocol, HTTP_2);
        assert_null(codec_send_informational(down, map_of(&server, ":status: 103;link: x")));
        assert_null(
            codec_send_headers(down, map_of(&server, ":status: 200;transfer-encoding: chunked;y: z"), false));
        assert_null(send_bytes(&server, down, 100000, false));
        assert_null(codec_send_trailers(down, map_of(&server, "grpc-status: 0")));
        run(steps[i]);
        assert_log(&client, "informational 0 [:status=103] [link=x]\nheaders 0 [:status=200] [y=z]\n"
                            "trailers 0 [grpc-status=0] end\nclosed 0\n");
        assert_int_equal(client.bytes, 100000);
        assert_log(&server, "closed 0\n");
        finish();
    }
}

/* What one input has of a body is one event, however many frames and blocks it comes in. */
static void frames_of_one_input_are_one_event(void **state)
{
    (void)state;
    pair(NULL, NULL);
    struct codec_stream *first = request(POST, false), *second = request(POST, false);
    run(0);
    assert_null(send_bytes(&client, first, 100000, false));
    assert_null(send_bytes(&client, second, 100000, false));
    run(0);
    assert_int_equal(server.bytes, 200000);
    assert_int_equal(server.data_events, 2);
    assert_null(send_bytes(&client, first, 100000, true));
    assert_null(send_bytes(&client, second, 100000, true));
    strbuf_reset(&server.log);
    run(0);
    assert_int_equal(server.bytes, 400000);
    assert_in_range(server.data_events, 4, 5); /* an end tells all that waits */
    finish();
}

/* Crumbs of a later section are joined in a buffer of its own, not in what fits those of the first. */
static void crumbs_of_each_section(void **state)
{
    (void)state;
    pair(NULL, NULL);
    request(POST ";cookie: 0123456789012345678901234567890123456789;cookie: b", false);
    run(0);
    assert_log(&server, "headers 0 [:method=POST] [:authority=a] [:scheme=http] [:path=/] "
                        "[cookie=0123456789012345678901234567890123456789; b]\n");
    assert_null(
        codec_send_trailers(client.streams[0], map_of(&client, "cookie: c;x: untouched;cookie: 0123456789")));
    run(0);
    assert_log(&server, "trailers 0 [cookie=c; 0123456789] [x=untouched] end\n");
    struct codec_stream *down = server.streams[0];
    assert_null(codec_send_informational(
        down, map_of(&server, ":status: 103;cookie: 0123456789012345678901234567890123456789;cookie: b")));
    assert_null(codec_send_headers(
        down, map_of(&server, ":status: 200;cookie: c;x: untouched;cookie: 0123456789"), true));
    run(0);
    assert_log(&client, "informational 0 [:status=103] [cookie=0123456789012345678901234567890123456789; b]\n"
                        "headers 0 [:status=200] [cookie=c; 0123456789] [x=untouched] end\nclosed 0\n");
    finish();
}

/* Trailers of which HTTP/2 carries none: the message is complete all the same. */
static void trailers_that_do_not_go_on(void **state)
{
    (void)state;
    pair(NULL, NULL);
    request(GET, true);
    run(0);
    assert_null(codec_send_headers(server.streams[0], map_of(&server, ":status: 200"), false));
    assert_null(send_bytes(&server, server.streams[0], 5, false));
    assert_null(codec_send_trailers(server.streams[0], map_of(&server, "connection: x;content-length: 5")));
    run(0);
    assert_log(&client, "headers 0 [:status=200]\nend 0 after 5\nclosed 0\n");
    finish();
}

static void begin_answer(struct codec_stream *stream)
{
    assert_null(codec_send_headers(stream, map_of(&server, ":status: 200"), false));
    (void)send_bytes(&server, stream, 100, true);
}

static void (*old_reset)(struct codec_stream *, const struct http_error *);
static bool answers_in_reset;

/* The end of one stream makes its owner answer another one. */
static void reset_answers_the_next(struct codec_stream *stream, const struct http_error *error)
{
    old_reset(stream, error);
    for (unsigned i = 0; answers_in_reset && i < server.count; i++) {
        if (server.streams[i] && server.streams[i] != stream) {
            answers_in_reset = false;
            begin_answer(server.streams[i]);
        }
    }
}

/* A connection that fails by its own output limit (no error of the library): nothing of its streams is sent,
 * or looked at, after they are gone. */
static void flooded_connection_forgets_its_streams(void **state)
{
    struct h2_settings settings;
    (void)state;
    h2_settings_default(&settings);
    settings.stats = &stats;
    settings.max_outbound_control = 3;
    pair(&settings, NULL);
    for (unsigned i = 0; i < 40; i++)
        request(POST, false);
    run(0);
    assert_int_equal(server.count, 40);
    struct codec_events own = events;
    old_reset = on_reset;
    answers_in_reset = true;
    own.reset = reset_answers_the_next;
    server.codec->events = &own;
    for (unsigned i = 0; i < 6; i++)
        codec_ping(server.codec);
    recv_side(&server);
    assert_ptr_equal(server.error, &http_error_h2_control_frames);
    assert_false(answers_in_reset);
    assert_true(codec_wants_close(server.codec));
    strbuf_reset(&client.log);
    carry(&server, &client, 0);
    assert_true(slice_find(strbuf_slice(&client.log), SLICE_LIT("headers")) < 0);
    finish();
}

static void many_at_once(void **state)
{
    (void)state;
    pair(NULL, NULL);
    server.echo = true;
    for (unsigned i = 0; i < 50; i++)
        request(GET, true);
    run(0);
    assert_int_equal(server.count, 50);
    for (unsigned i = 0; i < 50; i++) {
        assert_null(client.streams[i]);
        assert_null(server.streams[i]);
    }
    assert_int_equal(codec_streams_available(client.codec), 1024);
    finish();
}

static void hold_stops_new_streams(void **state)
{
    (void)state;
    pair(NULL, NULL);
    for (unsigned i = 0; i < 60; i++)
        request(GET, true);
    server.codec->hold = true;
    run(0);
    assert_int_equal(server.count, 0);
    server.codec->hold = false;
    run(0);
    assert_int_equal(server.count, 60);
    finish();
}

static void pausing_holds_the_window(void **state)
{
    struct h2_settings small;
    (void)state;
    h2_settings_default(&small);
    small.stats = &stats;
    small.stream_window_bytes = 65535;
    pair(&small, NULL);
    struct codec_stream *up = request(POST, false);
    server.pause_in_data = true;
    assert_null(send_bytes(&client, up, 400000, true));
    run(0);
    /* What came at once was taken; for what was taken while paused no window is given. */
    size_t first = server.bytes;
    assert_true(first > 0 && first <= 65535);
    run(0);
    assert_int_equal(server.bytes, first);
    struct codec_stream *down = server.streams[0];
    for (unsigned i = 0; i < 100 && server.bytes < 400000; i++) {
        codec_stream_pause(down, false);
        run(0);
    }
    assert_int_equal(server.bytes, 400000);
    finish();
}

static void blocked_and_drained(void **state)
{
    struct h2_settings small;
    (void)state;
    h2_settings_default(&small);
    small.stats = &stats;
    small.stream_window_bytes = 65535;
    pair(&small, NULL);
    struct codec_stream *up = request(POST, false);
    run(0);
    server.pause_in_data = true;
    assert_null(send_bytes(&client, up, 200000, false));
    assert_false(up->blocked);
    assert_null(send_bytes(&client, up, 300000, false));
    assert_true(up->blocked);
    run(0);
    strbuf_reset(&client.log);
    server.pause_in_data = false;
    codec_stream_pause(server.streams[0], false);
    run(0);
    assert_log(&client, "drained\n");
    assert_false(up->blocked);
    assert_int_equal(server.bytes, 500000);
    finish();
}

/* Whole blocks go by reference; what stands between them takes no block each. */
static void heads_between_blocks(void **state)
{
    (void)state;
    pair(NULL, NULL);
    struct codec_stream *up = request(POST, false);
    run(0);
    assert_null(send_bytes(&client, up, (size_t)20 * BLOCK_BYTES, true));
    recv_side(&client);
    struct chain seen;
    chain_init(&seen);
    assert_true(chain_append_shared(&seen, &client.out));
    struct block *shared = NULL;
    unsigned heads = 0;
    for (; !chain_empty(&seen); chain_drain(&seen, chain_front(&seen).len)) {
        if (chain_front(&seen).len != 9)
            continue;
        if (heads++ > 0)
            assert_ptr_equal(chain_front_block(&seen), shared);
        shared = chain_front_block(&seen);
    }
    chain_fini(&seen);
    assert_true(heads >= 19);
    run(0);
    assert_log(&server,
               "headers 0 [:method=POST] [:authority=a] [:scheme=http] [:path=/]\nend 0 after 327680\n");
    finish();
}

static void resets(void **state)
{
    (void)state;
    pair(NULL, NULL);
    struct codec_stream *a = request(POST, false), *b = request(GET, true);
    run(0);
    strbuf_reset(&server.log);
    codec_stream_reset(a, NULL);
    (void)b;
    run(0);
    assert_log(&server, "reset 0 h2_remote_reset\n");
    codec_stream_reset(server.streams[1], &http_error_h2_remote_refused);
    run(0);
    assert_log(&client, "reset 1 h2_remote_refused\n");
    assert_log(&server, "");
    finish();
}

static void lengths_hold_the_sender(void **state)
{
    (void)state;
    pair(NULL, NULL);
    request(GET, true);
    request(GET, true);
    run(0);
    strbuf_reset(&server.log);
    assert_null(
        codec_send_headers(server.streams[0], map_of(&server, ":status: 200;content-length: 3"), false));
    assert_ptr_equal(send_bytes(&server, server.streams[0], 4, true), &http_error_body_too_long);
    assert_null(
        codec_send_headers(server.streams[1], map_of(&server, ":status: 200;content-length: 3"), false));
    assert_ptr_equal(send_bytes(&server, server.streams[1], 2, true), &http_error_body_too_short);
    run(0);
    assert_int_equal(client.bytes, 0);
    assert_null(client.streams[0]);
    assert_null(client.streams[1]);
    finish();
}

static void heads_that_cannot_be_sent(void **state)
{
    static const char *const requests[] = {
        ":method: GET;:scheme: http;:path: /",
        ":method: GET;:scheme: http;:authority: a",
        ":scheme: http;:authority: a;:path: /",
        ":method: GET;:scheme: http;:authority: a b;:path: /",
        ":method: GET;:scheme: http;:authority: a;:path: x",
    };
    (void)state;
    pair(NULL, NULL);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(requests); i++) {
        struct codec_stream *stream = codec_stream_open(client.codec, &client, &client.arena);
        assert_ptr_equal(codec_send_headers(stream, map_of(&client, requests[i]), true),
                         &http_error_bad_outgoing_head);
        codec_stream_reset(stream, NULL);
    }
    run(0);
    assert_int_equal(server.count, 0);
    assert_int_equal(codec_streams_available(client.codec), 1024);
    finish();
}

static void goaway_in_two_steps(void **state)
{
    (void)state;
    pair(NULL, NULL);
    request(GET, true);
    run(0);
    codec_drain(server.codec);
    run(0);
    assert_int_equal(codec_streams_available(client.codec), 0);
    assert_false(codec_wants_close(server.codec));
    codec_drain(server.codec);
    run(0);
    assert_false(codec_wants_close(server.codec)); /* one is open */
    assert_null(codec_send_headers(server.streams[0], map_of(&server, ":status: 200"), true));
    run(0);
    assert_true(codec_wants_close(server.codec));
    assert_true(codec_wants_close(client.codec));
    assert_null(server.error);
    assert_null(client.error);
    finish();
}

static void limits_of_streams(void **state)
{
    struct h2_settings few;
    (void)state;
    h2_settings_default(&few);
    few.stats = &stats;
    few.max_concurrent_streams = 2;
    pair(&few, NULL);
    assert_int_equal(codec_streams_available(client.codec), 2);
    request(GET, true);
    request(GET, true);
    assert_null(codec_stream_open(client.codec, &client, &client.arena));
    finish();
}

static void too_many_headers(void **state)
{
    struct h2_settings few;
    char fields[4096] = GET;
    (void)state;
    h2_settings_default(&few);
    few.stats = &stats;
    few.headers_count_max = 20;
    pair(&few, NULL);
    for (unsigned i = 0; i < 40; i++)
        strncat(fields, ";x: y", sizeof(fields) - strlen(fields) - 1);
    request(fields, true);
    request(GET, true);
    run(0);
    assert_log(&server, "headers 1 [:method=GET] [:authority=a] [:scheme=http] [:path=/] end\n"
                        "reset 0 h2_headers_too_large\n");
    assert_null(server.error);
    finish();
}

static void upgrade_is_extended_connect(void **state)
{
    struct h2_settings connect;
    (void)state;
    h2_settings_default(&connect);
    connect.stats = &stats;
    connect.allow_connect = true;
    pair(&connect, NULL);
    struct codec_stream *up = request(GET ";connection: upgrade;upgrade: websocket", false);
    run(0);
    assert_log(&server, "headers 0 [:method=GET] [:authority=a] [:scheme=http] [:path=/] [upgrade=websocket] "
                        "[connection=upgrade]\n");
    struct codec_stream *down = server.streams[0];
    assert_null(codec_send_headers(
        down, map_of(&server, ":status: 101;connection: upgrade;upgrade: websocket"), false));
    assert_true(down->upgraded);
    assert_null(send_bytes(&server, down, 10, false));
    run(0);
    assert_log(&client, "headers 0 [:status=101] [upgrade=websocket] [connection=upgrade]\n");
    assert_true(up->upgraded);
    assert_null(send_bytes(&client, up, 5, true));
    run(0);
    assert_log(&server, "end 0 after 5\n");
    finish();
}

static void ping_and_eof(void **state)
{
    (void)state;
    pair(NULL, NULL);
    codec_ping(client.codec);
    run(0);
    assert_int_equal(client.pongs, 1);
    request(GET, true);
    run(0);
    strbuf_reset(&server.log);
    assert_ptr_equal(codec_recv_eof(server.codec), &http_error_peer_closed);
    assert_log(&server, "reset 0 peer_closed\n");
    assert_ptr_equal(codec_recv_eof(client.codec), &http_error_server_closed);
    assert_log(&client, "reset 0 server_closed\n");
    finish();
}

static void sweep_gives_up_what_nobody_takes(void **state)
{
    struct h2_settings shut;
    (void)state;
    h2_settings_default(&shut);
    shut.stats = &stats;
    shut.stream_window_bytes = 100;
    pair(NULL, &shut);
    request(GET, true);
    run(0);
    client.pause_in_data = true;
    struct codec_stream *down = server.streams[0];
    assert_null(codec_send_headers(down, map_of(&server, ":status: 200"), false));
    assert_null(send_bytes(&server, down, 1000, true));
    down->user = NULL;
    run(0);
    assert_int_equal(codec_sweep(server.codec), 1);
    assert_int_equal(codec_sweep(server.codec), 0);
    strbuf_reset(&client.log);
    run(0);
    assert_log(&client, "reset 0 h2_remote_reset\n");
    finish();
}

static void preface(void **state)
{
    static const struct {
        const char *bytes;
        enum h2_preface result;
    } rows[] = {
        {"", H2_PREFACE_PART},
        {"P", H2_PREFACE_PART},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", H2_PREFACE_PART},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2_PREFACE_YES},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", H2_PREFACE_YES},
        {"POST", H2_PREFACE_NO},
        {"PRI * HTTP/1.1\r\n", H2_PREFACE_NO},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct chain in;
        chain_init(&in);
        assert_true(chain_append_copy(&in, NULL, slice_str(rows[i].bytes)));
        assert_int_equal(h2_preface_detect(&in), rows[i].result);
        chain_fini(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchange),
        cmocka_unit_test(frames_of_one_input_are_one_event),
        cmocka_unit_test(crumbs_of_each_section),
        cmocka_unit_test(trailers_that_do_not_go_on),
        cmocka_unit_test(flooded_connection_forgets_its_streams),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(hold_stops_new_streams),
        cmocka_unit_test(pausing_holds_the_window),
        cmocka_unit_test(blocked_and_drained),
        cmocka_unit_test(heads_between_blocks),
        cmocka_unit_test(resets),
        cmocka_unit_test(lengths_hold_the_sender),
        cmocka_unit_test(heads_that_cannot_be_sent),
        cmocka_unit_test(goaway_in_two_steps),
        cmocka_unit_test(limits_of_streams),
        cmocka_unit_test(too_many_headers),
        cmocka_unit_test(upgrade_is_extended_connect),
        cmocka_unit_test(ping_and_eof),
        cmocka_unit_test(sweep_gives_up_what_nobody_takes),
        cmocka_unit_test(preface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
