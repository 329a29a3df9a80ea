/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a connection: polling, reading, the turn's end, and the ways to close.
 * A connection is freed only from the loop's deferred list, after its `closed` event; no event is called from
 * inside a function that the owner calls.
 */
#include "net/conn_private.h"

#include "net/conn_race.h"
#include "net/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int interest(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case ST_CONNECTING:
        return UV_WRITABLE;
    case ST_HANDSHAKE:
        return c->want_write ? UV_READABLE | UV_WRITABLE : UV_READABLE;
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
        return c->want_write ? UV_READABLE | UV_WRITABLE : UV_READABLE;
    case ST_CLOSING:
    case ST_CLOSED:
        break;
    }
    return 0;
}

/* libuv keeps what it was told; asking again for the same costs two system calls, so it is remembered. */
void conn_poll_update(struct conn *c)
{
    int events = interest(c);
    if (!c->poll || c->polled == events)
        return;
    c->polled = (uint8_t)events;
    int rc = events ? uv_poll_start(c->poll, events, conn_polled) : uv_poll_stop(c->poll);
    WEIR_ASSERT(rc == 0);
}

/* Ends the connection: `closed` follows at the turn's end. */
void conn_end(struct conn *c, enum conn_close why, int error)
{
    if (c->state >= ST_CLOSING)
        return;
    c->state = ST_CLOSING;
    c->close_reason = why;
    c->error = error;
    timer_stop(c->loop, &c->timer);
    if (WEIR_UNLIKELY(c->race != NULL))
        conn_race_end(c);
    conn_poll_update(c);
    loop_at_turn_end(c->loop, &c->flush);
}

static void conn_free(struct turn_task *task)
{
    struct conn *c = WEIR_CONTAINER_OF(task, struct conn, flush);
    WEIR_ASSERT(c->state == ST_CLOSED && !timer_active(&c->timer));
    chain_fini(&c->in);
    chain_fini(&c->out);
    free(c->preface);
    free(c);
}

static void conn_finish(struct conn *c)
{
    c->state = ST_CLOSED;
    if (c->transport->destroy)
        c->transport->destroy(c);
    if (c->poll)
        poll_give(c->loop, &c->poll, c->fd);
    if (WEIR_LIKELY(c->fd >= 0))
        close(c->fd);
    c->fd = -1;
    if (c->filter)
        c->filter->closed(c->filter, c, c->close_reason);
    c->events->closed(c, c->close_reason);
    c->owner = NULL;
    c->flush.run = conn_free;
    list_remove(&c->flush.node);
    loop_defer_destroy(c->loop, &c->flush);
}

/* A failed read or write. A reset is the peer's way to close. */
void conn_failed(struct conn *c, int error)
{
    bool remote = error == ECONNRESET || error == EPIPE;
    if (c->state == ST_FLUSHING || c->state == ST_LINGERING)
        conn_end(c, CONN_CLOSE_LOCAL, error);
    else
        conn_end(c, remote ? CONN_CLOSE_REMOTE : CONN_CLOSE_ERROR, error);
}

static void conn_readable(struct conn *c);

/* Reading goes on: bytes and the end that came meanwhile. */
static void offer_in(struct conn *c)
{
    if (c->kicked && c->state == ST_OPEN) {
        c->kicked = false; /* also while reading is paused: these bytes were read before */
        conn_deliver(c, false, false);
    }
    if (c->state != ST_OPEN || c->paused)
        return;
    if (c->offer) {
        c->offer = false;
        if (!chain_empty(&c->in))
            c->events->data(c);
    }
    if (c->recv_more && c->state == ST_OPEN && !c->paused && !c->read_eof)
        conn_readable(c);
    if (c->eof_held && c->state == ST_OPEN && !c->paused) {
        c->eof_held = false;
        c->events->eof(c);
    }
}

size_t conn_read_share(const struct conn *c)
{
    if (c->high_watermark >= NET_READ_TURN_BYTES)
        return NET_READ_TURN_BYTES;
    return c->high_watermark > BLOCK_BYTES ? c->high_watermark : BLOCK_BYTES;
}

/* What the first read of an event asks for: a block, as a request wants, or the whole share where the last
 * event found more than that. */
static size_t first_ask(const struct conn *c, const struct chain *in)
{
    size_t room;
    if (WEIR_UNLIKELY(c->bulk))
        return conn_read_share(c);
    return !chain_empty(in) && chain_tail_space(in, &room) ? room : BLOCK_BYTES;
}

