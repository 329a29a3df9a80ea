/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging moves pointers; nothing is copied but the arrays of lists. Origins follow their messages, so a path
 * after the merge is the path in the merged document and a position is still that of the text.
 */
#include "config/merge.h"

#include "base/assert.h"

static void *slot_of(ProtobufCMessage *msg, unsigned offset)
{
    return (char *)msg + offset;
}

static void move_origin(struct config_doc *doc, const ProtobufCMessage *msg, struct config_origin *parent,
                        int32_t shift)
{
    struct config_origin *o = config_doc_origin(doc, msg);
    if (!o)
        return;
    o->parent = parent;
    if (o->index >= 0)
        o->index += shift;
}

static bool same_key(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const ProtobufCFieldDescriptor *key = &a->descriptor->fields[0];
    const void *x = (const char *)a + key->offset;
    const void *y = (const char *)b + key->offset;
    if (key->type == PROTOBUF_C_TYPE_STRING)
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    return memcmp(x, y, meta_item_size(key)) == 0;
}

/* Appends; in a map an equal key is replaced instead. */
static bool merge_repeated(struct config_doc *doc, ProtobufCMessage *over, ProtobufCMessage *by,
                           const ProtobufCFieldDescriptor *fd, bool is_map)
{
    size_t *n = slot_of(over, fd->quantifier_offset);
    size_t more = *(size_t *)slot_of(by, fd->quantifier_offset);
    if (more == 0)
        return true;
    size_t size = meta_item_size(fd);
    char *items = arena_calloc(&doc->arena, *n + more, size);
    if (!items)
        return false;
    const char *added = *(char **)slot_of(by, fd->offset);
    if (*n > 0)
        memcpy(items, *(char **)slot_of(over, fd->offset), *n * size);
    size_t before = *n;
    struct config_origin *parent = config_doc_origin(doc, over);
    for (size_t i = 0; i < more; i++) {
        size_t at = *n;
        for (size_t j = 0; is_map && j < before; j++) {
            if (same_key(((ProtobufCMessage **)items)[j], ((ProtobufCMessage *const *)added)[i]))
                at = j;
        }
        memcpy(items + at * size, added + i * size, size);
        *n += at == *n;
        if (fd->type == PROTOBUF_C_TYPE_MESSAGE && parent)
            move_origin(doc, ((ProtobufCMessage *const *)added)[i], parent, (int32_t)before);
    }
    *(char **)slot_of(over, fd->offset) = items;
    return true;
}

static bool merges_inside(const ProtobufCMessageDescriptor *desc)
{
    enum meta_kind kind = (enum meta_kind)meta_of(desc)->kind;
    return kind == META_PLAIN || kind == META_STRUCT;
}

static bool is_default(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    const void *slot = (const char *)msg + fd->offset;
    static const char zero[sizeof(ProtobufCBinaryData)];
    if (fd->type == PROTOBUF_C_TYPE_STRING)
        return !*(char *const *)slot || **(char *const *)slot == '\0';
    if (fd->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)slot)->len == 0;
    return memcmp(slot, zero, meta_item_size(fd)) == 0;
}

static bool merge_singular(struct config_doc *doc, ProtobufCMessage *over, ProtobufCMessage *by,
                           const ProtobufCFieldDescriptor *fd)
{
    bool oneof = (fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    uint32_t *case_over = slot_of(over, fd->quantifier_offset);
    if (oneof ? *(uint32_t *)slot_of(by, fd->quantifier_offset) != fd->id : is_default(by, fd))
        return true;
    void *to = slot_of(over, fd->offset);
    void *from = slot_of(by, fd->offset);
    bool both = !oneof || *case_over == fd->id;
    if (oneof)
        *case_over = fd->id;
    if (fd->type != PROTOBUF_C_TYPE_MESSAGE) {
        memcpy(to, from, meta_item_size(fd));
        return true;
    }
    ProtobufCMessage *old = both ? *(ProtobufCMessage **)to : NULL;
    if (old && merges_inside(fd->descriptor))
        return merge_messages(doc, old, *(ProtobufCMessage **)from);
    *(ProtobufCMessage **)to = *(ProtobufCMessage **)from;
    move_origin(doc, *(ProtobufCMessage **)from, config_doc_origin(doc, over), 0);
    return true;
}

/* The later text's positions come first, so they are found first. */
static void move_spots(const size_t *counts, struct config_origin *over, struct config_origin *by)
{
    struct config_spot *next;
    for (struct config_spot *s = by->spots; s; s = next) {
        next = s->next;
        if (s->index >= 0)
            s->index += (int32_t)counts[s->field];
        s->next = over->spots;
        over->spots = s;
    }
    by->spots = NULL;
}

bool merge_messages(struct config_doc *doc, ProtobufCMessage *over, ProtobufCMessage *by)
{
    WEIR_ASSERT(over->descriptor == by->descriptor);
    const ProtobufCMessageDescriptor *desc = over->descriptor;
    const struct meta_message *meta = meta_of(desc);
    size_t *counts = ARENA_NEW_N(&doc->arena, size_t, desc->n_fields);
    bool ok = counts != NULL;
    for (unsigned i = 0; ok && i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *fd = &desc->fields[i];
        if (fd->label == PROTOBUF_C_LABEL_REPEATED) {
            counts[i] = *(size_t *)slot_of(over, fd->quantifier_offset);
            ok = merge_repeated(doc, over, by, fd, (meta_field(meta, i)->flags & META_FIELD_MAP) != 0);
        } else {
            ok = merge_singular(doc, over, by, fd);
        }
    }
    struct config_origin *o = config_doc_origin(doc, over);
    struct config_origin *o2 = config_doc_origin(doc, by);
    if (ok && o && o2)
        move_spots(counts, o, o2);
    return ok;
}
