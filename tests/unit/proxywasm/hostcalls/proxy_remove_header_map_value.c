/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_remove_header_map_value: all values of a name; a missing one is OK.
 */
#include "guest.h"

int test_proxy_remove_header_map_value(void);

TEST_ON_BOTH(remove_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "Accept");
    uint64_t m = guest_text(&g, "absent");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(0, k, 6)), PW_STATUS_OK);
    assert_int_equal(g.fake.maps[0].count, 1);
    assert_int_equal(g.fake.route_clears, 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(0, m, 6)), PW_STATUS_OK);
    assert_int_equal(g.fake.maps[0].count, 1);
    guest_close(&g);
}

TEST_ON_BOTH(remove_phases)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(2, k, 6)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_remove_header_map_value", ARGS(0, k, 6)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_remove_header_map_value", ARGS(0, k, 6)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_remove_header_map_value", ARGS(0, k, 6)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(8, k, 6)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(7, k, 6)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(g.fake.maps[0].count, 3);
    guest_close(&g);
}

TEST_ON_BOTH(remove_no_trailers)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t k = guest_text(&g, "k");
    struct guest_step s = guest_plan(&g, IN_BODY, "proxy_remove_header_map_value", ARGS(1, k, 1));
    guest_drive_eos(&g, IN_BODY, true);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    assert_false(g.fake.maps[1].exists);
    guest_close(&g);
}

static void remove_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(0, guest_bad(&g), 9)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_remove_header_map_value", ARGS(0, 0, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_remove_header_map_value(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(remove_right),
        ON_BOTH(remove_phases),
        ON_BOTH(remove_no_trailers),
        cmocka_unit_test(remove_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_remove_header_map_value", tests, NULL, NULL);
}
