/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.c: does one bad thing in one callback, as it is told: "ACTION:CALLBACK", several divided by spaces,
 * by the plugin's configuration (each stream), the VM's configuration (on_vm_start) or the request header
 * x-hostile (this stream). Tests only; a word that it does not know refuses the configuration, so no test
 * passes by a typo. On the null engine it traps where Wasm would, and leaves out what would take the process
 * down.
 */
#include <stdlib.h>
#include <wsdk.h>

#define PHASES(X)                                                                                            \
    X(on_root_create)                                                                                        \
    X(on_vm_start)                                                                                           \
    X(on_configure)                                                                                          \
    X(on_tick)                                                                                               \
    X(on_queue_ready)                                                                                        \
    X(on_root_done)                                                                                          \
    X(on_root_delete)                                                                                        \
    X(on_context_create)                                                                                     \
    X(on_request_headers)                                                                                    \
    X(on_request_body)                                                                                       \
    X(on_request_trailers)                                                                                   \
    X(on_response_headers)                                                                                   \
    X(on_response_body)                                                                                      \
    X(on_response_trailers)                                                                                  \
    X(on_log)                                                                                                \
    X(on_done)                                                                                               \
    X(on_delete)

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

#define COMMANDS_MAX 8

struct command {
    uint8_t action, phase;
};

struct script {
    struct command commands[COMMANDS_MAX];
    uint32_t count;
};

struct state {
    struct script script;
};

/* What an action leaves as the callback's result. */
#define AS_USUAL UINT32_MAX
#define WILD     0x7ffffff1u

typedef uint32_t (*action_fn)(struct wsdk_context *ctx, enum phase phase);

/* The map and the body that a callback could touch. */
static enum wsdk_map map_of(enum phase phase)
{
    switch (phase) {
    case PHASE_on_request_trailers:
        return WSDK_REQUEST_TRAILERS;
    case PHASE_on_response_headers:
    case PHASE_on_response_body:
        return WSDK_RESPONSE_HEADERS;
    case PHASE_on_response_trailers:
        return WSDK_RESPONSE_TRAILERS;
    default:
        return WSDK_REQUEST_HEADERS;
    }
}

static bool is_response(enum phase phase)
{
    return phase == PHASE_on_response_headers || phase == PHASE_on_response_body ||
           phase == PHASE_on_response_trailers;
}

static void report(struct wsdk_context *ctx, const char *what, const char *detail, enum wsdk_status status)
{
    wsdk_log(ctx, WSDK_WARN, "hostile: %s %s: status %d", what, detail, (int)status);
}

__attribute__((noinline)) static void hostile_inner(struct wsdk_context *ctx)
{
    wsdk_trap(ctx, "hostile: trap");
}

__attribute__((noinline)) static void hostile_outer(struct wsdk_context *ctx)
{
    hostile_inner(ctx);
    __asm__ volatile("" ::: "memory"); /* no tail call: a test looks for both names in the backtrace */
}

static uint32_t do_trap(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    hostile_outer(ctx);
    return AS_USUAL;
}

static uint32_t do_loop(struct wsdk_context *ctx, enum phase phase)
{
    volatile bool for_ever = true;
    (void)ctx;
    (void)phase;
    while (for_ever)
        continue;
    return AS_USUAL;
}

/* Never stays in the guest for long: the limit must hold across host calls too. */
static uint32_t do_loop_calls(struct wsdk_context *ctx, enum phase phase)
{
    volatile bool for_ever = true;
    enum wsdk_level level;
    (void)phase;
    while (for_ever)
        wsdk_log_level(ctx, &level);
    return AS_USUAL;
}

/* Keeps every limit of a callback, and takes all the time that it can. */
static uint32_t do_spin(struct wsdk_context *ctx, enum phase phase)
{
    uint64_t began = 0, now = 0;
    (void)phase;
    wsdk_now_ns(ctx, &began);
    do
        wsdk_now_ns(ctx, &now);
    while (now - began < 8 * 1000 * 1000);
    return AS_USUAL;
}

