/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's head (RFC 9112 3 and 6): request line, the four forms of a target, Host, framing, upgrades.
 * Everything that could let two parsers disagree on where a request goes or ends is refused.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/chars.h"

struct request_line {
    struct slice method;
    struct slice target;
    bool http_10;
    char *fields; /* behind the line */
};

struct target {
    struct slice authority; /* ptr NULL: from Host */
    struct slice path;      /* ptr NULL: none (CONNECT) */
    struct slice scheme;    /* ptr NULL: not said */
};

static bool is_connect(struct slice method)
{
    return slice_eq(method, SLICE_LIT("CONNECT"));
}

/* What stands behind the second space, up to the line's CRLF. */
static const struct http_error *parse_version(const char *p, struct request_line *line)
{
    const char *end = p;
    while (*end != '\r' && *end != '\0' && end - p < 16)
        end++;
    struct slice version = slice_of(p, (size_t)(end - p));
    if (*end == '\r' && end[1] != '\n')
        return &http_error_bare_cr;
    if (version.len != 8 || !slice_starts_with(version, SLICE_LIT("HTTP/")) || p[5] < '0' || p[5] > '9' ||
        p[6] != '.' || p[7] < '0' || p[7] > '9' || *end != '\r')
        return &http_error_bad_version;
    if (p[5] == '2' && slice_eq(line->method, SLICE_LIT("PRI")))
        return &http_error_http2_preface;
    if (p[5] != '1' || p[7] > '1')
        return &http_error_version_unsupported;
    line->http_10 = p[7] == '0';
    return NULL;
}

static const struct http_error *parse_line(const struct h1_codec *c, struct h1_text *head,
                                           struct request_line *line)
{
    char *p = head->ptr;
    const char *end = head->ptr + head->len + H1_PAD;
    const char *stop = chars_skip_token(p, end);
    if (*stop != ' ' || stop == p)
        return stop > p && *stop == '\r' ? &http_error_bad_request_line : &http_error_bad_method;
    line->method = slice_of(p, (size_t)(stop - p));
    p += line->method.len + 1;
    stop = chars_skip_visible(p, end);
    if (*stop != ' ' || stop == p) {
        if (*stop == '\r' && stop[1] != '\n')
            return &http_error_bare_cr;
        return *stop == ' ' || *stop == '\r' ? &http_error_bad_request_line : &http_error_bad_target;
    }
    line->target = slice_of(p, (size_t)(stop - p));
    p += line->target.len + 1;
    if (WEIR_LIKELY(memcmp(p, "HTTP/1.1\r\n", 10) == 0)) {
        line->http_10 = false;
    } else {
        const struct http_error *e = parse_version(p, line);
        if (e)
            return e;
    }
    line->fields = p + 10;
    return line->http_10 && !c->settings.accept_http_10 ? &http_error_low_version : NULL;
}

const struct http_error *h1_request_line_check(struct h1_codec *c, struct h1_text *text)
{
    struct request_line line;
    return parse_line(c, text, &line);
}

/* "http://host:port/path?query" (RFC 9112 3.2.2). */
static const struct http_error *absolute_form(struct slice method, struct slice target, struct arena *arena,
                                              struct target *t)
{
    ptrdiff_t colon = slice_find(target, SLICE_LIT("://"));
    if (colon <= 0)
        return &http_error_bad_target;
    t->scheme = slice_take(target, (size_t)colon);
    if (slice_eq_nocase(t->scheme, SLICE_LIT("http")))
        t->scheme = SLICE_LIT("http");
    else if (slice_eq_nocase(t->scheme, SLICE_LIT("https")))
        t->scheme = SLICE_LIT("https");
    else
        return &http_error_bad_scheme;
    struct slice rest = slice_skip(target, (size_t)colon + 3);
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?')
        n++;
    t->authority = slice_take(rest, n);
    if (n == 0 || !chars_host_valid(t->authority))
        return &http_error_bad_url;
    rest = slice_skip(rest, n);
    if (rest.len == 0) {
        t->path = slice_eq(method, SLICE_LIT("OPTIONS")) ? SLICE_LIT("*") : SLICE_LIT("/");
    } else if (rest.ptr[0] == '/') {
        t->path = rest;
    } else {
        char *path = arena_alloc_text(arena, rest.len + 1);
        if (!path)
            return &http_error_headers_too_large;
        path[0] = '/';
        memcpy(path + 1, rest.ptr, rest.len);
        t->path = slice_of(path, rest.len + 1);
    }
    return NULL;
}

