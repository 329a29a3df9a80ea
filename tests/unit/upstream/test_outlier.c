/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlier detection: what workers count and what the main thread decides, on a loop whose clock the test
 * turns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/loop.h"
#include "upstream/outlier_detector.h"

#include <stdio.h>
#include <stdlib.h>

#define HOSTS 10

struct bench {
    struct loop loop;
    struct outlier_config config;
    struct outlier_detector *detector;
    struct host *hosts[HOSTS];
    unsigned changes;
    uint64_t drawn; /* what random gives, below its bound */
    const char *name;
};

static struct bench b;

static uint64_t draw(void *arg, uint64_t bound)
{
    (void)arg;
    return b.drawn < bound ? b.drawn : bound - 1;
}

static void changed(void *arg, struct host *h)
{
    (void)arg;
    (void)h;
    b.changes++;
}

/* The name keeps the statistics of one test from another's. */
static void setup(const char *name)
{
    memset(&b, 0, sizeof(b));
    assert_int_equal(loop_init(&b.loop), 0);
    outlier_config_defaults(&b.config);
    b.config.max_ejection_percent = 100;
    b.name = name;
}

static void start(uint32_t count)
{
    const struct outlier_settings settings = {
        .loop = &b.loop,
        .config = &b.config,
        .cluster_name = slice_str(b.name),
        .stat_name = slice_str(b.name),
        .random = draw,
        .changed = changed,
    };
    b.detector = outlier_detector_create(&settings);
    assert_non_null(b.detector);
    for (uint32_t i = 0; i < count; i++) {
        struct address a;
        struct endpoint_config e;
        const struct locality_config l = {0};
        endpoint_config_init(&e);
        assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), (uint16_t)(i + 1), &a));
        b.hosts[i] = host_create(&a, &e, &l, SLICE_EMPTY, 2);
        assert_non_null(b.hosts[i]);
        assert_true(outlier_detector_watch(b.detector, b.hosts[i]));
    }
    outlier_detector_update(b.detector, b.hosts, count);
}

static void stop(void)
{
    outlier_detector_destroy(&b.detector);
    for (uint32_t i = 0; i < HOSTS; i++) {
        if (b.hosts[i])
            host_unref(&b.hosts[i]);
    }
    loop_fini(&b.loop);
}

/* What workers posted runs. libuv has its own idea of the time: what happens is set to the test's. */
static void turn(void)
{
    uint64_t now = b.loop.now_ms, before[HOSTS] = {0};
    for (uint32_t i = 0; i < HOSTS && b.hosts[i]; i++)
        before[i] = b.hosts[i]->outlier->ejections;
    for (int i = 0; i < 3; i++)
        uv_run(&b.loop.uv, UV_RUN_NOWAIT);
    b.loop.now_ms = now;
    for (uint32_t i = 0; i < HOSTS && b.hosts[i]; i++) {
        if (b.hosts[i]->outlier->ejections != before[i])
            b.hosts[i]->outlier->ejected_ms = now;
    }
}

static void pass(uint64_t ms)
{
    b.loop.now_ms += ms;
    timer_wheel_advance(&b.loop, b.loop.now_ms);
}

static bool ejected(unsigned host)
{
    return host_health_flags(b.hosts[host]) & HOST_FAILED_OUTLIER_CHECK;
}

static void answers(unsigned host, unsigned status, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        outlier_status(b.hosts[host], i % 2, status);
    turn();
}

static uint64_t stat_of(const char *name)
{
    return strcmp(name, "ejections_active") == 0
               ? stat_value(stat_gauge("cluster.%s.outlier_detection.%s", b.name, name))
               : stat_value(stat_counter("cluster.%s.outlier_detection.%s", b.name, name));
}

static void nothing_without_it(void **state)
{
    (void)state;
    struct address a;
    struct endpoint_config e;
    const struct locality_config l = {0};
    endpoint_config_init(&e);
    assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), 1, &a));
    struct host *h = host_create(&a, &e, &l, SLICE_EMPTY, 1);
    for (int i = 0; i < 10; i++) {
        outlier_status(h, 0, 500);
        outlier_event(h, 0, OUTLIER_CONNECT_FAILED);
    }
    assert_int_equal(host_health_flags(h), 0);
    host_unref(&h);
}

