/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c: makes the host calls that a request asks for and tells what came back. The request header x-probe
 * holds commands divided by "; ", each a name and its arguments divided by spaces, e.g. x-probe: property
 * source.address; shared_set k v 0; @response_headers pairs 2; @log header 0 :path
 * "@PHASE" moves a command to another callback; @last_request_body and @last_response_body are those of the
 * body's end, and come before @request_body and @response_body. Each result is the response header x-probe-N
 * (N counts commands from 1), "STATUS" or "STATUS value", as far as response headers are still to come, and
 * always the log line "probe: N COMMAND: STATUS value". With "trace" in its configuration it logs each
 * callback: "probe: call NAME CONTEXT ARGUMENTS". Tests only; it never changes what it was not asked to
 * change.
 */
#include <wsdk.h>

#define COMMANDS_MAX 16
#define WORDS_MAX    6
#define RESULT_BYTES 1024

#define PHASES(X)                                                                                            \
    X(configure)                                                                                             \
    X(request_headers)                                                                                       \
    X(request_body)                                                                                          \
    X(request_trailers)                                                                                      \
    X(response_headers)                                                                                      \
    X(response_body)                                                                                         \
    X(response_trailers)                                                                                     \
    X(last_request_body)                                                                                     \
    X(last_response_body)                                                                                    \
    X(log)                                                                                                   \
    X(done)                                                                                                  \
    X(delete)                                                                                                \
    X(answer)                                                                                                \
    X(tick)                                                                                                  \
    X(queue_ready)

enum phase {
#define X(name) PHASE_##name,
    PHASES(X)
#undef X
        PHASE_COUNT
};

static const char *const phase_names[] = {
#define X(name) #name,
    PHASES(X)
#undef X
};

struct command {
    enum phase phase;
    uint32_t word_count;
    struct wsdk_bytes words[WORDS_MAX];
};

struct state {
    struct command commands[COMMANDS_MAX];
    struct wsdk_bytes results[COMMANDS_MAX]; /* waiting for the response headers */
    uint32_t count;
    bool trace;
    int32_t action; /* what `pause` left for the running callback */
};

/* A command: writes its value to `out` (of RESULT_BYTES) and returns the host's status. */
typedef enum wsdk_status (*probe_fn)(struct wsdk_context *ctx, const struct command *command, char *out);

static uint64_t number(const struct command *command, uint32_t word)
{
    uint64_t total = 0;
    if (word >= command->word_count)
        return 0;
    struct wsdk_bytes text = command->words[word];
    bool negative = text.len != 0 && text.data[0] == '-';
    for (size_t i = negative ? 1 : 0; i < text.len; i++)
        total = total * 10 + (uint64_t)(text.data[i] - '0');
    return negative ? 0 - total : total;
}

/* A word of the command; "-" stands for nothing. */
static struct wsdk_bytes word(const struct command *command, uint32_t i)
{
    if (i >= command->word_count || wsdk_equal(command->words[i], WSDK_STR("-")))
        return WSDK_NONE;
    return command->words[i];
}

/* Bytes that a header can show: printable text as it is, the rest as \xNN. */
static void show(char *out, struct wsdk_bytes value)
{
    size_t len = 0;
    for (size_t i = 0; i < value.len && len + 8 < RESULT_BYTES; i++) {
        char c = value.data[i];
        if (c >= ' ' && c < 0x7f)
            out[len++] = c;
        else
            len += wsdk_format(out + len, RESULT_BYTES - len, "\\x%02x", (unsigned)(unsigned char)c);
    }
    out[len] = '\0';
}

static void show_u64(char *out, uint64_t value)
{
    wsdk_format(out, RESULT_BYTES, "%llu", (unsigned long long)value);
}

/* "source.address" to the path that the ABI wants; with a "/" in it, segments end there and not at dots. */
static struct wsdk_bytes path(struct wsdk_context *ctx, struct wsdk_bytes dotted)
{
    char mark = wsdk_before(dotted, "/").len == dotted.len ? '.' : '/';
    char *copy = wsdk_temp(ctx, dotted.len + 1);
    for (size_t i = 0; copy != NULL && i < dotted.len; i++)
        copy[i] = dotted.data[i] == mark ? '\0' : dotted.data[i];
    return (struct wsdk_bytes){copy, copy == NULL ? 0 : dotted.len};
}

#define PROBE(name)                                                                                          \
    static enum wsdk_status probe_##name(struct wsdk_context *ctx, const struct command *command, char *out)

