/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.h: one way to call the host from both engines. In Wasm a call is an import of module `env`, in
 * native code it goes through the host's table. This is the only file of the SDK that knows the difference
 * between the two.
 *
 *     WSDK_HOST(ctx, proxy_log, WSDK_ARG(level), WSDK_ARG(text.data), WSDK_ARG(text.len))
 */
#ifndef WSDK_IMPORT_H
#define WSDK_IMPORT_H

#include "vm.h"

#ifdef __wasm__

/* An out-parameter's slot: see proxy_wasm_null.h for the native width. */
typedef uint32_t wsdk_slot;

#define WSDK_ARG(x) ((uint32_t)(uintptr_t)(x))

#define WSDK_PARAMS_1  uint32_t
#define WSDK_PARAMS_2  WSDK_PARAMS_1, uint32_t
#define WSDK_PARAMS_3  WSDK_PARAMS_2, uint32_t
#define WSDK_PARAMS_4  WSDK_PARAMS_3, uint32_t
#define WSDK_PARAMS_5  WSDK_PARAMS_4, uint32_t
#define WSDK_PARAMS_6  WSDK_PARAMS_5, uint32_t
#define WSDK_PARAMS_8  WSDK_PARAMS_6, uint32_t, uint32_t
#define WSDK_PARAMS_9  WSDK_PARAMS_8, uint32_t
#define WSDK_PARAMS_10 WSDK_PARAMS_9, uint32_t
#define WSDK_PARAMS_12 WSDK_PARAMS_10, uint32_t, uint32_t
#define WSDK_PARAMS_0  void

/*
 * Declaring an import that is never called imports nothing. Two functions take an i64: the row that the table
 * makes for them has another C name than the one that is called.
 */
#define WSDK_IMPORT(c_name, name, ...)                                                                       \
    int32_t c_name(__VA_ARGS__) __attribute__((import_module("env"), import_name(#name)));
#define WSDK_IMPORT_ROW(name, nargs) WSDK_IMPORT(wsdk_import_##name, name, WSDK_PARAMS_##nargs)
PW_NULL_HOST_FUNCTIONS(WSDK_IMPORT_ROW)
WSDK_IMPORT(wsdk_import_proxy_increment_metric_i64, proxy_increment_metric, uint32_t, uint64_t)
WSDK_IMPORT(wsdk_import_proxy_record_metric_i64, proxy_record_metric, uint32_t, uint64_t)

#define WSDK_HOST(ctx, name, ...)            ((void)(ctx), (enum wsdk_status)wsdk_import_##name(__VA_ARGS__))
#define WSDK_HOST0(ctx, name)                ((void)(ctx), (enum wsdk_status)wsdk_import_##name())
#define WSDK_HOST_I64(ctx, name, id, number) WSDK_HOST(ctx, name##_i64, id, number)

#else

typedef uint64_t wsdk_slot;

#define WSDK_ARG(x) ((uint64_t)(uintptr_t)(x))

static inline enum wsdk_status wsdk_import_call(const struct wsdk_context *ctx, uint32_t function,
                                                const uint64_t *args, size_t nargs)
{
    const struct wsdk_vm *vm = ctx->vm;
    return (enum wsdk_status)vm->host->call(vm->host_ctx, function, args, nargs);
}

#define WSDK_HOST(ctx, name, ...)                                                                            \
    wsdk_import_call((ctx), PW_NULL_HOST_##name, (const uint64_t[]){__VA_ARGS__},                            \
                     sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define WSDK_HOST0(ctx, name)                wsdk_import_call((ctx), PW_NULL_HOST_##name, NULL, 0)
#define WSDK_HOST_I64(ctx, name, id, number) WSDK_HOST(ctx, name, id, number)

#endif

/* The bytes that a pair of slots names. */
static inline struct wsdk_bytes wsdk_slots_bytes(wsdk_slot data, wsdk_slot len)
{
    return (struct wsdk_bytes){(const char *)(uintptr_t)data, (size_t)len};
}

#endif
