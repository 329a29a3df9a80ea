/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two VMs on two threads: made and started on one, handed over to the other, talking over a shared queue,
 * shared data and a metric. For the thread sanitizer as much as for the results.
 */
#include "guest.h"

#include <pthread.h>

enum { ROUNDS = 500 };

static struct guest sender, receiver;
static uint64_t queue;

static uint32_t must(struct guest *g, const char *function, const uint64_t *args, size_t nargs)
{
    uint32_t status = guest_do(g, IN_TICK, function, args, nargs);
    WEIR_ASSERT(status == PW_STATUS_OK);
    return status;
}

static void *send_all(void *arg)
{
    (void)arg;
    guest_attach(&sender);
    uint64_t text = guest_text(&sender, "item");
    for (unsigned i = 0; i < ROUNDS; i++) {
        must(&sender, "proxy_enqueue_shared_queue", ARGS(queue, text, 4));
        must(&sender, "proxy_set_shared_data", ARGS(text, 4, text, 4, 0));
        must(&sender, "proxy_increment_metric", ARGS(4, 1));
        /* the script's memory is used again */
        sender.next_step = AT_STEPS;
    }
    return NULL;
}

static void *receive_all(void *arg)
{
    (void)arg;
    guest_attach(&receiver);
    uint64_t p = guest_slot(&receiver), n = guest_slot(&receiver), c = guest_slot(&receiver);
    uint64_t text = guest_text(&receiver, "item");
    struct guest_step take =
        guest_plan(&receiver, GUEST_proxy_on_queue_ready, "proxy_dequeue_shared_queue", ARGS(queue, p, n));
    guest_plan(&receiver, GUEST_proxy_on_queue_ready, "proxy_get_shared_data", ARGS(text, 4, p, n, c));
    guest_plan(&receiver, GUEST_proxy_on_queue_ready, "proxy_increment_metric", ARGS(4, 1));
    unsigned wakes = 0;
    while (guest_calls(&receiver, GUEST_proxy_on_queue_ready) < ROUNDS) {
        if (atomic_load(&receiver.wakes) == wakes)
            continue;
        wakes++;
        pw_vm_run(receiver.vm);
        WEIR_ASSERT(guest_result(&receiver, take) == PW_STATUS_OK);
    }
    return NULL;
}

TEST_ON_BOTH(queue_between_threads)
{
    const struct guest_options options = {.engine = engine, .vm_id = "t", .no_attach = true, .no_root = true};
    guest_open(&receiver, &options);
    guest_open(&sender, &options);
    uint64_t name = guest_text(&receiver, "q"), id = guest_slot(&receiver);
    guest_plan(&receiver, GUEST_proxy_on_configure, "proxy_register_shared_queue", ARGS(name, 1, id));
    guest_plan(&receiver, GUEST_proxy_on_configure, "proxy_define_metric", ARGS(0, name, 1, id + 8));
    uint64_t name2 = guest_text(&sender, "q"), id2 = guest_slot(&sender);
    guest_plan(&sender, GUEST_proxy_on_configure, "proxy_define_metric", ARGS(0, name2, 1, id2));
    assert_int_equal(guest_root(&receiver), PW_OK);
    assert_int_equal(guest_root(&sender), PW_OK);
    uint32_t queue32;
    memcpy(&queue32, guest_ptr(&receiver, id), sizeof(queue32));
    queue = queue32;
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, receive_all, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, send_all, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(guest_calls(&receiver, GUEST_proxy_on_queue_ready), ROUNDS);
    uint64_t slot = guest_slot(&receiver);
    assert_int_equal(guest_do(&receiver, IN_TICK, "proxy_get_metric", ARGS(4, slot)), PW_STATUS_OK);
    assert_int_equal(guest_out64(&receiver, slot) % (2 * ROUNDS), 0); /* each engine's run adds as much */
    struct pw_host_stats stats;
    pw_host_stats(guest_host(), &stats);
    assert_int_equal(stats.queued_items, 0);
    guest_close(&sender);
    guest_close(&receiver);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {ON_BOTH(queue_between_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
