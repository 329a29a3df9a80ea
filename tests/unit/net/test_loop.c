/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's turns: order of tasks and destruction, posts from other threads, and that tasks which queue
 * tasks for ever do not keep sockets and timers from their turn.
 */
#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct loop loop;
static char trace[64];

static void note(char c)
{
    size_t n = strlen(trace);
    assert_true(n + 1 < sizeof(trace));
    trace[n] = c;
}

static int setup(void **state)
{
    (void)state;
    memset(trace, 0, sizeof(trace));
    return loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    loop_fini(&loop);
    return 0;
}

static struct turn_task task_a, task_b, task_d;

static void run_b(struct turn_task *t)
{
    (void)t;
    note('b');
    loop_stop(&loop);
}
static void run_d(struct turn_task *t)
{
    (void)t;
    note('d');
}
static void run_a(struct turn_task *t)
{
    (void)t;
    note('a');
    loop_at_turn_end(&loop, &task_b); /* queued by a task: still before destruction */
}

static void start(void *arg)
{
    (void)arg;
    note('s');
    turn_task_init(&task_a, run_a);
    turn_task_init(&task_b, run_b);
    turn_task_init(&task_d, run_d);
    loop_defer_destroy(&loop, &task_d);
    loop_at_turn_end(&loop, &task_a);
    loop_at_turn_end(&loop, &task_a); /* once only */
}

static void tasks_then_destruction(void **state)
{
    (void)state;
    assert_true(loop_post(&loop, start, NULL));
    loop_run(&loop);
    assert_string_equal(trace, "sabd");
}

static void run_e(struct turn_task *t)
{
    (void)t;
    note('e');
}

static void hurry(void *arg)
{
    static struct turn_task task_e;
    (void)arg;
    turn_task_init(&task_d, run_d);
    turn_task_init(&task_e, run_e);
    loop_at_turn_end(&loop, &task_d);
    loop_at_turn_end(&loop, &task_e);
    loop_sooner(&loop, &task_e);
    loop_sooner(&loop, &task_e);
    loop_event_over(&loop);
    assert_string_equal(trace, "e");
    loop_sooner(&loop, &task_e); /* waits nowhere */
    loop_stop(&loop);
}

/* What waited for the turn's end runs when the event is over, once; what did not hurry still waits. */
static void sooner_than_the_turns_end(void **state)
{
    (void)state;
    assert_true(loop_post(&loop, hurry, NULL));
    loop_run(&loop);
    assert_string_equal(trace, "eed");
}

static struct turn_task greedy;
static unsigned greedy_runs;
static bool greedy_done;
static void run_greedy(struct turn_task *t)
{
    greedy_runs++;
    if (!greedy_done)
        loop_at_turn_end(&loop, t);
}
static void greedy_timer_fires(struct timer *t)
{
    (void)t;
    greedy_done = true;
    loop_stop(&loop);
}

static void endless_tasks_do_not_starve(void **state)
{
    (void)state;
    struct timer t;
    timer_init(&t, greedy_timer_fires);
    timer_set(&loop, &t, 20);
    turn_task_init(&greedy, run_greedy);
    loop_at_turn_end(&loop, &greedy);
    loop_run(&loop);
    assert_true(greedy_runs > 64);
}

#define POSTS 20000
static unsigned received[2];
static void count_post(void *arg)
{
    uintptr_t v = (uintptr_t)arg, who = v >> 20, n = v & 0xfffff;
    assert_int_equal(received[who], n); /* in order for each sender */
    received[who]++;
    if (received[0] == POSTS && received[1] == POSTS)
        loop_stop(&loop);
}
static void *sender(void *arg)
{
    for (uintptr_t i = 0; i < POSTS; i++)
        assert_true(loop_post(&loop, count_post, (void *)((uintptr_t)arg << 20 | i)));
    return NULL;
}

static void posts_from_threads(void **state)
{
    (void)state;
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sender, (void *)i), 0);
    loop_run(&loop);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(received[0], POSTS);
}

static void drop(void *arg)
{
    note('x');
    free(arg);
}

static void never(void *arg)
{
    (void)arg;
    note('!');
}

/* Leak checkers see the argument if nobody drops it. */
static void a_post_that_never_runs_is_dropped(void **state)
{
    struct loop short_lived;
    (void)state;
    assert_int_equal(loop_init(&short_lived), 0);
    assert_true(loop_post_owned(&short_lived, never, drop, malloc(16)));
    assert_true(loop_post(&short_lived, never, NULL)); /* nothing to free */
    assert_true(loop_post_owned(&short_lived, never, drop, malloc(16)));
    loop_fini(&short_lived);
    assert_string_equal(trace, "xx");
}

static void finish(void *arg)
{
    note('f');
    free(arg);
    loop_stop(&loop);
}

static void a_post_that_runs_is_not_dropped(void **state)
{
    (void)state;
    assert_true(loop_post_owned(&loop, finish, drop, malloc(16)));
    loop_run(&loop);
    assert_string_equal(trace, "f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tasks_then_destruction, setup, teardown),
        cmocka_unit_test_setup_teardown(a_post_that_never_runs_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_post_that_runs_is_not_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(sooner_than_the_turns_end, setup, teardown),
        cmocka_unit_test_setup_teardown(endless_tasks_do_not_starve, setup, teardown),
        cmocka_unit_test_setup_teardown(posts_from_threads, setup, teardown),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
