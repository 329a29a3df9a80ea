/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wild.c: calls every host function with addresses and lengths that point nowhere, in on_configure and on
 * each request
 * ("x-wild" in the answer tells the number of calls). A host must answer each of them with a status. Wasm
 * only: on the null engine a wild address is the host's own memory.
 */
#include <wsdk.h>

#ifdef __wasm__

/*
 * One row per host function: its parameters as letters. a: address of data, n: its length, o: address of a
 * result, p: address of serialised pairs (with n), i: a small number, w: a 64-bit number.
 */
#define ROWS(X)                                                                                              \
    X(proxy_log, 3, "ian")                                                                                   \
    X(proxy_get_log_level, 1, "o")                                                                           \
    X(proxy_get_current_time_nanoseconds, 1, "o")                                                            \
    X(proxy_get_status, 3, "ooo")                                                                            \
    X(proxy_get_property, 4, "anoo")                                                                         \
    X(proxy_set_property, 4, "anan")                                                                         \
    X(proxy_get_buffer_bytes, 5, "iiioo")                                                                    \
    X(proxy_get_buffer_status, 3, "ioo")                                                                     \
    X(proxy_set_buffer_bytes, 5, "iiian")                                                                    \
    X(proxy_get_header_map_size, 2, "io")                                                                    \
    X(proxy_get_header_map_pairs, 3, "ioo")                                                                  \
    X(proxy_get_header_map_value, 5, "ianoo")                                                                \
    X(proxy_add_header_map_value, 5, "ianan")                                                                \
    X(proxy_replace_header_map_value, 5, "ianan")                                                            \
    X(proxy_remove_header_map_value, 3, "ian")                                                               \
    X(proxy_http_call, 10, "anpnanpnio")                                                                     \
    X(proxy_grpc_call, 12, "anananpnanio")                                                                   \
    X(proxy_grpc_stream, 9, "anananpno")                                                                     \
    X(proxy_grpc_send, 4, "iani")                                                                            \
    X(proxy_grpc_cancel, 1, "i")                                                                             \
    X(proxy_grpc_close, 1, "i")                                                                              \
    X(proxy_get_shared_data, 5, "anooo")                                                                     \
    X(proxy_set_shared_data, 5, "anani")                                                                     \
    X(proxy_register_shared_queue, 3, "ano")                                                                 \
    X(proxy_resolve_shared_queue, 5, "anano")                                                                \
    X(proxy_enqueue_shared_queue, 3, "ian")                                                                  \
    X(proxy_dequeue_shared_queue, 3, "ioo")                                                                  \
    X(proxy_define_metric, 4, "iano")                                                                        \
    X(proxy_get_metric, 2, "io")                                                                             \
    X(proxy_set_effective_context, 1, "i")                                                                   \
    X(proxy_call_foreign_function, 6, "ananoo")

#define W32    uint32_t
#define ARGS1  W32
#define ARGS2  W32, W32
#define ARGS3  ARGS2, W32
#define ARGS4  ARGS3, W32
#define ARGS5  ARGS4, W32
#define ARGS6  ARGS5, W32
#define ARGS9  ARGS6, ARGS3
#define ARGS10 ARGS9, W32
#define ARGS12 ARGS10, ARGS2

#define X(name, nargs, kinds)                                                                                \
    uint32_t raw_##name(ARGS##nargs) __attribute__((import_module("env"), import_name(#name)));
ROWS(X)
#undef X

#define A(i)   args[i]
#define PASS1  A(0)
#define PASS2  PASS1, A(1)
#define PASS3  PASS2, A(2)
#define PASS4  PASS3, A(3)
#define PASS5  PASS4, A(4)
#define PASS6  PASS5, A(5)
#define PASS9  PASS6, A(6), A(7), A(8)
#define PASS10 PASS9, A(9)
#define PASS12 PASS10, A(10), A(11)

#define X(name, nargs, kinds)                                                                                \
    static uint32_t call_##name(const uint32_t *args)                                                        \
    {                                                                                                        \
        return raw_##name(PASS##nargs);                                                                      \
    }
ROWS(X)
#undef X

static const struct row {
    const char *name, *kinds;
    uint32_t (*call)(const uint32_t *args);
} rows[] = {
#define X(name, nargs, kinds) {#name, kinds, call_##name},
    ROWS(X)
#undef X
};

#define ARGS_MAX 12

