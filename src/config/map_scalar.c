/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalar fields: the text of a node to the C type of the field. A string field takes no plain word that YAML
 * reads as a number or bool, as Envoy: `name: on` would otherwise mean two things.
 */
#include "config/mapper.h"

#include "base/assert.h"
#include "base/base64.h"
#include "base/utf8.h"
#include "config/scalar.h"
#include "config/suggest.h"

#include <math.h>

struct scalar_at {
    struct mapper *m;
    const struct config_origin *o;
    const ProtobufCFieldDescriptor *fd;
    int field;
    int32_t index;
    const struct tree_node *node; /* alias followed */
};

static bool wrong(const struct scalar_at *at, const char *expected)
{
    const struct tree_node *n = at->node;
    if (n->type == TREE_PLAIN || n->type == TREE_STRING)
        mapper_error(at->m, n, at->o, at->field, at->index, "expects %s, found \"" SLICE_FMT "\"", expected,
                     (int)(n->text.len > 80 ? 80 : n->text.len), n->text.ptr);
    else
        mapper_error(at->m, n, at->o, at->field, at->index, "expects %s, found %s", expected,
                     tree_type_name(n));
    return false;
}

static bool is_scalar(const struct tree_node *n)
{
    return n->type == TREE_PLAIN || n->type == TREE_STRING;
}

static bool read_i64(const struct scalar_at *at, int64_t min, int64_t max, int64_t *out)
{
    enum scalar_result result = is_scalar(at->node) ? scalar_i64(at->node->text, out) : SCALAR_SYNTAX;
    if (result == SCALAR_OK && *out >= min && *out <= max)
        return true;
    return wrong(at, result == SCALAR_SYNTAX ? "a whole number"
                     : max > INT32_MAX       ? "a whole number of 64 bits"
                                             : "a whole number from -2147483648 to 2147483647");
}

static bool read_u64(const struct scalar_at *at, uint64_t max, uint64_t *out)
{
    enum scalar_result result = is_scalar(at->node) ? scalar_u64(at->node->text, out) : SCALAR_SYNTAX;
    if (result == SCALAR_OK && *out <= max)
        return true;
    return wrong(at, result == SCALAR_SYNTAX ? "a whole number"
                     : max > UINT32_MAX      ? "a whole number from 0 to 18446744073709551615"
                                             : "a whole number from 0 to 4294967295");
}

static bool read_double(const struct scalar_at *at, double *out)
{
    return (is_scalar(at->node) && scalar_double(at->node->text, out) == SCALAR_OK) || wrong(at, "a number");
}

static bool read_bool(const struct scalar_at *at, protobuf_c_boolean *out)
{
    bool value = false;
    const struct tree_node *n = at->node;
    /* In quotes only the two words of JSON, as Envoy. */
    if (n->type == TREE_STRING &&
        (slice_eq(n->text, SLICE_LIT("true")) || slice_eq(n->text, SLICE_LIT("false"))))
        value = n->text.len == 4;
    else if (n->type != TREE_PLAIN || !scalar_bool(n->text, &value))
        return wrong(at, "true or false");
    *out = value;
    return true;
}

static bool read_string(const struct scalar_at *at, char **out)
{
    const struct tree_node *n = at->node;
    bool flag;
    int64_t number;
    if (!is_scalar(n))
        return wrong(at, "a string");
    if (n->type == TREE_PLAIN && (scalar_bool(n->text, &flag) || scalar_i64(n->text, &number) == SCALAR_OK)) {
        mapper_error(at->m, n, at->o, at->field, at->index,
                     "expects a string, found " SLICE_FMT "; write it in quotes", SLICE_ARG(n->text));
        return false;
    }
    if (n->text.len > 0 && memchr(n->text.ptr, '\0', n->text.len)) {
        mapper_error(at->m, n, at->o, at->field, at->index, "holds a NUL character; remove it");
        return false;
    }
    if (!utf8_valid(n->text))
        return wrong(at, "UTF-8 text");
    *out = arena_strdup(&at->m->doc->arena, n->text);
    if (!*out)
        mapper_out_of_memory(at->m);
    return *out != NULL;
}