/* Reads what is there, at most a turn's share. Sets *eof when the peer has shut its side. */
bool conn_read_some(struct conn *c, bool *eof)
{
    size_t got = 0;
    struct chain *in = c->filter ? &c->filter->raw : &c->in;
    *eof = false;
    for (size_t ask = first_ask(c, in);;) {
        ssize_t n = c->transport->recv(c, in, ask);
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
        if ((size_t)n < ask && !c->recv_more)
            break; /* the socket is empty: asking again would only say so */
        size_t share = conn_read_share(c);
        if (got >= share && !c->recv_more)
            break;
        ask = got + BLOCK_BYTES < share ? share - got : BLOCK_BYTES;
        c->bulk = true;
    }
    if (WEIR_UNLIKELY(c->bulk))
        c->bulk = got > BLOCK_BYTES;
    return got > 0;
}

void conn_deliver(struct conn *c, bool grew, bool eof)
{
    if (c->filter)
        grew = c->filter->read(c->filter, c, &eof);
    if (grew && (c->state == ST_OPEN || c->state == ST_CLOSING))
        c->events->data(c);
    if (!eof || c->state != ST_OPEN)
        return;
    if (!c->read_eof) {
        c->read_eof = true;
        conn_poll_update(c);
    }
    if (c->paused && !c->detect_close)
        c->eof_held = true;
    else
        c->events->eof(c);
}

static void conn_readable(struct conn *c)
{
    bool eof;
    bool grew = conn_read_some(c, &eof);
    if (c->filter && eof && c->state == ST_OPEN) {
        c->read_eof = true; /* the filter may keep it for long: the socket must not tell it again and again */
        conn_poll_update(c);
    }
    if (grew || eof)
        conn_deliver(c, grew, eof);
}

/* Lingering: what comes is dropped until the peer closes. */
static void conn_drop_input(struct conn *c)
{
    bool eof;
    conn_read_some(c, &eof);
    chain_clear(c->filter ? &c->filter->raw : &c->in);
    if (eof)
        conn_end(c, CONN_CLOSE_LOCAL, 0);
}

/* The turn's end: one write for all that was appended, then what waited for it. */
void conn_turn(struct turn_task *task)
{
    struct conn *c = WEIR_CONTAINER_OF(task, struct conn, flush);
    if (c->state == ST_OPEN || c->state == ST_FLUSHING) {
        if (!c->want_write)
            conn_write(c);
        conn_check_watermarks(c);
        if (c->offer || c->eof_held || c->kicked || c->recv_more)
            offer_in(c);
    }
    if (c->state == ST_HANDSHAKE)
        conn_check_watermarks(c);
    if (c->state == ST_CLOSING)
        conn_finish(c);
}

/* --- the transport's handshake --- */

static void handshake_failed(struct conn *c, int error)
{
    if (!c->server)
        conn_end(c, CONN_CLOSE_CONNECT_FAILED, error);
    else
        conn_failed(c, error);
}

static void conn_handshake(struct conn *c)
{
    c->want_write = false;
    int rc = c->transport->handshake(c);
    if (rc == -EAGAIN) {
        conn_poll_update(c);
        return;
    }
    if (rc < 0) {
        handshake_failed(c, -rc);
        return;
    }
    timer_stop(c->loop, &c->timer);
    c->state = ST_OPEN;
    conn_poll_update(c);
    void (*done)(struct conn *) = c->server ? c->events->secured : c->events->connected;
    if (done)
        done(c);
    if (c->state == ST_OPEN && !c->paused && c->recv_more)
        conn_readable(c);
    loop_at_turn_end(c->loop, &c->flush); /* what the owner has written meanwhile */
}

static void handshake_begins(struct turn_task *task)
{
    struct conn *c = WEIR_CONTAINER_OF(task, struct conn, flush);
    c->flush.run = conn_turn;
    if (c->state == ST_HANDSHAKE)
        conn_handshake(c);
    else
        conn_turn(task);
}

void conn_start_handshake(struct conn *conn, uint64_t timeout_ms, bool begin)
{
    WEIR_ASSERT(conn->state == ST_OPEN && conn->transport->handshake);
    conn->state = ST_HANDSHAKE;
    if (timeout_ms)
        timer_set(conn->loop, &conn->timer, timeout_ms);
    conn_poll_update(conn);
    if (begin) {
        conn->flush.run = handshake_begins;
        loop_at_turn_end(conn->loop, &conn->flush);
    }
}

int conn_socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

void conn_connected(struct conn *c)
{
    int error = conn_socket_error(c->fd);
    if (error != 0) {
        conn_end(c, CONN_CLOSE_CONNECT_FAILED, error);
        return;
    }
    c->local.len = sizeof(c->local.un);
    if (getsockname(c->fd, &c->local.sa, &c->local.len) != 0)
        c->local.len = 0;
    if (WEIR_UNLIKELY(c->preface != NULL) && (error = conn_write_preface(c)) != 0) {
        if (error != -EAGAIN) /* else the socket tells when more of it can go */
            conn_end(c, CONN_CLOSE_CONNECT_FAILED, -error);
        return;
    }
    if (c->transport->handshake) {
        c->state = ST_HANDSHAKE; /* the timer goes on */
        conn_handshake(c);
        return;
    }
    timer_stop(c->loop, &c->timer);
    c->state = ST_OPEN;
    conn_poll_update(c);
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
    if (c->state == ST_HANDSHAKE) {
        conn_handshake(c);
        return;
    }
    bool eof = false;
    if (c->state == ST_OPEN && !c->paused && !c->read_eof) {
        conn_readable(c); /* bytes that came before the reset */
        conn_poll_update(c);
        return;
    }
    if (c->state == ST_LINGERING)
        conn_read_some(c, &eof);
    int error = conn_socket_error(c->fd);
    conn_failed(c, error ? error : ECONNRESET);
}

