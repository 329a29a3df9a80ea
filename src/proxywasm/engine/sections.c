/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading is for bytes that nobody checked yet: a length that does not fit ends it. Writing never looks at
 * the space: who makes the writer has counted.
 */
#include "proxywasm/engine/sections.h"

#include <string.h>

/* *last: its last byte. */
static bool read_leb(struct slice *rest, uint32_t *out, uint8_t *last)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (rest->len == 0)
            return false;
        *last = (uint8_t)rest->ptr[0];
        *rest = slice_skip(*rest, 1);
        value |= (uint32_t)(*last & 0x7f) << shift;
        if ((*last & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* A fifth byte has the last four bits, and no others: who writes the number anew would make it valid. */
bool read_varint(struct slice *rest, uint32_t *out)
{
    size_t before = rest->len;
    uint8_t last;

    return read_leb(rest, out, &last) && (before - rest->len < VARINT_BYTES || last <= 0x0f);
}

bool read_signed_varint(struct slice *rest, uint32_t *out)
{
    size_t before = rest->len, bits;
    uint8_t last;

    if (!read_leb(rest, out, &last))
        return false;
    bits = 7 * (before - rest->len);
    if (bits > 32) /* the fifth byte repeats the sign */
        return last <= 0x07 || last >= 0x78;
    if ((last & 0x40) != 0)
        *out |= UINT32_MAX << bits;
    return true;
}

bool read_sized(struct slice *rest, struct slice *out)
{
    uint32_t len;

    if (!read_varint(rest, &len) || len > rest->len)
        return false;
    *out = slice_take(*rest, len);
    *rest = slice_skip(*rest, len);
    return true;
}

static bool read_active_segment(struct slice *rest, struct active_segment *out)
{
    if (rest->len < 2 || rest->ptr[0] != DATA_ACTIVE || rest->ptr[1] != OP_I32_CONST)
        return false;
    *rest = slice_skip(*rest, 2);
    if (!read_signed_varint(rest, &out->offset) || rest->len == 0 || rest->ptr[0] != OP_END)
        return false;
    *rest = slice_skip(*rest, 1);
    return read_sized(rest, &out->bytes);
}

bool read_segment(struct slice *rest, struct slice *passive, struct active_segment *active)
{
    struct slice begin = *rest;
    struct slice bytes;

    *passive = SLICE_EMPTY;
    if (begin.len == 0 || begin.ptr[0] != DATA_PASSIVE)
        return read_active_segment(rest, active);
    *rest = slice_skip(begin, 1);
    if (!read_sized(rest, &bytes))
        return false;
    *passive = slice_take(begin, begin.len - rest->len);
    return true;
}

bool read_section(struct slice *rest, struct section *out)
{
    struct slice begin = *rest;

    out->id = (uint8_t)rest->ptr[0];
    *rest = slice_skip(*rest, 1);
    if (!read_sized(rest, &out->content))
        return false;
    out->whole = slice_take(begin, begin.len - rest->len);
    return true;
}

void put(struct writer *w, struct slice bytes)
{
    if (bytes.len > 0)
        memcpy(w->at, bytes.ptr, bytes.len);
    w->at += bytes.len;
}

void put_byte(struct writer *w, uint8_t byte)
{
    *w->at++ = (char)byte;
}

void put_zeros(struct writer *w, size_t count)
{
    memset(w->at, 0, count);
    w->at += count;
}

void put_u32(struct writer *w, uint32_t value)
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

void put_active_segment(struct writer *w, uint32_t offset, uint32_t len)
{
    put_byte(w, DATA_ACTIVE);
    put_byte(w, OP_I32_CONST);
    put_i32(w, offset);
    put_byte(w, OP_END);
    put_u32(w, len);
}

static void put_data_count(struct writer *w, uint32_t count)
{
    put_byte(w, SECTION_DATA_COUNT);
    put_byte(w, VARINT_BYTES);
    put_u32(w, count);
}

static void put_data(struct writer *w, const struct data_section *data)
{
    put_byte(w, SECTION_DATA);
    put_u32(w, VARINT_BYTES + data->bytes);
    put_u32(w, data->count);
    data->put(w, data->context);
}

void put_module(struct writer *w, struct slice code, const struct data_section *data)
{
    struct slice rest = slice_skip(code, MODULE_HEADER_BYTES);
    struct section section;

    put(w, slice_take(code, MODULE_HEADER_BYTES));
    while (rest.len > 0 && read_section(&rest, &section)) {
        if (section.id == SECTION_DATA)
            put_data(w, data);
        else if (section.id == SECTION_DATA_COUNT)
            put_data_count(w, data->count);
        else
            put(w, section.whole);
    }
}
