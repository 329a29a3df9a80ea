/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer chain: bytes in order, in reference-counted blocks that several chains may share. Bodies and
 * socket data travel as chains, so that forwarding, retrying and mirroring move references and copy nothing.
 * Blocks and chains belong to one worker thread; counts are not atomic.
 */
#ifndef WEIR_BASE_CHAIN_H
#define WEIR_BASE_CHAIN_H

#include "base/slice.h"

#include <sys/uio.h>

/* The size of a pooled block's data: one TLS record, and what one recv() fills. */
#define BLOCK_BYTES 16384

struct block_pool;

struct block {
    uint32_t refs;
    uint32_t cap;
    uint32_t used; /* bytes of data written so far; what lies behind may be appended to by the only owner */
    struct block_pool *pool; /* where it returns to; NULL: free() */
    char *data;
    void (*release)(void *arg); /* for foreign memory: called at the last unref */
    void *release_arg;
};

/* Keeps idle blocks for one thread. Must outlive its blocks. */
struct block_pool {
    struct block *idle; /* linked through release_arg */
    size_t idle_count;
    size_t idle_max;
};

void block_pool_init(struct block_pool *pool, size_t idle_max);
void block_pool_fini(struct block_pool *pool);
/* A block of BLOCK_BYTES with one reference; `pool` may be NULL. NULL when memory is out. */
struct block *block_get(struct block_pool *pool);
/* A block of exactly `cap` bytes outside the pool. */
struct block *block_create(size_t cap);
/* Wraps memory that lives until release(arg) is called. */
struct block *block_wrap(struct slice memory, void (*release)(void *arg), void *arg);
struct block *block_ref(struct block *b);
void block_unref(struct block **b);

struct chain_seg {
    struct block *block;
    char *ptr;
    size_t len;
};

#define CHAIN_INLINE_SEGS 4

/* A ring of segments; the first few need no allocation. No segment is empty. */
struct chain {
    struct chain_seg *segs; /* inline_segs or malloc'd */
    uint32_t cap;           /* power of two */
    uint32_t head;
    uint32_t count;
    size_t bytes;
    struct chain_seg inline_segs[CHAIN_INLINE_SEGS];
};

/* A chain must not be moved in memory after init (segs may point into it). */
void chain_init(struct chain *c);
void chain_fini(struct chain *c);
static inline bool chain_empty(const struct chain *c)
{
    return c->bytes == 0;
}

/* All appends return false, and change nothing, when memory is out. Empty input is a successful no-op. */

/* Adds `part`, which lies in `b`, and takes a reference of its own. */
bool chain_append_block(struct chain *c, struct block *b, struct slice part);
/* Copies; fills the free end of the last block if this chain is its only owner. */
bool chain_append_copy(struct chain *c, struct block_pool *pool, struct slice bytes);
/* The free end of the last block, when this chain is its only owner: bytes written there are added by
 * chain_tail_commit. NULL and 0 when there is none. */
char *chain_tail_space(const struct chain *c, size_t *room);
void chain_tail_commit(struct chain *c, size_t n);
bool chain_prepend_copy(struct chain *c, struct block_pool *pool, struct slice bytes);
/* Moves up to `max` bytes from the front of `from` to the end of `to`. Returns false when memory is out, with
 * some bytes possibly moved and none lost. */
bool chain_move(struct chain *to, struct chain *from, size_t max);
/* Adds references to all bytes of `from`, which stays as it is. */
bool chain_append_shared(struct chain *to, const struct chain *from);
/* The same for bytes that are kept for long: pieces of up to `copy_max` bytes are copied together, so that a
 * peer that trickles bytes cannot pin a whole block with each. On false a part may have been added. */
bool chain_append_kept(struct chain *to, const struct chain *from, struct block_pool *pool, size_t copy_max);
/* Drops bytes from the front; n must be <= bytes. */
void chain_drain(struct chain *c, size_t n);
void chain_clear(struct chain *c);
/* Copies up to len bytes from `offset`; returns how many. */
size_t chain_copy_out(const struct chain *c, size_t offset, void *dst, size_t len);
/* The first contiguous part; empty only when the chain is. */
struct slice chain_front(const struct chain *c);
/* The block in which chain_front's bytes lie; borrowed. NULL when the chain is empty. */
struct block *chain_front_block(const struct chain *c);
/* Fills at most max entries for sendmsg; returns how many. */
size_t chain_iov(const struct chain *c, struct iovec *iov, size_t max);
/* The i-th segment's bytes, i < count. */
struct slice chain_seg_at(const struct chain *c, size_t i);

#endif
