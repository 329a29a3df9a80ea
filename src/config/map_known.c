/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of google.protobuf that JSON writes in a form of its own: durations, wrappers, structs and so
 * on.
 */
#include "config/mapper.h"

#include "base/assert.h"
#include "config/scalar.h"

#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/field_mask.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>

struct known_at {
    struct mapper *m;
    const struct config_origin *o;
    int field;
    int32_t index;
};

static void wrong(const struct known_at *at, const struct tree_node *node, const char *expected)
{
    const struct tree_node *n = tree_value(node);
    if (n->type == TREE_PLAIN || n->type == TREE_STRING)
        mapper_error(at->m, node, at->o, at->field, at->index, "expects %s, found \"" SLICE_FMT "\"",
                     expected, SLICE_ARG(slice_take(n->text, 80)));
    else
        mapper_error(at->m, node, at->o, at->field, at->index, "expects %s, found %s", expected,
                     tree_type_name(n));
}

static bool is_scalar(const struct tree_node *n)
{
    return n->type == TREE_PLAIN || n->type == TREE_STRING;
}

static void map_duration(const struct known_at *at, Google__Protobuf__Duration *d,
                         const struct tree_node *node)
{
    const struct tree_node *n = tree_value(node);
    enum scalar_result result =
        is_scalar(n) ? scalar_duration(n->text, &d->seconds, &d->nanos) : SCALAR_SYNTAX;
    if (result == SCALAR_RANGE)
        wrong(at, node, "a duration of at most 10,000 years");
    else if (result != SCALAR_OK)
        wrong(at, node, "a duration in seconds, such as \"1.5s\"");
}

static void map_timestamp(const struct known_at *at, Google__Protobuf__Timestamp *t,
                          const struct tree_node *node)
{
    const struct tree_node *n = tree_value(node);
    if (!is_scalar(n) || scalar_timestamp(n->text, &t->seconds, &t->nanos) != SCALAR_OK)
        wrong(at, node, "a time such as \"2026-01-31T10:00:00Z\"");
}

/* JSON has lowerCamel paths between commas, the message snake_case ones. */
static void map_field_mask(const struct known_at *at, Google__Protobuf__FieldMask *mask,
                           const struct tree_node *node)
{
    const struct tree_node *n = tree_value(node);
    if (!is_scalar(n)) {
        wrong(at, node, "field paths between commas");
        return;
    }
    struct arena *arena = &at->m->doc->arena;
    size_t count = n->text.len > 0;
    for (size_t i = 0; i < n->text.len; i++)
        count += n->text.ptr[i] == ',';
    mask->paths = ARENA_NEW_N(arena, char *, count);
    struct slice rest = n->text;
    struct slice part;
    while (mask->paths && n->text.len > 0 && slice_split(&rest, ',', &part)) {
        char *path = arena_alloc_text(arena, part.len * 2 + 1);
        if (!path)
            break;
        size_t len = 0;
        for (size_t i = 0; i < part.len; i++) {
            if (part.ptr[i] >= 'A' && part.ptr[i] <= 'Z')
                path[len++] = '_';
            path[len++] = ascii_lower(part.ptr[i]);
        }
        path[len] = '\0';
        mask->paths[mask->n_paths++] = path;
    }
    if (mask->n_paths != count)
        mapper_out_of_memory(at->m);
}

/* A wrapper is written as the scalar it wraps. Errors name the field that has the wrapper. */
static void map_wrapper(const struct known_at *at, ProtobufCMessage *msg, const struct tree_node *node)
{
    WEIR_ASSERT(msg->descriptor->n_fields == 1);
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[0];
    mapper_scalar(at->m, at->o, at->field, at->index, fd, node, mapper_slot(msg, fd->offset));
}

/* --- Struct, Value, ListValue --- */

static bool map_value(const struct known_at *at, Google__Protobuf__Value *v, const struct tree_node *node);

static char *copy_text(const struct known_at *at, const struct tree_node *node, struct slice text)
{
    if (text.len > 0 && memchr(text.ptr, '\0', text.len)) {
        mapper_error(at->m, node, at->o, at->field, at->index, "holds a NUL character; remove it");
        return NULL;
    }
    char *copy = arena_strdup(&at->m->doc->arena, text);
    if (!copy)
        mapper_out_of_memory(at->m);
    return copy;
}

