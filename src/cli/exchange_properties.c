/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of a stream in `plugin run`: first what the user gave, then what the message tells, then what
 * the plugin set. Typed as Envoy serialises them (ABI 2.3).
 */
#include "base/assert.h"
#include "cli/cli.h"
#include "cli/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES 1024

/* Segments end with NUL; as text they are divided by dots. */
static bool dotted(struct pw_slice path, char text[PATH_BYTES])
{
    while (path.len > 0 && path.ptr[path.len - 1] == '\0')
        path.len--;
    if (path.len >= PATH_BYTES)
        return false;
    for (size_t i = 0; i < path.len; i++)
        text[i] = path.ptr[i] ? path.ptr[i] : '.';
    text[path.len] = '\0';
    return true;
}

static enum pw_status from_json(const json_t *value, struct pw_value *out)
{
    struct pw_pair pairs[64];
    size_t count = 0;
    const char *key;
    json_t *item;
    switch (json_typeof(value)) {
    case JSON_STRING:
        pw_value_copy(out, (struct pw_slice){json_string_value(value), json_string_length(value)});
        return PW_STATUS_OK;
    case JSON_INTEGER:
        pw_value_i64(out, json_integer_value(value));
        return PW_STATUS_OK;
    case JSON_REAL:
        pw_value_f64(out, json_real_value(value));
        return PW_STATUS_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        pw_value_bool(out, json_is_true(value));
        return PW_STATUS_OK;
    case JSON_OBJECT:
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
        {
            if (count == WEIR_ARRAY_LEN(pairs) || !json_is_string(item))
                return PW_STATUS_SERIALIZATION_FAILURE;
            pairs[count++] =
                (struct pw_pair){{key, strlen(key)}, {json_string_value(item), json_string_length(item)}};
        }
        pw_value_map(out, pairs, count);
        return PW_STATUS_OK;
    default:
        return PW_STATUS_SERIALIZATION_FAILURE;
    }
}

static enum pw_status give(struct pw_value *out, struct slice text)
{
    if (!text.ptr)
        return PW_STATUS_NOT_FOUND;
    pw_value_copy(out, (struct pw_slice){text.ptr, text.len});
    return PW_STATUS_OK;
}

static enum pw_status give_map(struct pw_value *out, const struct header_map *map)
{
    struct pw_pair *pairs = calloc(map->count + 1, sizeof(*pairs));
    size_t count = 0;
    uint32_t cursor = 0;
    if (!pairs)
        return PW_STATUS_INTERNAL_FAILURE;
    for (const struct header *h; (h = header_map_next(map, &cursor));)
        pairs[count++] = (struct pw_pair){{h->name.ptr, h->name.len}, {h->value.ptr, h->value.len}};
    pw_value_map(out, pairs, count);
    free(pairs);
    return PW_STATUS_OK;
}

static enum pw_status header_property(const struct header_map *map, struct slice name, struct pw_value *out)
{
    const struct header *h = header_map_find(map, name);
    return give(out, h ? h->value : SLICE_EMPTY);
}

static enum pw_status path_property(const struct message *m, bool query, bool whole, struct pw_value *out)
{
    struct slice path = header_map_get_id(&m->headers, HDR_PATH);
    ptrdiff_t mark = slice_find_char(path, '?');
    if (whole || !path.ptr)
        return give(out, path);
    if (query)
        return give(out, mark < 0 ? SLICE_LIT("") : slice_skip(path, (size_t)mark + 1));
    return give(out, mark < 0 ? path : slice_take(path, (size_t)mark));
}

