/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffer chains and their blocks. Nothing here limits the size of a chain: the owner does, by watermarks.
 */
#include "base/chain.h"

#include "base/assert.h"

#include <stdlib.h>

void block_pool_init(struct block_pool *pool, size_t idle_max)
{
    *pool = (struct block_pool){.idle_max = idle_max};
}

void block_pool_fini(struct block_pool *pool)
{
    while (pool->idle) {
        struct block *b = pool->idle;
        pool->idle = b->release_arg;
        free(b);
    }
    pool->idle_count = 0;
}

static struct block *block_alloc(size_t cap, struct block_pool *pool)
{
    size_t size;
    if (cap > UINT32_MAX || __builtin_add_overflow(cap, sizeof(struct block), &size))
        return NULL;
    struct block *b = malloc(size);
    if (b)
        *b = (struct block){.refs = 1, .cap = (uint32_t)cap, .pool = pool, .data = (char *)(b + 1)};
    return b;
}

struct block *block_get(struct block_pool *pool)
{
    if (!pool || !pool->idle)
        return block_alloc(BLOCK_BYTES, pool);
    struct block *b = pool->idle;
    pool->idle = b->release_arg;
    pool->idle_count--;
    b->release_arg = NULL;
    b->refs = 1;
    b->used = 0;
    return b;
}

struct block *block_create(size_t cap)
{
    return block_alloc(cap, NULL);
}

struct block *block_wrap(struct slice memory, void (*release)(void *arg), void *arg)
{
    if (memory.len > UINT32_MAX)
        return NULL;
    struct block *b = malloc(sizeof(*b));
    if (b) {
        *b = (struct block){.refs = 1,
                            .cap = (uint32_t)memory.len,
                            .used = (uint32_t)memory.len,
                            .data = (char *)(uintptr_t)memory.ptr,
                            .release = release,
                            .release_arg = arg};
    }
    return b;
}

struct block *block_ref(struct block *b)
{
    WEIR_ASSERT(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void block_unref(struct block **b)
{
    struct block *dead = *b;
    *b = NULL;
    if (!dead)
        return;
    WEIR_ASSERT(dead->refs > 0);
    if (--dead->refs > 0)
        return;
    struct block_pool *pool = dead->pool;
    if (dead->release)
        dead->release(dead->release_arg);
    if (pool && pool->idle_count < pool->idle_max) {
        dead->release_arg = pool->idle;
        pool->idle = dead;
        pool->idle_count++;
        return;
    }
    free(dead);
}

void chain_init(struct chain *c)
{
    c->segs = c->inline_segs;
    c->cap = CHAIN_INLINE_SEGS;
    c->head = 0;
    c->count = 0;
    c->bytes = 0;
}

void chain_fini(struct chain *c)
{
    chain_clear(c);
    if (c->segs != c->inline_segs)
        free(c->segs);
    chain_init(c);
}

static struct chain_seg *seg_at(const struct chain *c, size_t i)
{
    return &c->segs[(c->head + i) & (c->cap - 1)];
}

/* Makes room for `more` segments. */
static bool chain_reserve(struct chain *c, uint32_t more)
{
    if (c->cap - c->count >= more)
        return true;
    uint32_t cap = c->cap;
    while (cap - c->count < more) {
        if (cap >= 1u << 30)
            return false;
        cap *= 2;
    }
    struct chain_seg *segs = malloc(cap * sizeof(*segs));
    if (!segs)
        return false;
    for (uint32_t i = 0; i < c->count; i++)
        segs[i] = *seg_at(c, i);
    if (c->segs != c->inline_segs)
        free(c->segs);
    c->segs = segs;
    c->head = 0;
    c->cap = cap;
    return true;
}

bool chain_append_block(struct chain *c, struct block *b, struct slice part)
{
    WEIR_ASSERT(part.len == 0 || (part.ptr >= b->data && part.ptr + part.len <= b->data + b->cap));
    if (part.len == 0)
        return true;
    if (c->count > 0) {
        struct chain_seg *last = seg_at(c, c->count - 1);
        if (last->block == b && last->ptr + last->len == part.ptr) {
            last->len += part.len;
            c->bytes += part.len;
            return true;
        }
    }
    if (!chain_reserve(c, 1))
        return false;
    *seg_at(c, c->count) = (struct chain_seg){block_ref(b), (char *)(uintptr_t)part.ptr, part.len};
    c->count++;
    c->bytes += part.len;
    return true;
}

char *chain_tail_space(const struct chain *c, size_t *room)
{
    *room = 0;
    if (c->count == 0)
        return NULL;
    struct chain_seg *last = seg_at(c, c->count - 1);
    struct block *b = last->block;
    if (b->refs != 1 || b->release || last->ptr + last->len != b->data + b->used || b->used == b->cap)
        return NULL;
    *room = b->cap - b->used;
    return b->data + b->used;
}

void chain_tail_commit(struct chain *c, size_t n)
{
    WEIR_ASSERT(c->count > 0);
    struct chain_seg *last = seg_at(c, c->count - 1);
    struct block *b = last->block;
    WEIR_ASSERT(b->refs == 1 && n <= b->cap - b->used);
    b->used += (uint32_t)n;
    last->len += n;
    c->bytes += n;
}

/* Copies what fits behind the last segment; returns how much. */
static size_t chain_fill_tail(struct chain *c, struct slice bytes)
{
    size_t room;
    char *tail = chain_tail_space(c, &room);
    size_t n = room < bytes.len ? room : bytes.len;
    if (n > 0) {
        memcpy(tail, bytes.ptr, n);
        chain_tail_commit(c, n);
    }
    return n;
}

bool chain_append_copy(struct chain *c, struct block_pool *pool, struct slice bytes)
{
    struct chain tail;
    if (bytes.len == 0)
        return true;
    size_t before = c->bytes;
    size_t done = chain_fill_tail(c, bytes);
    if (done == bytes.len)
        return true;
    chain_init(&tail);
    bool ok = true;
    for (struct slice rest = slice_skip(bytes, done); ok && rest.len > 0;) {
        struct block *b = block_get(pool);
        size_t n = rest.len < BLOCK_BYTES ? rest.len : BLOCK_BYTES;
        ok = b != NULL;
        if (ok) {
            memcpy(b->data, rest.ptr, n);
            b->used = (uint32_t)n;
            ok = chain_append_block(&tail, b, slice_of(b->data, n));
            block_unref(&b);
            rest = slice_skip(rest, n);
        }
    }
    ok = ok && chain_move(c, &tail, tail.bytes);
    chain_fini(&tail);
    if (!ok) {
        /* Cut back to what was there: the filled tail belongs to the last old segment. */
        while (c->bytes > before) {
            struct chain_seg *last = seg_at(c, c->count - 1);
            size_t extra = c->bytes - before < last->len ? c->bytes - before : last->len;
            last->len -= extra;
            c->bytes -= extra;
            if (last->len == 0) {
                block_unref(&last->block);
                c->count--;
            } else if (last->block->refs == 1) {
                last->block->used -= (uint32_t)extra;
            }
        }
    }
    return ok;
}

bool chain_prepend_copy(struct chain *c, struct block_pool *pool, struct slice bytes)
{
    struct chain front;
    chain_init(&front);
    bool ok = chain_append_copy(&front, pool, bytes) && chain_reserve(c, front.count);
    for (size_t i = front.count; ok && i > 0; i--) {
        struct chain_seg seg = *seg_at(&front, i - 1);
        c->head = (c->head + c->cap - 1) & (c->cap - 1);
        c->count++;
        c->bytes += seg.len;
        *seg_at(c, 0) = seg;
        block_ref(seg.block);
    }
    chain_fini(&front);
    return ok;
}

bool chain_move(struct chain *to, struct chain *from, size_t max)
{
    WEIR_ASSERT(to != from);
    while (max > 0 && from->count > 0) {
        struct chain_seg *seg = seg_at(from, 0);
        size_t n = seg->len < max ? seg->len : max;
        if (!chain_append_block(to, seg->block, slice_of(seg->ptr, n)))
            return false;
        chain_drain(from, n);
        max -= n;
    }
    return true;
}

bool chain_append_shared(struct chain *to, const struct chain *from)
{
    WEIR_ASSERT(to != from);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct chain_seg *seg = seg_at(from, i);
        if (!chain_append_block(to, seg->block, slice_of(seg->ptr, seg->len)))
            return false;
    }
    return true;
}

bool chain_append_kept(struct chain *to, const struct chain *from, struct block_pool *pool, size_t copy_max)
{
    WEIR_ASSERT(to != from);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct chain_seg *seg = seg_at(from, i);
        struct slice bytes = slice_of(seg->ptr, seg->len);
        if (!(seg->len > copy_max ? chain_append_block(to, seg->block, bytes)
                                  : chain_append_copy(to, pool, bytes)))
            return false;
    }
    return true;
}

