/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_increment_metric: counters up only, gauges both ways, histograms never.
 */
#include "guest.h"

int test_proxy_increment_metric(void);

TEST_ON_BOTH(increment_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t x = guest_slot(&g);
    uint64_t v = guest_slot(&g);
    uint64_t c = guest_text(&g, "count"), ga = guest_text(&g, "gauge"), h = guest_text(&g, "hist");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, c, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, ga, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(2, h, 4, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(4, v)), PW_STATUS_OK);
    uint64_t before = guest_out64(&g, v);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(4, 3)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_increment_metric", ARGS(4, INT32_MAX)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(4, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == before + 3 + INT32_MAX);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(5, 10)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(5, (uint64_t)-4)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(5, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == 6);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(5, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(5, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == 6);
    guest_close(&g);
}

TEST_ON_BOTH(increment_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t x = guest_slot(&g);
    guest_slot(&g);
    uint64_t c = guest_text(&g, "count"), ga = guest_text(&g, "gauge"), h = guest_text(&g, "hist");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, c, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, ga, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(2, h, 4, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(4, 0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(4, (uint64_t)-1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(6, 1)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(7, 1)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(8, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(0, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(9, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_increment_metric", ARGS(UINT32_MAX - 3, 1)),
                     PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

int test_proxy_increment_metric(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(increment_right),
        ON_BOTH(increment_wrong),
    };
    return cmocka_run_group_tests_name("proxy_increment_metric", tests, NULL, NULL);
}
