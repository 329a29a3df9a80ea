/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses, good and bad, as tables: each is fed whole, byte by byte and in every split in two. Then what
 * the client does around a response: reuse, early answers, the end of the connection.
 */
#include "h1_peer.h"

enum setting { TRAILERS = 1, UPGRADE = 2, CHUNKED_LENGTH = 4, SMALL = 8 };

#define GET     ":method: GET;:path: /;:authority: h"
#define HEADREQ ":method: HEAD;:path: /;:authority: h"
#define CONNECT ":method: CONNECT;:authority: h:1"
#define WS      ":method: GET;:path: /;:authority: h;upgrade: websocket;connection: Upgrade"

struct good_case {
    unsigned flags;
    const char *request;
    const char *input;
    const char *log; /* without the end of the connection */
    bool reusable;
    const char *eof; /* what the end of the connection adds; NULL: nothing */
};

struct bad_case {
    unsigned flags;
    const char *error;
    const char *request;
    const char *input;
    size_t len;
};

static struct h1_settings settings_of(unsigned flags)
{
    struct h1_settings s = {
        .enable_trailers = flags & TRAILERS,
        .allow_upgrade = flags & UPGRADE,
        .allow_connect = true,
        .allow_chunked_length = flags & CHUNKED_LENGTH,
    };
    if (flags & SMALL) {
        s.headers_count_max = 3;
        s.headers_bytes_max = 64;
    }
    return s;
}

