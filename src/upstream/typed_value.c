/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into typed values and printing them. Never changes one.
 */
#include "upstream/typed_value.h"

#include "base/arena.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const struct typed_value *item(const struct typed_value *v, struct slice text)
{
    uint64_t index;
    return slice_parse_u64(text, &index) && index < v->members_count ? &v->members[index].value : NULL;
}

const struct typed_value *typed_value_member(const struct typed_value *v, struct slice name)
{
    if (v->kind == TYPED_LIST)
        return item(v, name);
    if (v->kind != TYPED_MAP && v->kind != TYPED_MESSAGE)
        return NULL;
    for (size_t i = 0; i < v->members_count; i++) {
        if (slice_eq(v->members[i].name, name))
            return &v->members[i].value;
    }
    return NULL;
}

const struct typed_value *typed_value_at(const struct typed_value *v, const struct slice *path, size_t count)
{
    for (size_t i = 0; v && i < count; i++)
        v = v->kind == TYPED_MAP ? typed_value_member(v, path[i]) : NULL;
    return v;
}

bool typed_value_copy(struct arena *arena, const struct typed_value *v, struct typed_value *out)
{
    struct typed_member *members = ARENA_NEW_N(arena, struct typed_member, v->members_count);
    *out = *v;
    out->members = members;
    if (v->bytes.ptr)
        out->bytes = arena_dup(arena, v->bytes);
    if (!members || (v->bytes.ptr && !out->bytes.ptr))
        return false;
    for (size_t i = 0; i < v->members_count; i++) {
        members[i].name = arena_dup(arena, v->members[i].name);
        if (!members[i].name.ptr || !typed_value_copy(arena, &v->members[i].value, &members[i].value))
            return false;
    }
    return true;
}

const struct typed_value *typed_value_dup(struct arena *arena, const struct typed_value *v)
{
    struct typed_value *copy = v ? ARENA_NEW(arena, struct typed_value) : NULL;
    return copy && typed_value_copy(arena, v, copy) ? copy : NULL;
}

/* The shortest text that reads back as the same number, as JSON printers do it. */
static bool append_double(double d, struct strbuf *out)
{
    char text[40];
    if (isnan(d) || isinf(d))
        return strbuf_append_str(out, isnan(d) ? "\"NaN\"" : d < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    for (int digits = 1; digits <= 17; digits++) {
        int n = snprintf(text, sizeof(text), "%.*g", digits, d);
        double back;
        if (n > 0 && sscanf(text, "%lf", &back) == 1 && back == d)
            break;
    }
    return strbuf_append_str(out, text);
}

/* The next member behind `last` in order of names; NULL at the end. Maps are small, and only logs print them.
 */
static const struct typed_member *next_by_name(const struct typed_value *v, const struct typed_member *last)
{
    const struct typed_member *best = NULL;
    for (size_t i = 0; i < v->members_count; i++) {
        const struct typed_member *m = &v->members[i];
        if ((!last || slice_cmp(m->name, last->name) > 0) && (!best || slice_cmp(m->name, best->name) < 0))
            best = m;
    }
    return best;
}

static bool append_list(const struct typed_value *v, struct strbuf *out)
{
    strbuf_append_char(out, '[');
    for (size_t i = 0; i < v->members_count; i++) {
        if (i > 0)
            strbuf_append_char(out, ',');
        if (!typed_value_json(&v->members[i].value, out))
            return false;
    }
    return strbuf_append_char(out, ']');
}

static bool append_object(const struct typed_value *v, struct strbuf *out)
{
    const struct typed_member *m = NULL;
    if (!strbuf_append_char(out, '{'))
        return false;
    while ((m = next_by_name(v, m)) != NULL) {
        if (out->ptr[out->len - 1] != '{')
            strbuf_append_char(out, ',');
        strbuf_append_json(out, m->name);
        strbuf_append_char(out, ':');
        if (!typed_value_json(&m->value, out))
            return false;
    }
    return strbuf_append_char(out, '}');
}

bool typed_value_json(const struct typed_value *v, struct strbuf *out)
{
    switch (v->kind) {
    case TYPED_NULL:
        return strbuf_append_str(out, "null");
    case TYPED_BOOL:
        return strbuf_append_str(out, v->boolean ? "true" : "false");
    case TYPED_INT:
        return strbuf_printf(out, "%" PRId64, v->i);
    case TYPED_UINT:
        return strbuf_printf(out, "%" PRIu64, v->u);
    case TYPED_DOUBLE:
        return append_double(v->d, out);
    case TYPED_STRING:
    case TYPED_BYTES:
        return strbuf_append_json(out, v->bytes);
    case TYPED_LIST:
        return append_list(v, out);
    case TYPED_MAP:
    case TYPED_MESSAGE:
        return append_object(v, out);
    }
    return false;
}
