/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics: registration, sharded counting from several threads, histograms, reset.
 */
#include "base/assert.h"
#include "base/strbuf.h"
#include "telemetry/stats.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int fini(void **state)
{
    (void)state;
    stats_fini();
    return 0;
}

static void same_name_is_the_same_stat(void **state)
{
    (void)state;
    stat_id a = stat_counter("cluster.%s.upstream_rq_total", "x");
    assert_int_not_equal(a, 0);
    assert_int_equal(a, stat_counter("cluster.x.upstream_rq_total"));
    assert_int_not_equal(a, stat_counter("cluster.y.upstream_rq_total"));
    /* Another type under the same name is refused, and counting on the refusal is harmless. */
    stat_id refused = stat_gauge("cluster.x.upstream_rq_total");
    assert_int_equal(refused, 0);
    stat_inc(refused);
    stat_record(refused, 1);
    assert_int_equal(stat_value(a), 0);
}

static void gauges_go_both_ways(void **state)
{
    (void)state;
    stat_id g = stat_gauge("http.in.downstream_rq_active");
    stat_inc(g);
    stat_inc(g);
    stat_dec(g);
    assert_int_equal(stat_value(g), 1);
    stat_id s = stat_shared_gauge("wasm.vm_count");
    stat_set(s, 7);
    stat_shared_add(s, -3);
    assert_int_equal(stat_value(s), 4);
}

#define THREADS 4
#define ROUNDS  20000

static void *count_up(void *arg)
{
    stat_id *ids = arg;
    for (int i = 0; i < ROUNDS; i++) {
        stat_inc(ids[0]);
        stat_record(ids[1], (uint64_t)i % 3000);
    }
    return NULL;
}

static void threads_do_not_lose_counts(void **state)
{
    (void)state;
    stat_id ids[2] = {stat_counter("c"), stat_histogram("h")};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, ids), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(stat_value(ids[0]), THREADS * ROUNDS);
    assert_int_equal(stat_value(ids[1]), THREADS * ROUNDS);
}

static void keep_last(void *arg, const struct stat_view *view)
{
    struct stat_view *out = arg;
    if (view->type == STAT_HISTOGRAM)
        *out = *view;
}

static void histogram_bounds_are_inclusive(void **state)
{
    (void)state;
    stat_id h = stat_histogram("latency");
    stat_record(h, 0);
    stat_record(h, 1);
    stat_record(h, 5);
    stat_record(h, 6);
    stat_record(h, 3600000);
    stat_record(h, 3600001);
    struct stat_view view = {0};
    stats_for_each(keep_last, &view);
    assert_int_equal(view.count, 6);
    assert_int_equal(view.sum, 0 + 1 + 5 + 6 + 3600000 + 3600001);
    assert_int_equal(view.buckets[0], 1);
    assert_int_equal(view.buckets[1], 1);
    assert_int_equal(view.buckets[2], 1);
    assert_int_equal(view.buckets[3], 1);
    assert_int_equal(view.buckets[STAT_HISTOGRAM_BUCKETS - 2], 1);
    assert_int_equal(view.buckets[STAT_HISTOGRAM_BUCKETS - 1], 1);
}

static void collect_names(void *arg, const struct stat_view *view)
{
    strbuf_append(arg, view->name);
    strbuf_append_char(arg, ' ');
}

static void listing_is_sorted_and_reset_spares_gauges(void **state)
{
    (void)state;
    stat_id b = stat_counter("b");
    stat_id a = stat_gauge("a");
    stat_counter("a.b");
    stat_add(b, 5);
    stat_add(a, 2);
    stats_reset_counters();
    assert_int_equal(stat_value(b), 0);
    assert_int_equal(stat_value(a), 2);
    stat_inc(b);
    assert_int_equal(stat_value(b), 1);
    struct strbuf names;
    strbuf_init(&names, 1000);
    stats_for_each(collect_names, &names);
    assert_string_equal(strbuf_cstr(&names), "a a.b b ");
    strbuf_fini(&names);
}

static void many_stats_cross_pages(void **state)
{
    (void)state;
    stat_id ids[3000];
    for (size_t i = 0; i < 3000; i++) {
        ids[i] = i % 10 ? stat_counter("s.%zu", i) : stat_histogram("s.%zu", i);
        assert_int_not_equal(ids[i], 0);
    }
    for (size_t i = 0; i < 3000; i++) {
        if (i % 10)
            stat_add(ids[i], i);
        else
            stat_record(ids[i], i);
    }
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(stat_value(ids[i]), i % 10 ? i : 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(same_name_is_the_same_stat, fini),
        cmocka_unit_test_teardown(gauges_go_both_ways, fini),
        cmocka_unit_test_teardown(threads_do_not_lose_counts, fini),
        cmocka_unit_test_teardown(histogram_bounds_are_inclusive, fini),
        cmocka_unit_test_teardown(listing_is_sorted_and_reset_spares_gauges, fini),
        cmocka_unit_test_teardown(many_stats_cross_pages, fini),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
