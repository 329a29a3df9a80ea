/* SPDX-License-Identifier: Apache-2.0 */
/*
 * add_header.c: adds fixed headers to requests and responses. It only adds: a header that is there already
 * stays, and message framing is out of its reach.
 */
#include <wsdk.h>
#include <wsdk/json.h>

/* Headers per direction: the host's own limit for a message is of this size. */
#define HEADERS_MAX 100u

struct list {
    struct wsdk_header *items;
    size_t count;
};

struct root {
    struct list request, response;
};

/* These describe the message itself; adding one would make it ambiguous. */
static const char *const framing_names[] = {"connection",
                                            "content-length",
                                            "host",
                                            "keep-alive",
                                            "proxy-connection",
                                            "te",
                                            "trailer",
                                            "transfer-encoding",
                                            "upgrade",
                                            "http2-settings",
                                            NULL};

static bool is_framing(struct wsdk_bytes name)
{
    for (const char *const *framing = framing_names; *framing != NULL; framing++) {
        if (wsdk_equal_nocase(name, wsdk_cstr(*framing)))
            return true;
    }
    return false;
}

static bool check_header(struct wsdk_json_value at, const struct wsdk_header *header)
{
    if (header->name.len != 0 && header->name.data[0] == ':')
        return wsdk_json_error(at, "pseudo-headers cannot be added");
    if (!wsdk_is_token(header->name))
        return wsdk_json_error(at, "not a header name; letters, digits and !#$%%&'*+-.^_`|~ are allowed");
    if (is_framing(header->name))
        return wsdk_json_error(at, "this header belongs to the proxy and cannot be added");
    if (!wsdk_is_field_value(header->value))
        return wsdk_json_error(at, "not a header value; no control characters, no space at the ends");
    return true;
}

static struct wsdk_bytes lower_case(struct wsdk_context *root, struct wsdk_bytes name)
{
    char *copy = wsdk_alloc(root, name.len + 1);
    for (size_t i = 0; copy != NULL && i < name.len; i++) {
        char c = name.data[i];
        copy[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return (struct wsdk_bytes){copy, copy == NULL ? 0 : name.len};
}

static void read_list(struct wsdk_context *root, struct wsdk_json_value object, struct list *list)
{
    if (!wsdk_json_exists(object) || !wsdk_json_check_object(object, NULL))
        return;
    if (wsdk_json_count(object) > HEADERS_MAX) {
        wsdk_json_error(object, "more than %u headers", HEADERS_MAX);
        return;
    }
    list->items = wsdk_alloc(root, wsdk_json_count(object) * sizeof(*list->items));
    if (list->items == NULL) {
        wsdk_json_error(object, "out of memory");
        return;
    }
    struct wsdk_json_value at = wsdk_json_first(object);
    for (; wsdk_json_exists(at); at = wsdk_json_next(at)) {
        struct wsdk_header header;
        if (!wsdk_json_name(at, &header.name) || !wsdk_json_string(at, &header.value) ||
            !check_header(at, &header))
            continue;
        header.name = lower_case(root, header.name);
        list->items[list->count++] = header;
    }
}

static bool configure(struct wsdk_context *ctx, size_t bytes)
{
    static const char *const fields[] = {"request", "response", NULL};
    struct root *root = wsdk_state(ctx);
    struct wsdk_bytes text;
    if (wsdk_configuration(ctx, bytes, &text) != WSDK_OK || text.len == 0) {
        wsdk_log(ctx, WSDK_ERROR,
                 "add-header: there is no configuration; write for example {\"response\": {\"hello\": "
                 "\"world\"}}");
        return false;
    }
    struct wsdk_json *doc = wsdk_json_parse(ctx, text);
    if (doc == NULL)
        return false;
    struct wsdk_json_value top = wsdk_json_root(doc);
    if (!wsdk_json_expect(top, WSDK_JSON_OBJECT))
        return false;
    wsdk_json_check_object(top, fields);
    read_list(ctx, wsdk_json_field(top, "request"), &root->request);
    read_list(ctx, wsdk_json_field(top, "response"), &root->response);
    if (!wsdk_json_ok(doc))
        return false;
    if (root->request.count + root->response.count == 0)
        wsdk_log(ctx, WSDK_WARN, "add-header: the configuration names no header: nothing is added");
    return true;
}

static enum wsdk_action add_all(struct wsdk_context *stream, enum wsdk_map map, const struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        enum wsdk_status status = wsdk_header_add(stream, map, list->items[i].name, list->items[i].value);
        if (status != WSDK_OK)
            wsdk_log(stream, WSDK_WARN, "add-header: the host refused header %.*s: status %d",
                     WSDK_FMT(list->items[i].name), (int)status);
    }
    return WSDK_CONTINUE;
}

static enum wsdk_action request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    const struct root *root = wsdk_root_state(stream);
    (void)count;
    (void)end;
    return add_all(stream, WSDK_REQUEST_HEADERS, &root->request);
}

static enum wsdk_action response_headers(struct wsdk_context *stream, size_t count, bool end)
{
    const struct root *root = wsdk_root_state(stream);
    (void)count;
    (void)end;
    return add_all(stream, WSDK_RESPONSE_HEADERS, &root->response);
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_configure, configure)                                                                              \
    ON(on_request_headers, request_headers)                                                                  \
    ON(on_response_headers, response_headers)
WSDK_PLUGIN("add-header", sizeof(struct root), 0, CALLBACKS);
