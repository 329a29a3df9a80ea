/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared data, shared queues and metrics from two threads at once: nothing lost, nothing torn, and one wake
 * at a time. Run under the thread sanitizer too.
 */
#include "base/assert.h"
#include "proxywasm/metric_store.h"
#include "proxywasm/queue_store.h"
#include "proxywasm/shared_store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROUNDS = 5000 };

static struct pw_limits limits;
static struct budget budget;
/* A fresh check against the default limits. */
#define CHECK (&(struct limit_check){&limits, PW_LIMIT_COUNT})

static struct shared_store data;
static struct queue_store queues;
static struct metric_store metrics;

/* Counts with compare-and-swap. */
static void *cas_thread(void *arg)
{
    (void)arg;
    struct shared_space *space = shared_space_open(&data, SLICE_LIT("vm"));
    for (unsigned i = 0; i < ROUNDS;) {
        struct bytes *value = NULL;
        uint32_t cas = 0, number = 0;
        enum pw_status status = shared_space_get(space, SLICE_LIT("n"), &value, &cas);
        if (status == PW_STATUS_OK && value)
            memcpy(&number, value->data, sizeof(number));
        bytes_unref(&value);
        number++;
        status =
            shared_space_set(&data, space, SLICE_LIT("n"), slice_of(&number, sizeof(number)), cas, CHECK);
        WEIR_ASSERT(status == PW_STATUS_OK || status == PW_STATUS_CAS_MISMATCH);
        i += status == PW_STATUS_OK;
    }
    shared_space_close(&data, &space);
    return NULL;
}

static void shared_data_two_threads(void **state)
{
    (void)state;
    shared_store_init(&data, &budget);
    struct shared_space *space = shared_space_open(&data, SLICE_LIT("vm"));
    const uint32_t zero = 0;
    assert_int_equal(shared_space_set(&data, space, SLICE_LIT("n"), slice_of(&zero, 4), 0, CHECK),
                     PW_STATUS_OK);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, cas_thread, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    struct bytes *value;
    uint32_t cas, number;
    assert_int_equal(shared_space_get(space, SLICE_LIT("n"), &value, &cas), PW_STATUS_OK);
    memcpy(&number, value->data, sizeof(number));
    assert_int_equal(number, 2 * ROUNDS);
    bytes_unref(&value);
    uint64_t keys, bytes;
    shared_store_count(&data, &keys, &bytes);
    assert_int_equal(keys, 1);
    shared_space_close(&data, &space);
    shared_store_count(&data, &keys, &bytes);
    assert_int_equal(keys, 0);
    shared_store_fini(&data);
    assert_int_equal(budget.used, 0);
}

static void cas_never_zero(void **state)
{
    (void)state;
    shared_store_init(&data, &budget);
    struct shared_space *space = shared_space_open(&data, SLICE_EMPTY);
    atomic_store(&data.cas, UINT32_MAX - 1);
    for (uint32_t want = UINT32_MAX, i = 0; i < 3; i++, want = i) {
        struct bytes *value;
        uint32_t cas;
        shared_space_set(&data, space, SLICE_EMPTY, SLICE_EMPTY, 0, CHECK);
        assert_int_equal(shared_space_get(space, SLICE_EMPTY, &value, &cas), PW_STATUS_OK);
        assert_int_equal(cas, want);
        assert_null(value);
    }
    shared_space_close(&data, &space);
    shared_store_fini(&data);
    assert_int_equal(budget.used, 0);
}

static atomic_uint wakes;

static void wake(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&wakes, 1);
}

static uint32_t queue_id;

static void *producer(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++)
        WEIR_ASSERT(queue_enqueue(&queues, queue_id, slice_of(&i, sizeof(i)), CHECK) == PW_STATUS_OK);
    return NULL;
}

/* A consumer on this thread, two producers; then the consumer's VM dies while producers go on. */
static void queue_two_threads(void **state)
{
    (void)state;
    queue_store_init(&queues, &budget);
    struct queue_space *space = queue_space_open(&queues, SLICE_LIT("vm"));
    struct mailbox *box = mailbox_create();
    size_t slot;
    assert_int_equal(queue_register(&queues, space, SLICE_LIT("q"), &queue_id, CHECK), PW_STATUS_OK);
    assert_true(mailbox_slot(box, 1, queue_id, &slot));
    mailbox_attach(box, wake, NULL);
    queue_listen(&queues, queue_id, box, slot);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, producer, NULL), 0);
    unsigned items = 0, notes = 0, wakes_seen = 0;
    while (notes < 2 * ROUNDS) {
        uint32_t root, queue;
        if (atomic_load(&wakes) == wakes_seen)
            continue;
        wakes_seen++;
        assert_true(atomic_load(&wakes) - wakes_seen <= 1); /* at most one in flight */
        mailbox_begin(box);
        while (mailbox_take(box, &root, &queue)) {
            notes++;
            struct queue_item *item;
            assert_int_equal(root, 1);
            if (queue_dequeue(&queues, queue, &item) == PW_STATUS_OK) {
                assert_int_equal(queue_item_value(item).len, 4);
                queue_item_free(&item);
                items++;
            }
        }
        mailbox_end(box);
    }
    assert_int_equal(items, 2 * ROUNDS);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);

    assert_int_equal(pthread_create(&threads[0], NULL, producer, NULL), 0);
    mailbox_close(box);
    unsigned wakes_at_close = atomic_load(&wakes);
    queue_unlisten(&queues, box);
    mailbox_unref(&box);
    pthread_join(threads[0], NULL);
    assert_int_equal(atomic_load(&wakes), wakes_at_close);
    uint64_t counts[3];
    queue_store_count(&queues, &counts[0], &counts[1], &counts[2]);
    assert_int_equal(counts[1], ROUNDS);
    queue_space_close(&queues, &space);
    queue_store_fini(&queues);
    assert_int_equal(budget.used, 0);
}

