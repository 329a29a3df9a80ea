/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin of tests/sdk/README.md in C, on sdk/c. Nothing here may be known to Weir alone.
 */
#include <wsdk.h>

#define CALLS_MAX 64 /* calls that wait for an answer at the same time */

struct root {
    struct wsdk_bytes behaviour, argument;
    uint32_t queue, counter, gauge, histogram;
    struct {
        uint32_t call, stream; /* stream 0: of the root itself */
        bool used;
    } calls[CALLS_MAX];
};

static bool is(struct wsdk_context *ctx, const char *behaviour)
{
    const struct root *root = wsdk_root_state(ctx);
    return wsdk_equal(root->behaviour, wsdk_cstr(behaviour));
}

static struct wsdk_bytes number(struct wsdk_context *ctx, uint64_t value)
{
    char *text = wsdk_temp(ctx, 24);
    return (struct wsdk_bytes){text, wsdk_format(text, 24, "%llu", (unsigned long long)value)};
}

static void split(struct wsdk_bytes text, struct wsdk_bytes *first, struct wsdk_bytes *rest)
{
    *first = wsdk_before(text, " ");
    const size_t skip = first->len < text.len ? first->len + 1 : text.len;
    *rest = (struct wsdk_bytes){text.data + skip, text.len - skip};
}

static bool vm_start(struct wsdk_context *ctx, size_t bytes)
{
    struct wsdk_bytes text = WSDK_NONE;
    wsdk_buffer_get(ctx, WSDK_VM_CONFIGURATION, 0, bytes, &text);
    wsdk_log(ctx, WSDK_INFO, "suite: vm configuration '%.*s'", WSDK_FMT(text));
    return true;
}

static bool configure(struct wsdk_context *ctx, size_t bytes)
{
    struct root *root = wsdk_state(ctx);
    struct wsdk_bytes text;
    if (wsdk_configuration(ctx, bytes, &text) != WSDK_OK)
        return false;
    wsdk_log(ctx, WSDK_INFO, "suite: configured '%.*s'", WSDK_FMT(text));
    split(wsdk_keep(ctx, text), &root->behaviour, &root->argument);
    if (is(ctx, "metrics")) {
        wsdk_metric_define(ctx, WSDK_COUNTER, WSDK_STR("suite_requests"), &root->counter);
        wsdk_metric_define(ctx, WSDK_GAUGE, WSDK_STR("suite_gauge"), &root->gauge);
        wsdk_metric_define(ctx, WSDK_HISTOGRAM, WSDK_STR("suite_size"), &root->histogram);
    } else if (is(ctx, "consume")) {
        return wsdk_queue_register(ctx, root->argument, &root->queue) == WSDK_OK;
    } else if (is(ctx, "timer") || is(ctx, "produce")) {
        return wsdk_tick_ms(ctx, 20) == WSDK_OK;
    }
    return !is(ctx, "refuse");
}

/* The consumer may be configured later than the producer. */
static bool find_queue(struct wsdk_context *ctx)
{
    struct root *root = wsdk_root_state(ctx);
    struct wsdk_bytes vm_id, name;
    split(root->argument, &vm_id, &name);
    return root->queue != 0 || wsdk_queue_resolve(ctx, vm_id, name, &root->queue) == WSDK_OK;
}

/* GET `path`; `stream` gets the answer. */
static enum wsdk_status ask(struct wsdk_context *ctx, const char *path, struct wsdk_bytes token,
                            uint32_t stream)
{
    struct root *root = wsdk_root_state(ctx);
    const struct wsdk_header headers[] = {{WSDK_STR(":method"), WSDK_STR("GET")},
                                          {WSDK_STR(":path"), wsdk_cstr(path)},
                                          {WSDK_STR(":authority"), WSDK_STR("suite")},
                                          {WSDK_STR("x-token"), token}};
    const struct wsdk_http_request request = {
        .upstream = root->argument, .headers = headers, .header_count = 4, .timeout_ms = 1000};
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (root->calls[i].used)
            continue;
        const enum wsdk_status status = wsdk_http_call(ctx, &request, &root->calls[i].call);
        root->calls[i].used = status == WSDK_OK;
        root->calls[i].stream = stream;
        return status;
    }
    return WSDK_INTERNAL_FAILURE;
}

