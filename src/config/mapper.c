/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages and their fields from a tree. Every field is looked up by its JSON or proto name, its class
 * decides whether it is taken, and a position is kept for each.
 */
#include "config/mapper.h"

#include "base/assert.h"
#include "config/suggest.h"

void mapper_init(struct mapper *m, struct config_doc *doc, struct config_diag *diag, unsigned source)
{
    *m = (struct mapper){.doc = doc, .diag = diag, .source = source};
}

/* --- errors and caps --- */

static struct config_pos node_pos(const struct mapper *m, const struct tree_node *node,
                                  const struct config_origin *o, int field, int32_t index)
{
    if (node && node->line > 0)
        return (struct config_pos){m->doc->sources[m->source], node->line, node->column};
    return config_pos_at(m->doc, o, field, index);
}

void mapper_error(struct mapper *m, const struct tree_node *node, const struct config_origin *o, int field,
                  int32_t index, const char *fmt, ...)
{
    struct strbuf path;
    strbuf_init(&path, CONFIG_PATH_BYTES_MAX);
    config_path_at(o, field, index, false, &path);
    va_list args;
    va_start(args, fmt);
    config_diag_verror(m->diag, node_pos(m, node, o, field, index), strbuf_cstr(&path), fmt, args);
    va_end(args);
    strbuf_fini(&path);
}

void mapper_out_of_memory(struct mapper *m)
{
    if (!m->stopped)
        config_diag_error(m->diag, (struct config_pos){m->doc->sources[m->source], 0, 0}, "",
                          "the document needs too much memory");
    m->stopped = true;
}

bool mapper_enter(struct mapper *m, const struct tree_node *node, const struct config_origin *o)
{
    if (m->stopped)
        return false;
    bool deep = m->depth >= CONFIG_DEPTH_MAX;
    if (deep || ++m->values > CONFIG_VALUES_MAX) {
        mapper_error(m, node, o, -1, -1, "%s",
                     deep ? "nested too deeply" : "the document has too many values");
        m->stopped = true;
        return false;
    }
    m->depth++;
    return true;
}

void mapper_leave(struct mapper *m)
{
    WEIR_ASSERT(m->depth > 0);
    m->depth--;
}

void mapper_note(struct mapper *m, const struct tree_node *node, const struct config_origin *o,
                 unsigned field, const char *reason, bool deprecated)
{
    struct strbuf path;
    strbuf_init(&path, CONFIG_PATH_BYTES_MAX);
    config_path_at(o, (int)field, -1, true, &path);
    config_diag_note(m->diag, node_pos(m, node, o, (int)field, -1), strbuf_cstr(&path), reason, deprecated);
    strbuf_fini(&path);
}

/* --- one field --- */

static bool has_spot(const struct config_origin *o, unsigned field)
{
    for (const struct config_spot *s = o->spots; s; s = s->next) {
        if (s->field == field)
            return true;
    }
    return false;
}

static void add_spot(struct mapper *m, struct config_origin *o, unsigned field, int32_t index,
                     const struct tree_node *node)
{
    if (!config_doc_add_spot(m->doc, o, field, index, m->source, node->line, node->column))
        mapper_out_of_memory(m);
}

static void mark_present(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    if (fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)mapper_slot(msg, fd->quantifier_offset) = fd->id;
    else if (fd->label == PROTOBUF_C_LABEL_OPTIONAL && fd->type != PROTOBUF_C_TYPE_MESSAGE &&
             fd->type != PROTOBUF_C_TYPE_STRING)
        *(protobuf_c_boolean *)mapper_slot(msg, fd->quantifier_offset) = 1;
}

static enum meta_kind kind_of(const ProtobufCFieldDescriptor *fd)
{
    return (enum meta_kind)meta_of(fd->descriptor)->kind;
}

static struct config_origin *track(struct mapper *m, const ProtobufCMessage *msg,
                                   const struct config_origin *place, const struct tree_node *node)
{
    struct config_origin *o = config_doc_track(m->doc, msg);
    if (!o)
        return NULL;
    *o = *place;
    o->msg = msg;
    o->source = (uint16_t)m->source;
    o->line = node->line;
    o->column = node->column;
    o->inert = m->inert > 0;
    return o;
}