PROBE(context)
{
    (void)command;
    wsdk_format(out, RESULT_BYTES, "%u root %u", wsdk_id(ctx), wsdk_id(wsdk_root(ctx)));
    return WSDK_OK;
}

PROBE(log)
{
    (void)out;
    return wsdk_log_bytes(ctx, (enum wsdk_level)number(command, 1), word(command, 2));
}

PROBE(log_level)
{
    enum wsdk_level level;
    (void)command;
    enum wsdk_status status = wsdk_log_level(ctx, &level);
    show_u64(out, level);
    return status;
}

PROBE(time)
{
    uint64_t now_ns;
    (void)command;
    enum wsdk_status status = wsdk_now_ns(ctx, &now_ns);
    show_u64(out, now_ns);
    return status;
}

PROBE(tick)
{
    (void)out;
    return wsdk_tick_ms(ctx, (uint32_t)number(command, 1));
}

PROBE(property)
{
    struct wsdk_bytes value;
    enum wsdk_status status = wsdk_property_get(ctx, path(ctx, word(command, 1)), &value);
    show(out, value);
    return status;
}

PROBE(property_u64)
{
    uint64_t value;
    enum wsdk_status status = wsdk_property_u64(ctx, path(ctx, word(command, 1)), &value);
    show_u64(out, value);
    return status;
}

PROBE(property_set)
{
    (void)out;
    return wsdk_property_set(ctx, path(ctx, word(command, 1)), word(command, 2));
}

PROBE(header)
{
    struct wsdk_bytes value;
    enum wsdk_status status =
        wsdk_header_get(ctx, (enum wsdk_map)number(command, 1), word(command, 2), &value);
    show(out, value);
    return status;
}

PROBE(header_add)
{
    (void)out;
    return wsdk_header_add(ctx, (enum wsdk_map)number(command, 1), word(command, 2), word(command, 3));
}

PROBE(header_set)
{
    (void)out;
    return wsdk_header_set(ctx, (enum wsdk_map)number(command, 1), word(command, 2), word(command, 3));
}

PROBE(header_remove)
{
    (void)out;
    return wsdk_header_remove(ctx, (enum wsdk_map)number(command, 1), word(command, 2));
}

PROBE(map_bytes)
{
    size_t bytes;
    enum wsdk_status status = wsdk_headers_bytes(ctx, (enum wsdk_map)number(command, 1), &bytes);
    show_u64(out, bytes);
    return status;
}

/* All entries: "3 :status=200 a=b a=c". */
PROBE(pairs)
{
    struct wsdk_headers headers;
    struct wsdk_bytes name, value;
    enum wsdk_status status = wsdk_headers_get(ctx, (enum wsdk_map)number(command, 1), &headers);
    size_t len = wsdk_format(out, RESULT_BYTES, "%zu", headers.count);
    while (wsdk_headers_next(&headers, &name, &value))
        len += wsdk_format(out + len, RESULT_BYTES - len, " %.*s=%.*s", WSDK_FMT(name), WSDK_FMT(value));
    return status;
}

/* Write the map back as it is, with one entry more. */
PROBE(pairs_set)
{
    enum wsdk_map map = (enum wsdk_map)number(command, 1);
    struct wsdk_headers headers;
    struct wsdk_header list[64];
    size_t n = 0;
    (void)out;
    enum wsdk_status status = wsdk_headers_get(ctx, map, &headers);
    if (status != WSDK_OK)
        return status;
    while (n < 63 && wsdk_headers_next(&headers, &list[n].name, &list[n].value))
        n++;
    list[n++] = (struct wsdk_header){word(command, 2), word(command, 3)};
    return wsdk_headers_set(ctx, map, list, n);
}

PROBE(buffer)
{
    struct wsdk_bytes data;
    enum wsdk_status status = wsdk_buffer_get(ctx, (enum wsdk_buffer)number(command, 1),
                                              (size_t)number(command, 2), (size_t)number(command, 3), &data);
    show(out, data);
    return status;
}

PROBE(buffer_bytes)
{
    size_t bytes;
    enum wsdk_status status = wsdk_buffer_bytes(ctx, (enum wsdk_buffer)number(command, 1), &bytes);
    show_u64(out, bytes);
    return status;
}

PROBE(buffer_replace)
{
    (void)out;
    return wsdk_buffer_replace(ctx, (enum wsdk_buffer)number(command, 1), word(command, 2));
}