static void five_in_a_row(void **state)
{
    (void)state;
    setup("five");
    start(3);
    answers(0, 500, 4);
    answers(0, 200, 1);
    answers(0, 500, 4);
    assert_false(ejected(0));
    answers(0, 503, 1);
    assert_true(ejected(0));
    assert_false(ejected(1));
    assert_int_equal(b.changes, 1);
    assert_int_equal(stat_of("ejections_active"), 1);
    assert_int_equal(stat_of("ejections_enforced_consecutive_5xx"), 1);
    assert_int_equal(stat_of("ejections_enforced_total"), 1);
    answers(0, 500, 20); /* it is out already */
    assert_int_equal(stat_of("ejections_detected_consecutive_5xx"), 1);
    pass(29999);
    assert_true(ejected(0));
    pass(10001); /* at the interval after 30 s */
    assert_false(ejected(0));
    assert_int_equal(stat_of("ejections_active"), 0);
    answers(0, 500, 5); /* longer each time */
    assert_true(ejected(0));
    pass(50000);
    assert_true(ejected(0));
    pass(20000);
    assert_false(ejected(0));
    stop();
}

static void ejections_get_shorter_again(void **state)
{
    (void)state;
    setup("shorter");
    start(2);
    answers(0, 500, 5);
    pass(40000);
    assert_false(ejected(0));
    pass(10000); /* a quiet interval */
    answers(0, 500, 5);
    assert_true(ejected(0));
    pass(40000);
    assert_false(ejected(0));
    stop();
}

static void never_longer_than_the_maximum(void **state)
{
    (void)state;
    setup("maximum");
    b.config.max_ejection_ms = 40000;
    b.config.max_ejection_jitter_ms = 5000;
    b.drawn = 5000;
    start(1);
    for (int i = 0; i < 4; i++) {
        b.drawn = 0;
        answers(0, 500, 5);
        assert_true(ejected(0));
        pass(i == 0 ? 40000 : 50000);
        assert_false(ejected(0));
    }
    stop();
}

static void gateway_failures_are_not_enforced(void **state)
{
    (void)state;
    setup("gateway");
    b.config.consecutive_5xx = 100;
    start(2);
    answers(0, 502, 3);
    answers(0, 500, 1); /* no gateway's failure: begins anew */
    answers(0, 504, 4);
    assert_int_equal(stat_of("ejections_detected_consecutive_gateway_failure"), 0);
    answers(0, 503, 1);
    assert_int_equal(stat_of("ejections_detected_consecutive_gateway_failure"), 1);
    assert_false(ejected(0));
    stop();
}

static void no_more_than_the_percentage(void **state)
{
    (void)state;
    setup("percentage");
    b.config.max_ejection_percent = 30;
    start(10);
    for (unsigned i = 0; i < 5; i++)
        answers(i, 500, 5);
    assert_true(ejected(0) && ejected(1) && ejected(2));
    assert_false(ejected(3) || ejected(4));
    assert_int_equal(stat_of("ejections_overflow"), 2);
    outlier_detector_update(b.detector, b.hosts + 1, 9); /* an ejected one leaves */
    assert_int_equal(stat_of("ejections_active"), 2);
    answers(0, 500, 5); /* nobody's any more */
    answers(3, 500, 5);
    assert_false(ejected(3)); /* three of nine are more than 30 % */
    stop();
}

static void always_one(void **state)
{
    (void)state;
    setup("one");
    b.config.max_ejection_percent = 10;
    start(3);
    answers(0, 500, 5);
    assert_false(ejected(0));
    stop();
    setup("always");
    b.config.max_ejection_percent = 10;
    b.config.always_eject_one = true;
    start(3);
    answers(0, 500, 5);
    answers(1, 500, 5);
    assert_true(ejected(0));
    assert_false(ejected(1));
    stop();
}

static void connecting_counts_as_an_answer(void **state)
{
    (void)state;
    setup("connecting");
    start(2);
    for (int i = 0; i < 5; i++) {
        outlier_event(b.hosts[0], 0, OUTLIER_CONNECTED); /* says nothing yet */
        outlier_event(b.hosts[0], 0, i % 2 ? OUTLIER_CONNECT_FAILED : OUTLIER_TIMED_OUT);
    }
    turn();
    assert_true(ejected(0));
    for (int i = 0; i < 4; i++)
        outlier_event(b.hosts[1], 0, OUTLIER_CONNECT_FAILED);
    outlier_event(b.hosts[1], 0, OUTLIER_CONNECTED_FINAL);
    outlier_event(b.hosts[1], 0, OUTLIER_CONNECT_FAILED);
    turn();
    assert_false(ejected(1));
    stop();
}

