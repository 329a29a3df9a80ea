/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan knows the descriptor, so it tells strings from messages from bytes; everything it lets through,
 * protobuf-c unpacks with bounded recursion. Adopting mirrors the mapper: same classes, same places for
 * errors, but without lines.
 */
#include "config/wire.h"

#include "base/assert.h"
#include "base/utf8.h"
#include "config/scalar.h"

#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <xds/type/v3/typed_struct.pb-c.h>

/* --- scan --- */

static bool take_varint(struct slice *in, uint64_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < 10 && i < in->len; i++) {
        uint8_t byte = (uint8_t)in->ptr[i];
        if (i == 9 && byte > 1)
            return false;
        *out |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *in = slice_skip(*in, i + 1);
            return true;
        }
    }
    return false;
}

static const char *scan(const ProtobufCMessageDescriptor *desc, struct slice in, unsigned depth);

static const char *scan_delimited(const ProtobufCFieldDescriptor *fd, struct slice content, unsigned depth)
{
    if (!fd)
        return NULL;
    if (fd->type == PROTOBUF_C_TYPE_MESSAGE)
        return scan(fd->descriptor, content, depth + 1);
    if (fd->type != PROTOBUF_C_TYPE_STRING)
        return NULL;
    if (content.len > 0 && memchr(content.ptr, '\0', content.len))
        return "a string holds a NUL character";
    return utf8_valid(content) ? NULL : "a string is not UTF-8";
}

static const char *scan(const ProtobufCMessageDescriptor *desc, struct slice in, unsigned depth)
{
    static const char cut[] = "the bytes are no such message";
    if (depth > CONFIG_DEPTH_MAX)
        return "the message is nested too deeply";
    while (in.len > 0) {
        uint64_t tag;
        uint64_t value = 0;
        if (!take_varint(&in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
            return cut;
        const ProtobufCFieldDescriptor *fd =
            protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
        switch (tag & 7) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
            if (!take_varint(&in, &value))
                return cut;
            break;
        case PROTOBUF_C_WIRE_TYPE_64BIT:
        case PROTOBUF_C_WIRE_TYPE_32BIT:
            value = (tag & 7) == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4;
            if (in.len < value)
                return cut;
            in = slice_skip(in, (size_t)value);
            break;
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
            if (!take_varint(&in, &value) || value > in.len)
                return cut;
            const char *inner = scan_delimited(fd, slice_take(in, (size_t)value), depth);
            if (inner)
                return inner;
            in = slice_skip(in, (size_t)value);
            break;
        default:
            return cut;
        }
    }
    return NULL;
}

const char *wire_scan(const ProtobufCMessageDescriptor *desc, struct slice bytes)
{
    return scan(desc, bytes, 0);
}

/* --- adopt --- */

static void adopt(struct mapper *m, ProtobufCMessage *msg, const struct config_origin *place,
                  const struct meta_field *slot);

static struct config_origin *track(struct mapper *m, const ProtobufCMessage *msg,
                                   const struct config_origin *place)
{
    struct config_origin *o = config_doc_track(m->doc, msg);
    if (!o) {
        mapper_out_of_memory(m);
        return NULL;
    }
    *o = *place;
    o->msg = msg;
    o->source = (uint16_t)m->source;
    o->inert = m->inert > 0;
    return o;
}

static bool is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    const void *slot = (const char *)msg + fd->offset;
    if (fd->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)((const char *)msg + fd->quantifier_offset) > 0;
    if (fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)((const char *)msg + fd->quantifier_offset) == fd->id;
    switch (fd->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)slot != NULL;
    case PROTOBUF_C_TYPE_STRING:
        return *(char *const *)slot && **(char *const *)slot;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)slot)->len > 0;
    default:
        return memcmp(slot, &(uint64_t){0}, meta_item_size(fd)) != 0;
    }
}

static bool has_fields_to_adopt(const ProtobufCFieldDescriptor *fd)
{
    if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    enum meta_kind kind = (enum meta_kind)meta_of(fd->descriptor)->kind;
    return kind == META_PLAIN || kind == META_ANY;
}

