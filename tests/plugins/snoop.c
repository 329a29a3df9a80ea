/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snoop.c: tries every host function to get at headers, properties and clusters, in every callback, and logs
 * all that it is given: "snoop: PHASE WHAT: STATUS VALUE". Its configuration is a list of words: names of
 * headers, and after "cluster" names of clusters. It also writes what it can into the answer, so that a test
 * has only to look for a secret in the log and at the client. Tests only.
 */
#include <wsdk.h>

#define WORDS_MAX 8
#define SHOWN_MAX 160
#define EVIL      WSDK_STR("evil")
#define MAPS      (WSDK_CALL_RESPONSE_TRAILERS + 1)
#define PHASE_LOG "log"

struct root_state {
    struct wsdk_bytes headers[WORDS_MAX];
    struct wsdk_bytes clusters[WORDS_MAX];
    uint32_t header_count, cluster_count;
};

struct stream_state {
    char unused;
};

static void tell(struct wsdk_context *ctx, const char *phase, const char *what, struct wsdk_bytes name,
                 enum wsdk_status status, struct wsdk_bytes value)
{
    char text[SHOWN_MAX];
    size_t len = 0;
    for (size_t i = 0; i < value.len && len + 1 < sizeof(text); i++)
        text[len++] = value.data[i] >= ' ' && value.data[i] < 0x7f ? value.data[i] : '.';
    text[len] = '\0';
    wsdk_log(ctx, WSDK_INFO, "snoop: %s %s %.*s: %d %s", phase, what, WSDK_FMT(name), (int)status, text);
}

static void tell_number(struct wsdk_context *ctx, const char *phase, const char *what, int map, size_t number)
{
    wsdk_log(ctx, WSDK_INFO, "snoop: %s %s map %d: %zu", phase, what, map, number);
}

/* Reads by name, in two spellings, from every map. */
static void read_names(struct wsdk_context *ctx, const char *phase, struct wsdk_bytes name)
{
    char upper[64];
    for (size_t i = 0; i < name.len && i < sizeof(upper); i++)
        upper[i] = name.data[i] >= 'a' && name.data[i] <= 'z' ? (char)(name.data[i] - 32) : name.data[i];
    for (int map = 0; map < MAPS; map++) {
        struct wsdk_bytes value = WSDK_NONE;
        enum wsdk_status status = wsdk_header_get(ctx, (enum wsdk_map)map, name, &value);
        tell(ctx, phase, "get", name, status, value);
        value = WSDK_NONE;
        status = wsdk_header_get(ctx, (enum wsdk_map)map, (struct wsdk_bytes){upper, name.len}, &value);
        tell(ctx, phase, "get-upper", name, status, value);
    }
}

static void read_maps(struct wsdk_context *ctx, const char *phase)
{
    for (int map = 0; map < MAPS; map++) {
        struct wsdk_headers headers;
        struct wsdk_bytes name, value;
        size_t bytes = 0, count = 0;
        if (wsdk_headers_bytes(ctx, (enum wsdk_map)map, &bytes) == WSDK_OK)
            tell_number(ctx, phase, "bytes", map, bytes);
        if (wsdk_headers_get(ctx, (enum wsdk_map)map, &headers) != WSDK_OK)
            continue;
        for (; wsdk_headers_next(&headers, &name, &value); count++)
            tell(ctx, phase, "pair", name, WSDK_OK, value);
        if (count != 0)
            tell_number(ctx, phase, "pairs", map, count);
    }
}

static const char *const paths[] = {"request",
                                    "request.headers",
                                    "request.trailers",
                                    "request.headers_bytes",
                                    "request.total_size",
                                    "response",
                                    "response.headers",
                                    "response.trailers",
                                    "response.headers_bytes",
                                    "connection",
                                    "connection.id",
                                    "source",
                                    "source.address",
                                    "xds",
                                    "xds.cluster_name",
                                    "cluster_name",
                                    "metadata",
                                    "node",
                                    "xds.node",
                                    "filter_state",
                                    "upstream.address"};