static void local_errors_apart(void **state)
{
    (void)state;
    setup("split");
    b.config.split_local = true;
    b.config.consecutive_local = 3;
    start(2);
    for (int i = 0; i < 2; i++)
        outlier_event(b.hosts[0], 0, OUTLIER_CONNECT_FAILED);
    answers(0, 500, 4); /* another count */
    turn();
    assert_false(ejected(0));
    outlier_event(b.hosts[0], 1, OUTLIER_TIMED_OUT);
    turn();
    assert_true(ejected(0));
    assert_int_equal(stat_of("ejections_enforced_consecutive_local_origin_failure"), 1);
    stop();
}

static void threshold_of_rates(void **state)
{
    (void)state;
    static const double rates[] = {50, 100, 100, 100, 100};
    double mean;
    double threshold = outlier_threshold(rates, 5, 1.9, &mean);
    assert_true(mean > 89.999 && mean < 90.001);
    assert_true(threshold > 51.999 && threshold < 52.001);
    assert_true(outlier_threshold(rates + 1, 4, 1.9, &mean) > 99.999);
}

static void success_rates(void **state)
{
    (void)state;
    setup("rates");
    b.config.consecutive_5xx = 1000;
    start(5);
    for (unsigned i = 0; i < 5; i++) {
        answers(i, 200, i == 0 ? 50 : 100);
        answers(i, 500, i == 0 ? 50 : 0);
    }
    pass(10000);
    assert_true(ejected(0));
    assert_int_equal(b.changes, 1);
    assert_int_equal(stat_of("ejections_enforced_success_rate"), 1);
    assert_true(atomic_load(&b.hosts[0]->outlier->success_rate[OUTLIER_EXTERNAL]) > 49.9);
    pass(10000); /* nothing came in this interval: no rates */
    assert_true(atomic_load(&b.hosts[1]->outlier->success_rate[OUTLIER_EXTERNAL]) < 0);
    stop();
    /* One request too few at one host, and only four hosts have a rate. */
    setup("few");
    b.config.consecutive_5xx = 1000;
    start(5);
    for (unsigned i = 0; i < 5; i++) {
        answers(i, 200, i == 0 ? 50 : i == 4 ? 99 : 100);
        answers(i, 500, i == 0 ? 50 : 0);
    }
    pass(10000);
    assert_false(ejected(0));
    stop();
}

static void failure_percentages(void **state)
{
    (void)state;
    setup("percent");
    b.config.consecutive_5xx = 1000;
    b.config.enforcing[OUTLIER_FAILURE_PERCENTAGE] = 100;
    b.config.enforcing[OUTLIER_SUCCESS_RATE] = 0;
    start(5);
    for (unsigned i = 0; i < 5; i++) {
        answers(i, 500, i == 0 ? 43 : 42);
        answers(i, 200, i == 0 ? 7 : 8);
    }
    pass(10000);
    assert_true(ejected(0)); /* 86 % of 50 */
    assert_false(ejected(1));
    assert_int_equal(stat_of("ejections_enforced_failure_percentage"), 1);
    stop();
}

static void a_passed_check_takes_back(void **state)
{
    (void)state;
    setup("check");
    start(2);
    answers(0, 500, 5);
    outlier_detector_healthy(b.detector, b.hosts[0]);
    assert_false(ejected(0));
    answers(0, 500, 4); /* counts anew */
    assert_false(ejected(0));
    stop();
    setup("check-off");
    b.config.uneject_on_health = false;
    start(2);
    answers(0, 500, 5);
    outlier_detector_healthy(b.detector, b.hosts[0]);
    assert_true(ejected(0));
    stop();
}

/* A worker tells of a host whose detector has gone meanwhile. */
static void the_detector_goes_first(void **state)
{
    (void)state;
    setup("gone");
    start(1);
    for (int i = 0; i < 5; i++)
        outlier_status(b.hosts[0], 0, 500);
    outlier_detector_destroy(&b.detector);
    turn();
    assert_false(ejected(0));
    for (int i = 0; i < 10; i++)
        outlier_status(b.hosts[0], 0, i % 2 ? 200 : 500);
    stop();
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
        cmocka_unit_test(nothing_without_it),
        cmocka_unit_test(five_in_a_row),
        cmocka_unit_test(ejections_get_shorter_again),
        cmocka_unit_test(never_longer_than_the_maximum),
        cmocka_unit_test(gateway_failures_are_not_enforced),
        cmocka_unit_test(no_more_than_the_percentage),
        cmocka_unit_test(always_one),
        cmocka_unit_test(connecting_counts_as_an_answer),
        cmocka_unit_test(local_errors_apart),
        cmocka_unit_test(threshold_of_rates),
        cmocka_unit_test(success_rates),
        cmocka_unit_test(failure_percentages),
        cmocka_unit_test(a_passed_check_takes_back),
        cmocka_unit_test(the_detector_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, forget_stats);
}
