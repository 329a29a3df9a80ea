/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts of dynamic forward proxy clusters: which texts name one, who waits and is told, what a flood of names
 * may hold, and when hosts go.
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
#include "upstream/worker_dynamic.h"

#include <stdio.h>
#include <string.h>

#define HOSTS_MAX   4
#define PENDING_MAX 3

static struct cluster *cluster;
static struct worker *workers[2]; /* the main thread's loop is that of the first */
static struct worker_dynamic *views[2];
static unsigned forgotten, made;
static bool deaf; /* nobody is told */

static void forget(void *arg, struct host *h)
{
    (void)arg;
    assert_non_null(h);
    forgotten++;
}

static void tell(void *arg, const struct dynamic_news *news)
{
    (void)arg;
    for (int i = 0; i < 2 && !deaf; i++)
        worker_dynamic_hear(views[i], news);
}

static bool host_made(void *arg, struct host *h)
{
    (void)arg;
    assert_non_null(h->moving);
    made++;
    return true;
}

static struct loop *main_loop(void)
{
    return &workers[0]->loop;
}

static int setup(void **state)
{
    (void)state;
    static unsigned number; /* statistics are the process's */
    static const struct dynamic_events events = {tell, host_made, NULL};
    char name[32];
    struct cluster_config *config = cluster_config_create();
    snprintf(name, sizeof(name), "dh%u", number++);
    config->name = arena_dup(&config->arena, slice_str(name));
    config->type = CLUSTER_DYNAMIC;
    config->dns_cache.name = config->name;
    config->dns_cache.hosts_max = HOSTS_MAX;
    config->dns_cache.pending_max = PENDING_MAX;
    struct build_errors errors = {0};
    assert_true(cluster_config_finish(config, &errors));
    cluster = cluster_create(config, 2);
    assert_non_null(cluster);
    const struct cluster_config *drop = config;
    cluster_config_unref(&drop);
    for (uint32_t i = 0; i < 2; i++) {
        workers[i] = worker_create(i);
        views[i] = worker_dynamic_create(workers[i], cluster, forget, NULL);
    }
    cluster->main = main_loop();
    forgotten = made = 0;
    deaf = false;
    assert_true(dynamic_hosts_start(cluster, main_loop(), &events));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        worker_dynamic_destroy(&views[i]);
    assert_int_equal(atomic_load(&cluster->dynamic.pending.used), 0);
    dynamic_hosts_stop(cluster);
    assert_int_equal(stat_value(cluster->dynamic.stats.num_hosts), 0);
    for (int i = 0; i < 2; i++)
        worker_destroy(&workers[i]);
    cluster_unref(&cluster);
    return 0;
}

static void pass(uint64_t ms)
{
    for (int i = 0; i < 2; i++) {
        workers[i]->loop.now_ms += ms;
        timer_wheel_advance(&workers[i]->loop, workers[i]->loop.now_ms);
    }
}

struct waiter {
    struct dynamic_wait wait;
    unsigned told;
    enum dynamic_state state;
};

static void done(struct dynamic_wait *w, enum dynamic_state state, const char *error)
{
    struct waiter *me = WEIR_CONTAINER_OF(w, struct waiter, wait);
    assert_non_null(error);
    me->told++;
    me->state = state;
}

static enum dynamic_state find(unsigned worker, const char *authority, struct waiter *w)
{
    const char *error = NULL;
    *w = (struct waiter){.wait = {.done = done}};
    return worker_dynamic_find(views[worker], slice_str(authority), &w->wait, &error);
}

/* What a worker's question comes to. */
static void asked(const char *authority)
{
    struct dynamic_key key;
    assert_true(dynamic_key_parse(slice_str(authority), 80, &key));
    struct dynamic_name *n = dynamic_name_create(&key, main_loop()->now_ms);
    dynamic_hosts_ask(cluster, n);
    dynamic_name_unref(&n);
}

static struct host *pick(unsigned worker, const char *authority)
{
    struct arena arena;
    struct header_map headers;
    arena_init(&arena, 65536, NULL);
    header_map_init(&headers, &arena, 10, 4000);
    header_map_set_id(&headers, HDR_AUTHORITY, slice_str(authority));
    struct host *h = worker_dynamic_pick(views[worker], &(struct lb_request){.headers = &headers});
    arena_fini(&arena);
    return h;
}