static const struct good_case good_cases[] = {
    {0, GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     "head [:status=200] [content-length=2]\ndata hi\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
     "head [:status=200] [content-length=0]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n",
     "head [:status=299] [content-length=0]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 200 \xe2\x98\xba\ttab\r\nContent-Length: 0\r\n\r\n",
     "head [:status=200] [content-length=0]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 204 No\r\n\r\n", "head [:status=204]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "head [:status=204]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n",
     "head [:status=304] [content-length=9]\nend\nclosed\n", true, NULL},
    {0, HEADREQ, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
     "head [:status=200] [content-length=9]\nend\nclosed\n", true, NULL},
    {0, HEADREQ, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "head [:status=200]\nend\nclosed\n",
     true, NULL},
    {0, HEADREQ, "HTTP/1.1 200 OK\r\n\r\n", "head [:status=200]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     "head [:status=200]\ndata abc\nend\nclosed\n", true, NULL},
    {TRAILERS, GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n",
     "head [:status=200]\ndata abc\ntrailers [grpc-status=0]\nend\nclosed\n", true, NULL},
    {CHUNKED_LENGTH, GET,
     "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "head [:status=200]\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 200 OK\r\n\r\nto the end", "head [:status=200]\ndata to the end", false,
     "end\nclosed\n"},
    {0, GET, "HTTP/1.0 200 OK\r\n\r\nto the end", "head10 [:status=200]\ndata to the end", false,
     "end\nclosed\n"},
    {0, GET, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "head10 [:status=200] [content-length=1]\ndata x\nend\nclosed\n", false, NULL},
    {0, GET, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
     "head10 [:status=200] [content-length=1]\ndata x\nend\nclosed\n", true, NULL},
    {0, GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
     "head [:status=200] [content-length=1]\ndata x\nend\nclosed\n", false, NULL},
    {0, GET,
     "HTTP/1.1 200 OK\r\nConnection: x-a, x-forwarded-for\r\nX-A: 1\r\nx-forwarded-for: 2\r\nKeep-Alive: "
     "1\r\nUpgrade: h2\r\nHost: no\r\nContent-Length: 0\r\n\r\n",
     "head [:status=200] [x-forwarded-for=2] [content-length=0]\nend\nclosed\n", true, NULL},
    {0, GET,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
     "0\r\n\r\n",
     "info [:status=100]\ninfo [:status=103] [link=a]\nhead [:status=200] [content-length=0]\nend\nclosed\n",
     true, NULL},
    {0, GET, "HTTP/1.1 199 X\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 OK\r\n\r\n",
     "info [:status=199]\nhead [:status=204]\nend\nclosed\n", true, NULL},
    {UPGRADE, WS,
     "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x02HTTP/1.1",
     "head-upgraded [:status=101] [upgrade=websocket] [connection=upgrade]\ndata \x81\x02HTTP/1.1", false,
     "end\n"},
    {UPGRADE, WS, "HTTP/1.1 200 No\r\nContent-Length: 1\r\n\r\nx",
     "head [:status=200] [content-length=1]\ndata x\nend\nclosed\n", false, NULL},
    {0, CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nraw",
     "head-upgraded [:status=200]\ndata raw", false, "end\n"},
    {0, CONNECT, "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx",
     "head [:status=407] [content-length=1]\ndata x\nend\nclosed\n", false, NULL},
};

#define OK        "HTTP/1.1 200 OK\r\n"
#define RAW(text) text, sizeof(text) - 1

static const struct bad_case bad_cases[] = {
    {0, "bad_status_line", GET, "HTTP/2.0 200 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1 200 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "http/1.1 200 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1  200 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 20 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 2000 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 099 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 +20 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 2x0 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 200\tOK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "HTTP/1.1 200 O\x01K\r\n\r\n", 0},
    {0, "bad_status_line", GET, "ICY 200 OK\r\n\r\n", 0},
    {0, "bad_status_line", GET, "SSH-2.0-OpenSSH\r\n\r\n", 0},
    {0, "bad_status_line", GET, "\r\n" OK "\r\n", 0},
    {0, "bad_status_line", GET, RAW("HTTP/1.1 200 O\0K\r\n\r\n")},
    {0, "bare_cr", GET, "HTTP/1.1 200 O\rK\r\n\r\n", 0},
    {0, "bare_lf", GET, "HTTP/1.1 200 OK\n\n", 0},
    {0, "bare_lf", GET, OK "X: y\n\r\n", 0},
    {0, "obs_fold", GET, OK "X: y\r\n z\r\n\r\n", 0},
    {0, "space_before_colon", GET, OK "Content-Length : 1\r\n\r\n", 0},
    {0, "bad_header_name", GET, OK "no colon\r\n\r\n", 0},
    {0, "bad_header_value", GET, RAW(OK "X: a\0\r\n\r\n")},
    {0, "duplicate_content_length", GET, OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 0},
    {0, "bad_content_length", GET, OK "Content-Length: 1,1\r\n\r\n", 0},
    {0, "length_and_chunked", GET, OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET, OK "Transfer-Encoding: gzip\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET, OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 0},
    {0, "transfer_encoding_refused", GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {0, "transfer_encoding_refused", GET, "HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {0, "transfer_encoding_refused", GET, "HTTP/1.1 100 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {0, "content_length_refused", GET, "HTTP/1.1 204 OK\r\nContent-Length: 1\r\n\r\n", 0},
    {0, "content_length_refused", GET, "HTTP/1.1 103 OK\r\nContent-Length: 1\r\n\r\n", 0},
    {0, "unexpected_upgrade", GET, "HTTP/1.1 101 Switching\r\n\r\n", 0},
    {0, "unexpected_upgrade", WS, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", 0},
    {0, "bad_chunk_size", GET, OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", 0},
    {0, "bad_chunk_end", GET, OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 0},
    {0, "unexpected_response", GET, OK "Content-Length: 0\r\n\r\nx", 0},
    {0, "unexpected_response", GET, OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n", 0},
    {SMALL, "too_many_headers", GET, OK "a:\r\nb:\r\nc:\r\nd:\r\n\r\n", 0},
    {SMALL, "headers_too_large", GET,
     OK "a: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n", 0},
};

static void feed_cut(struct peer *p, struct slice input, size_t cut, bool bytewise)
{
    if (bytewise) {
        for (size_t i = 0; i < input.len && !p->error; i++)
            peer_feed(p, slice_take(slice_skip(input, i), 1));
        return;
    }
    peer_feed(p, slice_take(input, cut));
    if (!p->error && cut < input.len)
        peer_feed(p, slice_skip(input, cut));
}

static void start(struct peer *p, unsigned flags, const char *request)
{
    struct h1_settings settings = settings_of(flags);
    bool websocket = strcmp(request, WS) == 0;
    bool tunnel = websocket || strcmp(request, CONNECT) == 0;
    peer_init(p, &settings, true);
    assert_int_equal(codec_streams_available(p->codec), 1);
    peer_open(p);
    assert_int_equal(codec_streams_available(p->codec), 0);
    assert_null(codec_stream_open(p->codec, NULL, &p->arena));
    assert_null(peer_request(p, request, !tunnel));
    if (websocket && !(flags & UPGRADE))
        assert_null(peer_send_body(p, "", 0, true));
}

static void check_good(const struct good_case *t, size_t cut, bool bytewise)
{
    struct peer p;
    char expected[1024];
    start(&p, t->flags, t->request);
    feed_cut(&p, slice_str(t->input), cut, bytewise);
    assert_null(p.error);
    assert_int_equal(codec_streams_available(p.codec), t->reusable);
    assert_int_equal(!codec_wants_close(p.codec), t->reusable);
    assert_null(codec_recv_eof(p.codec));
    snprintf(expected, sizeof(expected), "%s%s%s", t->log, t->eof ? "\n" : "", t->eof ? t->eof : "");
    if (strcmp(peer_log(&p), expected) != 0)
        fail_msg("%s\ncut at %zu:\n%s\nexpected:\n%s", t->input, cut, peer_log(&p), expected);
    assert_int_equal(codec_streams_available(p.codec), 0);
    peer_fini(&p);
}

static void good_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good_cases); i++) {
        size_t len = strlen(good_cases[i].input);
        for (size_t cut = 0; cut <= len; cut++)
            check_good(&good_cases[i], cut, false);
        check_good(&good_cases[i], 0, true);
    }
}

static void check_bad(const struct bad_case *t, size_t cut, bool bytewise)
{
    struct peer p;
    start(&p, t->flags, t->request);
    feed_cut(&p, slice_of(t->input, t->len ? t->len : strlen(t->input)), cut, bytewise);
    if (!p.error || strcmp(p.error->name, t->error) != 0)
        fail_msg("%s: got %s\n%s", t->error, p.error ? p.error->name : "no error", t->input);
    /* A complete exchange stays complete; the connection dies all the same. */
    bool after = strcmp(t->error, "unexpected_response") == 0;
    assert_true((strstr(peer_log(&p), "reset:") == NULL) == after);
    assert_true(codec_wants_close(p.codec));
    assert_null(codec_stream_open(p.codec, NULL, &p.arena));
    peer_fini(&p);
}

static void bad_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad_cases); i++) {
        size_t len = bad_cases[i].len ? bad_cases[i].len : strlen(bad_cases[i].input);
        for (size_t cut = 0; cut <= len; cut++)
            check_bad(&bad_cases[i], cut, false);
        check_bad(&bad_cases[i], 0, true);
    }
}

/* The upstream goes away at each byte of a response with a length. */
static void closed_at_each_byte(void **state)
{
    static const char input[] = OK "Content-Length: 3\r\n\r\nabc";
    (void)state;
    for (size_t n = 0; n < sizeof(input) - 1; n++) {
        struct peer p;
        start(&p, 0, GET);
        if (n)
            peer_feed(&p, slice_of(input, n));
        assert_ptr_equal(codec_recv_eof(p.codec), &http_error_server_closed);
        assert_non_null(strstr(peer_log(&p), "reset:server_closed"));
        assert_true(codec_wants_close(p.codec));
        peer_fini(&p);
    }
}

static void idle_connection_is_closed_quietly(void **state)
{
    struct h1_settings settings = settings_of(0);
    struct peer p;
    (void)state;
    peer_init(&p, &settings, true);
    assert_null(codec_recv_eof(p.codec));
    assert_string_equal(peer_log(&p), "");
    assert_true(codec_wants_close(p.codec));
    peer_fini(&p);
}

static void bytes_without_a_request(void **state)
{
    struct h1_settings settings = settings_of(0);
    struct peer p;
    (void)state;
    peer_init(&p, &settings, true);
    peer_feed(&p, SLICE_LIT("HTTP/1.1 408 Timeout\r\n\r\n"));
    assert_ptr_equal(p.error, &http_error_unexpected_response);
    assert_string_equal(peer_log(&p), "");
    peer_fini(&p);
}

static void bytes_before_the_request_was_sent(void **state)
{
    struct h1_settings settings = settings_of(0);
    struct peer p;
    (void)state;
    peer_init(&p, &settings, true);
    peer_open(&p);
    peer_feed(&p, SLICE_LIT(OK));
    assert_ptr_equal(p.error, &http_error_unexpected_response);
    assert_string_equal(peer_log(&p), "reset:unexpected_response\n");
    peer_fini(&p);
}

/* The response is whole before the request is: it is passed on, and the connection is not used again. */
static void early_response(void **state)
{
    struct peer p;
    struct h1_settings settings = settings_of(0);
    (void)state;
    peer_init(&p, &settings, true);
    peer_open(&p);
    assert_null(peer_request(&p, ":method: POST;:path: /;:authority: h;content-length: 10", false));
    assert_null(peer_send_body(&p, "12345", 5, false));
    peer_feed(&p, SLICE_LIT("HTTP/1.1 413 No\r\nContent-Length: 1\r\n\r\nx"));
    assert_string_equal(peer_log(&p), "head [:status=413] [content-length=1]\ndata x\nend\n");
    assert_true(codec_wants_close(p.codec));
    assert_null(peer_send_body(&p, "67890", 5, true));
    peer_recv(&p);
    assert_non_null(strstr(peer_log(&p), "closed"));
    assert_null(codec_stream_open(p.codec, NULL, &p.arena));
    peer_fini(&p);
}

/* The same without a body, and the upstream closes before the request is through: the response stands. */
static void early_response_without_body(void **state)
{
    struct peer p;
    struct h1_settings settings = settings_of(0);
    (void)state;
    peer_init(&p, &settings, true);
    peer_open(&p);
    assert_null(peer_request(&p, ":method: POST;:path: /;:authority: h", false));
    peer_feed(&p, SLICE_LIT("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"));
    assert_true(codec_wants_close(p.codec));
    assert_null(codec_recv_eof(p.codec));
    assert_string_equal(peer_log(&p), "head [:status=403] [content-length=0]\nend\n");
    assert_null(peer_send_body(&p, "x", 1, true));
    peer_recv(&p);
    assert_string_equal(peer_log(&p), "head [:status=403] [content-length=0]\nend\nclosed\n");
    assert_ptr_equal(codec_send_informational(&(struct codec_stream){.codec = p.codec}, NULL),
                     &http_error_send_out_of_order);
    peer_fini(&p);
}

static void informational_is_capped(void **state)
{
    struct peer p;
    (void)state;
    start(&p, 0, GET);
    for (int i = 0; i < 32; i++)
        peer_feed(&p, SLICE_LIT("HTTP/1.1 102 P\r\nx: y\r\n\r\n"));
    assert_null(p.error);
    peer_feed(&p, SLICE_LIT("HTTP/1.1 102 P\r\n\r\n"));
    assert_ptr_equal(p.error, &http_error_too_many_informational);
    peer_fini(&p);
}

static void many_exchanges_on_one_connection(void **state)
{
    struct h1_settings settings = settings_of(0);
    struct peer p;
    (void)state;
    peer_init(&p, &settings, true);
    for (int i = 0; i < 100; i++) {
        peer_open(&p);
        assert_null(peer_request(&p, GET, true));
        peer_feed(&p, SLICE_LIT(OK "Content-Length: 2\r\n\r\nhi"));
        assert_null(p.stream);
        chain_clear(&p.out);
    }
    codec_drain(p.codec);
    assert_true(codec_wants_close(p.codec));
    assert_null(codec_stream_open(p.codec, NULL, &p.arena));
    peer_fini(&p);
}

/* While paused nothing is delivered, the end of the body included. */
static void pause_holds_data(void **state)
{
    struct peer p;
    (void)state;
    start(&p, 0, GET);
    codec_stream_pause(p.stream, true);
    peer_feed(&p, SLICE_LIT(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"));
    assert_string_equal(peer_log(&p), "head [:status=200]\n");
    codec_stream_pause(p.stream, false);
    peer_recv(&p);
    assert_string_equal(peer_log(&p), "head [:status=200]\ndata ab\nend\nclosed\n");
    peer_fini(&p);
}

static void reset_in_an_event(void **state)
{
    struct peer p;
    (void)state;
    start(&p, 0, GET);
    p.reset_in_headers = true;
    peer_feed(&p, SLICE_LIT(OK "Content-Length: 2\r\n\r\nhi"));
    assert_null(p.error);
    assert_string_equal(peer_log(&p), "head [:status=200] [content-length=2]\n");
    assert_true(codec_wants_close(p.codec));
    assert_int_equal(p.in.bytes, 0);
    assert_ptr_equal(peer_send_body(&p, "x", 1, true), &http_error_send_out_of_order);
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_responses),          cmocka_unit_test(bad_responses),
        cmocka_unit_test(closed_at_each_byte),     cmocka_unit_test(idle_connection_is_closed_quietly),
        cmocka_unit_test(bytes_without_a_request), cmocka_unit_test(bytes_before_the_request_was_sent),
        cmocka_unit_test(early_response),          cmocka_unit_test(early_response_without_body),
        cmocka_unit_test(informational_is_capped), cmocka_unit_test(many_exchanges_on_one_connection),
        cmocka_unit_test(pause_holds_data),        cmocka_unit_test(reset_in_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
