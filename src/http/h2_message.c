/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between HTTP/2's field sections and the common header map. What the library has not checked and HTTP/1
 * would read in another way is refused here; what concerns only one connection is neither taken nor sent.
 */
#include "http/h2_codec.h"

#include "base/assert.h"
#include "http/chars.h"
#include "http/limits.h"
#include "http/status.h"

#include <stdlib.h>

static struct header_map *map_new(const struct h2_codec *c, struct arena *arena)
{
    struct header_map *m = arena_alloc(arena, sizeof(*m));
    if (!m)
        return NULL;
    header_map_init(m, arena, c->settings.headers_count_max + H1_HEADERS_COUNT_RESERVE,
                    c->settings.headers_bytes_max + H1_HEADERS_BYTES_RESERVE);
    return header_map_reserve(m, 28) ? m : NULL;
}

/* RFC 9113 8.2.3: crumbs are one cookie to everybody else. */
static enum h2_field join_cookie(struct h2_stream *st, struct header_map *m, struct slice value)
{
    struct header *h = &m->items[m->first[HDR_COOKIE] - 1];
    size_t len = h->value.len + 2 + value.len;
    if (m->bytes + 2 + value.len > m->bytes_max)
        return H2_FIELD_LIMIT;
    char *to = (char *)(uintptr_t)h->value.ptr;
    if (len > st->cookie_cap) {
        size_t cap = len * 2;
        to = arena_alloc_text(m->arena, cap);
        if (!to)
            return H2_FIELD_LIMIT;
        memcpy(to, h->value.ptr, h->value.len);
        st->cookie_cap = cap;
    }
    memcpy(to + h->value.len, "; ", 2);
    memcpy(to + h->value.len + 2, value.ptr, value.len);
    h->value = slice_of(to, len);
    m->bytes += 2 + value.len;
    return H2_FIELD_OK;
}

enum h2_field h2_message_field(struct h2_codec *c, struct h2_stream *st, struct slice name,
                               struct slice value)
{
    struct header_map **slot = st->final_received ? &st->trailers : &st->headers;
    struct arena *arena = st->base.arena;
    if (!*slot) {
        st->cookie_cap = 0; /* that buffer is of the section before */
        *slot = map_new(c, arena);
    }
    struct header_map *m = *slot;
    if (!m)
        return H2_FIELD_LIMIT;
    if (m->count >= c->settings.headers_count_max ||
        m->bytes + name.len + value.len > c->settings.headers_bytes_max)
        return H2_FIELD_LIMIT;
    enum header_id id = header_id_of(name);
    if (id == HDR_COOKIE && header_map_has_id(m, HDR_COOKIE))
        return join_cookie(st, m, value);
    if (id == HDR_HOST && c->server && !st->final_received) {
        /* Envoy: :authority counts, and Host where there is none. */
        if (header_map_has_id(m, HDR_AUTHORITY))
            return H2_FIELD_OK;
        id = HDR_AUTHORITY;
    }
    struct slice own = id != HDR_OTHER ? header_id_name(id) : arena_dup(arena, name);
    struct slice copy = arena_dup(arena, value);
    if (!own.ptr || !copy.ptr || header_map_append(m, id, own, copy, SLICE_EMPTY) != HEADER_OK)
        return H2_FIELD_LIMIT;
    return H2_FIELD_OK;
}

/* RFC 8441: what an HTTP/1 client would have sent. Envoy's transformUpgradeRequestFromH2toH1. */
static bool from_extended(struct header_map *m)
{
    struct slice protocol = header_map_get_id(m, HDR_PROTOCOL);
    header_map_remove_id(m, HDR_PROTOCOL);
    return header_map_set_id(m, HDR_METHOD, SLICE_LIT("GET")) == HEADER_OK &&
           header_map_set_id(m, HDR_UPGRADE, protocol) == HEADER_OK &&
           header_map_set_id(m, HDR_CONNECTION, SLICE_LIT("upgrade")) == HEADER_OK;
}

bool h2_message_request(struct h2_codec *c, struct h2_stream *st)
{
    struct header_map *m = st->headers;
    struct slice method = header_map_get_id(m, HDR_METHOD);
    struct slice authority = header_map_get_id(m, HDR_AUTHORITY);
    (void)c;
    if (!method.ptr || !authority.ptr || !chars_host_valid(authority))
        return false;
    st->head_request = slice_eq(method, SLICE_LIT("HEAD"));
    st->connect = slice_eq(method, SLICE_LIT("CONNECT"));
    st->extended = header_map_has_id(m, HDR_PROTOCOL);
    if (header_map_has_id(m, HDR_TE) && !slice_eq_nocase(header_map_get_id(m, HDR_TE), SLICE_LIT("trailers")))
        return false;
    return !st->extended || from_extended(m);
}

bool h2_message_response(struct h2_stream *st)
{
    struct header_map *m = st->headers;
    unsigned status = status_parse(header_map_get_id(m, HDR_STATUS));
    if (status < 200)
        return false;
    st->base.upgraded = st->connect && status < 300;
    if (!st->extended || status != 200)
        return true;
    return header_map_set_id(m, HDR_STATUS, SLICE_LIT("101")) == HEADER_OK &&
           header_map_set_id(m, HDR_UPGRADE, st->upgrade) == HEADER_OK &&
           header_map_set_id(m, HDR_CONNECTION, SLICE_LIT("upgrade")) == HEADER_OK;
}

