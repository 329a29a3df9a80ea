/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matching a stream's state. What is absent or of another type does not match: a route that asks for it must
 * not be had without it.
 */
#include "proxy/routing/state_matcher.h"

#include "base/assert.h"
#include "net/tls_info.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/stream.h"

bool value_matcher_finish(struct value_matcher *m, const char *path, struct build_errors *errors)
{
    bool ok = m->kind != VALUE_MATCH_STRING || string_matcher_finish(&m->string, path, errors);
    for (uint32_t i = 0; i < m->items_count; i++)
        ok = value_matcher_finish(&m->items[i], path, errors) && ok;
    return ok;
}

void value_matcher_fini(struct value_matcher *m)
{
    string_matcher_fini(&m->string);
    for (uint32_t i = 0; i < m->items_count; i++)
        value_matcher_fini(&m->items[i]);
}

bool metadata_matcher_finish(struct metadata_matcher *m, const char *path, struct build_errors *errors)
{
    return value_matcher_finish(&m->value, path, errors);
}

void metadata_matcher_fini(struct metadata_matcher *m)
{
    value_matcher_fini(&m->value);
}

bool state_matcher_finish(struct state_matcher *m, const char *path, struct build_errors *errors)
{
    char inner[BUILD_PATH_BYTES_MAX];
    bool ok = true;
    for (uint32_t i = 0; i < m->metadata_count; i++)
        ok = metadata_matcher_finish(&m->metadata[i], build_path(inner, path, "dynamic_metadata[%u]", i),
                                     errors) &&
             ok;
    for (uint32_t i = 0; i < m->filter_state_count; i++)
        ok = string_matcher_finish(&m->filter_state[i].string, build_path(inner, path, "filter_state[%u]", i),
                                   errors) &&
             ok;
    return ok;
}

void state_matcher_fini(struct state_matcher *m)
{
    for (uint32_t i = 0; i < m->metadata_count; i++)
        metadata_matcher_fini(&m->metadata[i]);
    for (uint32_t i = 0; i < m->filter_state_count; i++)
        string_matcher_fini(&m->filter_state[i].string);
}

static bool number_of(const struct typed_value *v, double *out)
{
    switch (v->kind) {
    case TYPED_INT:
        *out = (double)v->i;
        return true;
    case TYPED_UINT:
        *out = (double)v->u;
        return true;
    case TYPED_DOUBLE:
        *out = v->d;
        return true;
    default:
        return false;
    }
}

static bool any_item(const struct value_matcher *m, const struct typed_value *v)
{
    for (uint32_t i = 0; i < m->items_count; i++) {
        if (value_matcher_match(&m->items[i], v))
            return true;
    }
    return false;
}

static bool any_member(const struct value_matcher *m, const struct typed_value *v)
{
    for (size_t i = 0; v->kind == TYPED_LIST && i < v->members_count; i++) {
        if (any_item(m, &v->members[i].value))
            return true;
    }
    return false;
}

bool value_matcher_match(const struct value_matcher *m, const struct typed_value *v)
{
    double n;
    if (!v)
        return false;
    switch (m->kind) {
    case VALUE_MATCH_NULL:
        return v->kind == TYPED_NULL;
    case VALUE_MATCH_DOUBLE:
        return number_of(v, &n) && !(n < m->start) && !(n > m->start);
    case VALUE_MATCH_RANGE:
        return number_of(v, &n) && n >= m->start && n < m->end;
    case VALUE_MATCH_STRING:
        return v->kind == TYPED_STRING && string_matcher_match(&m->string, v->bytes);
    case VALUE_MATCH_BOOL:
        return v->kind == TYPED_BOOL && v->boolean == m->boolean;
    case VALUE_MATCH_PRESENT:
        return m->boolean;
    case VALUE_MATCH_LIST:
        return any_member(m, v);
    default:
        WEIR_ASSERT(m->kind == VALUE_MATCH_OR);
        return any_item(m, v);
    }
}

static const struct typed_value *value_in(const struct metadata_matcher *m, const struct typed_value *spaces)
{
    const struct typed_value *v = spaces ? typed_value_member(spaces, m->space) : NULL;
    return typed_value_at(v, m->path, m->path_count);
}

const struct typed_value *metadata_matcher_value(const struct metadata_matcher *m, const struct stream *s)
{
    return s ? value_in(m, dynamic_metadata(&s->info)) : NULL;
}

bool metadata_matcher_match_in(const struct metadata_matcher *m, const struct typed_value *spaces)
{
    return value_matcher_match(&m->value, value_in(m, spaces)) != m->invert;
}

bool metadata_matcher_match(const struct metadata_matcher *m, const struct stream *s)
{
    return metadata_matcher_match_in(m, s ? dynamic_metadata(&s->info) : NULL);
}

bool filter_state_matcher_match(const struct filter_state_matcher *m, const struct stream *s)
{
    const struct filter_state_entry *e = s ? filter_state_get(&s->filter_state, m->key) : NULL;
    return e && string_matcher_match(&m->string, e->value);
}

static bool tls_matches(enum tls_expectation expected, bool is)
{
    return expected == TLS_EXPECT_ANY || (expected == TLS_EXPECT_YES) == is;
}

bool state_matcher_match(const struct state_matcher *m, const struct stream *s)
{
    const struct tls_info *tls = s ? s->info.tls : NULL;
    if (!tls_matches(m->presented, tls && tls->peer_presented) ||
        !tls_matches(m->validated, tls && tls->peer_validated))
        return false;
    for (uint32_t i = 0; i < m->metadata_count; i++) {
        if (!metadata_matcher_match(&m->metadata[i], s))
            return false;
    }
    for (uint32_t i = 0; i < m->filter_state_count; i++) {
        if (!filter_state_matcher_match(&m->filter_state[i], s))
            return false;
    }
    return true;
}