/* Messages of a known form need no origin of their own, except an Any, which holds another message. */
static bool needs_origin(enum meta_kind kind)
{
    return kind == META_PLAIN || kind == META_ANY || kind == META_TYPED_STRUCT;
}

ProtobufCMessage *mapper_message(struct mapper *m, const ProtobufCMessageDescriptor *desc,
                                 const struct config_origin *place, const struct tree_node *node)
{
    enum meta_kind kind = (enum meta_kind)meta_of(desc)->kind;
    if (!mapper_enter(m, node, place->parent))
        return NULL;
    ProtobufCMessage *msg = config_doc_new(m->doc, desc);
    struct config_origin *o = msg && needs_origin(kind) ? track(m, msg, place, node) : NULL;
    if (!msg || (!o && needs_origin(kind))) {
        mapper_out_of_memory(m);
        msg = NULL;
    } else if (kind == META_ANY) {
        const struct meta_message *parent = place->parent ? meta_of(place->parent->msg->descriptor) : NULL;
        mapper_any(m, msg, o, parent ? meta_field(parent, place->field) : NULL, node);
    } else if (o) {
        mapper_fields(m, msg, node, false);
    } else {
        WEIR_ASSERT(place->parent != NULL);
        mapper_known(m, kind, msg, place->parent, place->field, place->index, node);
    }
    mapper_leave(m);
    return msg;
}

static struct config_origin field_place(struct config_origin *o, unsigned field, int32_t index)
{
    return (struct config_origin){
        .parent = o, .field = (uint16_t)field, .index = index, .step = CONFIG_STEP_FIELD};
}

static void map_singular(struct mapper *m, struct config_origin *o, unsigned field,
                         const struct tree_node *value)
{
    ProtobufCMessage *msg = (ProtobufCMessage *)o->msg;
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    void *slot = mapper_slot(msg, fd->offset);
    if (fd->type == PROTOBUF_C_TYPE_MESSAGE) {
        struct config_origin place = field_place(o, field, -1);
        ProtobufCMessage *sub = mapper_message(m, fd->descriptor, &place, value);
        if (sub) {
            *(ProtobufCMessage **)slot = sub;
            mark_present(msg, fd);
        }
        return;
    }
    if (mapper_enter(m, value, o)) {
        if (mapper_scalar(m, o, (int)field, -1, fd, value, slot))
            mark_present(msg, fd);
        mapper_leave(m);
    }
}

static void map_list(struct mapper *m, struct config_origin *o, unsigned field, const struct tree_node *value)
{
    ProtobufCMessage *msg = (ProtobufCMessage *)o->msg;
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    const struct tree_node *list = tree_value(value);
    if (list->type != TREE_LIST) {
        mapper_error(m, value, o, (int)field, -1, "expects a list, found %s; put \"- \" before each item",
                     tree_type_name(list));
        return;
    }
    size_t size = meta_item_size(fd);
    char *items = arena_calloc(&m->doc->arena, list->count, size);
    if (!items)
        mapper_out_of_memory(m);
    size_t kept = 0;
    int32_t index = 0;
    for (const struct tree_node *n = list->first; n && !m->stopped; n = n->next, index++) {
        void *slot = items + kept * size;
        if (tree_value(n)->type == TREE_NULL) {
            mapper_error(m, n, o, (int)field, index, "is null; write a value or remove the item");
        } else if (fd->type == PROTOBUF_C_TYPE_MESSAGE) {
            struct config_origin place = field_place(o, field, index);
            *(ProtobufCMessage **)slot = mapper_message(m, fd->descriptor, &place, n);
            kept += *(ProtobufCMessage **)slot != NULL;
        } else if (mapper_enter(m, n, o)) {
            add_spot(m, o, field, index, n);
            kept += mapper_scalar(m, o, (int)field, index, fd, n, slot);
            mapper_leave(m);
        }
    }
    *(size_t *)mapper_slot(msg, fd->quantifier_offset) = kept;
    *(void **)mapper_slot(msg, fd->offset) = items;
}

