/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: random numbers and the wall clock.
 */
#include "net/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static void random_numbers(void **state)
{
    (void)state;
    struct worker *w = worker_create(3);
    unsigned seen[7] = {0};
    assert_non_null(w);
    for (int i = 0; i < 70000; i++) {
        uint64_t n = worker_random(w, 7);
        assert_true(n < 7);
        seen[n]++;
    }
    for (size_t i = 0; i < 7; i++)
        assert_in_range(seen[i], 9000, 11000);
    assert_int_equal(worker_random(w, 1), 0);
    worker_destroy(&w);
    assert_null(w);
}

static void wall_clock(void **state)
{
    (void)state;
    struct worker *w = worker_create(0);
    struct timespec mono, real;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &real);
    uint64_t ns = worker_realtime_ns(w, (uint64_t)mono.tv_sec * 1000000000u + (uint64_t)mono.tv_nsec);
    int64_t off = (int64_t)(ns - ((uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec));
    assert_true(off > -1000000000 && off < 1000000000);
    worker_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(wall_clock),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
