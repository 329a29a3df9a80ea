/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the decoder of foreign functions' arguments: what it hands out lies inside the message, text is
 * UTF-8, and a message that it takes it also takes twice in a row, with the same result (the last counts).
 */
#include "base/assert.h"
#include "base/utf8.h"
#include "filters/wasm/foreign.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct slice text;
    struct slice bytes;
    uint64_t number;
};

static bool parse(struct slice message, struct seen *seen)
{
    *seen = (struct seen){.text = {NULL, 0}};
    const struct foreign_field fields[] = {
        {1, true, NULL, &seen->text}, {2, false, NULL, &seen->bytes}, {3, false, &seen->number, NULL}};
    return foreign_parse(message, fields, WEIR_ARRAY_LEN(fields));
}

static bool inside(struct slice s, struct slice message)
{
    return !s.ptr || (s.ptr >= message.ptr && s.ptr + s.len <= message.ptr + message.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice message = slice_of(data, size);
    struct seen once, twice;
    struct slice rest = message, bytes;
    for (uint32_t id; rest.len > 0 && foreign_next(&rest, &id, &bytes);)
        WEIR_ASSERT(id > 0 && inside(bytes, message) && inside(rest, message));
    if (!parse(message, &once))
        return 0;
    WEIR_ASSERT(inside(once.text, message) && inside(once.bytes, message));
    WEIR_ASSERT(utf8_valid(once.text));
    char *doubled = malloc(2 * size + 1);
    if (size) {
        memcpy(doubled, data, size);
        memcpy(doubled + size, data, size);
    }
    WEIR_ASSERT(parse(slice_of(doubled, 2 * size), &twice));
    WEIR_ASSERT(slice_eq(once.text, twice.text) && slice_eq(once.bytes, twice.bytes));
    WEIR_ASSERT(once.number == twice.number);
    free(doubled);
    return 0;
}
