/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c: from a callback of the ABI to the author's function. It must never let a callback through whose
 * context is unknown: that is a host that lost count, and a plugin that decides about access must not guess.
 */
#include "import.h"
#include <wsdk/host.h>

/* Call a function of the table if it is there, else answer `otherwise`. */
#define RUN_R(member, otherwise, ...)                                                                        \
    (wsdk_plugin_table.member != NULL ? (uint64_t)wsdk_plugin_table.member(__VA_ARGS__)                      \
                                      : (uint64_t)(otherwise))
#define RUN_V(member, ...)                                                                                   \
    do {                                                                                                     \
        if (wsdk_plugin_table.member != NULL)                                                                \
            wsdk_plugin_table.member(__VA_ARGS__);                                                           \
    } while (0)

#define U32(i)  ((uint32_t)args[i])
#define SIZE(i) ((size_t)args[i])
#define FLAG(i) ((uint32_t)args[i] != 0)

static uint64_t run_any(struct wsdk_context *ctx, enum pw_null_callback callback)
{
    switch (callback) {
    case PW_NULL_CB_proxy_on_done:
        return RUN_R(on_done, true, ctx);
    case PW_NULL_CB_proxy_on_log:
        RUN_V(on_log, ctx);
        return 0;
    case PW_NULL_CB_proxy_on_delete:
        RUN_V(on_delete, ctx);
        wsdk_vm_remove(ctx->vm, ctx);
        return 0;
    default:
        return 0;
    }
}

static uint64_t run_root(struct wsdk_context *ctx, enum pw_null_callback callback, const uint64_t *args)
{
    switch (callback) {
    case PW_NULL_CB_proxy_on_vm_start:
        return RUN_R(on_vm_start, true, ctx, SIZE(1));
    case PW_NULL_CB_proxy_on_configure:
        return RUN_R(on_configure, true, ctx, SIZE(1));
    case PW_NULL_CB_proxy_on_tick:
        RUN_V(on_tick, ctx);
        return 0;
    case PW_NULL_CB_proxy_on_queue_ready:
        RUN_V(on_queue_ready, ctx, U32(1));
        return 0;
    case PW_NULL_CB_proxy_on_foreign_function:
        RUN_V(on_foreign_function, ctx, U32(1), SIZE(2));
        return 0;
    case PW_NULL_CB_envoy_on_stats_update:
        RUN_V(on_stats_update, ctx, SIZE(1));
        return 0;
    default:
        return run_any(ctx, callback);
    }
}

static uint64_t run_call(struct wsdk_context *ctx, enum pw_null_callback callback, const uint64_t *args)
{
    switch (callback) {
    case PW_NULL_CB_proxy_on_http_call_response:
        RUN_V(on_http_call_response, ctx, U32(1), SIZE(2), SIZE(3), SIZE(4));
        return 0;
    case PW_NULL_CB_proxy_on_grpc_receive_initial_metadata:
        RUN_V(on_grpc_receive_initial_metadata, ctx, U32(1), SIZE(2));
        return 0;
    case PW_NULL_CB_proxy_on_grpc_receive:
        RUN_V(on_grpc_receive, ctx, U32(1), SIZE(2));
        return 0;
    case PW_NULL_CB_proxy_on_grpc_receive_trailing_metadata:
        RUN_V(on_grpc_receive_trailing_metadata, ctx, U32(1), SIZE(2));
        return 0;
    case PW_NULL_CB_proxy_on_grpc_close:
        RUN_V(on_grpc_close, ctx, U32(1), U32(2));
        return 0;
    default:
        return run_root(ctx, callback, args);
    }
}

static uint64_t run_tcp(struct wsdk_context *ctx, enum pw_null_callback callback, const uint64_t *args)
{
    switch (callback) {
    case PW_NULL_CB_proxy_on_new_connection:
        return RUN_R(on_new_connection, WSDK_CONTINUE, ctx);
    case PW_NULL_CB_proxy_on_downstream_data:
        return RUN_R(on_downstream_data, WSDK_CONTINUE, ctx, SIZE(1), FLAG(2));
    case PW_NULL_CB_proxy_on_upstream_data:
        return RUN_R(on_upstream_data, WSDK_CONTINUE, ctx, SIZE(1), FLAG(2));
    case PW_NULL_CB_proxy_on_downstream_connection_close:
        RUN_V(on_downstream_connection_close, ctx, (enum wsdk_peer)U32(1));
        return 0;
    case PW_NULL_CB_proxy_on_upstream_connection_close:
        RUN_V(on_upstream_connection_close, ctx, (enum wsdk_peer)U32(1));
        return 0;
    default:
        return run_call(ctx, callback, args);
    }
}

