/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caller.c: makes the callouts that a request (header x-calls) or its configuration asks for, and logs all
 * that comes of them as "caller: ...". Commands are divided by ';', words by blanks:
 *
 *     http CLUSTER PATH [timeout=MS] [method=M] [body=TEXT] [fill=BYTES] [h:NAME=VALUE] [t:NAME=VALUE]
 *     auth CLUSTER PATH ...           as http; 200 lets the request go on with its x-user, else it is refused
 *     many COUNT CLUSTER PATH ...     as http, that often
 *     grpc UPSTREAM SERVICE METHOD MESSAGE [timeout=MS] [h:NAME=VALUE]     (@CLUSTER: as a GrpcService; %HEX)
 *     stream UPSTREAM SERVICE METHOD [h:NAME=VALUE]
 *     send ID MESSAGE|fill=BYTES | end ID MESSAGE | close ID | cancel ID | tick MS | pause | trap | effective
 * ID
 *
 * "spin" makes every later answer's callback take 8 ms; "then" runs the commands behind it in the next
 * answer's callback, "tick" in on_tick ("each MS ..." the same and never stops), "connecting" for each TCP
 * connection. A paused request or connection goes on when all its http calls are answered. Tests only.
 */
#include <wsdk.h>

#define WORDS_MAX   16
#define HEADERS_MAX 24

struct root {
    struct wsdk_bytes later;   /* for the next answer */
    struct wsdk_bytes on_tick; /* for each tick */
    struct wsdk_bytes on_connection;
    bool quiet; /* do not log each header */
    bool spin;  /* every answer takes its time */
};

struct stream {
    uint32_t waiting;
    bool paused;
    bool refused;
    bool tcp;
};

struct words {
    struct wsdk_bytes at[WORDS_MAX];
    size_t count;
};

static void run(struct wsdk_context *ctx, struct wsdk_bytes commands);

static struct wsdk_bytes after(struct wsdk_bytes text, size_t n)
{
    return n > text.len ? WSDK_NONE : (struct wsdk_bytes){text.data + n, text.len - n};
}

static struct words split(struct wsdk_bytes text)
{
    struct words words = {.count = 0};
    text = wsdk_trim(text);
    while (text.len != 0 && words.count < WORDS_MAX) {
        words.at[words.count] = wsdk_before(text, " ");
        text = wsdk_trim(after(text, words.at[words.count].len));
        words.count++;
    }
    return words;
}

static struct wsdk_bytes word(const struct words *words, size_t i)
{
    return i < words->count && !wsdk_equal(words->at[i], WSDK_STR("-")) ? words->at[i] : WSDK_NONE;
}

static uint32_t number(struct wsdk_bytes text)
{
    uint32_t value = 0;
    for (size_t i = 0; i < text.len; i++)
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    return value;
}

/* The value of "NAME=...", or NULL data. */
static struct wsdk_bytes option(const struct words *words, struct wsdk_bytes name)
{
    for (size_t i = 0; i < words->count; i++) {
        if (wsdk_starts_with(words->at[i], name) && words->at[i].len > name.len &&
            words->at[i].data[name.len] == '=')
            return after(words->at[i], name.len + 1);
    }
    return WSDK_NONE;
}

/* Words "h:NAME=VALUE", behind those in `list`. */
static size_t pairs(const struct words *words, const char *prefix, struct wsdk_header *list, size_t count)
{
    for (size_t i = 0; i < words->count && count < HEADERS_MAX; i++) {
        if (!wsdk_starts_with(words->at[i], wsdk_cstr(prefix)))
            continue;
        struct wsdk_bytes text = after(words->at[i], 2);
        struct wsdk_bytes name = wsdk_before(text, "=");
        list[count].name = name;
        list[count++].value = after(text, name.len + 1);
    }
    return count;
}

/* --- answers --- */

static void show_map(struct wsdk_context *ctx, enum wsdk_map map, const char *what)
{
    struct wsdk_headers headers;
    struct wsdk_bytes name, value;
    const struct root *root = wsdk_root_state(ctx);
    if (root->quiet || wsdk_headers_get(ctx, map, &headers) != WSDK_OK)
        return;
    while (wsdk_headers_next(&headers, &name, &value))
        wsdk_log(ctx, WSDK_INFO, "caller: %s %.*s: %.*s", what, WSDK_FMT(name), WSDK_FMT(value));
}

