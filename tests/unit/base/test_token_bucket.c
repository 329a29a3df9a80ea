/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets: bursts and rates to the token, odd sizes, and many threads at one bucket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/token_bucket.h"

#include <pthread.h>

#define SECOND_NS UINT64_C(1000000000)
#define START_NS  (UINT64_C(1000) * SECOND_NS)

static uint64_t take_all(struct token_bucket *b, const struct token_rate *r, uint64_t now_ns)
{
    uint64_t taken = 0;
    while (token_bucket_take(b, r, now_ns, 1))
        taken++;
    return taken;
}

static void bursts_are_exact(void **state)
{
    (void)state;
    const struct {
        uint64_t max, per_fill, interval_ms;
    } rows[] = {{1, 1, 50}, {10, 3, 1000},    {7, 7, 60000},       {1000, 1000003, 1000}, {100, 1, 3600000},
                {3, 1, 1},  {12345, 77, 333}, {5, UINT32_MAX, 50}, {2, 1, UINT32_MAX}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct token_rate r = token_rate_of(rows[i].max, rows[i].per_fill, rows[i].interval_ms);
        struct token_bucket b = {0};
        assert_int_equal(token_bucket_left(&b, &r, START_NS), rows[i].max);
        assert_int_equal(token_bucket_wait_ns(&b, &r, START_NS), 0);
        assert_int_equal(take_all(&b, &r, START_NS), rows[i].max);
        assert_int_equal(token_bucket_left(&b, &r, START_NS), 0);
        uint64_t wait_ns = token_bucket_wait_ns(&b, &r, START_NS);
        assert_true(wait_ns > 0);
        assert_int_equal(token_bucket_wait_ns(&b, &r, START_NS + wait_ns), 0);
        assert_true(take_all(&b, &r, START_NS + wait_ns) >= 1);
    }
}

static void fills_steadily(void **state)
{
    (void)state;
    struct token_rate r = token_rate_of(4, 10, 1000); /* one each 100 ms */
    struct token_bucket b = {0};
    assert_int_equal(take_all(&b, &r, START_NS), 4);
    uint64_t taken = 0;
    for (uint64_t ms = 1; ms <= 1000; ms++)
        taken += take_all(&b, &r, START_NS + ms * 1000000);
    assert_int_equal(taken, 10);
    assert_int_equal(take_all(&b, &r, START_NS + 500 * SECOND_NS), 4); /* never above its size */
    assert_int_equal(take_all(&b, &r, START_NS + 499 * SECOND_NS),
                     0); /* a clock that is behind gives nothing */
}

static void several_at_once(void **state)
{
    (void)state;
    struct token_rate r = token_rate_of(10, 1, 1000);
    struct token_bucket b = {0};
    assert_false(token_bucket_take(&b, &r, START_NS, 11));
    assert_false(token_bucket_take(&b, &r, START_NS, UINT64_MAX));
    assert_true(token_bucket_take(&b, &r, START_NS, 7));
    assert_false(token_bucket_take(&b, &r, START_NS, 4)); /* nothing of them */
    assert_int_equal(token_bucket_left(&b, &r, START_NS), 3);
    assert_true(token_bucket_take(&b, &r, START_NS, 3));
}

/* Larger than what time can be counted in. */
static void sizes_without_sense(void **state)
{
    (void)state;
    struct token_rate r = token_rate_of(UINT32_MAX, 1, UINT64_C(315576000000) * 1000);
    struct token_bucket b = {0};
    assert_true(token_bucket_take(&b, &r, START_NS, 1));
    assert_false(token_bucket_take(&b, &r, START_NS, 1));
    r = token_rate_of(UINT32_MAX, 1, 3600000);
    b = (struct token_bucket){0};
    for (unsigned i = 0; i < 1000; i++)
        assert_true(token_bucket_take(&b, &r, START_NS, 1));
}

enum { THREADS = 4, TOKENS = 100000 };

struct crowd {
    struct token_rate rate;
    struct token_bucket bucket;
};

static void *grab(void *arg)
{
    struct crowd *c = arg;
    return (void *)(uintptr_t)take_all(&c->bucket, &c->rate, START_NS);
}

static void many_threads_share_it(void **state)
{
    (void)state;
    struct crowd c = {.rate = token_rate_of(TOKENS, 7, 1000)};
    pthread_t ids[THREADS];
    uint64_t taken = 0;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, grab, &c), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *own;
        assert_int_equal(pthread_join(ids[i], &own), 0);
        taken += (uint64_t)(uintptr_t)own;
    }
    assert_int_equal(taken, TOKENS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_are_exact),      cmocka_unit_test(fills_steadily),
        cmocka_unit_test(several_at_once),       cmocka_unit_test(sizes_without_sense),
        cmocka_unit_test(many_threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
