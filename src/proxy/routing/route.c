/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the route of a request, and what hangs on it. The first route of the table that matches is the
 * answer, whatever index found it. Never changes the request: route_rewrite.c does.
 */
#include "proxy/routing/route.h"

#include "base/assert.h"
#include "proxy/grpc.h"
#include "proxy/routing/route_index.h"

struct slice path_without_query(struct slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '?' || path.ptr[i] == '#')
            return slice_take(path, i);
    }
    return path;
}

struct slice path_query(struct slice path)
{
    ptrdiff_t end = slice_find_char(path, '#');
    if (end >= 0)
        path = slice_take(path, (size_t)end);
    ptrdiff_t mark = slice_find_char(path, '?');
    return mark < 0 ? SLICE_EMPTY : slice_skip(path, (size_t)mark + 1);
}

static bool prefix_matches(const struct route_match *m, struct slice path)
{
    return m->case_sensitive ? slice_starts_with(path, m->path) : slice_starts_with_nocase(path, m->path);
}

static bool path_matches(const struct route_match *m, struct slice path)
{
    switch (m->kind) {
    case PATH_MATCH_PREFIX:
        return prefix_matches(m, path);
    case PATH_MATCH_EXACT:
        return m->case_sensitive ? slice_eq(path, m->path) : slice_eq_nocase(path, m->path);
    case PATH_MATCH_SEPARATED_PREFIX:
        return prefix_matches(m, path) && (path.len == m->path.len || path.ptr[m->path.len] == '/');
    case PATH_MATCH_REGEX:
    case PATH_MATCH_TEMPLATE:
        return regex_full_match(m->regex, path);
    default:
        WEIR_ASSERT(m->kind == PATH_MATCH_CONNECT);
        return false;
    }
}

/* What the tests of one request need again and again. */
struct subject {
    const struct header_map *headers;
    struct slice path; /* without query; ptr NULL: CONNECT without a path */
    struct slice query;
    const struct stream *stream;
    bool connect;
    uint64_t random;
};

static bool route_matches(const struct route *r, const struct subject *s)
{
    const struct route_match *m = &r->match;
    if (m->kind == PATH_MATCH_CONNECT ? !s->connect : !s->path.ptr || !path_matches(m, s->path))
        return false;
    for (uint32_t i = 0; i < m->headers_count; i++) {
        if (!header_matcher_match(&m->headers[i], s->headers))
            return false;
    }
    if (m->grpc && !grpc_content_type(header_map_get_id(s->headers, HDR_CONTENT_TYPE)))
        return false;
    if (m->fraction_denominator && s->random % m->fraction_denominator >= m->fraction_numerator)
        return false;
    for (uint32_t i = 0; i < m->query_count; i++) {
        if (!query_matcher_match(&m->query[i], s->query))
            return false;
    }
    for (uint32_t i = 0; i < m->cookies_count; i++) {
        if (!cookie_matcher_match(&m->cookies[i], s->headers))
            return false;
    }
    return !m->state || state_matcher_match(m->state, s->stream);
}

/* "a:80" without ":80"; "[::1]:80" without it too. */
static struct slice host_without_port(struct slice host)
{
    for (size_t i = host.len; i > 0; i--) {
        char c = host.ptr[i - 1];
        if (c == ':')
            return slice_take(host, i - 1);
        if (c < '0' || c > '9')
            break;
    }
    return host;
}

const struct virtual_host *route_table_find_host(const struct route_table *t, struct slice host)
{
    WEIR_ASSERT(t->finished);
    return host_index_find(t->hosts, t->ignore_port_in_host_matching ? host_without_port(host) : host);
}

/* The virtual host of a request. Without the header that chooses it there is none, but for a table that has
 * only one for everything (Envoy). */
static const struct virtual_host *find_host(const struct route_table *t, const struct header_map *headers)
{
    if (WEIR_LIKELY(t->vhost_header.len == 0))
        return route_table_find_host(t, header_map_get_id(headers, HDR_AUTHORITY));
    const struct header *h = header_map_find(headers, t->vhost_header);
    if (h)
        return route_table_find_host(t, h->value);
    const struct virtual_host *first = t->virtual_hosts;
    bool all = t->virtual_hosts_count == 1 && first->domains_count == 1 &&
               slice_eq(first->domains[0], SLICE_LIT("*"));
    return all ? first : NULL;
}

