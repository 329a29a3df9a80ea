/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which buckets a request takes from, in Envoy's order: those of its descriptors, the slowest first, then the
 * one for all. What a bucket before has given is not given back.
 */
#include "filters/local_ratelimit/local_limiter.h"

#include "base/keyed_hash.h"

#include <stdlib.h>

/* The bucket of one value. */
struct value_slot {
    _Atomic uint64_t key; /* hash of the descriptor's text; SLOT_FREE, SLOT_TAKEN */
    _Atomic uint64_t used_ns;
    struct token_bucket bucket;
};

#define SLOT_FREE  0u
#define SLOT_TAKEN 1u /* somebody moves in */
#define SLOT_KEYS  2u /* the first that a value has */

struct local_limiter_state {
    struct value_slot *slots;
    struct token_bucket buckets[];
};

void local_limiter_init(struct local_limiter *l, uint32_t values)
{
    *l = (struct local_limiter){.closed_count = 1};
    map_init(&l->closed);
    l->sets = (values + LOCAL_LIMIT_WAYS_MAX - 1) / LOCAL_LIMIT_WAYS_MAX;
    l->ways = values / l->sets;
}

void local_limiter_fini(struct local_limiter *l)
{
    map_fini(&l->closed);
}

bool local_limiter_add(struct local_limiter *l, struct local_limit_descriptor *d, struct slice text)
{
    if (map_has(&l->closed, text) || !map_put(&l->closed, text, d))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        d->open = d->open || d->entries[i].value.len == 0;
    d->number = d->open ? l->open_count++ : l->closed_count++;
    return true;
}

static size_t slots_of(const struct local_limiter *l)
{
    return (size_t)l->sets * l->ways;
}

static size_t slots_at(const struct local_limiter *l)
{
    return sizeof(struct local_limiter_state) + l->closed_count * sizeof(struct token_bucket);
}

size_t local_limiter_bytes(const struct local_limiter *l)
{
    return slots_at(l) + l->open_count * slots_of(l) * sizeof(struct value_slot);
}

struct local_limiter_state *local_limiter_state_init(const struct local_limiter *l, void *memory)
{
    struct local_limiter_state *s = memory;
    s->slots = (struct value_slot *)(void *)((char *)memory + slots_at(l));
    return s;
}

/* --- buckets of values --- */

static struct value_slot *find_slot(struct value_slot *set, size_t count, uint64_t key)
{
    for (size_t i = 0; i < count; i++) {
        if (atomic_load(&set[i].key) == key)
            return &set[i];
    }
    return NULL;
}

/* Where nobody is, or who was not asked for longest. */
static struct value_slot *oldest_slot(struct value_slot *set, size_t count, uint64_t *key)
{
    struct value_slot *oldest = NULL;
    uint64_t oldest_ns = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t own = atomic_load_explicit(&set[i].key, memory_order_relaxed);
        uint64_t used_ns = own == SLOT_FREE ? 0 : atomic_load_explicit(&set[i].used_ns, memory_order_relaxed);
        if (own == SLOT_TAKEN || (oldest && used_ns >= oldest_ns))
            continue;
        oldest = &set[i];
        oldest_ns = used_ns;
        *key = own;
    }
    return oldest;
}

static void leave(struct value_slot *slot, uint64_t key)
{
    atomic_compare_exchange_strong(&slot->key, &key, SLOT_FREE);
}

/* Two workers may have brought the same value at once. The first slot counts: at least one of them sees the
 * other's, as each writes before it looks. */
static struct value_slot *settle(struct value_slot *set, size_t count, struct value_slot *own, uint64_t key)
{
    atomic_store(&own->key, key);
    struct value_slot *first = find_slot(set, (size_t)(own - set), key);
    if (first) {
        leave(own, key);
        return first;
    }
    for (struct value_slot *other = own + 1; other < set + count; other++)
        leave(other, key);
    return own;
}

