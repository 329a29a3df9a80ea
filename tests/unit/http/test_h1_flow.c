/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server codec around a message: pipelining, early answers, upgrades, CONNECT, pausing, the end of the
 * connection at every byte, refusal, draining, and that slow input costs no more than fast input.
 */
#include "h1_peer.h"

#include <time.h>

#define GET      "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST5    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
#define WS       "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define GET_LOG  "begin\nhead [:authority=h] [:path=/] [:method=GET]\nend\n"
#define OK_EMPTY "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

static const struct h1_settings plain = {.allow_absolute_url = true};
static const struct h1_settings with_upgrade = {.allow_upgrade = true, .allow_connect = true};

static void start(struct peer *p, const struct h1_settings *settings, const char *input)
{
    peer_init(p, settings, false);
    p->respond = "200";
    p->hold = true;
    peer_feed(p, slice_str(input));
}

static const struct http_error *respond(struct peer *p, const char *fields, bool end)
{
    return codec_send_headers(p->stream, peer_map(&p->arena, fields, false), end);
}

/* The second request waits, unread, until the first is answered. */
static void pipelined_requests_wait(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &plain, GET GET);
    assert_string_equal(peer_log(&p), GET_LOG);
    assert_int_equal(p.in.bytes, strlen(GET));
    peer_recv(&p);
    assert_int_equal(p.in.bytes, strlen(GET));
    assert_null(respond(&p, "200", true));
    assert_string_equal(peer_log(&p), GET_LOG);
    peer_recv(&p);
    assert_string_equal(peer_log(&p), GET_LOG "closed\n" GET_LOG);
    assert_int_equal(p.in.bytes, 0);
    assert_null(respond(&p, "200", true));
    peer_recv(&p);
    assert_string_equal(peer_log(&p), GET_LOG "closed\n" GET_LOG "closed\n");
    assert_string_equal(peer_out(&p), OK_EMPTY OK_EMPTY);
    assert_false(codec_wants_close(p.codec));
    peer_fini(&p);
}

