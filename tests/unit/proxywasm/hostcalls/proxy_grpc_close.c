/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_close: of a call, of a stream, inside its callbacks, wrong numbers.
 */
#include "guest.h"

int test_proxy_grpc_close(void);

static void open_both(struct guest *g)
{
    uint64_t text = guest_text(g, "s");
    assert_int_equal(guest_do(g, IN_HEADERS, "proxy_grpc_call",
                              ARGS(text, 1, text, 1, text, 1, 0, 0, 0, 0, 0, guest_slot(g))),
                     PW_STATUS_OK);
    assert_int_equal(
        guest_do(g, IN_HEADERS, "proxy_grpc_stream", ARGS(text, 1, text, 1, text, 1, 0, 0, guest_slot(g))),
        PW_STATUS_OK);
}

TEST_ON_BOTH(grpc_close_wrong_number)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_both(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_close", ARGS(9)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_close", ARGS(10)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(4)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(UINT32_MAX)), PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 2);
}

TEST_ON_BOTH(grpc_close_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_both(&g);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(5)), PW_STATUS_OK); /* cancels a call */
    assert_int_equal(g.callouts.cancels, 1);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(5)), PW_STATUS_NOT_FOUND);
    /* Half-closes a stream: what comes may still come. */
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_OK);
    assert_true(g.callouts.end);
    assert_string_equal(g.callouts.asked, "");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_OK);
    assert_int_equal(g.callouts.sends, 1);
    pw_callout_grpc_message(g.callouts.open[0], (struct pw_slice){"x", 1});
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_grpc_receive), 1);
    pw_callout_grpc_close(&g.callouts.open[0], 0, (struct pw_slice){"", 0});
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_NOT_FOUND);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 1);
}

TEST_ON_BOTH(grpc_close_inside)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_both(&g);
    struct guest_step close = guest_plan(&g, GUEST_proxy_on_grpc_close, "proxy_grpc_close", ARGS(6));
    pw_callout_grpc_close(&g.callouts.open[1], 0, (struct pw_slice){"", 0});
    assert_int_equal(guest_result(&g, close), PW_STATUS_OK);
    assert_int_equal(g.callouts.sends, 0);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

int test_proxy_grpc_close(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_close_wrong_number),
        ON_BOTH(grpc_close_right),
        ON_BOTH(grpc_close_inside),
    };
    return cmocka_run_group_tests_name("proxy_grpc_close", tests, NULL, NULL);
}