static bool read_bytes(const struct scalar_at *at, ProtobufCBinaryData *out)
{
    if (!is_scalar(at->node))
        return wrong(at, "bytes in base64");
    struct slice bytes = base64_decode(at->node->text, &at->m->doc->arena);
    if (!bytes.ptr)
        return wrong(at, "bytes in base64");
    *out = (ProtobufCBinaryData){bytes.len, (uint8_t *)bytes.ptr};
    return true;
}

static bool unknown_enum(const struct scalar_at *at, const ProtobufCEnumDescriptor *desc)
{
    struct suggest near;
    suggest_init(&near, at->node->text);
    struct strbuf known;
    strbuf_init(&known, CONFIG_PATH_BYTES_MAX);
    for (unsigned i = 0; i < desc->n_values; i++) {
        suggest_try(&near, desc->values[i].name);
        strbuf_printf(&known, "%s%s", i ? ", " : "", desc->values[i].name);
    }
    struct slice text = slice_take(at->node->text, 80);
    if (near.best)
        mapper_error(at->m, at->node, at->o, at->field, at->index,
                     "no such value \"" SLICE_FMT "\"; did you mean \"%s\"?", SLICE_ARG(text), near.best);
    else
        mapper_error(at->m, at->node, at->o, at->field, at->index,
                     "no such value \"" SLICE_FMT "\"; use one of %s", SLICE_ARG(text), strbuf_cstr(&known));
    strbuf_fini(&known);
    return false;
}

static bool read_enum(const struct scalar_at *at, int *out)
{
    const ProtobufCEnumDescriptor *desc = at->fd->descriptor;
    if (!is_scalar(at->node))
        return wrong(at, "the name of a value");
    const ProtobufCEnumValue *value = NULL;
    /* Envoy's reader does not mind the case of an enum's name. */
    for (unsigned i = 0; i < desc->n_value_names && !value; i++) {
        if (slice_eq_nocase(at->node->text, slice_str(desc->values_by_name[i].name)))
            value = &desc->values[desc->values_by_name[i].index];
    }
    int64_t number;
    if (value) {
        *out = value->value;
        return true;
    }
    if (scalar_i64(at->node->text, &number) != SCALAR_OK)
        return unknown_enum(at, desc);
    if (number < INT32_MIN || number > INT32_MAX)
        return wrong(at, "the name of a value");
    *out = (int)number;
    return true;
}

static bool read_wide(const struct scalar_at *at, void *slot)
{
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    switch (at->fd->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return read_i64(at, INT64_MIN, INT64_MAX, slot);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_u64(at, UINT64_MAX, slot);
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(at, slot);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        if (!read_i64(at, INT32_MIN, INT32_MAX, &i))
            return false;
        *(int32_t *)slot = (int32_t)i;
        return true;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        if (!read_u64(at, UINT32_MAX, &u))
            return false;
        *(uint32_t *)slot = (uint32_t)u;
        return true;
    default:
        WEIR_ASSERT(at->fd->type == PROTOBUF_C_TYPE_FLOAT);
        if (!read_double(at, &d))
            return false;
        if (isfinite(d) && !isfinite((float)d))
            return wrong(at, "a number that fits 32 bits");
        *(float *)slot = (float)d;
        return true;
    }
}

static bool read_any_scalar(const struct scalar_at *at, void *slot)
{
    switch (at->fd->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(at, slot);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(at, slot);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(at, slot);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(at, slot);
    default:
        return read_wide(at, slot);
    }
}

bool mapper_scalar(struct mapper *m, const struct config_origin *o, int field, int32_t index,
                   const ProtobufCFieldDescriptor *fd, const struct tree_node *node, void *slot)
{
    WEIR_ASSERT(fd->type != PROTOBUF_C_TYPE_MESSAGE);
    struct scalar_at at = {m, o, fd, field, index, tree_value(node)};
    return read_any_scalar(&at, slot);
}

bool mapper_key(struct mapper *m, const struct config_origin *o, const ProtobufCFieldDescriptor *fd,
                const struct tree_node *key, void *slot)
{
    struct tree_node text = *tree_value(key);
    text.type = fd->type == PROTOBUF_C_TYPE_BOOL ? TREE_PLAIN : TREE_STRING;
    text.line = key->line;
    text.column = key->column;
    struct scalar_at at = {m, o, fd, -1, -1, &text};
    return read_any_scalar(&at, slot);
}
