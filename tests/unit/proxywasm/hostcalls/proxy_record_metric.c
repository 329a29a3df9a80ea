/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_record_metric: counters add, gauges set, histograms sample.
 */
#include "guest.h"

int test_proxy_record_metric(void);

TEST_ON_BOTH(record_right)
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
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(4, 7)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(4, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == before + 7);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(4, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(4, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == before + 7);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(4, UINT64_MAX)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(4, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == before + 6);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(5, UINT64_MAX)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(5, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == UINT64_MAX);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(6, 9)), PW_STATUS_OK);
    guest_close(&g);
}

TEST_ON_BOTH(record_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t x = guest_slot(&g);
    guest_slot(&g);
    uint64_t c = guest_text(&g, "count"), ga = guest_text(&g, "gauge"), h = guest_text(&g, "hist");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, c, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, ga, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(2, h, 4, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(0, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(7, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(8, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(10, 1)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_record_metric", ARGS(UINT32_MAX, 1)),
                     PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

int test_proxy_record_metric(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(record_right),
        ON_BOTH(record_wrong),
    };
    return cmocka_run_group_tests_name("proxy_record_metric", tests, NULL, NULL);
}
