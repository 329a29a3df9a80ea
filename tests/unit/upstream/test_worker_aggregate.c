/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregate clusters: whose priorities count and in which order, members that come, go, are unknown or
 * contain themselves, and what a request may say about the priorities of all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "net/worker.h"
#include "upstream/limits.h"
#include "upstream/worker_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PICKS 4000

static struct worker *worker;

static int setup(void **state)
{
    (void)state;
    worker = worker_create(0);
    return worker && worker_clusters_init(worker) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    worker_clusters_fini(worker);
    worker_destroy(&worker);
    return 0;
}

static void put(struct cluster_config *config,
                struct host_set *(*hosts)(struct cluster *c, const char *health), const char *health)
{
    struct build_errors errors = {0};
    assert_true(cluster_config_finish(config, &errors));
    struct cluster *c = cluster_create(config, 1);
    struct host_set *set = hosts(c, health);
    assert_true(worker_clusters_put(worker, c, set));
    host_set_unref(&set);
    cluster_unref(&c);
    const struct cluster_config *drop = config;
    cluster_config_unref(&drop);
}

static struct cluster_config *named(const char *name, enum cluster_type type)
{
    struct cluster_config *config = cluster_config_create();
    assert_non_null(config);
    config->name = arena_dup(&config->arena, slice_str(name));
    config->type = type;
    return config;
}

/* "+-/d": priority 0 has a healthy and an unhealthy host, priority 1 a degraded one. Ports count from 1. */
static struct host_set *hosts_of(struct cluster *c, const char *health)
{
    struct host *hosts[512];
    uint32_t count = 0, priority = 0;
    for (const char *p = health; *p; p++) {
        struct address a;
        struct endpoint_config e;
        struct locality_config l = {.priority = priority};
        if (*p == '/') {
            priority++;
            continue;
        }
        endpoint_config_init(&e);
        e.health = *p == '-' ? ENDPOINT_UNHEALTHY : *p == 'd' ? ENDPOINT_DEGRADED : ENDPOINT_UNKNOWN;
        assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), (uint16_t)(count + 1), &a));
        hosts[count] = host_create(&a, &e, &l, c->config->name, 1);
        assert_non_null(hosts[count++]);
    }
    struct host_set *set = cluster_replace_hosts(c, hosts, count);
    return set ? set : cluster_hosts(c);
}

static void member(const char *name, const char *health)
{
    put(named(name, CLUSTER_STATIC), hosts_of, health);
}

static void aggregate_with(struct cluster_config *config, const char *const *members)
{
    uint32_t count = 0;
    while (members[count])
        count++;
    config->aggregate.members = ARENA_NEW_N(&config->arena, struct aggregate_member, count);
    config->aggregate.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct slice text = arena_dup(&config->arena, slice_str(members[i]));
        config->aggregate.members[i] = (struct aggregate_member){text, slice_hash(text)};
    }
    put(config, hosts_of, "");
}

#define AGGREGATE(name, ...)                                                                                 \
    aggregate_with(named(name, CLUSTER_AGGREGATE), (const char *const[]){__VA_ARGS__, NULL})

static struct worker_cluster *find(const char *name)
{
    struct worker_cluster *wc = worker_cluster_find(worker, slice_str(name), slice_hash(slice_str(name)));
    assert_non_null(wc);
    return wc;
}

/* Percent of picks whose host is of the cluster and has the port (0: any). */
static unsigned share(const char *aggregate, const struct lb_request *rq, const char *of, unsigned port)
{
    unsigned hits = 0;
    struct worker_cluster *wc = find(aggregate);
    for (int i = 0; i < PICKS; i++) {
        struct host *h = worker_cluster_pick_for(wc, rq);
        if (!h)
            continue;
        struct worker_cluster *owner = worker_cluster_of_pick(wc);
        assert_true(slice_eq(owner->cluster->config->name, slice_str(h->hostname)));
        hits += owner == find(of) && (port == 0 || address_port(&h->address) == port);
    }
    return (hits * 100 + PICKS / 2) / PICKS;
}

static bool nobody(const char *aggregate)
{
    return worker_cluster_pick_for(find(aggregate), NULL) == NULL;
}