static void texts(void **state)
{
    (void)state;
    char longest[260], label[80];
    memset(longest, 'a', sizeof(longest));
    for (unsigned i = 49; i < sizeof(longest); i += 50)
        longest[i] = '.';
    longest[DYNAMIC_HOST_BYTES_MAX + 1] = '\0';
    memset(label, 'a', 64);
    memcpy(label + 64, ".test", 6);
    const struct {
        const char *text;
        const char *key; /* NULL: it names nobody */
    } cases[] = {
        {"a.test", "a.test:80"},
        {"A.tEsT:080", "a.test:80"},
        {"a.test.:65535", "a.test.:65535"},
        {"a_b-c.*.test:1", "a_b-c.*.test:1"},
        {"127.0.0.1", "127.0.0.1:80"},
        {"[::1]:8080", "[::1]:8080"},
        {"[FE80::A]", "[fe80::a]:80"},
        {"", NULL},
        {":80", NULL},
        {".", NULL},
        {".a", NULL},
        {"a..b", NULL},
        {"a:", NULL},
        {"a:0", NULL},
        {"a:65536", NULL},
        {"a:-1", NULL},
        {"a:99999999999999999999", NULL},
        {"a:80:80", NULL},
        {"::1", NULL},
        {"[::1", NULL},
        {"[]:80", NULL},
        {"[a.test]:80", NULL},
        {"[127.0.0.1]:80", NULL},
        {"a b", NULL},
        {"a/b", NULL},
        {"a@b", NULL},
        {"%00", NULL},
        {"\xc3\xa4.test", NULL},
        {longest, NULL},
        {label, NULL},
        {label + 1, label + 1},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct dynamic_key key;
        bool ok = dynamic_key_parse(slice_str(cases[i].text), 80, &key);
        if (ok != (cases[i].key != NULL))
            fail_msg("\"%s\"", cases[i].text);
        if (ok && !slice_starts_with(dynamic_key_text(&key), slice_str(cases[i].key)))
            fail_msg("\"%s\" is %s", cases[i].text, key.text);
    }
}

static void an_address_is_its_own_answer(void **state)
{
    struct waiter first, second;
    (void)state;
    assert_int_equal(find(0, "127.0.0.1:8080", &first), DYNAMIC_WAITING);
    assert_int_equal(find(0, "127.0.0.1:8080", &second), DYNAMIC_WAITING);
    assert_null(pick(0, "127.0.0.1:8080"));
    asked("127.0.0.1:8080");
    assert_int_equal(first.told, 1);
    assert_int_equal(first.state, DYNAMIC_KNOWN);
    assert_int_equal(second.told, 1);
    assert_int_equal(made, 1);
    assert_int_equal(find(1, "127.0.0.1:8080", &first), DYNAMIC_KNOWN); /* all workers heard of it */
    struct host *h = pick(1, "127.0.0.1:8080");
    assert_non_null(h);
    assert_ptr_equal(pick(0, "127.0.0.1:8080"), h);
    assert_string_equal(h->hostname, "127.0.0.1:8080");
    assert_int_equal(address_port(host_address(h, 1)), 8080);
    assert_null(pick(0, "127.0.0.1:8081"));
    assert_null(worker_dynamic_pick(views[0], NULL));
    assert_int_equal(stat_value(cluster->dynamic.stats.host_added), 1);
    host_change_health(h, HOST_FAILED_OUTLIER_CHECK, 0, 0);
    assert_null(pick(0, "127.0.0.1:8080"));
}

static void misfits_cost_nothing(void **state)
{
    struct waiter w;
    (void)state;
    assert_int_equal(find(0, "a..b", &w), DYNAMIC_FAILED);
    assert_null(w.wait.in);
    assert_int_equal(stat_value(cluster->dynamic.stats.host_added), 0);
    assert_int_equal(stat_value(cluster->dynamic.stats.dns_query_failure), 1);
}

/* One unit for a name and each further request, until the answer. */
static void only_so_many_wait(void **state)
{
    struct waiter a, b, c, d;
    (void)state;
    assert_int_equal(find(0, "10.0.0.1", &a), DYNAMIC_WAITING);
    assert_int_equal(find(0, "10.0.0.1", &b), DYNAMIC_WAITING);
    assert_int_equal(find(1, "10.0.0.2", &c), DYNAMIC_WAITING);
    assert_non_null(c.wait.in);
    assert_int_equal(find(1, "10.0.0.3", &d), DYNAMIC_WAITING);
    assert_null(d.wait.in);
    assert_int_equal(stat_value(cluster->dynamic.stats.dns_rq_pending_overflow), 1);
    dynamic_wait_cancel(&c.wait); /* the name waits on: its question is on its way */
    assert_int_equal(find(1, "10.0.0.3", &d), DYNAMIC_WAITING);
    assert_null(d.wait.in);
    dynamic_wait_cancel(&b.wait);
    assert_int_equal(find(1, "10.0.0.3", &d), DYNAMIC_WAITING);
    assert_non_null(d.wait.in);
    asked("10.0.0.2");
    assert_int_equal(c.told, 0);
    asked("10.0.0.1");
    assert_int_equal(a.told, 1);
    assert_int_equal(b.told, 0);
    dynamic_wait_cancel(&a.wait); /* twice is fine */
    asked("10.0.0.3");
    assert_int_equal(d.state, DYNAMIC_KNOWN);
    assert_int_equal(atomic_load(&cluster->dynamic.pending.used), 0);
}