/* Beyond the memory, at its very end, around the sign, and lengths that wrap. */
static const uint32_t wild_addresses[] = {0xffffffffu, 0xfffffffcu, 0xfffffff0u, 0x80000000u, 0x7ffffffcu};
static const uint32_t wild_lengths[] = {0xffffffffu, 0xfffffff0u, 0x80000000u, 0x7fffffffu};
static const uint32_t wild_numbers[] = {0xffffffffu, 0x80000000u, 0x7fffffffu, 100u};

/* Pairs whose counts and lengths lie. */
static const uint32_t bad_pairs[][4] = {{0xffffffffu, 0, 0, 0},
                                        {1, 0xffffffffu, 1, 0},
                                        {1, 0xfffffff0u, 0x10u, 0},
                                        {1, 4, 4, 0},
                                        {0x10000001u, 0, 0, 0}};

struct
try {
    const struct row *row;
    uint32_t args[ARGS_MAX], slots[ARGS_MAX][2], calls, worst;
};

static void base_arguments(struct try *t)
{
    static const char data[8] = "x-wild";
    for (size_t i = 0; t->row->kinds[i] != '\0'; i++) {
        switch (t->row->kinds[i]) {
        case 'a':
            t->args[i] = (uint32_t)(uintptr_t)data;
            break;
        case 'n':
            t->args[i] = t->row->kinds[i - 1] == 'p' ? 0 : 6;
            break;
        case 'o':
            t->args[i] = (uint32_t)(uintptr_t)t->slots[i];
            break;
        default:
            t->args[i] = 0;
        }
    }
}

static void call_with(struct try *t, size_t i, uint32_t value)
{
    base_arguments(t);
    t->args[i] = value;
    uint32_t status = t->row->call(t->args);
    t->calls++;
    if (status > t->worst)
        t->worst = status;
}

#define EACH(t, i, list)                                                                                     \
    for (size_t k = 0; k < sizeof(list) / sizeof((list)[0]); k++)                                            \
    call_with((t), (i), (list)[k])

static void pairs_with(struct try *t, size_t i)
{
    for (size_t k = 0; k < sizeof(bad_pairs) / sizeof(bad_pairs[0]); k++) {
        base_arguments(t);
        t->args[i] = (uint32_t)(uintptr_t)bad_pairs[k];
        t->args[i + 1] = sizeof(bad_pairs[k]);
        t->row->call(t->args);
        t->calls++;
    }
}

static uint32_t try_row(struct wsdk_context *ctx, const struct row *row)
{
    struct try t = {.row = row};
    for (size_t i = 0; row->kinds[i] != '\0'; i++) {
        switch (row->kinds[i]) {
        case 'p':
            pairs_with(&t, i);
            EACH(&t, i, wild_addresses); /* with length 0 */
            break;
        case 'a':
        case 'o':
            EACH(&t, i, wild_addresses);
            break;
        case 'n':
            EACH(&t, i, wild_lengths);
            break;
        default:
            EACH(&t, i, wild_numbers);
        }
    }
    wsdk_log(ctx, WSDK_INFO, "wild: %s: %u calls, highest status %u", row->name, t.calls, t.worst);
    return t.calls;
}

static uint32_t try_all(struct wsdk_context *ctx)
{
    uint32_t calls = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        calls += try_row(ctx, &rows[i]);
    return calls;
}

static bool configure(struct wsdk_context *root, size_t bytes)
{
    (void)bytes;
    return try_all(root) != 0;
}

#else

static uint32_t try_all(struct wsdk_context *ctx)
{
    (void)ctx;
    return 0;
}

static bool configure(struct wsdk_context *root, size_t bytes)
{
    (void)bytes;
    wsdk_log(root, WSDK_ERROR, "wild: not on the null engine, where a wild address is the host's own memory");
    return false;
}

#endif

static enum wsdk_action request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    (void)count;
    (void)end;
    try_all(stream);
    return WSDK_CONTINUE;
}

static enum wsdk_action response_headers(struct wsdk_context *stream, size_t count, bool end)
{
    char text[16];
    (void)count;
    (void)end;
    size_t len = wsdk_format(text, sizeof(text), "%u", try_all(stream));
    wsdk_header_set(stream, WSDK_RESPONSE_HEADERS, WSDK_STR("x-wild"), (struct wsdk_bytes){text, len});
    return WSDK_CONTINUE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_configure, configure)                                                                              \
    ON(on_request_headers, request_headers)                                                                  \
    ON(on_response_headers, response_headers)
WSDK_PLUGIN("wild", 0, 0, CALLBACKS);
