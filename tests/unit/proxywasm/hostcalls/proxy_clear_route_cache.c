/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of proxy_clear_route_cache (ABI 0.1.0 only).
 */
#include "guest.h"

int test_proxy_clear_route_cache(void);

static void clear_route_right(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.v010 = true});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_clear_route_cache", ARGS()), PW_STATUS_OK);
    assert_int_equal(g.fake.route_clears, 1);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_clear_route_cache", ARGS()), PW_STATUS_OK);
    assert_int_equal(g.fake.route_clears, 1);
    guest_close(&g);
}

int test_proxy_clear_route_cache(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(clear_route_right),
    };
    return cmocka_run_group_tests_name("proxy_clear_route_cache", tests, NULL, NULL);
}
