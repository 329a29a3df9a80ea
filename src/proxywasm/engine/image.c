/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrites the data section of a snapshot. Whether the result is valid is for the compiler to say: a module
 * that names its segments in instructions may not be.
 */
#include "proxywasm/engine/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES       8
#define SECTION_DATA       11
#define SECTION_DATA_COUNT 12
/* Beyond the memory: section head, segment head, their lengths, and a data count section. */
#define MARGIN_BYTES 64

struct writer {
    char *at;
};

static bool read_varint(struct slice *rest, uint32_t *out)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte;

        if (rest->len == 0)
            return false;
        byte = (uint8_t)rest->ptr[0];
        *rest = slice_skip(*rest, 1);
        value |= (uint32_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_section(struct slice *rest, uint8_t *id, struct slice *content, struct slice *whole)
{
    struct slice begin = *rest;
    uint32_t len;

    *id = (uint8_t)rest->ptr[0];
    *rest = slice_skip(*rest, 1);
    if (!read_varint(rest, &len) || len > rest->len)
        return false;
    *content = slice_take(*rest, len);
    *rest = slice_skip(*rest, len);
    *whole = slice_take(begin, begin.len - rest->len);
    return true;
}

static void put(struct writer *w, struct slice bytes)
{
    if (bytes.len > 0)
        memcpy(w->at, bytes.ptr, bytes.len);
    w->at += bytes.len;
}

static void put_byte(struct writer *w, uint8_t byte)
{
    *w->at++ = (char)byte;
}

/* Five bytes, so that lengths are known beforehand. */
static void put_u32(struct writer *w, uint32_t value)
{
    for (int i = 0; i < 4; i++, value >>= 7)
        put_byte(w, (uint8_t)(value | 0x80));
    put_byte(w, (uint8_t)value);
}

static void put_i32(struct writer *w, uint32_t value)
{
    int32_t rest = (int32_t)value;

    for (int i = 0; i < 4; i++, rest >>= 7)
        put_byte(w, (uint8_t)(rest | 0x80));
    put_byte(w, (uint8_t)(rest & 0x7f));
}

/* Without the zeros at both ends. */
static struct slice trim(struct slice memory, uint32_t *offset)
{
    size_t begin = 0;
    size_t end = memory.len;

    while (begin < end && memory.ptr[begin] == 0)
        begin++;
    while (end > begin && memory.ptr[end - 1] == 0)
        end--;
    *offset = (uint32_t)begin;
    return slice_take(slice_skip(memory, begin), end - begin);
}

/*
 * What the snapshotter writes: first the segments of the original, as passive ones without content that keep
 * the numbers of the others right, then active ones.
 */
struct segments {
    struct slice passive; /* as they are */
    uint32_t passive_count;
    uint32_t active_count;
};

static bool skip_bytes(struct slice *rest)
{
    uint32_t len;

    if (!read_varint(rest, &len) || len > rest->len)
        return false;
    *rest = slice_skip(*rest, len);
    return true;
}

/* An active segment of memory 0 at a constant. */
static bool skip_active(struct slice *rest)
{
    uint32_t offset;

    if (rest->len < 2 || rest->ptr[0] != 0 || rest->ptr[1] != 0x41)
        return false;
    *rest = slice_skip(*rest, 2);
    if (!read_varint(rest, &offset) || rest->len == 0 || rest->ptr[0] != 0x0b)
        return false;
    *rest = slice_skip(*rest, 1);
    return skip_bytes(rest);
}

static bool read_segments(struct slice data, struct segments *out)
{
    struct slice first;
    uint32_t count;

    if (!read_varint(&data, &count))
        return false;
    *out = (struct segments){.passive_count = 0};
    first = data;
    for (; out->passive_count < count && data.len > 0 && data.ptr[0] == 1; out->passive_count++) {
        data = slice_skip(data, 1);
        if (!skip_bytes(&data))
            return false;
    }
    out->passive = slice_take(first, first.len - data.len);
    for (; out->passive_count + out->active_count < count; out->active_count++)
        if (!skip_active(&data))
            return false;
    return data.len == 0 && out->active_count > 0;
}

static void put_data(struct writer *w, const struct segments *segments, struct slice memory)
{
    uint32_t offset;
    struct slice bytes = trim(memory, &offset);

    put_byte(w, SECTION_DATA);
    put_u32(w, (uint32_t)(5 + segments->passive.len + 1 + 1 + 5 + 1 + 5 + bytes.len));
    put_u32(w, segments->passive_count + 1);
    put(w, segments->passive);
    put_byte(w, 0); /* active, of memory 0 */
    put_byte(w, 0x41);
    put_i32(w, offset);
    put_byte(w, 0x0b);
    put_u32(w, (uint32_t)bytes.len);
    put(w, bytes);
}

static void put_data_count(struct writer *w, uint32_t count)
{
    put_byte(w, SECTION_DATA_COUNT);
    put_byte(w, 5);
    put_u32(w, count);
}

/* Finds the data section, and whether the module says beforehand how many segments there are. */
static bool find_data(struct slice code, struct segments *out)
{
    struct slice rest = slice_skip(code, HEADER_BYTES);
    struct slice content, whole;
    bool counted = false;
    bool found = false;
    uint8_t id;

    while (rest.len > 0) {
        if (!read_section(&rest, &id, &content, &whole))
            return false;
        counted = counted || id == SECTION_DATA_COUNT;
        if (id == SECTION_DATA)
            found = read_segments(content, out);
    }
    /* Without a count no instruction can name a segment. */
    if (found && !counted) {
        out->passive = SLICE_EMPTY;
        out->passive_count = 0;
    }
    return found;
}

bool image_merge(struct slice code, struct slice memory, char **out, size_t *len)
{
    struct slice rest = slice_skip(code, HEADER_BYTES);
    struct slice content, whole;
    struct segments segments;
    struct writer w;
    uint8_t id;

    if (code.len < HEADER_BYTES || memory.len > UINT32_MAX / 2 || !find_data(code, &segments))
        return false;
    *out = malloc(code.len + memory.len + MARGIN_BYTES);
    w.at = *out;
    if (!*out)
        return false;
    put(&w, slice_take(code, HEADER_BYTES));
    while (rest.len > 0 && read_section(&rest, &id, &content, &whole)) {
        if (id == SECTION_DATA)
            put_data(&w, &segments, memory);
        else if (id == SECTION_DATA_COUNT)
            put_data_count(&w, segments.passive_count + 1);
        else
            put(&w, whole);
    }
    *len = (size_t)(w.at - *out);
    return true;
}
