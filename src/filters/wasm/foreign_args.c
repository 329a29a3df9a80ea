/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments and results of foreign functions: flat protobuf messages, read as protobuf's own parser reads
 * them. Never trusts a length.
 */
#include "base/utf8.h"
#include "filters/wasm/foreign.h"

#define GROUP_DEPTH_MAX 100 /* as protobuf's parser */

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_GROUP = 3, WIRE_GROUP_END = 4, WIRE_32 = 5 };

static bool take_varint(struct slice *in, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 10 && i < in->len; i++) {
        unsigned char byte = (unsigned char)in->ptr[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *in = slice_skip(*in, i + 1);
            *out = value;
            return true;
        }
    }
    return false;
}

static bool take(struct slice *in, uint64_t len, struct slice *out)
{
    if (len > in->len)
        return false;
    *out = slice_take(*in, (size_t)len);
    *in = slice_skip(*in, (size_t)len);
    return true;
}

static bool take_bytes(struct slice *in, struct slice *out)
{
    uint64_t len;
    return take_varint(in, &len) && take(in, len, out);
}

static bool take_tag(struct slice *in, uint32_t *id, enum wire *wire)
{
    uint64_t tag;
    if (!take_varint(in, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    *id = (uint32_t)(tag >> 3);
    *wire = (enum wire)(tag & 7);
    return *wire <= WIRE_32;
}

static bool skip_value(struct slice *in, enum wire wire)
{
    struct slice ignored;
    uint64_t number;
    switch (wire) {
    case WIRE_VARINT:
        return take_varint(in, &number);
    case WIRE_64:
        return take(in, 8, &ignored);
    case WIRE_32:
        return take(in, 4, &ignored);
    case WIRE_BYTES:
        return take_bytes(in, &ignored);
    default:
        return false;
    }
}

/* Groups end with the tag of their own number. */
static bool skip_group(struct slice *in, uint32_t id)
{
    uint32_t open[GROUP_DEPTH_MAX];
    size_t depth = 0;
    enum wire wire;
    open[depth++] = id;
    while (depth > 0) {
        if (!take_tag(in, &id, &wire))
            return false;
        if (wire == WIRE_GROUP) {
            if (depth == GROUP_DEPTH_MAX)
                return false;
            open[depth++] = id;
        } else if (wire == WIRE_GROUP_END) {
            if (open[--depth] != id)
                return false;
        } else if (!skip_value(in, wire)) {
            return false;
        }
    }
    return true;
}

static const struct foreign_field *find_field(const struct foreign_field *fields, size_t count, uint32_t id,
                                              enum wire wire)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].id == id && wire == (fields[i].bytes ? WIRE_BYTES : WIRE_VARINT))
            return &fields[i];
    }
    return NULL; /* unknown, or of another kind: both are skipped */
}

bool foreign_parse(struct slice in, const struct foreign_field *fields, size_t count)
{
    while (in.len > 0) {
        uint32_t id;
        enum wire wire;
        if (!take_tag(&in, &id, &wire))
            return false;
        const struct foreign_field *f = find_field(fields, count, id, wire);
        bool ok;
        if (!f)
            ok = wire == WIRE_GROUP ? skip_group(&in, id) : skip_value(&in, wire);
        else if (f->bytes)
            ok = take_bytes(&in, f->bytes) && (!f->text || utf8_valid(*f->bytes));
        else
            ok = take_varint(&in, f->number);
        if (!ok)
            return false;
    }
    return true;
}

bool foreign_next(struct slice *in, uint32_t *id, struct slice *bytes)
{
    enum wire wire;
    *bytes = SLICE_EMPTY;
    if (!take_tag(in, id, &wire))
        return false;
    if (wire == WIRE_BYTES)
        return take_bytes(in, bytes);
    return wire == WIRE_GROUP ? skip_group(in, *id) : skip_value(in, wire);
}

static void put_varint(struct strbuf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        strbuf_append_char(out, (char)(n | 0x80));
    strbuf_append_char(out, (char)n);
}

void foreign_put_bool(struct strbuf *out, uint32_t id, bool value)
{
    if (!value)
        return;
    put_varint(out, (uint64_t)id << 3 | WIRE_VARINT);
    put_varint(out, 1);
}

void foreign_put_bytes(struct strbuf *out, uint32_t id, struct slice value)
{
    if (value.len == 0)
        return;
    put_varint(out, (uint64_t)id << 3 | WIRE_BYTES);
    put_varint(out, value.len);
    strbuf_append(out, value);
}
