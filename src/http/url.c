/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path normalisation in passes over a copy, each of which only shortens or keeps, after one pass that finds
 * out whether anything is to do. A path that was normalised is the same when it is normalised again.
 */
#include "http/url.h"

#include "base/assert.h"
#include "http/chars.h"

static bool is_unreserved(char c)
{
    char l = ascii_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Characters that a normalised path holds escaped, as browsers do. */
static bool is_to_escape(char c)
{
    unsigned char u = (unsigned char)c;
    return u <= 0x20 || u >= 0x7f || c == '"' || c == '<' || c == '>' || c == '`' || c == '{' || c == '}';
}

/* The byte that the escape at p means, or -1. */
static int escaped_byte(const char *p, const char *end)
{
    if (end - p < 3 || *p != '%')
        return -1;
    int high = chars_hex(p[1]), low = chars_hex(p[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static char *put_escape(char *p, unsigned char byte)
{
    *p++ = '%';
    *p++ = "0123456789ABCDEF"[byte >> 4];
    *p++ = "0123456789ABCDEF"[byte & 15];
    return p;
}

void url_split_path(struct slice target, struct slice *path, struct slice *query)
{
    ptrdiff_t fragment = slice_find_char(target, '#');
    if (fragment >= 0)
        target = slice_take(target, (size_t)fragment);
    ptrdiff_t mark = slice_find_char(target, '?');
    *path = mark < 0 ? target : slice_take(target, (size_t)mark);
    *query = mark < 0 ? SLICE_EMPTY : slice_skip(target, (size_t)mark + 1);
}

/* Whether any pass would change the path. Errs on the side of yes. */
static bool needs_work(struct slice path)
{
    char before = 0;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '%' || c == '\\' || (before == '/' && (c == '/' || c == '.')) || is_to_escape(c))
            return true;
        before = c;
    }
    return false;
}

/* %2F, %5C -> "/", "\". Returns the new length. */
static size_t unescape_slashes(char *text, size_t len)
{
    char *to = text;
    const char *end = text + len;
    for (const char *p = text; p < end;) {
        int byte = escaped_byte(p, end);
        if (byte == '/' || byte == '\\') {
            *to++ = (char)byte;
            p += 3;
        } else {
            *to++ = *p++;
        }
    }
    return (size_t)(to - text);
}

/* Copies with unreserved characters unescaped, unsafe ones escaped, and "\" as "/". `to` has room for three
 * times the path. False: a NUL, escaped or not, which would end a string somewhere behind us. */
static bool canonical_copy(struct slice path, char *to, size_t *len)
{
    char *start = to;
    const char *end = path.ptr + path.len;
    /* Behind this an unescaped byte is not part of an escape that a stray "%" would begin ("%%30%30"). */
    const char *safe = to;
    for (const char *p = path.ptr; p < end;) {
        int byte = escaped_byte(p, end);
        if (byte == 0 || *p == '\0')
            return false;
        if (byte < 0 && *p == '%')
            safe = to + 3;
        if (byte > 0 && is_unreserved((char)byte) && to >= safe) {
            *to++ = (char)byte;
            p += 3;
        } else if (byte > 0) {
            to = memcpy(to, p, 3);
            to += 3;
            p += 3;
        } else if (is_to_escape(*p)) {
            to = put_escape(to, (unsigned char)*p++);
        } else {
            *to++ = *p == '\\' ? '/' : *p;
            p++;
        }
    }
    *len = (size_t)(to - start);
    return true;
}

/* RFC 3986 5.2.4, in place; dot segments may have parameters. The path begins with "/". */
static size_t remove_dots(char *text, size_t len)
{
    size_t to = 0;
    for (size_t i = 0; i < len;) {
        WEIR_ASSERT(text[i] == '/');
        size_t next = i + 1;
        while (next < len && text[next] != '/')
            next++;
        struct slice segment = slice_of(text + i + 1, next - i - 1);
        /* Servers that drop parameters (";x") before they look for dots would go up; so do we. */
        ptrdiff_t parameters = slice_find_char(segment, ';');
        if (parameters >= 0)
            segment = slice_take(segment, (size_t)parameters);
        bool dot = slice_eq(segment, SLICE_LIT(".")), dots = slice_eq(segment, SLICE_LIT(".."));
        if (dots) {
            while (to > 0 && text[--to] != '/')
                continue;
        } else if (!dot) {
            memmove(text + to, text + i, next - i);
            to += next - i;
        }
        /* A dot segment at the end leaves its slash. */
        if ((dot || dots) && next == len)
            text[to++] = '/';
        i = next;
    }
    return to;
}

static size_t merge_slashes(char *text, size_t len)
{
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '/' || to == 0 || text[to - 1] != '/')
            text[to++] = text[i];
    }
    return to;
}