/* "/a;x=1/b;y" as "/a/b". ptr NULL when the arena's cap is reached. */
static struct slice without_parameters(struct slice path, struct arena *arena)
{
    char *text = arena_alloc_text(arena, path.len);
    size_t len = 0;
    bool inside = false;
    for (size_t i = 0; text && i < path.len; i++) {
        inside = path.ptr[i] == ';' || (inside && path.ptr[i] != '/');
        if (!inside)
            text[len++] = path.ptr[i];
    }
    return text ? slice_of(text, len) : SLICE_EMPTY;
}

struct slice route_table_path(const struct route_table *t, const struct header_map *headers)
{
    struct slice path = path_without_query(header_map_get_id(headers, HDR_PATH));
    if (WEIR_UNLIKELY(t->ignore_path_parameters) && slice_find_char(path, ';') >= 0)
        return without_parameters(path, headers->arena);
    return path;
}

/* What a virtual host with require_tls answers to a request in clear text. */
static const struct route tls_redirect = {
    .kind = ROUTE_REDIRECT,
    .redirect = {.scheme_kind = REDIRECT_SCHEME_HTTPS, .status = 301},
};

static bool needs_tls(const struct virtual_host *vh, const struct header_map *headers)
{
    if (vh->require_tls == REQUIRE_TLS_NONE ||
        slice_eq(header_map_get_id(headers, HDR_X_FORWARDED_PROTO), SLICE_LIT("https")))
        return false;
    return vh->require_tls == REQUIRE_TLS_ALL ||
           !slice_eq(header_map_get_id(headers, HDR_X_ENVOY_INTERNAL), SLICE_LIT("true"));
}

/* A header may say which one, or what the hash policies look at, so that requests that belong together stay
 * together. */
static const struct weighted_cluster *pick_weighted(const struct route_action *a,
                                                    const struct header_map *headers, struct stream *s,
                                                    uint64_t random)
{
    const struct header *h = a->weighted_header.len > 0 ? header_map_find(headers, a->weighted_header) : NULL;
    uint64_t hash;
    if (h)
        (void)slice_parse_u64(h->value, &random); /* what is no number does not count */
    else if (a->weighted_by_hash && s && hash_policies_apply(&a->hash_policies, s, headers, &hash, NULL))
        random = hash;
    uint64_t at = random % a->weighted_total;
    for (uint32_t i = 0; i < a->weighted_count; i++) {
        if (at < a->weighted[i].weight)
            return &a->weighted[i];
        at -= a->weighted[i].weight;
    }
    WEIR_UNREACHABLE();
}

static struct match_subject match_subject_of(const struct subject *s)
{
    return (struct match_subject){.stream = s->stream, .headers = s->headers, .arena = s->headers->arena};
}

/* Where the route leaves it to the request. */
static const struct weighted_cluster *pick_cluster(const struct route_action *a, const struct subject *s,
                                                   struct stream *stream)
{
    if (a->cluster_kind == ROUTE_CLUSTER_WEIGHTED)
        return pick_weighted(a, s->headers, stream, s->random);
    const struct match_subject subject = match_subject_of(s);
    return match_tree_find(&a->matcher->tree, &subject);
}

static const struct route *find_by_tree(const struct virtual_host *vh, const struct subject *s)
{
    const struct match_subject subject = match_subject_of(s);
    const struct route_group *group = match_tree_find(&vh->matcher, &subject);
    for (uint32_t i = 0; group && i < group->count; i++) {
        if (route_matches(&vh->routes[group->first + i], s))
            return &vh->routes[group->first + i];
    }
    return NULL;
}