static void tick(struct wsdk_context *ctx)
{
    if (is(ctx, "produce")) {
        if (find_queue(ctx)) {
            wsdk_tick_ms(ctx, 0);
            wsdk_log(ctx, WSDK_INFO, "suite: queue found");
        }
        return;
    }
    wsdk_tick_ms(ctx, 0);
    const enum wsdk_status status = ask(ctx, "/tick", WSDK_NONE, 0);
    if (status != WSDK_OK)
        wsdk_log(ctx, WSDK_ERROR, "suite: tick call %d", status);
}

static void queue_ready(struct wsdk_context *ctx, uint32_t queue)
{
    struct wsdk_bytes item;
    while (wsdk_queue_pop(ctx, queue, &item) == WSDK_OK)
        wsdk_log(ctx, WSDK_INFO, "suite: queue item %.*s", WSDK_FMT(item));
}

static void reply(struct wsdk_context *ctx, uint32_t status, struct wsdk_bytes details,
                  struct wsdk_bytes body, const char *suite)
{
    const struct wsdk_header header = {WSDK_STR("x-suite"), wsdk_cstr(suite)};
    wsdk_reply_send(
        ctx, &(struct wsdk_reply){
                 .status = status, .details = details, .body = body, .headers = &header, .header_count = 1});
}

static void authorized(struct wsdk_context *root, struct wsdk_context *stream, struct wsdk_bytes status)
{
    struct wsdk_bytes user = WSDK_NONE;
    wsdk_header_get(root, WSDK_CALL_RESPONSE_HEADERS, WSDK_STR("x-user"), &user);
    wsdk_effective(root, stream);
    if (wsdk_equal(status, WSDK_STR("200"))) {
        wsdk_header_add(root, WSDK_REQUEST_HEADERS, WSDK_STR("x-user"), user);
        wsdk_continue(root, WSDK_HTTP_REQUEST);
    } else {
        reply(root, 403, WSDK_STR("suite_auth"), WSDK_STR("denied"), "auth");
    }
}

static void http_call_response(struct wsdk_context *ctx, uint32_t call, size_t headers, size_t bytes,
                               size_t trailers)
{
    struct root *root = wsdk_state(ctx);
    struct wsdk_bytes status = WSDK_NONE, body = WSDK_NONE;
    (void)headers;
    (void)trailers;
    wsdk_header_get(ctx, WSDK_CALL_RESPONSE_HEADERS, WSDK_STR(":status"), &status);
    wsdk_buffer_get(ctx, WSDK_CALL_RESPONSE_BODY, 0, bytes, &body);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (!root->calls[i].used || root->calls[i].call != call)
            continue;
        root->calls[i].used = false;
        struct wsdk_context *stream = wsdk_find(ctx, root->calls[i].stream);
        if (root->calls[i].stream == 0)
            wsdk_log(ctx, WSDK_INFO, "suite: tick answer %.*s %.*s", WSDK_FMT(status), WSDK_FMT(body));
        else if (stream != NULL)
            authorized(ctx, stream, status);
    }
}

static void edit_request(struct wsdk_context *ctx, size_t count, bool end, struct wsdk_bytes path)
{
    const enum wsdk_map map = WSDK_REQUEST_HEADERS;
    wsdk_log(ctx, WSDK_INFO, "suite: request headers %zu%s", count, end ? " end" : "");
    wsdk_header_add(ctx, map, WSDK_STR("x-path"), path);
    wsdk_header_add(ctx, map, WSDK_STR("x-add"), WSDK_STR("1"));
    wsdk_header_add(ctx, map, WSDK_STR("x-add"), WSDK_STR("2"));
    wsdk_header_set(ctx, map, WSDK_STR("x-replace"), WSDK_STR("new"));
    wsdk_header_remove(ctx, map, WSDK_STR("x-remove"));
}

static void route(struct wsdk_context *ctx)
{
    struct wsdk_bytes version;
    if (wsdk_header_get(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("x-version"), &version) == WSDK_OK &&
        wsdk_equal(version, WSDK_STR("2")))
        wsdk_header_set(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("x-route"), WSDK_STR("blue"));
}

static enum wsdk_action authorize(struct wsdk_context *ctx)
{
    struct wsdk_bytes token = WSDK_NONE;
    wsdk_header_get(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("x-token"), &token);
    if (ask(ctx, "/auth", token, wsdk_id(ctx)) != WSDK_OK)
        reply(ctx, 500, WSDK_NONE, WSDK_STR("call failed"), "auth");
    return WSDK_PAUSE;
}

