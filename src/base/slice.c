/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparisons, searches and number parsing on borrowed bytes. Nothing here allocates or reads past the
 * length.
 */
#include "base/slice.h"

#include "base/assert.h"

#include <stdlib.h>

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_take(s, prefix.len), prefix);
}

bool slice_starts_with_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_take(s, prefix.len), prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_skip(s, s.len - suffix.len), suffix);
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

ptrdiff_t slice_find_char(struct slice s, char c)
{
    if (s.len == 0)
        return -1;
    const char *hit = memchr(s.ptr, c, s.len);
    return hit ? hit - s.ptr : -1;
}

ptrdiff_t slice_find(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return -1;
    const char *hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit ? hit - s.ptr : -1;
}

struct slice slice_skip(struct slice s, size_t from)
{
    if (from > s.len)
        from = s.len;
    return (struct slice){s.ptr ? s.ptr + from : NULL, s.len - from};
}

struct slice slice_take(struct slice s, size_t len)
{
    return (struct slice){s.ptr, len < s.len ? len : s.len};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_skip(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_split(struct slice *rest, char sep, struct slice *part)
{
    if (!rest->ptr)
        return false;
    ptrdiff_t at = slice_find_char(*rest, sep);
    if (at < 0) {
        *part = *rest;
        *rest = SLICE_EMPTY;
        return true;
    }
    *part = slice_take(*rest, (size_t)at);
    *rest = slice_skip(*rest, (size_t)at + 1);
    return true;
}

char *slice_strdup(struct slice s)
{
    char *copy = malloc(s.len + 1);
    if (copy) {
        if (s.len)
            memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

bool slice_parse_u64(struct slice s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

bool slice_parse_i64(struct slice s, int64_t *out)
{
    uint64_t magnitude;
    bool negative = s.len > 0 && s.ptr[0] == '-';
    if (!slice_parse_u64(negative ? slice_skip(s, 1) : s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

uint64_t slice_hash(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

struct slice slice_from_u64(uint64_t n, char buffer[SLICE_U64_BYTES])
{
    char *end = buffer + SLICE_U64_BYTES, *p = end;
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return slice_of(p, (size_t)(end - p));
}
