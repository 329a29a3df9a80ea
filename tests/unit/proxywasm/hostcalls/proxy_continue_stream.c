/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_continue_stream: deferred, once, and the request is let go at once.
 */
#include "guest.h"

int test_proxy_continue_stream(void);

TEST_ON_BOTH(continue_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0)), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[0], 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_stream", ARGS(1)), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[1], 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_stream", ARGS(2)), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[2], 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_stream", ARGS(3)), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[3], 1);
    assert_string_equal(g.fake.order, "cccc");
    guest_close(&g);
}

TEST_ON_BOTH(continue_deferred_once)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    guest_returns(&g, IN_HEADERS, 1);
    struct guest_step a = guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0));
    struct guest_step b = guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0));
    struct guest_step c = guest_plan(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n));
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(guest_result(&g, a), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, b), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, c), PW_STATUS_BAD_ARGUMENT); /* ABI 3.4 */
    assert_int_equal(g.fake.continued[0], 1);
    guest_close(&g);
}

TEST_ON_BOTH(continue_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_stream", ARGS(4)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_stream", ARGS(UINT32_MAX)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_continue_stream", ARGS(0)), PW_STATUS_OK);
    assert_string_equal(g.fake.order, "");
    guest_close(&g);
}

TEST_ON_BOTH(continue_from_tick)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct guest_step s = guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(2));
    guest_plan(&g, IN_TICK, "proxy_continue_stream", ARGS(0));
    guest_drive(&g, IN_TICK);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[0], 1);
    guest_close(&g);
}

int test_proxy_continue_stream(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(continue_right),
        ON_BOTH(continue_deferred_once),
        ON_BOTH(continue_wrong),
        ON_BOTH(continue_from_tick),
    };
    return cmocka_run_group_tests_name("proxy_continue_stream", tests, NULL, NULL);
}
