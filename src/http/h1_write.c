/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of heads and trailers, written once into a block of the output. Names in a map are tokens by
 * construction (the parser and header_map's functions see to that); values are looked at once more here,
 * because a CR or LF that slipped through would be another message.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/chars.h"
#include "http/status.h"

/* Start line and framing fields, beyond what the map counts. */
#define HEAD_EXTRA_BYTES 256u
/* ": " and CRLF around each field. */
#define FIELD_EXTRA_BYTES 4u

static inline char *put(char *p, struct slice s)
{
    slice_copy(p, s);
    return p + s.len;
}

#define PUT_LIT(p, text) ((char *)memcpy((p), (text), sizeof(text) - 1) + sizeof(text) - 1)

/* header_value_valid without the call. */
static inline bool value_safe(struct slice v)
{
    return v.len == 0 || chars_skip_value(v.ptr, v.ptr + v.len) == v.ptr + v.len;
}

static inline char *put_field(char *p, struct slice name, struct slice value)
{
    p = PUT_LIT(put(p, name), ": ");
    return PUT_LIT(put(p, value), "\r\n");
}

/* Capitals at the start of each word (Envoy: whatever is no letter or digit ends one). */
static void capitalise(char *p, size_t len)
{
    for (bool start = true; len > 0; p++, len--) {
        bool small = *p >= 'a' && *p <= 'z';
        bool other = (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (start && small)
            *p = (char)(*p - 'a' + 'A');
        start = !small && !other;
    }
}

/* Whether names without a spelling of their own get capitals. */
static bool is_proper(const struct h1_codec *c, const struct header_map *m)
{
    return m->spelling ? m->spelling->proper : c->settings.keys.proper_case;
}

static size_t head_bound(const struct header_map *m)
{
    return m->bytes + (size_t)m->count * FIELD_EXTRA_BYTES + HEAD_EXTRA_BYTES;
}

bool h1_map_length(const struct header_map *m, uint64_t *length)
{
    uint32_t at = m->first[HDR_CONTENT_LENGTH];
    if (at == 0 || !slice_parse_u64(m->items[at - 1].value, length))
        return false;
    for (; at < m->used; at++) {
        if (m->items[at].id == HDR_CONTENT_LENGTH && m->items[at].name.ptr)
            return false;
    }
    return true;
}

/* Whether a field of the map is written as it is; the framing speaks for the others. */
static bool field_passes(const struct h1_codec *c, const struct header_map *m, const struct header *h,
                         const struct h1_framing *f)
{
    switch ((enum header_id)h->id) {
    case HDR_METHOD:
    case HDR_SCHEME:
    case HDR_AUTHORITY:
    case HDR_PATH:
    case HDR_PROTOCOL:
    case HDR_STATUS:
    case HDR_CONNECTION:
    case HDR_KEEP_ALIVE:
    case HDR_PROXY_CONNECTION:
    case HDR_TRANSFER_ENCODING:
        return false;
    case HDR_CONTENT_LENGTH:
        return f->map_length;
    case HDR_UPGRADE:
        return f->upgrade;
    case HDR_HOST:
        return !c->client || !header_map_has_id(m, HDR_AUTHORITY);
    case HDR_TE:
        return c->client && slice_eq_nocase(h->value, SLICE_LIT("trailers"));
    default:
        return true;
    }
}

/* A second :authority or host that a filter has added: two Host fields are two targets (RFC 9112 3.2). */
static bool second_host(const struct h1_codec *c, const struct header_map *m, const struct header *h)
{
    return c->client && (h->id == HDR_AUTHORITY || h->id == HDR_HOST) && h != &m->items[m->first[h->id] - 1];
}

static WEIR_HOT char *put_fields(char *p, const struct h1_codec *c, const struct header_map *m,
                                 const struct h1_framing *f)
{
    uint32_t cursor = 0;
    bool proper = is_proper(c, m);
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;) {
        struct slice name = h->name;
        if (h->id == HDR_OTHER || field_passes(c, m, h, f)) {
            if (WEIR_UNLIKELY(!value_safe(h->value) || second_host(c, m, h)))
                return NULL;
        } else if (h->id == HDR_AUTHORITY && c->client) {
            if (WEIR_UNLIKELY(second_host(c, m, h)))
                return NULL;
            name = SLICE_LIT("host");
        } else {
            continue;
        }
        if (WEIR_UNLIKELY(h->spelling.len))
            name = h->spelling;
        char *start = p;
        p = put_field(p, name, h->value);
        if (WEIR_UNLIKELY(proper) && !h->spelling.len)
            capitalise(start, name.len);
    }
    return p;
}

static char *put_framing(char *p, const struct h1_framing *f)
{
    if (f->zero)
        p = PUT_LIT(p, "content-length: 0\r\n");
    if (f->chunked)
        p = PUT_LIT(p, "transfer-encoding: chunked\r\n");
    if (f->upgrade)
        p = PUT_LIT(p, "connection: upgrade\r\n");
    else if (f->close)
        p = PUT_LIT(p, "connection: close\r\n");
    else if (f->keep_alive)
        p = PUT_LIT(p, "connection: keep-alive\r\n");
    return PUT_LIT(p, "\r\n");
}

static void spell(char *name, size_t len, struct slice spelling, bool proper)
{
    if (spelling.len == len)
        memcpy(name, spelling.ptr, len);
    else if (proper)
        capitalise(name, len);
}

/* The same names in the message's spelling: put_framing has written them between `p` and `end`. */
static void spell_framing(char *p, const char *end, const struct header_map *m, bool proper)
{
    static const struct header_spelling none;
    const struct header_spelling *s = m->spelling ? m->spelling : &none;
    while (p + 2 < end) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        struct slice spelling = *p == 't'                       ? s->transfer_encoding
                                : colon - p == 10 /* letters */ ? s->connection
                                                                : s->content_length;
        spell(p, (size_t)(colon - p), spelling, proper);
        p = (char *)memchr(p, '\n', (size_t)(end - p)) + 1;
    }
}