/* Where a common section is laid out for the library, which copies it at once: nothing that an idle
 * connection should hold. */
static _Thread_local nghttp2_nv common_nva[H2_COMMON_FIELDS];

static bool nva_reserve(struct h2_codec *c, size_t n)
{
    if (n <= H2_COMMON_FIELDS) {
        c->nva = common_nva;
        return true;
    }
    if (n > c->own_nva_cap) {
        nghttp2_nv *grown = realloc(c->own_nva, n * 2 * sizeof(*grown));
        if (!grown)
            return false;
        c->own_nva = grown;
        c->own_nva_cap = n * 2;
    }
    c->nva = c->own_nva;
    return true;
}

static void put(nghttp2_nv *nv, struct slice name, struct slice value)
{
    /* The library copies values; it does not write to either. */
    *nv = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.ptr,
                       .namelen = name.len,
                       .value = (uint8_t *)(uintptr_t)value.ptr,
                       .valuelen = value.len};
}

static bool put_id(struct h2_codec *c, size_t *n, enum header_id id, struct slice value)
{
    if (!value.ptr ||
        (value.len && chars_skip_visible(value.ptr, value.ptr + value.len) != value.ptr + value.len))
        return false;
    put(&c->nva[(*n)++], header_id_name(id), value);
    return true;
}

static bool put_request_pseudo(struct h2_codec *c, struct h2_stream *st, const struct header_map *m,
                               size_t *n)
{
    struct slice method = header_map_get_id(m, HDR_METHOD), path = header_map_get_id(m, HDR_PATH);
    struct slice authority = header_map_get_id(m, HDR_AUTHORITY), scheme = header_map_get_id(m, HDR_SCHEME);
    if (!authority.ptr)
        authority = header_map_get_id(m, HDR_HOST);
    if (!authority.ptr || !chars_host_valid(authority) || !method.ptr || !header_name_valid(method))
        return false;
    st->extended = header_map_has_id(m, HDR_UPGRADE) && header_map_has_id(m, HDR_CONNECTION);
    st->connect = st->extended || slice_eq(method, SLICE_LIT("CONNECT"));
    st->head_request = slice_eq(method, SLICE_LIT("HEAD"));
    if (st->extended)
        method = SLICE_LIT("CONNECT");
    if (!put_id(c, n, HDR_METHOD, method) || !put_id(c, n, HDR_AUTHORITY, authority))
        return false;
    if (st->connect && !st->extended)
        return true;
    if (path.len == 0 || (path.ptr[0] != '/' && !(path.len == 1 && path.ptr[0] == '*')))
        return false;
    if (!scheme.len)
        scheme = SLICE_LIT("http");
    if (!put_id(c, n, HDR_SCHEME, scheme) || !put_id(c, n, HDR_PATH, path))
        return false;
    if (!st->extended)
        return true;
    st->upgrade = arena_dup(st->base.arena, header_map_get_id(m, HDR_UPGRADE));
    return st->upgrade.len > 0 && put_id(c, n, HDR_PROTOCOL, st->upgrade);
}

/* RFC 9113 8.2.2 and 8.3: what does not go on, or went before. */
static bool field_passes(const struct h2_stream *st, const struct header *h)
{
    switch ((enum header_id)h->id) {
    case HDR_METHOD:
    case HDR_SCHEME:
    case HDR_AUTHORITY:
    case HDR_PATH:
    case HDR_PROTOCOL:
    case HDR_STATUS:
    case HDR_HOST:
    case HDR_CONNECTION:
    case HDR_KEEP_ALIVE:
    case HDR_PROXY_CONNECTION:
    case HDR_TRANSFER_ENCODING:
    case HDR_UPGRADE:
        return false;
    case HDR_TE:
        return slice_eq_nocase(h->value, SLICE_LIT("trailers"));
    case HDR_CONTENT_LENGTH:
        return st->passes_length;
    default:
        return true;
    }
}

size_t h2_message_fields(struct h2_codec *c, struct h2_stream *st, const struct header_map *m, bool head)
{
    size_t n = 0;
    uint32_t cursor = 0;
    bool has_length = false;
    if (!nva_reserve(c, (size_t)m->count + 4))
        return 0;
    if (head && c->server) {
        struct slice status = header_map_get_id(m, HDR_STATUS);
        if (slice_eq(status, SLICE_LIT("101")))
            status = SLICE_LIT("200");
        if (!put_id(c, &n, HDR_STATUS, status))
            return 0;
    } else if (head && !put_request_pseudo(c, st, m, &n)) {
        return 0;
    }
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;) {
        if (h->id != HDR_OTHER && !field_passes(st, h))
            continue;
        if (h->id == HDR_CONTENT_LENGTH) {
            if (has_length || !head)
                continue;
            has_length = true;
        }
        if (h->value.len &&
            chars_skip_value(h->value.ptr, h->value.ptr + h->value.len) != h->value.ptr + h->value.len)
            return 0;
        put(&c->nva[n++], h->name, h->value);
    }
    return n;
}
