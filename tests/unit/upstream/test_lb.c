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
#include "upstream/lb_table.h"

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
    const char *zone;
    uint32_t zone_weight;
};

static struct cluster_config *config;

static int setup(void **state)
{
    (void)state;
    config = cluster_config_create();
    seed = 88172645463325252u;
    return config ? 0 : -1;
}

static int teardown(void **state)
{
    const struct cluster_config *drop = config;
    (void)state;
    cluster_config_unref(&drop);
    return 0;
}

/* Host i has port i + 1. */
static struct host_set *make_set(const struct spec *specs, uint32_t count, uint32_t panic)
{
    struct host *hosts[HOSTS_MAX];
    config->healthy_panic_threshold = panic;
    for (uint32_t i = 0; i < count; i++) {
        struct address a;
        struct endpoint_config e;
        struct locality_config l = {
            .priority = specs[i].priority, .zone = slice_str(specs[i].zone), .weight = specs[i].zone_weight};
        endpoint_config_init(&e);
        e.weight = specs[i].weight;
        e.health = specs[i].health;
        assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), (uint16_t)(i + 1), &a));
        hosts[i] = host_create(&a, &e, &l, SLICE_EMPTY, 1);
        assert_non_null(hosts[i]);
    }
    struct host_set *set = host_set_create(hosts, count, config, 1);
    assert_non_null(set);
    return set;
}

static void pick_many(const struct host_set *set, unsigned n, const struct lb_request *rq, unsigned *counts)
{
    struct lb lb;
    lb_init(&lb, config, seeded, NULL);
    assert_true(lb_update(&lb, set));
    memset(counts, 0, HOSTS_MAX * sizeof(*counts));
    for (unsigned i = 0; i < n; i++) {
        struct host *h = lb_pick(&lb, rq);
        assert_non_null(h);
        counts[address_port(&h->address) - 1]++;
    }
    lb_fini(&lb);
}

/* Picks `n` times and counts by the host's place in the set. */
static void distribute(enum lb_policy policy, const struct host_set *set, unsigned n, unsigned *counts)
{
    config->lb.policy = policy;
    pick_many(set, n, NULL, counts);
}

static void none_to_pick(void **state)
{
    (void)state;
    struct host_set *set = make_set(NULL, 0, 50);
    static const enum lb_policy policies[] = {LB_ROUND_ROBIN, LB_LEAST_REQUEST, LB_RANDOM, LB_RING_HASH,
                                              LB_MAGLEV};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policies); i++) {
        struct lb lb;
        config->lb.policy = policies[i];
        lb_init(&lb, config, seeded, NULL);
        assert_true(lb_update(&lb, set));
        assert_null(lb_pick(&lb, NULL));
        lb_fini(&lb);
    }
    host_set_unref(&set);
}

static void round_robin_is_even(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
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
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {2, 0, 0, "", 0}, {5, 0, 0, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    assert_true(set->levels[0].healthy.weighted);
    distribute(LB_ROUND_ROBIN, set, 800, counts);
    assert_in_range(counts[0], 99, 101);
    assert_in_range(counts[1], 199, 201);
    assert_in_range(counts[2], 499, 501);
    host_set_unref(&set);
}

/* The heaviest host is not picked in one run, but spread. */
static void weighted_schedule_is_smooth(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {3, 0, 0, "", 0}};
    (void)state;
    struct host_set *set = make_set(specs, 2, 50);
    struct lb lb;
    unsigned in_a_row = 0;
    lb_init(&lb, config, seeded, NULL);
    assert_true(lb_update(&lb, set));
    for (int i = 0; i < 400; i++) {
        in_a_row = lb_pick(&lb, NULL) == set->hosts[1] ? in_a_row + 1 : 0;
        assert_true(in_a_row <= 4); /* 3, and one where deadlines meet */
    }
    lb_fini(&lb);
    host_set_unref(&set);
}

