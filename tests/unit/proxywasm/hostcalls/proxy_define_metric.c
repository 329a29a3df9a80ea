/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_define_metric: ids per VM and type, caps.
 */
#include "guest.h"

int test_proxy_define_metric(void);

TEST_ON_BOTH(define_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t a = guest_text(&g, "a");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 4);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 5);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(2, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 6);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 8);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 9);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_define_metric", ARGS(2, 0, 0, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 10);
    guest_close(&g);
}

static void define_wrong(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t a = guest_text(&g, "a");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(3, a, 1, x)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, guest_bad(&g), 9, x)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, a, 1, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, AT_HEAP, METRIC_NAME_BYTES_MAX + 1, x)),
        PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, x), 4);
    guest_close(&g);
}

static void define_cap(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.limits.metrics_max = 3});
    uint64_t a = guest_text(&g, "a");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(2, a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, a, 1, x)),
                     PW_STATUS_INTERNAL_FAILURE);
    guest_close(&g);
}

int test_proxy_define_metric(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(define_right),
        cmocka_unit_test(define_wrong),
        cmocka_unit_test(define_cap),
    };
    return cmocka_run_group_tests_name("proxy_define_metric", tests, NULL, NULL);
}