/* "host:port": the port is not optional in a CONNECT (RFC 9110 9.3.6). */
static const struct http_error *authority_form(const struct h1_codec *c, struct slice target,
                                               struct target *t)
{
    if (!chars_host_valid(target) || target.ptr[0] == ':' || target.ptr[target.len - 1] == ':' ||
        target.ptr[target.len - 1] == ']' || slice_find_char(target, ':') < 0)
        return &http_error_bad_url;
    if (!c->settings.allow_connect)
        return &http_error_connect_refused;
    t->authority = target;
    return NULL;
}

static const struct http_error *parse_target(const struct h1_codec *c, const struct request_line *line,
                                             struct arena *arena, struct target *t)
{
    struct slice target = line->target;
    *t = (struct target){0};
    if (WEIR_UNLIKELY(is_connect(line->method)))
        return authority_form(c, target, t);
    if (WEIR_LIKELY(target.ptr[0] == '/')) {
        t->path = target;
        return NULL;
    }
    if (target.len == 1 && target.ptr[0] == '*') {
        t->path = target;
        return slice_eq(line->method, SLICE_LIT("OPTIONS")) ? NULL : &http_error_bad_url;
    }
    if (!c->settings.allow_absolute_url)
        return &http_error_bad_target;
    return absolute_form(line->method, target, arena, t);
}

/* RFC 9112 3.2: exactly one valid Host, which a target with an authority replaces. */
static const struct http_error *decide_authority(const struct h1_codec *c, struct h1_fields *f,
                                                 struct target *t)
{
    if (!f->has_host && c->http_10 && c->settings.default_host_for_http_10.len > 0) {
        f->host = c->settings.default_host_for_http_10;
        f->has_host = true;
    }
    if (!f->has_host && !(c->http_10 && t->authority.ptr))
        return &http_error_missing_host;
    if (!chars_host_valid(f->host))
        return &http_error_bad_host;
    if (!t->authority.ptr)
        t->authority = f->host;
    return NULL;
}

/* RFC 9112 6.3 for requests. Sets the receive state. */
static const struct http_error *decide_framing(struct h1_codec *c, struct h1_fields *f)
{
    WEIR_ASSERT(!f->chunked || f->has_transfer_encoding);
    c->recv = H1_RECV_DONE;
    if (WEIR_UNLIKELY(f->has_transfer_encoding)) {
        if (f->has_length && !(f->chunked && c->settings.allow_chunked_length))
            return &http_error_length_and_chunked;
        if (!f->chunked || c->connect_request)
            return &http_error_bad_transfer_encoding;
        if (c->http_10)
            return &http_error_transfer_encoding_refused;
        header_map_remove_id(f->map, HDR_CONTENT_LENGTH);
        c->recv = H1_RECV_CHUNKED;
        return NULL;
    }
    if (!f->has_length)
        return NULL;
    if (c->connect_request) {
        header_map_remove_id(f->map, HDR_CONTENT_LENGTH);
        return f->length > 0 ? &http_error_body_disallowed : NULL;
    }
    if (f->length > 0) {
        c->recv = H1_RECV_LENGTH;
        c->recv_left = f->length;
    }
    return NULL;
}

/*
 * An upgrade is passed on only where its request has no body: bytes behind the head then mean one thing. h2c
 * is not offered (Envoy drops it too). Without an upgrade neither field goes on.
 */
