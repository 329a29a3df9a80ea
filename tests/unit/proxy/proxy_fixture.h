/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole proxy with one worker for tests: one listener on a free port, one virtual host, clusters that point
 * at sockets of the test. The test is client and upstream in one thread, with blocking sockets and deadlines.
 */
#ifndef WEIR_TESTS_PROXY_FIXTURE_H
#define WEIR_TESTS_PROXY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "net/loop.h"
#include "net/worker.h"
#include "proxy/hcm_config.h"
#include "proxy/listener/listener.h"
#include "proxy/logging/access_log.h"
#include "proxy/router.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"
#include "telemetry/stats.h"
#include "upstream/cluster_manager.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define FIXTURE_DEADLINE_S 10

static inline void no_errors(void *arg, const char *path, const char *text)
{
    (void)arg;
    fprintf(stderr, "unexpected: %s: %s\n", path, text);
}

/* A listening socket on a free port. */
static inline int listen_any(uint16_t *port, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* With it the kernel does not resume waits by itself when the process was stopped for a while. */
static inline void set_deadline(int fd)
{
    struct timeval tv = {FIXTURE_DEADLINE_S, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* The log line of the last stream: "CODE FLAGS DETAILS". */
struct log_line {
    struct access_log ops;
    pthread_mutex_t lock;
    unsigned count;
    char text[512];
    char upstream[ADDRESS_TEXT_MAX];
};

static inline void log_line_write(const struct access_log *log, const struct stream *s)
{
    struct log_line *l = (struct log_line *)(uintptr_t)log;
    struct strbuf flags;
    strbuf_init(&flags, sizeof(l->text));
    assert_true(stream_info_append_flags(&s->info, false, &flags));
    pthread_mutex_lock(&l->lock);
    snprintf(l->text, sizeof(l->text), "%u " SLICE_FMT " " SLICE_FMT, s->info.response_code,
             SLICE_ARG(strbuf_slice(&flags)), SLICE_ARG(s->info.details));
    l->count++;
    pthread_mutex_unlock(&l->lock);
    strbuf_fini(&flags);
}

static inline void log_line_destroy(struct access_log *log)
{
    (void)log; /* part of the fixture */
}

struct proxy_fixture {
    struct loop main;
    struct cluster_manager *cm;
    struct worker *worker;
    struct route_table *routes;
    struct log_line log;
    uint16_t port;
    int upstream; /* listening */
    uint16_t upstream_port;
    bool started;
};

/* A cluster of one or no endpoint. */
static inline struct cluster_config *make_cluster(const char *name, uint16_t port)
{
    struct cluster_config *c = cluster_config_create();
    c->name = slice_str(name);
    c->connect_timeout_ms = 2000;
    if (port) {
        c->localities = ARENA_NEW(&c->arena, struct locality_config);
        c->localities_count = 1;
        c->localities->endpoints = ARENA_NEW(&c->arena, struct endpoint_config);
        c->localities->endpoints_count = 1;
        endpoint_config_init(c->localities->endpoints);
        c->localities->endpoints->address = SLICE_LIT("127.0.0.1");
        c->localities->endpoints->port = port;
    }
    return c;
}

static inline void put_cluster(struct proxy_fixture *f, struct cluster_config *c)
{
    struct build_errors errors = {no_errors, NULL, 0};
    const struct cluster_config *config = c;
    assert_true(cluster_config_finish(c, &errors));
    assert_int_equal(cluster_manager_put(f->cm, c), 0);
    cluster_config_unref(&config);
}

#define FIXTURE_ROUTES_MAX 16

/* One virtual host "*", no routes yet. */
static inline void fixture_init(struct proxy_fixture *f)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(loop_init(&f->main), 0);
    f->cm = cluster_manager_create(&f->main, 1);
    f->routes = route_table_create();
    struct arena *a = &f->routes->arena;
    f->routes->virtual_hosts = ARENA_NEW(a, struct virtual_host);
    f->routes->virtual_hosts_count = 1;
    struct virtual_host *vh = f->routes->virtual_hosts;
    vh->name = SLICE_LIT("v");
    vh->domains = ARENA_NEW(a, struct slice);
    vh->domains[0] = SLICE_LIT("*");
    vh->domains_count = 1;
    vh->routes = ARENA_NEW_N(a, struct route, FIXTURE_ROUTES_MAX);
    f->upstream = listen_any(&f->upstream_port, 16);
    set_deadline(f->upstream);
}

/* A prefix route to a cluster; the caller may change it before fixture_start. */
static inline struct route *add_route(struct proxy_fixture *f, const char *prefix, const char *cluster)
{
    struct virtual_host *vh = f->routes->virtual_hosts;
    assert_true(vh->routes_count < FIXTURE_ROUTES_MAX);
    struct route *r = &vh->routes[vh->routes_count++];
    route_match_init(&r->match);
    route_action_init(&r->action);
    r->match.path = slice_str(prefix);
    r->kind = ROUTE_FORWARD;
    r->action.cluster = slice_str(cluster);
    return r;
}

static inline void fixture_start_with(struct proxy_fixture *f, void (*change)(struct hcm_config *hcm))
{
    struct build_errors errors = {no_errors, NULL, 0};
    assert_true(route_table_finish(f->routes, &errors));
    struct hcm_config *hcm = hcm_config_create();
    hcm->stat_prefix = SLICE_LIT("t");
    hcm->route_table = f->routes;
    hcm->filters.items = ARENA_NEW(&hcm->arena, struct filter_config);
    hcm->filters.items[0] = (struct filter_config){.ops = &router_filter_ops, .name = SLICE_LIT("router")};
    hcm->filters.count = 1;
    pthread_mutex_init(&f->log.lock, NULL);
    f->log.ops = (struct access_log){log_line_write, log_line_destroy};
    hcm->access_logs = ARENA_NEW(&hcm->arena, struct access_log *);
    hcm->access_logs[0] = &f->log.ops;
    hcm->access_logs_count = 1;
    if (change)
        change(hcm);
    hcm_config_seal(hcm);
    struct listener_config *l = listener_config_create();
    l->name = SLICE_LIT("l");
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &l->main.where));
    l->chains = ARENA_NEW(&l->arena, struct filter_chain);
    l->chains_count = 1;
    l->chains[0].hcm = hcm;
    listener_config_seal(l);
    f->worker = worker_create(0);
    assert_non_null(f->worker);
    assert_int_equal(cluster_manager_worker_init(f->cm, f->worker), 0);
    int fd;
    struct address bound = {0};
    assert_int_equal(listener_open(l, &l->main, 1, &fd, &bound), 0);
    f->port = address_port(&bound);
    assert_non_null(listener_create(f->worker, l, &l->main, fd));
    const struct listener_config *drop = l;
    listener_config_unref(&drop);
    assert_int_equal(worker_start(f->worker), 0);
    f->started = true;
}