/* Fields, framing and the empty line behind the start line that was written from `start` to `p`. */
static const struct http_error *finish_head(struct h1_codec *c, char *start, char *p,
                                            const struct header_map *m, const struct h1_framing *f,
                                            size_t bound)
{
    p = put_fields(p, c, m, f);
    if (!p)
        return &http_error_bad_outgoing_head;
    char *framing = p;
    p = put_framing(p, f);
    WEIR_ASSERT((size_t)(p - start) <= bound);
    if (WEIR_UNLIKELY(m->spelling || c->settings.keys.proper_case))
        spell_framing(framing, p, m, is_proper(c, m));
    return h1_room_put(c, (size_t)(p - start)) ? NULL : &http_error_out_of_memory;
}

static struct slice reason_of(const struct header_map *m, unsigned status)
{
    if (WEIR_UNLIKELY(m->spelling && m->spelling->reason.len))
        return m->spelling->reason;
    return status_reason(status);
}

const struct http_error *h1_write_response(struct h1_codec *c, const struct header_map *m, unsigned status,
                                           const struct h1_framing *f)
{
    size_t bound = head_bound(m) + (m->spelling ? m->spelling->reason.len : 0);
    char *start = h1_room(c, bound);
    if (!start)
        return &http_error_out_of_memory;
    char *p = start;
    if (status == 200 && !c->http_10 && WEIR_LIKELY(!m->spelling)) {
        p = PUT_LIT(p, "HTTP/1.1 200 OK\r\n");
    } else {
        p = c->http_10 && c->settings.accept_http_10 ? PUT_LIT(p, "HTTP/1.0 ") : PUT_LIT(p, "HTTP/1.1 ");
        *p++ = (char)('0' + status / 100);
        *p++ = (char)('0' + status / 10 % 10);
        *p++ = (char)('0' + status % 10);
        *p++ = ' ';
        p = PUT_LIT(put(p, reason_of(m, status)), "\r\n");
    }
    return finish_head(c, start, p, m, f, bound);
}

/* What a filter may have spoilt: a request line must stay one line of three parts. */
static bool request_line_valid(const struct h1_codec *c, struct slice method, struct slice target)
{
    if (!header_name_valid(method) || target.len == 0)
        return false;
    if (chars_skip_visible(target.ptr, target.ptr + target.len) != target.ptr + target.len)
        return false;
    if (c->connect_request)
        return chars_host_valid(target);
    return target.ptr[0] == '/' || (target.len == 1 && target.ptr[0] == '*');
}

const struct http_error *h1_write_request(struct h1_codec *c, const struct header_map *m,
                                          const struct h1_framing *f)
{
    struct slice method = header_map_get_id(m, HDR_METHOD);
    struct slice authority = header_map_get_id(m, HDR_AUTHORITY);
    struct slice host = authority.ptr ? authority : header_map_get_id(m, HDR_HOST);
    struct slice target = c->connect_request ? host : header_map_get_id(m, HDR_PATH);
    if (!request_line_valid(c, method, target) || !host.ptr || !chars_host_valid(host))
        return &http_error_bad_outgoing_head;
    size_t bound = head_bound(m) + host.len;
    char *start = h1_room(c, bound);
    if (!start)
        return &http_error_out_of_memory;
    char *p = put(start, method);
    *p++ = ' ';
    p = PUT_LIT(put(p, target), " HTTP/1.1\r\n");
    return finish_head(c, start, p, m, f, bound);
}

const struct http_error *h1_write_trailers(struct h1_codec *c, const struct header_map *m)
{
    static const struct h1_framing none = {.body = H1_SEND_CHUNKED};
    size_t bound = head_bound(m);
    char *start = h1_room(c, bound);
    if (!start)
        return &http_error_out_of_memory;
    char *p = PUT_LIT(start, "0\r\n");
    if (c->settings.enable_trailers) {
        p = put_fields(p, c, m, &none);
        if (!p)
            return &http_error_bad_outgoing_head;
    }
    p = PUT_LIT(p, "\r\n");
    WEIR_ASSERT((size_t)(p - start) <= bound);
    return h1_room_put(c, (size_t)(p - start)) ? NULL : &http_error_out_of_memory;
}
