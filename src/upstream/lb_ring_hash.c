/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring hash (ketama): each host stands at many points of a ring, by the hashes of "key_0", "key_1", ...; a
 * request goes to the next point at or behind its hash. When a host leaves only its own requests move.
 */
#include "base/stable_hash.h"
#include "upstream/lb_table.h"

#include <math.h>
#include <stdlib.h>

/* "key_" and a number. */
#define KEY_BYTES_MAX 1024u

static int by_hash(const void *a, const void *b)
{
    const struct lb_ring_entry *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->host < y->host ? -1 : x->host > y->host;
}

static uint64_t point(const char *text, size_t len, bool murmur)
{
    struct slice s = slice_of(text, len);
    return murmur ? murmur64(s, MURMUR64_STD_SEED) : xxh64(s, 0);
}

/* The host's points while the ring holds fewer than `until`. */
static uint32_t add_points(struct lb_table *t, uint32_t host, double until, bool murmur)
{
    char address[ADDRESS_TEXT_MAX], text[KEY_BYTES_MAX + 1 + SLICE_U64_BYTES], digits[SLICE_U64_BYTES];
    struct slice key = slice_take(lb_table_key(t, host, address), KEY_BYTES_MAX);
    uint32_t points = 0;
    memcpy(text, key.ptr, key.len);
    text[key.len] = '_';
    for (; t->size < until; points++) {
        struct slice number = slice_from_u64(points, digits);
        memcpy(text + key.len + 1, number.ptr, number.len);
        t->ring[t->size++] = (struct lb_ring_entry){point(text, key.len + 1 + number.len, murmur), host};
    }
    return points;
}

/* As many points that the lightest host has a whole number of them, within the configured sizes (Envoy's
 * sizes and order of rounding: the rings must be equal). */
static bool fill(struct lb_table *t, struct arena *arena, const struct cluster_config *config)
{
    double scale = ceil(t->weight_min * (double)config->lb.ring_size_min) / t->weight_min;
    if (scale > (double)config->lb.ring_size_max)
        scale = (double)config->lb.ring_size_max;
    double until = 0;
    t->size_wanted = (uint32_t)ceil(scale);
    /* Rounding may add one point for each host. */
    t->ring = ARENA_NEW_N(arena, struct lb_ring_entry, (size_t)t->size_wanted + t->hosts_count);
    if (!t->ring)
        return false;
    t->least_per_host = UINT32_MAX;
    for (uint32_t i = 0; i < t->hosts_count; i++) {
        until += scale * t->weights[i];
        uint32_t points = add_points(t, i, until, config->lb.ring_murmur);
        t->least_per_host = points < t->least_per_host ? points : t->least_per_host;
        t->most_per_host = points > t->most_per_host ? points : t->most_per_host;
    }
    qsort(t->ring, t->size, sizeof(t->ring[0]), by_hash);
    return true;
}

static uint32_t pick(const struct lb_table *t, uint64_t hash, uint32_t attempt)
{
    uint32_t low = 0, high = t->size;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->ring[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == t->size)
        low = 0;
    return t->ring[((uint64_t)low + attempt) % t->size].host;
}

const struct lb_table_ops lb_ring_hash = {fill, pick};
