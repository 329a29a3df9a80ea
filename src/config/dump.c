/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer. Depth is bounded by what loading let in.
 */
#include "config/dump.h"

#include "base/assert.h"
#include "config/scalar.h"

#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>

struct dumper {
    const struct config_doc *doc; /* NULL: no Any can be opened */
    struct strbuf *out;
    int indent; /* -1: one line */
};

/* One object or array under way. */
struct bracket {
    bool any;
    char close;
};

static void dump_message(struct dumper *d, const ProtobufCMessage *msg);

static void line(struct dumper *d)
{
    if (d->indent < 0)
        return;
    strbuf_append_char(d->out, '\n');
    for (int i = 0; i < d->indent; i++)
        strbuf_append_char(d->out, ' ');
}

static struct bracket open_bracket(struct dumper *d, char c)
{
    strbuf_append_char(d->out, c);
    if (d->indent >= 0)
        d->indent++;
    return (struct bracket){false, c == '{' ? '}' : ']'};
}

static void next_item(struct dumper *d, struct bracket *b)
{
    if (b->any)
        strbuf_append_char(d->out, ',');
    b->any = true;
    line(d);
}

static void next_key(struct dumper *d, struct bracket *b, struct slice key)
{
    next_item(d, b);
    strbuf_append_json(d->out, key);
    strbuf_append_str(d->out, d->indent < 0 ? ":" : ": ");
}

static void close_bracket(struct dumper *d, struct bracket *b)
{
    if (d->indent >= 0)
        d->indent--;
    if (b->any)
        line(d);
    strbuf_append_char(d->out, b->close);
}

static void dump_base64(struct dumper *d, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    strbuf_append_char(d->out, '"');
    for (size_t i = 0; i < s.len; i += 3) {
        const unsigned char *p = (const unsigned char *)s.ptr + i;
        size_t have = s.len - i < 3 ? s.len - i : 3;
        uint32_t bits = (uint32_t)p[0] << 16 | (have > 1 ? (uint32_t)p[1] << 8 : 0) | (have > 2 ? p[2] : 0);
        char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63], have > 1 ? digits[bits >> 6 & 63] : '=',
                        have > 2 ? digits[bits & 63] : '='};
        strbuf_append(d->out, slice_of(text, 4));
    }
    strbuf_append_char(d->out, '"');
}

static void dump_double(struct dumper *d, double value)
{
    char text[SCALAR_TEXT_BYTES];
    scalar_print_double(value, text);
    strbuf_append_str(d->out, text);
}

static void dump_enum(struct dumper *d, const ProtobufCEnumDescriptor *desc, int number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(desc, number);
    if (value)
        strbuf_append_json(d->out, slice_str(value->name));
    else
        strbuf_printf(d->out, "%d", number);
}

