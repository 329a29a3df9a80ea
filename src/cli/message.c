/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages and their text form. What is read here passes the same checks as what a peer sends.
 */
#include "cli/message.h"

#include "base/assert.h"
#include "cli/limits.h"
#include "http/status.h"

#include <stdarg.h>
#include <stdio.h>

/* Headers, trailers, what a plugin writes over and over: an arena frees nothing. */
#define ARENA_BYTES_MAX (64u << 20)

static bool fail(struct message_error *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct message_error *error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->text, sizeof(error->text), fmt, args);
    va_end(args);
    return false;
}

void message_init(struct message *m)
{
    arena_init(&m->arena, ARENA_BYTES_MAX, NULL);
    header_map_init(&m->headers, &m->arena, CLI_HEADERS_MAX, CLI_HEADERS_BYTES);
    header_map_init(&m->trailers, &m->arena, CLI_HEADERS_MAX, CLI_HEADERS_BYTES);
    strbuf_init(&m->body, CLI_BODY_BYTES_MAX);
    m->has_trailers = false;
}

void message_fini(struct message *m)
{
    strbuf_fini(&m->body);
    arena_fini(&m->arena);
}

void message_copy(struct message *to, const struct message *from)
{
    message_fini(to);
    message_init(to);
    header_map_copy(&to->headers, &from->headers);
    header_map_copy(&to->trailers, &from->trailers);
    to->has_trailers = from->has_trailers;
    strbuf_append(&to->body, strbuf_slice(&from->body));
}

static bool added(enum header_result result, struct slice name, struct message_error *error)
{
    switch (result) {
    case HEADER_OK:
        return true;
    case HEADER_BAD_NAME:
        return fail(error, "\"" SLICE_FMT "\" is not a header name", SLICE_ARG(slice_take(name, 100)));
    case HEADER_BAD_VALUE:
        return fail(error, "the value of \"" SLICE_FMT "\" holds a control character",
                    SLICE_ARG(slice_take(name, 100)));
    default:
        return fail(error, "too many headers: at most %u, or %u bytes", CLI_HEADERS_MAX, CLI_HEADERS_BYTES);
    }
}

static bool set_id(struct message *m, enum header_id id, struct slice value, struct message_error *error)
{
    return added(header_map_set_id(&m->headers, id, value), SLICE_LIT("URL"), error);
}

bool message_set_url(struct message *m, struct slice url, struct message_error *error)
{
    struct slice scheme = SLICE_LIT("http"), rest = url;
    if (slice_starts_with_nocase(url, SLICE_LIT("https://"))) {
        scheme = SLICE_LIT("https");
        rest = slice_skip(url, sizeof("https://") - 1);
    } else if (slice_starts_with_nocase(url, SLICE_LIT("http://"))) {
        rest = slice_skip(url, sizeof("http://") - 1);
    } else if (url.len == 0 || url.ptr[0] != '/') {
        return fail(error, "\"" SLICE_FMT "\" is no URL: write http://host/path, or /path",
                    SLICE_ARG(slice_take(url, 200)));
    } else {
        if (!header_map_has_id(&m->headers, HDR_SCHEME) && !set_id(m, HDR_SCHEME, scheme, error))
            return false;
        return set_id(m, HDR_PATH, url, error);
    }
    ptrdiff_t slash = slice_find_char(rest, '/');
    struct slice host = slash < 0 ? rest : slice_take(rest, (size_t)slash);
    if (host.len == 0)
        return fail(error, "the URL has no host: write http://host/path");
    return set_id(m, HDR_SCHEME, scheme, error) && set_id(m, HDR_AUTHORITY, host, error) &&
           set_id(m, HDR_PATH, slash < 0 ? SLICE_LIT("/") : slice_skip(rest, (size_t)slash), error);
}

bool message_add(struct message *m, struct slice name, struct slice value, struct message_error *error)
{
    if (slice_eq_nocase(name, SLICE_LIT("host")))
        return added(header_map_set_id(&m->headers, HDR_AUTHORITY, value), name, error);
    if (name.len > 0 && name.ptr[0] == ':')
        return added(header_map_set(&m->headers, name, value), name, error);
    return added(header_map_add(&m->headers, name, value), name, error);
}

/* The pseudo-headers first, as codecs do. */
static void prepend_pseudo(struct message *m, const enum header_id *ids, const char *const *defaults,
                           size_t count)
{
    struct message whole;
    uint32_t cursor = 0;
    const struct header *h;
    message_init(&whole);
    for (size_t i = 0; i < count; i++) {
        struct slice value = header_map_get_id(&m->headers, ids[i]);
        header_map_set_id(&whole.headers, ids[i], value.ptr ? value : slice_str(defaults[i]));
    }
    while ((h = header_map_next(&m->headers, &cursor)))
        if (h->name.ptr[0] != ':')
            header_map_add(&whole.headers, h->name, h->value);
    header_map_copy(&whole.trailers, &m->trailers);
    whole.has_trailers = m->has_trailers;
    strbuf_append(&whole.body, strbuf_slice(&m->body));
    message_fini(m);
    *m = whole;
    m->headers.arena = &m->arena;
    m->trailers.arena = &m->arena;
}

void message_complete_request(struct message *m)
{
    static const enum header_id ids[] = {HDR_AUTHORITY, HDR_PATH, HDR_METHOD, HDR_SCHEME};
    static const char *const defaults[] = {"localhost", "/", "GET", "http"};
    prepend_pseudo(m, ids, defaults, WEIR_ARRAY_LEN(ids));
}