static void adopt_entry(struct mapper *m, ProtobufCMessage *entry, struct config_origin *place)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[1];
    place->key = key->type == PROTOBUF_C_TYPE_STRING ? *(char **)mapper_slot(entry, key->offset) : "";
    struct config_origin *o = track(m, entry, place);
    ProtobufCMessage *sub = value->type == PROTOBUF_C_TYPE_MESSAGE
                                ? *(ProtobufCMessage **)mapper_slot(entry, value->offset)
                                : NULL;
    struct config_origin inside = {.parent = o, .field = 1, .index = -1, .step = CONFIG_STEP_INSIDE};
    if (o && sub && has_fields_to_adopt(value))
        adopt(m, sub, &inside, meta_field(meta_of(entry->descriptor), 1));
}

static void adopt_field(struct mapper *m, ProtobufCMessage *msg, struct config_origin *o, unsigned field)
{
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    const struct meta_field *f = meta_field(meta_of(msg->descriptor), field);
    bool is_map = (f->flags & META_FIELD_MAP) != 0;
    if (!is_map && !has_fields_to_adopt(fd))
        return;
    struct config_origin place = {
        .parent = o, .field = (uint16_t)field, .index = -1, .step = CONFIG_STEP_FIELD};
    if (fd->label != PROTOBUF_C_LABEL_REPEATED) {
        adopt(m, *(ProtobufCMessage **)mapper_slot(msg, fd->offset), &place, f);
        return;
    }
    size_t n = *(size_t *)mapper_slot(msg, fd->quantifier_offset);
    ProtobufCMessage **items = *(ProtobufCMessage ***)mapper_slot(msg, fd->offset);
    for (size_t i = 0; i < n && !m->stopped; i++) {
        place.index = is_map ? -1 : (int32_t)i;
        if (is_map)
            adopt_entry(m, items[i], &place);
        else
            adopt(m, items[i], &place, f);
    }
}

static void adopt_plain(struct mapper *m, ProtobufCMessage *msg, struct config_origin *o)
{
    const struct meta_message *meta = meta_of(msg->descriptor);
    for (unsigned i = 0; i < msg->n_unknown_fields && !m->inert; i++)
        mapper_error(m, NULL, o, -1, -1, "has field number %u, which this version of %s does not know",
                     msg->unknown_fields[i].tag, meta_str(meta->name));
    for (unsigned i = 0; i < msg->descriptor->n_fields && !m->stopped; i++) {
        const struct meta_field *f = meta_field(meta, i);
        if (!is_set(msg, &msg->descriptor->fields[i]))
            continue;
        if (!m->inert && f->cls == META_REFUSED) {
            mapper_error(m, NULL, o, (int)i, -1, "is refused: %s", meta_str(f->reason));
            continue;
        }
        bool inert = f->cls == META_INERT && m->inert == 0;
        if (inert)
            mapper_note(m, NULL, o, i, meta_str(f->reason), false);
        m->inert += inert;
        adopt_field(m, msg, o, i);
        m->inert -= inert;
    }
}

/* --- TypedStruct in bytes: back to a tree, then the way of texts --- */

static struct tree_node *tree_of_struct(struct mapper *m, const Google__Protobuf__Struct *s);

static struct tree_node *tree_of_value(struct mapper *m, const Google__Protobuf__Value *v)
{
    struct arena *arena = &m->doc->arena;
    struct tree_node *n = v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE
                              ? tree_of_struct(m, v->struct_value)
                              : ARENA_NEW(arena, struct tree_node);
    char text[SCALAR_TEXT_BYTES];
    if (!n || !v)
        return n;
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        n->type = TREE_PLAIN;
        scalar_print_double(v->number_value, text);
        n->text = arena_dup(arena, slice_str(text));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        n->type = TREE_PLAIN;
        n->text = v->bool_value ? SLICE_LIT("true") : SLICE_LIT("false");
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        n->type = TREE_STRING;
        n->text = slice_str(v->string_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        n->type = TREE_LIST;
        for (size_t i = v->list_value->n_values; i > 0; i--) {
            struct tree_node *item = tree_of_value(m, v->list_value->values[i - 1]);
            if (!item)
                return NULL;
            item->next = n->first;
            n->first = item;
            n->count++;
        }
        break;
    default:
        break;
    }
    return n;
}

