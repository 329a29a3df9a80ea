/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster manager with a main loop and one worker: STRICT_DNS against a fake server, updates that keep
 * pools, replacement and removal, warming, the admin dump, and what a cluster's finish step refuses.
 */
#include "proxy_fixture.h"
#include "support/fake_dns.h"

#include "net/dns.h"
#include "upstream/worker_cluster.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"
#define OK_2      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

static struct proxy_fixture f;
static struct fake_dns dns;
static struct heard h;
static pthread_t main_thread;
static _Atomic unsigned warm_calls;

static void *run_main(void *arg)
{
    (void)arg;
    loop_run(&f.main);
    return NULL;
}

static void stop_main(void *arg)
{
    (void)arg;
    cluster_manager_destroy(&f.cm);
    loop_stop(&f.main);
}

static int setup(void **state)
{
    (void)state;
    fixture_init(&f);
    fake_dns_start(&dns);
    atomic_store(&warm_calls, 0);
    return 0;
}

/* The worker ends first, then the manager on its own thread. */
static int teardown(void **state)
{
    (void)state;
    loop_post(&f.worker->loop, drain_post, &f);
    worker_stop(f.worker);
    cluster_manager_worker_fini(f.cm, f.worker);
    worker_destroy(&f.worker);
    loop_post(&f.main, stop_main, NULL);
    pthread_join(main_thread, NULL);
    loop_fini(&f.main);
    close(f.upstream);
    fake_dns_stop(&dns);
    stats_fini();
    return 0;
}

static void count_warm(void *arg)
{
    (void)arg;
    atomic_fetch_add(&warm_calls, 1);
}

static struct cluster_config *dns_cluster(const char *name, const char *host, uint16_t port)
{
    struct cluster_config *c = make_cluster(name, port);
    c->type = CLUSTER_STRICT_DNS;
    c->localities->endpoints->address = slice_str(host);
    c->dns_family = DNS_FAMILY_V4_ONLY;
    c->dns_refresh_rate_ms = 20;
    struct address *server = ARENA_NEW(&c->arena, struct address);
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), dns.port, server));
    c->dns = (struct dns_options){.servers = server, .servers_count = 1};
    return c;
}

static void start(void)
{
    add_route(&f, "/", "up");
    fixture_start(&f);
    cluster_manager_on_warm(f.cm, count_warm, NULL);
    pthread_create(&main_thread, NULL, run_main, NULL);
}

static void assert_warm(void)
{
    for (int i = 0; i < FIXTURE_DEADLINE_S * 100 && atomic_load(&warm_calls) == 0; i++)
        poll(NULL, 0, 10);
    assert_int_equal(atomic_load(&warm_calls), 1);
}

static void assert_gauge(const char *name, uint64_t value)
{
    stat_id id = stat_shared_gauge("%s", name);
    for (int i = 0; i < FIXTURE_DEADLINE_S * 100 && stat_value(id) != value; i++)
        poll(NULL, 0, 10);
    if (stat_value(id) != value)
        print_error("%s is %llu\n", name, (unsigned long long)stat_value(id));
    assert_true(stat_value(id) == value);
}

static void wait_questions(unsigned more)
{
    pthread_mutex_lock(&dns.lock);
    unsigned want = dns.questions + more;
    pthread_mutex_unlock(&dns.lock);
    for (int i = 0; i < FIXTURE_DEADLINE_S * 100; i++) {
        pthread_mutex_lock(&dns.lock);
        bool done = dns.questions >= want;
        pthread_mutex_unlock(&dns.lock);
        if (done)
            return;
        poll(NULL, 0, 10);
    }
    fail();
}

static const uint32_t loopback[] = {0x7f000001, 0x7f000002, 0x7f000003};

/* One request through the proxy, answered by whoever accepts. */
static int round_trip(int *u)
{
    int c = dial(f.port);
    say(c, GET("/"));
    if (*u < 0)
        *u = accept_upstream(&f);
    assert_heard(*u, &h, "\r\n\r\n");
    say(*u, OK_2);
    assert_heard(c, &h, "ok");
    close(c);
    return 0;
}

