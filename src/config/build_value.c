/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API messages to typed values, for plugins and access logs to look into: any message, by its descriptor, in
 * the terms of CEL (Struct is a map, wrappers are their value, durations are nanoseconds).
 */
#include "config/builder.h"

#include "config/meta.h"

#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>

struct maker {
    struct builder *b;
    struct arena *arena;
    int depth;
    bool failed;
};

static struct typed_value message_value(struct maker *m, const ProtobufCMessage *msg,
                                        const ProtobufCMessageDescriptor *desc);

static struct slice text_of(struct maker *m, const char *text)
{
    return builder_text(m->b, m->arena, text ? text : "");
}

static struct typed_member *members(struct maker *m, size_t count)
{
    return builder_array(m->b, m->arena, count, sizeof(struct typed_member));
}

static struct typed_value struct_value(struct maker *m, const Google__Protobuf__Struct *in)
{
    size_t count = in ? in->n_fields : 0;
    struct typed_member *list = members(m, count);
    for (size_t i = 0; list && i < count; i++) {
        list[i].name = text_of(m, in->fields[i]->key);
        list[i].value = message_value(m, in->fields[i]->value ? &in->fields[i]->value->base : NULL,
                                      &google__protobuf__value__descriptor);
    }
    return (struct typed_value){.kind = TYPED_MAP, .members = list, .members_count = list ? count : 0};
}

static struct typed_value list_value(struct maker *m, const Google__Protobuf__ListValue *in)
{
    size_t count = in ? in->n_values : 0;
    struct typed_member *list = members(m, count);
    for (size_t i = 0; list && i < count; i++)
        list[i].value = message_value(m, &in->values[i]->base, &google__protobuf__value__descriptor);
    return (struct typed_value){.kind = TYPED_LIST, .members = list, .members_count = list ? count : 0};
}

static struct typed_value value_value(struct maker *m, const Google__Protobuf__Value *in)
{
    switch (in ? in->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return (struct typed_value){.kind = TYPED_DOUBLE, .d = in->number_value};
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return (struct typed_value){.kind = TYPED_STRING, .bytes = text_of(m, in->string_value)};
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return (struct typed_value){.kind = TYPED_BOOL, .boolean = in->bool_value};
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return struct_value(m, in->struct_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return list_value(m, in->list_value);
    default:
        return (struct typed_value){.kind = TYPED_NULL};
    }
}

/* One value of a field, or one item of a repeated one. */
static struct typed_value scalar_value(struct maker *m, const ProtobufCFieldDescriptor *fd, const void *at)
{
    const ProtobufCBinaryData *bytes = at;
    switch (fd->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        return (struct typed_value){.kind = TYPED_INT, .i = *(const int32_t *)at};
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return (struct typed_value){.kind = TYPED_INT, .i = *(const int64_t *)at};
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return (struct typed_value){.kind = TYPED_UINT, .u = *(const uint32_t *)at};
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (struct typed_value){.kind = TYPED_UINT, .u = *(const uint64_t *)at};
    case PROTOBUF_C_TYPE_FLOAT:
        return (struct typed_value){.kind = TYPED_DOUBLE, .d = (double)*(const float *)at};
    case PROTOBUF_C_TYPE_DOUBLE:
        return (struct typed_value){.kind = TYPED_DOUBLE, .d = *(const double *)at};
    case PROTOBUF_C_TYPE_BOOL:
        return (struct typed_value){.kind = TYPED_BOOL, .boolean = *(const protobuf_c_boolean *)at};
    case PROTOBUF_C_TYPE_STRING:
        return (struct typed_value){.kind = TYPED_STRING, .bytes = text_of(m, *(char *const *)at)};
    case PROTOBUF_C_TYPE_BYTES:
        return (struct typed_value){.kind = TYPED_BYTES,
                                    .bytes = builder_bytes(m->b, m->arena, bytes->data, bytes->len)};
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_value(m, *(ProtobufCMessage *const *)at, fd->descriptor);
    }
    return (struct typed_value){.kind = TYPED_NULL};
}

/* A map's entry is a message of key and value. */
static void map_member(struct maker *m, const ProtobufCMessage *entry, struct typed_member *out)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[1];
    if (key->type == PROTOBUF_C_TYPE_STRING)
        out->name = text_of(m, *(char *const *)((const char *)entry + key->offset));
    out->value = scalar_value(m, value, (const char *)entry + value->offset);
}

