/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the codec puts on the wire: responses and requests as tables of exact bytes, senders that do not keep
 * their word, and fields that must never get through.
 */
#include "h1_peer.h"

enum setting { HTTP10 = 1, TRAILERS = 2, UPGRADE = 4, CASE = 8 };

#define GET10  "GET / HTTP/1.0\r\nHost: h\r\n\r\n"
#define GET    "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEADRQ "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"

struct response_case {
    unsigned flags;
    const char *request;
    const char *response;
    const char *body; /* NULL: the head ends the message */
    const char *wire;
    bool close;
};

static struct h1_settings settings_of(unsigned flags)
{
    return (struct h1_settings){
        .accept_http_10 = flags & HTTP10,
        .allow_absolute_url = true,
        .enable_trailers = flags & TRAILERS,
        .allow_upgrade = flags & UPGRADE,
        .allow_connect = flags & UPGRADE,
        .keys = {.preserve_case = flags & CASE},
    };
}

static const struct response_case responses[] = {
    {0, GET, "200", NULL, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
    {0, GET, "404;Server: weir", NULL, "HTTP/1.1 404 Not Found\r\nserver: weir\r\ncontent-length: 0\r\n\r\n",
     false},
    {0, GET, "299", NULL, "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n", false},
    {0, GET, "200;content-length: 2;x: y", "hi", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: y\r\n\r\nhi",
     false},
    {0, GET, "200", "hi", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false},
    {0, GET, "200", "", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false},
    /* A content-length that is not one number is no content-length. */
    {0, GET, "200;content-length: 2;content-length: 2", "hi",
     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false},
    {0, GET, "200;content-length: +2", "hi",
     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false},
    {0, GET, "200;content-length: 7", NULL, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
    /* The map does not decide about the connection, except to close it. */
    {0, GET,
     "200;transfer-encoding: gzip;keep-alive: 1;connection: x;upgrade: y;proxy-connection: z;te: a;host: b",
     NULL, "HTTP/1.1 200 OK\r\nhost: b\r\ncontent-length: 0\r\n\r\n", false},
    {0, GET, "200;connection: Close", NULL,
     "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", true},
    {0, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", NULL,
     "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", true},
    /* no body */
    {0, GET, "204;content-length: 3", NULL, "HTTP/1.1 204 No Content\r\n\r\n", false},
    {0, GET, "204", "dropped", "HTTP/1.1 204 No Content\r\n\r\n", false},
    {0, GET, "304;content-length: 3", NULL, "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", false},
    {0, HEADRQ, "200;content-length: 3", NULL, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", false},
    {0, HEADRQ, "200;content-length: 3", "abc", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", false},
    {0, HEADRQ, "200", NULL, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false},
    {0, HEADRQ, "200", "abc", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false},
    {0, HEADRQ, "204", NULL, "HTTP/1.1 204 No Content\r\n\r\n", false},
    /* HTTP/1.0 */
    {HTTP10, GET10, "200;content-length: 2", "hi",
     "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi", true},
    {HTTP10, GET10, "200", "hi", "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nhi", true},
    {HTTP10, "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "200;content-length: 2", "hi",
     "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi", false},
    {HTTP10, "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "200", "hi",
     "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nhi", true},
    /* 101 and 1xx cannot be final answers here */
    {0, GET, "101", NULL, "", false},
    {0, GET, "100", NULL, "", false},
    {0, GET, "20", NULL, "", false},
    {0, GET, "abc", NULL, "", false},
    {UPGRADE, GET, "101;upgrade: x", NULL, "", false},
};

static void response_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(responses); i++) {
        const struct response_case *t = &responses[i];
        struct h1_settings settings = settings_of(t->flags);
        struct peer p;
        peer_init(&p, &settings, false);
        p.respond = t->response;
        p.respond_body = t->body;
        peer_feed(&p, slice_str(t->request));
        if (strcmp(peer_out(&p), t->wire) != 0)
            fail_msg("%s %s\n%s\nexpected:\n%s", t->request, t->response, peer_out(&p), t->wire);
        assert_int_equal(codec_wants_close(p.codec), t->close);
        assert_true((strstr(peer_log(&p), "answer:bad_outgoing_head") != NULL) == (t->wire[0] == '\0'));
        peer_fini(&p);
    }
}

struct request_case {
    unsigned flags;
    const char *fields;
    const char *body; /* NULL: the head ends the message */
    const char *wire; /* NULL: refused */
};

static const struct request_case requests[] = {
    {0, ":method: GET;:path: /a?b;:authority: h;:scheme: http;x: y", NULL,
     "GET /a?b HTTP/1.1\r\nhost: h\r\nx: y\r\n\r\n"},
    {0, ":authority: h;:path: /;:method: HEAD", NULL, "HEAD / HTTP/1.1\r\nhost: h\r\n\r\n"},
    {0, ":method: POST;:path: /;:authority: h", NULL,
     "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"},
    {0, ":method: DELETE;:path: /;:authority: h", NULL, "DELETE / HTTP/1.1\r\nhost: h\r\n\r\n"},
    {0, ":method: POST;:path: /;:authority: h;content-length: 2", "hi",
     "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi"},
    {0, ":method: GET;:path: /;:authority: h", "hi",
     "GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
    {0, ":method: GET;:path: /;:authority: h;host: other", NULL, "GET / HTTP/1.1\r\nhost: h\r\n\r\n"},
    {0, ":method: GET;:path: /;host: other", NULL, "GET / HTTP/1.1\r\nhost: other\r\n\r\n"},
    {0,
     ":method: GET;:path: /;:authority: h;te: trailers;te: gzip;connection: close;transfer-encoding: "
     "chunked;upgrade: x;keep-alive: 1",
     NULL, "GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n"},
    {0, ":method: OPTIONS;:path: *;:authority: h", NULL,
     "OPTIONS * HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"},
    {UPGRADE, ":method: GET;:path: /;:authority: h;upgrade: websocket;connection: Upgrade, x", "raw",
     "GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nraw"},
    {0, ":method: CONNECT;:authority: h:1", "raw", "CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\nraw"},
    /* what filters may not send */
    {0, ":path: /;:authority: h", NULL, NULL},
    {0, ":method: GET;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: /", NULL, NULL},
    {0, ":method: GET;:path: /;:authority: h;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: /;host: h;host: other", NULL, NULL},
    {0, ":method: ;:path: /;:authority: h", NULL, NULL},
    {0, ":method: G T;:path: /;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: ;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: /a b;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: /a\tb;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: /\xc3\xa9;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: x;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: http://evil/;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: *x;:authority: h", NULL, NULL},
    {0, ":method: GET;:path: /;:authority: a b", NULL, NULL},
    {0, ":method: GET;:path: /;:authority: u@h", NULL, NULL},
    {0, ":method: CONNECT;:authority: ", NULL, NULL},
};

static void request_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(requests); i++) {
        const struct request_case *t = &requests[i];
        struct h1_settings settings = settings_of(t->flags);
        struct peer p;
        peer_init(&p, &settings, true);
        peer_open(&p);
        const struct http_error *e = peer_request(&p, t->fields, t->body == NULL);
        assert_ptr_equal(e, t->wire ? NULL : &http_error_bad_outgoing_head);
        if (!e && t->body)
            assert_null(peer_send_body(&p, t->body, strlen(t->body), true));
        if (strcmp(peer_out(&p), t->wire ? t->wire : "") != 0)
            fail_msg("%s\n%s\nexpected:\n%s", t->fields, peer_out(&p), t->wire);
        /* A refused head leaves everything as it was. */
        if (e)
            assert_null(peer_request(&p, ":method: GET;:path: /;:authority: h", true));
        peer_fini(&p);
    }
}

static void begin(struct peer *p, unsigned flags, const char *request)
{
    struct h1_settings settings = settings_of(flags);
    peer_init(p, &settings, false);
    p->respond = "200";
    p->hold = true;
    peer_feed(p, slice_str(request));
    assert_non_null(p->stream);
}

static const struct http_error *respond(struct peer *p, const char *fields, bool end)
{
    return codec_send_headers(p->stream, peer_map(&p->arena, fields, false), end);
}

/* A value that got into a map behind the checks is not written. */
static void line_ends_never_get_out(void **state)
{
    static const char *const values[] = {"a\r\nx: y", "a\nb", "a\rb", "0123456789abcdef\n", "a\x01"};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(values); i++) {
        struct peer p;
        begin(&p, 0, GET);
        struct header_map *m = peer_map(&p.arena, "200", false);
        assert_int_equal(header_map_append(m, HDR_OTHER, SLICE_LIT("x"), slice_str(values[i]), SLICE_EMPTY),
                         HEADER_OK);
        assert_ptr_equal(codec_send_headers(p.stream, m, true), &http_error_bad_outgoing_head);
        assert_int_equal(p.out.bytes, 0);
        assert_null(respond(&p, "500", true));
        assert_string_equal(peer_out(&p), "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
        peer_fini(&p);
    }
}

static void too_much_body(void **state)
{
    struct peer p;
    (void)state;
    begin(&p, 0, GET GET);
    assert_null(respond(&p, "200;content-length: 5", false));
    assert_null(peer_send_body(&p, "abc", 3, false));
    assert_ptr_equal(peer_send_body(&p, "defHTTP/1.1 200 OK\r\n", 20, false), &http_error_body_too_long);
    assert_string_equal(peer_out(&p), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc");
    assert_true(codec_wants_close(p.codec));
    assert_ptr_equal(peer_send_body(&p, "x", 1, true), &http_error_send_out_of_order);
    peer_recv(&p);
    assert_ptr_equal(p.error, &http_error_body_too_long);
    assert_non_null(strstr(peer_log(&p), "end\nreset:body_too_long\n"));
    assert_string_equal(peer_out(&p), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc");
    peer_fini(&p);
}

static void too_little_body(void **state)
{
    struct peer p;
    (void)state;
    begin(&p, 0, GET);
    assert_null(respond(&p, "200;content-length: 5", false));
    assert_ptr_equal(peer_send_body(&p, "abc", 3, true), &http_error_body_too_short);
    assert_true(codec_wants_close(p.codec));
    codec_stream_reset(p.stream, &http_error_body_too_short);
    peer_recv(&p);
    assert_null(p.error);
    peer_fini(&p);
    begin(&p, 0, GET);
    assert_null(respond(&p, "200;content-length: 5", false));
    assert_ptr_equal(codec_send_trailers(p.stream, peer_map(&p.arena, "a: b", true)),
                     &http_error_body_too_short);
    peer_fini(&p);
}

static void sends_in_the_wrong_order(void **state)
{
    struct peer p;
    (void)state;
    begin(&p, 0, GET);
    assert_ptr_equal(peer_send_body(&p, "abc", 3, true), &http_error_send_out_of_order);
    assert_ptr_equal(codec_send_trailers(p.stream, peer_map(&p.arena, "a: b", true)),
                     &http_error_send_out_of_order);
    assert_null(respond(&p, "200", false));
    assert_ptr_equal(respond(&p, "200", true), &http_error_send_out_of_order);
    assert_ptr_equal(codec_send_informational(p.stream, peer_map(&p.arena, "100", false)),
                     &http_error_send_out_of_order);
    assert_null(peer_send_body(&p, "", 0, true));
    assert_ptr_equal(peer_send_body(&p, "", 0, true), &http_error_send_out_of_order);
    assert_string_equal(peer_out(&p), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    peer_fini(&p);
}

static void informational_heads(void **state)
{
    struct peer p;
    (void)state;
    begin(&p, 0, GET);
    assert_null(codec_send_informational(p.stream, peer_map(&p.arena, "100", false)));
    assert_null(
        codec_send_informational(p.stream, peer_map(&p.arena, "103;link: a;content-length: 3", false)));
    assert_ptr_equal(codec_send_informational(p.stream, peer_map(&p.arena, "101", false)),
                     &http_error_bad_outgoing_head);
    assert_ptr_equal(codec_send_informational(p.stream, peer_map(&p.arena, "200", false)),
                     &http_error_bad_outgoing_head);
    assert_null(respond(&p, "200", true));
    assert_string_equal(peer_out(&p),
                        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
                        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    peer_fini(&p);
    begin(&p, HTTP10, GET10);
    assert_null(codec_send_informational(p.stream, peer_map(&p.arena, "100", false)));
    assert_int_equal(p.out.bytes, 0);
    peer_fini(&p);
}

static void trailers(void **state)
{
    struct peer p;
    (void)state;
    for (int on = 0; on < 2; on++) {
        begin(&p, on ? TRAILERS : 0, GET);
        assert_null(respond(&p, "200", false));
        assert_null(peer_send_body(&p, "a", 1, false));
        assert_null(codec_send_trailers(
            p.stream, peer_map(&p.arena, "x: y;content-length: 1;transfer-encoding: z", true)));
        assert_non_null(strstr(peer_out(&p), on ? "1\r\na\r\n0\r\nx: y\r\n\r\n" : "1\r\na\r\n0\r\n\r\n"));
        peer_recv(&p);
        assert_null(p.stream);
        assert_false(codec_wants_close(p.codec));
        peer_fini(&p);
    }
}

/* A trailer that is not safe cuts the message instead of ending it. */
static void bad_trailer(void **state)
{
    struct peer p;
    (void)state;
    begin(&p, TRAILERS, GET);
    assert_null(respond(&p, "200", false));
    assert_null(peer_send_body(&p, "a", 1, false));
    struct header_map *m = peer_map(&p.arena, "x: y", true);
    assert_int_equal(header_map_append(m, HDR_OTHER, SLICE_LIT("z"), SLICE_LIT("\r\n"), SLICE_EMPTY),
                     HEADER_OK);
    assert_ptr_equal(codec_send_trailers(p.stream, m), &http_error_bad_outgoing_head);
    assert_true(codec_wants_close(p.codec));
    assert_true(slice_ends_with(peer_bytes(&p.out, &p.arena), SLICE_LIT("\r\n1\r\na\r\n")));
    peer_recv(&p);
    assert_ptr_equal(p.error, &http_error_bad_outgoing_head);
    peer_fini(&p);
}

static void spelling_is_kept(void **state)
{
    struct peer p;
    (void)state;
    begin(&p, CASE, "GET / HTTP/1.1\r\nHoSt: h\r\nX-Fancy-Name: 1\r\nplain: 2\r\n\r\n");
    assert_string_equal(
        peer_log(&p), "begin\nhead [:authority=h] [:path=/] [:method=GET] [x-fancy-name=1] [plain=2]\nend\n");
    struct peer up;
    struct h1_settings settings = settings_of(CASE);
    peer_init(&up, &settings, true);
    peer_open(&up);
    struct header_map *m = arena_alloc(&up.arena, sizeof(*m));
    header_map_init(m, &up.arena, 100, 10000);
    assert_int_equal(header_map_append(m, HDR_METHOD, SLICE_LIT(":method"), SLICE_LIT("GET"), SLICE_EMPTY),
                     HEADER_OK);
    assert_int_equal(header_map_append(m, HDR_PATH, SLICE_LIT(":path"), SLICE_LIT("/"), SLICE_EMPTY),
                     HEADER_OK);
    assert_int_equal(
        header_map_append(m, HDR_AUTHORITY, SLICE_LIT(":authority"), SLICE_LIT("h"), SLICE_LIT("HoSt")),
        HEADER_OK);
    assert_int_equal(
        header_map_append(m, HDR_OTHER, SLICE_LIT("x-fancy"), SLICE_LIT("1"), SLICE_LIT("X-Fancy")),
        HEADER_OK);
    assert_null(codec_send_headers(up.stream, m, true));
    assert_string_equal(peer_out(&up), "GET / HTTP/1.1\r\nHoSt: h\r\nX-Fancy: 1\r\n\r\n");
    peer_fini(&up);
    peer_fini(&p);
}

static void names_get_capitals(void **state)
{
    struct peer p;
    struct h1_settings settings = {.keys = {.proper_case = true}};
    (void)state;
    peer_init(&p, &settings, true);
    peer_open(&p);
    assert_null(peer_request(&p, ":method: POST;:path: /;:authority: h;x-a1-b_c: x-y;1a: z;a!b--c: 1", true));
    assert_string_equal(peer_out(&p), "POST / HTTP/1.1\r\nHost: h\r\nX-A1-B_C: x-y\r\n1a: z\r\nA!B--C: 1\r\n"
                                      "Content-Length: 0\r\n\r\n");
    peer_fini(&p);
}

/* Bodies above the copying limit go by reference, in chunks or not. */
static void large_bodies(void **state)
{
    enum { SIZE = 70000 };
    char *body = malloc(SIZE);
    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)('a' + i % 26);
    for (int chunked = 0; chunked < 2; chunked++) {
        struct peer p;
        begin(&p, 0, GET);
        assert_null(respond(&p, chunked ? "200" : "200;content-length: 70000", false));
        size_t head = p.out.bytes;
        assert_null(peer_send_body(&p, body, SIZE, true));
        struct slice wire = slice_skip(peer_bytes(&p.out, &p.arena), head);
        if (chunked) {
            assert_true(slice_starts_with(wire, SLICE_LIT("11170\r\n")));
            assert_true(slice_ends_with(wire, SLICE_LIT("\r\n0\r\n\r\n")));
            wire = slice_take(slice_skip(wire, 7), SIZE);
        }
        assert_int_equal(wire.len, SIZE);
        assert_memory_equal(wire.ptr, body, SIZE);
        peer_fini(&p);
    }
    free(body);
}

/* A head larger than a block. */
static void large_head(void **state)
{
    struct peer p;
    char value[3000];
    (void)state;
    memset(value, 'v', sizeof(value));
    begin(&p, 0, GET);
    struct header_map *m = peer_map(&p.arena, "200", false);
    for (int i = 0; i < 20; i++)
        assert_int_equal(header_map_add(m, SLICE_LIT("x"), slice_of(value, sizeof(value))), HEADER_OK);
    assert_null(codec_send_headers(p.stream, m, true));
    assert_int_equal(p.out.bytes,
                     strlen("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") + 20 * (sizeof(value) + 5));
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response_table),
        cmocka_unit_test(request_table),
        cmocka_unit_test(line_ends_never_get_out),
        cmocka_unit_test(too_much_body),
        cmocka_unit_test(too_little_body),
        cmocka_unit_test(sends_in_the_wrong_order),
        cmocka_unit_test(informational_heads),
        cmocka_unit_test(trailers),
        cmocka_unit_test(bad_trailer),
        cmocka_unit_test(spelling_is_kept),
        cmocka_unit_test(names_get_capitals),
        cmocka_unit_test(large_bodies),
        cmocka_unit_test(large_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