static uint64_t run_http(struct wsdk_context *ctx, enum pw_null_callback callback, const uint64_t *args)
{
    switch (callback) {
    case PW_NULL_CB_proxy_on_request_headers:
        return RUN_R(on_request_headers, WSDK_CONTINUE, ctx, SIZE(1), FLAG(2));
    case PW_NULL_CB_proxy_on_request_body:
        return RUN_R(on_request_body, WSDK_CONTINUE, ctx, SIZE(1), FLAG(2));
    case PW_NULL_CB_proxy_on_request_trailers:
        return RUN_R(on_request_trailers, WSDK_CONTINUE, ctx, SIZE(1));
    case PW_NULL_CB_proxy_on_request_metadata:
        return RUN_R(on_request_metadata, WSDK_CONTINUE, ctx, SIZE(1));
    case PW_NULL_CB_proxy_on_response_headers:
        return RUN_R(on_response_headers, WSDK_CONTINUE, ctx, SIZE(1), FLAG(2));
    case PW_NULL_CB_proxy_on_response_body:
        return RUN_R(on_response_body, WSDK_CONTINUE, ctx, SIZE(1), FLAG(2));
    case PW_NULL_CB_proxy_on_response_trailers:
        return RUN_R(on_response_trailers, WSDK_CONTINUE, ctx, SIZE(1));
    case PW_NULL_CB_proxy_on_response_metadata:
        return RUN_R(on_response_metadata, WSDK_CONTINUE, ctx, SIZE(1));
    default:
        return run_tcp(ctx, callback, args);
    }
}

/* Each export calls it with a constant: inlined there, the switches above are gone. */
#ifdef __wasm__
__attribute__((always_inline))
#endif
uint64_t
wsdk_vm_run(struct wsdk_vm *vm, enum pw_null_callback callback, const uint64_t *args)
{
    struct wsdk_context *ctx;
    uint64_t result = 0;
    vm->depth++;
    if (callback == PW_NULL_CB_proxy_on_context_create) {
        ctx = wsdk_vm_add(vm, U32(0), U32(1));
        if (ctx == NULL)
            wsdk_vm_trap(vm, "cannot make a context: out of memory, or a wrong id");
        else
            RUN_V(on_context_create, ctx);
    } else {
        ctx = wsdk_vm_find(vm, U32(0));
        if (ctx == NULL)
            wsdk_vm_trap(vm, "callback for an unknown context");
        else
            result = run_http(ctx, callback, args);
    }
    if (--vm->depth == 0)
        wsdk_scratch_reset(&vm->scratch);
    return result;
}

void wsdk_vm_trap(struct wsdk_vm *vm, const char *why)
{
    struct wsdk_context none = {.vm = vm}; /* a log line needs no context, only the way to the host */
    wsdk_log_bytes(&none, WSDK_CRITICAL, wsdk_cstr(why));
    vm->trapped = true;
#ifdef __wasm__
    __builtin_trap();
#endif
}

void wsdk_trap(struct wsdk_context *ctx, const char *why)
{
    wsdk_vm_trap(ctx->vm, why);
}

#ifndef __wasm__

static const struct {
    uint8_t nargs;
} callback_rows[] = {
#define ROW(name, nargs, has_result) {nargs},
    PW_NULL_CALLBACKS(ROW)
#undef ROW
};

enum pw_null_outcome wsdk_vm_call(void *instance, uint32_t callback, const uint64_t *args, size_t nargs,
                                  uint64_t *result)
{
    struct wsdk_vm *vm = instance;
    if (callback >= PW_NULL_CALLBACK_COUNT)
        return PW_NULL_MISSING;
    if (vm->trapped || nargs != callback_rows[callback].nargs)
        return PW_NULL_TRAPPED;
    *result = wsdk_vm_run(vm, (enum pw_null_callback)callback, args);
    return vm->trapped ? PW_NULL_TRAPPED : PW_NULL_DONE;
}

#endif
