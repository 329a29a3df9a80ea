/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access log formats: every operator family, JSON, errors.
 */
#include "base/assert.h"
#include "proxy/logging/log_format.h"
#include "proxy/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct stream s;
    struct header_map request;
    struct header_map response;
    struct address remote;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    arena_init(&f->s.arena, 1 << 20, NULL);
    f->s.filter_state.arena = &f->s.arena;
    header_map_init(&f->request, &f->s.arena, 100, 60000);
    header_map_init(&f->response, &f->s.arena, 100, 60000);
    header_map_add(&f->request, SLICE_LIT(":method"), SLICE_LIT("GET"));
    header_map_add(&f->request, SLICE_LIT(":path"), SLICE_LIT("/a?b=\"c\""));
    header_map_add(&f->request, SLICE_LIT(":authority"), SLICE_LIT("example.com"));
    header_map_add(&f->request, SLICE_LIT("user-agent"), SLICE_LIT("curl/8"));
    header_map_add(&f->response, SLICE_LIT(":status"), SLICE_LIT("503"));
    header_map_add(&f->response, SLICE_LIT("grpc-status"), SLICE_LIT("14"));
    f->s.request_headers = &f->request;
    f->s.response_headers = &f->response;
    assert_true(address_parse_ip(SLICE_LIT("10.1.2.3"), 4567, &f->remote));
    f->s.info = (struct stream_info){
        .start_realtime_ns = UINT64_C(1795255200123456789), /* 2026-11-21T10:00:00.123456789Z */
        .start_ns = 1000000000,
        .request_end_ns = 1002000000,
        .upstream_response_start_ns = 1005000000,
        .end_ns = 1042900000,
        .details = SLICE_LIT("upstream_reset"),
        .route_name = SLICE_LIT("r1"),
        .request_body_bytes = 11,
        .response_body_bytes = 22,
        .response_code = 503,
        .protocol = HTTP_11,
        .downstream_remote = &f->remote,
        .upstream_remote = f->remote,
    };
    stream_info_flag(&f->s.info, RESPONSE_FLAG(UPSTREAM_RETRY_LIMIT_EXCEEDED));
    stream_info_flag(&f->s.info, RESPONSE_FLAG(UPSTREAM_CONNECTION_FAILURE));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->s.arena);
    free(f);
    return 0;
}

static void expect_format(struct fixture *f, struct stream_format *format, const char *want)
{
    struct strbuf out;
    strbuf_init(&out, 1 << 20);
    assert_non_null(format);
    format->format(format, &f->s, SLICE_LIT("the body"), &out);
    assert_string_equal(strbuf_cstr(&out), want);
    strbuf_fini(&out);
    stream_format_destroy(&format);
}

static void the_default_line_is_envoys(void **state)
{
    expect_format(
        *state, log_format_default(),
        "[2026-11-21T10:00:00.123Z] \"GET /a?b=\"c\" HTTP/1.1\" 503 URX,UF 11 22 42 - \"-\" \"curl/8\" \"-\" "
        "\"example.com\" \"10.1.2.3:4567\"\n");
}

