/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_buffer_status: length now, flags always 0.
 */
#include "guest.h"

int test_proxy_get_buffer_status(void);

TEST_ON_BOTH(buffer_status_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t n = guest_slot(&g);
    uint64_t fl = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_status", ARGS(0, n, fl)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 10);
    assert_int_equal(guest_out(&g, fl), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_buffer_status", ARGS(0, n, fl)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 0);
    guest_close(&g);
}

TEST_ON_BOTH(buffer_status_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t n = guest_slot(&g);
    uint64_t fl = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_status", ARGS(9, n, fl)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(
        guest_do(&g, IN_BODY, "proxy_get_buffer_status", ARGS(PW_BUFFER_PLUGIN_CONFIGURATION, n, fl)),
        PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_status", ARGS(0, guest_bad(&g), fl)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_status", ARGS(0, n, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_get_buffer_status(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(buffer_status_right),
        ON_BOTH(buffer_status_wrong),
    };
    return cmocka_run_group_tests_name("proxy_get_buffer_status", tests, NULL, NULL);
}
