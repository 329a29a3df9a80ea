/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_header_map_pairs: the serialised map; unreachable maps are empty.
 */
#include "guest.h"

int test_proxy_get_header_map_pairs(void);

TEST_ON_BOTH(pairs_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(0, p, n)), PW_STATUS_OK);
    static const char want[] = "\3\0\0\0\5\0\0\0\2\0\0\0\6\0\0\0\1\0\0\0\6\0\0\0\1\0\0\0"
                               ":path\0/p\0accept\0a\0accept\0b";
    assert_int_equal(guest_out(&g, n), sizeof(want));
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p)), want, sizeof(want));
    assert_int_equal(*guest_word(&g, AT_MALLOC_SIZE), sizeof(want));
    guest_close(&g);
}

TEST_ON_BOTH(pairs_empty)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_get_header_map_pairs", ARGS(2, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    /* unreachable, but a map */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(2, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_get_header_map_pairs", ARGS(0, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(4, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(7, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_header_map_pairs", ARGS(0, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(*guest_word(&g, AT_MALLOC_COUNT), 0);
    guest_close(&g);
}

TEST_ON_BOTH(pairs_in_log)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    fake_add(&g.fake, 1, "t", "t");
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_pairs", ARGS(0, p, n)), PW_STATUS_OK);
    assert_int_not_equal(guest_out(&g, n), 0);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_pairs", ARGS(1, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    guest_close(&g);
}

TEST_ON_BOTH(pairs_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(8, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(0, guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(0, p, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_NONE;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(0, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

static void pairs_memory_moves(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_GROWS;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_pairs", ARGS(0, p, n)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 4 + 3 * 10 + 21);
    guest_close(&g);
}

int test_proxy_get_header_map_pairs(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(pairs_right),
        ON_BOTH(pairs_empty),
        ON_BOTH(pairs_in_log),
        ON_BOTH(pairs_wrong),
        cmocka_unit_test(pairs_memory_moves),
    };
    return cmocka_run_group_tests_name("proxy_get_header_map_pairs", tests, NULL, NULL);
}