/* Many small answers that wait to be flushed lie in one block, not in one each. */
static void pipelined_answers_share_a_block(void **state)
{
    struct peer p;
    (void)state;
    peer_init(&p, &plain, false);
    p.respond = "200";
    p.respond_body = "hello";
    for (int i = 0; i < 50; i++)
        peer_push(&p, SLICE_LIT(GET));
    peer_recv(&p);
    assert_null(p.stream);
    assert_int_equal(p.out.count, 1);
    assert_int_equal(
        p.out.bytes,
        50 * strlen("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    peer_fini(&p);
}

/* Answered in the headers event, before the body: the rest is not read and the connection ends. */
static void early_answer_closes(void **state)
{
    struct peer p;
    (void)state;
    peer_init(&p, &plain, false);
    p.respond = "413";
    p.respond_at_head = true;
    peer_feed(&p, SLICE_LIT(POST5 "he"));
    assert_string_equal(peer_out(&p),
                        "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_true(codec_wants_close(p.codec));
    assert_null(p.stream);
    peer_feed(&p, SLICE_LIT("llo" GET));
    assert_null(p.error);
    assert_string_equal(peer_log(&p),
                        "begin\nhead [:authority=h] [:path=/] [:method=POST] [content-length=5]\nclosed\n");
    assert_int_equal(p.in.bytes, 0);
    peer_fini(&p);
}

/* An answer that began early and ends after the request keeps the connection. */
static void answer_while_the_body_comes(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &plain, POST5 "he");
    assert_null(respond(&p, "200;content-length: 2", false));
    assert_null(peer_send_body(&p, "o", 1, false));
    peer_feed(&p, SLICE_LIT("llo"));
    assert_true(p.ended);
    assert_null(peer_send_body(&p, "k", 1, true));
    peer_recv(&p);
    assert_null(p.stream);
    assert_false(codec_wants_close(p.codec));
    assert_string_equal(peer_out(&p), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    peer_fini(&p);
}

static void answer_to_half_a_head_closes(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &plain, "GET / HTTP/1.1\r\nHos");
    assert_null(respond(&p, "408", true));
    assert_string_equal(peer_out(&p),
                        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    peer_feed(&p, SLICE_LIT("t: h\r\n\r\n" GET));
    assert_string_equal(peer_log(&p), "begin\nclosed\n");
    assert_true(codec_wants_close(p.codec));
    peer_fini(&p);
}

static void upgrade_accepted(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &with_upgrade, WS "early");
    assert_string_equal(peer_log(&p), "begin\nhead [:authority=h] [:path=/ws] [:method=GET] "
                                      "[connection=keep-alive, Upgrade] [upgrade=websocket]\n");
    assert_int_equal(p.in.bytes, 5);
    assert_null(respond(&p, "101;upgrade: websocket;x: y", false));
    assert_string_equal(
        peer_out(&p),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nx: y\r\nconnection: upgrade\r\n\r\n");
    assert_true(p.stream->upgraded);
    peer_recv(&p);
    peer_feed(&p, SLICE_LIT(GET));
    assert_null(peer_send_body(&p, "raw", 3, false));
    assert_non_null(strstr(peer_out(&p), "\r\n\r\nraw"));
    assert_non_null(strstr(peer_log(&p), "data early" GET));
    assert_true(codec_wants_close(p.codec));
    /* Each side ends on its own. */
    assert_null(codec_recv_eof(p.codec));
    assert_true(p.ended);
    assert_non_null(p.stream);
    assert_null(peer_send_body(&p, "bye", 3, true));
    peer_recv(&p);
    assert_null(p.stream);
    assert_non_null(strstr(peer_log(&p), "end\nclosed\n"));
    peer_fini(&p);
}

/* What a client sent in hope of an upgrade is never read as a request. */
static void upgrade_refused(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &with_upgrade, WS GET);
    assert_null(respond(&p, "403", true));
    peer_recv(&p);
    assert_string_equal(peer_out(&p),
                        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_null(p.stream);
    assert_null(strstr(peer_log(&p), "[:path=/] "));
    assert_true(codec_wants_close(p.codec));
    peer_fini(&p);
}

static void connect_tunnel(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &with_upgrade, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\nraw");
    assert_string_equal(peer_log(&p), "begin\nhead [:authority=h:443] [:method=CONNECT]\n");
    assert_null(respond(&p, "200", false));
    assert_string_equal(peer_out(&p), "HTTP/1.1 200 OK\r\n\r\n");
    peer_recv(&p);
    assert_non_null(strstr(peer_log(&p), "data raw"));
    peer_fini(&p);
    start(&p, &with_upgrade, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\nraw");
    assert_null(respond(&p, "404", true));
    assert_string_equal(peer_out(&p),
                        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    peer_recv(&p);
    assert_null(strstr(peer_log(&p), "data"));
    peer_fini(&p);
}

/* Envoy treats a client that shuts its writing side as gone. */
static void closed_at_each_byte(void **state)
{
    static const char input[] = POST5 "hello";
    (void)state;
    for (size_t n = 0; n < sizeof(input); n++) {
        struct peer p;
        start(&p, &plain, "");
        if (n)
            peer_feed(&p, slice_of(input, n));
        const struct http_error *e = codec_recv_eof(p.codec);
        assert_ptr_equal(e, n ? &http_error_peer_closed : NULL);
        assert_int_equal(strstr(peer_log(&p), "reset:peer_closed\n") != NULL, n > 0);
        assert_true(codec_wants_close(p.codec));
        peer_fini(&p);
    }
}

static void pausing(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &plain, POST5);
    codec_stream_pause(p.stream, true);
    peer_feed(&p, SLICE_LIT("hello" GET));
    assert_null(strstr(peer_log(&p), "data"));
    assert_int_equal(p.in.bytes, 5 + strlen(GET));
    codec_stream_pause(p.stream, false);
    peer_recv(&p);
    assert_non_null(strstr(peer_log(&p), "data hello\nend\n"));
    assert_int_equal(p.in.bytes, strlen(GET));
    peer_fini(&p);
}

static void refused_stream(void **state)
{
    struct peer p;
    (void)state;
    peer_init(&p, &plain, false);
    p.refuse = true;
    peer_feed(&p, SLICE_LIT(GET));
    assert_string_equal(peer_log(&p), "begin\n");
    assert_true(codec_wants_close(p.codec));
    assert_int_equal(p.in.bytes, 0);
    peer_feed(&p, SLICE_LIT(GET));
    assert_string_equal(peer_log(&p), "begin\n");
    assert_null(codec_recv_eof(p.codec));
    peer_fini(&p);
}

static void reset_by_the_owner(void **state)
{
    struct peer p;
    (void)state;
    peer_init(&p, &plain, false);
    p.reset_in_headers = true;
    peer_feed(&p, SLICE_LIT(POST5 "hello" GET));
    assert_null(p.error);
    assert_true(codec_wants_close(p.codec));
    assert_null(strstr(peer_log(&p), "data"));
    assert_int_equal(p.in.bytes, 0);
    assert_int_equal(p.out.bytes, 0);
    peer_fini(&p);
}

/* A body that turns bad after the answer began: nothing more is written. */
static void error_behind_a_begun_answer(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &plain, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    p.answer_errors = true;
    assert_null(respond(&p, "200", false));
    size_t before = p.out.bytes;
    peer_feed(&p, SLICE_LIT("zz\r\n"));
    assert_ptr_equal(p.error, &http_error_bad_chunk_size);
    assert_int_equal(p.out.bytes, before);
    assert_non_null(strstr(peer_log(&p), "reset:bad_chunk_size\nanswer:send_out_of_order\n"));
    peer_fini(&p);
}

static void errors_are_answered_once(void **state)
{
    struct peer p;
    (void)state;
    peer_init(&p, &plain, false);
    p.answer_errors = true;
    peer_feed(
        &p, SLICE_LIT(
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" GET));
    assert_ptr_equal(p.error, &http_error_length_and_chunked);
    assert_string_equal(peer_out(&p),
                        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_null(codec_recv(p.codec, &p.in));
    peer_push(&p, SLICE_LIT(GET));
    assert_null(codec_recv(p.codec, &p.in));
    assert_string_equal(peer_log(&p), "begin\nreset:length_and_chunked\n");
    peer_fini(&p);
}

static void draining(void **state)
{
    struct peer p;
    (void)state;
    start(&p, &plain, GET);
    codec_drain(p.codec);
    assert_null(respond(&p, "200", true));
    assert_string_equal(peer_out(&p), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    peer_recv(&p);
    assert_true(codec_wants_close(p.codec));
    peer_feed(&p, SLICE_LIT(GET));
    assert_string_equal(peer_log(&p), GET_LOG "closed\n");
    peer_fini(&p);
}

/* Dropped in the middle of anything: nothing leaks, no event follows. */
static void destroyed_at_each_byte(void **state)
{
    static const char input[] =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";
    (void)state;
    for (size_t n = 0; n < sizeof(input); n++) {
        struct peer p;
        start(&p, &plain, "");
        if (n)
            peer_feed(&p, slice_of(input, n));
        if (p.stream)
            assert_null(respond(&p, "200", false));
        peer_fini(&p);
    }
}

/* A setting beyond what a map can number is cut down, and every field of a full head is there. */
static void very_many_headers(void **state)
{
    static const struct h1_settings many = {.headers_count_max = 1000000, .headers_bytes_max = 1u << 20};
    static char head[1u << 16];
    (void)state;
    for (uint32_t fields = 8191; fields <= 8193; fields++) {
        struct peer p;
        peer_init(&p, &many, false);
        size_t n = (size_t)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\n");
        for (uint32_t i = 1; i < fields; i++)
            n += (size_t)snprintf(head + n, sizeof(head) - n, "a: b\r\n");
        n += (size_t)snprintf(head + n, sizeof(head) - n, "\r\n");
        peer_feed(&p, slice_of(head, n));
        assert_ptr_equal(p.error, fields > 8192 ? &http_error_too_many_headers : NULL);
        peer_fini(&p);
    }
}

/* A head that does not fit the stream's memory is too large, whatever the other limits say. */
static void arena_is_a_limit(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 5; cap++) {
        struct peer p;
        peer_init(&p, &plain, false);
        p.arena.cap_bytes = cap * 4096;
        char head[9000];
        int n = snprintf(head, sizeof(head), "GET http://h?q HTTP/1.1\r\nHost: h\r\nx: %8000d\r\n", 1);
        for (int i = 0; i < 90; i++)
            n += snprintf(head + n, sizeof(head) - (size_t)n, "a: b\r\n");
        n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
        peer_feed(&p, slice_of(head, (size_t)n));
        if (cap < 4)
            assert_ptr_equal(p.error, &http_error_headers_too_large);
        p.arena.cap_bytes = 1u << 20;
        peer_fini(&p);
    }
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes that come one by one into the free end of one block, as a connection's reads do. */
static double trickle(size_t bytes)
{
    struct h1_settings settings = {.headers_bytes_max = 1u << 20};
    struct peer p;
    struct block *b = block_create(bytes + 64);
    peer_init(&p, &settings, false);
    assert_non_null(b);
    static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\nx: ";
    memcpy(b->data, head, sizeof(head) - 1);
    memset(b->data + sizeof(head) - 1, 'v', bytes);
    double start_s = cpu_s();
    for (size_t i = 0; i < bytes; i++) {
        assert_true(chain_append_block(&p.in, b, slice_of(b->data + i, 1)));
        b->used++;
        peer_recv(&p);
    }
    double spent = cpu_s() - start_s;
    assert_null(p.error);
    assert_string_equal(peer_log(&p), "begin\n");
    block_unref(&b);
    peer_fini(&p);
    return spent;
}

/* Ten times the bytes may cost about ten times the time; looking at all again each time would cost 100. */
static void slow_input_is_linear(void **state)
{
    (void)state;
    double least = 1e9, ratio = 0;
    for (int i = 0; i < 5 && (i == 0 || ratio > 30); i++) {
        double small = trickle(20000), large = trickle(200000);
        ratio = large / small;
        least = ratio < least ? ratio : least;
    }
    assert_true(least < 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_requests_wait),
        cmocka_unit_test(pipelined_answers_share_a_block),
        cmocka_unit_test(early_answer_closes),
        cmocka_unit_test(answer_while_the_body_comes),
        cmocka_unit_test(answer_to_half_a_head_closes),
        cmocka_unit_test(upgrade_accepted),
        cmocka_unit_test(upgrade_refused),
        cmocka_unit_test(connect_tunnel),
        cmocka_unit_test(closed_at_each_byte),
        cmocka_unit_test(pausing),
        cmocka_unit_test(refused_stream),
        cmocka_unit_test(reset_by_the_owner),
        cmocka_unit_test(error_behind_a_begun_answer),
        cmocka_unit_test(errors_are_answered_once),
        cmocka_unit_test(draining),
        cmocka_unit_test(destroyed_at_each_byte),
        cmocka_unit_test(very_many_headers),
        cmocka_unit_test(arena_is_a_limit),
        cmocka_unit_test(slow_input_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
