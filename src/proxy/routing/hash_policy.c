/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes of requests. The same function, input and order as in Envoy, so that both send a request to the same
 * host of the same ring.
 */
#include "proxy/routing/hash_policy.h"

#include "base/assert.h"
#include "base/build_error.h"
#include "base/stable_hash.h"
#include "proxy/filter_state.h"
#include "proxy/limits.h"
#include "proxy/request_cookie.h"
#include "proxy/routing/regex.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdio.h>
#include <stdlib.h>

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* All values of the header in order of their bytes, each seeded with the hash of those before. */
static bool of_header(const struct hash_policy *p, struct stream *s, const struct header_map *headers,
                      uint64_t *hash)
{
    struct slice values[HASH_HEADER_VALUES_MAX];
    size_t count = 0;
    const struct header *h = header_map_find(headers, p->name);
    for (; h && count < HASH_HEADER_VALUES_MAX; h = header_map_find_next(headers, p->name, h)) {
        struct slice value = h->value;
        if (p->regex)
            value = regex_replace_all(p->regex, value, p->replacement, &s->arena);
        values[count++] = value;
    }
    if (count > 1)
        qsort(values, count, sizeof(values[0]), by_bytes);
    *hash = 0;
    for (size_t i = 0; i < count; i++)
        *hash = xxh64(values[i], *hash);
    return count > 0;
}

/* A value that this client connection will get again, and Envoy's form of the header. */
static struct slice make_cookie(const struct hash_policy *p, struct stream *s, struct hash_cookie **cookies)
{
    char remote[ADDRESS_TEXT_MAX], local[ADDRESS_TEXT_MAX], both[2 * ADDRESS_TEXT_MAX], age[48] = "";
    address_format(s->info.downstream_remote, remote);
    address_format(s->info.downstream_local, local);
    int len = snprintf(both, sizeof(both), "%s%s", remote, local);
    uint64_t value = xxh64(slice_of(both, (size_t)len), 0);
    if (p->max_age_seconds)
        snprintf(age, sizeof(age), "; Max-Age=%llu", (unsigned long long)p->max_age_seconds);
    struct hash_cookie *cookie = ARENA_NEW(&s->arena, struct hash_cookie);
    char *text = arena_printf(&s->arena, SLICE_FMT "=\"%016llx\"%s" SLICE_FMT, SLICE_ARG(p->name),
                              (unsigned long long)value, age, SLICE_ARG(p->suffix));
    if (!cookie || !text)
        return SLICE_EMPTY;
    *cookie = (struct hash_cookie){*cookies, slice_str(text)};
    *cookies = cookie;
    return slice_of(text + p->name.len + 2, 16);
}

static bool of_cookie(const struct hash_policy *p, struct stream *s, const struct header_map *headers,
                      uint64_t *hash, struct hash_cookie **cookies)
{
    struct slice value = request_cookie(headers, p->name);
    if (value.len == 0 && p->generate && cookies)
        value = make_cookie(p, s, cookies);
    *hash = xxh64(value, 0);
    return value.len > 0;
}

static bool of_query_parameter(const struct hash_policy *p, const struct header_map *headers, uint64_t *hash)
{
    struct slice rest = path_query(header_map_get_id(headers, HDR_PATH)), part;
    while (slice_split(&rest, '&', &part)) {
        ptrdiff_t equals = slice_find_char(part, '=');
        struct slice name = equals < 0 ? part : slice_take(part, (size_t)equals);
        if (!slice_eq(name, p->name))
            continue;
        *hash = xxh64(equals < 0 ? SLICE_EMPTY : slice_skip(part, (size_t)equals + 1), 0);
        return true;
    }
    return false;
}

bool hash_of_address(const struct address *a, uint64_t *hash)
{
    char text[ADDRESS_TEXT_MAX];
    if (!a || (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6))
        return false;
    *hash = xxh64(slice_str(address_format_ip(a, text)), 0);
    return true;
}

bool hash_of_filter_state(const struct filter_state *fs, struct slice name, uint64_t *hash)
{
    const struct filter_state_entry *e = filter_state_get(fs, name);
    if (!e || (e->type != FILTER_STATE_STRING && e->type != FILTER_STATE_OBJECT))
        return false;
    *hash = xxh64(e->value, 0);
    return true;
}

static bool apply_one(const struct hash_policy *p, struct stream *s, const struct header_map *headers,
                      uint64_t *hash, struct hash_cookie **cookies)
{
    switch (p->source) {
    case HASH_HEADER:
        return of_header(p, s, headers, hash);
    case HASH_COOKIE:
        return of_cookie(p, s, headers, hash, cookies);
    case HASH_SOURCE_IP:
        return hash_of_address(s->info.downstream_remote, hash);
    case HASH_QUERY_PARAMETER:
        return of_query_parameter(p, headers, hash);
    case HASH_FILTER_STATE:
        return hash_of_filter_state(&s->filter_state, p->name, hash);
    }
    return false;
}

void hash_policies_finish(struct hash_policies *policies, const char *path, struct build_errors *errors)
{
    char inner[BUILD_PATH_BYTES_MAX], error[REGEX_ERROR_MAX];
    for (uint32_t i = 0; i < policies->count; i++) {
        struct hash_policy *p = &policies->items[i];
        if (!p->pattern.ptr)
            continue;
        p->regex = regex_create(p->pattern, error);
        if (!p->regex || !regex_check_substitution(p->regex, p->replacement, error))
            build_error(errors, build_path(inner, path, "[%u].header.regex_rewrite", i), "%s", error);
    }
}

void hash_policies_fini(const struct hash_policies *policies)
{
    for (uint32_t i = 0; i < policies->count; i++)
        regex_destroy(&policies->items[i].regex);
}

bool hash_policies_apply(const struct hash_policies *policies, struct stream *s,
                         const struct header_map *headers, uint64_t *hash, struct hash_cookie **cookies)
{
    bool any = false;
    *hash = 0;
    for (uint32_t i = 0; i < policies->count; i++) {
        const struct hash_policy *p = &policies->items[i];
        uint64_t own;
        if (apply_one(p, s, headers, &own, cookies)) {
            /* Rotated, so that the same policy twice does not cancel itself out. */
            *hash = (*hash << 1 | *hash >> 63) ^ own;
            any = true;
        }
        if (p->terminal && any)
            break;
    }
    return any;
}
