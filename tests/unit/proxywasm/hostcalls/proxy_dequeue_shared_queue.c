/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_dequeue_shared_queue: order, EMPTY, NOT_FOUND; an item that cannot be given stays.
 */
#include "guest.h"

int test_proxy_dequeue_shared_queue(void);

TEST_ON_BOTH(dequeue_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t q = guest_text(&g, "q1");
    uint64_t x = guest_slot(&g);
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    uint32_t id = (uint32_t)guest_out(&g, x);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(id, p, n)), PW_STATUS_EMPTY);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, q, 2)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, 0, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_dequeue_shared_queue", ARGS(id, p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "q1");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(id, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(id, p, n)), PW_STATUS_EMPTY);
    guest_close(&g);
}

TEST_ON_BOTH(dequeue_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(0, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(UINT32_MAX, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, p));
    guest_close(&g);
}

TEST_ON_BOTH(dequeue_keeps_the_item)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t q = guest_text(&g, "q1");
    uint64_t x = guest_slot(&g);
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_register_shared_queue", ARGS(q, 1, x)), PW_STATUS_OK);
    uint32_t id = (uint32_t)guest_out(&g, x);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_enqueue_shared_queue", ARGS(id, q, 2)), PW_STATUS_OK);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_NONE;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(id, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_WORKS;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(id, guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_dequeue_shared_queue", ARGS(id, p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "q1");
    guest_close(&g);
}

int test_proxy_dequeue_shared_queue(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(dequeue_right),
        ON_BOTH(dequeue_wrong),
        ON_BOTH(dequeue_keeps_the_item),
    };
    return cmocka_run_group_tests_name("proxy_dequeue_shared_queue", tests, NULL, NULL);
}