PROBE(buffer_prepend)
{
    (void)out;
    return wsdk_buffer_prepend(ctx, (enum wsdk_buffer)number(command, 1), word(command, 2));
}

PROBE(buffer_append)
{
    (void)out;
    return wsdk_buffer_append(ctx, (enum wsdk_buffer)number(command, 1), word(command, 2));
}

PROBE(buffer_splice)
{
    (void)out;
    return wsdk_buffer_splice(ctx, (enum wsdk_buffer)number(command, 1), (size_t)number(command, 2),
                              (size_t)number(command, 3), word(command, 4));
}

PROBE(shared_get)
{
    struct wsdk_bytes value;
    uint32_t cas;
    enum wsdk_status status = wsdk_shared_get(ctx, word(command, 1), &value, &cas);
    wsdk_format(out, RESULT_BYTES, "%.*s cas %u", WSDK_FMT(value), cas);
    return status;
}

PROBE(shared_set)
{
    (void)out;
    return wsdk_shared_set(ctx, word(command, 1), word(command, 2), (uint32_t)number(command, 3));
}

PROBE(queue_register)
{
    uint32_t queue;
    enum wsdk_status status = wsdk_queue_register(ctx, word(command, 1), &queue);
    show_u64(out, queue);
    return status;
}

PROBE(queue_resolve)
{
    uint32_t queue;
    enum wsdk_status status = wsdk_queue_resolve(ctx, word(command, 1), word(command, 2), &queue);
    show_u64(out, queue);
    return status;
}

PROBE(queue_push)
{
    (void)out;
    return wsdk_queue_push(ctx, (uint32_t)number(command, 1), word(command, 2));
}

PROBE(queue_pop)
{
    struct wsdk_bytes value;
    enum wsdk_status status = wsdk_queue_pop(ctx, (uint32_t)number(command, 1), &value);
    show(out, value);
    return status;
}

PROBE(metric_define)
{
    uint32_t metric;
    enum wsdk_status status =
        wsdk_metric_define(ctx, (enum wsdk_metric_kind)number(command, 1), word(command, 2), &metric);
    show_u64(out, metric);
    return status;
}

PROBE(metric_add)
{
    (void)out;
    return wsdk_metric_add(ctx, (uint32_t)number(command, 1), (int64_t)number(command, 2));
}

PROBE(metric_record)
{
    (void)out;
    return wsdk_metric_record(ctx, (uint32_t)number(command, 1), number(command, 2));
}

PROBE(metric_get)
{
    uint64_t value;
    enum wsdk_status status = wsdk_metric_get(ctx, (uint32_t)number(command, 1), &value);
    show_u64(out, value);
    return status;
}