static struct typed_value repeated_value(struct maker *m, const ProtobufCMessage *msg,
                                         const ProtobufCFieldDescriptor *fd, bool map)
{
    size_t count = *(const size_t *)((const char *)msg + fd->quantifier_offset);
    const char *items = *(const char *const *)((const char *)msg + fd->offset);
    size_t size = meta_item_size(fd);
    struct typed_member *list = members(m, count);
    for (size_t i = 0; list && i < count; i++) {
        if (map)
            map_member(m, *(ProtobufCMessage *const *)(items + i * size), &list[i]);
        else
            list[i].value = scalar_value(m, fd, items + i * size);
    }
    return (struct typed_value){
        .kind = map ? TYPED_MAP : TYPED_LIST, .members = list, .members_count = list ? count : 0};
}

/* Whether this member of a oneof is the one that is set. */
static bool oneof_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    return !(fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
           *(const uint32_t *)((const char *)msg + fd->quantifier_offset) == fd->id;
}

static struct slice packed(struct maker *m, const ProtobufCMessage *msg)
{
    size_t size = protobuf_c_message_get_packed_size(msg);
    char *to = size ? arena_alloc_text(m->arena, size) : NULL;
    if (size && !to) {
        m->failed = true;
        return SLICE_LIT("");
    }
    return size ? slice_of(to, protobuf_c_message_pack(msg, (uint8_t *)to)) : SLICE_LIT("");
}

static struct typed_value plain_message(struct maker *m, const ProtobufCMessage *msg)
{
    struct typed_value v = {.kind = TYPED_MESSAGE, .bytes = SLICE_LIT("")};
    if (!msg)
        return v;
    const ProtobufCMessageDescriptor *desc = msg->descriptor;
    const struct meta_message *meta = meta_of(desc);
    struct typed_member *list = members(m, desc->n_fields);
    size_t used = 0;
    v.bytes = packed(m, msg);
    for (unsigned i = 0; list && i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *fd = &desc->fields[i];
        if (!oneof_set(msg, fd))
            continue;
        bool map = meta_field(meta, i)->flags & META_FIELD_MAP;
        list[used].name = text_of(m, fd->name);
        list[used++].value = fd->label == PROTOBUF_C_LABEL_REPEATED
                                 ? repeated_value(m, msg, fd, map)
                                 : scalar_value(m, fd, (const char *)msg + fd->offset);
    }
    v.members = list;
    v.members_count = used;
    return v;
}

static struct typed_value time_value(int64_t seconds, int32_t nanos)
{
    return (struct typed_value){.kind = TYPED_INT, .i = seconds * 1000000000 + nanos};
}

static struct typed_value known_message(struct maker *m, const ProtobufCMessage *msg,
                                        const ProtobufCMessageDescriptor *desc)
{
    const Google__Protobuf__Duration *d = (const void *)msg;
    const Google__Protobuf__Timestamp *t = (const void *)msg;
    const ProtobufCMessage *inside;
    switch (meta_of(desc)->kind) {
    case META_STRUCT:
        return struct_value(m, (const void *)msg);
    case META_VALUE:
        return value_value(m, (const void *)msg);
    case META_LIST_VALUE:
        return list_value(m, (const void *)msg);
    case META_DURATION:
        return time_value(d ? d->seconds : 0, d ? d->nanos : 0);
    case META_TIMESTAMP:
        return time_value(t ? t->seconds : 0, t ? t->nanos : 0);
    case META_WRAPPER:
        return msg ? scalar_value(m, &desc->fields[0], (const char *)msg + desc->fields[0].offset)
                   : (struct typed_value){.kind = TYPED_NULL};
    case META_ANY:
        inside = msg ? config_any_message(m->b->doc, msg) : NULL;
        return inside ? message_value(m, inside, inside->descriptor) : plain_message(m, msg);
    default:
        return plain_message(m, msg);
    }
}

static struct typed_value message_value(struct maker *m, const ProtobufCMessage *msg,
                                        const ProtobufCMessageDescriptor *desc)
{
    if (m->depth >= TYPED_VALUE_DEPTH_MAX) {
        m->failed = true;
        return (struct typed_value){.kind = TYPED_NULL};
    }
    m->depth++;
    struct typed_value v = known_message(m, msg, desc);
    m->depth--;
    return v;
}

const struct typed_value *builder_value(struct builder *b, struct arena *arena, const void *msg)
{
    const ProtobufCMessage *in = msg;
    struct maker m = {.b = b, .arena = arena};
    struct typed_value *v = in ? builder_array(b, arena, 1, sizeof(*v)) : NULL;
    if (!v)
        return NULL;
    *v = message_value(&m, in, in->descriptor);
    if (m.failed)
        config_error_at(b->doc, b->diag, in, NULL, -1, "is too large, or deeper than %d levels",
                        TYPED_VALUE_DEPTH_MAX);
    return m.failed ? NULL : v;
}
