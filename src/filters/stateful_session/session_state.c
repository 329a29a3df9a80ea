/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing sessions. Whatever cannot be read is no session, but for a cookie that is no message:
 * that is the address itself, as older proxies wrote it (Envoy).
 */
#include "filters/stateful_session/session_state.h"

#include "base/base64.h"
#include "base/clock.h"
#include "proxy/request_cookie.h"

/* Bytes of one header's value that is written. */
#define SESSION_VALUE_MAX ((size_t)16 << 10)

static uint64_t now_seconds(void)
{
    return realtime_ns() / 1000000000;
}

bool session_is_for(const struct session_config *c, const struct header_map *headers)
{
    struct slice path = header_map_get_id(headers, HDR_PATH), own = c->path;
    if (own.len == 0 || slice_eq(own, SLICE_LIT("/")))
        return true;
    if (!slice_starts_with(path, own))
        return false;
    if (path.len == own.len || own.ptr[own.len - 1] == '/')
        return true;
    char next = path.ptr[own.len];
    return next == '/' || next == '?' || next == '#';
}

/* --- the message in a cookie: address = 1, expires = 2 --- */

struct session_message {
    struct slice address;
    uint64_t expires;
};

static bool take_varint(struct slice *in, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)in->ptr[0];
        *in = slice_skip(*in, 1);
        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static bool take_bytes(struct slice *in, uint64_t count, struct slice *out)
{
    if (count > in->len)
        return false;
    *out = slice_take(*in, (size_t)count);
    *in = slice_skip(*in, (size_t)count);
    return true;
}

/* One field; false: it is no message. */
static bool take_field(struct slice *in, struct session_message *m)
{
    enum { VARINT, EIGHT, COUNTED, FOUR = 5 };
    uint64_t tag, value;
    struct slice bytes;
    if (!take_varint(in, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    switch (tag & 7) {
    case VARINT:
        if (!take_varint(in, &value))
            return false;
        if (tag >> 3 == 2)
            m->expires = value;
        return true;
    case COUNTED:
        if (!take_varint(in, &value) || !take_bytes(in, value, &bytes))
            return false;
        if (tag >> 3 == 1)
            m->address = bytes;
        return true;
    case EIGHT:
        return take_bytes(in, 8, &bytes);
    case FOUR:
        return take_bytes(in, 4, &bytes);
    default:
        return false;
    }
}

static struct slice address_of(struct slice text)
{
    struct session_message m = {.address = SLICE_EMPTY};
    struct slice rest = text;
    while (rest.len > 0) {
        if (!take_field(&rest, &m))
            return text;
    }
    return m.expires != 0 && now_seconds() > m.expires ? SLICE_EMPTY : m.address;
}

static void put_varint(struct strbuf *out, uint64_t n)
{
    for (; n > 127; n >>= 7)
        strbuf_append_char(out, (char)(n | 128));
    strbuf_append_char(out, (char)n);
}

/* --- headers --- */

/* Padded and of the standard alphabet, as Envoy takes it. */
static struct slice decode(struct slice text, struct arena *arena)
{
    bool other = text.len % 4 != 0 || slice_find_char(text, '-') >= 0 || slice_find_char(text, '_') >= 0;
    return other ? SLICE_EMPTY : base64_decode(text, arena);
}

/* "<address>;UV:<the upstream's value>", both in base64. */
static struct slice open_envelope(const struct session_config *c, struct header_map *headers,
                                  struct arena *arena)
{
    const struct header *h = header_map_find(headers, c->name);
    struct slice rest = h ? h->value : SLICE_EMPTY, part, address = SLICE_EMPTY, value = SLICE_EMPTY;
    bool first = true;
    while (slice_split(&rest, ';', &part)) {
        if (part.len == 0)
            continue;
        if (first)
            address = decode(part, arena);
        else if (slice_starts_with(part, SLICE_LIT("UV:"))) {
            value = decode(slice_skip(part, 3), arena);
            break;
        }
        first = false;
    }
    /* What is in there goes to the upstream as a header: it must be one. */
    if (value.len == 0 || !header_value_valid(value))
        return SLICE_EMPTY;
    (void)header_map_set(headers, c->name, value);
    return address;
}

struct slice session_read(const struct session_config *c, struct header_map *headers, struct arena *arena)
{
    const struct header *h;
    struct slice text = SLICE_EMPTY;
    switch (c->kind) {
    case SESSION_COOKIE:
        text = address_of(decode(request_cookie(headers, c->name), arena));
        break;
    case SESSION_HEADER:
        h = header_map_find(headers, c->name);
        text = h ? decode(h->value, arena) : SLICE_EMPTY;
        break;
    case SESSION_ENVELOPE:
        text = open_envelope(c, headers, arena);
        break;
    case SESSION_NONE:
        break;
    }
    return text.len > 0 ? text : (struct slice){0};
}

static void write_cookie(const struct session_config *c, struct slice address, struct strbuf *out)
{
    struct strbuf message;
    strbuf_init(&message, SESSION_VALUE_MAX);
    strbuf_append_char(&message, 1 << 3 | 2);
    put_varint(&message, address.len);
    strbuf_append(&message, address);
    if (c->ttl_seconds) {
        strbuf_append_char(&message, 2 << 3);
        put_varint(&message, now_seconds() + c->ttl_seconds);
    }
    strbuf_printf(out, SLICE_FMT "=\"", SLICE_ARG(c->name));
    base64_append(strbuf_slice(&message), out);
    strbuf_append_char(out, '"');
    if (c->ttl_seconds)
        strbuf_printf(out, "; Max-Age=%llu", (unsigned long long)c->ttl_seconds);
    strbuf_append(out, c->suffix);
    strbuf_fini(&message);
}

/* false: there is no one value to put into it. */
static bool write_envelope(const struct session_config *c, const struct header_map *headers,
                           struct slice address, struct strbuf *out)
{
    const struct header *h = header_map_find(headers, c->name);
    if (!h || header_map_find_next(headers, c->name, h))
        return false;
    base64_append(address, out);
    strbuf_append_str(out, ";UV:");
    return base64_append(h->value, out);
}

bool session_write(const struct session_config *c, struct header_map *headers, struct slice address,
                   struct slice asked, struct arena *arena)
{
    struct strbuf text;
    bool changed = !asked.ptr || !slice_eq(asked, address);
    bool write = c->kind == SESSION_ENVELOPE || changed;
    strbuf_init(&text, SESSION_VALUE_MAX);
    if (write && c->kind == SESSION_COOKIE)
        write_cookie(c, address, &text);
    else if (write && c->kind == SESSION_ENVELOPE)
        write = write_envelope(c, headers, address, &text);
    else if (write)
        base64_append(address, &text);
    struct slice value = write && !text.failed ? arena_dup(arena, strbuf_slice(&text)) : SLICE_EMPTY;
    strbuf_fini(&text);
    if (value.len == 0)
        return changed;
    if (c->kind == SESSION_COOKIE)
        (void)header_map_add(headers, header_id_name(HDR_SET_COOKIE), value);
    else
        (void)header_map_set(headers, c->name, value);
    return changed;
}
