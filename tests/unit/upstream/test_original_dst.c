/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts of ORIGINAL_DST clusters: which texts name one, who has it, when it goes, and that no number of
 * destinations makes more hosts than the cap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "http/headers.h"
#include "net/worker.h"
#include "upstream/cluster.h"
#include "upstream/lb.h"
#include "upstream/limits.h"
#include "upstream/original_dst.h"
#include "upstream/worker_original.h"

#include <stdio.h>
#include <string.h>

#define INTERVAL_MS 1000

static struct cluster *cluster;
static struct worker *workers[2];
static unsigned forgotten, told;

static void changed(struct cluster *c)
{
    (void)c;
    told++;
}

static int setup(void **state)
{
    (void)state;
    struct cluster_config *config = cluster_config_create();
    static unsigned number; /* statistics are the process's */
    char name[32];
    snprintf(name, sizeof(name), "od%u", number++);
    config->name = arena_dup(&config->arena, slice_str(name));
    config->type = CLUSTER_ORIGINAL_DST;
    config->original_dst.header = SLICE_LIT("x-to");
    config->original_dst.cleanup_interval_ms = INTERVAL_MS;
    struct build_errors errors = {0};
    assert_true(cluster_config_finish(config, &errors));
    cluster = cluster_create(config, 2);
    assert_non_null(cluster);
    cluster->health_changed = changed;
    const struct cluster_config *drop = config;
    cluster_config_unref(&drop);
    for (uint32_t i = 0; i < 2; i++)
        workers[i] = worker_create(i);
    forgotten = told = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        worker_destroy(&workers[i]);
    cluster_unref(&cluster);
    return 0;
}

static void forget(void *arg, struct host *h)
{
    (void)arg;
    assert_non_null(h);
    forgotten++;
}

static void pass(uint64_t ms)
{
    for (int i = 0; i < 2; i++) {
        workers[i]->loop.now_ms += ms;
        timer_wheel_advance(&workers[i]->loop, workers[i]->loop.now_ms);
    }
}

static struct worker_original *own(unsigned worker)
{
    struct worker_original *o = worker_original_create(workers[worker], cluster, forget, NULL);
    assert_non_null(o);
    return o;
}

static struct address at(const char *ip, uint16_t port)
{
    struct address a;
    assert_true(address_parse_ip(slice_str(ip), port, &a));
    return a;
}

static struct host *pick(struct worker_original *o, const char *ip, uint16_t port)
{
    struct address a = at(ip, port);
    return worker_original_pick(o, &(struct lb_request){.destination = &a});
}

/* What the main thread shows, after what it was told. */
static uint32_t shown(void)
{
    if (atomic_load(&cluster->health_stale))
        cluster_show_made(cluster);
    struct host_set *set = cluster_hosts(cluster);
    uint32_t count = set->count;
    host_set_unref(&set);
    assert_int_equal(stat_value(cluster->stats.membership_total), count);
    return count;
}

static uint64_t overflow(void)
{
    return stat_value(
        stat_counter("cluster." SLICE_FMT ".original_dst_host_overflow", SLICE_ARG(cluster->config->name)));
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *address; /* NULL: it names none */
    } cases[] = {
        {"1.2.3.4:80", "1.2.3.4:80"},
        {"[::1]:65535", "[::1]:65535"},
        {"[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"1.2.3.4:080", "1.2.3.4:80"},
        {"", NULL},
        {":", NULL},
        {":80", NULL},
        {"[]:80", NULL},
        {"[:80", NULL},
        {"]:80", NULL},
        {"1.2.3.4", NULL},
        {"1.2.3.4:", NULL},
        {"1.2.3.4:65536", NULL},
        {"1.2.3.4:99999999999999999999", NULL},
        {"1.2.3.4:-1", NULL},
        {"1.2.3.4:80 ", NULL},
        {"1.2.3:80", NULL},
        {"::1:80", NULL},
        {"[::1]80", NULL},
        {"[::1]", NULL},
        {"[1.2.3.4]:80", NULL},
        {"localhost:80", NULL},
        {"/tmp/x:80", NULL},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct address a;
        char text[ADDRESS_TEXT_MAX];
        bool ok = original_dst_parse(slice_str(cases[i].text), &a);
        if (ok != (cases[i].address != NULL))
            fail_msg("%s", cases[i].text);
        if (ok)
            assert_string_equal(address_format(&a, text), cases[i].address);
    }
}

static void unused_bytes_do_not_count(void **state)
{
    (void)state;
    struct address a = at("1.2.3.4", 80), b = a, unix_path, out;
    memset(b.in4.sin_zero, 7, sizeof(b.in4.sin_zero));
    struct worker_original *o = own(0);
    struct host *first = worker_original_pick(o, &(struct lb_request){.destination = &a});
    assert_non_null(first);
    assert_ptr_equal(worker_original_pick(o, &(struct lb_request){.destination = &b}), first);
    assert_true(address_unix(SLICE_LIT("/x"), &unix_path));
    assert_false(original_dst_address(&unix_path, &out));
    assert_null(worker_original_pick(o, &(struct lb_request){.destination = &unix_path}));
    assert_null(worker_original_pick(o, &(struct lb_request){0}));
    assert_null(worker_original_pick(o, NULL));
    worker_original_destroy(&o);
}

