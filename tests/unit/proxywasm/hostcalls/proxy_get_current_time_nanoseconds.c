/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_current_time_nanoseconds: asked at each call, 8 bytes, no alignment.
 */
#include "guest.h"

int test_proxy_get_current_time_nanoseconds(void);

TEST_ON_BOTH(time_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t out = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(out)), PW_STATUS_OK);
    assert_true(guest_out64(&g, out) == guest_realtime_ns);
    guest_realtime_ns += 7;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(out + 4)),
                     PW_STATUS_OK);
    assert_true(guest_out64(&g, out + 4) == guest_realtime_ns);
    guest_close(&g);
}

TEST_ON_BOTH(time_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

static void time_at_the_end(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t size = g.vm->ops->memory(g.vm->instance).size;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(size - 8)),
                     PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(size - 7)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(0)), PW_STATUS_OK);
    /* address 0 is ordinary memory */
    assert_true(guest_out64(&g, 0) == guest_realtime_ns);
    guest_close(&g);
}

int test_proxy_get_current_time_nanoseconds(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(time_right),
        ON_BOTH(time_bad_pointer),
        cmocka_unit_test(time_at_the_end),
    };
    return cmocka_run_group_tests_name("proxy_get_current_time_nanoseconds", tests, NULL, NULL);
}