PROBE(foreign)
{
    struct wsdk_bytes result;
    enum wsdk_status status = wsdk_foreign(ctx, word(command, 1), word(command, 2), &result);
    show(out, result);
    return status;
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* A foreign function's argument in lower-case hex. */
PROBE(foreign_hex)
{
    struct wsdk_bytes hex = word(command, 2), result;
    char *bytes = wsdk_temp(ctx, hex.len / 2 + 1);
    if (bytes == NULL)
        return WSDK_INTERNAL_FAILURE;
    for (size_t i = 0; i < hex.len / 2; i++)
        bytes[i] = (char)(hex_digit(hex.data[2 * i]) * 16 + hex_digit(hex.data[2 * i + 1]));
    enum wsdk_status status =
        wsdk_foreign(ctx, word(command, 1), (struct wsdk_bytes){bytes, hex.len / 2}, &result);
    show(out, result);
    return status;
}

PROBE(reply)
{
    const struct wsdk_header header = {WSDK_STR("x-probe-reply"), WSDK_STR("yes")};
    struct state *state = wsdk_state(ctx);
    (void)out;
    state->action = WSDK_PAUSE;
    return wsdk_reply_send(ctx, &(struct wsdk_reply){.status = (uint32_t)number(command, 1),
                                                     .details = WSDK_STR("probe"),
                                                     .body = word(command, 2),
                                                     .headers = &header,
                                                     .header_count = 1});
}

PROBE(pause)
{
    struct state *state = wsdk_state(ctx);
    (void)out;
    state->action = command->word_count > 1 ? (int32_t)number(command, 1) : WSDK_PAUSE;
    return WSDK_OK;
}

PROBE(continue)
{
    (void)out;
    return wsdk_continue(ctx, (enum wsdk_stream_kind)number(command, 1));
}

PROBE(close)
{
    (void)out;
    return wsdk_close(ctx, (enum wsdk_stream_kind)number(command, 1));
}

PROBE(effective)
{
    struct wsdk_context *other = wsdk_find(ctx, (uint32_t)number(command, 1));
    (void)out;
    return other == NULL ? WSDK_NOT_FOUND : wsdk_effective(ctx, other);
}

PROBE(done)
{
    (void)command;
    (void)out;
    return wsdk_done(ctx);
}

PROBE(http_call)
{
    const struct wsdk_header headers[] = {{WSDK_STR(":method"), WSDK_STR("GET")},
                                          {WSDK_STR(":path"), word(command, 2)},
                                          {WSDK_STR(":authority"), WSDK_STR("probe.example")}};
    const struct wsdk_http_request request = {
        .upstream = word(command, 1), .headers = headers, .header_count = 3, .timeout_ms = 1000};
    uint32_t call;
    enum wsdk_status status = wsdk_http_call(ctx, &request, &call);
    show_u64(out, call);
    return status;
}

PROBE(grpc_call)
{
    const struct wsdk_grpc_request request = {.upstream = word(command, 1),
                                              .service = WSDK_STR("probe.Service"),
                                              .method = WSDK_STR("Method"),
                                              .timeout_ms = 1000};
    uint32_t call;
    enum wsdk_status status = wsdk_grpc_call(ctx, &request, &call);
    show_u64(out, call);
    return status;
}

PROBE(grpc_stream)
{
    const struct wsdk_grpc_request request = {
        .upstream = word(command, 1), .service = WSDK_STR("probe.Service"), .method = WSDK_STR("Method")};
    uint32_t stream;
    enum wsdk_status status = wsdk_grpc_stream(ctx, &request, &stream);
    show_u64(out, stream);
    return status;
}

PROBE(grpc_send)
{
    (void)out;
    return wsdk_grpc_send(ctx, (uint32_t)number(command, 1), word(command, 2), true);
}

PROBE(grpc_cancel)
{
    (void)out;
    return wsdk_grpc_cancel(ctx, (uint32_t)number(command, 1));
}

PROBE(grpc_close)
{
    (void)out;
    return wsdk_grpc_close(ctx, (uint32_t)number(command, 1));
}

PROBE(call_status)
{
    struct wsdk_bytes message;
    uint32_t code;
    (void)command;
    enum wsdk_status status = wsdk_call_status(ctx, &code, &message);
    wsdk_format(out, RESULT_BYTES, "%u %.*s", code, WSDK_FMT(message));
    return status;
}

#define PROBES(X)                                                                                            \
    X(context)                                                                                               \
    X(log)                                                                                                   \
    X(log_level)                                                                                             \
    X(time)                                                                                                  \
    X(tick)                                                                                                  \
    X(property)                                                                                              \
    X(property_u64)                                                                                          \
    X(property_set)                                                                                          \
    X(header)                                                                                                \
    X(header_add)                                                                                            \
    X(header_set)                                                                                            \
    X(header_remove)                                                                                         \
    X(map_bytes)                                                                                             \
    X(pairs)                                                                                                 \
    X(pairs_set)                                                                                             \
    X(buffer)                                                                                                \
    X(buffer_bytes)                                                                                          \
    X(buffer_replace)                                                                                        \
    X(buffer_prepend)                                                                                        \
    X(buffer_append)                                                                                         \
    X(buffer_splice)                                                                                         \
    X(shared_get)                                                                                            \
    X(shared_set)                                                                                            \
    X(queue_register)                                                                                        \
    X(queue_resolve)                                                                                         \
    X(queue_push)                                                                                            \
    X(queue_pop)                                                                                             \
    X(metric_define)                                                                                         \
    X(metric_add)                                                                                            \
    X(metric_record)                                                                                         \
    X(metric_get)                                                                                            \
    X(foreign)                                                                                               \
    X(foreign_hex)                                                                                           \
    X(reply)                                                                                                 \
    X(pause)                                                                                                 \
    X(continue)                                                                                              \
    X(close)                                                                                                 \
    X(effective)                                                                                             \
    X(done)                                                                                                  \
    X(http_call)                                                                                             \
    X(grpc_call)                                                                                             \
    X(grpc_stream)                                                                                           \
    X(grpc_send)                                                                                             \
    X(grpc_cancel)                                                                                           \
    X(grpc_close)                                                                                            \
    X(call_status)

static const struct {
    const char *name;
    probe_fn run;
} probes[] = {
#define X(name) {#name, probe_##name},
    PROBES(X)
#undef X
};

static struct wsdk_bytes skip(struct wsdk_bytes text, size_t n)
{
    return n >= text.len ? WSDK_NONE : (struct wsdk_bytes){text.data + n, text.len - n};
}

static void read_phase(struct command *command, struct wsdk_bytes name)
{
    for (int i = 0; i < PHASE_COUNT; i++) {
        if (wsdk_equal(name, wsdk_cstr(phase_names[i])))
            command->phase = (enum phase)i;
    }
}

/* `text` must live as long as the context. */
static void read_commands(struct state *state, struct wsdk_bytes text, enum phase phase)
{
    for (; text.len != 0 && state->count < COMMANDS_MAX; text = skip(text, 1)) {
        struct wsdk_bytes part = wsdk_before(text, ";"), rest = wsdk_trim(part);
        struct command *command = &state->commands[state->count++];
        *command = (struct command){.phase = phase};
        while (rest.len != 0 && command->word_count < WORDS_MAX) {
            struct wsdk_bytes next = wsdk_before(rest, " ");
            if (next.data[0] == '@')
                read_phase(command, skip(next, 1));
            else
                command->words[command->word_count++] = next;
            rest = wsdk_trim(skip(rest, next.len));
        }
        text = skip(text, part.len);
    }
}

static void answer(struct wsdk_context *ctx, uint32_t i)
{
    const struct state *state = wsdk_state(ctx);
    char name[24];
    size_t len = wsdk_format(name, sizeof(name), "x-probe-%u", i + 1);
    wsdk_header_set(ctx, WSDK_RESPONSE_HEADERS, (struct wsdk_bytes){name, len}, state->results[i]);
}

static void run_command(struct wsdk_context *ctx, uint32_t i)
{
    struct state *state = wsdk_state(ctx);
    const struct command *command = &state->commands[i];
    struct wsdk_bytes name = word(command, 0);
    char out[RESULT_BYTES] = "", line[RESULT_BYTES + 16];
    enum wsdk_status status = WSDK_UNIMPLEMENTED;
    bool known = false;
    for (size_t p = 0; p < sizeof(probes) / sizeof(probes[0]); p++) {
        if (wsdk_equal(name, wsdk_cstr(probes[p].name))) {
            known = true;
            status = probes[p].run(ctx, command, out);
        }
    }
    if (!known)
        wsdk_format(out, sizeof(out), "unknown probe");
    size_t len = wsdk_format(line, sizeof(line), "%d%s%s", (int)status, out[0] == '\0' ? "" : " ", out);
    wsdk_log(ctx, WSDK_INFO, "probe: %u %.*s: %s", i + 1, WSDK_FMT(name), line);
    state->results[i] = wsdk_keep(ctx, wsdk_trim((struct wsdk_bytes){line, len}));
}

/* Run the commands of a phase; results of earlier ones become response headers as soon as there are some. */
static int32_t run(struct wsdk_context *ctx, enum phase phase)
{
    struct state *state = wsdk_state(ctx);
    state->action = WSDK_CONTINUE;
    for (uint32_t i = 0; i < state->count; i++) {
        if (state->commands[i].phase == phase)
            run_command(ctx, i);
    }
    for (uint32_t i = 0; phase == PHASE_response_headers && i < state->count; i++) {
        if (state->results[i].data != NULL)
            answer(ctx, i);
    }
    return state->action;
}

static void trace(struct wsdk_context *ctx, const char *name, size_t a, size_t b)
{
    const struct state *root = wsdk_root_state(ctx);
    if (root->trace)
        wsdk_log(ctx, WSDK_INFO, "probe: call %s %u %zu %zu", name, wsdk_id(ctx), a, b);
}

static bool on_vm_start(struct wsdk_context *root, size_t bytes)
{
    struct wsdk_bytes text = WSDK_NONE;
    if (bytes != 0)
        wsdk_buffer_get(root, WSDK_VM_CONFIGURATION, 0, bytes, &text);
    wsdk_log(root, WSDK_INFO, "probe: vm_start %u %zu '%.*s'", wsdk_id(root), bytes, WSDK_FMT(text));
    return true;
}

static bool on_configure(struct wsdk_context *root, size_t bytes)
{
    struct state *state = wsdk_state(root);
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    text = wsdk_keep(root, text);
    wsdk_log(root, WSDK_INFO, "probe: configure %u %zu '%.*s'", wsdk_id(root), bytes, WSDK_FMT(text));
    if (wsdk_starts_with(text, WSDK_STR("trace"))) {
        state->trace = true;
        text = wsdk_trim(skip(text, 6));
    }
    read_commands(state, text, PHASE_configure);
    run(root, PHASE_configure);
    return true;
}

static void on_tick(struct wsdk_context *root)
{
    trace(root, "tick", 0, 0);
    run(root, PHASE_tick);
}

static void on_queue_ready(struct wsdk_context *root, uint32_t queue)
{
    trace(root, "queue_ready", queue, 0);
    run(root, PHASE_queue_ready);
}

static void on_context_create(struct wsdk_context *ctx)
{
    trace(ctx, "context_create", wsdk_is_root(ctx) ? 0 : wsdk_id(wsdk_root(ctx)), 0);
}

static enum wsdk_action on_request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    struct wsdk_bytes text;
    trace(stream, "request_headers", count, end);
    if (wsdk_header_get(stream, WSDK_REQUEST_HEADERS, WSDK_STR("x-probe"), &text) == WSDK_OK)
        read_commands(wsdk_state(stream), wsdk_keep(stream, text), PHASE_request_headers);
    return (enum wsdk_action)run(stream, PHASE_request_headers);
}