static enum wsdk_action request_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    const struct root *root = wsdk_root_state(ctx);
    struct wsdk_bytes path = WSDK_NONE;
    wsdk_header_get(ctx, WSDK_REQUEST_HEADERS, WSDK_STR(":path"), &path);
    if (is(ctx, "header")) {
        edit_request(ctx, count, end, path);
    } else if (is(ctx, "body")) {
        wsdk_header_remove(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("content-length"));
    } else if (is(ctx, "auth")) {
        return authorize(ctx);
    } else if (is(ctx, "route")) {
        route(ctx);
    } else if (is(ctx, "produce")) {
        const enum wsdk_status status = wsdk_queue_push(ctx, root->queue, path);
        wsdk_log(ctx, WSDK_INFO, "suite: enqueue %s", status == WSDK_OK ? "Ok" : "NotFound");
    } else if (is(ctx, "metrics")) {
        wsdk_metric_add(ctx, root->counter, 1);
        wsdk_metric_record(ctx, root->gauge, 7);
        wsdk_metric_record(ctx, root->histogram, path.len);
    } else if (is(ctx, "reply")) {
        reply(ctx, 418, WSDK_STR("suite_reply"), WSDK_STR("short and stout"), "reply");
        return WSDK_PAUSE;
    }
    return WSDK_CONTINUE;
}

static enum wsdk_action replace_body(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t bytes,
                                     bool end, const char *around)
{
    struct wsdk_bytes body = WSDK_NONE;
    if (!is(ctx, "body"))
        return WSDK_CONTINUE;
    if (!end)
        return WSDK_PAUSE;
    wsdk_buffer_get(ctx, buffer, 0, bytes, &body);
    char *text = wsdk_temp(ctx, body.len + 2);
    text[0] = around[0];
    if (body.len > 0)
        memcpy(text + 1, body.data, body.len);
    text[body.len + 1] = around[1];
    wsdk_buffer_splice(ctx, buffer, 0, bytes, (struct wsdk_bytes){text, body.len + 2});
    return WSDK_CONTINUE;
}

static enum wsdk_action request_body(struct wsdk_context *ctx, size_t bytes, bool end)
{
    return replace_body(ctx, WSDK_REQUEST_BODY, bytes, end, "[]");
}

static enum wsdk_action response_body(struct wsdk_context *ctx, size_t bytes, bool end)
{
    return replace_body(ctx, WSDK_RESPONSE_BODY, bytes, end, "<>");
}

/* Compare and swap until nobody was in between. */
static void count_requests(struct wsdk_context *ctx)
{
    const struct wsdk_bytes key = WSDK_STR("suite count");
    for (int i = 0; i < 100; i++) {
        struct wsdk_bytes value = WSDK_NONE;
        uint32_t cas = 0;
        uint64_t count = 0;
        if (wsdk_shared_get(ctx, key, &value, &cas) == WSDK_OK) {
            for (size_t at = 0; at < value.len; at++)
                count = count * 10 + (uint64_t)(value.data[at] - '0');
        }
        const struct wsdk_bytes next = number(ctx, count + 1);
        if (wsdk_shared_set(ctx, key, next, cas) == WSDK_OK) {
            wsdk_header_add(ctx, WSDK_RESPONSE_HEADERS, WSDK_STR("x-count"), next);
            return;
        }
    }
    wsdk_log(ctx, WSDK_ERROR, "suite: no swap");
}

static void show(struct wsdk_context *ctx, const char *header, struct wsdk_bytes path)
{
    struct wsdk_bytes value;
    if (wsdk_property_get(ctx, path, &value) == WSDK_OK)
        wsdk_header_add(ctx, WSDK_RESPONSE_HEADERS, wsdk_cstr(header), value);
}

