/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrites the data section of a module that nobody checked yet. It must not make a valid module of an
 * invalid one, nor of a valid one another: what it does not know well it leaves alone.
 */
#include "proxywasm/engine/segments.h"

#include "base/assert.h"
#include "proxywasm/engine/sections.h"

#include <stdlib.h>

/* Fewer active segments than these cost nothing worth a copy of the module. */
#define SEGMENTS_MIN 64u
/* More are no module: the compiler refuses them and says so. */
#define SEGMENTS_MAX 100000u
/* Zeros between two segments that become one: 100,000 segments of a Go plugin become 12 with 1.7 MB of them.
 */
#define GAP_BYTES_MAX 128u

/* What the data section becomes: passive segments, then runs of parts. */
struct plan {
    struct slice data;
    bool counted; /* instructions may name segments by number: each number keeps one */
    uint32_t count;
    struct active_segment *parts; /* by offset */
    uint32_t parts_count;
    uint32_t runs;
    uint64_t kept_bytes; /* of the segments that keep a number */
    uint64_t run_bytes;
};

/* Once memory is made an active segment is empty: so is a passive one without bytes (4.7.2). */
static const char emptied[] = {DATA_PASSIVE, 0};

static bool plan_read(struct plan *plan)
{
    struct slice rest = plan->data;
    struct slice passive;
    struct active_segment part;

    if (!read_varint(&rest, &plan->count) || plan->count < SEGMENTS_MIN || plan->count > SEGMENTS_MAX)
        return false;
    plan->parts = malloc(plan->count * sizeof(*plan->parts));
    if (!plan->parts)
        return false;
    for (uint32_t i = 0; i < plan->count; i++) {
        if (!read_segment(&rest, &passive, &part))
            return false;
        if (passive.len > 0) {
            plan->kept_bytes += passive.len;
            continue;
        }
        plan->kept_bytes += plan->counted ? sizeof(emptied) : 0;
        plan->parts[plan->parts_count++] = part;
    }
    return rest.len == 0 && plan->parts_count >= SEGMENTS_MIN;
}

/* By offset; empty ones before what begins there. */
static int compare_parts(const void *a, const void *b)
{
    const struct active_segment *left = a;
    const struct active_segment *right = b;

    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return (left->bytes.len > right->bytes.len) - (left->bytes.len < right->bytes.len);
}

static uint64_t part_end(const struct active_segment *part)
{
    return part->offset + (uint64_t)part->bytes.len;
}

/* Whether this part and the one before it become one. */
static bool part_joins(const struct plan *plan, uint32_t i)
{
    return i > 0 && plan->parts[i].offset - part_end(&plan->parts[i - 1]) <= GAP_BYTES_MAX;
}

static uint64_t plan_bytes(const struct plan *plan)
{
    return plan->kept_bytes + plan->runs * (uint64_t)ACTIVE_SEGMENT_BYTES + plan->run_bytes;
}

static uint32_t plan_segments(const struct plan *plan)
{
    return plan->runs + (plan->counted ? plan->count : plan->count - plan->parts_count);
}

/* Parts that do not meet may come in any order. */
static bool plan_order(struct plan *plan)
{
    qsort(plan->parts, plan->parts_count, sizeof(*plan->parts), compare_parts);
    for (uint32_t i = 0; i < plan->parts_count; i++) {
        const struct active_segment *part = &plan->parts[i];

        if (i > 0 && part->offset < part_end(part - 1))
            return false;
        plan->run_bytes += part->bytes.len;
        if (part_joins(plan, i))
            plan->run_bytes += part->offset - part_end(part - 1);
        else
            plan->runs++;
    }
    return plan->runs <= plan->parts_count / 2 && plan_segments(plan) <= SEGMENTS_MAX &&
           plan_bytes(plan) <= UINT32_MAX - VARINT_BYTES;
}

static bool plan_find(struct plan *plan, struct slice code)
{
    struct slice rest = slice_skip(code, MODULE_HEADER_BYTES);
    struct section section;
    uint32_t announced = 0;

    while (rest.len > 0) {
        if (!read_section(&rest, &section))
            return false;
        if (section.id == SECTION_DATA_COUNT) {
            if (plan->counted || !read_varint(&section.content, &announced) || section.content.len > 0)
                return false;
            plan->counted = true;
        } else if (section.id == SECTION_DATA) {
            if (plan->data.len > 0)
                return false;
            plan->data = section.content;
        }
    }
    return plan->data.len > 0 && plan_read(plan) && (!plan->counted || announced == plan->count) &&
           plan_order(plan);
}

static void put_kept(struct writer *w, const struct plan *plan)
{
    struct slice rest = plan->data;
    struct slice passive;
    struct active_segment part;
    uint32_t count;

    WEIR_ASSERT(read_varint(&rest, &count) && count == plan->count);
    while (read_segment(&rest, &passive, &part)) {
        if (passive.len > 0)
            put(w, passive);
        else if (plan->counted)
            put(w, slice_of(emptied, sizeof(emptied)));
    }
}

static void put_runs(struct writer *w, const struct plan *plan)
{
    for (uint32_t begin = 0, end; begin < plan->parts_count; begin = end) {
        uint64_t at = plan->parts[begin].offset;

        for (end = begin + 1; end < plan->parts_count && part_joins(plan, end);)
            end++;
        put_active_segment(w, (uint32_t)at, (uint32_t)(part_end(&plan->parts[end - 1]) - at));
        for (uint32_t i = begin; i < end; i++) {
            put_zeros(w, plan->parts[i].offset - at);
            put(w, plan->parts[i].bytes);
            at = part_end(&plan->parts[i]);
        }
    }
}

static void put_segments(struct writer *w, const void *context)
{
    put_kept(w, context);
    put_runs(w, context);
}

bool segments_join(struct slice code, char **out, size_t *len)
{
    struct plan plan = {.counted = false};
    bool joined = false;

    if (code.len >= MODULE_HEADER_BYTES && plan_find(&plan, code)) {
        struct data_section data = {.count = plan_segments(&plan),
                                    .bytes = (uint32_t)plan_bytes(&plan),
                                    .put = put_segments,
                                    .context = &plan};
        size_t space = code.len + data.bytes + MODULE_GROWTH_BYTES;
        struct writer w;

        *out = malloc(space);
        w.at = *out;
        joined = *out;
        if (joined) {
            put_module(&w, code, &data);
            *len = (size_t)(w.at - *out);
            WEIR_ASSERT(*len <= space);
        }
    }
    free(plan.parts);
    return joined;
}
