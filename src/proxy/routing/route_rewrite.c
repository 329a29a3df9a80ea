/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a route does to a request and a response: header changes at four levels, path and host rewriting, the
 * location of a redirect. Envoy's order of steps is kept, because a later step sees what an earlier one did.
 */
#include "base/assert.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdio.h>

/* The header changes of a route, its virtual host and its table. Envoy's order is from the most specific
 * level to the least, so that the least specific wins; the table can turn it around. Those of the weighted
 * cluster (NULL: none) are always made first. */
static void apply_levels(const struct route *r, const struct header_mutation *weighted,
                         const struct header_mutation *const levels[3], struct header_map *headers,
                         struct stream *stream)
{
    bool reverse = r->virtual_host->table->most_specific_header_mutations_wins;
    if (weighted)
        header_mutation_apply(weighted, headers, stream);
    for (unsigned i = 0; i < 3; i++)
        header_mutation_apply(levels[reverse ? 2 - i : i], headers, stream);
}

/* Sets :authority; the old one may go to x-forwarded-host, and to x-envoy-original-host. */
static void set_authority(struct header_map *headers, struct slice host, bool append_xfh, bool keep_original)
{
    struct slice old = header_map_get_id(headers, HDR_AUTHORITY);
    if (append_xfh && old.len > 0) {
        struct slice rest = header_map_get_id(headers, HDR_X_FORWARDED_HOST);
        struct slice part, last = SLICE_EMPTY;
        while (rest.len > 0 && slice_split(&rest, ',', &part))
            last = part; /* not trimmed, as Envoy compares it */
        if (!slice_eq(last, old))
            header_map_join_id(headers, HDR_X_FORWARDED_HOST, old);
    }
    if (keep_original && old.len > 0)
        header_map_set_id(headers, HDR_X_ENVOY_ORIGINAL_HOST, old);
    header_map_set_id(headers, HDR_AUTHORITY, host);
}

static void rewrite_host(const struct route_action *a, struct header_map *headers, bool keep_original)
{
    struct slice host = SLICE_EMPTY;
    if (a->host_rewrite == HOST_REWRITE_LITERAL) {
        host = a->host_rewrite_value;
    } else if (a->host_rewrite == HOST_REWRITE_HEADER) {
        const struct header *h = header_map_find(headers, a->host_rewrite_value);
        host = h ? h->value : SLICE_EMPTY;
    } else if (a->host_rewrite == HOST_REWRITE_PATH_REGEX) {
        struct slice path = path_without_query(header_map_get_id(headers, HDR_PATH));
        host = regex_replace_all(a->host_rewrite_regex.regex, path, a->host_rewrite_regex.substitution,
                                 headers->arena);
    }
    if (host.len > 0)
        set_authority(headers, host, a->append_x_forwarded_host, keep_original);
}

static struct slice concat(struct arena *arena, struct slice a, struct slice b)
{
    char *text = arena_alloc_text(arena, a.len + b.len);
    if (!text)
        return SLICE_EMPTY;
    if (a.len)
        memcpy(text, a.ptr, a.len);
    if (b.len)
        memcpy(text + a.len, b.ptr, b.len);
    return slice_of(text, a.len + b.len);
}

/* The path after `prefix` took the place of what the route matched. A regex matches the whole path. */
static struct slice replace_matched(const struct route *r, struct slice path, struct slice prefix,
                                    struct arena *arena)
{
    size_t matched = r->match.kind == PATH_MATCH_REGEX ? path_without_query(path).len : r->match.path.len;
    /* A filter may have changed the path since the match. */
    return concat(arena, prefix, slice_skip(path, matched < path.len ? matched : path.len));
}

static struct slice replace_regex(const struct regex_rewrite *rw, struct slice path, struct arena *arena)
{
    struct slice just_path = path_without_query(path);
    struct slice changed = regex_replace_all(rw->regex, just_path, rw->substitution, arena);
    if (!changed.ptr)
        return SLICE_EMPTY;
    return concat(arena, changed, slice_skip(path, just_path.len));
}

static void rewrite_path(const struct route *r, struct header_map *headers, bool keep_original)
{
    const struct route_action *a = &r->action;
    struct slice path = header_map_get_id(headers, HDR_PATH);
    struct slice changed = SLICE_EMPTY;
    if (!path.ptr || r->match.kind == PATH_MATCH_CONNECT)
        return;
    if (a->prefix_rewrite.len > 0)
        changed = replace_matched(r, path, a->prefix_rewrite, headers->arena);
    else if (a->regex_rewrite.regex)
        changed = replace_regex(&a->regex_rewrite, path, headers->arena);
    if (!changed.ptr)
        return;
    if (keep_original)
        header_map_set_id(headers, HDR_X_ENVOY_ORIGINAL_PATH, path);
    header_map_set_id(headers, HDR_PATH, changed);
}