static void read_properties(struct wsdk_context *ctx, const char *phase, const struct root_state *root)
{
    static const char *const prefixes[] = {"request.headers.", "request.trailers.", "response.headers.",
                                           "response.trailers."};
    char text[128];
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        for (int nul = 0; nul < 2; nul++) {
            struct wsdk_bytes value = WSDK_NONE;
            size_t len = wsdk_format(text, sizeof(text), "%s", paths[i]);
            for (size_t at = 0; nul && at < len; at++)
                text[at] = text[at] == '.' ? '\0' : text[at];
            enum wsdk_status status = wsdk_property_get(ctx, (struct wsdk_bytes){text, len}, &value);
            tell(ctx, phase, "property", wsdk_cstr(paths[i]), status, value);
        }
    }
    for (uint32_t h = 0; h < root->header_count; h++) {
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
            struct wsdk_bytes value = WSDK_NONE;
            size_t len = wsdk_format(text, sizeof(text), "%s%.*s", prefixes[i], WSDK_FMT(root->headers[h]));
            for (size_t at = 0; at < len && at < 17; at++)
                text[at] = text[at] == '.' ? '\0' : text[at];
            struct wsdk_bytes path = {text, len};
            enum wsdk_status status = wsdk_property_get(ctx, path, &value);
            tell(ctx, phase, "header-property", root->headers[h], status, value);
            tell(ctx, phase, "property-set", root->headers[h], wsdk_property_set(ctx, path, EVIL), WSDK_NONE);
        }
    }
}

/* Writes: by name, and the whole map as it was read with the hidden name on top. */
static void write_names(struct wsdk_context *ctx, const char *phase, enum wsdk_map map,
                        struct wsdk_bytes name)
{
    struct wsdk_header list[64];
    struct wsdk_headers headers;
    struct wsdk_bytes value;
    size_t count = 0;
    tell(ctx, phase, "add", name, wsdk_header_add(ctx, map, name, EVIL), WSDK_NONE);
    tell(ctx, phase, "set", name, wsdk_header_set(ctx, map, name, EVIL), WSDK_NONE);
    tell(ctx, phase, "remove", name, wsdk_header_remove(ctx, map, name), WSDK_NONE);
    if (wsdk_headers_get(ctx, map, &headers) != WSDK_OK)
        return;
    while (count < 62 && wsdk_headers_next(&headers, &list[count].name, &value))
        list[count++].value = value;
    list[count++] = (struct wsdk_header){name, EVIL};
    list[count++] = (struct wsdk_header){WSDK_STR("x-snoop"), WSDK_STR("was here")};
    tell(ctx, phase, "set-pairs", name, wsdk_headers_set(ctx, map, list, count), WSDK_NONE);
}

static void call_clusters(struct wsdk_context *ctx, const char *phase, const struct root_state *root)
{
    static const struct wsdk_header headers[] = {{WSDK_STR(":method"), WSDK_STR("GET")},
                                                 {WSDK_STR(":path"), WSDK_STR("/snoop")},
                                                 {WSDK_STR(":authority"), WSDK_STR("snoop")}};
    for (uint32_t i = 0; i < root->cluster_count; i++) {
        uint32_t call = 0;
        enum wsdk_status status = wsdk_http_call(
            ctx,
            &(struct wsdk_http_request){
                .upstream = root->clusters[i], .headers = headers, .header_count = 3, .timeout_ms = 1000},
            &call);
        tell(ctx, phase, "http_call", root->clusters[i], status, WSDK_NONE);
    }
}

static void snoop(struct wsdk_context *ctx, const char *phase, int map)
{
    const struct root_state *root = wsdk_root_state(ctx);
    read_maps(ctx, phase);
    for (uint32_t i = 0; i < root->header_count; i++)
        read_names(ctx, phase, root->headers[i]);
    read_properties(ctx, phase, root);
    for (uint32_t i = 0; map >= 0 && i < root->header_count; i++)
        write_names(ctx, phase, (enum wsdk_map)map, root->headers[i]);
    read_maps(ctx, phase);
    if (map == WSDK_REQUEST_HEADERS)
        call_clusters(ctx, phase, root);
}

