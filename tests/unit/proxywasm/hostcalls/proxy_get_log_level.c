/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_log_level: what the embedder says, even beyond the enum.
 */
#include "guest.h"

int test_proxy_get_log_level(void);

TEST_ON_BOTH(level_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t out = guest_slot(&g);
    guest_log_level = 6;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_log_level", ARGS(out)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, out), 6);
    guest_log_level = 2;
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_log_level", ARGS(out)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, out), 2);
    guest_close(&g);
}

TEST_ON_BOTH(level_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_log_level", ARGS(guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_get_log_level(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(level_right),
        ON_BOTH(level_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_get_log_level", tests, NULL, NULL);
}