static uint32_t do_alloc(struct wsdk_context *ctx, enum phase phase)
{
    unsigned mib = 0;
    volatile char *at;
    (void)phase;
#ifndef __wasm__
    return wsdk_trap(ctx, "hostile: no memory limit on the null engine"), AS_USUAL;
#endif
    for (; (at = malloc(1024 * 1024)) != NULL; mib++)
        at[1024 * 512] = 1;
    wsdk_log(ctx, WSDK_WARN, "hostile: out of memory after %u MiB", mib);
    return AS_USUAL;
}

__attribute__((noinline)) static unsigned recurse(volatile char *above, unsigned depth)
{
    volatile char here[256];
    here[0] = above == NULL ? 0 : above[0];
    return depth == 0 ? (unsigned char)here[0] : recurse(here, depth - 1) + 1;
}

static uint32_t do_recurse(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
#ifndef __wasm__
    return wsdk_trap(ctx, "hostile: no stack limit on the null engine"), AS_USUAL;
#endif
    wsdk_log(ctx, WSDK_WARN, "hostile: came back from %u", recurse(NULL, UINT32_MAX));
    return AS_USUAL;
}

static uint32_t do_oob(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
#ifndef __wasm__
    return wsdk_trap(ctx, "hostile: no bounds on the null engine"), AS_USUAL;
#else
    volatile const uint32_t *wild = (const uint32_t *)0xfffffff0u;
    wsdk_log(ctx, WSDK_WARN, "hostile: read %u", *wild);
    return AS_USUAL;
#endif
}

static uint32_t do_divide(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
#ifndef __wasm__
    return wsdk_trap(ctx, "hostile: a division by zero would kill the process"), AS_USUAL;
#endif
    volatile uint32_t zero = 0, seven = 7; /* both, or the compiler knows better */
    wsdk_log(ctx, WSDK_WARN, "hostile: divided to %u", seven / zero);
    return AS_USUAL;
}

static uint32_t do_pause(struct wsdk_context *ctx, enum phase phase)
{
    (void)ctx;
    (void)phase;
    return WSDK_PAUSE;
}

static uint32_t do_false(struct wsdk_context *ctx, enum phase phase)
{
    (void)ctx;
    (void)phase;
    return 0;
}

static uint32_t do_return_wild(struct wsdk_context *ctx, enum phase phase)
{
    (void)ctx;
    (void)phase;
    return WILD;
}

static void reply(struct wsdk_context *ctx, uint32_t status, struct wsdk_bytes body, struct wsdk_bytes name,
                  struct wsdk_bytes value)
{
    const struct wsdk_header header = {name, value};
    report(ctx, "reply", "",
           wsdk_reply_send(ctx, &(struct wsdk_reply){.status = status,
                                                     .details = WSDK_STR("hostile"),
                                                     .body = body,
                                                     .headers = &header,
                                                     .header_count = name.len != 0}));
}

static uint32_t do_reply(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    reply(ctx, 418, WSDK_STR("first\n"), WSDK_STR("x-reply"), WSDK_STR("first"));
    return AS_USUAL;
}

static uint32_t do_two_replies(struct wsdk_context *ctx, enum phase phase)
{
    do_reply(ctx, phase);
    reply(ctx, 451, WSDK_STR("second\n"), WSDK_STR("x-reply"), WSDK_STR("second"));
    return AS_USUAL;
}

static uint32_t do_reply_trap(struct wsdk_context *ctx, enum phase phase)
{
    do_reply(ctx, phase);
    return do_trap(ctx, phase);
}

static uint32_t do_reply_bad(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    reply(ctx, 99999, WSDK_STR("bad\n"), WSDK_STR("x-reply"), WSDK_STR("a\r\nx-smuggled: 1"));
    return AS_USUAL;
}

