/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output of a connection: what waits in `out` leaves in as few system calls as the socket allows; what a
 * drained `out` was waited for (half-close, close); watermarks. Never called by the owner itself.
 */
#include "net/conn_private.h"
#include "net/limits.h"
#include "net/proxy_header.h"

#include <errno.h>
#include <stdlib.h>

void conn_shut(struct conn *c)
{
    c->write_shut = true;
    c->want_write = false;
    int rc = c->transport->shutdown(c);
    if (rc < 0 && rc != -ENOTCONN)
        conn_failed(c, -rc);
}

/* `out` is empty: what was waiting for that? */
static void conn_drained(struct conn *c)
{
    if (c->shut_wanted && !c->write_shut && c->state == ST_OPEN && !(c->filter && c->filter->holds_end))
        conn_shut(c);
    if (c->state != ST_FLUSHING)
        return;
    if (c->filter && (c->filter->held_bytes > 0 || (c->shut_wanted && c->filter->holds_end))) {
        if (!timer_active(&c->timer))
            timer_set(c->loop, &c->timer, NET_FILTER_WAIT_MS);
        return; /* the filter may let them go on yet */
    }
    if (!c->linger || c->read_eof) {
        conn_end(c, CONN_CLOSE_LOCAL, 0);
        return;
    }
    c->state = ST_LINGERING;
    chain_clear(&c->in);
    conn_shut(c); /* also when writing is shut already: now TCP's end follows */
    conn_poll_update(c);
}

/* The peer takes no more. What it said before (an early answer) still counts. */
static void conn_write_failed(struct conn *c, int error)
{
    bool eof;
    chain_clear(&c->out);
    if (c->state == ST_OPEN && !c->paused && !c->read_eof && conn_read_some(c, &eof))
        conn_deliver(c, true, false);
    conn_failed(c, error);
}

/* What the owner has appended since the last time goes through the filter. */
static void filter_out(struct conn *c)
{
    struct conn_filter *f = c->filter;
    struct chain passed, fresh;
    chain_init(&passed);
    chain_init(&fresh);
    bool ok = chain_move(&passed, &c->out, f->passed_bytes) && chain_move(&fresh, &c->out, c->out.bytes) &&
              chain_move(&c->out, &passed, passed.bytes);
    f->holds_end = !f->write(f, c, &fresh, c->shut_wanted);
    if (!ok)
        conn_end(c, CONN_CLOSE_ERROR, ENOMEM);
    chain_fini(&passed);
    chain_fini(&fresh);
}

int conn_write_preface(struct conn *c)
{
    struct conn_preface *p = c->preface;
    if (p->own_line) {
        p->len = (uint32_t)proxy_header_v1(&c->local, &c->remote, p->bytes);
        p->own_line = false;
    }
    while (p->sent < p->len) {
        ssize_t n = send(c->fd, p->bytes + p->sent, p->len - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
        if (n > 0) {
            p->sent += (uint32_t)n;
            c->bytes_out += (size_t)n;
        }
    }
    free(p);
    c->preface = NULL;
    return 0;
}

void conn_write(struct conn *c)
{
    bool progress = false;
    c->want_write = false;
    if (WEIR_UNLIKELY(c->filter != NULL)) {
        filter_out(c);
        if (c->state != ST_OPEN && c->state != ST_FLUSHING)
            return;
    }
    for (unsigned i = 0; !chain_empty(&c->out) || c->sealed_bytes; i++) {
        size_t had = c->out.bytes, sealed = c->sealed_bytes;
        ssize_t n = i < NET_WRITES_PER_FLUSH ? c->transport->send(c, &c->out) : -EAGAIN;
        if (n < 0 && n != -EAGAIN) {
            conn_write_failed(c, (int)-n);
            return;
        }
        if (n > 0) {
            c->bytes_out += (size_t)n;
            progress = true;
        }
        progress = progress || c->sealed_bytes < sealed;
        /* A partial write means that the socket is full, unless there were more segments than one call takes.
         */
        if (n <= 0 || c->sealed_bytes || ((size_t)n < had && c->out.count < NET_WRITE_IOV / 2)) {
            c->want_write = !chain_empty(&c->out) || c->sealed_bytes;
            break;
        }
    }
    /* A delayed close waits for progress, not for the end (Envoy: the timer is re-armed by each write). */
    if (progress && c->state == ST_FLUSHING && c->delay_ms && c->want_write)
        timer_set(c->loop, &c->timer, c->delay_ms);
    if (c->filter)
        c->filter->passed_bytes = c->out.bytes;
    if (chain_empty(&c->out) && !c->sealed_bytes)
        conn_drained(c);
    conn_poll_update(c);
}

void conn_check_watermarks(struct conn *c)
{
    if (c->state != ST_OPEN && c->state != ST_HANDSHAKE)
        return;
    size_t unsent = c->out.bytes + c->sealed_bytes + (c->filter ? c->filter->held_bytes : 0);
    if (!c->above_high && unsent > c->high_watermark) {
        c->above_high = true;
        if (c->events->write_high)
            c->events->write_high(c);
    } else if (c->above_high && unsent <= c->high_watermark / 2) {
        c->above_high = false;
        if (c->events->write_low)
            c->events->write_low(c);
    }
}
