/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer wheel against a naive model: the same random sets, stops and jumps in time must fire the same
 * timers, none early, in any order within one step.
 */
#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIMERS 200

struct probe {
    struct timer timer;
    uint64_t model_due; /* 0: not set */
    unsigned fired;
    unsigned expected;
};

static struct loop loop;
static struct probe probes[TIMERS];
static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void probe_fired(struct timer *t)
{
    struct probe *p = WEIR_CONTAINER_OF(t, struct probe, timer);
    assert_int_equal(t->due_ms, 0);
    p->fired++;
}

static int setup(void **state)
{
    (void)state;
    memset(probes, 0, sizeof(probes));
    for (size_t i = 0; i < TIMERS; i++)
        timer_init(&probes[i].timer, probe_fired);
    return loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < TIMERS; i++)
        timer_stop(&loop, &probes[i].timer);
    assert_int_equal(loop.timers.count, 0);
    loop_fini(&loop);
    return 0;
}

/* The model: everything due up to `now` fires. */
static void model_advance(uint64_t now)
{
    for (size_t i = 0; i < TIMERS; i++) {
        if (probes[i].model_due && probes[i].model_due <= now) {
            probes[i].model_due = 0;
            probes[i].expected++;
        }
    }
}

static void wheel_to(uint64_t now)
{
    loop.now_ms = now;
    timer_wheel_advance(&loop, now);
    model_advance(now);
    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(probes[i].fired, probes[i].expected);
        assert_int_equal(timer_active(&probes[i].timer), probes[i].model_due != 0);
    }
}

static uint64_t random_delay(void)
{
    static const uint64_t spans[] = {
        2, 70, 5000, 300000, 20000000, UINT64_C(3000000000), UINT64_C(90000000000)};
    return next_random() % spans[next_random() % WEIR_ARRAY_LEN(spans)];
}

static void random_step(uint64_t *now)
{
    struct probe *p = &probes[next_random() % TIMERS];
    uint64_t what = next_random() % 10;
    if (what < 6) {
        uint64_t delay = random_delay();
        timer_set(&loop, &p->timer, delay);
        p->model_due = *now + (delay ? delay : 1);
    } else if (what < 8) {
        timer_stop(&loop, &p->timer);
        p->model_due = 0;
    } else {
        *now += random_delay();
        wheel_to(*now);
    }
}

static void fuzz_against_model(void **state)
{
    (void)state;
    for (seed = 1; seed < 40 * 7919; seed += 7919) {
        uint64_t keep = seed, now = loop.now_ms;
        for (int i = 0; i < 3000; i++)
            random_step(&now);
        seed = keep;
    }
}

static void exact_millisecond(void **state)
{
    (void)state;
    uint64_t start = loop.now_ms;
    static const uint64_t delays[] = {1, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 16777216, 1073741824};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(delays); i++) {
        timer_set(&loop, &probes[0].timer, delays[i]);
        uint64_t due = loop.now_ms + delays[i];
        probes[0].model_due = due;
        wheel_to(due - 1);
        wheel_to(due);
        assert_int_equal(probes[0].fired, i + 1);
    }
    assert_true(loop.now_ms > start);
}

static struct timer victim, killer;
static unsigned victim_fired;
static void victim_fires(struct timer *t)
{
    (void)t;
    victim_fired++;
}
static void killer_fires(struct timer *t)
{
    timer_stop(&loop, &victim);
    timer_set(&loop, t, 1); /* sets itself again from inside */
}

/* Stopping a timer of the same millisecond from a firing one must keep it from firing. */
static void stop_and_set_while_firing(void **state)
{
    (void)state;
    timer_init(&victim, victim_fires);
    timer_init(&killer, killer_fires);
    timer_set(&loop, &killer, 5);
    timer_set(&loop, &victim, 5);
    uint64_t now = loop.now_ms;
    loop.now_ms = now + 5;
    timer_wheel_advance(&loop, now + 5);
    assert_int_equal(victim_fired, 0);
    assert_true(timer_active(&killer));
    assert_int_equal(killer.due_ms, now + 6);
    timer_stop(&loop, &killer);
}

static void real_fires(struct timer *t)
{
    (void)t;
    loop_stop(&loop);
}

/* With libuv's clock: never early, and the loop does wake up. */
static void real_time(void **state)
{
    (void)state;
    struct timer t;
    timer_init(&t, real_fires);
    uint64_t before = uv_hrtime();
    loop_refresh(&loop);
    timer_set(&loop, &t, 80);
    loop_run(&loop);
    assert_true(uv_hrtime() - before >= 79 * UINT64_C(1000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fuzz_against_model, setup, teardown),
        cmocka_unit_test_setup_teardown(exact_millisecond, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_and_set_while_firing, setup, teardown),
        cmocka_unit_test_setup_teardown(real_time, setup, teardown),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
