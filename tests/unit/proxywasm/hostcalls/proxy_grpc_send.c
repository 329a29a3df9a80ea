/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_send: messages, the end, wrong numbers, a stream that has ended.
 */
#include "guest.h"

int test_proxy_grpc_send(void);

static void open_stream(struct guest *g)
{
    uint64_t text = guest_text(g, "s");
    assert_int_equal(
        guest_do(g, IN_HEADERS, "proxy_grpc_stream", ARGS(text, 1, text, 1, text, 1, 0, 0, guest_slot(g))),
        PW_STATUS_OK);
}

TEST_ON_BOTH(grpc_send_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_stream(&g);
    uint64_t m = guest_text(&g, "message");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_send", ARGS(6, m, 7, 0)), PW_STATUS_OK);
    assert_string_equal(g.callouts.asked, "'message'");
    assert_false(g.callouts.end);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_send", ARGS(6, 0, 0, 1)), PW_STATUS_OK);
    assert_string_equal(g.callouts.asked, "''"); /* an empty message is one, and this one ends it */
    assert_true(g.callouts.end);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_send", ARGS(6, m, 7, 0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(g.callouts.sends, 2);
    /* Both sides have ended: nothing of it is left. */
    pw_callout_grpc_close(&g.callouts.open[0], 0, (struct pw_slice){"", 0});
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_send", ARGS(6, m, 7, 0)), PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

TEST_ON_BOTH(grpc_send_after_the_peer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_stream(&g);
    uint64_t m = guest_text(&g, "message");
    struct guest_step inside = guest_plan(&g, GUEST_proxy_on_grpc_close, "proxy_grpc_send", ARGS(6, m, 7, 0));
    pw_callout_grpc_close(&g.callouts.open[0], 0, (struct pw_slice){"", 0});
    assert_int_equal(guest_result(&g, inside), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_send", ARGS(6, m, 7, 0)), PW_STATUS_OK);
    assert_int_equal(g.callouts.sends, 0); /* nobody is there to read it */
    guest_close(&g);
}

TEST_ON_BOTH(grpc_send_wrong_number)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_stream(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(10, 0, 0, 0)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(5, 0, 0, 0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(4, 0, 0, 0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(0, 0, 0, 0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(UINT32_MAX, 0, 0, 0)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

static void grpc_send_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    open_stream(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(6, 0, UINT32_MAX, 0)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(6, guest_bad(&g), 100, 0)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_grpc_send(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_send_right),
        ON_BOTH(grpc_send_after_the_peer),
        ON_BOTH(grpc_send_wrong_number),
        cmocka_unit_test(grpc_send_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_grpc_send", tests, NULL, NULL);
}
