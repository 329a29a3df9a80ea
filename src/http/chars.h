/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character classes of HTTP and scans over them. The scans read only between the pointers that they are
 * given, 16 bytes at a time where the machine has SSE2. Internal to the http room.
 */
#ifndef WEIR_HTTP_CHARS_H
#define WEIR_HTTP_CHARS_H

#include "base/slice.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The lower-case form of each tchar (RFC 9110 5.6.2), 0 for every other byte. */
extern const unsigned char chars_token_lower[256];

static inline bool chars_is_token(char c)
{
    return chars_token_lower[(unsigned char)c] != 0;
}

/* field-vchar, SP or HTAB (RFC 9110 5.5); obs-text is fine. */
static inline bool chars_is_value(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= 0x20 && u != 0x7f) || u == '\t';
}

/* VCHAR: what a request target may consist of before its form is looked at. */
static inline bool chars_is_visible(char c)
{
    unsigned char u = (unsigned char)c;
    return u > 0x20 && u < 0x7f;
}

#ifdef __SSE2__
/* A bit for each of the 16 bytes that may not stand in a field value. */
static inline unsigned chars_value_bad(__m128i v)
{
    __m128i space = _mm_set1_epi8(0x20), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_max_epu8(v, space), v), _mm_cmpeq_epi8(v, tab));
    __m128i bad = _mm_or_si128(_mm_andnot_si128(good, _mm_set1_epi8(-1)), _mm_cmpeq_epi8(v, del));
    return (unsigned)_mm_movemask_epi8(bad);
}

/* Whether 4 to 15 bytes may all stand in a field value. */
static inline bool chars_value_short(const char *p, const char *end)
{
    if (end - p < 8) {
        uint32_t head, tail; /* which overlap */
        memcpy(&head, p, 4);
        memcpy(&tail, end - 4, 4);
        return chars_value_bad(_mm_set1_epi64x((long long)(head | (uint64_t)tail << 32))) == 0;
    }
    __m128i head = _mm_loadl_epi64((const __m128i *)(const void *)p);
    __m128i tail = _mm_loadl_epi64((const __m128i *)(const void *)(end - 8));
    return chars_value_bad(_mm_unpacklo_epi64(head, tail)) == 0;
}
#endif

/* The first byte in [p, end) that may not stand in a field value; `end` when there is none. */
static inline const char *chars_skip_value(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        unsigned mask = chars_value_bad(_mm_loadu_si128((const __m128i *)(const void *)p));
        if (mask)
            return p + __builtin_ctz(mask);
    }
    if (end - p >= 4 && chars_value_short(p, end))
        return end;
#endif
    while (p < end && chars_is_value(*p))
        p++;
    return p;
}

/* The first byte in [p, end) that is not VCHAR. */
static inline const char *chars_skip_visible(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi8(0x20), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed comparison: bytes from 0x80 up are negative and fail the first. */
        __m128i good = _mm_andnot_si128(_mm_cmpeq_epi8(v, del), _mm_cmpgt_epi8(v, low));
        unsigned mask = (unsigned)_mm_movemask_epi8(good) ^ 0xffffu;
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    while (p < end && chars_is_visible(*p))
        p++;
    return p;
}

/* The first byte in [p, end) that is not a tchar. */
static inline const char *chars_skip_token(const char *p, const char *end)
{
    while (p < end && chars_is_token(*p))
        p++;
    return p;
}

#ifdef __SSE2__
static inline bool chars_all_plain(__m128i v)
{
    __m128i letter = _mm_sub_epi8(v, _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                                _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit));
    good = _mm_or_si128(good, _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
    return _mm_movemask_epi8(good) == 0xffff;
}
#endif

/* Whether a name consists of a-z, 0-9 and '-' only, as nearly all do: a token, and in lower case. Where the
 * machine has no SSE2, or the name is short, it may say no without looking. */
static inline bool chars_is_plain_name(struct slice name)
{
#ifdef __SSE2__
    const char *p = name.ptr, *end = name.ptr + name.len;
    if (name.len < 4)
        return false;
    if (name.len < 8) {
        uint32_t head, tail; /* which overlap */
        memcpy(&head, p, 4);
        memcpy(&tail, end - 4, 4);
        return chars_all_plain(_mm_set1_epi64x((long long)(head | (uint64_t)tail << 32)));
    }
    if (name.len < 16) {
        __m128i head = _mm_loadl_epi64((const __m128i *)(const void *)p);
        __m128i tail = _mm_loadl_epi64((const __m128i *)(const void *)(end - 8));
        return chars_all_plain(_mm_unpacklo_epi64(head, tail));
    }
    for (; end - p > 16; p += 16) {
        if (!chars_all_plain(_mm_loadu_si128((const __m128i *)(const void *)p)))
            return false;
    }
    return chars_all_plain(_mm_loadu_si128((const __m128i *)(const void *)(end - 16)));
#else
    (void)name;
    return false;
#endif
}

/* The value of a hexadecimal digit, or -1. */
static inline int chars_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* host [":" port] as a Host field or :authority may hold it (RFC 9110 7.2, RFC 3986 3.2.2): no userinfo, no
 * space; the empty slice is valid; the port at most 65535. */
bool chars_host_valid(struct slice host);

#endif
