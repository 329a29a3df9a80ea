/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From requests to descriptors. An action whose value is not there ends its descriptor, so a limit that asks
 * for it does not hold (Envoy); it never makes one with a value that the request does not have.
 */
#include "proxy/routing/rate_limit.h"

#include "http/url.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdio.h>
#include <string.h>

void rate_limits_finish(const struct rate_limits *l, struct arena *arena, const char *path,
                        struct build_errors *errors)
{
    char inner[BUILD_PATH_BYTES_MAX];
    for (uint32_t i = 0; i < l->count; i++) {
        for (uint32_t j = 0; j < l->items[i].actions_count; j++) {
            const struct rate_limit_action *a = &l->items[i].actions[j];
            for (uint32_t k = 0; k < a->headers_count; k++)
                header_matcher_finish(
                    &a->headers[k], arena,
                    build_path(inner, path, "[%u].actions[%u].header_value_match.headers[%u]", i, j, k),
                    errors);
            for (uint32_t k = 0; k < a->query_count; k++)
                query_matcher_finish(
                    &a->query[k],
                    build_path(inner, path,
                               "[%u].actions[%u].query_parameter_value_match.query_parameters[%u]", i, j, k),
                    errors);
        }
    }
}

void rate_limits_fini(const struct rate_limits *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        for (uint32_t j = 0; j < l->items[i].actions_count; j++) {
            const struct rate_limit_action *a = &l->items[i].actions[j];
            for (uint32_t k = 0; k < a->headers_count; k++)
                header_matcher_fini(&a->headers[k]);
            for (uint32_t k = 0; k < a->query_count; k++)
                query_matcher_fini(&a->query[k]);
        }
    }
}

static char *append(char *at, struct slice s)
{
    uint32_t len = (uint32_t)s.len; /* of a header or a configuration's text */
    memcpy(at, &len, sizeof(len));
    if (s.len)
        memcpy(at + sizeof(len), s.ptr, s.len);
    return at + sizeof(len) + s.len;
}

struct slice rate_limit_text(const struct rate_limit_entry *entries, uint32_t count, struct arena *arena)
{
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++)
        len += 2 * sizeof(uint32_t) + entries[i].key.len + entries[i].value.len;
    char *text = arena_alloc_text(arena, len), *at = text;
    for (uint32_t i = 0; text && i < count; i++)
        at = append(append(at, entries[i].key), entries[i].value);
    return text ? slice_of(text, len) : SLICE_EMPTY;
}

/* --- actions: the value, or ptr NULL when there is none --- */

/* Decoded, as Envoy does it here; of the first parameter of the name. */
static struct slice query_value(const struct header_map *headers, struct slice name, struct arena *arena)
{
    struct slice rest = path_query(header_map_get_id(headers, HDR_PATH)), part;
    while (slice_split(&rest, '&', &part)) {
        ptrdiff_t equals = slice_find_char(part, '=');
        struct slice key = equals < 0 ? part : slice_take(part, (size_t)equals);
        if (slice_eq(url_decode(key, arena), name))
            return equals < 0 ? SLICE_LIT("") : url_decode(slice_skip(part, (size_t)equals + 1), arena);
    }
    return SLICE_EMPTY;
}

static struct slice address_text(const struct address *a, struct arena *arena)
{
    char text[ADDRESS_TEXT_MAX];
    return address_is_ip(a) ? arena_dup(arena, slice_str(address_format_ip(a, text))) : SLICE_EMPTY;
}

/* "10.1.0.0/16" */
static struct slice masked_text(const struct rate_limit_action *action, const struct address *a,
                                struct arena *arena)
{
    char text[ADDRESS_TEXT_MAX];
    struct cidr range;
    if (!address_is_ip(a))
        return SLICE_EMPTY;
    uint8_t bits = a->sa.sa_family == AF_INET ? action->v4_bits : action->v6_bits;
    if (!cidr_init(&range, slice_str(address_format_ip(a, text)), bits))
        return SLICE_EMPTY;
    char *out = arena_printf(arena, "%s/%u", address_format_ip(&range.base, text), (unsigned)bits);
    return out ? slice_str(out) : SLICE_EMPTY;
}