static void show_buffer(struct wsdk_context *ctx, enum wsdk_buffer buffer)
{
    struct wsdk_bytes text;
    const struct root *root = wsdk_root_state(ctx);
    enum wsdk_status status = wsdk_buffer_get(ctx, buffer, 0, 200, &text);
    if (!root->quiet)
        wsdk_log(ctx, WSDK_INFO, "caller: bytes %d '%.*s'", (int)status, WSDK_FMT(text));
}

static void show_status(struct wsdk_context *ctx)
{
    struct wsdk_bytes text;
    uint32_t code;
    wsdk_call_status(ctx, &code, &text);
    wsdk_log(ctx, WSDK_INFO, "caller: status %u '%.*s'", code, WSDK_FMT(text));
}

static void run_later(struct wsdk_context *ctx)
{
    struct root *root = wsdk_root_state(ctx);
    struct wsdk_bytes later = root->later;
    root->later = WSDK_NONE;
    if (later.len != 0)
        run(ctx, later);
}

static void spin(struct wsdk_context *ctx)
{
    const struct root *root = wsdk_root_state(ctx);
    uint64_t began = 0, now = 0;
    if (!root->spin || wsdk_now_ns(ctx, &began) != WSDK_OK)
        return;
    do
        wsdk_now_ns(ctx, &now);
    while (now - began < 8 * 1000 * 1000);
}

static void answered(struct wsdk_context *ctx, const struct wsdk_http_answer *answer, void *data)
{
    bool auth = data != NULL;
    spin(ctx);
    wsdk_log(ctx, WSDK_INFO, "caller: answer %u on %u: %u, %zu %zu %zu", answer->call, wsdk_id(ctx),
             answer->status, answer->header_count, answer->bytes, answer->trailer_count);
    show_map(ctx, WSDK_CALL_RESPONSE_HEADERS, "header");
    show_buffer(ctx, WSDK_CALL_RESPONSE_BODY);
    show_map(ctx, WSDK_CALL_RESPONSE_TRAILERS, "trailer");
    if (answer->status == 0)
        show_status(ctx);
    run_later(ctx);
    if (wsdk_is_root(ctx))
        return;
    struct stream *stream = wsdk_state(ctx);
    stream->waiting--;
    if (auth && answer->status != 200) {
        const struct wsdk_reply reply = {
            .status = 403, .details = WSDK_STR("caller refused"), .body = WSDK_STR("refused\n")};
        stream->refused = true;
        if (stream->tcp)
            wsdk_close(ctx, WSDK_DOWNSTREAM);
        else
            wsdk_reply_send(ctx, &reply);
        return;
    }
    struct wsdk_bytes user;
    if (auth && wsdk_header_get(ctx, WSDK_CALL_RESPONSE_HEADERS, WSDK_STR("x-user"), &user) == WSDK_OK)
        wsdk_header_set(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("x-user"), user);
    if (stream->paused && stream->waiting == 0 && !stream->refused) {
        stream->paused = false;
        wsdk_continue(ctx, stream->tcp ? WSDK_DOWNSTREAM : WSDK_HTTP_REQUEST);
    }
}

static void on_http_call_response(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                                  size_t trailer_count)
{
    wsdk_log(root, WSDK_INFO, "caller: response %u: %zu %zu %zu", call, header_count, bytes, trailer_count);
    wsdk_http_take(root, call, header_count, bytes, trailer_count);
}

static void on_grpc_receive_initial_metadata(struct wsdk_context *root, uint32_t call, size_t count)
{
    wsdk_log(root, WSDK_INFO, "caller: grpc initial %u: %zu", call, count);
    show_map(root, WSDK_GRPC_INITIAL_METADATA, "initial");
}

static void on_grpc_receive(struct wsdk_context *root, uint32_t call, size_t bytes)
{
    spin(root);
    wsdk_log(root, WSDK_INFO, "caller: grpc message %u: %zu", call, bytes);
    show_buffer(root, WSDK_GRPC_MESSAGE);
    run_later(root);
}

static void on_grpc_receive_trailing_metadata(struct wsdk_context *root, uint32_t call, size_t count)
{
    wsdk_log(root, WSDK_INFO, "caller: grpc trailing %u: %zu", call, count);
    show_map(root, WSDK_GRPC_TRAILING_METADATA, "trailing");
}

static void on_grpc_close(struct wsdk_context *root, uint32_t call, uint32_t grpc_status)
{
    wsdk_log(root, WSDK_INFO, "caller: grpc close %u: %u", call, grpc_status);
    show_status(root);
    run_later(root);
}

