/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends entries to a module's export section. Whether the globals exist is for the compiler to say.
 */
#include "proxywasm/engine/global_exports.h"

#include "base/assert.h"
#include "proxywasm/engine/sections.h"

#include <stdio.h>
#include <stdlib.h>

#define KIND_GLOBAL 3
/* Length of the name, name, kind, index. */
#define ENTRY_BYTES_MAX (1 + GLOBAL_EXPORT_BYTES + 1 + VARINT_BYTES)

size_t global_export_name(uint32_t index, char name[GLOBAL_EXPORT_BYTES])
{
    int len = snprintf(name, GLOBAL_EXPORT_BYTES, GLOBAL_EXPORT_PREFIX "%u", index);

    WEIR_ASSERT(len > 0 && len < GLOBAL_EXPORT_BYTES);
    return (size_t)len;
}

static void put_entry(struct writer *w, uint32_t global)
{
    char name[GLOBAL_EXPORT_BYTES];
    size_t len = global_export_name(global, name);

    put_byte(w, (uint8_t)len);
    put(w, slice_of(name, len));
    put_byte(w, KIND_GLOBAL);
    put_u32(w, global);
}

static bool find_exports(struct slice code, struct section *out)
{
    struct slice rest = slice_skip(code, MODULE_HEADER_BYTES);

    while (rest.len > 0 && read_section(&rest, out))
        if (out->id == SECTION_EXPORT)
            return true;
    return false;
}

char *global_exports_add(struct slice code, const uint32_t *globals, uint32_t count, size_t *len)
{
    struct section exports;
    struct writer w, head;
    uint32_t before;
    char *out, *content;

    if (!find_exports(code, &exports) || !read_varint(&exports.content, &before))
        return NULL;
    out = malloc(code.len + 2 * VARINT_BYTES + (size_t)count * ENTRY_BYTES_MAX);
    if (!out)
        return NULL;
    w.at = out;
    put(&w, slice_take(code, (size_t)(exports.whole.ptr - code.ptr)));
    put_byte(&w, SECTION_EXPORT);
    head = w;
    content = w.at += VARINT_BYTES; /* its length is known later */
    put_u32(&w, before + count);
    put(&w, exports.content);
    for (uint32_t i = 0; i < count; i++)
        put_entry(&w, globals[i]);
    put_u32(&head, (uint32_t)(w.at - content));
    put(&w, slice_skip(code, (size_t)(exports.whole.ptr - code.ptr) + exports.whole.len));
    *len = (size_t)(w.at - out);
    return out;
}