/* 64-bit numbers are strings in proto3 JSON: a double could not hold them. */
static void dump_scalar(struct dumper *d, const ProtobufCFieldDescriptor *fd, const void *slot)
{
    switch (fd->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        strbuf_printf(d->out, "%d", *(const int32_t *)slot);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        strbuf_printf(d->out, "%u", *(const uint32_t *)slot);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        strbuf_printf(d->out, "\"%lld\"", (long long)*(const int64_t *)slot);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        strbuf_printf(d->out, "\"%llu\"", (unsigned long long)*(const uint64_t *)slot);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        dump_double(d, (double)*(const float *)slot);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        dump_double(d, *(const double *)slot);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        strbuf_append_str(d->out, *(const protobuf_c_boolean *)slot ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        dump_enum(d, fd->descriptor, *(const int *)slot);
        break;
    case PROTOBUF_C_TYPE_STRING:
        strbuf_append_json(d->out, slice_str(*(char *const *)slot));
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = slot;
        dump_base64(d, slice_of(b->data, b->len));
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        dump_message(d, *(ProtobufCMessage *const *)slot);
        break;
    }
}

/* --- Struct --- */

static void dump_struct(struct dumper *d, const Google__Protobuf__Struct *s);

static void dump_value(struct dumper *d, const Google__Protobuf__Value *v)
{
    struct bracket b;
    switch (v ? v->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        dump_double(d, v->number_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        strbuf_append_json(d->out, slice_str(v->string_value));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        strbuf_append_str(d->out, v->bool_value ? "true" : "false");
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        dump_struct(d, v->struct_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        b = open_bracket(d, '[');
        for (size_t i = 0; i < v->list_value->n_values; i++) {
            next_item(d, &b);
            dump_value(d, v->list_value->values[i]);
        }
        close_bracket(d, &b);
        break;
    default:
        strbuf_append_str(d->out, "null");
        break;
    }
}

static void dump_struct(struct dumper *d, const Google__Protobuf__Struct *s)
{
    struct bracket b = open_bracket(d, '{');
    for (size_t i = 0; i < s->n_fields; i++) {
        next_key(d, &b, slice_str(s->fields[i]->key));
        dump_value(d, s->fields[i]->value);
    }
    close_bracket(d, &b);
}

/* --- messages --- */

static bool is_default(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    const void *slot = (const char *)msg + fd->offset;
    const void *quantifier = (const char *)msg + fd->quantifier_offset;
    if (fd->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)quantifier == 0;
    if (fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)quantifier != fd->id;
    switch (fd->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return !*(void *const *)slot;
    case PROTOBUF_C_TYPE_STRING:
        return !*(char *const *)slot || **(char *const *)slot == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)slot)->len == 0;
    default:
        return memcmp(slot, &(uint64_t){0}, meta_item_size(fd)) == 0;
    }
}

static void dump_list(struct dumper *d, const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    size_t n = *(const size_t *)((const char *)msg + fd->quantifier_offset);
    const char *items = *(char *const *)((const char *)msg + fd->offset);
    struct bracket b = open_bracket(d, '[');
    for (size_t i = 0; i < n; i++) {
        next_item(d, &b);
        dump_scalar(d, fd, items + i * meta_item_size(fd));
    }
    close_bracket(d, &b);
}

static void dump_map(struct dumper *d, const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    size_t n = *(const size_t *)((const char *)msg + fd->quantifier_offset);
    ProtobufCMessage *const *entries = *(ProtobufCMessage * *const *)((const char *)msg + fd->offset);
    struct bracket b = open_bracket(d, '{');
    for (size_t i = 0; i < n; i++) {
        const ProtobufCFieldDescriptor *key = &entries[i]->descriptor->fields[0];
        const ProtobufCFieldDescriptor *value = &entries[i]->descriptor->fields[1];
        const void *key_slot = (const char *)entries[i] + key->offset;
        const void *value_slot = (const char *)entries[i] + value->offset;
        if (key->type == PROTOBUF_C_TYPE_STRING) {
            next_key(d, &b, slice_str(*(char *const *)key_slot));
        } else {
            struct dumper plain = *d;
            struct strbuf text;
            strbuf_init(&text, SCALAR_TEXT_BYTES);
            plain.out = &text;
            dump_scalar(&plain, key, key_slot);
            next_key(d, &b, strbuf_slice(&text));
            strbuf_fini(&text);
        }
        if (value->type == PROTOBUF_C_TYPE_MESSAGE && !*(void *const *)value_slot)
            strbuf_append_str(d->out, "{}");
        else
            dump_scalar(d, value, value_slot);
    }
    close_bracket(d, &b);
}

static void dump_fields(struct dumper *d, const ProtobufCMessage *msg, struct bracket *b)
{
    const struct meta_message *meta = meta_of(msg->descriptor);
    for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[i];
        const struct meta_field *f = meta_field(meta, i);
        if (is_default(msg, fd))
            continue;
        next_key(d, b, slice_str(meta_str(f->name)));
        if (f->flags & META_FIELD_SENSITIVE)
            strbuf_append_str(d->out, "\"[redacted]\"");
        else if (f->flags & META_FIELD_MAP)
            dump_map(d, msg, fd);
        else if (fd->label == PROTOBUF_C_LABEL_REPEATED)
            dump_list(d, msg, fd);
        else
            dump_scalar(d, fd, (const char *)msg + fd->offset);
    }
}