/* All passes over `path` (no query). `text` has room for three times its length and the tail. */
static enum url_path_result apply_passes(const struct url_path_options *o, struct slice path, char *text,
                                         size_t *len)
{
    enum url_path_result result = URL_PATH_OK;
    char *work = text + 2 * path.len; /* the copy that canonical_copy reads */
    memcpy(work, path.ptr, path.len);
    *len = path.len;
    if (o->escaped_slashes != URL_SLASHES_KEEP) {
        *len = unescape_slashes(work, path.len);
        if (*len != path.len && o->escaped_slashes == URL_SLASHES_REJECT)
            return URL_PATH_REJECT;
        if (*len != path.len && o->escaped_slashes == URL_SLASHES_REDIRECT)
            result = URL_PATH_REDIRECT;
    }
    if (o->normalize) {
        /* Reading stays ahead of writing: three bytes are written for one read, from two lengths behind. */
        if (!canonical_copy(slice_of(work, *len), text, len))
            return URL_PATH_REJECT;
        *len = remove_dots(text, *len);
    } else {
        memmove(text, work, *len);
    }
    if (o->merge_slashes)
        *len = merge_slashes(text, *len);
    WEIR_ASSERT(*len > 0 && text[0] == '/');
    return result;
}

enum url_path_result url_path_apply(const struct url_path_options *o, struct slice target,
                                    struct arena *arena, struct slice *out)
{
    struct slice path, query;
    *out = target;
    url_split_path(target, &path, &query);
    size_t whole = path.len + (query.ptr ? query.len + 1 : 0);
    if (whole < target.len) {
        if (!o->strip_fragment)
            return URL_PATH_REJECT;
        *out = slice_take(target, whole);
    }
    bool any = o->normalize || o->merge_slashes || o->escaped_slashes != URL_SLASHES_KEEP;
    if (!any || path.len == 0 || path.ptr[0] != '/' || !needs_work(path))
        return URL_PATH_OK;
    size_t len, room;
    if (__builtin_mul_overflow(path.len, 3u, &room) || __builtin_add_overflow(room, whole, &room))
        return URL_PATH_NO_MEMORY;
    char *text = arena_alloc_text(arena, room);
    if (!text)
        return URL_PATH_NO_MEMORY;
    enum url_path_result result = apply_passes(o, path, text, &len);
    if (result == URL_PATH_REJECT)
        return result;
    /* "?" and the query behind the new path. */
    WEIR_ASSERT(len + whole - path.len <= room);
    memcpy(text + len, path.ptr + path.len, whole - path.len);
    *out = slice_of(text, len + whole - path.len);
    return result;
}

bool url_query_next(struct slice *rest, struct slice *name, struct slice *value)
{
    struct slice part;
    while (slice_split(rest, '&', &part)) {
        if (part.len == 0)
            continue;
        ptrdiff_t equals = slice_find_char(part, '=');
        *name = equals < 0 ? part : slice_take(part, (size_t)equals);
        *value = equals < 0 ? SLICE_EMPTY : slice_skip(part, (size_t)equals + 1);
        return true;
    }
    return false;
}

void url_split_host(struct slice authority, struct slice *host, struct slice *port)
{
    size_t colon = authority.len;
    while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')
        colon--;
    *host = authority;
    *port = SLICE_EMPTY;
    if (colon == 0 || authority.ptr[colon - 1] != ':')
        return;
    struct slice name = slice_take(authority, colon - 1);
    /* A bare IPv6 address has no port. */
    if (slice_find_char(name, ':') >= 0 && (name.ptr[0] != '[' || name.ptr[name.len - 1] != ']'))
        return;
    *host = name;
    *port = slice_skip(authority, colon);
}

struct slice url_strip_any_port(struct slice authority)
{
    struct slice host, port;
    url_split_host(authority, &host, &port);
    return host;
}

struct slice url_strip_port(struct slice authority, uint16_t wanted)
{
    struct slice host, port;
    uint64_t number;
    url_split_host(authority, &host, &port);
    return port.ptr && slice_parse_u64(port, &number) && number == wanted ? host : authority;
}

struct slice url_strip_trailing_dot(struct slice authority, struct arena *arena)
{
    struct slice host, port;
    url_split_host(authority, &host, &port);
    if (host.len == 0 || host.ptr[host.len - 1] != '.')
        return authority;
    if (host.len == authority.len)
        return slice_take(authority, host.len - 1);
    char *p = arena_alloc_text(arena, authority.len - 1);
    if (!p)
        return SLICE_EMPTY;
    memcpy(p, authority.ptr, host.len - 1);
    memcpy(p + host.len - 1, authority.ptr + host.len, authority.len - host.len);
    return slice_of(p, authority.len - 1);
}

struct slice url_encode(struct slice s, bool keep_slash, struct arena *arena)
{
    size_t room;
    if (__builtin_mul_overflow(s.len, 3u, &room))
        return SLICE_EMPTY;
    char *start = arena_alloc_text(arena, room);
    char *p = start;
    for (size_t i = 0; start && i < s.len; i++) {
        if (is_unreserved(s.ptr[i]) || (keep_slash && s.ptr[i] == '/'))
            *p++ = s.ptr[i];
        else
            p = put_escape(p, (unsigned char)s.ptr[i]);
    }
    return slice_of(start, (size_t)(p - start));
}

struct slice url_decode(struct slice s, struct arena *arena)
{
    char *start = arena_alloc_text(arena, s.len);
    char *to = start;
    const char *end = s.ptr + s.len;
    for (const char *p = s.ptr; start && p < end;) {
        int byte = escaped_byte(p, end);
        *to++ = byte >= 0 ? (char)byte : *p;
        p += byte >= 0 ? 3 : 1;
    }
    return slice_of(start, (size_t)(to - start));
}
