/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of chains, twice as large whenever it is full. When there is no memory for that, chains get longer:
 * a pool is never refused here.
 */
#include "upstream/pool_index.h"

#include "base/assert.h"
#include "upstream/pool.h"

#include <stdlib.h>

#define BUCKETS_MIN 8u

struct pool_index {
    struct list order;
    struct pool **buckets;
    size_t buckets_count; /* a power of 2 */
    size_t count;
};

struct pool_index *pool_index_create(void)
{
    struct pool_index *ix = calloc(1, sizeof(*ix));
    if (ix)
        ix->buckets = calloc(BUCKETS_MIN, sizeof(*ix->buckets));
    if (!ix || !ix->buckets) {
        free(ix);
        return NULL;
    }
    ix->buckets_count = BUCKETS_MIN;
    list_init(&ix->order);
    return ix;
}

void pool_index_destroy(struct pool_index **index)
{
    struct pool_index *ix = *index;
    *index = NULL;
    if (!ix)
        return;
    WEIR_ASSERT(ix->count == 0);
    free(ix->buckets);
    free(ix);
}

static struct pool **bucket_of(const struct pool_index *ix, uint64_t hash)
{
    return &ix->buckets[hash & (ix->buckets_count - 1)];
}

static void link_into_bucket(struct pool_index *ix, struct pool *p)
{
    struct pool **bucket = bucket_of(ix, p->place.hash);
    p->place.next = *bucket;
    *bucket = p;
}

static void grow(struct pool_index *ix)
{
    struct pool **more = calloc(ix->buckets_count * 2, sizeof(struct pool *));
    if (!more)
        return;
    free(ix->buckets);
    ix->buckets = more;
    ix->buckets_count *= 2;
    for (struct pool *p = pool_index_first(ix); p; p = pool_index_next(ix, p))
        link_into_bucket(ix, p);
}

struct pool *pool_index_find(struct pool_index *ix, uint64_t hash, enum breaker_priority priority,
                             enum pool_kind kind, const struct upstream_wants *wants)
{
    struct pool *p = ix ? *bucket_of(ix, hash) : NULL;
    while (p && !(p->place.hash == hash && p->priority == priority && p->kind == kind &&
                  upstream_wants_same(&p->wants, wants)))
        p = p->place.next;
    if (p) {
        list_remove(&p->place.order);
        list_push_front(&ix->order, &p->place.order);
    }
    return p;
}

void pool_index_add(struct pool_index *ix, struct pool *p, uint64_t hash)
{
    if (ix->count == ix->buckets_count)
        grow(ix);
    p->place.hash = hash;
    link_into_bucket(ix, p);
    list_push_front(&ix->order, &p->place.order);
    ix->count++;
}

void pool_index_remove(struct pool_index *ix, struct pool *p)
{
    struct pool **slot = bucket_of(ix, p->place.hash);
    while (*slot != p)
        slot = &(*slot)->place.next;
    *slot = p->place.next;
    list_remove(&p->place.order);
    ix->count--;
}

static struct pool *pool_at(const struct pool_index *ix, struct list *node)
{
    return node == &ix->order ? NULL : list_entry(node, struct pool, place.order);
}

struct pool *pool_index_first(const struct pool_index *ix)
{
    return ix ? pool_at(ix, ix->order.next) : NULL;
}

struct pool *pool_index_next(const struct pool_index *ix, const struct pool *p)
{
    return pool_at(ix, p->place.order.next);
}
