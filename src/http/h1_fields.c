/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field lines (RFC 9112 5): name ":" OWS value OWS CRLF, parsed in place in the arena. Nothing is repaired:
 * a line that another parser could read differently is an error.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/chars.h"
#include "http/limits.h"

_Static_assert(sizeof(((struct h1_fields *)0)->names) / sizeof(struct slice) == H1_CONNECTION_TOKENS_MAX,
               "the array holds what the limit allows");

bool h1_list_has(struct slice list, struct slice token)
{
    struct slice part;
    while (slice_split(&list, ',', &part)) {
        if (slice_eq_nocase(slice_trim(part), token))
            return true;
    }
    return false;
}

struct header_map *h1_map_create(const struct h1_codec *c, struct arena *arena, uint32_t fields)
{
    WEIR_ASSERT(fields <= c->settings.headers_count_max + 1);
    struct header_map *m = arena_alloc(arena, sizeof(*m));
    if (!m)
        return NULL;
    header_map_init(m, arena, c->settings.headers_count_max + H1_HEADERS_COUNT_RESERVE,
                    c->settings.headers_bytes_max + H1_HEADERS_BYTES_RESERVE);
    if (WEIR_UNLIKELY(c->settings.keys.preserve_case)) {
        m->spelling = ARENA_NEW(arena, struct header_spelling);
        if (!m->spelling)
            return NULL;
        m->spelling->proper = c->settings.keys.preserve_proper;
    }
    /* Start line and the usual additions of a proxy: forwarded, request id, timing. */
    return header_map_reserve(m, fields + 12) ? m : NULL;
}

/* Why the name that ends at `p`, where no colon is, is refused. */
static const struct http_error *name_error(const char *name, const char *p)
{
    if (*p == '\r' && p[1] != '\n')
        return &http_error_bare_cr;
    if (p > name && (*p == ' ' || *p == '\t')) {
        while (*p == ' ' || *p == '\t')
            p++;
        if (*p == ':')
            return &http_error_space_before_colon;
    }
    return &http_error_bad_header_name;
}

/* Keeps the spelling of a name that would be written otherwise. */
static const struct http_error *keep_spelling(const struct header_map *m, const char *name,
                                              struct slice *spelling)
{
    const char *p = name;
    bool capitals = m->spelling->proper;
    for (; chars_is_token(*p); p++)
        capitals |= *p >= 'A' && *p <= 'Z';
    *spelling = SLICE_EMPTY;
    if (capitals) {
        *spelling = arena_dup(m->arena, slice_of(name, (size_t)(p - name)));
        if (!spelling->ptr)
            return &http_error_headers_too_large;
    }
    return NULL;
}

/* One field line at *at, which is not the empty line. `end` is behind the zero padding. */
static inline const struct http_error *parse_line(char **at, const char *end, struct slice *name,
                                                  struct slice *value)
{
    char *p = *at;
    char *start = p;
    if (WEIR_UNLIKELY(*p == ' ' || *p == '\t'))
        return &http_error_obs_fold;
    for (unsigned char low; (low = chars_token_lower[(unsigned char)*p]) != 0; p++)
        *p = (char)low;
    if (WEIR_UNLIKELY(*p != ':' || p == start))
        return name_error(start, p);
    *name = slice_of(start, (size_t)(p - start));
    p++;
    while (*p == ' ' || *p == '\t')
        p++;
    const char *stop = chars_skip_value(p, end);
    if (WEIR_UNLIKELY(stop[0] != '\r' || stop[1] != '\n'))
        return *stop == '\r' ? &http_error_bare_cr : &http_error_bad_header_value;
    *at = p + (stop - p) + 2;
    while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    *value = slice_of(p, (size_t)(stop - p));
    return NULL;
}

/* Connection (RFC 9110 7.6.1). */
static void note_connection(struct h1_fields *f, struct slice list)
{
    struct slice token;
    WEIR_ASSERT(f->name_count <= H1_CONNECTION_TOKENS_MAX);
    while (slice_split(&list, ',', &token)) {
        token = slice_trim(token);
        if (slice_eq_nocase(token, SLICE_LIT("close")))
            f->close = true;
        else if (slice_eq_nocase(token, SLICE_LIT("keep-alive")))
            f->keep_alive = true;
        else if (slice_eq_nocase(token, SLICE_LIT("upgrade")))
            f->upgrade = true;
        else if (token.len == 0 || slice_eq_nocase(token, SLICE_LIT("http2-settings")))
            continue;
        else if (f->name_count < H1_CONNECTION_TOKENS_MAX)
            f->names[f->name_count++] = token;
        else
            f->too_many_names = true;
    }
}

static const struct http_error *note_length(struct h1_fields *f, struct slice value)
{
    if (f->has_length)
        return &http_error_duplicate_content_length;
    if (!slice_parse_u64(value, &f->length))
        return &http_error_bad_content_length;
    f->has_length = true;
    return NULL;
}

static const struct http_error *note_host(struct h1_fields *f, struct slice value, struct slice spelling)
{
    if (f->has_host)
        return &http_error_duplicate_host;
    f->has_host = true;
    f->host = value;
    f->host_spelling = spelling;
    return NULL;
}

static void note_transfer_encoding(struct h1_fields *f, struct slice value)
{
    f->chunked = !f->has_transfer_encoding && slice_eq_nocase(value, SLICE_LIT("chunked"));
    f->has_transfer_encoding = true;
}