void chain_drain(struct chain *c, size_t n)
{
    WEIR_ASSERT(n <= c->bytes);
    c->bytes -= n;
    while (n > 0) {
        struct chain_seg *seg = seg_at(c, 0);
        if (n < seg->len) {
            seg->ptr += n;
            seg->len -= n;
            return;
        }
        n -= seg->len;
        block_unref(&seg->block);
        c->head = (c->head + 1) & (c->cap - 1);
        c->count--;
    }
}

void chain_clear(struct chain *c)
{
    chain_drain(c, c->bytes);
    WEIR_ASSERT(c->count == 0);
    c->head = 0;
}

size_t chain_copy_out(const struct chain *c, size_t offset, void *dst, size_t len)
{
    size_t done = 0;
    for (uint32_t i = 0; i < c->count && done < len; i++) {
        const struct chain_seg *seg = seg_at(c, i);
        if (offset >= seg->len) {
            offset -= seg->len;
            continue;
        }
        size_t n = seg->len - offset < len - done ? seg->len - offset : len - done;
        memcpy((char *)dst + done, seg->ptr + offset, n);
        done += n;
        offset = 0;
    }
    return done;
}

struct slice chain_front(const struct chain *c)
{
    return c->count ? chain_seg_at(c, 0) : SLICE_EMPTY;
}

struct slice chain_seg_at(const struct chain *c, size_t i)
{
    WEIR_ASSERT(i < c->count);
    return slice_of(seg_at(c, i)->ptr, seg_at(c, i)->len);
}

struct block *chain_front_block(const struct chain *c)
{
    return c->count ? seg_at(c, 0)->block : NULL;
}

size_t chain_iov(const struct chain *c, struct iovec *iov, size_t max)
{
    size_t n = c->count < max ? c->count : max;
    for (size_t i = 0; i < n; i++) {
        struct chain_seg *seg = seg_at(c, i);
        iov[i] = (struct iovec){seg->ptr, seg->len};
    }
    return n;
}
