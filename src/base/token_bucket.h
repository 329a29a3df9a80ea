/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket that all threads take from: one atomic word, no lock, no timer. What is in it is computed
 * from the time, so it fills steadily and not in steps. It never gives out a token twice, nor more than it
 * holds at once.
 */
#ifndef WEIR_BASE_TOKEN_BUCKET_H
#define WEIR_BASE_TOKEN_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How fast a bucket fills and how much it holds; immutable. Times are in ticks: 1/16 ns. */
struct token_rate {
    uint64_t token;    /* to make one */
    uint64_t capacity; /* to fill it: max_tokens * token, or TOKEN_BUCKET_TICKS_MAX */
    uint64_t max_tokens;
};

/* Nine years: who fills more slowly than that is full after them. */
#define TOKEN_BUCKET_TICKS_MAX (UINT64_C(1) << 62)

/* The time at which it will be full again, in ticks. Zeroed: full. */
struct token_bucket {
    _Atomic uint64_t full_at;
};

/* `per_fill` of them each `interval_ms`; all above 0. */
struct token_rate token_rate_of(uint64_t max_tokens, uint64_t per_fill, uint64_t interval_ms);
/* [any thread] All `count` or none: false. `now_ns` is monotonic; a little old is fine. */
bool token_bucket_take(struct token_bucket *b, const struct token_rate *r, uint64_t now_ns, uint64_t count);
/* Whole tokens that are there. */
uint64_t token_bucket_left(const struct token_bucket *b, const struct token_rate *r, uint64_t now_ns);
/* Until one is there; 0: now. */
uint64_t token_bucket_wait_ns(const struct token_bucket *b, const struct token_rate *r, uint64_t now_ns);

#endif