#define ABOUT(value, wanted) assert_in_range(value, (wanted)-4, (wanted) + 4)

static void the_first_that_can(void **state)
{
    (void)state;
    member("a", "++");
    member("b", "+");
    AGGREGATE("of", "a", "b");
    assert_true(worker_cluster_provided(find("of")));
    assert_int_equal(share("of", NULL, "a", 0), 100);
    assert_null(worker_cluster_pick(find("of"))); /* it needs the other way */
    AGGREGATE("of", "b", "a");
    assert_int_equal(share("of", NULL, "b", 0), 100);
}

static void load_spills_over(void **state)
{
    (void)state;
    member("a", "+-/+---"); /* bears 70, then 35 */
    member("b", "++");
    AGGREGATE("of", "a", "b");
    ABOUT(share("of", NULL, "a", 1), 70);
    ABOUT(share("of", NULL, "a", 3), 30);
    assert_int_equal(share("of", NULL, "b", 0), 0);
    member("a", "+---"); /* 35, which by itself is so little that it panics: all four get some */
    ABOUT(share("of", NULL, "a", 0), 35);
    ABOUT(share("of", NULL, "a", 2), 9);
    ABOUT(share("of", NULL, "b", 0), 65);
}

static void degraded_hosts_come_last(void **state)
{
    (void)state;
    member("a", "d/+-");
    member("b", "+--");
    AGGREGATE("of", "a", "b");
    ABOUT(share("of", NULL, "a", 2), 70);
    ABOUT(share("of", NULL, "b", 0), 30);
    member("b", "--");
    ABOUT(share("of", NULL, "a", 2), 70);
    ABOUT(share("of", NULL, "a", 1), 30);
}

static void each_panics_for_itself(void **state)
{
    (void)state;
    member("a", "--");
    member("empty", "");
    AGGREGATE("of", "a", "empty");
    ABOUT(share("of", NULL, "a", 1), 50); /* as many as nobody can bear: by their number */
    struct cluster_config *never = named("calm", CLUSTER_STATIC);
    never->healthy_panic_threshold = 0;
    put(never, hosts_of, "--");
    AGGREGATE("of", "calm");
    assert_true(nobody("of"));
}

static void members_come_and_go(void **state)
{
    (void)state;
    AGGREGATE("of", "a", "b", "a");
    assert_true(nobody("of"));
    member("b", "+");
    assert_int_equal(share("of", NULL, "b", 0), 100);
    member("a", "+");
    assert_int_equal(share("of", NULL, "a", 0), 100);
    worker_clusters_remove(worker, SLICE_LIT("a"));
    assert_int_equal(share("of", NULL, "b", 0), 100);
    /* An update of hosts, as the manager tells it. */
    struct worker_cluster *b = find("b");
    struct cluster *cluster = cluster_ref(b->cluster);
    struct host_set *set = hosts_of(cluster, "+/+"), *none = hosts_of(cluster, "");
    worker_clusters_update(worker, cluster, none);
    assert_true(nobody("of"));
    worker_clusters_update(worker, cluster, set);
    assert_false(nobody("of"));
    host_set_unref(&set);
    host_set_unref(&none);
    cluster_unref(&cluster);
    worker_clusters_remove(worker, SLICE_LIT("b"));
    assert_true(nobody("of"));
}

static void one_that_has_left_picks_nobody(void **state)
{
    (void)state;
    member("a", "+");
    AGGREGATE("of", "a");
    struct worker_cluster *kept = worker_cluster_ref(find("of"));
    assert_non_null(worker_cluster_pick_for(kept, NULL));
    worker_clusters_remove(worker, SLICE_LIT("of"));
    worker_clusters_remove(worker, SLICE_LIT("a"));
    assert_null(worker_cluster_pick_for(kept, NULL));
    worker_cluster_unref(&kept);
}

static void aggregates_within_aggregates(void **state)
{
    (void)state;
    member("a", "--");
    member("b", "+-");
    member("c", "+");
    AGGREGATE("inner", "a", "b");
    AGGREGATE("outer", "inner", "c");
    ABOUT(share("outer", NULL, "b", 1), 70);
    ABOUT(share("outer", NULL, "c", 0), 30);
}