static void texts(void **state)
{
    static const struct {
        const char *format;
        const char *want;
    } cases[] = {
        {"100%% done", "100% done"},
        {"%REQ(X-A?:METHOD)% %REQ(:PATH):2%", "GET /a"},
        {"%REQ(x-none)%|%RESP(GRPC-STATUS)%|%TRAILER(a)%", "-|14|-"},
        {"%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%", "2026/11/21 10:00:00.123 1795255200"},
        {"%START_TIME(%E6S|%f|%%)%", "00.123456|123456789|%"},
        {"%RESPONSE_CODE_DETAILS% %ROUTE_NAME% %UPSTREAM_CLUSTER%", "upstream_reset r1 -"},
        {"%RESPONSE_FLAGS_LONG%", "UpstreamRetryLimitExceeded,UpstreamConnectionFailure"},
        {"%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "42 2 5 37"},
        {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%", "10.1.2.3 4567"},
        {"%DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_PORT%", "- -"},
        {"%GRPC_STATUS% %GRPC_STATUS_NUMBER%", "Unavailable 14"},
        {"%PATH(NQ)% %LOCAL_REPLY_BODY%", "/a the body"},
        {"%ENVIRONMENT(WEIR_TEST_VARIABLE)% %ENVIRONMENT(WEIR_TEST_NOT_SET)%", "here -"},
        {"%FILTER_STATE(wasm.x:PLAIN)% %FILTER_STATE(wasm.x)% %FILTER_STATE(none)%",
         "va\"l {\"@type\":\"type.googleapis.com/google.protobuf.BytesValue\",\"value\":\"dmEibA==\"} -"},
        {"", ""},
    };
    struct fixture *f = *state;
    setenv("WEIR_TEST_VARIABLE", "here", 1);
    assert_int_equal(filter_state_set(&f->s.filter_state, SLICE_LIT("wasm.x"), SLICE_LIT("va\"l"), NULL),
                     FILTER_STATE_OK);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct log_format_error error;
        expect_format(f, log_format_text(slice_str(cases[i].format), NULL, &error), cases[i].want);
    }
}

static void omitted_values_leave_nothing(void **state)
{
    struct log_format_options options = {.omit_empty_values = true};
    struct log_format_error error;
    expect_format(*state, log_format_text(SLICE_LIT("a%REQ(x-none)%b"), &options, &error), "ab");
}

static void json_keeps_types(void **state)
{
    const struct log_json inner[] = {{.kind = LOG_JSON_TEXT, .text = SLICE_LIT("%REQ(:METHOD)%")},
                                     {.kind = LOG_JSON_BOOL, .boolean = true},
                                     {.kind = LOG_JSON_NULL},
                                     {.kind = LOG_JSON_NUMBER, .number = 1.5}};
    const struct log_json members[] = {
        {.kind = LOG_JSON_TEXT, .key = SLICE_LIT("none"), .text = SLICE_LIT("%REQ(x-none)%")},
        {.kind = LOG_JSON_TEXT, .key = SLICE_LIT("code"), .text = SLICE_LIT("%RESPONSE_CODE%")},
        {.kind = LOG_JSON_TEXT, .key = SLICE_LIT("pa\"th"), .text = SLICE_LIT("%REQ(:PATH)%")},
        {.kind = LOG_JSON_TEXT, .key = SLICE_LIT("mix"), .text = SLICE_LIT("<%RESPONSE_CODE% %REQ(:PATH)%>")},
        {.kind = LOG_JSON_LIST, .key = SLICE_LIT("list"), .items = inner, .items_count = 4},
    };
    const struct log_json root = {.kind = LOG_JSON_OBJECT, .items = members, .items_count = 5};
    struct log_format_options options = {0};
    struct log_format_error error;
    expect_format(
        *state, log_format_json(&root, &options, &error),
        "{\"none\":null,\"code\":503,\"pa\\\"th\":\"/a?b=\\\"c\\\"\",\"mix\":\"<503 /a?b=\\\"c\\\">\","
        "\"list\":[\"GET\",true,null,1.5]}\n");
    options.omit_empty_values = true;
    expect_format(*state, log_format_json(&root, &options, &error),
                  "{\"code\":503,\"pa\\\"th\":\"/a?b=\\\"c\\\"\",\"mix\":\"<503 /a?b=\\\"c\\\">\","
                  "\"list\":[\"GET\",true,null,1.5]}\n");
}

static void wrong_formats_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        const char *error;
    } cases[] = {
        {"50% off", "a '%' has no partner; write %% for a percent sign"},
        {"%NOPE%", "unknown operator: %NOPE%"},
        {"%REQ%", "wrong arguments for an operator: %REQ%"},
        {"%REQ(a b)%", "wrong arguments for an operator: %REQ(a b)%"},
        {"%PROTOCOL(x)%", "wrong arguments for an operator: %PROTOCOL(x)%"},
        {"%REQ(a):0%", "behind an operator's arguments only \":\" and a length may stand: %REQ(a):0%"},
        {"%REQ(a)x%", "behind an operator's arguments only \":\" and a length may stand: %REQ(a)x%"},
        {"%REQ(a%", "a '%' has no partner; write %% for a percent sign"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct log_format_error error;
        assert_null(log_format_text(slice_str(cases[i].format), NULL, &error));
        assert_string_equal(error.text, cases[i].error);
    }
}

static void deep_json_is_refused(void **state)
{
    (void)state;
    struct log_json levels[LOG_JSON_DEPTH_MAX + 2];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(levels); i++)
        levels[i] = (struct log_json){.kind = LOG_JSON_LIST, .items = &levels[i + 1], .items_count = 1};
    levels[WEIR_ARRAY_LEN(levels) - 1] = (struct log_json){.kind = LOG_JSON_NULL};
    struct log_format_error error;
    assert_null(log_format_json(&levels[0], NULL, &error));
    assert_string_equal(error.text, "the format is nested deeper than 16 levels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_default_line_is_envoys, setup, teardown),
        cmocka_unit_test_setup_teardown(texts, setup, teardown),
        cmocka_unit_test_setup_teardown(omitted_values_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(json_keeps_types, setup, teardown),
        cmocka_unit_test(wrong_formats_are_named),
        cmocka_unit_test(deep_json_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
