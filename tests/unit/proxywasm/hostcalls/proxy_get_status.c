/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_status: no callout has ended, so code 0 and no message.
 */
#include "guest.h"

int test_proxy_get_status(void);

TEST_ON_BOTH(status_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t c = guest_slot(&g);
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_status", ARGS(c, p, n)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c), 0);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_status", ARGS(c, p, n)), PW_STATUS_OK);
    guest_close(&g);
}

TEST_ON_BOTH(status_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t c = guest_slot(&g);
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_status", ARGS(guest_bad(&g), p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_true(guest_slot_untouched(&g, p));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_status", ARGS(c, guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_status", ARGS(c, p, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_get_status(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(status_right),
        ON_BOTH(status_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_get_status", tests, NULL, NULL);
}
