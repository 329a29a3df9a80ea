/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slice is a borrowed run of bytes, passed by value. It never owns: whoever keeps one past the call that
 * gave it copies the bytes first. It may hold NUL bytes and has no terminator. The empty slice may have any
 * pointer, NULL included.
 */
#ifndef WEIR_BASE_SLICE_H
#define WEIR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
#define SLICE_EMPTY  ((struct slice){NULL, 0})
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) ((int)((s).len > 4096 ? 4096 : (s).len)), ((s).ptr ? (s).ptr : "")

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){(const char *)ptr, len};
}

/* NULL gives the empty slice. */
static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

/* memcpy for what is mostly short, as names and values are: without a call up to 16 bytes. */
static inline void slice_copy(char *to, struct slice s)
{
    if (s.len > 16) {
        memcpy(to, s.ptr, s.len);
    } else if (s.len >= 8) {
        uint64_t head, tail; /* which may overlap */
        memcpy(&head, s.ptr, 8);
        memcpy(&tail, s.ptr + s.len - 8, 8);
        memcpy(to, &head, 8);
        memcpy(to + s.len - 8, &tail, 8);
    } else if (s.len >= 4) {
        uint32_t head, tail;
        memcpy(&head, s.ptr, 4);
        memcpy(&tail, s.ptr + s.len - 4, 4);
        memcpy(to, &head, 4);
        memcpy(to + s.len - 4, &tail, 4);
    } else {
        for (size_t i = 0; i < s.len; i++)
            to[i] = s.ptr[i];
    }
}

/* ASCII case only, as header names and hosts compare. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_starts_with_nocase(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);
/* memcmp order; a proper prefix sorts first. */
int slice_cmp(struct slice a, struct slice b);
/* Offset of the first `c`, or -1. */
ptrdiff_t slice_find_char(struct slice s, char c);
/* Offset of the first occurrence of `needle`, or -1. The empty needle is found at 0. */
ptrdiff_t slice_find(struct slice s, struct slice needle);
/* `from` past the end gives the empty slice at the end. */
struct slice slice_skip(struct slice s, size_t from);
struct slice slice_take(struct slice s, size_t len);
/* Strips SP and HTAB at both ends (OWS of RFC 9110 5.6.3). */
struct slice slice_trim(struct slice s);
/*
 * Takes the part before the first `sep` off the front of *rest into *part. The last part leaves rest->ptr
 * NULL, and the next call returns false. "a,,b" gives "a", "", "b"; the empty non-NULL slice gives one empty
 * part.
 */
bool slice_split(struct slice *rest, char sep, struct slice *part);
/* A NUL-terminated copy that the caller frees; NULL when memory is out. */
char *slice_strdup(struct slice s);
/* Whole slice must be decimal digits and fit; no sign, no space. */
bool slice_parse_u64(struct slice s, uint64_t *out);
bool slice_parse_i64(struct slice s, int64_t *out);
#define SLICE_U64_BYTES 20
/* Decimal digits, at the end of `buffer`: for paths where printf costs too much. */
struct slice slice_from_u64(uint64_t n, char buffer[SLICE_U64_BYTES]);
/* FNV-1a with a final mix: for keys of the configuration; those that others choose have keyed_hash. */
uint64_t slice_hash(struct slice s);

#endif