static struct slice metadata_text(const struct rate_limit_action *a, const struct stream *s)
{
    const struct typed_value *v = !a->of_route ? dynamic_metadata(&s->info)
                                  : s->route   ? s->route->metadata
                                               : NULL;
    if (v && a->of_route)
        v = typed_value_member(v, SLICE_LIT("filter_metadata"));
    v = v ? typed_value_at(typed_value_member(v, a->name), a->path, a->path_count) : NULL;
    struct slice text = v && v->kind == TYPED_STRING ? v->bytes : SLICE_EMPTY;
    if (text.len == 0)
        text = a->value;
    return text.len ? text : SLICE_EMPTY;
}

static bool headers_match(const struct rate_limit_action *a, const struct header_map *headers)
{
    bool match = true;
    for (uint32_t i = 0; match && i < a->headers_count; i++)
        match = header_matcher_match(&a->headers[i], headers);
    return match;
}

static bool query_matches(const struct rate_limit_action *a, const struct header_map *headers,
                          struct arena *arena)
{
    bool match = true;
    for (uint32_t i = 0; match && i < a->query_count; i++)
        match = query_matcher_match_value(&a->query[i], query_value(headers, a->query[i].name, arena));
    return match;
}

static struct slice value_of(const struct rate_limit_action *a, const struct header_map *headers,
                             struct stream *s)
{
    const struct header *h;
    switch (a->kind) {
    case RATE_LIMIT_SOURCE_CLUSTER:
    case RATE_LIMIT_GENERIC_KEY:
        return a->value;
    case RATE_LIMIT_DESTINATION_CLUSTER:
        return s->route && s->route->kind == ROUTE_FORWARD
                   ? route_cluster(s->route, s->weighted_cluster, headers).name
                   : SLICE_EMPTY;
    case RATE_LIMIT_REQUEST_HEADER:
        h = header_map_find(headers, a->name);
        return h ? (h->value.ptr ? h->value : SLICE_LIT("")) : SLICE_EMPTY;
    case RATE_LIMIT_QUERY_PARAMETER:
        return query_value(headers, a->name, &s->arena);
    case RATE_LIMIT_REMOTE_ADDRESS:
        return address_text(s->info.downstream_remote, &s->arena);
    case RATE_LIMIT_MASKED_ADDRESS:
        return masked_text(a, s->info.downstream_remote, &s->arena);
    case RATE_LIMIT_METADATA:
        return metadata_text(a, s);
    case RATE_LIMIT_HEADERS_MATCH:
        return headers_match(a, headers) == a->expect_match ? a->value : SLICE_EMPTY;
    case RATE_LIMIT_QUERY_MATCH:
        return query_matches(a, headers, &s->arena) == a->expect_match ? a->value : SLICE_EMPTY;
    }
    return SLICE_EMPTY;
}

/* --- descriptors --- */

/* Adds one if the request has it. false: the arena's cap is reached. */
static bool add(const struct rate_limit *l, const struct header_map *headers, struct stream *s,
                struct rate_limit_descriptors *out)
{
    struct rate_limit_entry *entries = ARENA_NEW_N(&s->arena, struct rate_limit_entry, l->actions_count);
    uint32_t count = 0;
    for (uint32_t i = 0; entries && i < l->actions_count; i++) {
        struct slice value = value_of(&l->actions[i], headers, s);
        if (value.ptr)
            entries[count++] = (struct rate_limit_entry){l->actions[i].key, value};
        else if (!l->actions[i].skip_if_absent)
            return true;
    }
    struct slice text = entries ? rate_limit_text(entries, count, &s->arena) : SLICE_EMPTY;
    if (text.ptr)
        out->items[out->count++] = (struct rate_limit_descriptor){entries, count, l->hits, text};
    return text.ptr != NULL;
}

bool rate_limits_apply(const struct rate_limits *l, uint32_t stage, const struct header_map *headers,
                       struct stream *s, struct rate_limit_descriptors *out)
{
    struct rate_limit_descriptor *items =
        l->count ? ARENA_NEW_N(&s->arena, struct rate_limit_descriptor, out->count + l->count) : out->items;
    if (l->count && !items)
        return false;
    if (out->count)
        memmove(items, out->items, out->count * sizeof(*items));
    out->items = items;
    for (uint32_t i = 0; i < l->count; i++) {
        if (!l->items[i].off && l->items[i].stage == stage && !add(&l->items[i], headers, s, out))
            return false;
    }
    return true;
}
