/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw transport: plain recv and sendmsg on a stream socket. Never signals (MSG_NOSIGNAL), never blocks.
 */
#include "base/assert.h"
#include "net/conn.h"
#include "net/limits.h"

#include <errno.h>
#include <unistd.h>

static ssize_t raw_recv_into(struct conn *conn, void *dst, size_t max)
{
    ssize_t n;
    do {
        n = recv(conn->fd, dst, max, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Makes `iov` of the free end of `in` and fresh blocks, which have room for about max bytes. Returns the
 * number of blocks; *tail is what the free end takes. */
static size_t lay_out(struct conn *conn, const struct chain *in, size_t max, struct iovec *iov,
                      struct block **blocks, size_t *tail)
{
    size_t n = 0;
    char *end = chain_tail_space(in, tail);
    size_t room = *tail;
    if (end)
        iov[0] = (struct iovec){end, room};
    struct iovec *next = iov + (end != NULL);
    while (room < max && n < NET_READ_BLOCKS && (blocks[n] = block_get(&conn->loop->blocks)) != NULL) {
        next[n] = (struct iovec){blocks[n]->data, blocks[n]->cap};
        room += blocks[n++]->cap;
    }
    return n;
}

/* Many blocks with one call: each call that takes bytes off a full socket may send an acknowledgement and
 * wake the peer. */
static ssize_t raw_recv_many(struct conn *conn, struct chain *in, size_t max)
{
    struct block *blocks[NET_READ_BLOCKS];
    struct iovec iov[NET_READ_BLOCKS + 1];
    size_t tail;
    size_t count = lay_out(conn, in, max, iov, blocks, &tail);
    ssize_t n = -ENOMEM;
    if (count > 0 || tail > 0) {
        do {
            n = readv(conn->fd, iov, (int)(count + (tail > 0)));
        } while (n < 0 && errno == EINTR);
        n = n < 0 ? -errno : n;
    }
    size_t left = n > 0 ? (size_t)n : 0;
    if (tail > 0 && left > 0) {
        size_t part = left < tail ? left : tail;
        chain_tail_commit(in, part);
        left -= part;
    }
    for (size_t i = 0; i < count; i++) {
        size_t part = left < blocks[i]->cap ? left : blocks[i]->cap;
        blocks[i]->used = (uint32_t)part;
        if (!chain_append_block(in, blocks[i], slice_of(blocks[i]->data, part)))
            n = -ENOMEM;
        left -= part;
        block_unref(&blocks[i]);
    }
    return n;
}

/* Small reads fill the free end of what waits already, so that a peer that trickles bytes costs no block per
 * read. */
static ssize_t raw_recv(struct conn *conn, struct chain *in, size_t max)
{
    size_t room;
    char *tail = chain_tail_space(in, &room);
    if (WEIR_UNLIKELY(max > (tail ? room : BLOCK_BYTES)))
        return raw_recv_many(conn, in, max);
    if (tail) {
        ssize_t n = raw_recv_into(conn, tail, room < max ? room : max);
        if (n > 0)
            chain_tail_commit(in, (size_t)n);
        return n;
    }
    struct block *b = block_get(&conn->loop->blocks);
    if (!b)
        return -ENOMEM;
    ssize_t n = raw_recv_into(conn, b->data, b->cap < max ? b->cap : max);
    if (n > 0) {
        b->used = (uint32_t)n;
        if (!chain_append_block(in, b, slice_of(b->data, (size_t)n)))
            n = -ENOMEM;
    }
    block_unref(&b);
    return n;
}

static ssize_t raw_send(struct conn *conn, struct chain *out)
{
    struct iovec iov[NET_WRITE_IOV];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = chain_iov(out, iov, NET_WRITE_IOV)};
    ssize_t n;
    do {
        n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    chain_drain(out, (size_t)n);
    return n;
}

static int raw_shutdown(struct conn *conn)
{
    return shutdown(conn->fd, SHUT_WR) == 0 ? 0 : -errno;
}

static void raw_destroy(struct conn *conn)
{
    conn->transport_state = NULL;
}

const struct transport_ops transport_raw = {
    .name = "raw_buffer",
    .recv = raw_recv,
    .send = raw_send,
    .shutdown = raw_shutdown,
    .destroy = raw_destroy,
};
