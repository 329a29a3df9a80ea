/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of all VMs: what lies idle counts, and is ended when others need the room, the longest idle
 * first, and never once its owner has woken it.
 */
#include "proxywasm/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROUNDS 20000

static struct budget b;
static int ended;

static void end(struct budget_idle *idle)
{
    (void)idle;
    ended++;
}

static void lie_idle(struct budget_idle *idle, uint64_t bytes)
{
    *idle = (struct budget_idle){.bytes = bytes, .end = end};
    assert_true(budget_take(&b, bytes));
    assert_true(budget_lie_idle(&b, idle));
}

static void idle_memory_makes_room(void **state)
{
    struct budget_idle idles[3];

    (void)state;
    ended = 0;
    budget_init(&b);
    atomic_store(&b.max, 100);
    for (int i = 0; i < 3; i++)
        lie_idle(&idles[i], 30);
    assert_true(atomic_load(&b.used) == 90);
    assert_true(budget_left(&b) == 100);
    assert_true(budget_take(&b, 10));
    assert_int_equal(ended, 0);
    assert_true(budget_take(&b, 40)); /* two have to go */
    assert_int_equal(ended, 2);
    assert_false(budget_wake(&b, &idles[0]));
    assert_false(budget_wake(&b, &idles[1]));
    assert_true(atomic_load(&b.used) == 80);
    assert_false(budget_take(&b, 60)); /* the third would not help */
    assert_int_equal(ended, 2);
    assert_true(budget_wake(&b, &idles[2]));
    assert_false(budget_take(&b, 30)); /* it is in use */
    assert_int_equal(ended, 2);
    budget_give(&b, 80);
    budget_fini(&b);
}

static void what_must_be_taken_ends_idle_memory_too(void **state)
{
    struct budget_idle idle;

    (void)state;
    ended = 0;
    budget_init(&b);
    atomic_store(&b.max, 100);
    lie_idle(&idle, 60);
    budget_force(&b, 50);
    assert_int_equal(ended, 1);
    budget_force(&b, 80); /* over the limit, as there is nothing to end */
    assert_true(atomic_load(&b.used) == 130);
    assert_true(budget_left(&b) == 0);
    assert_false(budget_wake(&b, &idle));
    /* More is used than there may be: nothing may lie about. */
    idle = (struct budget_idle){.bytes = 80, .end = end};
    assert_false(budget_lie_idle(&b, &idle));
    assert_true(budget_wake(&b, &idle));
    budget_give(&b, 130);
    budget_fini(&b);
}

static void without_a_limit_nothing_ends(void **state)
{
    struct budget_idle idle;

    (void)state;
    ended = 0;
    budget_init(&b);
    lie_idle(&idle, 60);
    assert_true(budget_left(&b) == UINT64_MAX);
    assert_true(budget_take(&b, UINT32_MAX));
    assert_true(budget_wake(&b, &idle));
    assert_int_equal(ended, 0);
    budget_fini(&b);
}

/* Each has room for itself only when the other one's idle memory goes. */
static void *take_turns(void *arg)
{
    struct budget_idle idle = {.bytes = 60, .end = end};

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (!budget_take(&b, idle.bytes))
            continue;
        if (budget_lie_idle(&b, &idle) && !budget_wake(&b, &idle))
            continue;
        budget_give(&b, idle.bytes);
    }
    return NULL;
}

static void two_threads(void **state)
{
    pthread_t threads[2];

    (void)state;
    ended = 0;
    budget_init(&b);
    atomic_store(&b.max, 100);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&b.used) == 0 && atomic_load(&b.idle) == 0);
    budget_fini(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_memory_makes_room),
        cmocka_unit_test(what_must_be_taken_ends_idle_memory_too),
        cmocka_unit_test(without_a_limit_nothing_ends),
        cmocka_unit_test(two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