/* Framing in the headers of a reply. */
static uint32_t do_reply_framing(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    reply(ctx, 418, WSDK_STR("framing\n"), WSDK_STR("content-length"), WSDK_STR("1"));
    return AS_USUAL;
}

static uint32_t do_close(struct wsdk_context *ctx, enum phase phase)
{
    report(ctx, "close", "", wsdk_close(ctx, is_response(phase) ? WSDK_HTTP_RESPONSE : WSDK_HTTP_REQUEST));
    return AS_USUAL;
}

static uint32_t do_continue(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    report(ctx, "continue", "request", wsdk_continue(ctx, WSDK_HTTP_REQUEST));
    report(ctx, "continue", "response", wsdk_continue(ctx, WSDK_HTTP_RESPONSE));
    return AS_USUAL;
}

struct evil {
    const char *label;
    struct wsdk_bytes name, value;
};

static void write_evil(struct wsdk_context *ctx, enum wsdk_map map, const struct evil *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct wsdk_header header = {list[i].name, list[i].value};
        report(ctx, "add", list[i].label, wsdk_header_add(ctx, map, header.name, header.value));
        report(ctx, "set", list[i].label, wsdk_header_set(ctx, map, header.name, header.value));
        if (map == WSDK_REQUEST_TRAILERS || map == WSDK_RESPONSE_TRAILERS)
            report(ctx, "set_pairs", list[i].label, wsdk_headers_set(ctx, map, &header, 1));
    }
}

static uint32_t do_crlf(struct wsdk_context *ctx, enum phase phase)
{
    const struct evil list[] = {
        {"value-crlf", WSDK_STR("x-evil"), WSDK_STR("a\r\nx-smuggled: 1")},
        {"value-lf", WSDK_STR("x-evil"), WSDK_STR("a\nx-smuggled: 1")},
        {"value-cr", WSDK_STR("x-evil"), WSDK_STR("a\rx-smuggled: 1")},
        {"value-nul", WSDK_STR("x-evil"), WSDK_STR("a\0b")},
        {"name-crlf", WSDK_STR("x-evil: 1\r\nx-smuggled"), WSDK_STR("1")},
        {"name-space", WSDK_STR("x-evil x"), WSDK_STR("1")},
        {"name-colon", WSDK_STR("x-evil:x"), WSDK_STR("1")},
        {"name-empty", WSDK_STR(""), WSDK_STR("1")},
        {"name-nul", WSDK_STR("x-evil\0"), WSDK_STR("1")},
    };
    write_evil(ctx, map_of(phase), list, sizeof(list) / sizeof(list[0]));
    return AS_USUAL;
}

static uint32_t do_framing(struct wsdk_context *ctx, enum phase phase)
{
    const struct evil list[] = {
        {"content-length", WSDK_STR("content-length"), WSDK_STR("3")},
        {"transfer-encoding", WSDK_STR("transfer-encoding"), WSDK_STR("chunked")},
        {"connection", WSDK_STR("connection"), WSDK_STR("close, x-evil")},
        {"upgrade", WSDK_STR("upgrade"), WSDK_STR("websocket")},
        {"te", WSDK_STR("te"), WSDK_STR("trailers")},
        {"host", WSDK_STR("host"), WSDK_STR("evil.example")},
    };
    write_evil(ctx, map_of(phase), list, sizeof(list) / sizeof(list[0]));
    return AS_USUAL;
}

static uint32_t do_framing_remove(struct wsdk_context *ctx, enum phase phase)
{
    enum wsdk_map map = map_of(phase);
    report(ctx, "remove", "content-length", wsdk_header_remove(ctx, map, WSDK_STR("content-length")));
    report(ctx, "remove", "transfer-encoding", wsdk_header_remove(ctx, map, WSDK_STR("transfer-encoding")));
    return AS_USUAL;
}

