/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_register_shared_queue: one id per name, the listener is replaced, registrations before the hand-over
 * are recorded.
 */
#include "guest.h"

int test_proxy_register_shared_queue(void);

TEST_ON_BOTH(register_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t a = guest_text(&g, "a");
    uint64_t b = guest_text(&g, "b");
    uint64_t x = guest_slot(&g);
    uint64_t y = guest_slot(&g);
    uint64_t z = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(a, 1, x)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_register_shared_queue", ARGS(b, 1, y)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(a, 1, z)), PW_STATUS_OK);
    assert_int_not_equal(guest_out(&g, x), 0);
    assert_int_not_equal(guest_out(&g, x), guest_out(&g, y));
    assert_int_equal(guest_out(&g, x), guest_out(&g, z));
    guest_close(&g);
}

static void register_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t a = guest_text(&g, "a");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(guest_bad(&g), 9, x)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(a, 1, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(AT_HEAP, 4096 + 1, x)),
                     PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(0, 0, x)), PW_STATUS_OK);
    guest_close(&g);
}

TEST_ON_BOTH(register_recorded)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    uint64_t name = guest_text(&g, "q");
    uint64_t id = guest_slot(&g);
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_register_shared_queue", ARGS(name, 1, id));
    assert_int_equal(guest_root(&g), PW_OK);
    uint32_t queue = (uint32_t)guest_out(&g, id);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_enqueue_shared_queue", ARGS(queue, name, 1)), PW_STATUS_OK);
    assert_int_equal(g.wakes, 0);
    guest_attach(&g);
    assert_int_equal(g.wakes, 1); /* of the item that lay there */
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_queue_ready), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_queue_ready, 0), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_queue_ready, 1), queue);
    guest_close(&g);
}

int test_proxy_register_shared_queue(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(register_right),
        cmocka_unit_test(register_bad_pointer),
        ON_BOTH(register_recorded),
    };
    return cmocka_run_group_tests_name("proxy_register_shared_queue", tests, NULL, NULL);
}