static bool map_struct(const struct known_at *at, Google__Protobuf__Struct *s, const struct tree_node *node)
{
    const struct tree_node *map = tree_value(node);
    struct config_doc *doc = at->m->doc;
    if (map->type != TREE_MAP) {
        wrong(at, node, "a map");
        return false;
    }
    s->fields = ARENA_NEW_N(&doc->arena, Google__Protobuf__Struct__FieldsEntry *, map->count);
    if (!s->fields) {
        mapper_out_of_memory(at->m);
        return false;
    }
    for (const struct tree_node *n = map->first; n; n = n->next) {
        if (n->ignored)
            continue;
        Google__Protobuf__Struct__FieldsEntry *e =
            (void *)config_doc_new(doc, &google__protobuf__struct__fields_entry__descriptor);
        Google__Protobuf__Value *v = (void *)config_doc_new(doc, &google__protobuf__value__descriptor);
        if (!e || !v) {
            mapper_out_of_memory(at->m);
            return false;
        }
        e->key = copy_text(at, n->key, tree_value(n->key)->text);
        e->value = v;
        if (!e->key || !map_value(at, v, n))
            return false;
        s->fields[s->n_fields++] = e;
    }
    return true;
}

static bool map_list_value(const struct known_at *at, Google__Protobuf__ListValue *l,
                           const struct tree_node *node)
{
    const struct tree_node *list = tree_value(node);
    struct config_doc *doc = at->m->doc;
    if (list->type != TREE_LIST) {
        wrong(at, node, "a list");
        return false;
    }
    l->values = ARENA_NEW_N(&doc->arena, Google__Protobuf__Value *, list->count);
    if (!l->values) {
        mapper_out_of_memory(at->m);
        return false;
    }
    for (const struct tree_node *n = list->first; n; n = n->next) {
        Google__Protobuf__Value *v = (void *)config_doc_new(doc, &google__protobuf__value__descriptor);
        if (!v) {
            mapper_out_of_memory(at->m);
            return false;
        }
        if (!map_value(at, v, n))
            return false;
        l->values[l->n_values++] = v;
    }
    return true;
}

/* What a plain word means is YAML's question; a whole number too large for a double stays text. */
static bool map_plain(const struct known_at *at, Google__Protobuf__Value *v, const struct tree_node *n)
{
    bool flag;
    int64_t whole;
    double number;
    if (scalar_bool(n->text, &flag)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        v->bool_value = flag;
        return true;
    }
    if (scalar_i64(n->text, &whole) == SCALAR_OK && whole <= 1ll << 53 && whole >= -(1ll << 53)) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        v->number_value = (double)whole;
        return true;
    }
    if (scalar_i64(n->text, &whole) == SCALAR_SYNTAX && scalar_double(n->text, &number) == SCALAR_OK &&
        number - number == 0) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        v->number_value = number;
        return true;
    }
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = copy_text(at, n, n->text);
    return v->string_value != NULL;
}

static bool map_value_inner(const struct known_at *at, Google__Protobuf__Value *v,
                            const struct tree_node *node)
{
    const struct tree_node *n = tree_value(node);
    struct config_doc *doc = at->m->doc;
    switch (n->type) {
    case TREE_NULL:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        return true;
    case TREE_PLAIN:
        return map_plain(at, v, n);
    case TREE_STRING:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        v->string_value = copy_text(at, n, n->text);
        return v->string_value != NULL;
    case TREE_LIST:
        v->list_value = (void *)config_doc_new(doc, &google__protobuf__list_value__descriptor);
        if (!v->list_value)
            break;
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        return map_list_value(at, v->list_value, n);
    default:
        WEIR_ASSERT(n->type == TREE_MAP);
        v->struct_value = (void *)config_doc_new(doc, &google__protobuf__struct__descriptor);
        if (!v->struct_value)
            break;
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        return map_struct(at, v->struct_value, n);
    }
    mapper_out_of_memory(at->m);
    return false;
}

static bool map_value(const struct known_at *at, Google__Protobuf__Value *v, const struct tree_node *node)
{
    if (!mapper_enter(at->m, node, at->o))
        return false;
    bool ok = map_value_inner(at, v, node);
    mapper_leave(at->m);
    return ok;
}

void mapper_known(struct mapper *m, enum meta_kind kind, ProtobufCMessage *msg, const struct config_origin *o,
                  int field, int32_t index, const struct tree_node *node)
{
    struct known_at at = {m, o, field, index};
    switch (kind) {
    case META_DURATION:
        map_duration(&at, (void *)msg, node);
        break;
    case META_TIMESTAMP:
        map_timestamp(&at, (void *)msg, node);
        break;
    case META_FIELD_MASK:
        map_field_mask(&at, (void *)msg, node);
        break;
    case META_WRAPPER:
        map_wrapper(&at, msg, node);
        break;
    case META_STRUCT:
        map_struct(&at, (void *)msg, node);
        break;
    case META_LIST_VALUE:
        map_list_value(&at, (void *)msg, node);
        break;
    case META_VALUE:
        map_value(&at, (void *)msg, node);
        break;
    default:
        WEIR_UNREACHABLE();
    }
}
