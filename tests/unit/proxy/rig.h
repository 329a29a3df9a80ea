/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker with one listener for tests, and a plain blocking client. A test fills the hcm_config, starts the
 * rig, talks over TCP and stops it. Everything waits with a deadline, nothing sleeps for luck.
 */
#ifndef WEIR_TESTS_PROXY_RIG_H
#define WEIR_TESTS_PROXY_RIG_H

#include "proxy/forwarded.h"
#include "proxy/listener/listener.h"
#include "proxy/stream.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RIG_DEADLINE_MS 10000

struct rig {
    struct worker *worker;
    struct hcm_config *hcm;
    struct listener_config *listener;
    struct address bound;
    struct filter_config filters[8];
};

static inline void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->hcm = hcm_config_create();
    r->listener = listener_config_create();
    assert_non_null(r->hcm);
    assert_non_null(r->listener);
    r->hcm->stat_prefix = SLICE_LIT("rig");
    r->hcm->filters.items = r->filters;
}

static inline void rig_filter(struct rig *r, const struct filter_ops *ops, const void *config)
{
    assert_true(r->hcm->filters.count < WEIR_ARRAY_LEN(r->filters));
    r->filters[r->hcm->filters.count++] =
        (struct filter_config){.ops = ops, .config = config, .name = slice_str(ops->name)};
}

/* With network filters in front of the connection manager. */
static inline void rig_start_network(struct rig *r, const struct network_filter_config *network,
                                     size_t network_count)
{
    int fd;
    hcm_config_seal(r->hcm);
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &r->listener->main.where));
    r->listener->chains = arena_calloc(&r->listener->arena, 1, sizeof(struct filter_chain));
    r->listener->chains[0].hcm = r->hcm; /* the reference moves */
    r->listener->chains[0].network = network;
    r->listener->chains[0].network_count = network_count;
    r->listener->chains_count = 1;
    listener_config_seal(r->listener);
    assert_int_equal(listener_open(r->listener, &r->listener->main, 1, &fd, &r->bound), 0);
    r->worker = worker_create(0);
    assert_non_null(r->worker);
    assert_non_null(listener_create(r->worker, r->listener, &r->listener->main, fd));
    assert_int_equal(worker_start(r->worker), 0);
}

static inline void rig_start(struct rig *r)
{
    rig_start_network(r, NULL, 0);
}

static inline void rig_stop(struct rig *r)
{
    const struct listener_config *l = r->listener;
    if (r->worker)
        worker_stop(r->worker);
    worker_destroy(&r->worker);
    listener_config_unref(&l);
    memset(r, 0, sizeof(*r));
}

static inline uint64_t rig_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits until the condition holds. */
#define RIG_AWAIT(condition)                                                                                 \
    do {                                                                                                     \
        uint64_t until_ = rig_now_ms() + RIG_DEADLINE_MS;                                                    \
        while (!(condition)) {                                                                               \
            if (rig_now_ms() > until_)                                                                       \
                fail_msg("waited in vain for " #condition);                                                  \
            poll(NULL, 0, 1);                                                                                \
        }                                                                                                    \
    } while (0)

struct client {
    int fd;
    size_t len;
    bool eof;
    char buf[1 << 18];
};

static inline struct client *client_open(const struct rig *r)
{
    struct client *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, &r->bound.sa, r->bound.len), 0);
    return c;
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static inline void client_send(struct client *c, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        text += n;
        len -= (size_t)n;
    }
}

/* One more read; false at the end of the connection. */
static inline bool client_more(struct client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (poll(&p, 1, RIG_DEADLINE_MS) <= 0)
        fail_msg("no answer in time; so far: %.*s", (int)c->len, c->buf);
    assert_true(c->len < sizeof(c->buf) - 1);
    ssize_t n = recv(c->fd, c->buf + c->len, sizeof(c->buf) - 1 - c->len, 0);
    if (n <= 0) {
        c->eof = true;
        return false;
    }
    c->len += (size_t)n;
    c->buf[c->len] = '\0';
    return true;
}

/* Everything until the connection ends, as a string. */
static inline const char *client_rest(struct client *c)
{
    while (client_more(c))
        ;
    return c->buf;
}

/* Reads until `text` has come; returns what is there, and leaves it. */
static inline const char *client_until(struct client *c, const char *text)
{
    while (!strstr(c->buf, text)) {
        if (!client_more(c))
            fail_msg("closed before \"%s\"; got: %s", text, c->buf);
    }
    return c->buf;
}

static inline void client_forget(struct client *c)
{
    c->len = 0;
    c->buf[0] = '\0';
}

static inline uint64_t rig_stat(const struct rig *r, stat_id id)
{
    (void)r;
    return stat_value(id);
}

#define assert_has(text, part)                                                                               \
    do {                                                                                                     \
        const char *text_ = (text);                                                                          \
        if (!strstr(text_, (part)))                                                                          \
            fail_msg("\"%s\" is not in: %s", (part), text_);                                                 \
    } while (0)
#define assert_has_not(text, part)                                                                           \
    do {                                                                                                     \
        const char *text_ = (text);                                                                          \
        if (strstr(text_, (part)))                                                                           \
            fail_msg("\"%s\" is in: %s", (part), text_);                                                     \
    } while (0)

#endif