static void unknown_name_has_no_hosts(void **state)
{
    (void)state;
    put_cluster(&f, dns_cluster("up", "nobody.test", f.upstream_port));
    assert_false(cluster_manager_warm(f.cm));
    start();
    assert_warm();
    int c = dial(f.port);
    say(c, GET("/"));
    assert_heard(c, &h, "no healthy upstream");
    assert_true(stat_value(stat_counter("cluster.up.update_empty")) > 0);
    close(c);
}

static void failing_resolver_keeps_the_hosts(void **state)
{
    int u = -1;
    (void)state;
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 1, loopback, 60);
    put_cluster(&f, dns_cluster("up", "a.test", f.upstream_port));
    start();
    assert_warm();
    assert_gauge("cluster.up.membership_total", 1);
    round_trip(&u);
    fake_dns_set(&dns, FAKE_DNS_SERVFAIL, "a.test", 0, NULL, 0);
    wait_questions(8);
    assert_true(stat_value(stat_counter("cluster.up.update_failure")) > 0);
    assert_gauge("cluster.up.membership_total", 1);
    round_trip(&u); /* the same connection */
    assert_stat("cluster.up.upstream_cx_total", 1);
    close(u);
}

static void update_keeps_what_stays(void **state)
{
    int u = -1;
    (void)state;
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 1, loopback, 60);
    put_cluster(&f, dns_cluster("up", "A.test", f.upstream_port));
    start();
    assert_warm();
    assert_gauge("cluster.up.membership_total", 1);
    round_trip(&u);
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 3, loopback, 60);
    assert_gauge("cluster.up.membership_total", 3);
    assert_stat("cluster.up.upstream_cx_active", 1); /* its pool lives on */
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 2, loopback + 1, 60);
    assert_gauge("cluster.up.membership_total", 2);
    assert_heard(u, &h, NULL); /* its host has left: the idle connection is closed */
    assert_stat("cluster.up.upstream_cx_active", 0);
    close(u);
    assert_true(stat_value(stat_counter("cluster.up.membership_change")) == 3);
}

static void host_that_leaves_finishes_its_request(void **state)
{
    (void)state;
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 1, loopback, 60);
    put_cluster(&f, dns_cluster("up", "a.test", f.upstream_port));
    start();
    assert_warm();
    int c = dial(f.port);
    say(c, GET("/"));
    int u = accept_upstream(&f);
    assert_heard(u, &h, "\r\n\r\n");
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 1, loopback + 1, 60);
    assert_stat("cluster.up.membership_change", 2);
    wait_questions(3);
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    assert_heard(u, &h, NULL);
    close(c);
    close(u);
}

static void ttl_is_respected(void **state)
{
    (void)state;
    fake_dns_set(&dns, FAKE_DNS_ANSWER, "a.test", 1, loopback, 3600);
    struct cluster_config *config = dns_cluster("up", "a.test", f.upstream_port);
    config->respect_dns_ttl = true;
    put_cluster(&f, config);
    start();
    assert_warm();
    poll(NULL, 0, 200); /* ten refresh periods */
    assert_int_equal(stat_value(stat_counter("cluster.up.update_attempt")), 1);
}

static void silent_server_does_not_stop_the_manager(void **state)
{
    (void)state;
    fake_dns_set(&dns, FAKE_DNS_SILENT, "a.test", 0, NULL, 0);
    put_cluster(&f, dns_cluster("slow", "a.test", f.upstream_port));
    put_cluster(&f, make_cluster("up", f.upstream_port));
    start();
    int u = -1;
    round_trip(&u);
    assert_int_equal(atomic_load(&warm_calls), 0);
    close(u);
}

static struct cluster_config *replacement;
static _Atomic unsigned changes;

static void replace_on_main(void *arg)
{
    (void)arg;
    put_cluster(&f, replacement);
    atomic_fetch_add(&changes, 1);
}

static void remove_on_main(void *arg)
{
    (void)arg;
    assert_true(cluster_manager_remove(f.cm, SLICE_LIT("up")));
    assert_false(cluster_manager_remove(f.cm, SLICE_LIT("up")));
    assert_false(cluster_manager_has(f.cm, SLICE_LIT("up")));
    atomic_fetch_add(&changes, 1);
}