static const struct http_error *decide_upgrade(struct h1_codec *c, struct h1_fields *f)
{
    struct slice protocol = header_map_get_id(f->map, HDR_UPGRADE);
    c->upgrade_request = c->settings.allow_upgrade && f->upgrade && protocol.ptr && protocol.len > 0 &&
                         !c->http_10 && !c->connect_request && c->recv == H1_RECV_DONE &&
                         !slice_eq_nocase(protocol, SLICE_LIT("h2c"));
    if (c->upgrade_request || c->connect_request)
        c->recv = H1_RECV_UPGRADE_WAIT;
    if (f->name_count > 0 || f->too_many_names) {
        const struct http_error *e = h1_fields_drop_listed(f, true);
        if (e)
            return e;
    }
    if (c->upgrade_request)
        return NULL;
    if (protocol.ptr) {
        header_map_remove_id(f->map, HDR_UPGRADE);
        header_map_remove(f->map, SLICE_LIT("http2-settings"));
    }
    header_map_remove_id(f->map, HDR_CONNECTION);
    return NULL;
}

/* Puts the value into a slot that was made before it was known. */
static void fill_slot(struct header_map *m, enum header_id id, struct slice value, struct slice spelling)
{
    WEIR_ASSERT(m->first[id] != 0);
    struct header *h = &m->items[m->first[id] - 1];
    h->value = value;
    h->spelling = spelling;
    m->bytes += value.len;
}

/* Pseudo-headers come first; what they say is known only behind the fields. */
static bool make_slots(struct header_map *m)
{
    static const enum header_id slots[] = {HDR_AUTHORITY, HDR_PATH, HDR_METHOD};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(slots); i++) {
        if (header_map_append(m, slots[i], header_id_name(slots[i]), SLICE_LIT(""), SLICE_EMPTY) != HEADER_OK)
            return false;
    }
    return true;
}

static void fill_slots(struct header_map *m, const struct request_line *line, const struct target *t,
                       const struct h1_fields *f)
{
    fill_slot(m, HDR_METHOD, line->method, SLICE_EMPTY);
    fill_slot(m, HDR_AUTHORITY, t->authority, f->host_spelling);
    if (t->path.ptr)
        fill_slot(m, HDR_PATH, t->path, SLICE_EMPTY);
    else
        header_map_remove_id(m, HDR_PATH);
}

const struct http_error *h1_request_parse(struct h1_codec *c, struct h1_text *head, struct header_map **map)
{
    struct request_line line;
    struct target target;
    struct arena *arena = c->stream.arena;
    WEIR_ASSERT(c->recv == H1_RECV_HEAD && head->len >= 4);
    const struct http_error *e = parse_line(c, head, &line);
    /* Known even when the rest is refused: it shapes the answer. */
    if (e)
        return e;
    c->http_10 = line.http_10;
    c->stream.protocol = line.http_10 ? HTTP_10 : HTTP_11;
    c->head_request = slice_eq(line.method, SLICE_LIT("HEAD"));
    c->connect_request = is_connect(line.method);

    struct h1_fields f = {.map = h1_map_create(c, arena, c->scan.lines), .host = SLICE_LIT("")};
    if (!f.map || !make_slots(f.map))
        return &http_error_headers_too_large;
    f.spelling = f.map->spelling;
    e = parse_target(c, &line, arena, &target);
    if (!e)
        e = h1_fields_parse(&f, line.fields, head);
    if (!e)
        e = decide_authority(c, &f, &target);
    if (!e)
        e = decide_framing(c, &f);
    if (!e)
        e = decide_upgrade(c, &f);
    if (e)
        return e;
    fill_slots(f.map, &line, &target, &f);
    if (target.scheme.ptr && header_map_append(f.map, HDR_SCHEME, header_id_name(HDR_SCHEME), target.scheme,
                                               SLICE_EMPTY) != HEADER_OK)
        return &http_error_headers_too_large;
    if (f.close || (c->http_10 && !f.keep_alive))
        c->close_after = true;
    *map = f.map;
    return NULL;
}
