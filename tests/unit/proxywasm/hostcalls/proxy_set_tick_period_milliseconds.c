/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_set_tick_period_milliseconds: one timer per root, recorded before the hand-over.
 */
#include "guest.h"

int test_proxy_set_tick_period_milliseconds(void);

TEST_ON_BOTH(tick_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_tick_period_milliseconds", ARGS(100)), PW_STATUS_OK);
    assert_int_equal(g.tick_ms, 100);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_tick_period_milliseconds", ARGS(250)), PW_STATUS_OK);
    assert_int_equal(g.tick_ms, 250);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_tick_period_milliseconds", ARGS(0)), PW_STATUS_OK);
    assert_int_equal(g.tick_ms, 0);
    assert_int_equal(g.set_ticks, 3);
    guest_close(&g);
}

TEST_ON_BOTH(tick_recorded)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_set_tick_period_milliseconds", ARGS(50));
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(g.set_ticks, 0);
    guest_attach(&g);
    assert_int_equal(g.set_ticks, 1);
    assert_int_equal(g.tick_ms, 50);
    guest_close(&g);
}

int test_proxy_set_tick_period_milliseconds(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(tick_right),
        ON_BOTH(tick_recorded),
    };
    return cmocka_run_group_tests_name("proxy_set_tick_period_milliseconds", tests, NULL, NULL);
}