static void on_main(void (*fn)(void *arg))
{
    atomic_store(&changes, 0);
    loop_post(&f.main, fn, NULL);
    for (int i = 0; i < FIXTURE_DEADLINE_S * 100 && atomic_load(&changes) == 0; i++)
        poll(NULL, 0, 10);
    assert_int_equal(atomic_load(&changes), 1);
}

static void replaced_and_removed(void **state)
{
    int u = -1;
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    start();
    assert_warm();
    round_trip(&u);
    uint16_t other_port;
    int other = listen_any(&other_port, 4);
    set_deadline(other);
    replacement = make_cluster("up", other_port);
    on_main(replace_on_main);
    assert_heard(u, &h, NULL); /* the old cluster's idle connection */
    close(u);
    int c = dial(f.port);
    say(c, GET("/"));
    u = accept(other, NULL, NULL);
    set_deadline(u);
    assert_heard(u, &h, "\r\n\r\n");
    on_main(remove_on_main);
    say(u, OK_2); /* a running request ends well */
    assert_heard(c, &h, "ok");
    assert_heard(u, &h, NULL);
    say(c, GET("/"));
    assert_heard(c, &h, "\r\n\r\n");
    assert_has(&h, "503 Service Unavailable");
    assert_logged(&f, 3, "503 NC cluster_not_found");
    close(c);
    close(u);
    close(other);
}

static char dumped[8192];

static void collect_field(void *arg, struct slice cluster, const char *key, const char *value)
{
    (void)arg;
    size_t used = strlen(dumped);
    snprintf(dumped + used, sizeof(dumped) - used, SLICE_FMT "::%s::%s\n", SLICE_ARG(cluster), key, value);
}

static void dump(void **state)
{
    int u = -1;
    char line[128];
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    start();
    round_trip(&u);
    assert_stat("cluster.up.upstream_rq_active", 0);
    dumped[0] = '\0';
    cluster_manager_dump(f.cm, collect_field, NULL);
    static const char *const host_lines[] = {"cx_active::1",  "cx_total::1", "rq_total::1",
                                             "rq_success::1", "rq_error::0", "rq_pending_active::0",
                                             "weight::1",     "priority::0", "health_flags::healthy"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(host_lines); i++) {
        snprintf(line, sizeof(line), "up::127.0.0.1:%u::%s\n", f.upstream_port, host_lines[i]);
        if (!strstr(dumped, line))
            print_error("no %s in\n%s", line, dumped);
        assert_non_null(strstr(dumped, line));
    }
    assert_non_null(strstr(dumped, "up::default_priority::max_connections::1024\n"));
    assert_non_null(strstr(dumped, "up::high_priority::max_retries::3\n"));
    assert_non_null(strstr(dumped, "up::observability_name::up\n"));
    close(u);
}

static char problems[2048];

static void collect_problem(void *arg, const char *path, const char *text)
{
    (void)arg;
    size_t used = strlen(problems);
    snprintf(problems + used, sizeof(problems) - used, "%s: %s\n", path, text);
}

static void bad_clusters(void **state)
{
    (void)state;
    struct build_errors errors = {collect_problem, NULL, 0};
    struct cluster_config *c = make_cluster("", 80);
    c->connect_timeout_ms = 0;
    c->localities->endpoints->address = SLICE_LIT("some.name");
    c->localities->endpoints->weight = 0;
    c->localities->priority = 200;
    problems[0] = '\0';
    assert_false(cluster_config_finish(c, &errors));
    assert_int_equal(errors.count, 5);
    assert_non_null(strstr(problems, "name: must not be empty"));
    assert_non_null(
        strstr(problems, "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address: malformed IP"));
    assert_non_null(strstr(problems, "load_assignment.endpoints[0].priority: "));
    const struct cluster_config *drop = c;
    cluster_config_unref(&drop);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_clusters),
        T(unknown_name_has_no_hosts),
        T(failing_resolver_keeps_the_hosts),
        T(silent_server_does_not_stop_the_manager),
        T(update_keeps_what_stays),
        T(host_that_leaves_finishes_its_request),
        T(ttl_is_respected),
        T(replaced_and_removed),
        T(dump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
