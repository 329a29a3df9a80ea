/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allocator.c: a plugin whose `malloc` is not to be trusted. Its configuration names what the allocator does
 * from then on: zero, wild, end, overlap, trap, loop, grow, odd, calls. On each request it reads :path and
 * puts status and value into its log: "allocator: STATUS VALUE". Tests only, Wasm only: the export is its
 * own, beside the SDK's.
 */
#include <stdlib.h>
#include <wsdk.h>

#ifdef __wasm__

enum mode {
    MODE_GOOD,
    MODE_ZERO,
    MODE_WILD,
    MODE_END,
    MODE_OVERLAP,
    MODE_TRAP,
    MODE_LOOP,
    MODE_GROW,
    MODE_ODD,
    MODE_LOG,
    MODE_CALLS
};

static const char *const mode_names[] = {"good", "zero", "wild", "end", "overlap", "trap",
                                         "loop", "grow", "odd",  "log", "calls"};

/* `malloc` has no context, so this is a C global: fine in Wasm, where each VM has its own. */
static enum mode mode;
static struct wsdk_context *any_context;

static uint32_t memory_end(void)
{
    return (uint32_t)__builtin_wasm_memory_size(0) * 65536u;
}

/* The host's pointers into the old memory are stale after this. */
static uint32_t grown(uint32_t bytes)
{
    uint32_t pages = (bytes + 65535u) / 65536u + 16;
    return (uint32_t)__builtin_wasm_memory_grow(0, pages) * 65536u;
}

/* Hosts allow a log line inside of malloc, and no call that could ask for memory again. */
static uint32_t calling_back(uint32_t bytes)
{
    struct wsdk_bytes value;
    if (wsdk_log_bytes(any_context, WSDK_INFO, WSDK_STR("allocator: log in malloc")) != WSDK_OK)
        return 0;
    if (mode == MODE_CALLS)
        wsdk_header_get(any_context, WSDK_REQUEST_HEADERS, WSDK_STR(":method"), &value);
    return (uint32_t)(uintptr_t)malloc(bytes);
}

static uint32_t allocate(uint32_t bytes)
{
    volatile bool for_ever = true;
    switch (mode) {
    case MODE_ZERO:
        return 0;
    case MODE_WILD:
        return 0xfffffff0u;
    case MODE_END:
        return memory_end() - 1;
    case MODE_OVERLAP:
        return (uint32_t)(uintptr_t)&mode; /* its own state: its own loss */
    case MODE_TRAP:
        __builtin_trap();
    case MODE_LOOP:
        while (for_ever)
            continue;
        return 0;
    case MODE_GROW:
        return grown(bytes);
    case MODE_ODD:
        return (uint32_t)(uintptr_t)malloc(bytes + 3) + 3;
    case MODE_LOG:
    case MODE_CALLS:
        return calling_back(bytes);
    default:
        return (uint32_t)(uintptr_t)malloc(bytes);
    }
}

static bool configure(struct wsdk_context *root, size_t bytes)
{
    struct wsdk_bytes text;
    any_context = root;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
        if (wsdk_equal(text, wsdk_cstr(mode_names[i]))) {
            mode = (enum mode)i;
            return true;
        }
    }
    return false;
}

static enum wsdk_action request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    struct wsdk_bytes path;
    (void)count;
    (void)end;
    enum wsdk_status status = wsdk_header_get(stream, WSDK_REQUEST_HEADERS, WSDK_STR(":path"), &path);
    wsdk_log(stream, WSDK_INFO, "allocator: %d %.*s", (int)status, WSDK_FMT(path));
    return WSDK_CONTINUE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_configure, configure)                                                                              \
    ON(on_request_headers, request_headers)

/* WSDK_PLUGIN with another malloc. */
WSDK_TABLE("allocator", 0, 0, CALLBACKS)
WSDK_WASM(proxy_abi_version_0_2_1, void, (void)) {}
WSDK_WASM_AS(wsdk_malloc, malloc, uint32_t, (uint32_t bytes))
{
    return allocate(bytes);
}
WSDK_V2(proxy_on_context_create)
WSDK_V1(proxy_on_delete)
CALLBACKS(WSDK_WASM_ROW)

#else

static bool configure(struct wsdk_context *root, size_t bytes)
{
    (void)bytes;
    wsdk_log(root, WSDK_ERROR,
             "allocator: not on the null engine, where a wild address is the host's own memory");
    return false;
}

#define CALLBACKS(ON) ON(on_configure, configure)
WSDK_PLUGIN("allocator", 0, 0, CALLBACKS);

#endif
