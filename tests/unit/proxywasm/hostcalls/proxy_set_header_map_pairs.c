/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_set_header_map_pairs: replaces the map; what does not parse is an empty map.
 */
#include "guest.h"

int test_proxy_set_header_map_pairs(void);

TEST_ON_BOTH(set_pairs_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    static const char pairs[] = "\2\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0A\0vv\0b\0";
    uint64_t v = guest_bytes(&g, pairs, sizeof(pairs));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, v, sizeof(pairs))),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.maps[0].count, 2);
    assert_string_equal(fake_get(&g.fake, 0, "a"), "vv"); /* lower-cased */
    assert_string_equal(g.fake.maps[0].pairs[1].name, "b");
    assert_int_equal(g.fake.route_clears, 1);
    guest_close(&g);
}

TEST_ON_BOTH(set_pairs_broken)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    static const char *const broken[] = {
        "\1\0\0\0\1\0\0\0\1\0\0\0axb\0", "\1\0\0\0\xff\xff\xff\xff\1\0\0\0a\0b",
        "\1\0\0\0\1\0\0\0\1\0\0\0a\0b\0!", "\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"};
    static const size_t lens[] = {16, 16, 17, 16};
    for (size_t i = 0; i < 4; i++) {
        g.fake.maps[0].count = 0;
        fake_add(&g.fake, 0, ":path", "/p");
        fake_add(&g.fake, 0, "accept", "a");
        fake_add(&g.fake, 0, "accept", "b");
        uint64_t v = guest_bytes(&g, broken[i], lens[i]);
        assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, v, lens[i])),
                         PW_STATUS_OK);
        assert_int_equal(g.fake.maps[0].count, 0);
    }
    guest_close(&g);
}

TEST_ON_BOTH(set_pairs_empty)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t v = guest_bytes(&g, "", 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, v, 1)), PW_STATUS_OK);
    assert_int_equal(g.fake.maps[0].count, 0);
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, 0, 0)), PW_STATUS_OK);
    assert_int_equal(g.fake.maps[0].count, 0);
    guest_close(&g);
}

TEST_ON_BOTH(set_pairs_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t v = guest_bytes(&g, "", 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(8, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(2, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(4, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_set_header_map_pairs", ARGS(0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_set_header_map_pairs", ARGS(0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_header_map_pairs", ARGS(0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(g.fake.maps[0].count, 3);
    assert_int_equal(g.fake.route_clears, 0);
    g.fake.write_status = PW_STATUS_BAD_ARGUMENT;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(g.fake.route_clears, 0);
    guest_close(&g);
}

static void set_pairs_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, guest_bad(&g), 100)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_header_map_pairs", ARGS(0, AT_DATA, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(g.fake.maps[0].count, 3);
    guest_close(&g);
}

int test_proxy_set_header_map_pairs(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(set_pairs_right),
        ON_BOTH(set_pairs_broken),
        ON_BOTH(set_pairs_empty),
        ON_BOTH(set_pairs_wrong),
        cmocka_unit_test(set_pairs_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_set_header_map_pairs", tests, NULL, NULL);
}
