/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing of serialised pairs. Reads hostile bytes: every length is checked in 64 bits before it
 * is used.
 */
#include "proxywasm/pairs.h"

#include "base/assert.h"
#include "proxywasm/limits.h"

#include <endian.h>

static uint32_t load_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static void store_u32(char *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

/* Takes `len` bytes and the NUL after them off the front of *rest. */
static bool take_text(struct slice *rest, uint32_t len, struct pw_slice *out)
{
    if (rest->len < (uint64_t)len + 1 || rest->ptr[len] != '\0')
        return false;
    *out = (struct pw_slice){rest->ptr, len};
    *rest = slice_skip(*rest, (size_t)len + 1);
    return true;
}

static bool read_pairs(struct slice bytes, uint32_t count, struct pw_pair *pairs)
{
    const char *lengths = bytes.ptr + 4;
    struct slice rest = slice_skip(bytes, 4 + (size_t)count * 8);
    for (uint32_t i = 0; i < count; i++, lengths += 8) {
        if (!take_text(&rest, load_u32(lengths), &pairs[i].name) ||
            !take_text(&rest, load_u32(lengths + 4), &pairs[i].value))
            return false;
    }
    return rest.len == 0;
}

bool pairs_parse(struct slice bytes, struct arena *arena, struct pw_pair **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    if (bytes.len < 4 || bytes.len > PAIRS_BYTES_MAX)
        return true;
    uint32_t n = load_u32(bytes.ptr);
    /* Each pair takes its two lengths and two NULs at least. */
    if (n == 0 || n > PAIRS_COUNT_MAX || bytes.len - 4 < (uint64_t)n * 10)
        return true;
    struct pw_pair *pairs = arena_alloc(arena, n * sizeof(*pairs));
    if (!pairs)
        return false;
    if (read_pairs(bytes, n, pairs)) {
        *out = pairs;
        *count = n;
    }
    return true;
}

void pairs_writer_init(struct pairs_writer *w, char *buffer, size_t size, uint32_t count)
{
    size_t head = 4 + (size_t)count * 8;
    WEIR_ASSERT(size >= head);
    store_u32(buffer, count);
    *w = (struct pairs_writer){
        .lengths = buffer + 4,
        .lengths_end = buffer + head,
        .text = buffer + head,
        .text_end = buffer + size,
    };
}

static void put_text(struct pairs_writer *w, struct pw_slice s)
{
    store_u32(w->lengths, (uint32_t)s.len);
    w->lengths += 4;
    if (s.len)
        memcpy(w->text, s.ptr, s.len);
    w->text += s.len;
    *w->text++ = '\0';
}

void pairs_writer_add(struct pairs_writer *w, struct pw_slice name, struct pw_slice value)
{
    size_t room = (size_t)(w->text_end - w->text);
    if (w->failed || w->lengths_end - w->lengths < 8 || name.len > room || value.len > room - name.len ||
        room - name.len - value.len < 2) {
        w->failed = true;
        return;
    }
    put_text(w, name);
    put_text(w, value);
}

bool pairs_writer_done(const struct pairs_writer *w)
{
    return !w->failed && w->lengths == w->lengths_end && w->text == w->text_end;
}
