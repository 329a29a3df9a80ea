/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which buckets a request takes from, and buckets of open values under many threads: none may have two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filters/local_ratelimit/local_limiter.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_NS UINT64_C(1000000000000)

static struct arena arena;
static struct local_limiter limiter;
static struct local_limiter_state *limiter_state;
static struct local_limit_descriptor descriptors[4];

static void begin(uint32_t values)
{
    arena_init(&arena, 1 << 20, NULL);
    local_limiter_init(&limiter, values);
    limiter.descriptors = descriptors;
}

static bool add(const struct rate_limit_entry *entries, uint32_t count, uint64_t tokens, uint64_t per_hour)
{
    struct local_limit_descriptor *d = &descriptors[limiter.descriptors_count];
    *d = (struct local_limit_descriptor){
        .rate = token_rate_of(tokens, per_hour, 3600000), .entries = entries, .count = count};
    bool fresh = local_limiter_add(&limiter, d, rate_limit_text(entries, count, &arena));
    limiter.descriptors_count += fresh;
    return fresh;
}

static void ready(void)
{
    limiter_state = local_limiter_state_init(&limiter, calloc(1, local_limiter_bytes(&limiter)));
}

static void end(void)
{
    free(limiter_state);
    local_limiter_fini(&limiter);
    arena_fini(&arena);
}

static struct local_limit_result ask(struct arena *a, const struct rate_limit_entry *entries, uint32_t count,
                                     uint64_t now_ns)
{
    struct rate_limit_descriptor d = {entries, count, 1, rate_limit_text(entries, count, a)};
    struct local_limit_match matches[1];
    return local_limiter_ask(&limiter, limiter_state, &(struct rate_limit_descriptors){&d, 1}, now_ns,
                             matches);
}

static struct rate_limit_entry entry(const char *key, const char *value)
{
    return (struct rate_limit_entry){slice_str(key), slice_str(value)};
}

static void same_entries_are_refused(void **state)
{
    (void)state;
    begin(2);
    const struct rate_limit_entry a = entry("k", "v"), b = entry("kv", ""), c = entry("k", "");
    assert_true(add(&a, 1, 1, 1));
    assert_false(add(&a, 1, 2, 1));
    assert_true(add(&b, 1, 1, 1)); /* where a key ends is part of it */
    assert_true(add(&c, 1, 1, 1));
    assert_false(add(&c, 1, 1, 1));
    end();
}

static void slowest_first(void **state)
{
    (void)state;
    begin(2);
    const struct rate_limit_entry fast = entry("a", "1"), slow = entry("b", "1");
    add(&fast, 1, 10, 100);
    add(&slow, 1, 1, 1);
    ready();
    struct rate_limit_descriptor both[] = {{&fast, 1, 1, rate_limit_text(&fast, 1, &arena)},
                                           {&slow, 1, 1, rate_limit_text(&slow, 1, &arena)}};
    struct rate_limit_descriptors d = {both, 2};
    struct local_limit_match matches[2];
    assert_true(local_limiter_ask(&limiter, limiter_state, &d, NOW_NS, matches).allowed);
    for (unsigned i = 0; i < 3; i++) {
        struct local_limit_result r = local_limiter_ask(&limiter, limiter_state, &d, NOW_NS, matches);
        assert_false(r.allowed);
        assert_ptr_equal(r.rate, &descriptors[1].rate);
    }
    for (unsigned i = 0; i < 9; i++) /* what the slow one refused has cost the fast one nothing */
        assert_true(ask(&arena, &fast, 1, NOW_NS).allowed);
    assert_false(ask(&arena, &fast, 1, NOW_NS).allowed);
    end();
}

/* Kept are the values that were asked for last, in one set and in several. */
static void old_values_give_way(void **state)
{
    const uint32_t room = *(const uint32_t *)*state;
    begin(room);
    const struct rate_limit_entry open = entry("k", "");
    add(&open, 1, 1, 1);
    ready();
    struct rate_limit_entry first = entry("k", "first");
    assert_true(ask(&arena, &first, 1, NOW_NS).allowed);
    for (unsigned i = 0; i < 20 * room; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        struct rate_limit_entry other = entry("k", text);
        assert_true(ask(&arena, &other, 1, NOW_NS + 2 * i + 1).allowed);
        assert_false(ask(&arena, &other, 1, NOW_NS + 2 * i + 1).allowed);
        if (room > 1) /* asked for all the time: stays */
            assert_false(ask(&arena, &first, 1, NOW_NS + 2 * i + 2).allowed);
    }
    end();
}

enum { THREADS = 4, VALUES = 16, ROUNDS = 3000, TOKENS = 50 };

static void *crowd(void *arg)
{
    uint64_t *allowed = arg;
    struct arena own;
    arena_init(&own, 1 << 20, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char text[16];
        unsigned value = i * 7 % VALUES;
        snprintf(text, sizeof(text), "%u", value);
        struct rate_limit_entry e = entry("k", text);
        allowed[value] += ask(&own, &e, 1, NOW_NS).allowed;
        arena_fini(&own);
    }
    return NULL;
}

/* All begin with the same values at once; each value has one bucket's tokens and no more. */
static void values_have_one_bucket(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        uint64_t allowed[THREADS][VALUES] = {{0}};
        pthread_t ids[THREADS];
        begin(VALUES + THREADS); /* each may bring one that another has brought */
        const struct rate_limit_entry open = entry("k", "");
        add(&open, 1, TOKENS, 1);
        ready();
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&ids[i], NULL, crowd, allowed[i]), 0);
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(ids[i], NULL), 0);
        for (unsigned v = 0; v < VALUES; v++) {
            uint64_t sum = 0;
            for (unsigned i = 0; i < THREADS; i++)
                sum += allowed[i][v];
            assert_true(sum >= TOKENS);
            assert_true(sum <= TOKENS + THREADS); /* asked while two had brought the value at once */
        }
        end();
    }
}

int main(void)
{
    static const uint32_t one = 1, few = 5, many = 200;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_entries_are_refused),
        cmocka_unit_test(slowest_first),
        cmocka_unit_test_prestate(old_values_give_way, (void *)(uintptr_t)&one),
        cmocka_unit_test_prestate(old_values_give_way, (void *)(uintptr_t)&few),
        cmocka_unit_test_prestate(old_values_give_way, (void *)(uintptr_t)&many),
        cmocka_unit_test(values_have_one_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
