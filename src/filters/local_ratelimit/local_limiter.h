/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buckets of a local rate limit: one for all requests, one for each descriptor, and for descriptors with
 * open values one for each value, of which the latest are kept. The rules are immutable; what the buckets
 * hold lies apart, so that a connection can have its own. Asking never locks and never allocates.
 */
#ifndef WEIR_FILTERS_LOCAL_LIMITER_H
#define WEIR_FILTERS_LOCAL_LIMITER_H

#include "base/map.h"
#include "base/token_bucket.h"
#include "proxy/routing/rate_limit.h"

/* Values that a descriptor keeps: 1 Mi of 24 bytes are 24 MiB. */
#define LOCAL_LIMIT_VALUES_MAX (1u << 20)
/* More of them are parted into sets of so many, by the value, so that a look-up stays short. */
#define LOCAL_LIMIT_WAYS_MAX 64u

struct local_limit_descriptor {
    struct token_rate rate;
    const struct rate_limit_entry *entries;
    uint32_t count;
    bool open;     /* some entry has no value: any will do, and each has a bucket of its own */
    size_t number; /* of its bucket, or among the open ones */
};

struct local_limiter {
    bool bounded; /* `rate` is there; else only descriptors limit */
    bool always;  /* it holds for requests that have a descriptor, too */
    struct token_rate rate;
    struct local_limit_descriptor *descriptors;
    uint32_t descriptors_count;
    struct map closed;   /* by text: the struct local_limit_descriptor that are not open */
    size_t closed_count; /* buckets, the first of them for all requests */
    size_t open_count;
    uint32_t sets; /* of each open descriptor */
    uint32_t ways; /* values of a set */
};

/* What is in the buckets. */
struct local_limiter_state;

/* Before descriptors are added: how many values each open one keeps, at most LOCAL_LIMIT_VALUES_MAX. */
void local_limiter_init(struct local_limiter *l, uint32_t values);
void local_limiter_fini(struct local_limiter *l);
/* `d->text` of the entries in the limiter's own arena. false: it is there already, or memory is out. */
bool local_limiter_add(struct local_limiter *l, struct local_limit_descriptor *d, struct slice text);
/* In zeroed memory of local_limiter_bytes(): all buckets are full. */
size_t local_limiter_bytes(const struct local_limiter *l);
struct local_limiter_state *local_limiter_state_init(const struct local_limiter *l, void *memory);

/* One that a request fits. */
struct local_limit_match {
    const struct token_rate *rate;
    struct token_bucket *bucket;
    uint64_t hits;
};

struct local_limit_result {
    bool allowed;
    const struct token_rate *rate; /* of the bucket to tell the client about; NULL: none */
    const struct token_bucket *bucket;
};

/* [any thread] Takes what the request needs. `matches` has room for all its descriptors. */
struct local_limit_result local_limiter_ask(const struct local_limiter *l, struct local_limiter_state *s,
                                            const struct rate_limit_descriptors *d, uint64_t now_ns,
                                            struct local_limit_match *matches);

#endif
