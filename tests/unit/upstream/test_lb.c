/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balancers and host sets: distribution with a seeded random source, weights, requests in flight, priorities,
 * health and panic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "upstream/lb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS_MAX 16

static uint64_t seed;

static uint64_t seeded(void *arg, uint64_t bound)
{
    (void)arg;
    assert_true(bound > 0);
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % bound;
}

struct spec {
    uint32_t weight;
    uint32_t priority;
    enum endpoint_health health;
};

static struct host_set *make_set(const struct spec *specs, uint32_t count, uint32_t panic)
{
    struct host *hosts[HOSTS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        struct address a;
        struct endpoint_config e;
        struct locality_config l = {.priority = specs[i].priority};
        endpoint_config_init(&e);
        e.weight = specs[i].weight;
        e.health = specs[i].health;
        assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), (uint16_t)(i + 1), &a));
        hosts[i] = host_create(&a, &e, &l, SLICE_EMPTY, 1);
        assert_non_null(hosts[i]);
    }
    struct host_set *set = host_set_create(hosts, count, panic);
    assert_non_null(set);
    return set;
}

/* Picks `n` times and counts by the host's place in the set. */
static void distribute(enum lb_policy policy, const struct host_set *set, unsigned n, unsigned *counts)
{
    struct cluster_config *config = cluster_config_create();
    struct lb lb;
    config->lb = policy;
    seed = 88172645463325252u;
    lb_init(&lb, config, seeded, NULL);
    assert_true(lb_update(&lb, set));
    memset(counts, 0, HOSTS_MAX * sizeof(*counts));
    for (unsigned i = 0; i < n; i++) {
        struct host *h = lb_pick(&lb);
        assert_non_null(h);
        counts[address_port(&h->address) - 1]++;
    }
    lb_fini(&lb);
    const struct cluster_config *drop = config;
    cluster_config_unref(&drop);
}

static void none_to_pick(void **state)
{
    (void)state;
    struct host_set *set = make_set(NULL, 0, 50);
    static const enum lb_policy policies[] = {LB_ROUND_ROBIN, LB_LEAST_REQUEST, LB_RANDOM};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policies); i++) {
        struct cluster_config *config = cluster_config_create();
        struct lb lb;
        config->lb = policies[i];
        lb_init(&lb, config, seeded, NULL);
        assert_true(lb_update(&lb, set));
        assert_null(lb_pick(&lb));
        lb_fini(&lb);
        const struct cluster_config *drop = config;
        cluster_config_unref(&drop);
    }
    host_set_unref(&set);
}

static void round_robin_is_even(void **state)
{
    static const struct spec specs[] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    distribute(LB_ROUND_ROBIN, set, 300, counts);
    for (int i = 0; i < 3; i++)
        assert_int_equal(counts[i], 100);
    host_set_unref(&set);
}

