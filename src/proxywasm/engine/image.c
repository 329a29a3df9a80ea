/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrites the data section of a snapshot. Whether the result is valid is for the compiler to say: a module
 * that names its segments in instructions may not be.
 */
#include "proxywasm/engine/image.h"

#include "proxywasm/engine/sections.h"

#include <stdlib.h>

/* Beyond the memory: section head, segment head, their lengths, and a data count section. */
#define MARGIN_BYTES 64

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

static bool read_segments(struct slice data, struct segments *out)
{
    struct slice first, bytes;
    uint32_t count, offset;

    if (!read_varint(&data, &count))
        return false;
    first = data;
    for (; out->passive_count < count && data.len > 0 && data.ptr[0] == DATA_PASSIVE; out->passive_count++) {
        data = slice_skip(data, 1);
        if (!read_sized(&data, &bytes))
            return false;
    }
    out->passive = slice_take(first, first.len - data.len);
    for (; out->passive_count + out->active_count < count; out->active_count++)
        if (!read_active_segment(&data, &offset, &bytes))
            return false;
    return data.len == 0 && out->active_count > 0;
}

static void put_data(struct writer *w, const struct segments *segments, struct slice memory)
{
    uint32_t offset;
    struct slice bytes = trim(memory, &offset);

    put_byte(w, SECTION_DATA);
    put_u32(w, (uint32_t)(VARINT_BYTES + segments->passive.len + ACTIVE_SEGMENT_BYTES + bytes.len));
    put_u32(w, segments->passive_count + 1);
    put(w, segments->passive);
    put_active_segment(w, offset, (uint32_t)bytes.len);
    put(w, bytes);
}

/* Finds the data section, and whether the module says beforehand how many segments there are. */
static bool find_data(struct slice code, struct segments *out)
{
    struct slice rest = slice_skip(code, MODULE_HEADER_BYTES);
    struct section section;
    bool counted = false;
    bool found = false;

    while (rest.len > 0) {
        if (!read_section(&rest, &section) || (found && section.id == SECTION_DATA))
            return false;
        counted = counted || section.id == SECTION_DATA_COUNT;
        if (section.id == SECTION_DATA)
            found = read_segments(section.content, out);
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
    struct slice rest = slice_skip(code, MODULE_HEADER_BYTES);
    struct segments segments = {.passive_count = 0};
    struct section section;
    struct writer w;

    if (code.len < MODULE_HEADER_BYTES || memory.len > UINT32_MAX / 2 || !find_data(code, &segments))
        return false;
    *out = malloc(code.len + memory.len + MARGIN_BYTES);
    w.at = *out;
    if (!*out)
        return false;
    put(&w, slice_take(code, MODULE_HEADER_BYTES));
    while (rest.len > 0 && read_section(&rest, &section)) {
        if (section.id == SECTION_DATA)
            put_data(&w, &segments, memory);
        else if (section.id == SECTION_DATA_COUNT)
            put_data_count(&w, segments.passive_count + 1);
        else
            put(&w, section.whole);
    }
    *len = (size_t)(w.at - *out);
    return true;
}