static uint32_t do_pseudo_remove(struct wsdk_context *ctx, enum phase phase)
{
    static const char *const names[] = {":method", ":path", ":authority", ":scheme", ":status"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        report(ctx, "remove", names[i], wsdk_header_remove(ctx, map_of(phase), wsdk_cstr(names[i])));
    return AS_USUAL;
}

static uint32_t do_pseudo_bad(struct wsdk_context *ctx, enum phase phase)
{
    const struct evil request[] = {
        {":method", WSDK_STR(":method"), WSDK_STR("G T")},
        {":path", WSDK_STR(":path"), WSDK_STR("/a HTTP/1.1\r\nx-smuggled: 1")},
        {":path-space", WSDK_STR(":path"), WSDK_STR("/a b")},
        {":path-empty", WSDK_STR(":path"), WSDK_STR("")},
        {":evil", WSDK_STR(":evil"), WSDK_STR("1")},
    };
    const struct evil response[] = {
        {":status-word", WSDK_STR(":status"), WSDK_STR("abc")},
        {":status-long", WSDK_STR(":status"), WSDK_STR("99999")},
        {":status-100", WSDK_STR(":status"), WSDK_STR("100")},
        {":evil", WSDK_STR(":evil"), WSDK_STR("1")},
    };
    if (is_response(phase))
        write_evil(ctx, map_of(phase), response, sizeof(response) / sizeof(response[0]));
    else
        write_evil(ctx, map_of(phase), request, sizeof(request) / sizeof(request[0]));
    return AS_USUAL;
}

/* The whole map away, and one with each pseudo-header twice. */
static uint32_t do_pairs_clear(struct wsdk_context *ctx, enum phase phase)
{
    report(ctx, "set_pairs", "nothing", wsdk_headers_set(ctx, map_of(phase), NULL, 0));
    return AS_USUAL;
}

static uint32_t do_pairs_double(struct wsdk_context *ctx, enum phase phase)
{
    const struct wsdk_header request[] = {{WSDK_STR(":method"), WSDK_STR("GET")},
                                          {WSDK_STR(":path"), WSDK_STR("/first")},
                                          {WSDK_STR(":path"), WSDK_STR("/second")},
                                          {WSDK_STR(":authority"), WSDK_STR("first.example")},
                                          {WSDK_STR(":authority"), WSDK_STR("second.example")}};
    const struct wsdk_header response[] = {{WSDK_STR(":status"), WSDK_STR("200")},
                                           {WSDK_STR(":status"), WSDK_STR("201")}};
    if (is_response(phase))
        report(ctx, "set_pairs", "double", wsdk_headers_set(ctx, map_of(phase), response, 2));
    else
        report(ctx, "set_pairs", "double", wsdk_headers_set(ctx, map_of(phase), request, 5));
    return AS_USUAL;
}

static uint32_t do_many_headers(struct wsdk_context *ctx, enum phase phase)
{
    enum wsdk_status status = WSDK_OK;
    unsigned i = 0;
    for (; i < 20000 && status == WSDK_OK; i++) {
        char name[32];
        size_t len = wsdk_format(name, sizeof(name), "x-many-%u", i);
        status = wsdk_header_add(ctx, map_of(phase), (struct wsdk_bytes){name, len}, WSDK_STR("value"));
    }
    wsdk_log(ctx, WSDK_WARN, "hostile: %u headers, then status %d", i, (int)status);
    return AS_USUAL;
}

static struct wsdk_bytes large(struct wsdk_context *ctx, size_t bytes)
{
    char *data = wsdk_temp(ctx, bytes);
    if (data != NULL)
        memset(data, 'x', bytes);
    return (struct wsdk_bytes){data, data == NULL ? 0 : bytes};
}

static uint32_t do_huge_header(struct wsdk_context *ctx, enum phase phase)
{
    report(ctx, "add", "8 MiB",
           wsdk_header_add(ctx, map_of(phase), WSDK_STR("x-huge"), large(ctx, 8 * 1024 * 1024)));
    return AS_USUAL;
}

static uint32_t do_body_grow(struct wsdk_context *ctx, enum phase phase)
{
    enum wsdk_buffer buffer = is_response(phase) ? WSDK_RESPONSE_BODY : WSDK_REQUEST_BODY;
    struct wsdk_bytes data = large(ctx, 1024 * 1024);
    enum wsdk_status status = WSDK_OK;
    unsigned mib = 0;
    for (; mib < 512 && status == WSDK_OK; mib++)
        status = wsdk_buffer_append(ctx, buffer, data);
    wsdk_log(ctx, WSDK_WARN, "hostile: body grown by %u MiB, then status %d", mib, (int)status);
    return AS_USUAL;
}

static uint32_t do_log_flood(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    for (unsigned i = 0; i < 10000; i++)
        wsdk_log(ctx, WSDK_WARN, "hostile: flood %u\nwith a second line", i);
    wsdk_log_bytes(ctx, WSDK_WARN, large(ctx, 4 * 1024 * 1024));
    return AS_USUAL;
}

static uint32_t do_shared_flood(struct wsdk_context *ctx, enum phase phase)
{
    struct wsdk_bytes data = large(ctx, 64 * 1024);
    enum wsdk_status status = WSDK_OK;
    uint32_t i = 0, queue = 0, metric;
    (void)phase;
    for (; i < 20000 && status == WSDK_OK; i++)
        status = wsdk_shared_set(ctx, (struct wsdk_bytes){(const char *)&i, sizeof(i)}, data, 0);
    wsdk_log(ctx, WSDK_WARN, "hostile: %u shared values, then status %d", i, (int)status);
    status = wsdk_queue_register(ctx, WSDK_STR("hostile"), &queue);
    for (i = 0; i < 20000 && status == WSDK_OK; i++)
        status = wsdk_queue_push(ctx, queue, data);
    wsdk_log(ctx, WSDK_WARN, "hostile: %u items queued, then status %d", i, (int)status);
    status = WSDK_OK;
    for (i = 0; i < 20000 && status == WSDK_OK; i++) {
        char name[32];
        size_t len = wsdk_format(name, sizeof(name), "hostile_%u", i);
        status = wsdk_metric_define(ctx, WSDK_COUNTER, (struct wsdk_bytes){name, len}, &metric);
    }
    wsdk_log(ctx, WSDK_WARN, "hostile: %u metrics, then status %d", i, (int)status);
    return AS_USUAL;
}

/* Every call that a phase could forbid. */
static uint32_t do_wrong_phase(struct wsdk_context *ctx, enum phase phase)
{
    struct wsdk_bytes value;
    (void)phase;
    for (int map = WSDK_REQUEST_HEADERS; map <= WSDK_CALL_RESPONSE_TRAILERS; map++) {
        char label[24];
        wsdk_format(label, sizeof(label), "map %d", map);
        report(ctx, "header_get", label, wsdk_header_get(ctx, (enum wsdk_map)map, WSDK_STR("x-a"), &value));
        report(ctx, "header_add", label,
               wsdk_header_add(ctx, (enum wsdk_map)map, WSDK_STR("x-wrong-phase"), WSDK_STR("1")));
    }
    for (int buffer = WSDK_REQUEST_BODY; buffer <= WSDK_FOREIGN_ARGUMENTS; buffer++) {
        char label[24];
        wsdk_format(label, sizeof(label), "buffer %d", buffer);
        report(ctx, "buffer_get", label, wsdk_buffer_get(ctx, (enum wsdk_buffer)buffer, 0, 10, &value));
        report(ctx, "buffer_append", label,
               wsdk_buffer_append(ctx, (enum wsdk_buffer)buffer, WSDK_STR("wrong phase")));
    }
    do_continue(ctx, phase);
    report(ctx, "done", "", wsdk_done(ctx));
    report(ctx, "property_set", "", wsdk_property_set(ctx, WSDK_STR("hostile"), WSDK_STR("1")));
    return AS_USUAL;
}

static uint32_t do_tick_1ms(struct wsdk_context *ctx, enum phase phase)
{
    (void)phase;
    report(ctx, "tick", "1 ms", wsdk_tick_ms(ctx, 1));
    return AS_USUAL;
}

static uint32_t do_note(struct wsdk_context *ctx, enum phase phase)
{
    wsdk_log(ctx, WSDK_WARN, "hostile: note %s", phase_names[phase]);
    return AS_USUAL;
}

static const struct {
    const char *name;
    action_fn run;
} actions[] = {
    {"trap", do_trap},
    {"loop", do_loop},
    {"loop_calls", do_loop_calls},
    {"spin", do_spin},
    {"alloc", do_alloc},
    {"recurse", do_recurse},
    {"oob", do_oob},
    {"divide", do_divide},
    {"pause", do_pause},
    {"false", do_false},
    {"return_wild", do_return_wild},
    {"reply", do_reply},
    {"two_replies", do_two_replies},
    {"reply_trap", do_reply_trap},
    {"reply_bad", do_reply_bad},
    {"reply_framing", do_reply_framing},
    {"close", do_close},
    {"continue", do_continue},
    {"crlf", do_crlf},
    {"framing", do_framing},
    {"framing_remove", do_framing_remove},
    {"pseudo_remove", do_pseudo_remove},
    {"pseudo_bad", do_pseudo_bad},
    {"pairs_clear", do_pairs_clear},
    {"pairs_double", do_pairs_double},
    {"many_headers", do_many_headers},
    {"huge_header", do_huge_header},
    {"body_grow", do_body_grow},
    {"log_flood", do_log_flood},
    {"shared_flood", do_shared_flood},
    {"wrong_phase", do_wrong_phase},
    {"tick_1ms", do_tick_1ms},
    {"note", do_note},
};

static int find_phase(struct wsdk_bytes name)
{
    for (int i = 0; i < PHASE_COUNT; i++) {
        if (wsdk_equal(name, wsdk_cstr(phase_names[i])))
            return i;
    }
    return -1;
}

static int find_action(struct wsdk_bytes name)
{
    for (int i = 0; i < (int)(sizeof(actions) / sizeof(actions[0])); i++) {
        if (wsdk_equal(name, wsdk_cstr(actions[i].name)))
            return i;
    }
    return -1;
}

static struct wsdk_bytes skip(struct wsdk_bytes text, size_t n)
{
    return n >= text.len ? WSDK_NONE : (struct wsdk_bytes){text.data + n, text.len - n};
}

static bool read_script(struct wsdk_context *ctx, struct wsdk_bytes text, struct script *script)
{
    *script = (struct script){0};
    while ((text = wsdk_trim(text)).len != 0) {
        struct wsdk_bytes word = wsdk_before(text, " "), name = wsdk_before(word, ":");
        int action = find_action(name), phase = find_phase(skip(word, name.len + 1));
        if (action < 0 || phase < 0 || script->count == COMMANDS_MAX) {
            wsdk_log(ctx, WSDK_ERROR, "hostile: not understood: '%.*s'", WSDK_FMT(word));
            return false;
        }
        script->commands[script->count++] = (struct command){(uint8_t)action, (uint8_t)phase};
        text = skip(text, word.len);
    }
    return true;
}

static uint32_t run_script(struct wsdk_context *ctx, const struct script *script, enum phase phase,
                           uint32_t usual)
{
    for (uint32_t i = 0; i < script->count; i++) {
        if (script->commands[i].phase != phase)
            continue;
        uint32_t result = actions[script->commands[i].action].run(ctx, phase);
        if (result != AS_USUAL)
            usual = result;
    }
    return usual;
}

static uint32_t run(struct wsdk_context *ctx, enum phase phase, uint32_t usual)
{
    const struct state *root = wsdk_root_state(ctx), *own = wsdk_state(ctx);
    usual = run_script(ctx, &root->script, phase, usual);
    return root == own ? usual : run_script(ctx, &own->script, phase, usual);
}

static void on_context_create(struct wsdk_context *ctx)
{
    struct state *state = wsdk_state(ctx);
    struct wsdk_bytes text;
    /* Hosts let a root read its configuration here already. */
    if (wsdk_is_root(ctx) && wsdk_buffer_get(ctx, WSDK_PLUGIN_CONFIGURATION, 0, 4096, &text) == WSDK_OK)
        read_script(ctx, text, &state->script);
    run(ctx, wsdk_is_root(ctx) ? PHASE_on_root_create : PHASE_on_context_create, 0);
}

static bool on_vm_start(struct wsdk_context *root, size_t bytes)
{
    struct state *state = wsdk_state(root);
    struct wsdk_bytes text;
    if (bytes != 0 && wsdk_buffer_get(root, WSDK_VM_CONFIGURATION, 0, bytes, &text) == WSDK_OK &&
        !read_script(root, text, &state->script))
        return false;
    return run(root, PHASE_on_vm_start, 1) != 0;
}

static bool on_configure(struct wsdk_context *root, size_t bytes)
{
    struct state *state = wsdk_state(root);
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK || !read_script(root, text, &state->script))
        return false;
    return run(root, PHASE_on_configure, 1) != 0;
}