static void random_is_fair(void **state)
{
    static const struct spec specs[] = {
        {1, 0, 0, "", 0}, {9, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
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
    static const struct spec specs[] = {
        {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
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
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {3, 0, 0, "", 0}};
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

/* All hosts are looked at: the busy ones are never taken, the tied ones equally often. */
static void least_request_full_scan(void **state)
{
    static const struct spec specs[] = {
        {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 4, 50);
    config->lb.least_request_full_scan = true;
    atomic_store(&set->hosts[1]->active, 1);
    distribute(LB_LEAST_REQUEST, set, 3000, counts);
    assert_int_equal(counts[1], 0);
    for (int i = 0; i < 4; i++)
        assert_true(i == 1 || (counts[i] > 900 && counts[i] < 1100));
    host_set_unref(&set);
}

/* With bias 0 requests in flight do not count; with 2 they count by their square. */
static void least_request_bias(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {4, 0, 0, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 2, 50);
    atomic_store(&set->hosts[1]->active, 1);
    config->lb.active_request_bias = 0;
    distribute(LB_LEAST_REQUEST, set, 500, counts);
    assert_in_range(counts[1], 398, 402);
    config->lb.active_request_bias = 2.0;
    distribute(LB_LEAST_REQUEST, set, 500, counts);
    assert_in_range(counts[1], 248, 252);
    config->lb.active_request_bias = 2000.0; /* no double is that small: all are as bad */
    atomic_store(&set->hosts[0]->active, 9);
    distribute(LB_LEAST_REQUEST, set, 500, counts);
    assert_in_range(counts[1], 248, 252);
    host_set_unref(&set);
}

static void turn_goes_on_across_updates(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    struct lb lb;
    (void)state;
    struct host_set *set = make_set(specs, 3, 50), *again = make_set(specs, 3, 50);
    lb_init(&lb, config, seeded, NULL);
    assert_true(lb_update(&lb, set));
    uint16_t first = address_port(&lb_pick(&lb, NULL)->address);
    assert_true(lb_update(&lb, again));
    assert_int_equal(address_port(&lb_pick(&lb, NULL)->address), first % 3 + 1);
    lb_fini(&lb);
    host_set_unref(&set);
    host_set_unref(&again);
}

/* A host that is new gets a tenth at first, then more and more, at last as much as the others. */
static void slow_start(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    static const struct {
        uint64_t now, least, most;
    } steps[] = {{1010, 70, 110}, {1500, 320, 350}, {2100, 499, 501}};
    (void)state;
    struct host_set *set = make_set(specs, 2, 50);
    config->lb.slow_start_window_ms = 1000;
    atomic_store(&set->hosts[1]->healthy_since_ms, 1000);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++) {
        unsigned count = 0;
        struct lb lb;
        lb_init(&lb, config, seeded, NULL);
        lb.now_ms = &steps[i].now;
        assert_true(lb_update(&lb, set));
        for (int n = 0; n < 1000; n++)
            count += lb_pick(&lb, NULL) == set->hosts[1];
        assert_in_range(count, steps[i].least, steps[i].most);
        lb_fini(&lb);
    }
    host_set_unref(&set);
}

static void unhealthy_hosts_are_left_out(void **state)
{
    static const struct spec specs[] = {{1, 0, ENDPOINT_HEALTHY, "", 0},
                                        {1, 0, ENDPOINT_UNHEALTHY, "", 0},
                                        {1, 0, ENDPOINT_UNKNOWN, "", 0},
                                        {1, 0, ENDPOINT_DRAINING, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 4, 50);
    assert_int_equal(set->healthy_count, 2);
    assert_int_equal(set->excluded_count, 1);
    assert_false(set->levels[0].panic);
    distribute(LB_ROUND_ROBIN, set, 100, counts);
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[2], 50);
    host_set_unref(&set);
}

static void panic_uses_all(void **state)
{
    static const struct spec specs[] = {
        {1, 0, ENDPOINT_HEALTHY, "", 0}, {1, 0, ENDPOINT_UNHEALTHY, "", 0}, {1, 0, ENDPOINT_TIMEOUT, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    assert_true(set->levels[0].panic);
    distribute(LB_ROUND_ROBIN, set, 90, counts);
    for (int i = 0; i < 3; i++)
        assert_int_equal(counts[i], 30);
    host_set_unref(&set);
    set = make_set(specs, 3, 0); /* panic off */
    assert_false(set->levels[0].panic);
    distribute(LB_ROUND_ROBIN, set, 90, counts);
    assert_int_equal(counts[0], 90);
    host_set_unref(&set);
}

static void panic_may_fail_traffic(void **state)
{
    static const struct spec specs[] = {{1, 0, ENDPOINT_HEALTHY, "", 0},
                                        {1, 0, ENDPOINT_UNHEALTHY, "", 0},
                                        {1, 0, ENDPOINT_UNHEALTHY, "", 0}};
    struct lb lb;
    (void)state;
    struct host_set *set = make_set(specs, 3, 50);
    config->lb.fail_traffic_on_panic = true;
    lb_init(&lb, config, seeded, NULL);
    assert_true(lb_update(&lb, set));
    assert_null(lb_pick(&lb, NULL));
    lb_fini(&lb);
    host_set_unref(&set);
}

/* 2 of 4 healthy bear 70 % of the load; the rest spills over. */
static void load_spills_over(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0},
                                        {1, 0, 0, "", 0},
                                        {1, 0, ENDPOINT_UNHEALTHY, "", 0},
                                        {1, 0, ENDPOINT_UNHEALTHY, "", 0},
                                        {1, 1, 0, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 5, 50);
    assert_int_equal(set->levels[0].healthy_load, 70);
    assert_int_equal(set->levels[1].healthy_load, 30);
    distribute(LB_ROUND_ROBIN, set, 10000, counts);
    assert_in_range(counts[0] + counts[1], 6800, 7200);
    assert_int_equal(counts[2] + counts[3], 0);
    assert_in_range(counts[4], 2800, 3200);
    host_set_unref(&set);
}

/* Localities weigh 1 and 3, whatever number of hosts they have. */
static void localities_by_weight(void **state)
{
    static const struct spec specs[] = {
        {1, 0, 0, "a", 1}, {1, 0, 0, "b", 3}, {1, 0, 0, "a", 1}, {1, 0, 0, "c", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    config->lb.locality_weighted = true;
    struct host_set *set = make_set(specs, 4, 50);
    assert_int_equal(set->levels[0].localities_count, 3);
    distribute(LB_ROUND_ROBIN, set, 800, counts);
    assert_in_range(counts[0] + counts[2], 198, 202);
    assert_in_range(counts[1], 598, 602);
    assert_int_equal(counts[3], 0);
    host_set_unref(&set);
}

/* Zones of hosts as letters; capitals are not healthy. */
static struct host_set *make_zones(const char *letters)
{
    static const char *const names[] = {"a", "b", "c"};
    struct spec specs[HOSTS_MAX];
    uint32_t count = 0;
    for (const char *p = letters; *p; p++)
        specs[count++] = (struct spec){.weight = 1,
                                       .health = *p < 'a' ? ENDPOINT_UNHEALTHY : ENDPOINT_HEALTHY,
                                       .zone = names[(*p | 32) - 'a'],
                                       .zone_weight = 1};
    return make_set(specs, count, 50);
}

/* Percent of picks in zone a, then b, then c; -1: nobody is picked. */
static void zone_case(const char *own, const char *upstream, int a, int b, int c)
{
    enum { PICKS = 20000 };
    struct host_set *proxies = make_zones(own), *set = make_zones(upstream);
    struct lb lb;
    int counts[3] = {0};
    lb_init(&lb, config, seeded, NULL);
    lb.local = &proxies;
    assert_true(lb_update(&lb, set));
    for (int i = 0; i < PICKS; i++) {
        struct host *h = lb_pick(&lb, NULL);
        if (h)
            counts[h->locality[1][0] - 'a']++;
        else
            counts[0] = counts[1] = counts[2] = -PICKS;
    }
    const int wanted[3] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        if (abs(counts[i] * 100 / PICKS - wanted[i]) > 2)
            fail_msg("%s to %s: %d %d %d", own, upstream, counts[0], counts[1], counts[2]);
    }
    lb_fini(&lb);
    host_set_unref(&set);
    host_set_unref(&proxies);
}

static void zones(void **state)
{
    (void)state;
    config->lb.zone_aware = config->lb.zone_divides = true;
    config->lb.zone_panic_threshold = 50;
    config->lb.node_locality[1] = SLICE_LIT("a");
    zone_case("aabc", "aaabbc", 100, 0, 0);   /* half of it for half of them */
    zone_case("aabc", "abbbcc", 33, 50, 16);  /* a third stays; room of 25 and 8.3 */
    zone_case("aabc", "bbbccc", 0, 50, 50);   /* nothing here: room of 25 and 25 */
    zone_case("aabc", "AAbbbbcc", 0, 83, 17); /* nobody well here: 66 - 25 and 33 - 25 */
    zone_case("aaab", "aaabbc", 67, 13, 20);  /* c has room, and so has b: 33 - 25 and 16 - 0 */
    zone_case("aabc", "aabbb", 40, 60, 0);    /* too small */
    zone_case("aaaa", "abbbcc", 17, 50, 33);  /* all proxies are in one zone */
    zone_case("bbcc", "aaabbc", 50, 33, 17);  /* none of them is listed here */
    zone_case("aBBB", "aaabbc", 50, 33, 17);  /* most of them are sick */
    zone_case("", "aaabbc", 50, 33, 17);
    config->lb.fail_traffic_on_panic = true;
    zone_case("aBBB", "aaabbc", -100, -100, -100);
    config->lb.zone_direct_min = 1;
    zone_case("aabc", "abbbcc", 100, 0, 0);
    zone_case("aaaa", "abbbcc", 100, 0, 0);
    zone_case("aabc", "Abbbbcc", 0, 83, 17);
    config->lb.zone_direct_min = 2;
    zone_case("aabc", "abbbcc", 33, 50, 16);
    config->lb.zone_direct_min = 0;
    config->lb.zone_min_size = 5;
    zone_case("aabc", "aabbb", 80, 20, 0);
    config->lb.zone_routing_percent = 0;
    zone_case("aabc", "aaabbc", 50, 33, 17);
}

/* The proxies' own cluster changes, and the shares with it. */
static void zones_follow(void **state)
{
    struct host_set *proxies = NULL, *set;
    struct lb lb;
    (void)state;
    config->lb.zone_aware = config->lb.zone_divides = true;
    config->lb.node_locality[1] = SLICE_LIT("a");
    set = make_zones("aaabbc");
    lb_init(&lb, config, seeded, NULL);
    lb.local = &proxies;
    assert_true(lb_update(&lb, set));
    assert_int_equal(lb.zone.kind, LB_ZONE_OFF);
    assert_non_null(lb.only);
    proxies = make_zones("aabc");
    lb_local_changed(&lb);
    assert_int_equal(lb.zone.kind, LB_ZONE_DIRECT);
    assert_null(lb.only);
    host_set_unref(&proxies);
    proxies = make_zones("aaab");
    lb_local_changed(&lb);
    assert_int_equal(lb.zone.kind, LB_ZONE_SHARED);
    host_set_unref(&proxies);
    lb_local_changed(&lb);
    assert_int_equal(lb.zone.kind, LB_ZONE_OFF);
    assert_non_null(lb.only);
    lb_fini(&lb);
    host_set_unref(&set);
}

/* A locality whose hosts are half gone weighs 0.7 of what it did. */
static void localities_by_health(void **state)
{
    static const struct spec specs[] = {
        {1, 0, 0, "a", 10}, {1, 0, ENDPOINT_UNHEALTHY, "a", 10}, {1, 0, 0, "b", 10}, {1, 0, 0, "b", 10}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    config->lb.locality_weighted = true;
    struct host_set *set = make_set(specs, 4, 50);
    distribute(LB_ROUND_ROBIN, set, 1700, counts);
    assert_in_range(counts[0], 695, 705);
    assert_int_equal(counts[1], 0);
    host_set_unref(&set);
}

static bool refuse_first(void *arg, const struct host *h)
{
    (*(unsigned *)arg)++;
    return address_port(&h->address) == 1;
}

static void refused_hosts_are_passed_over(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    static const enum lb_policy policies[] = {LB_ROUND_ROBIN, LB_LEAST_REQUEST, LB_RANDOM, LB_RING_HASH,
                                              LB_MAGLEV};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policies); i++) {
        unsigned counts[HOSTS_MAX], asked = 0;
        config->lb.policy = policies[i];
        struct host_set *set = make_set(specs, 2, 50);
        pick_many(set, 100, &(struct lb_request){.refuse = refuse_first, .arg = &asked, .attempts = 50},
                  counts);
        assert_int_equal(counts[1], 100);
        assert_true(asked >= 100);
        host_set_unref(&set);
    }
    /* All refused: the last one is taken after as many tries. */
    static const struct spec alone[] = {{1, 0, 0, "", 0}};
    unsigned counts[HOSTS_MAX], asked = 0;
    config->lb.policy = LB_ROUND_ROBIN;
    struct host_set *set = make_set(alone, 1, 50);
    pick_many(set, 1, &(struct lb_request){.refuse = refuse_first, .arg = &asked, .attempts = 3}, counts);
    assert_int_equal(counts[0], 1);
    assert_int_equal(asked, 3);
    host_set_unref(&set);
}

static const struct host_shares *second_priority(void *arg, const struct host_set *hosts)
{
    static const struct host_shares shares = {.healthy = {0, 100}};
    assert_null(arg);
    assert_int_equal(hosts->levels_count, 2);
    return &shares;
}

static void other_loads_of_a_request(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 1, 0, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    struct host_set *set = make_set(specs, 2, 50);
    pick_many(set, 50, &(struct lb_request){.shares = second_priority}, counts);
    assert_int_equal(counts[1], 50);
    host_set_unref(&set);
}

static uint32_t hashed(struct lb *lb, uint64_t hash)
{
    return address_port(&lb_pick(lb, &(struct lb_request){.has_hash = true, .hash = hash})->address);
}

/* A host that leaves takes few hashes with it that were not its own: its points on the ring are divided among
 * the others (205 each become 256), which moves up to a fifth. */
static void hashes_stay_where_they_are(void **state)
{
    static const struct spec specs[] = {
        {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    static const enum lb_policy policies[] = {LB_RING_HASH, LB_MAGLEV};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policies); i++) {
        struct lb all, fewer;
        unsigned moved = 0, of_last = 0;
        config->lb.policy = policies[i];
        struct host_set *five = make_set(specs, 5, 50), *four = make_set(specs, 4, 50);
        lb_init(&all, config, seeded, NULL);
        lb_init(&fewer, config, seeded, NULL);
        assert_true(lb_update(&all, five) && lb_update(&fewer, four));
        for (int n = 0; n < 5000; n++) {
            uint64_t hash = seeded(NULL, UINT64_MAX) * 0x9E3779B97F4A7C15u;
            assert_int_equal(hashed(&all, hash), hashed(&all, hash));
            of_last += hashed(&all, hash) == 5;
            moved += hashed(&all, hash) != 5 && hashed(&all, hash) != hashed(&fewer, hash);
        }
        assert_in_range(of_last, 600, 1400);
        assert_in_range(moved, 0, policies[i] == LB_RING_HASH ? 1000 : 250);
        lb_fini(&all);
        lb_fini(&fewer);
        host_set_unref(&five);
        host_set_unref(&four);
    }
}

/* Without a hash the policy is random. */
static void no_hash_is_random(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    unsigned counts[HOSTS_MAX];
    (void)state;
    config->lb.policy = LB_MAGLEV;
    struct host_set *set = make_set(specs, 2, 50);
    distribute(LB_MAGLEV, set, 1000, counts);
    assert_in_range(counts[0], 400, 600);
    host_set_unref(&set);
}

/* A host with more than 120 % of the average in flight is passed over, always for the same other one. */
static void bounded_loads(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {1, 0, 0, "", 0}, {1, 0, 0, "", 0}};
    static _Atomic uint32_t in_flight = 30;
    struct lb lb;
    (void)state;
    config->lb.policy = LB_RING_HASH;
    config->lb.hash_balance_factor = 120;
    struct host_set *set = make_set(specs, 3, 50);
    lb_init(&lb, config, seeded, NULL);
    lb.in_flight[0] = &in_flight;
    assert_true(lb_update(&lb, set));
    for (uint64_t n = 1; n < 100; n++) {
        uint64_t hash = n * 0x9E3779B97F4A7C15u;
        uint32_t own = hashed(&lb, hash);
        atomic_store(&set->hosts[own - 1]->active, 13); /* (31 x 1.2) / 3, rounded up: 13 may be */
        assert_int_equal(hashed(&lb, hash), own);
        atomic_store(&set->hosts[own - 1]->active, 14);
        uint32_t other = hashed(&lb, hash);
        assert_int_not_equal(other, own);
        assert_int_equal(hashed(&lb, hash), other);
        atomic_store(&set->hosts[other - 1]->active, 20);
        uint32_t third = hashed(&lb, hash);
        assert_true(third != own && third != other);
        atomic_store(&set->hosts[third - 1]->active, 30);
        assert_int_equal(hashed(&lb, hash), own); /* all overloaded: the least so */
        for (int i = 0; i < 3; i++)
            atomic_store(&set->hosts[i]->active, 0);
    }
    lb_fini(&lb);
    host_set_unref(&set);
}

static void tables_by_weight(void **state)
{
    static const struct spec specs[] = {{1, 0, 0, "", 0}, {3, 0, 0, "", 0}};
    (void)state;
    config->lb.policy = LB_MAGLEV;
    config->lb.maglev_size = 1009;
    struct host_set *set = make_set(specs, 2, 50);
    const struct lb_table *t = set->levels[0].table;
    assert_int_equal(t->size, 1009);
    assert_in_range(t->least_per_host, 251, 253);
    assert_in_range(t->most_per_host, 756, 758);
    host_set_unref(&set);
    config->lb.policy = LB_RING_HASH;
    config->lb.ring_size_min = 10;
    set = make_set(specs, 2, 50);
    assert_int_equal(set->levels[0].table->size, 12); /* 3 for the lightest */
    assert_int_equal(set->levels[0].table->most_per_host, 9);
    host_set_unref(&set);
    config->lb.ring_size_min = 1;
    config->lb.ring_size_max = 1;
    set = make_set(specs, 2, 50);
    assert_int_equal(set->levels[0].table->size, 1);
    host_set_unref(&set);
    config->lb.ring_size_min = 0; /* no points at all: nobody is picked */
    set = make_set(specs, 2, 50);
    assert_null(set->levels[0].table);
    host_set_unref(&set);
}

int main(void)
{
#define LB_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        LB_TEST(none_to_pick),
        LB_TEST(round_robin_is_even),
        LB_TEST(round_robin_by_weight),
        LB_TEST(weighted_schedule_is_smooth),
        LB_TEST(random_is_fair),
        LB_TEST(least_request_avoids_the_busy),
        LB_TEST(least_request_by_weight),
        LB_TEST(least_request_full_scan),
        LB_TEST(least_request_bias),
        LB_TEST(turn_goes_on_across_updates),
        LB_TEST(slow_start),
        LB_TEST(unhealthy_hosts_are_left_out),
        LB_TEST(panic_uses_all),
        LB_TEST(panic_may_fail_traffic),
        LB_TEST(load_spills_over),
        LB_TEST(localities_by_weight),
        LB_TEST(zones),
        LB_TEST(zones_follow),
        LB_TEST(localities_by_health),
        LB_TEST(refused_hosts_are_passed_over),
        LB_TEST(other_loads_of_a_request),
        LB_TEST(hashes_stay_where_they_are),
        LB_TEST(no_hash_is_random),
        LB_TEST(bounded_loads),
        LB_TEST(tables_by_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
