/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_configuration (0.1.0 only): the plugin configuration during configure, else that of the VM.
 */
#include "guest.h"

int test_proxy_get_configuration(void);

static void configuration_right(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){
                       .v010 = true, .configuration = "plugin", .vm_configuration = "vm", .no_root = true});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    struct guest_step s = guest_plan(&g, GUEST_proxy_on_configure, "proxy_get_configuration", ARGS(p, n));
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "plugin");
    assert_int_equal(guest_stream(&g), PW_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_configuration", ARGS(p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "vm");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_configuration", ARGS(guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

static void configuration_empty(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.v010 = true});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_configuration", ARGS(p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(*guest_word(&g, AT_MALLOC_COUNT), 0);
    guest_close(&g);
}

int test_proxy_get_configuration(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration_right),
        cmocka_unit_test(configuration_empty),
    };
    return cmocka_run_group_tests_name("proxy_get_configuration", tests, NULL, NULL);
}