static struct tree_node *tree_of_struct(struct mapper *m, const Google__Protobuf__Struct *s)
{
    struct tree_node *n = ARENA_NEW(&m->doc->arena, struct tree_node);
    if (!n)
        return NULL;
    n->type = TREE_MAP;
    for (size_t i = s->n_fields; i > 0; i--) {
        struct tree_node *item = tree_of_value(m, s->fields[i - 1]->value);
        struct tree_node *key = ARENA_NEW(&m->doc->arena, struct tree_node);
        if (!item || !key)
            return NULL;
        key->type = TREE_STRING;
        key->text = slice_str(s->fields[i - 1]->key);
        item->key = key;
        item->next = n->first;
        n->first = item;
        n->count++;
    }
    return n;
}

static void adopt_typed_struct(struct mapper *m, Google__Protobuf__Any *any, struct config_origin *o,
                               const struct meta_field *slot)
{
    /* udpa's and xds' TypedStruct are the same on the wire. */
    struct slice bytes = slice_of(any->value.data, any->value.len);
    const char *why = wire_scan(&xds__type__v3__typed_struct__descriptor, bytes);
    Xds__Type__V3__TypedStruct *ts =
        why ? NULL : xds__type__v3__typed_struct__unpack(&m->doc->allocator, bytes.len, any->value.data);
    if (!ts) {
        mapper_error(m, NULL, o, -1, -1, "%s", why ? why : "the bytes are no TypedStruct");
        return;
    }
    static const struct tree_node nothing = {.type = TREE_NULL};
    struct tree_node *value = ts->value ? tree_of_struct(m, ts->value) : NULL;
    if (ts->value && !value)
        mapper_out_of_memory(m);
    else
        mapper_typed_struct(m, &any->base, o, slot, slice_str(ts->type_url), NULL, value ? value : &nothing);
}

/* --- Any
 * ---------------------------------------------------------------------------------------------------------
 */

static void adopt_any(struct mapper *m, Google__Protobuf__Any *any, struct config_origin *o,
                      const struct meta_field *slot)
{
    struct slice type_url = slice_str(any->type_url);
    const struct meta_message *direct = meta_by_type_url(type_url);
    if (direct && direct->kind == META_TYPED_STRUCT) {
        adopt_typed_struct(m, any, o, slot);
        return;
    }
    /* Where any type may stand, bytes of an unknown one are passed on as they are. */
    if (!direct && slot && !(slot->flags & META_FIELD_ANY_LISTED))
        return;
    const struct meta_message *meta = mapper_any_type(m, o, slot, type_url, NULL);
    if (!meta)
        return;
    struct config_origin place = {
        .parent = o, .index = -1, .step = meta->kind == META_PLAIN ? CONFIG_STEP_INSIDE : CONFIG_STEP_VALUE};
    o->inside = wire_message(m, meta->desc, slice_of(any->value.data, any->value.len), &place);
}

static void adopt(struct mapper *m, ProtobufCMessage *msg, const struct config_origin *place,
                  const struct meta_field *slot)
{
    if (!mapper_enter(m, NULL, place->parent))
        return;
    struct config_origin *o = track(m, msg, place);
    if (o && msg->descriptor == &google__protobuf__any__descriptor)
        adopt_any(m, (Google__Protobuf__Any *)msg, o, slot);
    else if (o && meta_of(msg->descriptor)->kind == META_PLAIN)
        adopt_plain(m, msg, o);
    mapper_leave(m);
}

ProtobufCMessage *wire_message(struct mapper *m, const ProtobufCMessageDescriptor *desc, struct slice bytes,
                               const struct config_origin *place)
{
    const char *why =
        bytes.len > CONFIG_SOURCE_BYTES_MAX ? "the message is too large" : wire_scan(desc, bytes);
    ProtobufCMessage *msg =
        why ? NULL
            : protobuf_c_message_unpack(desc, &m->doc->allocator, bytes.len, (const uint8_t *)bytes.ptr);
    if (!msg) {
        mapper_error(m, NULL, place->parent, -1, -1, "%s", why ? why : "the bytes are no such message");
        return NULL;
    }
    adopt(m, msg, place, NULL);
    return msg;
}
