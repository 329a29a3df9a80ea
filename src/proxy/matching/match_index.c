/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting and walking prefixes. A look-up allocates nothing, and its cost does not grow with the number of
 * entries but by its logarithm, whatever they are.
 */
#include "proxy/matching/match_index.h"

#include "base/assert.h"
#include "net/address.h"

#include <stdlib.h>

#define TEXT_BITS_MAX (UINT32_MAX / 8)

static uint8_t byte_at(struct slice s, size_t i, bool backwards)
{
    return (uint8_t)s.ptr[backwards ? s.len - 1 - i : i];
}

/* How many bits two strings have in common from their beginning, at most `max`. */
static uint32_t common_bits(struct slice a, struct slice b, uint32_t max, bool backwards)
{
    uint32_t bytes = (max + 7) / 8;
    for (uint32_t i = 0; i < bytes; i++) {
        unsigned differ = byte_at(a, i, backwards) ^ byte_at(b, i, backwards);
        if (differ) {
            uint32_t common = i * 8 + (uint32_t)__builtin_clz(differ) - 24;
            return common < max ? common : max;
        }
    }
    return max;
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Whether the key's next bit is the greater one, behind what they have in common. */
static bool greater_at(struct slice key, uint32_t common, bool backwards)
{
    return (byte_at(key, common / 8, backwards) >> (7 - common % 8)) & 1;
}

static int compare(const struct match_entry *a, const struct match_entry *b, bool backwards)
{
    uint32_t shorter = lesser(a->bits, b->bits);
    uint32_t common = common_bits(a->key, b->key, shorter, backwards);
    if (common < shorter)
        return greater_at(a->key, common, backwards) ? 1 : -1;
    if (a->bits != b->bits)
        return a->bits < b->bits ? -1 : 1;
    return a->order > b->order ? -1 : 1; /* walked from the end */
}

static int compare_forwards(const void *a, const void *b)
{
    return compare(a, b, false);
}

static int compare_backwards(const void *a, const void *b)
{
    return compare(a, b, true);
}

void match_index_build(struct match_index *index)
{
    if (index->count == 0)
        return;
    for (uint32_t i = 0; i < index->count; i++)
        WEIR_ASSERT(index->entries[i].bits <= index->entries[i].key.len * 8);
    qsort(index->entries, index->count, sizeof(*index->entries),
          index->backwards ? compare_backwards : compare_forwards);
    for (uint32_t i = 1; i < index->count; i++) {
        struct match_entry *e = &index->entries[i];
        const struct match_entry *before = e - 1;
        uint32_t common = common_bits(before->key, e->key, lesser(before->bits, e->bits), index->backwards);
        /* All that encloses this one encloses the one before it, or is that one. */
        uint32_t parent = i;
        while (parent && index->entries[parent - 1].bits > common)
            parent = index->entries[parent - 1].parent;
        e->parent = parent;
    }
}

/* An IPv4 address mapped into IPv6 is that IPv4 address. */
struct slice match_ip_key(const struct address *a, uint8_t out[MATCH_IP_BYTES])
{
    if (!address_is_ip(a))
        return SLICE_EMPTY;
    const uint8_t *bytes =
        a->sa.sa_family == AF_INET ? (const uint8_t *)&a->in4.sin_addr : a->in6.sin6_addr.s6_addr;
    size_t len = a->sa.sa_family == AF_INET ? 4 : 16;
    if (len == 16 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
        bytes += 12;
        len = 4;
    }
    out[0] = (uint8_t)len;
    memcpy(out + 1, bytes, len);
    return slice_of(out, len + 1);
}

uint32_t match_ip_bits(const struct cidr *range)
{
    /* A mapped base was not masked within its first 96 bits: they are not in its key. */
    const struct address *a = &range->base;
    bool mapped = a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
    return 8u + range->prefix_bits - (mapped ? 96u : 0u);
}

void match_walk_init(struct match_walk *w, const struct match_index *index, struct slice value)
{
    value = slice_take(value, TEXT_BITS_MAX); /* no header is that long */
    *w = (struct match_walk){.index = index, .bits = (uint32_t)value.len * 8};
    uint32_t low = 0, high = index->count; /* entries before `low` are not behind the value */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct match_entry *e = &index->entries[middle];
        uint32_t shorter = lesser(e->bits, w->bits);
        uint32_t common = common_bits(e->key, value, shorter, index->backwards);
        bool behind = common < shorter ? greater_at(e->key, common, index->backwards) : e->bits > w->bits;
        if (behind) {
            high = middle;
        } else {
            low = middle + 1;
            w->common = common;
        }
    }
    w->next = low;
}

const struct match_entry *match_walk_next(struct match_walk *w)
{
    while (w->next) {
        const struct match_entry *e = &w->index->entries[w->next - 1];
        w->next = e->parent;
        if (e->bits <= w->common && (!e->whole || e->bits == w->bits))
            return e;
    }
    return NULL;
}
