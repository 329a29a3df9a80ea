/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local replies: what a filter may put into one and what is refused, mappers and formats, HEAD and gRPC.
 */
#include "rig.h"

static struct rig rig;

/* Answers by path: /plain, /headers (good and bad ones), /empty. */
static enum filter_headers_status answer(struct filter *f, struct header_map *headers, bool end)
{
    static const struct local_reply_header extra[] = {
        {{"x-good", 6}, {"yes", 3}},
        {{"x bad", 5}, {"name", 4}},
        {{"x-split", 7}, {"a\r\nx-evil: 1", 12}},
        {{"content-type", 12}, {"text/html", 9}},
        {{"transfer-encoding", 17}, {"chunked", 7}},
        {{"content-length", 14}, {"999", 3}},
    };
    struct slice path = header_map_get_id(headers, HDR_PATH);
    struct local_reply reply = {
        .status = 403, .body = SLICE_LIT("no"), .details = SLICE_LIT("because"), .grpc_status = -1};
    (void)end;
    if (slice_eq(path, SLICE_LIT("/headers"))) {
        reply.headers = extra;
        reply.headers_count = WEIR_ARRAY_LEN(extra);
    } else if (slice_eq(path, SLICE_LIT("/empty"))) {
        reply.body = SLICE_EMPTY;
    }
    assert_true(filter_local_reply(f, &reply));
    reply.body = SLICE_LIT("second");
    assert_true(filter_local_reply(f, &reply)); /* only the first counts */
    return FILTER_HEADERS_CONTINUE;
}

static const struct filter_ops ops = {.name = "test.answer", .request_headers = answer};

static bool match_403(const struct stream_predicate *p, const struct stream *s)
{
    (void)p;
    return s->info.response_code == 403;
}
static void nothing(struct stream_predicate *p)
{
    (void)p;
}
static void write_format(const struct stream_format *f, const struct stream *s, struct slice body,
                         struct strbuf *out)
{
    (void)f;
    strbuf_printf(out, "{\"code\":%u,\"body\":\"" SLICE_FMT "\"}", s->info.response_code, SLICE_ARG(body));
}
static void no_destroy(struct stream_format *f)
{
    (void)f;
}

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_filter(&rig, &ops, NULL);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static const char *ask(const char *method, const char *path, const char *extra)
{
    static char answer_text[65536];
    char request[512];
    struct client *c = client_open(&rig);
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nhost: h\r\nconnection: close\r\n%s\r\n", method,
             path, extra);
    client_send(c, request);
    client_rest(c);
    assert_true(c->len < sizeof(answer_text));
    memcpy(answer_text, c->buf, c->len + 1);
    client_close(c);
    return answer_text;
}

static void bad_headers_are_left_out(void **state)
{
    (void)state;
    rig_start(&rig);
    const char *a = ask("GET", "/headers", "");
    assert_has(a, "HTTP/1.1 403 Forbidden\r\n");
    assert_has(a, "x-good: yes\r\n");
    assert_has(a, "content-type: text/html\r\n");
    assert_has(a, "content-length: 2\r\n");
    assert_has(a, "\r\n\r\nno");
    assert_has_not(a, "x-evil");
    assert_has_not(a, "x bad");
    assert_has_not(a, "chunked");
    assert_has_not(a, "999");
    assert_has_not(a, "second");
}

static void head_and_empty(void **state)
{
    (void)state;
    rig_start(&rig);
    const char *a = ask("HEAD", "/plain", "");
    assert_has(a, "content-length: 2\r\n");
    assert_null(strstr(strstr(a, "\r\n\r\n") + 4, "no"));
    a = ask("GET", "/empty", "");
    assert_has(a, "content-length: 0\r\n");
    assert_has_not(a, "content-type");
}

static void grpc(void **state)
{
    (void)state;
    rig_start(&rig);
    const char *a = ask("GET", "/plain", "content-type: application/grpc+proto\r\n");
    assert_has(a, "HTTP/1.1 200 OK\r\n");
    assert_has(a, "content-type: application/grpc\r\n");
    assert_has(a, "grpc-status: 7\r\n");
    assert_has(a, "grpc-message: no\r\n");
    a = ask("GET", "/plain", "content-type: application/grpcx\r\n");
    assert_has(a, "HTTP/1.1 403");
}

static void mapper_and_format(void **state)
{
    (void)state;
    static struct stream_predicate predicate = {match_403, nothing};
    static struct stream_format format = {write_format, no_destroy};
    static const struct hcm_header_add add = {
        .name = {"x-mapped", 8}, .value = {"1", 1}, .action = HCM_HEADER_OVERWRITE_OR_ADD};
    static struct hcm_reply_mapper mapper = {.filter = &predicate,
                                             .status = 451,
                                             .has_body = true,
                                             .body = {"mapped", 6},
                                             .headers = &add,
                                             .headers_count = 1};
    rig.hcm->reply_mappers = &mapper;
    rig.hcm->reply_mappers_count = 1;
    rig.hcm->reply_format = &format;
    rig.hcm->reply_content_type = SLICE_LIT("application/json");
    rig_start(&rig);
    const char *a = ask("GET", "/plain", "");
    assert_has(a, "HTTP/1.1 451 ");
    assert_has(a, "content-type: application/json\r\n");
    assert_has(a, "x-mapped: 1\r\n");
    assert_has(a, "{\"code\":451,\"body\":\"mapped\"}");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(bad_headers_are_left_out), T(head_and_empty), T(grpc),
                                       T(mapper_and_format)};
    forwarded_init();
    return cmocka_run_group_tests_name("local_reply", tests, NULL, NULL);
}