void message_complete_response(struct message *m)
{
    static const enum header_id ids[] = {HDR_STATUS};
    static const char *const defaults[] = {"200"};
    prepend_pseudo(m, ids, defaults, WEIR_ARRAY_LEN(ids));
}

bool message_set_status(struct message *m, unsigned status)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", status);
    return header_map_set_id(&m->headers, HDR_STATUS, slice_str(text)) == HEADER_OK;
}

unsigned message_status(const struct message *m)
{
    return status_parse(header_map_get_id(&m->headers, HDR_STATUS));
}

/* --- text --- */

/* A line without its end; the last one needs none. */
static bool next_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0)
        return false;
    ptrdiff_t end = slice_find_char(*rest, '\n');
    *line = slice_take(*rest, end < 0 ? rest->len : (size_t)end);
    *rest = slice_skip(*rest, end < 0 ? rest->len : (size_t)end + 1);
    if (line->len > 0 && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}

/* Takes what `curl -v` puts before the lines of a head; false: the line is no part of it. */
static bool strip_curl(struct slice *line, char mark)
{
    if (line->len > 0 && line->ptr[0] == '*')
        return false;
    if (line->len > 0 && line->ptr[0] == mark) {
        *line = slice_skip(*line, 1);
        if (line->len > 0 && line->ptr[0] == ' ')
            *line = slice_skip(*line, 1);
    }
    return true;
}

static bool parse_request_line(struct message *m, struct slice line, struct message_error *error)
{
    ptrdiff_t space = slice_find_char(line, ' ');
    struct slice method = space < 0 ? SLICE_LIT("GET") : slice_take(line, (size_t)space);
    struct slice target = slice_trim(space < 0 ? line : slice_skip(line, (size_t)space + 1));
    ptrdiff_t version = slice_find(target, SLICE_LIT(" HTTP/"));
    if (version >= 0)
        target = slice_trim(slice_take(target, (size_t)version));
    if (!header_name_valid(method))
        return fail(error, "the request line must be \"METHOD /path\", not \"" SLICE_FMT "\"",
                    SLICE_ARG(slice_take(line, 100)));
    return set_id(m, HDR_METHOD, method, error) && message_set_url(m, target, error);
}

static bool parse_status_line(struct message *m, struct slice line, struct message_error *error)
{
    ptrdiff_t space = slice_find_char(line, ' ');
    unsigned status = 0;
    if (slice_starts_with(line, SLICE_LIT("HTTP/")) && space > 0)
        status = status_parse(slice_take(slice_skip(line, (size_t)space + 1), 3));
    if (status < 200 || status > 599)
        return fail(error,
                    "a response begins with \"HTTP/1.1 200 OK\" (200 to 599), not with \"" SLICE_FMT "\"",
                    SLICE_ARG(slice_take(line, 100)));
    return message_set_status(m, status);
}

static bool parse_field(struct message *m, struct slice line, struct message_error *error)
{
    /* ":path: /x" begins with the colon of its name. */
    ptrdiff_t colon = slice_find_char(slice_skip(line, 1), ':');
    if (line.len < 2 || colon < 0)
        return fail(error, "\"" SLICE_FMT "\" is no header: write \"name: value\"",
                    SLICE_ARG(slice_take(line, 100)));
    struct slice name = slice_take(line, (size_t)colon + 1);
    return message_add(m, slice_trim(name), slice_trim(slice_skip(line, (size_t)colon + 2)), error);
}

/* content-length tells a body from the newline that editors put behind it. */
static bool set_body(struct message *m, struct slice rest, struct message_error *error)
{
    struct slice length = header_map_get_id(&m->headers, HDR_CONTENT_LENGTH);
    uint64_t bytes;
    if (length.ptr) {
        if (!slice_parse_u64(length, &bytes) || bytes > rest.len)
            return fail(error, "content-length is " SLICE_FMT ", the body has %zu bytes",
                        SLICE_ARG(slice_take(length, 40)), rest.len);
        rest = slice_take(rest, (size_t)bytes);
    }
    return strbuf_append(&m->body, rest) ||
           fail(error, "the body has more than %u bytes", CLI_BODY_BYTES_MAX);
}

typedef bool (*first_line_fn)(struct message *m, struct slice line, struct message_error *error);

static bool parse_text(struct message *m, struct slice text, char mark, first_line_fn first,
                       struct message_error *error)
{
    struct slice rest = text, line;
    bool begun = false;
    unsigned number = 0;
    struct message_error inner;
    while (next_line(&rest, &line)) {
        number++;
        if (!strip_curl(&line, mark))
            continue;
        if (line.len == 0 && begun)
            break;
        /* Comments of .http files, before the message. */
        if (!begun && (line.len == 0 || line.ptr[0] == '#' || slice_starts_with(line, SLICE_LIT("//"))))
            continue;
        if (!(begun ? parse_field(m, line, &inner) : first(m, line, &inner)))
            return fail(error, "line %u: %s", number, inner.text);
        begun = true;
    }
    if (!begun)
        return fail(error, "it is empty");
    return set_body(m, rest, error);
}

bool message_parse_request(struct message *m, struct slice text, struct message_error *error)
{
    if (!parse_text(m, text, '>', parse_request_line, error))
        return false;
    message_complete_request(m);
    return true;
}

bool message_parse_response(struct message *m, struct slice text, struct message_error *error)
{
    if (!parse_text(m, text, '<', parse_status_line, error))
        return false;
    message_complete_response(m);
    return true;
}