/* An entry is a message of two fields, key and value, which the text writes as one pair. */
static ProtobufCMessage *map_entry(struct mapper *m, struct config_origin *o, unsigned field,
                                   const struct tree_node *value)
{
    const ProtobufCMessageDescriptor *desc = o->msg->descriptor->fields[field].descriptor;
    WEIR_ASSERT(desc->n_fields == 2);
    ProtobufCMessage *entry = config_doc_new(m->doc, desc);
    struct config_origin place = field_place(o, field, -1);
    place.key = arena_strdup(&m->doc->arena, tree_value(value->key)->text);
    struct config_origin *eo = entry && place.key ? track(m, entry, &place, value) : NULL;
    if (!eo) {
        mapper_out_of_memory(m);
        return NULL;
    }
    if (!mapper_key(m, eo, &desc->fields[0], value->key, mapper_slot(entry, desc->fields[0].offset)))
        return NULL;
    const ProtobufCFieldDescriptor *fd = &desc->fields[1];
    if (fd->type == PROTOBUF_C_TYPE_MESSAGE) {
        struct config_origin inside = {.parent = eo, .field = 1, .index = -1, .step = CONFIG_STEP_INSIDE};
        ProtobufCMessage *sub = mapper_message(m, fd->descriptor, &inside, value);
        *(ProtobufCMessage **)mapper_slot(entry, fd->offset) = sub;
        return sub ? entry : NULL;
    }
    return mapper_scalar(m, eo, -1, -1, fd, value, mapper_slot(entry, fd->offset)) ? entry : NULL;
}

static void map_map(struct mapper *m, struct config_origin *o, unsigned field, const struct tree_node *value)
{
    ProtobufCMessage *msg = (ProtobufCMessage *)o->msg;
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    const struct tree_node *map = tree_value(value);
    if (map->type != TREE_MAP) {
        mapper_error(m, value, o, (int)field, -1, "expects a map, found %s", tree_type_name(map));
        return;
    }
    ProtobufCMessage **entries = ARENA_NEW_N(&m->doc->arena, ProtobufCMessage *, map->count);
    if (!entries)
        mapper_out_of_memory(m);
    size_t kept = 0;
    for (const struct tree_node *n = map->first; n && !m->stopped; n = n->next) {
        if (n->ignored || !mapper_enter(m, n, o))
            continue;
        if (tree_value(n)->type == TREE_NULL)
            mapper_error(m, n, o, (int)field, -1,
                         "\"" SLICE_FMT "\" is null; write a value or remove the key",
                         SLICE_ARG(slice_take(tree_value(n->key)->text, 80)));
        else if ((entries[kept] = map_entry(m, o, field, n)) != NULL)
            kept++;
        mapper_leave(m);
    }
    *(size_t *)mapper_slot(msg, fd->quantifier_offset) = kept;
    *(void **)mapper_slot(msg, fd->offset) = entries;
}

static void map_value(struct mapper *m, struct config_origin *o, unsigned field,
                      const struct tree_node *value)
{
    const struct meta_field *f = meta_field(meta_of(o->msg->descriptor), field);
    if (f->flags & META_FIELD_MAP)
        map_map(m, o, field, value);
    else if (o->msg->descriptor->fields[field].label == PROTOBUF_C_LABEL_REPEATED)
        map_list(m, o, field, value);
    else
        map_singular(m, o, field, value);
}

/* A scalar that has the value it has anyway: refusing that would help nobody. */
static bool is_written_default(const ProtobufCFieldDescriptor *fd, const struct tree_node *value)
{
    const struct tree_node *n = tree_value(value);
    if (fd->label == PROTOBUF_C_LABEL_REPEATED)
        return (n->type == TREE_LIST || n->type == TREE_MAP) && n->count == 0;
    if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || (n->type != TREE_PLAIN && n->type != TREE_STRING))
        return false;
    switch (fd->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return n->type == TREE_PLAIN && slice_eq(n->text, SLICE_LIT("false"));
    case PROTOBUF_C_TYPE_STRING:
        return n->text.len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_BYTES:
        return false;
    default:
        return n->type == TREE_PLAIN && slice_eq(n->text, SLICE_LIT("0"));
    }
}