void route_finalize_request(const struct route *r, const struct weighted_cluster *weighted,
                            struct header_map *headers, struct stream *stream, bool envoy_headers)
{
    WEIR_ASSERT(r->kind == ROUTE_FORWARD);
    if (r->mutates_request) {
        const struct header_mutation *levels[] = {&r->request_headers, &r->virtual_host->request_headers,
                                                  &r->virtual_host->table->request_headers};
        apply_levels(r, weighted ? &weighted->request_headers : NULL, levels, headers, stream);
    }
    /* The route may rewrite this again, as in Envoy. */
    if (weighted && weighted->host_rewrite_literal.len > 0)
        header_map_set_id(headers, HDR_AUTHORITY, weighted->host_rewrite_literal);
    if (r->action.host_rewrite != HOST_REWRITE_NONE)
        rewrite_host(&r->action, headers, envoy_headers);
    rewrite_path(r, headers, envoy_headers);
}

void route_rewrite_auto_host(const struct route *r, struct header_map *headers, struct slice auto_host,
                             bool envoy_headers)
{
    if (r->action.host_rewrite == HOST_REWRITE_AUTO && auto_host.len > 0)
        set_authority(headers, auto_host, r->action.append_x_forwarded_host, envoy_headers);
}

void route_finalize_response(const struct route *r, const struct weighted_cluster *weighted,
                             struct header_map *headers, struct stream *stream)
{
    if (!r->mutates_response)
        return;
    const struct header_mutation *levels[] = {&r->response_headers, &r->virtual_host->response_headers,
                                              &r->virtual_host->table->response_headers};
    apply_levels(r, weighted ? &weighted->response_headers : NULL, levels, headers, stream);
}

/* The request's host; its port goes when the redirect has one of its own, or when it is the default of the
 * scheme that is left behind. */
static struct slice redirect_host(const struct header_map *headers, struct slice scheme, bool new_port)
{
    struct slice host = header_map_get_id(headers, HDR_AUTHORITY);
    size_t end = host.len;
    while (end > 0 && host.ptr[end - 1] != ':' && host.ptr[end - 1] != ']')
        end--;
    if (end == 0 || host.ptr[end - 1] != ':')
        return host;
    struct slice port = slice_skip(host, end);
    struct slice old = header_map_get_id(headers, HDR_X_FORWARDED_PROTO);
    bool drop = new_port;
    if (!slice_eq(scheme, old)) {
        drop |= slice_eq(old, SLICE_LIT("https")) && slice_eq(port, SLICE_LIT("443"));
        drop |= slice_eq(old, SLICE_LIT("http")) && slice_eq(port, SLICE_LIT("80"));
    }
    return drop ? slice_take(host, end - 1) : host;
}

static struct slice redirect_path(const struct route *r, struct slice path, struct arena *arena)
{
    const struct redirect_action *a = &r->redirect;
    ptrdiff_t mark = slice_find_char(path, '?');
    if (a->path.len > 0) {
        if (slice_find_char(a->path, '?') >= 0 || mark < 0 || a->strip_query)
            return a->path;
        return concat(arena, a->path, slice_skip(path, (size_t)mark));
    }
    if (a->prefix_rewrite.len > 0 && r->match.kind != PATH_MATCH_CONNECT)
        path = replace_matched(r, path, a->prefix_rewrite, arena);
    else if (a->regex_rewrite.regex)
        path = replace_regex(&a->regex_rewrite, path, arena);
    mark = slice_find_char(path, '?');
    return a->strip_query && mark >= 0 ? slice_take(path, (size_t)mark) : path;
}

struct slice route_redirect_location(const struct route *r, const struct header_map *headers,
                                     struct arena *arena)
{
    const struct redirect_action *a = &r->redirect;
    struct slice scheme = header_map_get_id(headers, HDR_SCHEME);
    WEIR_ASSERT(r->kind == ROUTE_REDIRECT);
    if (a->scheme_kind == REDIRECT_SCHEME_HTTPS)
        scheme = SLICE_LIT("https");
    else if (a->scheme_kind == REDIRECT_SCHEME_LITERAL)
        scheme = a->scheme;
    struct slice host = a->host.len > 0 ? a->host : redirect_host(headers, scheme, a->port != 0);
    struct slice path = redirect_path(r, header_map_get_id(headers, HDR_PATH), arena);
    char port[8] = "";
    if (a->port != 0)
        snprintf(port, sizeof(port), ":%u", (unsigned)a->port & 0xffff);
    size_t port_len = strlen(port);
    size_t len = scheme.len + 3 + host.len + port_len + path.len;
    char *text = arena_alloc_text(arena, len);
    if (!text)
        return SLICE_EMPTY;
    const struct slice parts[] = {scheme, SLICE_LIT("://"), host, slice_of(port, port_len), path};
    size_t at = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++) {
        if (parts[i].len)
            memcpy(text + at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    WEIR_ASSERT(at == len);
    return slice_of(text, len);
}
