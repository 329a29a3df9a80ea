/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circuit breakers: limits, gauges, what remains, and the two ways to limit retries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstream/breaker.h"

#include <stdlib.h>

static struct breaker_config defaults(void)
{
    struct cluster_config *c = cluster_config_create();
    struct breaker_config b = c->breakers[BREAKER_DEFAULT];
    const struct cluster_config *drop = c;
    cluster_config_unref(&drop);
    return b;
}

static struct breakers *make(const struct breaker_config *config, const char *name)
{
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 64, sizeof(struct breakers)), 0);
    memset(memory, 0, sizeof(struct breakers));
    breakers_init(memory, config, slice_str(name), "default");
    return memory;
}

static uint64_t gauge(const char *cluster, const char *name)
{
    return stat_value(stat_shared_gauge("cluster.%s.circuit_breakers.default.%s", cluster, name));
}

static void defaults_are_envoys(void **state)
{
    (void)state;
    struct breaker_config c = defaults();
    assert_int_equal(c.max_connections, 1024);
    assert_int_equal(c.max_pending_requests, 1024);
    assert_int_equal(c.max_requests, 1024);
    assert_int_equal(c.max_retries, 3);
    assert_int_equal(c.max_connection_pools, UINT32_MAX);
    assert_int_equal(c.host_connections_max, UINT32_MAX);
    assert_false(c.retry_budget);
}

static void a_limit_opens_and_closes(void **state)
{
    (void)state;
    struct breaker_config c = defaults();
    c.max_requests = 2;
    c.track_remaining = true;
    struct breakers *b = make(&c, "two");
    assert_int_equal(gauge("two", "remaining_rq"), 2);
    assert_true(breaker_can(&b->requests));
    breaker_take(&b->requests);
    assert_int_equal(gauge("two", "remaining_rq"), 1);
    assert_int_equal(gauge("two", "rq_open"), 0);
    breaker_take(&b->requests);
    assert_false(breaker_can(&b->requests));
    assert_int_equal(gauge("two", "rq_open"), 1);
    breaker_take(&b->requests); /* one too many: two workers asked at once */
    assert_int_equal(gauge("two", "remaining_rq"), 0);
    assert_int_equal(gauge("two", "rq_open"), 1);
    breaker_give(&b->requests);
    breaker_give(&b->requests);
    assert_int_equal(gauge("two", "rq_open"), 0);
    assert_int_equal(gauge("two", "remaining_rq"), 1);
    breaker_give(&b->requests);
    free(b);
}

static void a_limit_of_nothing_is_open(void **state)
{
    (void)state;
    struct breaker_config c = defaults();
    c.max_connections = c.max_retries = 0;
    struct breakers *b = make(&c, "none");
    assert_false(breaker_can(&b->connections));
    assert_int_equal(gauge("none", "cx_open"), 1);
    assert_false(breaker_retry_try(b));
    assert_int_equal(gauge("none", "rq_retry_open"), 1);
    assert_int_equal(b->connections.remaining, 0); /* not tracked: there is none */
    free(b);
}

static void retries_by_number(void **state)
{
    (void)state;
    struct breaker_config c = defaults();
    c.track_remaining = true;
    struct breakers *b = make(&c, "number");
    for (int i = 0; i < 3; i++)
        assert_true(breaker_retry_try(b));
    assert_int_equal(gauge("number", "rq_retry_open"), 1);
    assert_int_equal(gauge("number", "remaining_retries"), 0);
    assert_false(breaker_retry_try(b));
    breaker_retry_give(b);
    assert_int_equal(gauge("number", "rq_retry_open"), 0);
    assert_true(breaker_retry_try(b));
    for (int i = 0; i < 3; i++)
        breaker_retry_give(b);
    free(b);
}

/* As many as the share of what waits or runs, and never fewer than the minimum. */
static void retries_by_budget(void **state)
{
    (void)state;
    struct breaker_config c = defaults();
    c.retry_budget = true;
    c.max_retries = 0;
    struct breakers *b = make(&c, "budget");
    for (int i = 0; i < 3; i++)
        assert_true(breaker_retry_try(b));
    assert_false(breaker_retry_try(b));
    assert_int_equal(gauge("budget", "rq_retry_open"), 1);
    for (int i = 0; i < 15; i++)
        breaker_take(&b->requests);
    for (int i = 0; i < 9; i++)
        breaker_take(&b->pending);
    assert_true(breaker_retry_try(b)); /* 20 % of 24 are 4 */
    assert_false(breaker_retry_try(b));
    breaker_take(&b->pending); /* of 25: 5 */
    assert_true(breaker_retry_try(b));
    assert_false(breaker_retry_try(b));
    breaker_retry_give(b);
    assert_int_equal(gauge("budget", "rq_retry_open"), 0);
    for (int i = 0; i < 15; i++)
        breaker_give(&b->requests);
    for (int i = 0; i < 10; i++)
        breaker_give(&b->pending);
    for (int i = 0; i < 4; i++)
        breaker_retry_give(b);
    assert_int_equal(gauge("budget", "rq_retry_open"), 0);
    free(b);
}

static int forget_stats(void **state)
{
    (void)state;
    stats_fini();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_envoys),        cmocka_unit_test(a_limit_opens_and_closes),
        cmocka_unit_test(a_limit_of_nothing_is_open), cmocka_unit_test(retries_by_number),
        cmocka_unit_test(retries_by_budget),
    };
    return cmocka_run_group_tests(tests, NULL, forget_stats);
}
