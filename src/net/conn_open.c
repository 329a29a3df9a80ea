/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections come about: accepted sockets, and connecting ones, whose outcome is always told later.
 */
#include "net/conn_options.h"
#include "net/conn_race.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_uint_fast64_t conn_ids;

void conn_set_high_watermark(struct conn *conn, uint32_t bytes)
{
    conn->high_watermark = bytes ? bytes : UINT32_MAX; /* 0: no limit */
}

static struct conn *conn_create(struct loop *loop, const struct conn_events *events, void *owner,
                                uint32_t high_watermark)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->loop = loop;
    c->events = events;
    c->owner = owner;
    c->transport = &transport_raw;
    c->fd = -1;
    conn_set_high_watermark(c, high_watermark);
    c->id = 1 + atomic_fetch_add_explicit(&conn_ids, 1, memory_order_relaxed);
    chain_init(&c->in);
    chain_init(&c->out);
    turn_task_init(&c->flush, conn_turn);
    timer_init(&c->timer, conn_timer_fired);
    return c;
}

/* The descriptor is closed when memory is out. */
static struct conn *conn_create_on(int fd, struct loop *loop, const struct conn_events *events, void *owner,
                                   uint32_t high_watermark)
{
    struct conn *c = conn_create(loop, events, owner, high_watermark);
    uv_poll_t *poll = c ? poll_take(loop, fd) : NULL;
    if (!poll) {
        free(c);
        close(fd);
        return NULL;
    }
    poll->data = c;
    c->poll = poll;
    c->fd = fd;
    return c;
}

struct conn *conn_accepted(struct loop *loop, int fd, const struct address *remote,
                           const struct address *local, const struct conn_events *events, void *owner,
                           uint32_t high_watermark)
{
    struct conn *c = conn_create_on(fd, loop, events, owner, high_watermark);
    if (!c)
        return NULL;
    c->remote = *remote;
    if (local) {
        c->local = *local;
    } else {
        c->local.len = sizeof(c->local.un);
        if (getsockname(fd, &c->local.sa, &c->local.len) != 0)
            c->local.len = 0;
    }
    c->state = ST_OPEN;
    c->server = true;
    c->detect_close = true;
    conn_poll_update(c);
    return c;
}

struct conn_begun conn_begin(const struct address *to, const struct conn_options *options)
{
    WEIR_ASSERT(to->len > 0);
    struct conn_begun begun = {.fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                               .why = CONN_CLOSE_SETUP_FAILED};
    if (begun.fd < 0) {
        begun.error = errno;
        return begun;
    }
    if (to->sa.sa_family != AF_UNIX) {
        int one = 1;
        (void)setsockopt(begun.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (options && (begun.error = -conn_options_apply(options, begun.fd, to)) != 0)
        return begun;
    begun.why = CONN_CLOSE_BIND_FAILED;
    if (options && (begun.error = -conn_options_bind(options, begun.fd, to)) != 0)
        return begun;
    begun.why = CONN_CLOSE_CONNECT_FAILED;
    if (connect(begun.fd, &to->sa, to->len) != 0 && errno != EINPROGRESS)
        begun.error = errno;
    return begun;
}

struct conn *conn_connect(struct loop *loop, const struct address *to, uint64_t timeout_ms,
                          const struct conn_events *events, void *owner, uint32_t high_watermark)
{
    const struct conn_target target = {.address = to};
    return conn_connect_to(loop, &target, timeout_ms, events, owner, high_watermark);
}

/* Whichever answers first. */
static struct conn *connect_to_any(struct loop *loop, const struct conn_target *to, uint64_t timeout_ms,
                                   const struct conn_events *events, void *owner, uint32_t high_watermark)
{
    struct conn *c = conn_create(loop, events, owner, high_watermark);
    if (!c)
        return NULL;
    c->remote = *to->address;
    c->state = ST_CONNECTING;
    if (timeout_ms)
        timer_set(loop, &c->timer, timeout_ms);
    if (!conn_race_start(c, to)) {
        timer_stop(loop, &c->timer);
        free(c);
        errno = ENOMEM;
        return NULL;
    }
    return c;
}

struct conn *conn_connect_to(struct loop *loop, const struct conn_target *to, uint64_t timeout_ms,
                             const struct conn_events *events, void *owner, uint32_t high_watermark)
{
    if (WEIR_UNLIKELY(to->any != NULL))
        return connect_to_any(loop, to, timeout_ms, events, owner, high_watermark);
    struct conn_begun begun = conn_begin(to->address, to->options);
    if (begun.fd < 0) {
        errno = begun.error;
        return NULL;
    }
    struct conn *c = conn_create_on(begun.fd, loop, events, owner, high_watermark);
    if (!c) {
        errno = ENOMEM;
        return NULL;
    }
    c->remote = *to->address;
    c->attempts = 1;
    c->state = ST_CONNECTING;
    if (begun.error != 0) {
        c->bind_failures = begun.why == CONN_CLOSE_BIND_FAILED;
        c->refused = begun.why == CONN_CLOSE_CONNECT_FAILED;
        conn_end(c, begun.why, begun.error);
        return c;
    }
    if (timeout_ms)
        timer_set(loop, &c->timer, timeout_ms);
    conn_poll_update(c); /* also when it is connected already: the event tells */
    return c;
}

bool conn_offer(struct conn *conn)
{
    if (chain_empty(&conn->in))
        return true;
    if (conn->filter) {
        if (!chain_move(&conn->filter->raw, &conn->in, conn->in.bytes))
            return false;
        conn->kicked = true;
    } else {
        conn->offer = true;
    }
    loop_at_turn_end(conn->loop, &conn->flush);
    return true;
}

bool conn_original_destination(const struct conn *conn, struct address *out)
{
    bool v6 = conn->local.len && conn->local.sa.sa_family == AF_INET6;
    memset(out, 0, sizeof(*out));
    out->len = sizeof(out->un);
    /* IP6T_SO_ORIGINAL_DST has the same number; its header clashes with the C library's. */
    if (getsockopt(conn->fd, v6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, &out->sa, &out->len) == 0)
        return true;
    /* TPROXY does not rewrite: such a socket has the client's destination as its own. */
    int transparent = 0;
    socklen_t len = sizeof(transparent);
    if (getsockopt(conn->fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &transparent,
                   &len) != 0 ||
        !transparent)
        return false;
    *out = conn->local;
    return true;
}
