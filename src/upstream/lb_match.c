/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels and their texts. Made when configuration is read and when hosts come, never per request.
 */
#include "upstream/lb_match.h"

#include "base/strbuf.h"
#include "upstream/limits.h"

#include <stdlib.h>

const struct typed_value *lb_match_fields(const struct typed_value *metadata)
{
    const struct typed_value *filters =
        metadata ? typed_value_member(metadata, SLICE_LIT("filter_metadata")) : NULL;
    return filters ? typed_value_member(filters, SLICE_LIT("envoy.lb")) : NULL;
}

bool lb_match_text(const struct lb_label *labels, uint32_t count, struct strbuf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        strbuf_append_json(out, labels[i].key);
        strbuf_append_char(out, ':');
        strbuf_append(out, labels[i].value);
        strbuf_append_char(out, '\n');
    }
    return !out->failed;
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp(((const struct lb_label *)a)->key, ((const struct lb_label *)b)->key);
}

/* Adds the label, or replaces the value of its key. */
static void put(struct lb_match *m, struct slice key, struct slice value)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (slice_eq(m->labels[i].key, key)) {
            m->labels[i].value = value;
            return;
        }
    }
    m->labels[m->count++] = (struct lb_label){key, value, SLICE_EMPTY};
}

static bool fill(struct lb_match *m, struct arena *arena, const struct typed_value *fields,
                 struct strbuf *text)
{
    for (size_t i = 0; fields && i < fields->members_count; i++) {
        strbuf_reset(text);
        if (!typed_value_json(&fields->members[i].value, text))
            return false;
        struct slice key = arena_dup(arena, fields->members[i].name);
        struct slice value = arena_dup(arena, strbuf_slice(text));
        if (!key.ptr || !value.ptr)
            return false;
        put(m, key, value);
    }
    qsort(m->labels, m->count, sizeof(m->labels[0]), by_key);
    strbuf_reset(text);
    if (!lb_match_text(m->labels, m->count, text))
        return false;
    m->text = arena_dup(arena, strbuf_slice(text));
    m->hash = slice_hash(m->text);
    struct slice rest = m->text, line;
    for (uint32_t i = 0; m->text.ptr && i < m->count && slice_split(&rest, '\n', &line); i++)
        m->labels[i].line = slice_of(line.ptr, line.len + 1); /* JSON has no bare line feeds */
    return m->text.ptr != NULL;
}

/* `without`: a key that is left out; ptr NULL: none. */
static struct lb_match *make(struct arena *arena, const struct typed_value *fields,
                             const struct lb_match *base, struct slice without)
{
    size_t count = (fields ? fields->members_count : 0) + (base ? base->count : 0);
    struct lb_match *m = ARENA_NEW(arena, struct lb_match);
    struct strbuf text;
    if (count == 0 || !m)
        return NULL;
    m->labels = ARENA_NEW_N(arena, struct lb_label, count);
    if (!m->labels)
        return NULL;
    for (uint32_t i = 0; base && i < base->count; i++) {
        if (!without.ptr || !slice_eq(base->labels[i].key, without))
            m->labels[m->count++] = base->labels[i];
    }
    strbuf_init(&text, LB_MATCH_BYTES_MAX);
    bool ok = fill(m, arena, fields, &text);
    strbuf_fini(&text);
    return ok && m->count > 0 ? m : NULL;
}

#define FALLBACK_LIST SLICE_LIT("fallback_list")

static bool make_fallbacks(struct lb_match *m, struct arena *arena)
{
    size_t members = m->list->kind == TYPED_LIST ? m->list->members_count : 0;
    size_t count = members > 0 ? members : 1;
    m->fallbacks = ARENA_NEW_N(arena, const struct lb_match *, count);
    for (size_t i = 0; m->fallbacks && i < count; i++) {
        const struct typed_value *fields = i < members ? &m->list->members[i].value : NULL;
        if (fields && fields->kind != TYPED_MAP)
            fields = NULL;
        m->fallbacks[m->fallbacks_count++] = make(arena, fields, m, FALLBACK_LIST);
    }
    return m->fallbacks != NULL;
}

const struct lb_match *lb_match_make(struct arena *arena, const struct typed_value *fields,
                                     const struct lb_match *base)
{
    struct lb_match *m = make(arena, fields, base, (struct slice){0});
    const struct typed_value *list = fields ? typed_value_member(fields, FALLBACK_LIST) : NULL;
    if (!m)
        return NULL;
    m->list = list ? list : base ? base->list : NULL;
    return !m->list || make_fallbacks(m, arena) ? m : NULL;
}