static void round_robin_by_weight(void **state)
{
    static const struct spec specs[] = {{1, 0, 0}, {2, 0, 0}, {5, 0, 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    assert_true(set->weighted);
    distribute(LB_ROUND_ROBIN, set, 800, counts);
    assert_in_range(counts[0], 99, 101);
    assert_in_range(counts[1], 199, 201);
    assert_in_range(counts[2], 499, 501);
    host_set_unref(&set);
}

/* The heaviest host is not picked in one run, but spread. */
static void weighted_schedule_is_smooth(void **state)
{
    static const struct spec specs[] = {{1, 0, 0}, {3, 0, 0}};
    (void)state;
    struct host_set *set = make_set(specs, 2, 50);
    struct cluster_config *config = cluster_config_create();
    struct lb lb;
    unsigned in_a_row = 0;
    lb_init(&lb, config, seeded, NULL);
    assert_true(lb_update(&lb, set));
    for (int i = 0; i < 400; i++) {
        in_a_row = lb_pick(&lb) == set->hosts[1] ? in_a_row + 1 : 0;
        assert_true(in_a_row <= 4); /* 3, and one where deadlines meet */
    }
    lb_fini(&lb);
    const struct cluster_config *drop = config;
    cluster_config_unref(&drop);
    host_set_unref(&set);
}

static void random_is_fair(void **state)
{
    static const struct spec specs[] = {{1, 0, 0}, {9, 0, 0}, {1, 0, 0}, {1, 0, 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 4, 50);
    distribute(LB_RANDOM, set, 4000, counts);
    for (int i = 0; i < 4; i++)
        assert_in_range(counts[i], 900, 1100);
    host_set_unref(&set);
}

/* Of two hosts drawn, the busy one loses: it is only taken when it is drawn twice. */
static void least_request_avoids_the_busy(void **state)
{
    static const struct spec specs[] = {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}, {1, 0, 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 4, 50);
    atomic_store(&set->hosts[2]->active, 10);
    distribute(LB_LEAST_REQUEST, set, 1600, counts);
    assert_in_range(counts[2], 60, 140); /* 1 in 16 */
    assert_in_range(counts[0], 420, 580);
    host_set_unref(&set);
}

static void least_request_by_weight(void **state)
{
    static const struct spec specs[] = {{1, 0, 0}, {3, 0, 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 2, 50);
    distribute(LB_LEAST_REQUEST, set, 400, counts);
    assert_in_range(counts[0], 99, 101);
    atomic_store(&set->hosts[1]->active, 5); /* 3 / 6: half the other's weight */
    distribute(LB_LEAST_REQUEST, set, 300, counts);
    assert_in_range(counts[0], 198, 202);
    host_set_unref(&set);
}

static void unhealthy_hosts_are_left_out(void **state)
{
    static const struct spec specs[] = {{1, 0, ENDPOINT_HEALTHY},
                                        {1, 0, ENDPOINT_UNHEALTHY},
                                        {1, 0, ENDPOINT_UNKNOWN},
                                        {1, 0, ENDPOINT_DRAINING}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 4, 50);
    assert_int_equal(set->healthy_count, 2);
    assert_false(set->panic);
    distribute(LB_ROUND_ROBIN, set, 100, counts);
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[2], 50);
    host_set_unref(&set);
}

static void panic_uses_all(void **state)
{
    static const struct spec specs[] = {
        {1, 0, ENDPOINT_HEALTHY}, {1, 0, ENDPOINT_UNHEALTHY}, {1, 0, ENDPOINT_TIMEOUT}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    assert_true(set->panic);
    distribute(LB_ROUND_ROBIN, set, 90, counts);
    for (int i = 0; i < 3; i++)
        assert_int_equal(counts[i], 30);
    host_set_unref(&set);
    set = make_set(specs, 3, 0); /* panic off */
    assert_false(set->panic);
    assert_int_equal(set->usable_count, 1);
    host_set_unref(&set);
}

static void first_priority_with_healthy_hosts(void **state)
{
    static const struct spec specs[] = {
        {1, 1, ENDPOINT_HEALTHY}, {1, 0, ENDPOINT_UNHEALTHY}, {1, 2, ENDPOINT_HEALTHY}};
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    assert_int_equal(set->usable_count, 1);
    assert_ptr_equal(set->usable[0], set->hosts[0]);
    host_set_unref(&set);
    static const struct spec up[] = {{1, 1, ENDPOINT_HEALTHY}, {1, 0, ENDPOINT_HEALTHY}};
    set = make_set(up, 2, 50);
    assert_int_equal(set->usable_count, 1);
    assert_ptr_equal(set->usable[0], set->hosts[1]);
    host_set_unref(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_to_pick),
        cmocka_unit_test(round_robin_is_even),
        cmocka_unit_test(round_robin_by_weight),
        cmocka_unit_test(weighted_schedule_is_smooth),
        cmocka_unit_test(random_is_fair),
        cmocka_unit_test(least_request_avoids_the_busy),
        cmocka_unit_test(least_request_by_weight),
        cmocka_unit_test(unhealthy_hosts_are_left_out),
        cmocka_unit_test(panic_uses_all),
        cmocka_unit_test(first_priority_with_healthy_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
