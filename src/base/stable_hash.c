/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64 and MurmurHash64A, written from their specifications for little-endian loads; the byte order is
 * fixed, so that values do not depend on the machine.
 */
#include "base/stable_hash.h"

/* xxHash specification, XXH64: the five primes. */
#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t load(const char *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | (unsigned char)p[i - 1];
    return value;
}

static uint64_t rotate(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static uint64_t round_of(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static uint64_t merge(uint64_t acc, uint64_t lane)
{
    return (acc ^ round_of(0, lane)) * PRIME_1 + PRIME_4;
}

/* Steps 1 to 3: whole stripes of 32 bytes in four lanes. */
static uint64_t stripes(const char **p, const char *end, uint64_t seed)
{
    uint64_t lane[4] = {seed + PRIME_1 + PRIME_2, seed + PRIME_2, seed, seed - PRIME_1};
    static const unsigned shift[4] = {1, 7, 12, 18};
    uint64_t acc = 0;
    for (; end - *p >= 32; *p += 32) {
        for (unsigned i = 0; i < 4; i++)
            lane[i] = round_of(lane[i], load(*p + 8 * i, 8));
    }
    for (unsigned i = 0; i < 4; i++)
        acc += rotate(lane[i], shift[i]);
    for (unsigned i = 0; i < 4; i++)
        acc = merge(acc, lane[i]);
    return acc;
}

uint64_t xxh64(struct slice s, uint64_t seed)
{
    const char *p = s.ptr, *end = s.ptr + s.len;
    uint64_t acc = (s.len >= 32 ? stripes(&p, end, seed) : seed + PRIME_5) + s.len;
    for (; end - p >= 8; p += 8)
        acc = rotate(acc ^ round_of(0, load(p, 8)), 27) * PRIME_1 + PRIME_4;
    for (; end - p >= 4; p += 4)
        acc = rotate(acc ^ load(p, 4) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    for (; p < end; p++)
        acc = rotate(acc ^ (unsigned char)*p * PRIME_5, 11) * PRIME_1;
    acc = (acc ^ acc >> 33) * PRIME_2;
    acc = (acc ^ acc >> 29) * PRIME_3;
    return acc ^ acc >> 32;
}

uint64_t murmur64(struct slice s, uint64_t seed)
{
    const uint64_t factor = UINT64_C(0xc6a4a7935bd1e995);
    const char *p = s.ptr, *end = s.ptr + s.len;
    uint64_t hash = seed ^ s.len * factor;
    for (; end - p >= 8; p += 8) {
        uint64_t k = load(p, 8) * factor;
        hash = (hash ^ (k ^ k >> 47) * factor) * factor;
    }
    if (p < end)
        hash = (hash ^ load(p, (unsigned)(end - p))) * factor;
    hash = (hash ^ hash >> 47) * factor;
    return hash ^ hash >> 47;
}
