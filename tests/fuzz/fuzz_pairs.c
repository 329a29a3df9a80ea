/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of serialised pairs: what it accepts must lie inside the input, keep the limits, and be
 * what the writer makes of it again, byte for byte.
 */
#include "base/assert.h"
#include "proxywasm/limits.h"
#include "proxywasm/pairs.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct pw_slice s, const char *from, size_t len)
{
    return s.ptr >= from && s.ptr + s.len < from + len; /* a NUL comes after it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct pw_pair *pairs;
    size_t count;
    const char *bytes = (const char *)data;
    arena_init(&arena, PAIRS_COUNT_MAX * sizeof(*pairs) + 2 * ARENA_BLOCK_BYTES, NULL);
    WEIR_ASSERT(pairs_parse(slice_of(bytes, size), &arena, &pairs, &count));
    WEIR_ASSERT(count <= PAIRS_COUNT_MAX && (count == 0) == (pairs == NULL));
    uint64_t text = 0;
    for (size_t i = 0; i < count; i++) {
        WEIR_ASSERT(inside(pairs[i].name, bytes, size) && inside(pairs[i].value, bytes, size));
        text += pairs[i].name.len + pairs[i].value.len;
    }
    if (count > 0) {
        WEIR_ASSERT(pairs_bytes(count, text) == size);
        char *again = malloc(size);
        struct pairs_writer w;
        pairs_writer_init(&w, again, size, (uint32_t)count);
        for (size_t i = 0; i < count; i++)
            pairs_writer_add(&w, pairs[i].name, pairs[i].value);
        WEIR_ASSERT(pairs_writer_done(&w));
        WEIR_ASSERT(memcmp(again, bytes, size) == 0);
        free(again);
    }
    arena_fini(&arena);
    return 0;
}