static void show_properties(struct wsdk_context *ctx)
{
    struct wsdk_bytes value;
    uint64_t code;
    show(ctx, "x-request-path", WSDK_STR("request\0path"));
    show(ctx, "x-request-header", WSDK_STR("request\0headers\0x-in"));
    if (wsdk_property_u64(ctx, WSDK_STR("response\0code"), &code) == WSDK_OK)
        wsdk_header_add(ctx, WSDK_RESPONSE_HEADERS, WSDK_STR("x-response-code"), number(ctx, code));
    show(ctx, "x-plugin-root-id", WSDK_STR("plugin_root_id"));
    const bool there = wsdk_property_get(ctx, WSDK_STR("no\0such"), &value) == WSDK_OK;
    wsdk_header_add(ctx, WSDK_RESPONSE_HEADERS, WSDK_STR("x-missing"), wsdk_cstr(there ? "there" : "none"));
    wsdk_property_set(ctx, WSDK_STR("suite_state"), WSDK_STR("kept"));
    show(ctx, "x-state", WSDK_STR("suite_state"));
}

static enum wsdk_action response_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    const enum wsdk_map map = WSDK_RESPONSE_HEADERS;
    const struct root *root = wsdk_root_state(ctx);
    (void)end;
    if (is(ctx, "header")) {
        struct wsdk_bytes status = WSDK_NONE;
        wsdk_header_get(ctx, map, WSDK_STR(":status"), &status);
        wsdk_log(ctx, WSDK_INFO, "suite: response headers %zu %.*s", count, WSDK_FMT(status));
        wsdk_header_add(ctx, map, WSDK_STR("x-response"), WSDK_STR("on"));
        wsdk_header_remove(ctx, map, WSDK_STR("x-secret"));
    } else if (is(ctx, "body")) {
        wsdk_header_remove(ctx, map, WSDK_STR("content-length"));
    } else if (is(ctx, "trivial")) {
        wsdk_header_add(ctx, map, WSDK_STR("x-trivial"), WSDK_STR("1"));
    } else if (is(ctx, "shared")) {
        count_requests(ctx);
    } else if (is(ctx, "metrics")) {
        uint64_t value = 0;
        wsdk_metric_get(ctx, root->counter, &value);
        wsdk_header_add(ctx, map, WSDK_STR("x-counter"), number(ctx, value));
    } else if (is(ctx, "properties")) {
        show_properties(ctx);
    }
    return WSDK_CONTINUE;
}

static enum wsdk_action new_connection(struct wsdk_context *ctx)
{
    wsdk_log(ctx, WSDK_INFO, "suite: new connection");
    return WSDK_CONTINUE;
}

static enum wsdk_action downstream_data(struct wsdk_context *ctx, size_t bytes, bool end)
{
    struct wsdk_bytes data = WSDK_NONE;
    wsdk_buffer_get(ctx, WSDK_DOWNSTREAM_DATA, 0, bytes, &data);
    char *text = wsdk_temp(ctx, data.len + 1);
    for (size_t i = 0; i < data.len; i++)
        text[i] =
            (char)(data.data[i] >= 'a' && data.data[i] <= 'z' ? data.data[i] - 'a' + 'A' : data.data[i]);
    wsdk_buffer_splice(ctx, WSDK_DOWNSTREAM_DATA, 0, bytes, (struct wsdk_bytes){text, data.len});
    if (end)
        wsdk_log(ctx, WSDK_INFO, "suite: downstream end");
    return WSDK_CONTINUE;
}

static enum wsdk_action upstream_data(struct wsdk_context *ctx, size_t bytes, bool end)
{
    (void)end;
    if (bytes > 0)
        wsdk_buffer_prepend(ctx, WSDK_UPSTREAM_DATA, WSDK_STR("> "));
    return WSDK_CONTINUE;
}

static void downstream_close(struct wsdk_context *ctx, enum wsdk_peer peer)
{
    (void)peer;
    wsdk_log(ctx, WSDK_INFO, "suite: connection closed");
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_vm_start, vm_start)                                                                                \
    ON(on_configure, configure)                                                                              \
    ON(on_tick, tick)                                                                                        \
    ON(on_queue_ready, queue_ready)                                                                          \
    ON(on_http_call_response, http_call_response)                                                            \
    ON(on_request_headers, request_headers)                                                                  \
    ON(on_request_body, request_body)                                                                        \
    ON(on_response_headers, response_headers)                                                                \
    ON(on_response_body, response_body)                                                                      \
    ON(on_new_connection, new_connection)                                                                    \
    ON(on_downstream_data, downstream_data)                                                                  \
    ON(on_upstream_data, upstream_data)                                                                      \
    ON(on_downstream_connection_close, downstream_close)
WSDK_PLUGIN("suite", sizeof(struct root), 0, CALLBACKS);
