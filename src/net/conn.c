/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a connection: polling, reading, flushing at the turn's end, watermarks, and the ways to close.
 * A connection is freed only from the loop's deferred list, after its `closed` event; no event is called from
 * inside a function that the owner calls.
 */
#include "net/conn.h"

#include "net/limits.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum conn_state {
    ST_CONNECTING,
    ST_OPEN,
    ST_FLUSHING,  /* conn_close: sending what is left */
    ST_LINGERING, /* all is sent and writing shut; dropping what comes */
    ST_CLOSING,   /* the `closed` event is due at the turn's end */
    ST_CLOSED,
};

static atomic_uint_fast64_t conn_ids;

static void conn_polled(uv_poll_t *poll, int status, int events);
static void conn_turn(struct turn_task *task);

static int interest(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case ST_CONNECTING:
        return UV_WRITABLE;
    case ST_OPEN: {
        int events = c->want_write ? UV_WRITABLE : 0;
        if (c->read_eof)
            return events;
        if (!c->paused)
            return events | UV_READABLE;
        return c->detect_close ? events | UV_DISCONNECT : events;
    }
    case ST_FLUSHING:
        return c->want_write ? UV_WRITABLE : 0;
    case ST_LINGERING:
        return UV_READABLE;
    case ST_CLOSING:
    case ST_CLOSED:
        break;
    }
    return 0;
}

/* libuv keeps what it was told; asking again for the same costs two system calls, so it is remembered. */
static void poll_update(struct conn *c)
{
    int events = interest(c);
    if (!c->poll || c->polled == events)
        return;
    c->polled = (uint8_t)events;
    int rc = events ? uv_poll_start(c->poll, events, conn_polled) : uv_poll_stop(c->poll);
    WEIR_ASSERT(rc == 0);
}

static void poll_freed(uv_handle_t *h)
{
    free(h);
}

/* Ends the connection: `closed` follows at the turn's end. */
static void conn_end(struct conn *c, enum conn_close why, int error)
{
    if (c->state >= ST_CLOSING)
        return;
    c->state = ST_CLOSING;
    c->close_reason = why;
    c->error = error;
    timer_stop(c->loop, &c->timer);
    poll_update(c);
    loop_at_turn_end(c->loop, &c->flush);
}

static void conn_free(struct turn_task *task)
{
    struct conn *c = WEIR_CONTAINER_OF(task, struct conn, flush);
    WEIR_ASSERT(c->state == ST_CLOSED && !timer_active(&c->timer));
    chain_fini(&c->in);
    chain_fini(&c->out);
    free(c);
}

static void conn_finish(struct conn *c)
{
    c->state = ST_CLOSED;
    if (c->transport->destroy)
        c->transport->destroy(c);
    if (c->poll) {
        c->poll->data = NULL;
        uv_close((uv_handle_t *)c->poll, poll_freed);
        c->poll = NULL;
    }
    close(c->fd);
    c->fd = -1;
    c->events->closed(c, c->close_reason);
    c->owner = NULL;
    c->flush.run = conn_free;
    list_remove(&c->flush.node);
    loop_defer_destroy(c->loop, &c->flush);
}

/* A failed read or write. A reset is the peer's way to close. */
static void conn_failed(struct conn *c, int error)
{
    bool remote = error == ECONNRESET || error == EPIPE;
    if (c->state == ST_FLUSHING || c->state == ST_LINGERING)
        conn_end(c, CONN_CLOSE_LOCAL, error);
    else
        conn_end(c, remote ? CONN_CLOSE_REMOTE : CONN_CLOSE_ERROR, error);
}

/* Reading goes on: bytes and the end that came meanwhile. */
static void offer_in(struct conn *c)
{
    if (c->state != ST_OPEN || c->paused)
        return;
    if (c->offer) {
        c->offer = false;
        if (!chain_empty(&c->in))
            c->events->data(c);
    }
    if (c->eof_held && c->state == ST_OPEN && !c->paused) {
        c->eof_held = false;
        c->events->eof(c);
    }
}