static enum pw_status request_property(const struct exchange *x, struct slice name, struct pw_value *out)
{
    static const struct {
        const char *name;
        enum header_id id;
    } fields[] = {{"host", HDR_AUTHORITY},  {"method", HDR_METHOD},        {"scheme", HDR_SCHEME},
                  {"id", HDR_X_REQUEST_ID}, {"useragent", HDR_USER_AGENT}, {"referer", HDR_REFERER}};
    const struct message *m = &x->halves[EXCHANGE_REQUEST].message;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fields); i++)
        if (slice_eq(name, slice_str(fields[i].name)))
            return give(out, header_map_get_id(&m->headers, fields[i].id));
    if (slice_eq(name, SLICE_LIT("path")))
        return path_property(m, false, true, out);
    if (slice_eq(name, SLICE_LIT("url_path")))
        return path_property(m, false, false, out);
    if (slice_eq(name, SLICE_LIT("query")))
        return path_property(m, true, false, out);
    if (slice_eq(name, SLICE_LIT("protocol")))
        return give(out, SLICE_LIT("HTTP/1.1"));
    if (slice_eq(name, SLICE_LIT("headers")))
        return give_map(out, &m->headers);
    if (slice_starts_with(name, SLICE_LIT("headers.")))
        return header_property(&m->headers, slice_skip(name, 8), out);
    if (slice_eq(name, SLICE_LIT("size"))) {
        pw_value_i64(out, (int64_t)x->test->request.body.len);
        return PW_STATUS_OK;
    }
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status response_property(const struct exchange *x, struct slice name, struct pw_value *out)
{
    const struct message *m = &x->halves[EXCHANGE_RESPONSE].message;
    if (!x->responding)
        return PW_STATUS_NOT_FOUND;
    if (slice_eq(name, SLICE_LIT("code"))) {
        pw_value_i64(out, message_status(m));
        return PW_STATUS_OK;
    }
    if (slice_eq(name, SLICE_LIT("code_details")))
        return give(out, x->answered ? slice_str(x->reply_details) : SLICE_LIT("via_upstream"));
    if (slice_eq(name, SLICE_LIT("headers")))
        return give_map(out, &m->headers);
    if (slice_starts_with(name, SLICE_LIT("headers.")))
        return header_property(&m->headers, slice_skip(name, 8), out);
    if (slice_eq(name, SLICE_LIT("size"))) {
        pw_value_i64(out, (int64_t)x->halves[EXCHANGE_RESPONSE].out.len);
        return PW_STATUS_OK;
    }
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status fixed_property(const char *path, struct pw_value *out)
{
    static const struct {
        const char *path;
        const char *text; /* NULL: the number counts */
        int64_t number;
    } fixed[] = {
        {"source.address", "127.0.0.1:50000", 0},
        {"source.port", NULL, 50000},
        {"destination.address", "127.0.0.1:80", 0},
        {"destination.port", NULL, 80},
        {"connection.id", NULL, 1},
        {"upstream.address", "127.0.0.1:8000", 0},
        {"upstream.port", NULL, 8000},
        {"connection.mtls", NULL, -1},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fixed); i++) {
        if (strcmp(path, fixed[i].path) != 0)
            continue;
        if (fixed[i].text)
            return give(out, slice_str(fixed[i].text));
        if (fixed[i].number < 0)
            pw_value_bool(out, false);
        else
            pw_value_i64(out, fixed[i].number);
        return PW_STATUS_OK;
    }
    return PW_STATUS_NOT_FOUND;
}

enum pw_status exchange_root_property(void *ctx, struct pw_slice path, struct pw_value *out)
{
    const struct sandbox *box = ctx;
    char text[PATH_BYTES];
    const json_t *given = dotted(path, text) ? json_object_get(box->cases->properties, text) : NULL;
    return given ? from_json(given, out) : PW_STATUS_NOT_FOUND;
}

enum pw_status exchange_property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    struct exchange *x = ctx;
    char text[PATH_BYTES];
    enum pw_status status = exchange_root_property(x->box, path, out);
    if (status != PW_STATUS_NOT_FOUND || !dotted(path, text))
        return status;
    struct slice name = slice_str(text);
    if (!x->test->is_tcp && slice_starts_with(name, SLICE_LIT("request.")))
        return request_property(x, slice_skip(name, 8), out);
    if (!x->test->is_tcp && slice_starts_with(name, SLICE_LIT("response.")))
        return response_property(x, slice_skip(name, 9), out);
    const json_t *set = json_object_get(x->properties, text);
    return set ? from_json(set, out) : fixed_property(text, out);
}

enum pw_status exchange_property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    struct exchange *x = ctx;
    char text[PATH_BYTES];
    if (!dotted(path, text) || json_object_size(x->properties) >= 1000)
        return PW_STATUS_INTERNAL_FAILURE;
    if (json_object_set_new(x->properties, text, cli_json_string(slice_of(value.ptr, value.len))) != 0)
        return PW_STATUS_INTERNAL_FAILURE;
    return PW_STATUS_OK;
}
