/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document's memory and its table of origins. It knows nothing about texts or rules.
 */
#include "config/doc.h"

#include "base/assert.h"

#include <stdlib.h>

static void *doc_alloc(void *data, size_t size)
{
    return arena_alloc(data, size);
}

static void doc_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

struct config_doc *config_doc_create(void)
{
    struct config_doc *doc = calloc(1, sizeof *doc);
    if (!doc)
        return NULL;
    arena_init_secret(&doc->arena, CONFIG_ARENA_BYTES_MAX);
    doc->allocator = (ProtobufCAllocator){doc_alloc, doc_free, &doc->arena};
    return doc;
}

void config_doc_destroy(struct config_doc **doc)
{
    if (!*doc)
        return;
    free((*doc)->slots);
    arena_fini(&(*doc)->arena);
    free(*doc);
    *doc = NULL;
}

int config_doc_add_source(struct config_doc *doc, const char *name)
{
    if (doc->sources_count == CONFIG_SOURCES_MAX)
        return -1;
    const char *kept = arena_strdup(&doc->arena, slice_str(name));
    if (!kept)
        return -1;
    doc->sources[doc->sources_count] = kept;
    return (int)doc->sources_count++;
}

ProtobufCMessage *config_doc_new(struct config_doc *doc, const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *msg = arena_alloc(&doc->arena, desc->sizeof_message);
    if (msg)
        protobuf_c_message_init(desc, msg);
    return msg;
}

/* --- origins --- */

static size_t slot_of(const void *msg, size_t size)
{
    uint64_t x = (uint64_t)(uintptr_t)msg >> 4;
    x *= 0x9e3779b97f4a7c15u;
    return (size_t)(x >> 32) & (size - 1);
}

static bool grow_slots(struct config_doc *doc)
{
    size_t size = doc->slots_size ? doc->slots_size * 2 : 256;
    struct config_origin **slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < doc->slots_size; i++) {
        if (!doc->slots[i])
            continue;
        size_t at = slot_of(doc->slots[i]->msg, size);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = doc->slots[i];
    }
    free(doc->slots);
    doc->slots = slots;
    doc->slots_size = size;
    return true;
}

struct config_origin *config_doc_origin(const struct config_doc *doc, const void *msg)
{
    if (doc->slots_size == 0)
        return NULL;
    for (size_t at = slot_of(msg, doc->slots_size); doc->slots[at]; at = (at + 1) & (doc->slots_size - 1)) {
        if (doc->slots[at]->msg == msg)
            return doc->slots[at];
    }
    return NULL;
}

struct config_origin *config_doc_track(struct config_doc *doc, const ProtobufCMessage *msg)
{
    WEIR_ASSERT(config_doc_origin(doc, msg) == NULL);
    if (doc->slots_used * 2 >= doc->slots_size && !grow_slots(doc))
        return NULL;
    struct config_origin *o = ARENA_NEW(&doc->arena, struct config_origin);
    if (!o)
        return NULL;
    o->msg = msg;
    o->index = -1;
    size_t at = slot_of(msg, doc->slots_size);
    while (doc->slots[at])
        at = (at + 1) & (doc->slots_size - 1);
    doc->slots[at] = o;
    doc->slots_used++;
    return o;
}

bool config_doc_add_spot(struct config_doc *doc, struct config_origin *o, unsigned field, int32_t index,
                         unsigned source, uint32_t line, uint32_t column)
{
    struct config_spot *spot = ARENA_NEW(&doc->arena, struct config_spot);
    if (!spot)
        return false;
    *spot = (struct config_spot){o->spots, index, (uint16_t)field, (uint16_t)source, line, column, false};
    o->spots = spot;
    return true;
}

/* --- positions and paths --- */

static struct config_pos make_pos(const struct config_doc *doc, unsigned source, uint32_t line,
                                  uint32_t column)
{
    WEIR_ASSERT(source < CONFIG_SOURCES_MAX);
    return (struct config_pos){doc->sources[source], line, column};
}