/* Reads what is there, at most a turn's share. Sets *eof when the peer has shut its side. */
static bool read_some(struct conn *c, bool *eof)
{
    size_t got = 0;
    *eof = false;
    while (got < NET_READ_TURN_BYTES) {
        size_t room;
        size_t ask = chain_tail_space(&c->in, &room) ? room : BLOCK_BYTES;
        ssize_t n = c->transport->recv(c, &c->in, ask);
        if (n == 0) {
            *eof = true;
            break;
        }
        if (n == -EAGAIN)
            break;
        if (n < 0) {
            conn_failed(c, (int)-n);
            break;
        }
        got += (size_t)n;
        c->bytes_in += (size_t)n;
        if ((size_t)n < ask)
            break; /* the socket is empty: asking again would only say so */
    }
    return got > 0;
}

static void conn_readable(struct conn *c)
{
    bool eof;
    bool grew = read_some(c, &eof);
    if (grew && (c->state == ST_OPEN || c->state == ST_CLOSING))
        c->events->data(c);
    if (!eof || c->state != ST_OPEN)
        return;
    c->read_eof = true;
    poll_update(c);
    if (c->paused && !c->detect_close)
        c->eof_held = true;
    else
        c->events->eof(c);
}

/* Lingering: what comes is dropped until the peer closes. */
static void conn_drop_input(struct conn *c)
{
    bool eof;
    read_some(c, &eof);
    chain_clear(&c->in);
    if (eof)
        conn_end(c, CONN_CLOSE_LOCAL, 0);
}

static void start_shutdown(struct conn *c)
{
    if (c->write_shut)
        return;
    c->write_shut = true;
    int rc = c->transport->shutdown(c);
    if (rc < 0 && rc != -ENOTCONN)
        conn_failed(c, -rc);
}

/* `out` is empty: what was waiting for that? */
static void conn_drained(struct conn *c)
{
    if (c->shut_wanted && !c->write_shut && c->state == ST_OPEN)
        start_shutdown(c);
    if (c->state != ST_FLUSHING)
        return;
    if (!c->linger || c->read_eof) {
        conn_end(c, CONN_CLOSE_LOCAL, 0);
        return;
    }
    c->state = ST_LINGERING;
    chain_clear(&c->in);
    start_shutdown(c);
    poll_update(c);
}

/* The peer takes no more. What it said before (an early answer) still counts. */
static void conn_write_failed(struct conn *c, int error)
{
    bool eof;
    chain_clear(&c->out);
    if (c->state == ST_OPEN && !c->paused && !c->read_eof && read_some(c, &eof))
        c->events->data(c);
    conn_failed(c, error);
}

static void conn_write(struct conn *c)
{
    bool progress = false;
    c->want_write = false;
    for (unsigned i = 0; !chain_empty(&c->out); i++) {
        size_t had = c->out.bytes;
        ssize_t n = i < NET_WRITES_PER_FLUSH ? c->transport->send(c, &c->out) : -EAGAIN;
        if (n < 0 && n != -EAGAIN) {
            conn_write_failed(c, (int)-n);
            return;
        }
        if (n > 0) {
            c->bytes_out += (size_t)n;
            progress = true;
        }
        /* A partial write means that the socket is full, unless there were more segments than one call takes.
         */
        if (n <= 0 || ((size_t)n < had && c->out.count < NET_WRITE_IOV / 2)) {
            c->want_write = !chain_empty(&c->out);
            break;
        }
    }
    /* A delayed close waits for progress, not for the end (Envoy: the timer is re-armed by each write). */
    if (progress && c->state == ST_FLUSHING && c->delay_ms && c->want_write)
        timer_set(c->loop, &c->timer, c->delay_ms);
    if (chain_empty(&c->out))
        conn_drained(c);
    poll_update(c);
}