static void the_header_goes_before_the_connection(void **state)
{
    (void)state;
    struct arena arena;
    struct header_map headers;
    struct worker_original *o = own(0);
    struct address a = at("1.2.3.4", 80);
    struct lb_request rq = {.destination = &a, .headers = &headers};
    arena_init(&arena, 65536, NULL);
    header_map_init(&headers, &arena, 10, 1000);
    assert_int_equal(address_port(&worker_original_pick(o, &rq)->address), 80);
    header_map_add(&headers, SLICE_LIT("x-to"), SLICE_LIT("[::1]:81"));
    assert_int_equal(address_port(&worker_original_pick(o, &rq)->address), 81);
    assert_string_equal(worker_original_pick(o, &rq)->hostname + cluster->config->name.len, "[::1]:81");
    header_map_set(&headers, SLICE_LIT("x-to"), SLICE_LIT("junk"));
    assert_int_equal(address_port(&worker_original_pick(o, &rq)->address), 80);
    assert_int_equal(stat_value(cluster->stats.original_dst_host_invalid), 1);
    worker_original_destroy(&o);
    arena_fini(&arena);
}

static void workers_share_hosts(void **state)
{
    (void)state;
    struct worker_original *a = own(0), *b = own(1);
    struct host *h = pick(a, "1.2.3.4", 80);
    assert_ptr_equal(pick(b, "1.2.3.4", 80), h);
    assert_int_equal(shown(), 1);
    pick(b, "1.2.3.4", 81);
    assert_int_equal(shown(), 2);
    worker_original_clear(b);
    assert_int_equal(shown(), 1);
    assert_ptr_equal(pick(a, "1.2.3.4", 80), h);
    worker_original_clear(a);
    assert_int_equal(shown(), 0);
    assert_int_equal(forgotten, 0);
    worker_original_destroy(&a);
    worker_original_destroy(&b);
}

static void hosts_go_when_nobody_uses_them(void **state)
{
    (void)state;
    struct worker_original *o = own(0);
    struct host *kept = pick(o, "1.2.3.4", 80);
    host_count(&kept->shards[0].cx_active, 1);
    pick(o, "1.2.3.4", 81);
    pass(INTERVAL_MS); /* picked since: they stay */
    assert_int_equal(shown(), 2);
    pass(INTERVAL_MS - 1);
    pick(o, "1.2.3.4", 82);
    assert_int_equal(shown(), 3);
    pass(1);
    assert_int_equal(shown(), 2);
    assert_int_equal(forgotten, 1);
    pass(INTERVAL_MS);
    assert_int_equal(shown(), 1);
    assert_ptr_equal(pick(o, "1.2.3.4", 80), kept);
    host_count(&kept->shards[0].cx_active, (uint64_t)0 - 1);
    pass(INTERVAL_MS);
    assert_int_equal(shown(), 1);
    pass(INTERVAL_MS);
    assert_int_equal(shown(), 0);
    unsigned before = told;
    pass(100 * INTERVAL_MS); /* nothing is left to look at */
    assert_int_equal(told, before);
    worker_original_destroy(&o);
}

static struct host *pick_number(struct worker_original *o, uint32_t n)
{
    char ip[32];
    snprintf(ip, sizeof(ip), "10.%u.%u.%u", n >> 16, (n >> 8) & 255, n & 255);
    return pick(o, ip, 80);
}

static void a_flood_of_destinations(void **state)
{
    (void)state;
    struct worker_original *a = own(0), *b = own(1);
    struct host *busy = pick(a, "1.2.3.4", 80);
    host_count(&busy->shards[0].cx_active, 1);
    for (uint32_t i = 0; i < ORIGINAL_DST_HOSTS_MAX - 1; i++)
        assert_non_null(pick_number(i & 1 ? a : b, i));
    assert_int_equal(overflow(), 0);
    for (uint32_t i = 0; i < 100; i++)
        assert_null(pick_number(a, ORIGINAL_DST_HOSTS_MAX + i));
    assert_int_equal(overflow(), 100);
    assert_int_equal(shown(), ORIGINAL_DST_HOSTS_MAX);
    assert_non_null(pick_number(a, 1)); /* those that are there go on */
    assert_ptr_equal(pick(a, "1.2.3.4", 80), busy);
    /* In the next turn what has no connection has made room, on the worker that asked for it. */
    pass(1);
    assert_int_equal(shown(), ORIGINAL_DST_HOSTS_MAX / 2 + 1);
    assert_ptr_equal(pick(a, "1.2.3.4", 80), busy);
    assert_non_null(pick_number(a, ORIGINAL_DST_HOSTS_MAX));
    /* And so again, but not at once: a flood must not make it look through all of them without end. */
    for (uint32_t i = 0; pick_number(a, ORIGINAL_DST_HOSTS_MAX + i); i++)
        assert_true(i < ORIGINAL_DST_HOSTS_MAX);
    pass(1);
    assert_int_equal(shown(), ORIGINAL_DST_HOSTS_MAX);
    pass(ORIGINAL_DST_ROOM_INTERVAL_MS);
    assert_true(shown() < ORIGINAL_DST_HOSTS_MAX);
    worker_original_destroy(&a);
    worker_original_destroy(&b);
    assert_int_equal(shown(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test_setup_teardown(unused_bytes_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(the_header_goes_before_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_share_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(hosts_go_when_nobody_uses_them, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_destinations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
