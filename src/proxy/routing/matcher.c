/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers on strings, headers and query parameters. A matcher decides who may pass: when a value is absent
 * or strange, it must say what Envoy says, not what looks reasonable.
 */
#include "proxy/routing/matcher.h"

#include "base/assert.h"
#include "proxy/request_cookie.h"

bool string_matcher_finish(struct string_matcher *m, const char *path, struct build_errors *errors)
{
    WEIR_ASSERT(!m->regex);
    if (m->kind != STRING_REGEX) {
        if (m->value.len > 0 || m->kind == STRING_EXACT)
            return true;
        build_error(errors, path, "must not be empty");
        return false;
    }
    char error[REGEX_ERROR_MAX];
    m->regex = regex_create(m->value, error);
    if (!m->regex)
        build_error(errors, path, "bad regular expression: %s", error);
    return m->regex != NULL;
}

void string_matcher_fini(struct string_matcher *m)
{
    regex_destroy(&m->regex);
}

static bool contains_nocase(struct slice text, struct slice part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        if (slice_eq_nocase(slice_take(slice_skip(text, i), part.len), part))
            return true;
    }
    return false;
}

static bool matches_nocase(const struct string_matcher *m, struct slice text)
{
    switch (m->kind) {
    case STRING_EXACT:
        return slice_eq_nocase(text, m->value);
    case STRING_PREFIX:
        return slice_starts_with_nocase(text, m->value);
    case STRING_SUFFIX:
        return text.len >= m->value.len &&
               slice_eq_nocase(slice_skip(text, text.len - m->value.len), m->value);
    default:
        WEIR_ASSERT(m->kind == STRING_CONTAINS);
        return contains_nocase(text, m->value);
    }
}

bool string_matcher_match(const struct string_matcher *m, struct slice text)
{
    if (m->kind == STRING_REGEX)
        return regex_full_match(m->regex, text);
    if (m->ignore_case)
        return matches_nocase(m, text);
    switch (m->kind) {
    case STRING_EXACT:
        return slice_eq(text, m->value);
    case STRING_PREFIX:
        return slice_starts_with(text, m->value);
    case STRING_SUFFIX:
        return slice_ends_with(text, m->value);
    default:
        WEIR_ASSERT(m->kind == STRING_CONTAINS);
        return slice_find(text, m->value) >= 0;
    }
}

bool header_matcher_finish(struct header_matcher *m, struct arena *arena, const char *path,
                           struct build_errors *errors)
{
    struct slice lower = arena_dup(arena, m->name);
    for (size_t i = 0; i < lower.len; i++)
        ((char *)(uintptr_t)lower.ptr)[i] = ascii_lower(lower.ptr[i]);
    m->name = lower;
    m->id = (uint16_t)header_id_of(lower);
    /* Envoy keeps the host in :authority, and so do we. */
    if (m->id == HDR_HOST)
        m->id = HDR_AUTHORITY;
    if (m->id == HDR_OTHER && !header_name_valid(lower)) {
        build_error(errors, path, "\"" SLICE_FMT "\" is no header name", SLICE_ARG(m->name));
        return false;
    }
    if (m->kind == HEADER_MATCH_STRING)
        return string_matcher_finish(&m->string, path, errors);
    return true;
}

void header_matcher_fini(struct header_matcher *m)
{
    string_matcher_fini(&m->string);
}

static bool in_range(const struct header_matcher *m, struct slice value)
{
    int64_t n;
    return slice_parse_i64(value, &n) && n >= m->range_start && n < m->range_end;
}

static bool value_matches(const struct header_matcher *m, struct slice value)
{
    return m->kind == HEADER_MATCH_RANGE ? in_range(m, value) : string_matcher_match(&m->string, value);
}

bool header_matcher_match(const struct header_matcher *m, const struct header_map *headers)
{
    struct slice name = m->id == HDR_AUTHORITY ? header_id_name(HDR_AUTHORITY) : m->name;
    const struct header *h = header_map_find(headers, name);
    if (m->kind == HEADER_MATCH_PRESENT)
        return ((h || m->treat_missing_as_empty) == m->present) != m->invert;
    /* An absent header matches no value, and neither the inverse of one. */
    if (!h)
        return m->treat_missing_as_empty && value_matches(m, SLICE_LIT("")) != m->invert;
    bool hit = false;
    for (; h && !hit; h = header_map_find_next(headers, name, h))
        hit = value_matches(m, h->value);
    return hit != m->invert;
}

bool query_matcher_finish(struct query_matcher *m, const char *path, struct build_errors *errors)
{
    return m->kind != QUERY_MATCH_STRING || string_matcher_finish(&m->string, path, errors);
}

void query_matcher_fini(struct query_matcher *m)
{
    string_matcher_fini(&m->string);
}

bool query_matcher_match(const struct query_matcher *m, struct slice query)
{
    struct slice part;
    while (slice_split(&query, '&', &part)) {
        ptrdiff_t eq = slice_find_char(part, '=');
        struct slice name = eq < 0 ? part : slice_take(part, (size_t)eq);
        struct slice value = eq < 0 ? SLICE_LIT("") : slice_skip(part, (size_t)eq + 1);
        if (part.len == 0 || !slice_eq(name, m->name))
            continue;
        return query_matcher_match_value(m, value);
    }
    return query_matcher_match_value(m, SLICE_EMPTY);
}

bool query_matcher_match_value(const struct query_matcher *m, struct slice value)
{
    if (m->kind == QUERY_MATCH_PRESENT)
        return m->present == (value.ptr != NULL);
    return value.ptr && string_matcher_match(&m->string, value);
}

bool cookie_matcher_match(const struct cookie_matcher *m, const struct header_map *headers)
{
    struct slice value = request_cookie(headers, m->name);
    return (value.ptr && string_matcher_match(&m->string, value)) != m->invert;
}