static void linger(struct conn *c, int events)
{
    if (events & UV_WRITABLE) {
        conn_shut(c);
        conn_poll_update(c);
    }
    if ((events & UV_READABLE) && c->state == ST_LINGERING)
        conn_drop_input(c);
}

static void conn_event(struct conn *c, int status, int events)
{
    if (status < 0) {
        conn_poll_error(c);
        return;
    }
    if (c->state == ST_CONNECTING) {
        if (events & UV_WRITABLE)
            conn_connected(c);
        return;
    }
    if (c->state == ST_HANDSHAKE) {
        conn_handshake(c);
        return;
    }
    if (c->state == ST_LINGERING) {
        linger(c, events);
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
        conn_check_watermarks(c);
    }
}

void conn_polled(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    if (!c)
        return;
    struct loop *loop = c->loop;
    loop_refresh(loop);
    conn_event(c, status, events);
    loop_event_over(loop);
}

void conn_timer_fired(struct timer *t)
{
    struct conn *c = WEIR_CONTAINER_OF(t, struct conn, timer);
    if (c->state == ST_CONNECTING || c->state == ST_HANDSHAKE) {
        conn_end(c, CONN_CLOSE_CONNECT_TIMEOUT, ETIMEDOUT);
        return;
    }
    c->timed_out = true;
    c->cut = c->cut || !chain_empty(&c->out);
    chain_clear(&c->out);
    conn_end(c, CONN_CLOSE_LOCAL, 0);
}

void conn_flush_later(struct conn *conn)
{
    if (conn->state == ST_OPEN && !conn->want_write && !chain_empty(&conn->out))
        loop_at_turn_end(conn->loop, &conn->flush);
    else if ((conn->state == ST_HANDSHAKE || (conn->state == ST_OPEN && conn->want_write)) &&
             conn->out.bytes > conn->high_watermark)
        loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_flush_soon(struct conn *conn)
{
    if (conn->state == ST_OPEN && !conn->want_write && !chain_empty(&conn->out))
        loop_sooner(conn->loop, &conn->flush);
}

void conn_pause(struct conn *conn, enum conn_pause reason)
{
    bool was = conn->paused != 0;
    conn->paused |= (uint8_t)reason;
    if (!was)
        conn_poll_update(conn);
}

void conn_resume(struct conn *conn, enum conn_pause reason)
{
    bool was = conn->paused != 0;
    conn->paused &= (uint8_t)~reason;
    if (!was || conn->paused)
        return;
    conn_poll_update(conn);
    if (conn->state != ST_OPEN || (chain_empty(&conn->in) && !conn->eof_held && !conn->recv_more))
        return;
    conn->offer = true;
    loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_close(struct conn *conn, enum conn_close_mode mode, uint64_t delay_ms)
{
    if (conn->state >= ST_CLOSING)
        return;
    bool end_due = conn->filter && conn->shut_wanted && !conn->write_shut; /* filters have yet to see it */
    bool opening = conn->state == ST_CONNECTING || conn->state == ST_HANDSHAKE;
    bool unsent = !opening && (!chain_empty(&conn->out) || conn->sealed_bytes || end_due);
    if (mode == CONN_CLOSE_RESET) {
        static const struct linger reset = {.l_onoff = 1};
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        mode = CONN_CLOSE_NOW;
        conn->cut = true;
    }
    if (mode == CONN_CLOSE_NOW || opening || (mode == CONN_CLOSE_FLUSH && !unsent)) {
        conn->cut = conn->cut || unsent;
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
    conn_poll_update(conn);
    loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_shutdown_write(struct conn *conn)
{
    if (conn->state != ST_OPEN && conn->state != ST_CONNECTING && conn->state != ST_HANDSHAKE)
        return;
    conn->shut_wanted = true; /* what is not open yet looks at it then */
    if (conn->state == ST_OPEN)
        loop_at_turn_end(conn->loop, &conn->flush);
}

void conn_filter_kick(struct conn *conn)
{
    conn->kicked = true;
    if (conn->state == ST_OPEN || conn->state == ST_FLUSHING)
        loop_at_turn_end(conn->loop, &conn->flush);
}