static void on_tick(struct wsdk_context *root)
{
    run(root, PHASE_on_tick, 0);
}

static void on_queue_ready(struct wsdk_context *root, uint32_t queue)
{
    (void)queue;
    run(root, PHASE_on_queue_ready, 0);
}

static enum wsdk_action on_request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    struct state *state = wsdk_state(stream);
    struct wsdk_bytes text;
    (void)count;
    (void)end;
    if (wsdk_header_get(stream, WSDK_REQUEST_HEADERS, WSDK_STR("x-hostile"), &text) == WSDK_OK &&
        !read_script(stream, text, &state->script))
        wsdk_trap(stream, "hostile: a header that is not understood");
    return (enum wsdk_action)run(stream, PHASE_on_request_headers, WSDK_CONTINUE);
}

#define STREAM_CALLBACK_3(name)                                                                              \
    static enum wsdk_action name(struct wsdk_context *stream, size_t size, bool end)                         \
    {                                                                                                        \
        (void)size;                                                                                          \
        (void)end;                                                                                           \
        return (enum wsdk_action)run(stream, PHASE_##name, WSDK_CONTINUE);                                   \
    }
#define STREAM_CALLBACK_2(name)                                                                              \
    static enum wsdk_action name(struct wsdk_context *stream, size_t size)                                   \
    {                                                                                                        \
        (void)size;                                                                                          \
        return (enum wsdk_action)run(stream, PHASE_##name, WSDK_CONTINUE);                                   \
    }

STREAM_CALLBACK_3(on_request_body)
STREAM_CALLBACK_2(on_request_trailers)
STREAM_CALLBACK_3(on_response_headers)
STREAM_CALLBACK_3(on_response_body)
STREAM_CALLBACK_2(on_response_trailers)

static void on_log(struct wsdk_context *ctx)
{
    run(ctx, PHASE_on_log, 0);
}

static bool on_done(struct wsdk_context *ctx)
{
    return run(ctx, wsdk_is_root(ctx) ? PHASE_on_root_done : PHASE_on_done, 1) != 0;
}

static void on_delete(struct wsdk_context *ctx)
{
    run(ctx, wsdk_is_root(ctx) ? PHASE_on_root_delete : PHASE_on_delete, 0);
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
    SAME(on_log, ON)                                                                                         \
    SAME(on_done, ON)                                                                                        \
    SAME(on_delete, ON)
WSDK_PLUGIN("hostile", sizeof(struct state), sizeof(struct state), CALLBACKS);