/* Another member of the same oneof that is set already, or -1. */
static int other_of_oneof(const ProtobufCMessage *msg, unsigned field)
{
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    if (!(fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return -1;
    uint32_t set = *(uint32_t *)mapper_slot((ProtobufCMessage *)msg, fd->quantifier_offset);
    for (unsigned i = 0; set != 0 && i < msg->descriptor->n_fields; i++) {
        if (i != field && msg->descriptor->fields[i].id == set)
            return (int)i;
    }
    return -1;
}

static bool takes_null(const ProtobufCFieldDescriptor *fd)
{
    return fd->type == PROTOBUF_C_TYPE_MESSAGE && fd->label != PROTOBUF_C_LABEL_REPEATED &&
           kind_of(fd) == META_VALUE;
}

void mapper_field(struct mapper *m, ProtobufCMessage *msg, unsigned field, const struct tree_node *key,
                  const struct tree_node *value)
{
    struct config_origin *o = config_doc_origin(m->doc, msg);
    const struct meta_field *f = meta_field(meta_of(msg->descriptor), field);
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    WEIR_ASSERT(o != NULL);
    if (tree_value(value)->type == TREE_NULL && !takes_null(fd))
        return;
    if (has_spot(o, field)) {
        mapper_error(m, key, o, (int)field, -1, "is given twice, as %s and as %s; remove one",
                     meta_str(f->name), meta_str(f->json_name));
        return;
    }
    int other = other_of_oneof(msg, field);
    if (other >= 0) {
        mapper_error(m, key, o, (int)field, -1, "cannot be set together with %s; keep one",
                     meta_str(meta_field(meta_of(msg->descriptor), (unsigned)other)->name));
        return;
    }
    if (m->inert == 0 && f->cls == META_REFUSED) {
        if (!is_written_default(fd, value)) {
            mapper_error(m, key, o, (int)field, -1, "is refused: %s; remove it", meta_str(f->reason));
            add_spot(m, o, field, -1, value);
            if (o->spots)
                o->spots->failed = true;
        }
        return;
    }
    add_spot(m, o, field, -1, value);
    if (m->stopped)
        return;
    bool inert = f->cls == META_INERT && m->inert == 0;
    if (inert)
        mapper_note(m, key, o, field, meta_str(f->reason), false);
    else if (m->inert == 0 && (f->flags & META_FIELD_DEPRECATED))
        mapper_note(m, key, o, field, "the API may drop it", true);
    uint32_t errors = m->diag->errors_total;
    struct config_spot *spot = o->spots;
    m->inert += inert;
    map_value(m, o, field, value);
    m->inert -= inert;
    spot->failed = spot->failed || m->diag->errors_total != errors;
}

/* --- messages --- */

static void unknown_field(struct mapper *m, const struct config_origin *o, const struct tree_node *key)
{
    const struct meta_message *meta = meta_of(o->msg->descriptor);
    struct slice name = slice_take(tree_value(key)->text, 80);
    struct suggest near;
    suggest_init(&near, name);
    struct strbuf known;
    strbuf_init(&known, CONFIG_MESSAGE_BYTES_MAX / 2);
    for (unsigned i = 0; i < meta->desc->n_fields; i++) {
        const char *candidate = meta_str(meta_field(meta, i)->name);
        suggest_try(&near, candidate);
        strbuf_printf(&known, "%s%s", i ? ", " : "", candidate);
    }
    if (near.best)
        mapper_error(m, key, o, -1, -1, "unknown field \"" SLICE_FMT "\"; did you mean \"%s\"?",
                     SLICE_ARG(name), near.best);
    else
        mapper_error(m, key, o, -1, -1, "unknown field \"" SLICE_FMT "\"; %s has %s", SLICE_ARG(name),
                     meta_str(meta->name), meta->desc->n_fields ? strbuf_cstr(&known) : "no fields");
    strbuf_fini(&known);
}

void mapper_fields(struct mapper *m, ProtobufCMessage *msg, const struct tree_node *node, bool skip_type)
{
    const struct tree_node *map = tree_value(node);
    struct config_origin *o = config_doc_origin(m->doc, msg);
    WEIR_ASSERT(o != NULL);
    if (map->type == TREE_NULL)
        return;
    if (map->type != TREE_MAP) {
        mapper_error(m, node, o, -1, -1, "expects a map of fields, found %s", tree_type_name(map));
        return;
    }
    const struct meta_message *meta = meta_of(msg->descriptor);
    for (const struct tree_node *n = map->first; n && !m->stopped; n = n->next) {
        struct slice name = tree_value(n->key)->text;
        if (n->ignored || (skip_type && slice_eq(name, SLICE_LIT("@type"))))
            continue;
        int field = meta_find_field(meta, name);
        if (field < 0)
            unknown_field(m, o, n->key);
        else
            mapper_field(m, msg, (unsigned)field, n->key, n);
    }
}
