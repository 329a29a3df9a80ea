/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_header_map_size: bytes of names and values of a writable map.
 */
#include "guest.h"

int test_proxy_get_header_map_size(void);

TEST_ON_BOTH(map_size_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_size", ARGS(0, n)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 5 + 2 + 7 + 7);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_get_header_map_size", ARGS(2, n)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 0);
    guest_close(&g);
}

TEST_ON_BOTH(map_size_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_size", ARGS(8, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_size", ARGS(2, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_size", ARGS(6, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_header_map_size", ARGS(0, n)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_size", ARGS(0, n)), PW_STATUS_BAD_ARGUMENT);
    assert_true(guest_slot_untouched(&g, n));
    guest_close(&g);
}

TEST_ON_BOTH(map_size_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_size", ARGS(0, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_get_header_map_size(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(map_size_right),
        ON_BOTH(map_size_wrong),
        ON_BOTH(map_size_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_get_header_map_size", tests, NULL, NULL);
}