static void known_hosts_need_no_room(void **state)
{
    struct waiter w[PENDING_MAX], more;
    char text[32];
    (void)state;
    asked("10.0.0.9");
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        snprintf(text, sizeof(text), "10.0.1.%u", i);
        assert_int_equal(find(0, text, &w[i]), DYNAMIC_WAITING);
    }
    assert_int_equal(find(0, "10.0.0.9", &more), DYNAMIC_KNOWN);
    for (unsigned i = 0; i < PENDING_MAX; i++)
        dynamic_wait_cancel(&w[i].wait);
}

static void a_flood_of_names(void **state)
{
    struct waiter w;
    char text[32];
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "10.1.%u.%u", i / 250, i % 250);
        asked(text);
    }
    assert_int_equal(stat_value(cluster->dynamic.stats.num_hosts), HOSTS_MAX);
    assert_int_equal(find(0, "10.9.9.9", &w), DYNAMIC_WAITING);
    asked("10.9.9.9");
    assert_int_equal(w.state, DYNAMIC_FULL);
    assert_int_equal(stat_value(cluster->dynamic.stats.host_overflow), 1);
    /* Those that nobody wants any more make room; one that is wanted stays. */
    pass(DYNAMIC_IDLE_MS);
    assert_non_null(pick(0, "10.1.0.0"));
    asked("10.9.9.9");
    assert_non_null(pick(1, "10.9.9.9"));
    assert_non_null(pick(1, "10.1.0.0"));
    assert_null(pick(0, "10.1.0.1"));
    assert_int_equal(forgotten, 2 * (HOSTS_MAX - 1)); /* by both workers */
    assert_int_equal(stat_value(cluster->dynamic.stats.num_hosts), 2);
}

static void hosts_go_when_nobody_wants_them(void **state)
{
    (void)state;
    asked("10.0.0.1");
    asked("10.0.0.2");
    for (unsigned i = 0; i < 6; i++) { /* longer than host_ttl */
        pass(60000);
        assert_non_null(pick(0, "10.0.0.1"));
    }
    pass(60000);
    assert_null(pick(0, "10.0.0.2"));
    assert_null(pick(1, "10.0.0.2"));
    assert_int_equal(stat_value(cluster->dynamic.stats.host_removed), 1);
    assert_int_equal(forgotten, 2);
}

static void a_name_that_has_gone_can_be_asked_for(void **state)
{
    struct waiter w;
    (void)state;
    asked("10.0.0.1");
    deaf = true; /* this worker hears it late */
    pass(60000 * 7);
    deaf = false;
    struct dynamic_key key;
    assert_true(dynamic_key_parse(SLICE_LIT("10.0.0.1"), 80, &key));
    struct dynamic_name *n = dynamic_name_create(&key, 0);
    const struct dynamic_news gone = {.name = n, .state = DYNAMIC_GONE, .error = ""};
    worker_dynamic_hear(views[0], &gone);
    assert_int_equal(find(0, "10.0.0.1", &w), DYNAMIC_WAITING);
    worker_dynamic_hear(views[0], &gone); /* of the one before */
    assert_int_equal(w.told, 0);
    asked("10.0.0.1");
    assert_int_equal(w.state, DYNAMIC_KNOWN);
    dynamic_name_unref(&n);
}

static void a_cluster_that_leaves_tells(void **state)
{
    struct waiter w;
    (void)state;
    assert_int_equal(find(0, "a.test", &w), DYNAMIC_WAITING);
    worker_dynamic_clear(views[0]);
    assert_int_equal(w.told, 1);
    assert_int_equal(w.state, DYNAMIC_FAILED);
    assert_null(w.wait.in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test_setup_teardown(an_address_is_its_own_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(misfits_cost_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(only_so_many_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(known_hosts_need_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_names, setup, teardown),
        cmocka_unit_test_setup_teardown(hosts_go_when_nobody_wants_them, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_has_gone_can_be_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cluster_that_leaves_tells, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