static enum wsdk_action on_response_headers(struct wsdk_context *stream, size_t count, bool end)
{
    trace(stream, "response_headers", count, end);
    return (enum wsdk_action)run(stream, PHASE_response_headers);
}

#define BODY_CALLBACK(name)                                                                                  \
    static enum wsdk_action on_##name(struct wsdk_context *stream, size_t size, bool end)                    \
    {                                                                                                        \
        trace(stream, #name, size, end);                                                                     \
        if (end)                                                                                             \
            run(stream, PHASE_last_##name);                                                                  \
        return (enum wsdk_action)run(stream, PHASE_##name);                                                  \
    }
#define TRAILERS_CALLBACK(name)                                                                              \
    static enum wsdk_action on_##name(struct wsdk_context *stream, size_t size)                              \
    {                                                                                                        \
        trace(stream, #name, size, 0);                                                                       \
        return (enum wsdk_action)run(stream, PHASE_##name);                                                  \
    }

BODY_CALLBACK(request_body)
TRAILERS_CALLBACK(request_trailers)
BODY_CALLBACK(response_body)
TRAILERS_CALLBACK(response_trailers)

static void on_http_call_response(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                                  size_t trailer_count)
{
    wsdk_log(root, WSDK_INFO, "probe: http_call_response %u %zu %zu %zu", call, header_count, bytes,
             trailer_count);
    run(root, PHASE_answer);
}

static void on_log(struct wsdk_context *ctx)
{
    trace(ctx, "log", 0, 0);
    run(ctx, PHASE_log);
}

static bool on_done(struct wsdk_context *ctx)
{
    trace(ctx, "done", 0, 0);
    return run(ctx, PHASE_done) == WSDK_CONTINUE;
}

static void on_delete(struct wsdk_context *ctx)
{
    trace(ctx, "delete", 0, 0);
    run(ctx, PHASE_delete);
}

#define SAME(name, ON) ON(name, name)
#define CALLBACKS(ON)                                                                                        \
    SAME(on_context_create, ON)                                                                              \
    SAME(on_vm_start, ON)                                                                                    \
    SAME(on_configure, ON)                                                                                   \
    SAME(on_tick, ON)                                                                                        \
    SAME(on_queue_ready, ON)                                                                                 \
    SAME(on_request_headers, ON)                                                                             \
    SAME(on_request_body, ON)                                                                                \
    SAME(on_request_trailers, ON)                                                                            \
    SAME(on_response_headers, ON)                                                                            \
    SAME(on_response_body, ON)                                                                               \
    SAME(on_response_trailers, ON)                                                                           \
    SAME(on_http_call_response, ON)                                                                          \
    SAME(on_log, ON)                                                                                         \
    SAME(on_done, ON)                                                                                        \
    SAME(on_delete, ON)
WSDK_PLUGIN("probe", sizeof(struct state), sizeof(struct state), CALLBACKS);
