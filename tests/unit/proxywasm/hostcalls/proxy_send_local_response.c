/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_send_local_response: copied, deferred, the first wins, the return value is overridden.
 */
#include "guest.h"

int test_proxy_send_local_response(void);

TEST_ON_BOTH(reply_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t d = guest_text(&g, "a b\tc");
    uint64_t b = guest_text(&g, "body");
    static const char pairs[] = "\1\0\0\0\1\0\0\0\1\0\0\0h\0v";
    uint64_t h = guest_bytes(&g, pairs, sizeof(pairs));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_send_local_response",
                              ARGS(403, d, 5, b, 4, h, sizeof(pairs), UINT32_MAX)),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.replies, 1);
    assert_int_equal(g.action, PW_ACTION_STOP_ALL_WATERMARK);
    assert_int_equal(g.fake.reply.status_code, 403);
    assert_string_equal(g.fake.reply_details, "a_b_c");
    assert_string_equal(g.fake.reply_body, "body");
    assert_string_equal(g.fake.reply_header, "h=v");
    assert_int_equal(g.fake.reply.grpc_status, -1);
    assert_int_equal(g.vm->held_bytes, 0);
    guest_close(&g);
}

TEST_ON_BOTH(reply_overrides)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    static const struct {
        enum guest_function fn;
        enum pw_action action;
    } cases[] = {
        {GUEST_proxy_on_request_headers, PW_ACTION_STOP_ALL_WATERMARK},
        {GUEST_proxy_on_request_body, PW_ACTION_STOP_NO_BUFFER},
        {GUEST_proxy_on_request_trailers, PW_ACTION_STOP_ITERATION},
        {GUEST_proxy_on_response_headers, PW_ACTION_STOP_ALL_WATERMARK},
        {GUEST_proxy_on_response_body, PW_ACTION_STOP_NO_BUFFER},
        {GUEST_proxy_on_response_trailers, PW_ACTION_STOP_ITERATION},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pw_stream_destroy(&g.stream);
        assert_int_equal(guest_stream(&g), PW_OK);
        assert_int_equal(
            guest_do(&g, cases[i].fn, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0)),
            PW_STATUS_OK);
        assert_int_equal(g.action, cases[i].action);
        assert_int_equal(g.fake.reply.grpc_status, 0);
        assert_int_equal(g.fake.replies, i + 1);
    }
    guest_close(&g);
}

TEST_ON_BOTH(reply_first_wins)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, IN_HEADERS, "proxy_send_local_response", ARGS(401, 0, 0, 0, 0, 0, 0, 17));
    struct guest_step second =
        guest_plan(&g, IN_HEADERS, "proxy_send_local_response", ARGS(402, 0, 0, 0, 0, 0, 0, 16));
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(guest_result(&g, second), PW_STATUS_OK);
    assert_int_equal(g.fake.replies, 1);
    assert_int_equal(g.fake.reply.status_code, 401);
    assert_int_equal(g.fake.reply.grpc_status, -1);
    /* and again on its own response: ignored, and the response goes on */
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_send_local_response", ARGS(500, 0, 0, 0, 0, 0, 0, 16)),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.replies, 1);
    assert_int_equal(g.action, PW_ACTION_CONTINUE);
    guest_close(&g);
}

TEST_ON_BOTH(reply_from_root)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0)),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.replies, 0);
    guest_close(&g);
}

TEST_ON_BOTH(reply_trap_beats)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, IN_HEADERS, "proxy_send_local_response", ARGS(401, 0, 0, 0, 0, 0, 0, 0));
    guest_plan(&g, IN_HEADERS, NULL, NULL, 0);
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.fake.replies, 0);
    assert_int_equal(g.fake.vm_failures, 1);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    guest_close(&g);
}

static void reply_over_cap(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.limits.host_bytes_max = 100000});
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, 0, AT_HEAP, 200000, 0, 0, 0)),
        PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(g.fake.replies, 0);
    assert_int_equal(g.action, PW_ACTION_CONTINUE);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0)),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.replies, 1);
    guest_close(&g);
}

static void reply_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, guest_bad(&g), 9, 0, 0, 0, 0, 0)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, 0, guest_bad(&g), 9, 0, 0, 0)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, guest_bad(&g), 9, 0)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, UINT32_MAX, 0, 0, 0, 0, 0)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(g.fake.replies, 0);
    assert_int_equal(g.action, PW_ACTION_CONTINUE);
    guest_close(&g);
}

int test_proxy_send_local_response(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(reply_right),
        ON_BOTH(reply_overrides),
        ON_BOTH(reply_first_wins),
        ON_BOTH(reply_from_root),
        ON_BOTH(reply_trap_beats),
        cmocka_unit_test(reply_over_cap),
        cmocka_unit_test(reply_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_send_local_response", tests, NULL, NULL);
}
