/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrites the data section of a snapshot. Whether the result is valid is for the compiler to say: a module
 * that names its segments in instructions may not be.
 */
#include "proxywasm/engine/image.h"

#include "proxywasm/engine/sections.h"

#include <stdlib.h>

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
};

static bool read_segments(struct slice data, struct segments *out)
{
    struct slice first, passive;
    struct active_segment active;
    uint32_t count;

    if (!read_varint(&data, &count))
        return false;
    first = data;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_segment(&data, &passive, &active))
            return false;
        if (passive.len > 0 && out->passive_count++ < i)
            return false; /* behind an active one */
        if (passive.len > 0)
            out->passive = slice_take(first, first.len - data.len);
    }
    return data.len == 0 && out->passive_count < count;
}

/* What is written: the passive segments, and one with all of memory. */
struct merged {
    const struct segments *segments;
    uint32_t offset;
    struct slice bytes;
};

static void put_merged(struct writer *w, const void *context)
{
    const struct merged *merged = context;

    put(w, merged->segments->passive);
    put_active_segment(w, merged->offset, (uint32_t)merged->bytes.len);
    put(w, merged->bytes);
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
        if (section.id == SECTION_DATA && !read_segments(section.content, out))
            return false;
        found = found || section.id == SECTION_DATA;
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
    struct segments segments = {.passive_count = 0};
    struct merged merged = {.segments = &segments};
    struct data_section data = {.put = put_merged, .context = &merged};
    struct writer w;

    if (code.len < MODULE_HEADER_BYTES || memory.len > UINT32_MAX / 2 || !find_data(code, &segments))
        return false;
    merged.bytes = trim(memory, &merged.offset);
    data.count = segments.passive_count + 1;
    data.bytes = (uint32_t)(segments.passive.len + ACTIVE_SEGMENT_BYTES + merged.bytes.len);
    *out = malloc(code.len + data.bytes + MODULE_GROWTH_BYTES);
    w.at = *out;
    if (!*out)
        return false;
    put_module(&w, code, &data);
    *len = (size_t)(w.at - *out);
    return true;
}