static bool on_configure(struct wsdk_context *ctx, size_t bytes)
{
    struct root_state *root = wsdk_state(ctx);
    struct wsdk_bytes text;
    bool clusters = false;
    if (wsdk_configuration(ctx, bytes, &text) != WSDK_OK)
        return false;
    while (text.len != 0) {
        struct wsdk_bytes word = wsdk_before(text, " ");
        size_t step = word.len < text.len ? word.len + 1 : word.len;
        text = (struct wsdk_bytes){text.data + step, text.len - step};
        if (wsdk_equal(word, WSDK_STR("cluster")))
            clusters = true;
        else if (clusters && root->cluster_count < WORDS_MAX)
            root->clusters[root->cluster_count++] = wsdk_keep(ctx, word);
        else if (!clusters && root->header_count < WORDS_MAX)
            root->headers[root->header_count++] = wsdk_keep(ctx, word);
    }
    return true;
}

static enum wsdk_action on_request_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    struct wsdk_bytes mode = WSDK_NONE;
    (void)end;
    tell_number(ctx, "request_headers", "count", WSDK_REQUEST_HEADERS, count);
    snoop(ctx, "request_headers", WSDK_REQUEST_HEADERS);
    if (wsdk_header_get(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("x-snoop-reply"), &mode) == WSDK_OK) {
        const struct root_state *root = wsdk_root_state(ctx);
        struct wsdk_header headers[WORDS_MAX];
        for (uint32_t i = 0; i < root->header_count; i++)
            headers[i] = (struct wsdk_header){root->headers[i], EVIL};
        wsdk_reply_send(
            ctx, &(struct wsdk_reply){.status = 418, .headers = headers, .header_count = root->header_count});
    }
    return WSDK_CONTINUE;
}

static enum wsdk_action on_request_body(struct wsdk_context *ctx, size_t bytes, bool end)
{
    (void)bytes;
    (void)end;
    snoop(ctx, "request_body", -1);
    return WSDK_CONTINUE;
}

static enum wsdk_action on_request_trailers(struct wsdk_context *ctx, size_t count)
{
    tell_number(ctx, "request_trailers", "count", WSDK_REQUEST_TRAILERS, count);
    snoop(ctx, "request_trailers", WSDK_REQUEST_TRAILERS);
    return WSDK_CONTINUE;
}

static enum wsdk_action on_response_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    (void)end;
    tell_number(ctx, "response_headers", "count", WSDK_RESPONSE_HEADERS, count);
    snoop(ctx, "response_headers", WSDK_RESPONSE_HEADERS);
    return WSDK_CONTINUE;
}

static enum wsdk_action on_response_body(struct wsdk_context *ctx, size_t bytes, bool end)
{
    (void)bytes;
    (void)end;
    snoop(ctx, "response_body", -1);
    return WSDK_CONTINUE;
}

static enum wsdk_action on_response_trailers(struct wsdk_context *ctx, size_t count)
{
    tell_number(ctx, "response_trailers", "count", WSDK_RESPONSE_TRAILERS, count);
    snoop(ctx, "response_trailers", WSDK_RESPONSE_TRAILERS);
    return WSDK_CONTINUE;
}

static void on_log(struct wsdk_context *ctx)
{
    snoop(ctx, PHASE_LOG, -1);
}

#define SAME(name, ON) ON(name, name)
#define CALLBACKS(ON)                                                                                        \
    SAME(on_configure, ON)                                                                                   \
    SAME(on_request_headers, ON)                                                                             \
    SAME(on_request_body, ON)                                                                                \
    SAME(on_request_trailers, ON)                                                                            \
    SAME(on_response_headers, ON)                                                                            \
    SAME(on_response_body, ON)                                                                               \
    SAME(on_response_trailers, ON)                                                                           \
    SAME(on_log, ON)
WSDK_PLUGIN("snoop", sizeof(struct root_state), sizeof(struct stream_state), CALLBACKS);
