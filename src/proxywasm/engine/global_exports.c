/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends entries to a module's export section. Whether the globals exist is for the compiler to say.
 */
#include "proxywasm/engine/global_exports.h"

#include "base/assert.h"
#include "proxywasm/engine/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_EXPORT 7
#define KIND_GLOBAL    3
#define VARINT_BYTES   5
/* Length of the name, name, kind, index. */
#define ENTRY_BYTES_MAX (1 + GLOBAL_EXPORT_BYTES + 1 + VARINT_BYTES)

size_t global_export_name(uint32_t index, char name[GLOBAL_EXPORT_BYTES])
{
    int len = snprintf(name, GLOBAL_EXPORT_BYTES, "__weir_global_%u", index);

    WEIR_ASSERT(len > 0 && len < GLOBAL_EXPORT_BYTES);
    return (size_t)len;
}

static char *put(char *to, struct slice bytes)
{
    slice_copy(to, bytes);
    return to + bytes.len;
}

/* Five bytes, whatever the value, so that lengths are known beforehand. */
static char *put_u32(char *to, uint32_t value)
{
    for (int i = 0; i < VARINT_BYTES - 1; i++, value >>= 7)
        *to++ = (char)(value | 0x80);
    *to++ = (char)value;
    return to;
}

static char *put_entry(char *to, uint32_t global)
{
    char name[GLOBAL_EXPORT_BYTES];
    size_t len = global_export_name(global, name);

    *to++ = (char)len;
    to = put(to, slice_of(name, len));
    *to++ = KIND_GLOBAL;
    return put_u32(to, global);
}

char *global_exports_add(struct slice code, const uint32_t *globals, uint32_t count, size_t *len)
{
    struct scan_section exports;
    char *out, *to, *content;

    if (!scan_exports_section(code, &exports))
        return NULL;
    out = malloc(code.len + 2 * VARINT_BYTES + (size_t)count * ENTRY_BYTES_MAX);
    if (!out)
        return NULL;
    to = put(out, slice_take(code, exports.start));
    *to++ = SECTION_EXPORT;
    content = to + VARINT_BYTES;
    to = put_u32(content, exports.count + count);
    to = put(to, exports.entries);
    for (uint32_t i = 0; i < count; i++)
        to = put_entry(to, globals[i]);
    put_u32(content - VARINT_BYTES, (uint32_t)(to - content));
    to = put(to, slice_skip(code, exports.end));
    *len = (size_t)(to - out);
    return out;
}