struct config_pos config_pos_at(const struct config_doc *doc, const struct config_origin *o, int field,
                                int32_t index)
{
    if (!o)
        return (struct config_pos){doc->sources[0], 0, 0};
    const struct config_spot *whole = NULL;
    for (const struct config_spot *s = o->spots; field >= 0 && s; s = s->next) {
        if (s->field != field)
            continue;
        if (s->index == index)
            return make_pos(doc, s->source, s->line, s->column);
        if (s->index == -1)
            whole = s;
    }
    if (whole)
        return make_pos(doc, whole->source, whole->line, whole->column);
    while (o->line == 0 && o->parent)
        o = o->parent;
    return make_pos(doc, o->source, o->line, o->column);
}

struct config_pos config_pos_item(const struct config_doc *doc, const ProtobufCMessage *msg,
                                  const char *field, int32_t index)
{
    const struct config_origin *o = config_doc_origin(doc, msg);
    int f = o && field ? meta_find_field(meta_of(msg->descriptor), slice_str(field)) : -1;
    return config_pos_at(doc, o, f, index);
}

struct config_pos config_pos(const struct config_doc *doc, const ProtobufCMessage *msg, const char *field)
{
    return config_pos_item(doc, msg, field, -1);
}

static void print_name(struct strbuf *out, const char *name)
{
    if (out->len > 0)
        strbuf_append_char(out, '.');
    strbuf_append_str(out, name);
}

static void print_step(const struct config_origin *o, bool pattern, struct strbuf *out)
{
    if (o->step == CONFIG_STEP_VALUE)
        print_name(out, "value");
    if (o->step != CONFIG_STEP_FIELD)
        return;
    const struct meta_message *parent = meta_of(o->parent->msg->descriptor);
    print_name(out, meta_str(meta_field(parent, o->field)->name));
    if (o->key)
        strbuf_printf(out, pattern ? "{}" : "{\"%s\"}", o->key);
    else if (o->index >= 0)
        pattern ? strbuf_append_str(out, "[]") : strbuf_printf(out, "[%d]", o->index);
}

void config_path_at(const struct config_origin *o, int field, int32_t index, bool pattern, struct strbuf *out)
{
    const struct config_origin *chain[CONFIG_DEPTH_MAX * 3];
    unsigned n = 0;
    for (const struct config_origin *up = o; up && n < WEIR_ARRAY_LEN(chain); up = up->parent)
        chain[n++] = up;
    while (n > 0)
        print_step(chain[--n], pattern, out);
    if (field >= 0 && o && !o->key) { /* an entry of a map is its value */
        print_name(out, meta_str(meta_field(meta_of(o->msg->descriptor), (unsigned)field)->name));
        if (index >= 0)
            pattern ? strbuf_append_str(out, "[]") : strbuf_printf(out, "[%d]", index);
    }
}

const ProtobufCMessage *config_any_message(const struct config_doc *doc, const void *any)
{
    const struct config_origin *o = any ? config_doc_origin(doc, any) : NULL;
    return o ? o->inside : NULL;
}

const void *config_any_unpack(const struct config_doc *doc, const void *any,
                              const ProtobufCMessageDescriptor *desc)
{
    const ProtobufCMessage *inside = config_any_message(doc, any);
    return inside && inside->descriptor == desc ? inside : NULL;
}

void config_error_at(const struct config_doc *doc, struct config_diag *diag, const ProtobufCMessage *msg,
                     const char *field, int32_t index, const char *fmt, ...)
{
    const struct config_origin *o = config_doc_origin(doc, msg);
    int f = o && field ? meta_find_field(meta_of(msg->descriptor), slice_str(field)) : -1;
    WEIR_ASSERT(!o || !field || f >= 0);
    struct strbuf path;
    strbuf_init(&path, CONFIG_PATH_BYTES_MAX);
    config_path_at(o, f, index, false, &path);
    va_list args;
    va_start(args, fmt);
    if (!config_diag_has_below(diag, strbuf_cstr(&path)))
        config_diag_verror(diag, config_pos_at(doc, o, f, index), strbuf_cstr(&path), fmt, args);
    va_end(args);
    strbuf_fini(&path);
}
