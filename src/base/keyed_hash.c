/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson, Bernstein 2012), and the secret, drawn once per process.
 */
#include "base/keyed_hash.h"

#include "base/assert.h"

#include <endian.h>
#include <pthread.h>
#include <sys/random.h>

struct sip {
    uint64_t v[4];
};

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    uint64_t *v = s->v;
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v[3] ^= word;
    sip_round(s);
    s->v[0] ^= word;
}

uint64_t keyed_hash_with(const uint64_t secret[2], struct slice in)
{
    struct sip s = {{UINT64_C(0x736f6d6570736575) ^ secret[0], UINT64_C(0x646f72616e646f6d) ^ secret[1],
                     UINT64_C(0x6c7967656e657261) ^ secret[0], UINT64_C(0x7465646279746573) ^ secret[1]}};
    uint64_t last = (uint64_t)in.len << 56;
    size_t whole = in.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, in.ptr + i, 8);
        sip_word(&s, le64toh(word));
    }
    for (size_t i = whole; i < in.len; i++)
        last |= (uint64_t)(unsigned char)in.ptr[i] << (8 * (i & 7));
    sip_word(&s, last);
    s.v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

static uint64_t process_secret[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw(void)
{
    /* Without randomness the process has worse troubles than slow maps: TLS keys, request ids. */
    WEIR_ASSERT(getrandom(process_secret, sizeof(process_secret), 0) == sizeof(process_secret));
}

uint64_t keyed_hash(struct slice s)
{
    pthread_once(&once, draw);
    return keyed_hash_with(process_secret, s);
}
