/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_enqueue_shared_queue: unknown ids, caps, one wake, one notification per item.
 */
#include "guest.h"

int test_proxy_enqueue_shared_queue(void);

TEST_ON_BOTH(enqueue_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t q = guest_text(&g, "q");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    uint32_t id = (uint32_t)guest_out(&g, x);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, q, 1)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, 0, 0)), PW_STATUS_OK);
    assert_int_equal(g.wakes, 1);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_queue_ready), 2);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_queue_ready), 2);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, 0, 0)), PW_STATUS_OK);
    assert_int_equal(g.wakes, 2);
    guest_close(&g);
}

TEST_ON_BOTH(enqueue_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(0, 0, 0)),
                     PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(UINT32_MAX, 0, 0)),
                     PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

static void enqueue_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(1, guest_bad(&g), 9)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(1, 0, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

static void enqueue_cap(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t q = guest_text(&g, "q");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    uint32_t id = (uint32_t)guest_out(&g, x);
    unsigned stored = 0;
    while (stored < 100 &&
           guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, AT_HEAP, 1 << 20)) == PW_STATUS_OK)
        stored++;
    assert_int_equal(stored, 63);
    struct pw_host_stats stats;
    pw_host_stats(g.host, &stats);
    assert_int_equal(stats.queued_items, 63);
    assert_int_equal(stats.queues, 1);
    guest_close(&g);
}

static void enqueue_more_than_one_run(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t q = guest_text(&g, "q");
    uint64_t x = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    uint32_t id = (uint32_t)guest_out(&g, x);
    for (unsigned i = 0; i < QUEUE_READY_PER_RUN + 1; i++)
        assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, q, 1)),
                         PW_STATUS_OK);
    assert_int_equal(g.wakes, 1);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_queue_ready), QUEUE_READY_PER_RUN);
    assert_int_equal(g.wakes, 2);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_queue_ready), QUEUE_READY_PER_RUN + 1);
    assert_int_equal(g.wakes, 2);
    guest_close(&g);
}

int test_proxy_enqueue_shared_queue(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(enqueue_right),
        ON_BOTH(enqueue_wrong),
        cmocka_unit_test(enqueue_bad_pointer),
        cmocka_unit_test(enqueue_cap),
        cmocka_unit_test(enqueue_more_than_one_run),
    };
    return cmocka_run_group_tests_name("proxy_enqueue_shared_queue", tests, NULL, NULL);
}