static void check_watermarks(struct conn *c)
{
    if (c->state != ST_OPEN)
        return;
    if (!c->above_high && c->out.bytes > c->high_watermark) {
        c->above_high = true;
        if (c->events->write_high)
            c->events->write_high(c);
    } else if (c->above_high && c->out.bytes <= c->high_watermark / 2) {
        c->above_high = false;
        if (c->events->write_low)
            c->events->write_low(c);
    }
}

/* The turn's end: one write for all that was appended, then what waited for it. */
static void conn_turn(struct turn_task *task)
{
    struct conn *c = WEIR_CONTAINER_OF(task, struct conn, flush);
    if (c->state == ST_OPEN || c->state == ST_FLUSHING) {
        if (!c->want_write)
            conn_write(c);
        check_watermarks(c);
        if (c->offer || c->eof_held)
            offer_in(c);
    }
    if (c->state == ST_CLOSING)
        conn_finish(c);
}

static void conn_connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        conn_end(c, CONN_CLOSE_CONNECT_FAILED, error);
        return;
    }
    timer_stop(c->loop, &c->timer);
    c->state = ST_OPEN;
    c->local.len = sizeof(c->local.un);
    if (getsockname(c->fd, &c->local.sa, &c->local.len) != 0)
        c->local.len = 0;
    poll_update(c);
    c->events->connected(c);
    if (!chain_empty(&c->out))
        conn_flush_later(c);
}

/* The poll saw an error condition; libuv has stopped it. The socket says what it is. */
static void conn_poll_error(struct conn *c)
{
    c->polled = 0;
    if (c->state == ST_CONNECTING) {
        conn_connected(c);
        return;
    }
    bool eof = false;
    if (c->state == ST_OPEN && !c->paused && !c->read_eof) {
        conn_readable(c); /* bytes that came before the reset */
        poll_update(c);
        return;
    }
    if (c->state == ST_LINGERING)
        read_some(c, &eof);
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    conn_failed(c, error ? error : ECONNRESET);
}

static void conn_polled(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    if (!c)
        return;
    loop_refresh(c->loop);
    if (status < 0) {
        conn_poll_error(c);
        return;
    }
    if (c->state == ST_CONNECTING) {
        if (events & UV_WRITABLE)
            conn_connected(c);
        return;
    }
    if (c->state == ST_LINGERING) {
        conn_drop_input(c);
        return;
    }
    if ((events & UV_DISCONNECT) && c->state == ST_OPEN && c->paused) {
        conn_end(c, CONN_CLOSE_REMOTE, 0);
        return;
    }
    if ((events & UV_READABLE) && c->state == ST_OPEN && !c->paused && !c->read_eof)
        conn_readable(c);
    if ((events & UV_WRITABLE) && (c->state == ST_OPEN || c->state == ST_FLUSHING)) {
        conn_write(c);
        check_watermarks(c);
    }
}

static void conn_timer(struct timer *t)
{
    struct conn *c = WEIR_CONTAINER_OF(t, struct conn, timer);
    if (c->state == ST_CONNECTING) {
        conn_end(c, CONN_CLOSE_CONNECT_TIMEOUT, ETIMEDOUT);
        return;
    }
    c->timed_out = true;
    chain_clear(&c->out);
    conn_end(c, CONN_CLOSE_LOCAL, 0);
}

static struct conn *conn_create(struct loop *loop, int fd, const struct conn_events *events, void *owner,
                                uint32_t high_watermark)
{
    struct conn *c = calloc(1, sizeof(*c));
    uv_poll_t *poll = malloc(sizeof(*poll));
    if (!c || !poll || uv_poll_init(&loop->uv, poll, fd) != 0) {
        free(c);
        free(poll);
        close(fd);
        return NULL;
    }
    c->loop = loop;
    c->events = events;
    c->owner = owner;
    c->transport = &transport_raw;
    c->fd = fd;
    c->poll = poll;
    c->high_watermark = high_watermark ? high_watermark : UINT32_MAX; /* 0: no limit */
    c->id = 1 + atomic_fetch_add_explicit(&conn_ids, 1, memory_order_relaxed);
    poll->data = c;
    chain_init(&c->in);
    chain_init(&c->out);
    turn_task_init(&c->flush, conn_turn);
    timer_init(&c->timer, conn_timer);
    return c;
}

