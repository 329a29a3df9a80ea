/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any: {"@type": url, fields...}. The message inside is mapped like any other, kept beside the Any with its
 * own positions, and packed, so that the Any is also what a control plane would have sent. A TypedStruct is
 * replaced by the message it describes: nothing behind this file ever sees one.
 */
#include "config/mapper.h"

#include "base/assert.h"
#include "config/suggest.h"

#include <google/protobuf/any.pb-c.h>

static const struct tree_node *find_member(const struct tree_node *map, const char *name,
                                           const char *other_name)
{
    for (const struct tree_node *n = map->first; n; n = n->next) {
        struct slice key = tree_value(n->key)->text;
        if (slice_eq(key, slice_str(name)) || (other_name && slice_eq(key, slice_str(other_name))))
            return n;
    }
    return NULL;
}

/* --- which types may stand here --- */

static const struct meta_any_type *find_listed(const struct meta_field *slot, struct slice name)
{
    for (unsigned i = 0; i < slot->any_count; i++) {
        const struct meta_any_type *t = &meta_any_types[slot->any_first + i];
        if (slice_eq(slice_str(meta_str(t->name)), name))
            return t;
    }
    return NULL;
}

static void list_known(const struct meta_field *slot, struct suggest *near, struct strbuf *out)
{
    for (unsigned i = 0; i < slot->any_count; i++) {
        const struct meta_any_type *t = &meta_any_types[slot->any_first + i];
        if (t->cls == META_REFUSED)
            continue;
        suggest_try(near, meta_str(t->name));
        strbuf_printf(out, "%stype.googleapis.com/%s", out->len ? ", " : "", meta_str(t->name));
    }
}

static void wrong_type(struct mapper *m, const struct config_origin *o, const struct meta_field *slot,
                       struct slice type_url, struct slice name, const struct tree_node *node)
{
    struct slice shown = slice_take(type_url, 200);
    struct suggest near;
    suggest_init(&near, name);
    struct strbuf known;
    strbuf_init(&known, CONFIG_MESSAGE_BYTES_MAX / 2);
    if (slot && (slot->flags & META_FIELD_ANY_LISTED))
        list_known(slot, &near, &known);
    const char *what = meta_is_foreign(name) ? "an extension of Envoy that Weir does not have"
                       : meta_by_name(name)  ? "no type for this place"
                                             : "an unknown type";
    if (near.best && !meta_is_foreign(name))
        mapper_error(m, node, o, -1, -1, "\"" SLICE_FMT "\" is %s; did you mean \"type.googleapis.com/%s\"?",
                     SLICE_ARG(shown), what, near.best);
    else if (known.len > 0)
        mapper_error(m, node, o, -1, -1, "\"" SLICE_FMT "\" is %s; known here: %s", SLICE_ARG(shown), what,
                     strbuf_cstr(&known));
    else
        mapper_error(m, node, o, -1, -1, "\"" SLICE_FMT "\" is %s", SLICE_ARG(shown), what);
    strbuf_fini(&known);
}

const struct meta_message *mapper_any_type(struct mapper *m, const struct config_origin *any_origin,
                                           const struct meta_field *slot, struct slice type_url,
                                           const struct tree_node *node)
{
    struct slice name = type_url;
    for (size_t i = type_url.len; i > 0; i--) {
        if (type_url.ptr[i - 1] == '/') {
            name = slice_skip(type_url, i);
            break;
        }
    }
    const struct meta_message *meta = meta_by_type_url(type_url);
    if (name.len == type_url.len) {
        mapper_error(m, node, any_origin, -1, -1,
                     "\"" SLICE_FMT
                     "\" is no type URL; write \"type.googleapis.com/\" and the message's full name",
                     SLICE_ARG(slice_take(type_url, 200)));
        return NULL;
    }
    if (m->inert > 0)
        return meta;
    if (!slot || !(slot->flags & META_FIELD_ANY_LISTED)) {
        if (!meta)
            wrong_type(m, any_origin, slot, type_url, name, node);
        return meta;
    }
    const struct meta_any_type *listed = find_listed(slot, name);
    if (!listed)
        wrong_type(m, any_origin, slot, type_url, name, node);
    else if (listed->cls == META_REFUSED)
        mapper_error(m, node, any_origin, -1, -1, "\"" SLICE_FMT "\" is refused: %s", SLICE_ARG(type_url),
                     meta_str(listed->reason));
    return listed && listed->cls != META_REFUSED ? meta : NULL;
}

/* --- the message inside --- */

static void pack(struct mapper *m, Google__Protobuf__Any *any, const ProtobufCMessage *inside,
                 const char *name)
{
    struct arena *arena = &m->doc->arena;
    size_t size = protobuf_c_message_get_packed_size(inside);
    uint8_t *data = size <= CONFIG_ARENA_BYTES_MAX ? arena_alloc(arena, size) : NULL;
    any->type_url = arena_printf(arena, "type.googleapis.com/%s", name);
    if (!data || !any->type_url) {
        mapper_out_of_memory(m);
        return;
    }
    any->value = (ProtobufCBinaryData){protobuf_c_message_pack(inside, data), data};
}

