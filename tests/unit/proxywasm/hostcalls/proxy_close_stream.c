/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_close_stream: deferred; nothing without a stream.
 */
#include "guest.h"

int test_proxy_close_stream(void);

TEST_ON_BOTH(close_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_close_stream", ARGS(0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_close_stream", ARGS(1)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_close_stream", ARGS(2)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_close_stream", ARGS(3)), PW_STATUS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(g.fake.closed[i], 1);
    guest_close(&g);
}

TEST_ON_BOTH(close_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_close_stream", ARGS(4)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_close_stream", ARGS(0)), PW_STATUS_OK);
    assert_string_equal(g.fake.order, "");
    guest_close(&g);
}

TEST_ON_BOTH(close_after_continue)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0));
    guest_plan(&g, IN_HEADERS, "proxy_close_stream", ARGS(0));
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(1));
    guest_drive(&g, IN_HEADERS);
    assert_string_equal(g.fake.order, "cxc");
    guest_close(&g);
}

int test_proxy_close_stream(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(close_right),
        ON_BOTH(close_wrong),
        ON_BOTH(close_after_continue),
    };
    return cmocka_run_group_tests_name("proxy_close_stream", tests, NULL, NULL);
}
