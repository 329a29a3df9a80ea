/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic cell rate algorithm. Taking a token puts off the time at which the bucket is full by the time
 * that a token needs; it may not be put off by more than the whole bucket needs. In whole ticks, so that a
 * burst is exact however often it is counted.
 */
#include "base/token_bucket.h"

#define TICKS_PER_NS UINT64_C(16)
#define NS_PER_MS    UINT64_C(1000000)

struct token_rate token_rate_of(uint64_t max_tokens, uint64_t per_fill, uint64_t interval_ms)
{
    unsigned __int128 interval = (unsigned __int128)interval_ms * NS_PER_MS * TICKS_PER_NS;
    unsigned __int128 token = (interval + per_fill - 1) / per_fill;
    if (token > TOKEN_BUCKET_TICKS_MAX)
        token = TOKEN_BUCKET_TICKS_MAX;
    unsigned __int128 capacity = token * max_tokens;
    if (capacity > TOKEN_BUCKET_TICKS_MAX)
        capacity = TOKEN_BUCKET_TICKS_MAX;
    return (struct token_rate){(uint64_t)token, (uint64_t)capacity, max_tokens};
}

/* How far the bucket is from being full. */
static uint64_t missing(uint64_t full_at, uint64_t now)
{
    return full_at > now ? full_at - now : 0;
}

bool token_bucket_take(struct token_bucket *b, const struct token_rate *r, uint64_t now_ns, uint64_t count)
{
    uint64_t now = now_ns * TICKS_PER_NS;
    if (count > r->capacity / r->token)
        return false;
    uint64_t old = atomic_load_explicit(&b->full_at, memory_order_relaxed), behind;
    do {
        behind = missing(old, now) + count * r->token;
        if (behind > r->capacity)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->full_at, &old, now + behind, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static uint64_t level(const struct token_bucket *b, const struct token_rate *r, uint64_t now_ns)
{
    uint64_t behind = missing(atomic_load_explicit(&b->full_at, memory_order_relaxed), now_ns * TICKS_PER_NS);
    return behind < r->capacity ? r->capacity - behind : 0;
}

uint64_t token_bucket_left(const struct token_bucket *b, const struct token_rate *r, uint64_t now_ns)
{
    return level(b, r, now_ns) / r->token;
}

uint64_t token_bucket_wait_ns(const struct token_bucket *b, const struct token_rate *r, uint64_t now_ns)
{
    uint64_t have = level(b, r, now_ns);
    return have < r->token ? (r->token - have + TICKS_PER_NS - 1) / TICKS_PER_NS : 0;
}
