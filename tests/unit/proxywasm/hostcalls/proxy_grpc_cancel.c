/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_cancel: of a call, of a stream, inside its callbacks, wrong numbers.
 */
#include "guest.h"

int test_proxy_grpc_cancel(void);

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

TEST_ON_BOTH(grpc_cancel_wrong_number)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_both(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_cancel", ARGS(9)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_cancel", ARGS(10)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(4)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(UINT32_MAX)), PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 2);
}

TEST_ON_BOTH(grpc_cancel_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_both(&g);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(5)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_grpc_cancel", ARGS(6)), PW_STATUS_OK);
    assert_int_equal(g.callouts.cancels, 2);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(5)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(6)), PW_STATUS_NOT_FOUND);
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_true(stats.callouts == 0 && stats.callout_bytes == 0);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 2);
}

TEST_ON_BOTH(grpc_cancel_inside)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    open_both(&g);
    struct guest_step in_message = guest_plan(&g, GUEST_proxy_on_grpc_receive, "proxy_grpc_cancel", ARGS(6));
    pw_callout_grpc_message(g.callouts.open[1], (struct pw_slice){"x", 1});
    assert_int_equal(guest_result(&g, in_message), PW_STATUS_OK);
    assert_int_equal(g.callouts.cancels, 1);
    guest_forget(&g, GUEST_proxy_on_grpc_receive);
    /* In the callback that ends it there is nothing left to take back, but the number is known. */
    struct guest_step in_close = guest_plan(&g, GUEST_proxy_on_grpc_close, "proxy_grpc_cancel", ARGS(5));
    pw_callout_grpc_close(&g.callouts.open[0], 4, (struct pw_slice){"", 0});
    assert_int_equal(guest_result(&g, in_close), PW_STATUS_OK);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 1);
}

int test_proxy_grpc_cancel(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_cancel_wrong_number),
        ON_BOTH(grpc_cancel_right),
        ON_BOTH(grpc_cancel_inside),
    };
    return cmocka_run_group_tests_name("proxy_grpc_cancel", tests, NULL, NULL);
}
