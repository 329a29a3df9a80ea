/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_resolve_shared_queue: own and other vm_ids.
 */
#include "guest.h"

int test_proxy_resolve_shared_queue(void);

TEST_ON_BOTH(resolve_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .vm_id = "me"});
    uint64_t v = guest_text(&g, "me");
    uint64_t q = guest_text(&g, "q");
    uint64_t x = guest_slot(&g);
    uint64_t y = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_resolve_shared_queue", ARGS(v, 2, q, 1, y)),
                     PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, y));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_resolve_shared_queue", ARGS(v, 2, q, 1, y)),
                     PW_STATUS_OK);
    assert_int_equal(guest_out(&g, y), guest_out(&g, x));
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_resolve_shared_queue", ARGS(0, 0, q, 1, y)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, y), guest_out(&g, x));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_resolve_shared_queue", ARGS(q, 1, q, 1, y)),
                     PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

static void resolve_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t q = guest_text(&g, "q");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_resolve_shared_queue", ARGS(guest_bad(&g), 9, q, 1, x)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_resolve_shared_queue", ARGS(0, 0, q, UINT32_MAX, x)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_resolve_shared_queue", ARGS(0, 0, q, 1, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_resolve_shared_queue(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(resolve_right),
        cmocka_unit_test(resolve_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_resolve_shared_queue", tests, NULL, NULL);
}