static void listener_is_replaced(void **state)
{
    (void)state;
    queue_store_init(&queues, &budget);
    struct queue_space *space = queue_space_open(&queues, SLICE_EMPTY);
    struct mailbox *a = mailbox_create(), *b = mailbox_create();
    size_t slot;
    uint32_t root, queue;
    queue_register(&queues, space, SLICE_EMPTY, &queue_id, CHECK);
    assert_true(mailbox_slot(a, 1, queue_id, &slot));
    queue_listen(&queues, queue_id, a, slot);
    assert_true(mailbox_slot(b, 9, queue_id, &slot));
    queue_enqueue(&queues, queue_id, SLICE_LIT("old"), CHECK);
    queue_listen(&queues, queue_id, b, slot);
    assert_true(mailbox_take(b, &root, &queue)); /* of the item that lay there */
    assert_false(mailbox_take(b, &root, &queue));
    queue_listen(&queues, queue_id, b, slot);
    assert_false(mailbox_take(b, &root, &queue)); /* the same again is nothing new */
    assert_true(mailbox_take(a, &root, &queue));
    queue_enqueue(&queues, queue_id, SLICE_LIT("new"), CHECK);
    assert_false(mailbox_take(a, &root, &queue));
    assert_true(mailbox_take(b, &root, &queue));
    assert_int_equal(root, 9);
    mailbox_unref(&a);
    mailbox_unref(&b);
    queue_space_close(&queues, &space);
    queue_store_fini(&queues);
    assert_int_equal(budget.used, 0);
}

static void queue_dies_with_its_space(void **state)
{
    (void)state;
    queue_store_init(&queues, &budget);
    struct queue_space *one = queue_space_open(&queues, SLICE_LIT("1"));
    struct queue_space *same = queue_space_open(&queues, SLICE_LIT("1"));
    assert_ptr_equal(one, same);
    uint32_t again;
    queue_register(&queues, one, SLICE_LIT("q"), &queue_id, CHECK);
    queue_enqueue(&queues, queue_id, SLICE_LIT("x"), CHECK);
    struct queue_item *item;
    assert_int_equal(queue_dequeue(&queues, queue_id, &item), PW_STATUS_OK);
    queue_space_close(&queues, &one);
    assert_int_equal(queue_resolve(&queues, SLICE_LIT("1"), SLICE_LIT("q"), &again), PW_STATUS_OK);
    queue_space_close(&queues, &same);
    assert_int_equal(queue_resolve(&queues, SLICE_LIT("1"), SLICE_LIT("q"), &again), PW_STATUS_NOT_FOUND);
    assert_int_equal(queue_enqueue(&queues, queue_id, SLICE_LIT("x"), CHECK), PW_STATUS_NOT_FOUND);
    queue_item_return(&queues, queue_id, &item); /* to a queue that is gone */
    assert_null(item);
    queue_store_fini(&queues);
    assert_int_equal(budget.used, 0);
}

static void *metric_thread(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *m = metric_store_define(&metrics, PW_METRIC_COUNTER, SLICE_LIT("c"));
        metric_store_add(m, 1);
    }
    return NULL;
}

static void metrics_two_threads(void **state)
{
    (void)state;
    metric_store_init(&metrics);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, metric_thread, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    void *m = metric_store_define(&metrics, PW_METRIC_COUNTER, SLICE_LIT("c"));
    assert_true(metric_store_get(m) == 2 * ROUNDS);
    assert_ptr_not_equal(metric_store_define(&metrics, PW_METRIC_GAUGE, SLICE_LIT("c")), m);
    assert_int_equal(metric_store_count(&metrics), 2);
    metric_store_fini(&metrics);
}

int main(void)
{
    pw_limits_fill(&limits);
    budget_init(&budget);
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_data_two_threads),   cmocka_unit_test(cas_never_zero),
        cmocka_unit_test(queue_two_threads),         cmocka_unit_test(listener_is_replaced),
        cmocka_unit_test(queue_dies_with_its_space), cmocka_unit_test(metrics_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