static void dump_any(struct dumper *d, const Google__Protobuf__Any *any)
{
    const ProtobufCMessage *inside = d->doc ? config_any_message(d->doc, any) : NULL;
    struct bracket b = open_bracket(d, '{');
    if (!inside && any->type_url[0] == '\0') {
        close_bracket(d, &b);
        return;
    }
    next_key(d, &b, SLICE_LIT("@type"));
    strbuf_append_json(d->out, slice_str(any->type_url));
    enum meta_kind kind = inside ? (enum meta_kind)meta_of(inside->descriptor)->kind : META_PLAIN;
    if (inside && kind == META_PLAIN) {
        dump_fields(d, inside, &b);
    } else if (inside) {
        next_key(d, &b, SLICE_LIT("value"));
        dump_message(d, inside);
    } else if (any->value.len > 0) {
        next_key(d, &b, SLICE_LIT("value"));
        dump_base64(d, slice_of(any->value.data, any->value.len));
    }
    close_bracket(d, &b);
}

static void dump_field_mask(struct dumper *d, const Google__Protobuf__FieldMask *mask)
{
    strbuf_append_char(d->out, '"');
    for (size_t i = 0; i < mask->n_paths; i++) {
        if (i > 0)
            strbuf_append_char(d->out, ',');
        for (const char *p = mask->paths[i]; *p; p++) {
            bool upper = *p == '_' && p[1] >= 'a' && p[1] <= 'z';
            p += upper;
            if (*p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
                strbuf_append_char(d->out, upper ? (char)(*p - 32) : *p);
        }
    }
    strbuf_append_char(d->out, '"');
}

static void dump_message(struct dumper *d, const ProtobufCMessage *msg)
{
    char text[SCALAR_TEXT_BYTES];
    struct bracket b;
    switch ((enum meta_kind)meta_of(msg->descriptor)->kind) {
    case META_ANY:
        dump_any(d, (const Google__Protobuf__Any *)msg);
        return;
    case META_STRUCT:
        dump_struct(d, (const Google__Protobuf__Struct *)msg);
        return;
    case META_VALUE:
        dump_value(d, (const Google__Protobuf__Value *)msg);
        return;
    case META_LIST_VALUE:
        dump_list(d, msg, &msg->descriptor->fields[0]);
        return;
    case META_DURATION:
        scalar_print_duration(((const Google__Protobuf__Duration *)msg)->seconds,
                              ((const Google__Protobuf__Duration *)msg)->nanos, text);
        break;
    case META_TIMESTAMP:
        scalar_print_timestamp(((const Google__Protobuf__Timestamp *)msg)->seconds,
                               ((const Google__Protobuf__Timestamp *)msg)->nanos, text);
        break;
    case META_FIELD_MASK:
        dump_field_mask(d, (const Google__Protobuf__FieldMask *)msg);
        return;
    case META_WRAPPER:
        dump_scalar(d, &msg->descriptor->fields[0], (const char *)msg + msg->descriptor->fields[0].offset);
        return;
    case META_PLAIN:
    case META_TYPED_STRUCT:
        b = open_bracket(d, '{');
        dump_fields(d, msg, &b);
        close_bracket(d, &b);
        return;
    }
    strbuf_append_json(d->out, slice_str(text));
}

bool config_dump(const struct config_doc *doc, const ProtobufCMessage *msg, int indent, struct strbuf *out)
{
    struct dumper d = {doc, out, indent};
    dump_message(&d, msg);
    return !out->failed;
}

bool config_dump_struct(const Google__Protobuf__Struct *s, struct strbuf *out)
{
    struct dumper d = {NULL, out, -1};
    dump_struct(&d, s);
    return !out->failed;
}
