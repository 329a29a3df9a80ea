/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash tables over domains and paths. "First match wins" stays true because a walk merges the chains of all
 * keys that fit the path by route number.
 */
#include "proxy/routing/route_index.h"

#include "base/assert.h"
#include "base/map.h"

#include <stdlib.h>

/* Domains with a "*" at one end: by what remains, the longest first. */
struct wildcard_set {
    struct map by_text;
    size_t *lengths; /* distinct, descending */
    size_t lengths_count;
};

struct host_index {
    struct map exact;
    struct wildcard_set suffixes; /* "*.example.com" */
    struct wildcard_set prefixes; /* "www.*" */
    const struct virtual_host *any;
};

struct route_index {
    struct map exact;
    struct map prefixes;
    size_t lengths[ROUTE_PREFIX_LENGTHS_MAX]; /* distinct lengths of prefixes, ascending */
    size_t lengths_count;
    uint32_t *rest; /* route numbers that no key covers, ascending */
    size_t rest_count;
};

static void *number_to_value(uint32_t number)
{
    return (void *)(uintptr_t)number;
}

static uint32_t value_to_number(void *value)
{
    return (uint32_t)(uintptr_t)value;
}

static bool wildcard_add(struct wildcard_set *set, struct slice text, const struct virtual_host *vh)
{
    size_t at = 0;
    while (at < set->lengths_count && set->lengths[at] > text.len)
        at++;
    if (at == set->lengths_count || set->lengths[at] != text.len) {
        size_t *grown = realloc(set->lengths, (set->lengths_count + 1) * sizeof(*grown));
        if (!grown)
            return false;
        set->lengths = grown;
        memmove(grown + at + 1, grown + at, (set->lengths_count - at) * sizeof(*grown));
        grown[at] = text.len;
        set->lengths_count++;
    }
    return map_put(&set->by_text, text, (void *)(uintptr_t)vh);
}

/* Files one domain. NULL, or what is wrong with it. */
static const char *host_index_add(struct host_index *index, struct slice domain,
                                  const struct virtual_host *vh)
{
    char lower[ROUTE_HOST_BYTES_MAX];
    if (domain.len == 0 || domain.len > sizeof(lower))
        return "a domain has 1 to 1024 bytes";
    for (size_t i = 0; i < domain.len; i++)
        lower[i] = ascii_lower(domain.ptr[i]);
    struct slice text = slice_of(lower, domain.len);
    bool stored = true;
    if (slice_eq(text, SLICE_LIT("*"))) {
        if (index->any)
            return "only a single wildcard domain is permitted";
        index->any = vh;
    } else if (text.ptr[0] == '*' || text.ptr[text.len - 1] == '*') {
        bool suffix = text.ptr[0] == '*';
        struct wildcard_set *set = suffix ? &index->suffixes : &index->prefixes;
        text = suffix ? slice_skip(text, 1) : slice_take(text, text.len - 1);
        if (map_has(&set->by_text, text))
            return "only unique values for domains are permitted";
        stored = wildcard_add(set, text, vh);
    } else {
        if (map_has(&index->exact, text))
            return "only unique values for domains are permitted";
        stored = map_put(&index->exact, text, (void *)(uintptr_t)vh);
    }
    return stored ? NULL : "out of memory";
}

struct host_index *host_index_create(const struct route_table *t, struct build_errors *errors)
{
    struct host_index *index = calloc(1, sizeof(*index));
    unsigned before = errors->count;
    for (uint32_t v = 0; index && v < t->virtual_hosts_count; v++) {
        const struct virtual_host *vh = &t->virtual_hosts[v];
        for (uint32_t d = 0; d < vh->domains_count; d++) {
            const char *wrong = host_index_add(index, vh->domains[d], vh);
            if (wrong) {
                char path[BUILD_PATH_BYTES_MAX];
                build_path(path, "", "virtual_hosts[%u].domains[%u]", v, d);
                build_error(errors, path, "%s: \"" SLICE_FMT "\"", wrong, SLICE_ARG(vh->domains[d]));
            }
        }
    }
    if (index && errors->count != before)
        host_index_destroy(&index);
    return index;
}

static void wildcard_fini(struct wildcard_set *set)
{
    map_fini(&set->by_text);
    free(set->lengths);
}

void host_index_destroy(struct host_index **index)
{
    if (!*index)
        return;
    map_fini(&(*index)->exact);
    wildcard_fini(&(*index)->suffixes);
    wildcard_fini(&(*index)->prefixes);
    free(*index);
    *index = NULL;
}

/* The "*" must stand for at least one byte: "*.foo.com" is not ".foo.com". */
static const struct virtual_host *wildcard_find(const struct wildcard_set *set, struct slice host,
                                                bool suffix)
{
    for (size_t i = 0; i < set->lengths_count; i++) {
        size_t len = set->lengths[i];
        if (len >= host.len)
            continue;
        const struct virtual_host *vh =
            map_get(&set->by_text, suffix ? slice_skip(host, host.len - len) : slice_take(host, len));
        if (vh)
            return vh;
    }
    return NULL;
}