/* `type_member` is in the same map as the fields; a known form stands under "value" instead. */
static void map_inside(struct mapper *m, Google__Protobuf__Any *any, struct config_origin *any_origin,
                       const struct meta_message *meta, const struct tree_node *node, enum config_step step,
                       bool skip_type)
{
    ProtobufCMessage *inside = config_doc_new(m->doc, meta->desc);
    struct config_origin *o = inside ? config_doc_track(m->doc, inside) : NULL;
    if (!o) {
        mapper_out_of_memory(m);
        return;
    }
    o->parent = any_origin;
    o->source = (uint16_t)m->source;
    o->line = node->line;
    o->column = node->column;
    o->step = (uint8_t)step;
    o->inert = m->inert > 0;
    if (!mapper_enter(m, node, o))
        return;
    if (meta->kind == META_PLAIN)
        mapper_fields(m, inside, node, skip_type);
    else if (meta->kind == META_ANY)
        mapper_error(m, node, o, -1, -1, "is an Any inside an Any; write the inner one alone");
    else
        mapper_known(m, (enum meta_kind)meta->kind, inside, o, -1, -1, node);
    mapper_leave(m);
    any_origin->inside = inside;
    if (!m->stopped)
        pack(m, any, inside, meta_str(meta->name));
}

void mapper_typed_struct(struct mapper *m, ProtobufCMessage *any, struct config_origin *any_origin,
                         const struct meta_field *slot, struct slice type_url,
                         const struct tree_node *type_node, const struct tree_node *value)
{
    const struct meta_message *meta = mapper_any_type(m, any_origin, slot, type_url, type_node);
    if (!meta)
        return;
    if (meta->kind == META_TYPED_STRUCT) {
        mapper_error(m, type_node, any_origin, -1, -1,
                     "is a TypedStruct inside a TypedStruct; write the inner one");
        return;
    }
    map_inside(m, (Google__Protobuf__Any *)any, any_origin, meta, value, CONFIG_STEP_VALUE, false);
}

static void map_typed_struct(struct mapper *m, ProtobufCMessage *msg, struct config_origin *any_origin,
                             const struct meta_field *slot, const struct tree_node *map)
{
    const struct tree_node *type = find_member(map, "type_url", "typeUrl");
    const struct tree_node *value = find_member(map, "value", NULL);
    static const struct tree_node nothing = {.type = TREE_NULL};
    for (const struct tree_node *n = map->first; n; n = n->next) {
        if (n != type && n != value && !slice_eq(tree_value(n->key)->text, SLICE_LIT("@type")))
            mapper_error(m, n->key, any_origin, -1, -1,
                         "unknown field \"" SLICE_FMT "\"; a TypedStruct has type_url and value",
                         SLICE_ARG(slice_take(tree_value(n->key)->text, 80)));
    }
    if (!type || (tree_value(type)->type != TREE_PLAIN && tree_value(type)->type != TREE_STRING)) {
        mapper_error(m, type ? type : map, any_origin, -1, -1,
                     "a TypedStruct needs a type_url: what its value stands for");
        return;
    }
    if (value && tree_value(value)->type != TREE_MAP && tree_value(value)->type != TREE_NULL) {
        mapper_error(m, value, any_origin, -1, -1, "the value of a TypedStruct must be a map, found %s",
                     tree_type_name(value));
        return;
    }
    mapper_typed_struct(m, msg, any_origin, slot, tree_value(type)->text, type, value ? value : &nothing);
}

void mapper_any(struct mapper *m, ProtobufCMessage *msg, struct config_origin *any_origin,
                const struct meta_field *slot, const struct tree_node *node)
{
    const struct tree_node *map = tree_value(node);
    WEIR_ASSERT(msg->descriptor == &google__protobuf__any__descriptor);
    if (map->type != TREE_MAP) {
        mapper_error(m, node, any_origin, -1, -1, "expects a map with \"@type\", found %s",
                     tree_type_name(map));
        return;
    }
    /* An empty Any says nothing; `config: {}` of a FilterConfig is the usual one. */
    if (map->count == 0 && !(slot && (slot->flags & META_FIELD_ANY_LISTED)))
        return;
    const struct tree_node *type = find_member(map, "@type", NULL);
    if (!type || (tree_value(type)->type != TREE_PLAIN && tree_value(type)->type != TREE_STRING)) {
        mapper_error(m, type ? type : node, any_origin, -1, -1,
                     "needs \"@type\", such as \"type.googleapis.com/google.protobuf.StringValue\"");
        return;
    }
    struct slice type_url = tree_value(type)->text;
    const struct meta_message *direct = meta_by_type_url(type_url);
    if (direct && direct->kind == META_TYPED_STRUCT) {
        map_typed_struct(m, msg, any_origin, slot, map);
        return;
    }
    const struct meta_message *meta = mapper_any_type(m, any_origin, slot, type_url, type);
    if (!meta) {
        /* Below an inert field a type may be unknown; its name is all that is kept. */
        ((Google__Protobuf__Any *)msg)->type_url = arena_strdup(&m->doc->arena, type_url);
        if (!((Google__Protobuf__Any *)msg)->type_url)
            mapper_out_of_memory(m);
        return;
    }
    if (meta->kind == META_PLAIN) {
        map_inside(m, (Google__Protobuf__Any *)msg, any_origin, meta, node, CONFIG_STEP_INSIDE, true);
        return;
    }
    const struct tree_node *value = find_member(map, "value", NULL);
    for (const struct tree_node *n = map->first; n; n = n->next) {
        if (n != type && n != value)
            mapper_error(m, n->key, any_origin, -1, -1,
                         "unknown field \"" SLICE_FMT "\"; %s is written under \"value\"",
                         SLICE_ARG(slice_take(tree_value(n->key)->text, 80)), meta_str(meta->name));
    }
    if (!value)
        mapper_error(m, node, any_origin, -1, -1, "needs \"value\": %s is written under it",
                     meta_str(meta->name));
    else if (tree_value(value)->type != TREE_NULL || meta->kind == META_VALUE)
        map_inside(m, (Google__Protobuf__Any *)msg, any_origin, meta, value, CONFIG_STEP_VALUE, false);
}