static inline void fixture_start(struct proxy_fixture *f)
{
    fixture_start_with(f, NULL);
}

static inline void drain_post(void *arg)
{
    struct proxy_fixture *f = arg;
    cluster_manager_worker_drain(f->cm, f->worker);
}

static inline void fixture_fini(struct proxy_fixture *f)
{
    loop_post(&f->worker->loop, drain_post, f);
    worker_stop(f->worker);
    cluster_manager_worker_fini(f->cm, f->worker);
    worker_destroy(&f->worker);
    cluster_manager_destroy(&f->cm);
    loop_fini(&f->main);
    close(f->upstream);
    stats_fini();
}

static inline int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    set_deadline(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static inline int accept_upstream(struct proxy_fixture *f)
{
    int fd = (int)TEMP_FAILURE_RETRY(accept(f->upstream, NULL, NULL));
    assert_true(fd >= 0);
    set_deadline(fd);
    return fd;
}

struct heard {
    char text[65536];
    size_t len;
};

/* Reads until `mark` was seen (NULL: until the peer closes). The text is NUL-terminated. false: deadline, or
 * the end came first. */
static inline bool hear(int fd, struct heard *h, const char *mark)
{
    h->len = 0;
    h->text[0] = '\0';
    for (;;) {
        if (mark && strstr(h->text, mark))
            return true;
        ssize_t n = TEMP_FAILURE_RETRY(recv(fd, h->text + h->len, sizeof(h->text) - 1 - h->len, 0));
        if (n <= 0)
            return n == 0 ? mark == NULL : mark == NULL && errno == ECONNRESET;
        h->len += (size_t)n;
        h->text[h->len] = '\0';
    }
}

#define assert_heard(fd, h, mark)                                                                            \
    do {                                                                                                     \
        if (!hear(fd, h, mark)) {                                                                            \
            print_error("wanted \"%s\", got \"%s\"\n", (mark) ? (mark) : "EOF", (h)->text);                  \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)

#define assert_has(h, part)                                                                                  \
    do {                                                                                                     \
        if (!strstr((h)->text, part)) {                                                                      \
            print_error("no \"%s\" in \"%s\"\n", part, (h)->text);                                           \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)

#define assert_has_not(h, part)                                                                              \
    do {                                                                                                     \
        if (strstr((h)->text, part)) {                                                                       \
            print_error("unwanted \"%s\" in \"%s\"\n", part, (h)->text);                                     \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)

/* The n-th line of the access log, once it is there. */
static inline void assert_logged(struct proxy_fixture *f, unsigned n, const char *text)
{
    char line[512] = "";
    for (int i = 0; i < FIXTURE_DEADLINE_S * 100; i++) {
        pthread_mutex_lock(&f->log.lock);
        unsigned count = f->log.count;
        memcpy(line, f->log.text, sizeof(line));
        pthread_mutex_unlock(&f->log.lock);
        if (count >= n)
            break;
        poll(NULL, 0, 10);
    }
    assert_string_equal(line, text);
}

static inline uint64_t stat_now(const char *name)
{
    size_t len = strlen(name);
    bool gauge = len > 7 && strcmp(name + len - 7, "_active") == 0;
    return stat_value(gauge ? stat_gauge("%s", name) : stat_counter("%s", name));
}

/* The value of a statistic, once it is from `least` to `most`. */
static inline void assert_stat_between(const char *name, uint64_t least, uint64_t most)
{
    uint64_t seen = 0;
    for (int i = 0; i < FIXTURE_DEADLINE_S * 100; i++) {
        seen = stat_now(name);
        if (seen >= least && seen <= most)
            return;
        poll(NULL, 0, 10);
    }
    print_error("%s is %llu, not %llu\n", name, (unsigned long long)seen, (unsigned long long)least);
    fail();
}

static inline void assert_stat(const char *name, uint64_t value)
{
    assert_stat_between(name, value, value);
}

#endif