struct conn *conn_accepted(struct loop *loop, int fd, const struct address *remote,
                           const struct address *local, const struct conn_events *events, void *owner,
                           uint32_t high_watermark)
{
    struct conn *c = conn_create(loop, fd, events, owner, high_watermark);
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
    c->detect_close = true;
    poll_update(c);
    return c;
}

struct conn *conn_connect(struct loop *loop, const struct address *to, uint64_t timeout_ms,
                          const struct conn_events *events, void *owner, uint32_t high_watermark)
{
    WEIR_ASSERT(to->len > 0);
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    if (to->sa.sa_family != AF_UNIX) {
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    int error = connect(fd, &to->sa, to->len) == 0 ? 0 : errno;
    struct conn *c = conn_create(loop, fd, events, owner, high_watermark);
    if (!c) {
        errno = ENOMEM;
        return NULL;
    }
    c->remote = *to;
    c->state = ST_CONNECTING;
    if (error != 0 && error != EINPROGRESS) {
        conn_end(c, CONN_CLOSE_CONNECT_FAILED, error);
        return c;
    }
    if (timeout_ms)
        timer_set(loop, &c->timer, timeout_ms);
    poll_update(c); /* also when it is connected already: the event tells */
    return c;
}

void conn_flush_later(struct conn *conn)
{
    if (conn->state == ST_OPEN && !conn->want_write && !chain_empty(&conn->out))
        loop_at_turn_end(conn->loop, &conn->flush);
    else if (conn->state == ST_OPEN && conn->want_write && conn->out.bytes > conn->high_watermark)
        loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_pause(struct conn *conn, enum conn_pause reason)
{
    bool was = conn->paused != 0;
    conn->paused |= (uint8_t)reason;
    if (!was)
        poll_update(conn);
}

void conn_resume(struct conn *conn, enum conn_pause reason)
{
    bool was = conn->paused != 0;
    conn->paused &= (uint8_t)~reason;
    if (!was || conn->paused)
        return;
    poll_update(conn);
    if (conn->state != ST_OPEN || (chain_empty(&conn->in) && !conn->eof_held))
        return;
    conn->offer = true;
    loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_close(struct conn *conn, enum conn_close_mode mode, uint64_t delay_ms)
{
    if (conn->state >= ST_CLOSING)
        return;
    bool unsent = conn->state != ST_CONNECTING && !chain_empty(&conn->out);
    if (mode == CONN_CLOSE_NOW || conn->state == ST_CONNECTING || (mode == CONN_CLOSE_FLUSH && !unsent)) {
        chain_clear(&conn->out);
        conn_end(conn, CONN_CLOSE_LOCAL, 0);
        return;
    }
    if (conn->state != ST_OPEN) {
        conn->linger = conn->linger && mode == CONN_CLOSE_DELAYED;
        if (conn->state == ST_LINGERING && !conn->linger)
            conn_end(conn, CONN_CLOSE_LOCAL, 0);
        return;
    }
    conn->state = ST_FLUSHING;
    conn->linger = mode == CONN_CLOSE_DELAYED && delay_ms > 0;
    conn->delay_ms = delay_ms;
    conn->offer = false;
    if (delay_ms)
        timer_set(conn->loop, &conn->timer, delay_ms);
    poll_update(conn);
    loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_shutdown_write(struct conn *conn)
{
    if (conn->state != ST_OPEN && conn->state != ST_CONNECTING)
        return;
    conn->shut_wanted = true;
    if (conn->state == ST_OPEN)
        loop_at_turn_end(conn->loop, &conn->flush);
}