static const struct route *find_route(const struct virtual_host *vh, const struct subject *s)
{
    struct route_cursor cursor;
    if (WEIR_UNLIKELY(vh->matcher.root))
        return find_by_tree(vh, s);
    route_cursor_init(&cursor, vh, s->path);
    const struct route *r;
    while ((r = route_cursor_next(&cursor)) != NULL && !route_matches(r, s))
        ;
    return r;
}

struct route_result route_table_match(const struct route_table *t, const struct header_map *headers,
                                      struct stream *stream, uint64_t random)
{
    struct route_result result = {0};
    struct slice path = header_map_get_id(headers, HDR_PATH);
    result.virtual_host = find_host(t, headers);
    if (!result.virtual_host)
        return result;
    if (needs_tls(result.virtual_host, headers)) {
        result.route = &tls_redirect;
        return result;
    }
    struct subject subject = {
        .headers = headers,
        .stream = stream,
        .path = route_table_path(t, headers),
        .query = path_query(path),
        .connect = slice_eq(header_map_get_id(headers, HDR_METHOD), SLICE_LIT("CONNECT")),
        .random = random,
    };
    const struct route *r = find_route(result.virtual_host, &subject);
    result.route = r;
    if (r && r->kind == ROUTE_FORWARD && r->action.cluster_kind >= ROUTE_CLUSTER_WEIGHTED)
        result.weighted = pick_cluster(&r->action, &subject, stream);
    return result;
}

static struct cluster_ref cluster_by_header(struct slice name, const struct header_map *headers)
{
    const struct header *h = header_map_find(headers, name);
    if (!h || h->value.len == 0)
        return (struct cluster_ref){0};
    return (struct cluster_ref){h->value, slice_hash(h->value)};
}

struct cluster_ref route_cluster(const struct route *r, const struct weighted_cluster *weighted,
                                 const struct header_map *headers)
{
    WEIR_ASSERT(r->kind == ROUTE_FORWARD);
    switch (r->action.cluster_kind) {
    case ROUTE_CLUSTER_HEADER:
        return cluster_by_header(r->action.cluster_header, headers);
    case ROUTE_CLUSTER_MATCHER:
        return weighted ? (struct cluster_ref){weighted->name, weighted->name_hash} : (struct cluster_ref){0};
    case ROUTE_CLUSTER_WEIGHTED:
        WEIR_ASSERT(weighted);
        if (weighted->cluster_header.len > 0)
            return cluster_by_header(weighted->cluster_header, headers);
        return (struct cluster_ref){weighted->name, weighted->name_hash};
    default:
        return (struct cluster_ref){r->action.cluster, r->action.cluster_hash};
    }
}

static const struct filter_override *find_override(const struct filter_overrides *o, struct slice name)
{
    for (uint32_t i = 0; i < o->count; i++) {
        if (slice_eq(o->items[i].filter_name, name))
            return &o->items[i];
    }
    return NULL;
}

unsigned route_filter_overrides(const struct route *r, const struct weighted_cluster *weighted,
                                struct slice filter_name, const struct filter_override *out[ROUTE_LEVELS_MAX])
{
    unsigned count = 0;
    if (!r || !r->has_overrides)
        return 0;
    const struct filter_overrides *const levels[ROUTE_LEVELS_MAX] = {
        weighted ? &weighted->overrides : NULL,
        &r->overrides,
        &r->virtual_host->overrides,
        &r->virtual_host->table->overrides,
    };
    for (unsigned i = 0; i < ROUTE_LEVELS_MAX; i++) {
        const struct filter_override *found = levels[i] ? find_override(levels[i], filter_name) : NULL;
        if (found)
            out[count++] = found;
    }
    return count;
}

const struct filter_override *route_filter_override(const struct route *r,
                                                    const struct weighted_cluster *weighted,
                                                    struct slice filter_name)
{
    if (!r || !r->has_overrides)
        return NULL;
    const struct filter_override *found = weighted ? find_override(&weighted->overrides, filter_name) : NULL;
    if (!found)
        found = find_override(&r->overrides, filter_name);
    if (!found)
        found = find_override(&r->virtual_host->overrides, filter_name);
    return found ? found : find_override(&r->virtual_host->table->overrides, filter_name);
}