static void circles_end(void **state)
{
    (void)state;
    member("a", "+");
    AGGREGATE("self", "self");
    assert_true(nobody("self"));
    AGGREGATE("x", "y");
    AGGREGATE("y", "x", "a");
    assert_int_equal(share("x", NULL, "a", 0), 100);
    assert_int_equal(share("y", NULL, "a", 0), 100);
    AGGREGATE("self", "self", "a");
    assert_int_equal(share("self", NULL, "a", 0), 100);
}

/* Each holds the next one twice: 2^30 ways that lead nowhere. */
static void many_ways_end(void **state)
{
    (void)state;
    char name[16], next[16];
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        snprintf(next, sizeof(next), "n%u", i + 1);
        AGGREGATE(name, next, next);
    }
    assert_true(nobody("n0"));
}

static void more_priorities_than_there_are(void **state)
{
    (void)state;
    char health[HOST_PRIORITIES_MAX * 2 + 1];
    for (unsigned i = 0; i < HOST_PRIORITIES_MAX; i++)
        memcpy(health + (size_t)i * 2, "-/", 3);
    health[HOST_PRIORITIES_MAX * 2 - 1] = '\0';
    member("wide", health);
    member("late", "+");
    AGGREGATE("of", "wide", "late");
    assert_int_equal(share("of", NULL, "wide", 0), 100); /* the late one is beyond the last number */
    AGGREGATE("of", "late", "wide");
    assert_int_equal(share("of", NULL, "late", 0), 100);
}

static bool refuse_first_port(void *arg, const struct host *h)
{
    ++*(unsigned *)arg;
    return address_port(&h->address) == 1;
}

static void hosts_are_refused_within_a_priority(void **state)
{
    (void)state;
    unsigned asked = 0;
    member("a", "++");
    member("b", "+");
    AGGREGATE("of", "a", "b");
    const struct lb_request rq = {.refuse = refuse_first_port, .arg = &asked, .attempts = 20};
    assert_int_equal(share("of", &rq, "a", 2), 100);
    assert_true(asked > PICKS);
}

static const struct host_shares *not_the_first(void *arg, const struct host_set *hosts)
{
    static struct host_shares shares;
    const bool without[HOST_PRIORITIES_MAX] = {true};
    (void)arg;
    assert_int_equal(hosts->levels_count, 3);
    return host_set_share_without(hosts, without, &shares) ? &shares : NULL;
}

static void priorities_of_all_are_numbered_through(void **state)
{
    (void)state;
    member("a", "+//"); /* the empty ones do not count */
    member("b", "--/+");
    AGGREGATE("of", "a", "b");
    const struct lb_request rq = {.shares = not_the_first};
    struct host *h = worker_cluster_pick_for(find("of"), &rq);
    assert_int_equal(address_port(&h->address), 3);
    assert_int_equal(h->priority, 1);
    assert_int_equal(worker_cluster_priority_of_pick(find("of"), h), 2);
    assert_ptr_equal(worker_cluster_of_pick(find("of")), find("b"));
    assert_int_equal(share("of", &rq, "b", 3), 100);
    assert_int_equal(share("of", NULL, "a", 0), 100); /* what one request says does not stay */
    /* Without an aggregate it is the host's own. */
    h = worker_cluster_pick_for(find("b"), NULL);
    assert_int_equal(worker_cluster_priority_of_pick(find("b"), h), h->priority);
    assert_ptr_equal(worker_cluster_of_pick(find("b")), find("b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_that_can, setup, teardown),
        cmocka_unit_test_setup_teardown(load_spills_over, setup, teardown),
        cmocka_unit_test_setup_teardown(degraded_hosts_come_last, setup, teardown),
        cmocka_unit_test_setup_teardown(each_panics_for_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(members_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_has_left_picks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(aggregates_within_aggregates, setup, teardown),
        cmocka_unit_test_setup_teardown(circles_end, setup, teardown),
        cmocka_unit_test_setup_teardown(many_ways_end, setup, teardown),
        cmocka_unit_test_setup_teardown(more_priorities_than_there_are, setup, teardown),
        cmocka_unit_test_setup_teardown(hosts_are_refused_within_a_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(priorities_of_all_are_numbered_through, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
