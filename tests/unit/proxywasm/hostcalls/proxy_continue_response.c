/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_continue_response (0.1.0): deferred until the callback returns; nothing on a root context.
 */
#include "guest.h"

int test_proxy_continue_response(void);

static void continue_response_right(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.v010 = true});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_continue_response", ARGS()), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[1], 1);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_continue_response", ARGS()), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[1], 1);
    guest_close(&g);
}

int test_proxy_continue_response(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(continue_response_right),
    };
    return cmocka_run_group_tests_name("proxy_continue_response", tests, NULL, NULL);
}
