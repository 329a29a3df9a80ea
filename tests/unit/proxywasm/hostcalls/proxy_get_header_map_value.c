/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_header_map_value: the first value, any case of the name, phases, 0.1.0's empty value.
 */
#include "guest.h"

int test_proxy_get_header_map_value(void);

TEST_ON_BOTH(value_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "Accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "a");
    fake_add(&g.fake, 0, "none", "");
    uint64_t e = guest_text(&g, "none");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, e, 4, p, n)),
                     PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    guest_close(&g);
}

TEST_ON_BOTH(value_missing)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "absent");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, 0, 0, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, p));
    guest_close(&g);
}

TEST_ON_BOTH(value_phases)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(2, k, 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(8, k, 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(5, k, 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)), PW_STATUS_OK);
    /* in the log a missing map is NOT_FOUND; request trailers never show */
    fake_add(&g.fake, 1, "accept", "t");
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_value", ARGS(1, k, 6, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_value", ARGS(3, k, 6, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_value", ARGS(2, k, 6, p, n)),
                     PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

TEST_ON_BOTH(value_while_paused)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    guest_returns(&g, IN_HEADERS, 1);
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.action, PW_ACTION_STOP_ALL_WATERMARK);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "a");
    guest_close(&g);
}

TEST_ON_BOTH(value_long_name)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    char name[600];
    memset(name, 'A', sizeof(name));
    uint64_t k = guest_bytes(&g, name, sizeof(name));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, sizeof(name), p, n)),
                     PW_STATUS_NOT_FOUND);
    char stored[201];
    memset(stored, 'a', 200);
    stored[200] = 0;
    fake_add(&g.fake, 0, stored, "long");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 200, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "long");
    guest_close(&g);
}

static void value_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, guest_bad(&g), 6, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, UINT32_MAX, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    /* the type beats the memory */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(9, guest_bad(&g), 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

static void value_odd_allocators(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_NONE;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_WILD;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_true(guest_slot_untouched(&g, p));
    guest_logs_clear();
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_LOGS;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "a");
    assert_int_equal(guest_logs_count(), 1);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_GROWS;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "a");
    assert_false(pw_vm_failed(g.vm));
    guest_close(&g);
}

static void value_trapping_allocator(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_TRAPS;
    guest_plan(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n));
    struct guest_step after = guest_plan(&g, IN_HEADERS, "proxy_log", ARGS(2, k, 6));
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    assert_false(guest_ran(&g, after));
    assert_int_equal(g.fake.vm_failures, 1);
    assert_int_equal(g.failure_error, PW_ERR_TRAP);
    guest_close(&g);
}

static void value_closed_in_allocator(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_CALLS;
    guest_plan(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n));
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    assert_non_null(strstr(guest_log_back(0)->text, "restricted_callback"));
    guest_close(&g);
}

static void value_0_1_0(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.v010 = true});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "absent");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_header_map_value", ARGS(3, k, 6, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    guest_close(&g);
}

int test_proxy_get_header_map_value(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(value_right),
        ON_BOTH(value_missing),
        ON_BOTH(value_phases),
        ON_BOTH(value_while_paused),
        ON_BOTH(value_long_name),
        cmocka_unit_test(value_bad_pointer),
        cmocka_unit_test(value_odd_allocators),
        cmocka_unit_test(value_trapping_allocator),
        cmocka_unit_test(value_closed_in_allocator),
        cmocka_unit_test(value_0_1_0),
    };
    return cmocka_run_group_tests_name("proxy_get_header_map_value", tests, NULL, NULL);
}