/* --- commands --- */

static struct wsdk_bytes body_of(struct wsdk_context *ctx, const struct words *words)
{
    struct wsdk_bytes fill = option(words, WSDK_STR("fill"));
    if (fill.data == NULL)
        return option(words, WSDK_STR("body"));
    char *bytes = wsdk_temp(ctx, number(fill));
    if (bytes == NULL)
        return WSDK_NONE;
    memset(bytes, 'x', number(fill));
    return (struct wsdk_bytes){bytes, number(fill)};
}

static void http(struct wsdk_context *ctx, const struct words *words, size_t first, bool auth)
{
    struct wsdk_bytes method = option(words, WSDK_STR("method"));
    struct wsdk_header headers[HEADERS_MAX] = {
        {WSDK_STR(":method"), method.data == NULL ? WSDK_STR("GET") : method},
        {WSDK_STR(":path"), word(words, first + 1)},
        {WSDK_STR(":authority"), WSDK_STR("caller.example")}};
    struct wsdk_header trailers[HEADERS_MAX];
    struct stream *stream = wsdk_is_root(ctx) ? NULL : wsdk_state(ctx);
    const struct wsdk_http_request request = {
        .upstream = word(words, first),
        .headers = headers,
        .header_count = pairs(words, "h:", headers, 3),
        .body = body_of(ctx, words),
        .trailers = trailers,
        .trailer_count = pairs(words, "t:", trailers, 0),
        .timeout_ms = number(option(words, WSDK_STR("timeout"))),
    };
    enum wsdk_status status = wsdk_http_call_then(ctx, &request, answered, auth ? ctx : NULL);
    if (stream != NULL && status == WSDK_OK)
        stream->waiting++;
    wsdk_log(ctx, WSDK_INFO, "caller: http %.*s: %d", WSDK_FMT(word(words, first)), (int)status);
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* "@CLUSTER" becomes a serialised GrpcService with that cluster, "%0a1b" the bytes in hex. */
static struct wsdk_bytes upstream_of(struct wsdk_context *ctx, struct wsdk_bytes text)
{
    char *proto = wsdk_temp(ctx, text.len + 3);
    if (wsdk_starts_with(text, WSDK_STR("%")) && proto != NULL) {
        for (size_t i = 0; i < text.len / 2; i++)
            proto[i] = (char)(hex(text.data[1 + 2 * i]) << 4 | hex(text.data[2 + 2 * i]));
        return (struct wsdk_bytes){proto, text.len / 2};
    }
    if (!wsdk_starts_with(text, WSDK_STR("@")) || proto == NULL || text.len > 100)
        return text;
    proto[0] = proto[2] = 0x0a; /* envoy_grpc, cluster_name */
    proto[1] = (char)(text.len + 1);
    proto[3] = (char)(text.len - 1);
    memcpy(proto + 4, text.data + 1, text.len - 1);
    return (struct wsdk_bytes){proto, text.len + 3};
}

static void grpc(struct wsdk_context *ctx, const struct words *words, bool is_stream)
{
    struct wsdk_header metadata[HEADERS_MAX];
    const struct wsdk_grpc_request request = {
        .upstream = upstream_of(ctx, word(words, 1)),
        .service = word(words, 2),
        .method = word(words, 3),
        .message = is_stream ? WSDK_NONE : word(words, 4),
        .metadata = metadata,
        .metadata_count = pairs(words, "h:", metadata, 0),
        .timeout_ms = number(option(words, WSDK_STR("timeout"))),
    };
    uint32_t id;
    enum wsdk_status status =
        is_stream ? wsdk_grpc_stream(ctx, &request, &id) : wsdk_grpc_call(ctx, &request, &id);
    wsdk_log(ctx, WSDK_INFO, "caller: %s: %d, %u", is_stream ? "stream" : "grpc", (int)status, id);
}

static bool is(const struct words *words, const char *name)
{
    return wsdk_equal(word(words, 0), wsdk_cstr(name));
}

static void one(struct wsdk_context *ctx, struct wsdk_bytes text)
{
    struct words words = split(text);
    uint32_t id = number(word(&words, 1));
    if (is(&words, "http") || is(&words, "auth")) {
        http(ctx, &words, 1, is(&words, "auth"));
    } else if (is(&words, "many")) {
        for (uint32_t i = 0; i < id; i++)
            http(ctx, &words, 2, false);
    } else if (is(&words, "grpc") || is(&words, "stream")) {
        grpc(ctx, &words, is(&words, "stream"));
    } else if (is(&words, "send") || is(&words, "end")) {
        struct wsdk_bytes fill = option(&words, WSDK_STR("fill"));
        struct wsdk_bytes message = fill.data != NULL ? body_of(ctx, &words) : word(&words, 2);
        enum wsdk_status status = wsdk_grpc_send(ctx, id, message, is(&words, "end"));
        wsdk_log(ctx, WSDK_INFO, "caller: send %u: %d", id, (int)status);
    } else if (is(&words, "close")) {
        wsdk_log(ctx, WSDK_INFO, "caller: close %u: %d", id, (int)wsdk_grpc_close(ctx, id));
    } else if (is(&words, "cancel")) {
        wsdk_log(ctx, WSDK_INFO, "caller: cancel %u: %d", id, (int)wsdk_grpc_cancel(ctx, id));
    } else if (is(&words, "tick")) {
        wsdk_tick_ms(ctx, id);
    } else if (is(&words, "quiet")) {
        ((struct root *)wsdk_root_state(ctx))->quiet = true;
    } else if (is(&words, "spin")) {
        ((struct root *)wsdk_root_state(ctx))->spin = true;
    } else if (is(&words, "trap")) {
        wsdk_trap(ctx, "asked to");
    } else if (is(&words, "pause") && !wsdk_is_root(ctx)) {
        ((struct stream *)wsdk_state(ctx))->paused = true;
    }
}

static void run(struct wsdk_context *ctx, struct wsdk_bytes commands)
{
    struct root *root = wsdk_root_state(ctx);
    while (commands.len != 0) {
        struct wsdk_bytes text = wsdk_before(commands, ";");
        commands = after(commands, text.len + 1);
        text = wsdk_trim(text);
        if (wsdk_equal(text, WSDK_STR("then"))) {
            root->later = wsdk_keep(wsdk_root(ctx), commands);
            return;
        }
        if (wsdk_equal(text, WSDK_STR("ticking"))) {
            root->on_tick = wsdk_keep(wsdk_root(ctx), commands);
            return;
        }
        if (wsdk_equal(text, WSDK_STR("connecting"))) {
            root->on_connection = wsdk_keep(wsdk_root(ctx), commands);
            return;
        }
        one(ctx, text);
    }
}

static bool on_configure(struct wsdk_context *root, size_t bytes)
{
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    run(root, text);
    return !wsdk_ends_with(text, WSDK_STR("refuse"));
}

static void on_tick(struct wsdk_context *root)
{
    const struct root *state = wsdk_root_state(root);
    run(root, state->on_tick);
}

static enum wsdk_action on_request_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    struct stream *stream = wsdk_state(ctx);
    struct wsdk_bytes text;
    (void)count;
    (void)end;
    if (wsdk_header_get(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("x-calls"), &text) == WSDK_OK)
        run(ctx, text);
    return stream->paused && stream->waiting != 0 ? WSDK_PAUSE : WSDK_CONTINUE;
}

