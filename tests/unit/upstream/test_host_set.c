/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host sets: health flags and what they mean, the division into priorities, shares of the load. The numbers
 * are those of Envoy's documentation on overprovisioning, spill-over and panic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "upstream/host_set.h"

#include <string.h>

#define HOSTS_MAX 1024

static struct cluster_config *config;

static int setup(void **state)
{
    (void)state;
    config = cluster_config_create();
    return config ? 0 : -1;
}

static int teardown(void **state)
{
    const struct cluster_config *drop = config;
    (void)state;
    cluster_config_unref(&drop);
    return 0;
}

static struct host *make_host(uint32_t number, uint32_t priority, enum endpoint_health health,
                              uint32_t weight)
{
    struct address a;
    struct endpoint_config e;
    struct locality_config l = {.priority = priority};
    endpoint_config_init(&e);
    e.weight = weight;
    e.health = health;
    assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), (uint16_t)(number + 1), &a));
    struct host *h = host_create(&a, &e, &l, SLICE_EMPTY, 1);
    assert_non_null(h);
    return h;
}

/* How many hosts of each priority are healthy and degraded, of 100. */
struct mix {
    uint32_t healthy;
    uint32_t degraded;
};

static struct host_set *make_set(const struct mix *mixes, uint32_t levels)
{
    struct host *hosts[HOSTS_MAX];
    uint32_t count = 0;
    for (uint32_t p = 0; p < levels; p++) {
        for (uint32_t i = 0; i < 100; i++, count++) {
            enum endpoint_health health = i < mixes[p].healthy                       ? ENDPOINT_HEALTHY
                                          : i < mixes[p].healthy + mixes[p].degraded ? ENDPOINT_DEGRADED
                                                                                     : ENDPOINT_UNHEALTHY;
            hosts[count] = make_host(count, p, health, 1);
        }
    }
    struct host_set *set = host_set_create(hosts, count, config, 1);
    assert_non_null(set);
    return set;
}

static void assert_loads(const struct mix *mixes, uint32_t levels, const struct mix *loads, const bool *panic)
{
    struct host_set *set = make_set(mixes, levels);
    assert_int_equal(set->levels_count, levels);
    for (uint32_t i = 0; i < levels; i++) {
        assert_int_equal(set->levels[i].healthy_load, loads[i].healthy);
        assert_int_equal(set->levels[i].degraded_load, loads[i].degraded);
        assert_int_equal(set->levels[i].panic, panic[i]);
    }
    host_set_unref(&set);
}

#define LOADS(n, ...)                                                                                        \
    do {                                                                                                     \
        static const struct {                                                                                \
            struct mix mix[n];                                                                               \
            struct mix load[n];                                                                              \
            bool panic[n];                                                                                   \
        } c = __VA_ARGS__;                                                                                   \
        assert_loads(c.mix, n, c.load, c.panic);                                                             \
    } while (0)

static void healthy_hosts_take_their_share(void **state)
{
    (void)state;
    LOADS(2, {{{100, 0}, {100, 0}}, {{100, 0}, {0, 0}}, {false, false}});
    LOADS(2, {{{72, 0}, {72, 0}}, {{100, 0}, {0, 0}}, {false, false}});
    LOADS(2, {{{71, 0}, {71, 0}}, {{99, 0}, {1, 0}}, {false, false}});
    LOADS(2, {{{50, 0}, {50, 0}}, {{70, 0}, {30, 0}}, {false, false}});
    LOADS(2, {{{25, 0}, {100, 0}}, {{35, 0}, {65, 0}}, {false, false}});
    LOADS(2, {{{0, 0}, {100, 0}}, {{0, 0}, {100, 0}}, {false, false}});
    LOADS(3, {{{25, 0}, {25, 0}, {100, 0}}, {{35, 0}, {35, 0}, {30, 0}}, {false, false, false}});
}

/* Together they cannot bear everything: shares grow, and those with too few healthy hosts panic. */
static void too_few_are_normalised(void **state)
{
    (void)state;
    LOADS(2, {{{25, 0}, {25, 0}}, {{50, 0}, {50, 0}}, {true, true}});
    LOADS(2, {{{5, 0}, {55, 0}}, {{9, 0}, {91, 0}}, {true, false}});
    LOADS(3, {{{0, 0}, {0, 0}, {60, 0}}, {{0, 0}, {0, 0}, {100, 0}}, {true, true, false}});
}

/* Nobody is healthy: by the number of hosts. */
static void total_panic(void **state)
{
    (void)state;
    LOADS(2, {{{0, 0}, {0, 0}}, {{50, 0}, {50, 0}}, {true, true}});
    LOADS(3, {{{0, 0}, {0, 0}, {0, 0}}, {{34, 0}, {33, 0}, {33, 0}}, {true, true, true}});
    config->healthy_panic_threshold = 0;
    LOADS(2, {{{0, 0}, {0, 0}}, {{100, 0}, {0, 0}}, {false, false}});
}