static struct value_slot *slot_of(struct value_slot *set, size_t count, uint64_t key, uint64_t now_ns)
{
    for (;;) {
        uint64_t old = SLOT_FREE;
        struct value_slot *slot = find_slot(set, count, key);
        if (!slot && (slot = oldest_slot(set, count, &old)) != NULL) {
            /* Lost: somebody else has moved in, perhaps with this very value. */
            if (!atomic_compare_exchange_strong(&slot->key, &old, SLOT_TAKEN))
                continue;
            atomic_store_explicit(&slot->bucket.full_at, 0, memory_order_relaxed);
            atomic_store_explicit(&slot->used_ns, now_ns, memory_order_relaxed);
            slot = settle(set, count, slot, key);
        }
        if (slot) {
            atomic_store_explicit(&slot->used_ns, now_ns, memory_order_relaxed);
            return slot;
        }
    }
}

static struct token_bucket *open_bucket(const struct local_limiter *l, struct local_limiter_state *s,
                                        const struct local_limit_descriptor *d, struct slice text,
                                        uint64_t now_ns)
{
    uint64_t key = keyed_hash(text);
    struct value_slot *set = s->slots + d->number * slots_of(l) + key % l->sets * l->ways;
    return &slot_of(set, l->ways, key < SLOT_KEYS ? SLOT_KEYS : key, now_ns)->bucket;
}

/* --- matching --- */

static bool fits(const struct local_limit_descriptor *own, const struct rate_limit_descriptor *d)
{
    bool fit = own->open && own->count == d->count;
    for (uint32_t i = 0; fit && i < d->count; i++) {
        const struct rate_limit_entry *want = &own->entries[i], *is = &d->entries[i];
        fit = slice_eq(want->key, is->key) && (want->value.len == 0 || slice_eq(want->value, is->value));
    }
    return fit;
}

static struct local_limit_match match(const struct local_limiter *l, struct local_limiter_state *s,
                                      const struct rate_limit_descriptor *d, uint64_t now_ns)
{
    const struct local_limit_descriptor *own = map_get(&l->closed, d->text);
    if (own && !own->open)
        return (struct local_limit_match){&own->rate, &s->buckets[own->number], d->hits};
    for (uint32_t i = 0; l->open_count && i < l->descriptors_count; i++) {
        own = &l->descriptors[i];
        if (fits(own, d))
            return (struct local_limit_match){&own->rate, open_bucket(l, s, own, d->text, now_ns), d->hits};
    }
    return (struct local_limit_match){NULL, NULL, 0};
}

/* By the time that a token takes, the longest first; equal ones stay in their order. */
static void insert(struct local_limit_match *list, uint32_t count, struct local_limit_match one)
{
    for (; count > 0 && list[count - 1].rate->token < one.rate->token; count--)
        list[count] = list[count - 1];
    list[count] = one;
}

struct local_limit_result local_limiter_ask(const struct local_limiter *l, struct local_limiter_state *s,
                                            const struct rate_limit_descriptors *d, uint64_t now_ns,
                                            struct local_limit_match *matches)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        struct local_limit_match one = match(l, s, &d->items[i], now_ns);
        if (one.bucket)
            insert(matches, count++, one);
    }
    for (uint32_t i = 0; i < count; i++) {
        /* A request that counts for nothing is refused, as in Envoy. */
        if (matches[i].hits == 0 ||
            !token_bucket_take(matches[i].bucket, matches[i].rate, now_ns, matches[i].hits))
            return (struct local_limit_result){false, matches[i].rate, matches[i].bucket};
    }
    struct local_limit_match told = {NULL, NULL, 0};
    if (count > 0)
        told = matches[0];
    if (l->bounded && (count == 0 || l->always)) {
        struct token_bucket *all = &s->buckets[0];
        if (!token_bucket_take(all, &l->rate, now_ns, 1))
            return (struct local_limit_result){false, &l->rate, all};
        if (count == 0)
            told = (struct local_limit_match){&l->rate, all, 1};
    }
    return (struct local_limit_result){true, told.rate, told.bucket};
}
