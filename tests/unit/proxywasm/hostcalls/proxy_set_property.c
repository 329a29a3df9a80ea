/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_set_property: only on streams.
 */
#include "guest.h"

int test_proxy_set_property(void);

TEST_ON_BOTH(set_property_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path = guest_text(&g, "my.key");
    uint64_t v = guest_text(&g, "value");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_property", ARGS(path, 6, v, 5)), PW_STATUS_OK);
    assert_memory_equal(g.fake.property_path, "my.key", 6);
    assert_string_equal(g.fake.property_value, "value");
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_set_property", ARGS(path, 6, 0, 0)), PW_STATUS_OK);
    assert_string_equal(g.fake.property_value, "");
    guest_close(&g);
}

TEST_ON_BOTH(set_property_wrong_place)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path = guest_text(&g, "my.key");
    uint64_t v = guest_text(&g, "value");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_property", ARGS(path, 6, v, 5)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_property", ARGS(path, 0, v, 5)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

static void set_property_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t path = guest_text(&g, "my.key");
    uint64_t v = guest_text(&g, "value");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_property", ARGS(guest_bad(&g), 6, v, 5)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_property", ARGS(path, 6, v, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(g.fake.property_path_len, 0);
    guest_close(&g);
}

int test_proxy_set_property(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(set_property_right),
        ON_BOTH(set_property_wrong_place),
        cmocka_unit_test(set_property_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_set_property", tests, NULL, NULL);
}
