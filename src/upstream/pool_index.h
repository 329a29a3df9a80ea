/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pools of one host and worker whose requests want something of their connections, found by what they
 * want and in order of their last use. There may be one for each client's connection or server name: looking
 * for one does not get slower with their number. One thread; the pools are borrowed.
 */
#ifndef WEIR_UPSTREAM_POOL_INDEX_H
#define WEIR_UPSTREAM_POOL_INDEX_H

#include "base/list.h"
#include "upstream/breaker.h"
#include "upstream/host.h"

struct pool;
struct upstream_wants;

/* In the pool. */
struct pool_place {
    struct list order;
    struct pool *next; /* of the same bucket */
    uint64_t hash;
};

struct pool_index;

/* NULL when memory is out. */
struct pool_index *pool_index_create(void);
void pool_index_destroy(struct pool_index **index);
/* NULL: there is none. What is found counts as used. `hash`: of upstream_wants_hash; index may be NULL. */
struct pool *pool_index_find(struct pool_index *index, uint64_t hash, enum breaker_priority priority,
                             enum pool_kind kind, const struct upstream_wants *wants);
/* As used just now. Its wants must not be there yet. */
void pool_index_add(struct pool_index *index, struct pool *p, uint64_t hash);
void pool_index_remove(struct pool_index *index, struct pool *p);
/* The last used first; NULL at the end. index may be NULL. Take the next one before this one is removed. */
struct pool *pool_index_first(const struct pool_index *index);
struct pool *pool_index_next(const struct pool_index *index, const struct pool *p);

#endif
