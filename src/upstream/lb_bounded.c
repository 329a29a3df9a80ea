/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consistent hashing with bounded loads (Mirrokni et al., arXiv 1608.01350): a host that has more than its
 * share of the cluster's requests in flight is passed over for others, in an order that only depends on the
 * hash.
 */
#include "base/assert.h"
#include "upstream/lb.h"
#include "upstream/lb_table.h"

#include <math.h>

/* MT19937 (Matsumoto and Nishimura, 1998), of which Envoy takes the numbers of this order. */
#define TWIST_WORDS 624
#define TWIST_AHEAD 397

struct twister {
    uint32_t words[TWIST_WORDS];
    unsigned at;
};

static void twister_seed(struct twister *t, uint32_t seed)
{
    t->words[0] = seed;
    for (uint32_t i = 1; i < TWIST_WORDS; i++)
        t->words[i] = 1812433253u * (t->words[i - 1] ^ t->words[i - 1] >> 30) + i;
    t->at = TWIST_WORDS;
}

static uint32_t twister_next(struct twister *t)
{
    if (t->at == TWIST_WORDS) {
        for (unsigned i = 0; i < TWIST_WORDS; i++) {
            uint32_t y = (t->words[i] & 0x80000000u) | (t->words[(i + 1) % TWIST_WORDS] & 0x7fffffffu);
            t->words[i] = t->words[(i + TWIST_AHEAD) % TWIST_WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->at = 0;
    }
    uint32_t y = t->words[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* Uniform in [0, bound). */
static uint32_t twister_below(struct twister *t, uint32_t bound)
{
    uint32_t n;
    do {
        n = (uint32_t)(twister_next(t) / ((UINT64_C(1) << 32) / bound));
    } while (n >= bound);
    return n;
}

static uint32_t cluster_in_flight(const struct lb *lb)
{
    uint32_t sum = 0;
    for (int i = 0; i < 2; i++) {
        if (lb->in_flight[i])
            sum += atomic_load_explicit(lb->in_flight[i], memory_order_relaxed);
    }
    return sum;
}

/* Requests in flight by those that the host may have; above 1 it is passed over. */
static double overload(const struct lb *lb, const struct lb_table *t, uint32_t host)
{
    uint64_t total = ((uint64_t)cluster_in_flight(lb) + 1) * lb->config->hash_balance_factor;
    double slots = ceil((double)((total + 99) / 100) * t->weights[host]);
    uint32_t active = atomic_load_explicit(&t->hosts[host]->active, memory_order_relaxed);
    return active / (slots > 1 ? slots : 1);
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t c = *a;
    *a = *b;
    *b = c;
}

struct host *lb_pick_bounded(struct lb *lb, const struct lb_table *t, uint64_t hash, uint32_t attempt)
{
    uint32_t first = t->ops->pick(t, hash, attempt), best = first;
    double least = overload(lb, t, first);
    if (least <= 1.0)
        return t->hosts[first];
    struct twister random;
    twister_seed(&random, (uint32_t)hash);
    for (uint32_t i = 0; i < t->hosts_count; i++)
        lb->scratch[i] = i;
    for (uint32_t i = 0; i < t->hosts_count; i++) {
        swap(&lb->scratch[i], &lb->scratch[i + twister_below(&random, t->hosts_count - i)]);
        uint32_t other = lb->scratch[i];
        double load = other == first ? least : overload(lb, t, other);
        if (other == first)
            continue;
        if (load <= 1.0)
            return t->hosts[other];
        if (load < least) {
            best = other;
            least = load;
        }
    }
    return t->hosts[best];
}