static void degraded_hosts_come_last(void **state)
{
    (void)state;
    LOADS(2, {{{50, 50}, {0, 0}}, {{70, 30}, {0, 0}}, {false, false}});
    LOADS(2, {{{0, 100}, {100, 0}}, {{0, 0}, {100, 0}}, {false, false}});
    LOADS(2, {{{0, 100}, {0, 0}}, {{0, 100}, {0, 0}}, {false, false}});
    LOADS(2, {{{20, 40}, {20, 0}}, {{28, 44}, {28, 0}}, {false, false}});
}

static void factor_is_configurable(void **state)
{
    (void)state;
    config->overprovisioning_factor = 100;
    LOADS(2, {{{99, 0}, {100, 0}}, {{99, 0}, {1, 0}}, {false, false}});
    config->overprovisioning_factor = 200;
    LOADS(2, {{{50, 0}, {100, 0}}, {{100, 0}, {0, 0}}, {false, false}});
}

static void health_may_go_by_weight(void **state)
{
    struct host *hosts[] = {make_host(0, 0, ENDPOINT_HEALTHY, 9), make_host(1, 0, ENDPOINT_UNHEALTHY, 1),
                            make_host(2, 0, ENDPOINT_UNHEALTHY, 1), make_host(3, 1, ENDPOINT_HEALTHY, 1)};
    (void)state;
    config->weighted_priority_health = true;
    struct host_set *set = host_set_create(hosts, 4, config, 1);
    assert_int_equal(set->levels[0].healthy_load, 100); /* 9 of 11; 1 of 3 would be 46 */
    host_set_unref(&set);
}

/* What is excluded is not there when health is judged. */
static void excluded_hosts_do_not_count(void **state)
{
    struct host *hosts[] = {make_host(0, 0, ENDPOINT_HEALTHY, 1), make_host(1, 0, ENDPOINT_DRAINING, 1),
                            make_host(2, 0, ENDPOINT_DRAINING, 1), make_host(3, 1, ENDPOINT_HEALTHY, 1)};
    (void)state;
    struct host_set *set = host_set_create(hosts, 4, config, 1);
    assert_int_equal(set->levels[0].excluded, 2);
    assert_int_equal(set->levels[0].healthy_load, 100);
    assert_int_equal(set->levels[0].healthy.count, 1);
    host_set_unref(&set);
}

static void priorities_may_have_gaps(void **state)
{
    struct host *hosts[] = {make_host(0, 3, ENDPOINT_HEALTHY, 1), make_host(1, 1, ENDPOINT_HEALTHY, 2)};
    (void)state;
    struct host_set *set = host_set_create(hosts, 2, config, 7);
    assert_int_equal(set->levels_count, 4);
    assert_int_equal(set->levels[1].healthy_load, 100);
    assert_int_equal(set->levels[3].healthy_load, 0);
    assert_int_equal(atomic_load(&set->hosts[0]->healthy_since_ms), 7);
    host_set_unref(&set);
}

static void flags_say_who_is_healthy(void **state)
{
    char text[HOST_HEALTH_TEXT_MAX];
    (void)state;
    struct host *h = make_host(0, 0, ENDPOINT_UNKNOWN, 1);
    assert_string_equal(host_health_text(host_health_flags(h), text), "healthy");
    assert_true(host_change_health(h, HOST_FAILED_OUTLIER_CHECK, 0, 5));
    assert_false(host_change_health(h, HOST_FAILED_ACTIVE_HC | HOST_ACTIVE_HC_TIMEOUT, 0, 5));
    assert_string_equal(host_health_text(host_health_flags(h), text),
                        "/failed_active_hc/failed_outlier_check/active_hc_timeout");
    assert_false(host_change_health(h, 0, HOST_FAILED_OUTLIER_CHECK, 6));
    assert_int_equal(atomic_load(&h->healthy_since_ms), 0);
    assert_true(host_change_health(h, HOST_DEGRADED_ACTIVE_HC, HOST_FAILED_ACTIVE_HC, 9));
    assert_int_equal(atomic_load(&h->healthy_since_ms), 9);
    assert_int_equal(host_standing_of(host_health_flags(h)), HOST_DEGRADED);
    assert_false(host_change_health(h, HOST_DEGRADED_ACTIVE_HC, 0, 9));
    assert_true(host_change_health(h, HOST_PENDING_ACTIVE_HC, 0, 9)); /* excluded from now on */
    assert_true(strlen(host_health_text(UINT32_MAX, text)) < sizeof(text));
    host_unref(&h);
}

int main(void)
{
#define SET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        SET_TEST(healthy_hosts_take_their_share),
        SET_TEST(too_few_are_normalised),
        SET_TEST(total_panic),
        SET_TEST(degraded_hosts_come_last),
        SET_TEST(factor_is_configurable),
        SET_TEST(health_may_go_by_weight),
        SET_TEST(excluded_hosts_do_not_count),
        SET_TEST(priorities_may_have_gaps),
        SET_TEST(flags_say_who_is_healthy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
