/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_metric: 8 bytes; not for histograms; one stat for one name over VMs.
 */
#include "guest.h"

int test_proxy_get_metric(void);

TEST_ON_BOTH(get_metric_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t x = guest_slot(&g);
    uint64_t v = guest_slot(&g);
    uint64_t c = guest_text(&g, "count"), ga = guest_text(&g, "gauge"), h = guest_text(&g, "hist");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(0, c, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(1, ga, 5, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_define_metric", ARGS(2, h, 4, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(6, v)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(7, v)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(8, v)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(1, v)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_metric", ARGS(4, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_true(guest_slot_untouched(&g, v));
    guest_close(&g);
}

static void get_metric_shared(void **state)
{
    (void)state;
    struct guest a, b;
    guest_open(&a, &(struct guest_options){0});
    guest_open(&b, &(struct guest_options){.vm_id = "other"});
    uint64_t name = guest_text(&a, "shared");
    assert_int_equal(guest_text(&b, "shared"), name);
    uint64_t x = guest_slot(&a), v = guest_slot(&a);
    guest_slot(&b), guest_slot(&b);
    assert_int_equal(guest_do(&a, IN_HEADERS, "proxy_define_metric", ARGS(1, name, 6, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&b, IN_HEADERS, "proxy_define_metric", ARGS(1, name, 6, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&a, IN_HEADERS, "proxy_record_metric", ARGS(5, 42)), PW_STATUS_OK);
    assert_int_equal(guest_do(&b, IN_HEADERS, "proxy_get_metric", ARGS(5, v)), PW_STATUS_OK);
    assert_true(guest_out64(&b, v) == 42);
    struct pw_host_stats stats;
    pw_host_stats(guest_host(), &stats);
    assert_in_range(stats.metrics, 1, 20);
    guest_close(&a);
    guest_close(&b);
}

int test_proxy_get_metric(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(get_metric_wrong),
        cmocka_unit_test(get_metric_shared),
    };
    return cmocka_run_group_tests_name("proxy_get_metric", tests, NULL, NULL);
}
