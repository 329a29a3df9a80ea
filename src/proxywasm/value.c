/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setters of property values: the ABI's little-endian and pairs forms. Copies go to the VM's scratch arena.
 */
#include "proxywasm/value.h"

#include "base/assert.h"
#include "proxywasm/pairs.h"

#include <endian.h>

void pw_value_bytes(struct pw_value *out, struct pw_slice borrowed)
{
    out->bytes = slice_of(borrowed.ptr, borrowed.len);
    out->set = true;
}

void pw_value_copy(struct pw_value *out, struct pw_slice bytes)
{
    out->bytes = arena_dup(out->arena, slice_of(bytes.ptr, bytes.len));
    out->failed = out->bytes.ptr == NULL;
    out->set = true;
}

void pw_value_u64(struct pw_value *out, uint64_t value)
{
    value = htole64(value);
    memcpy(out->number, &value, sizeof(value));
    out->bytes = slice_of(out->number, sizeof(value));
    out->set = true;
}

void pw_value_i64(struct pw_value *out, int64_t value)
{
    pw_value_u64(out, (uint64_t)value);
}

void pw_value_f64(struct pw_value *out, double value)
{
    uint64_t bits;
    _Static_assert(sizeof(bits) == sizeof(value), "IEEE 754 binary64");
    memcpy(&bits, &value, sizeof(bits));
    pw_value_u64(out, bits);
}

void pw_value_bool(struct pw_value *out, bool value)
{
    out->number[0] = value ? 1 : 0;
    out->bytes = slice_of(out->number, 1);
    out->set = true;
}

void pw_value_map(struct pw_value *out, const struct pw_pair *pairs, size_t count)
{
    uint64_t text = 0;
    for (size_t i = 0; i < count; i++)
        text += pairs[i].name.len + pairs[i].value.len;
    uint64_t size = pairs_bytes(count, text);
    char *buffer = count > UINT32_MAX || size > UINT32_MAX ? NULL : arena_alloc_text(out->arena, size);
    out->set = true;
    out->failed = buffer == NULL;
    if (!buffer)
        return;
    struct pairs_writer w;
    pairs_writer_init(&w, buffer, size, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        pairs_writer_add(&w, pairs[i].name, pairs[i].value);
    WEIR_ASSERT(pairs_writer_done(&w));
    out->bytes = slice_of(buffer, size);
}