/* Of what the next connection has for itself; the first of them, as in Envoy. */
static void note_spelling(struct h1_fields *f, enum header_id id, struct slice spelling)
{
    struct header_spelling *s = f->spelling;
    struct slice *at = id == HDR_CONNECTION          ? &s->connection
                       : id == HDR_CONTENT_LENGTH    ? &s->content_length
                       : id == HDR_TRANSFER_ENCODING ? &s->transfer_encoding
                                                     : NULL;
    if (at && !at->len)
        *at = spelling;
}

/* What a field means to this connection. *keep: it goes into the map. */
static const struct http_error *note_field(struct h1_fields *f, enum header_id id, struct slice *value,
                                           struct slice spelling, bool *keep)
{
    *keep = true;
    switch (id) {
    case HDR_HOST:
        *keep = false;
        return note_host(f, *value, spelling);
    case HDR_CONTENT_LENGTH:
        return note_length(f, *value);
    case HDR_TRANSFER_ENCODING:
        *keep = false;
        note_transfer_encoding(f, *value);
        return NULL;
    case HDR_CONNECTION:
        note_connection(f, *value);
        return NULL;
    case HDR_PROXY_CONNECTION:
        f->close |= h1_list_has(*value, SLICE_LIT("close"));
        *keep = false;
        return NULL;
    case HDR_KEEP_ALIVE:
        *keep = false;
        return NULL;
    case HDR_TE:
        *keep = h1_list_has(*value, SLICE_LIT("trailers")) && !header_map_has_id(f->map, HDR_TE);
        *value = SLICE_LIT("trailers");
        return NULL;
    default:
        return NULL;
    }
}

const struct http_error *h1_fields_parse(struct h1_fields *f, char *p, struct h1_text *text)
{
    const char *last = text->ptr + text->len - 2; /* the empty line */
    const char *end = text->ptr + text->len + H1_PAD;
    WEIR_ASSERT(text->len >= 2 && p <= last && last[0] == '\r' && last[1] == '\n');
    while (p < last) {
        struct slice name, value, spelling = SLICE_EMPTY;
        const struct http_error *e = f->spelling ? keep_spelling(f->map, p, &spelling) : NULL;
        if (!e)
            e = parse_line(&p, end, &name, &value);
        if (e)
            return e;
        bool keep;
        enum header_id id = header_id_of(name);
        if (WEIR_UNLIKELY(spelling.len))
            note_spelling(f, id, spelling);
        e = note_field(f, id, &value, spelling, &keep);
        if (e)
            return e;
        if (keep && header_map_append(f->map, id, name, value, spelling) != HEADER_OK)
            return &http_error_headers_too_large;
    }
    WEIR_ASSERT(p == last);
    return NULL;
}

/* Fields that decide framing, routing or the connection have no place in trailers (RFC 9110 6.5.1). */
static bool trailer_allowed(enum header_id id)
{
    switch (id) {
    case HDR_HOST:
    case HDR_CONNECTION:
    case HDR_CONTENT_LENGTH:
    case HDR_CONTENT_TYPE:
    case HDR_TRANSFER_ENCODING:
    case HDR_TE:
    case HDR_TRAILER:
    case HDR_UPGRADE:
    case HDR_EXPECT:
    case HDR_KEEP_ALIVE:
    case HDR_PROXY_CONNECTION:
    case HDR_AUTHORIZATION:
    case HDR_COOKIE:
    case HDR_SET_COOKIE:
        return false;
    default:
        return true;
    }
}

const struct http_error *h1_trailers_parse(struct header_map *map, struct h1_text *text)
{
    char *p = text->ptr;
    const char *last = text->ptr + text->len - 2;
    const char *end = text->ptr + text->len + H1_PAD;
    WEIR_ASSERT(text->len >= 2 && last[0] == '\r' && last[1] == '\n');
    while (p < last) {
        struct slice name, value, spelling = SLICE_EMPTY;
        const struct http_error *e = map->spelling ? keep_spelling(map, p, &spelling) : NULL;
        if (!e)
            e = parse_line(&p, end, &name, &value);
        if (e)
            return e;
        enum header_id id = header_id_of(name);
        if (trailer_allowed(id) && header_map_append(map, id, name, value, spelling) != HEADER_OK)
            return &http_error_headers_too_large;
    }
    return NULL;
}

/* Envoy refuses a request that asks to lose one of these: it would hide where the request came from. */
static bool is_guarded(struct slice name)
{
    return name.ptr[0] == ':' || slice_eq_nocase(name, SLICE_LIT("x-forwarded-for")) ||
           slice_eq_nocase(name, SLICE_LIT("x-forwarded-host")) ||
           slice_eq_nocase(name, SLICE_LIT("x-forwarded-proto"));
}

const struct http_error *h1_fields_drop_listed(struct h1_fields *f, bool guarded)
{
    if (f->too_many_names && guarded)
        return &http_error_connection_rejected;
    for (uint32_t i = 0; i < f->name_count; i++) {
        struct slice name = f->names[i];
        if (is_guarded(name)) {
            if (guarded)
                return &http_error_connection_rejected;
            continue;
        }
        /* These are the codec's own business, or were already cut down to what may pass. */
        if (slice_eq_nocase(name, SLICE_LIT("content-length")) || slice_eq_nocase(name, SLICE_LIT("te")) ||
            slice_eq_nocase(name, SLICE_LIT("connection")))
            continue;
        header_map_remove(f->map, name);
    }
    return NULL;
}
