/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_shared_data: value, size and cas; empty values; binary keys.
 */
#include "guest.h"

int test_proxy_get_shared_data(void);

TEST_ON_BOTH(get_shared_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t k = guest_text(&g, "key");
    uint64_t v = guest_text(&g, "value");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    uint64_t c = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 3, p, n, c)),
                     PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, c));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, v, 5, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_shared_data", ARGS(k, 3, p, n, c)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "value");
    assert_int_not_equal(guest_out(&g, c), 0);
    guest_close(&g);
}

TEST_ON_BOTH(get_shared_empty)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    uint64_t c = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(0, 0, 0, 0, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(0, 0, p, n, c)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_not_equal(guest_out(&g, c), 0);
    guest_close(&g);
}

TEST_ON_BOTH(get_shared_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t k = guest_text(&g, "key");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    uint64_t c = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, k, 3, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 3, guest_bad(&g), n, c)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 3, p, n, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_NONE;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 3, p, n, c)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

static void get_shared_bad_key(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    uint64_t c = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(0, UINT32_MAX, p, n, c)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_get_shared_data(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(get_shared_right),
        ON_BOTH(get_shared_empty),
        ON_BOTH(get_shared_bad_pointer),
        cmocka_unit_test(get_shared_bad_key),
    };
    return cmocka_run_group_tests_name("proxy_get_shared_data", tests, NULL, NULL);
}