const struct virtual_host *host_index_find(const struct host_index *index, struct slice host)
{
    char lower[ROUTE_HOST_BYTES_MAX];
    if ((index->exact.count | index->suffixes.lengths_count | index->prefixes.lengths_count) == 0 ||
        host.len > sizeof(lower))
        return index->any;
    for (size_t i = 0; i < host.len; i++)
        lower[i] = ascii_lower(host.ptr[i]);
    host = slice_of(lower, host.len);
    const struct virtual_host *vh = map_get(&index->exact, host);
    if (!vh)
        vh = wildcard_find(&index->suffixes, host, true);
    if (!vh)
        vh = wildcard_find(&index->prefixes, host, false);
    return vh ? vh : index->any;
}

/* false when the set of lengths is full. */
static bool add_length(struct route_index *index, size_t len)
{
    size_t at = 0;
    while (at < index->lengths_count && index->lengths[at] < len)
        at++;
    if (at < index->lengths_count && index->lengths[at] == len)
        return true;
    if (index->lengths_count == ROUTE_PREFIX_LENGTHS_MAX)
        return false;
    memmove(&index->lengths[at + 1], &index->lengths[at], (index->lengths_count - at) * sizeof(size_t));
    index->lengths[at] = len;
    index->lengths_count++;
    return true;
}

/* The table that covers the route, or NULL. */
static struct map *table_for(struct route_index *index, const struct route *r)
{
    if (!r->match.case_sensitive)
        return NULL;
    switch (r->match.kind) {
    case PATH_MATCH_EXACT:
        return &index->exact;
    case PATH_MATCH_PREFIX:
    case PATH_MATCH_SEPARATED_PREFIX:
        return add_length(index, r->match.path.len) ? &index->prefixes : NULL;
    default:
        return NULL;
    }
}

struct route_index *route_index_create(struct virtual_host *vh)
{
    struct route_index *index = calloc(1, sizeof(*index));
    if (!index)
        return NULL;
    index->rest = calloc(vh->routes_count + 1, sizeof(*index->rest));
    size_t free_slot = vh->routes_count;
    bool ok = index->rest != NULL;
    /* Backwards, so that each chain comes out in ascending order. */
    for (uint32_t i = vh->routes_count; ok && i > 0; i--) {
        struct route *r = &vh->routes[i - 1];
        struct map *table = table_for(index, r);
        if (!table) {
            index->rest[--free_slot] = i - 1;
            continue;
        }
        r->next_same_key = value_to_number(map_get(table, r->match.path));
        WEIR_ASSERT(r->next_same_key == 0 || r->next_same_key > i);
        ok = map_put(table, r->match.path, number_to_value(i));
    }
    if (!ok) {
        route_index_destroy(&index);
        return NULL;
    }
    index->rest_count = vh->routes_count - free_slot;
    memmove(index->rest, index->rest + free_slot, index->rest_count * sizeof(*index->rest));
    return index;
}

void route_index_destroy(struct route_index **index)
{
    if (!*index)
        return;
    map_fini(&(*index)->exact);
    map_fini(&(*index)->prefixes);
    free((*index)->rest);
    free(*index);
    *index = NULL;
}

void route_cursor_init(struct route_cursor *c, const struct virtual_host *vh, struct slice path)
{
    const struct route_index *index = vh->index;
    c->vh = vh;
    c->scan = 0;
    c->heads_count = 0;
    if (!index)
        return;
    uint32_t head = value_to_number(map_get(&index->exact, path));
    if (head)
        c->heads[c->heads_count++] = head;
    for (size_t i = 0; i < index->lengths_count && index->lengths[i] <= path.len; i++) {
        head = value_to_number(map_get(&index->prefixes, slice_take(path, index->lengths[i])));
        if (head)
            c->heads[c->heads_count++] = head;
    }
    WEIR_ASSERT(c->heads_count <= WEIR_ARRAY_LEN(c->heads));
}

const struct route *route_cursor_next(struct route_cursor *c)
{
    const struct virtual_host *vh = c->vh;
    const struct route_index *index = vh->index;
    if (!index)
        return c->scan < vh->routes_count ? &vh->routes[c->scan++] : NULL;
    uint32_t best = c->scan < index->rest_count ? index->rest[c->scan] + 1 : UINT32_MAX;
    uint32_t *from = NULL;
    for (uint32_t i = 0; i < c->heads_count; i++) {
        if (c->heads[i] != 0 && c->heads[i] < best) {
            best = c->heads[i];
            from = &c->heads[i];
        }
    }
    if (best == UINT32_MAX)
        return NULL;
    const struct route *r = &vh->routes[best - 1];
    if (from)
        *from = r->next_same_key;
    else
        c->scan++;
    return r;
}