static enum wsdk_action on_new_connection(struct wsdk_context *ctx)
{
    struct stream *stream = wsdk_state(ctx);
    const struct root *root = wsdk_root_state(ctx);
    stream->tcp = true;
    run(ctx, root->on_connection);
    return stream->paused && stream->waiting != 0 ? WSDK_PAUSE : WSDK_CONTINUE;
}

static void on_log(struct wsdk_context *ctx)
{
    wsdk_log(ctx, WSDK_INFO, "caller: log %u", wsdk_id(ctx));
}

#define SAME(name, ON) ON(name, name)
#define CALLBACKS(ON)                                                                                        \
    SAME(on_configure, ON)                                                                                   \
    SAME(on_tick, ON)                                                                                        \
    SAME(on_request_headers, ON)                                                                             \
    SAME(on_new_connection, ON)                                                                              \
    SAME(on_log, ON)                                                                                         \
    SAME(on_http_call_response, ON)                                                                          \
    SAME(on_grpc_receive_initial_metadata, ON)                                                               \
    SAME(on_grpc_receive, ON)                                                                                \
    SAME(on_grpc_receive_trailing_metadata, ON)                                                              \
    SAME(on_grpc_close, ON)
WSDK_PLUGIN("caller", sizeof(struct root), sizeof(struct stream), CALLBACKS);
