/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/exports.h: how WSDK_PLUGIN turns the author's list of callbacks into the exports of a Wasm module or
 * into the table of a native plugin. Include wsdk/plugin.h instead; nothing here is for authors but
 * WSDK_PLUGIN itself.
 */
#ifndef WSDK_EXPORTS_H
#define WSDK_EXPORTS_H

#include <proxy_wasm_null.h>
#include <stdint.h>

struct wsdk_vm;

/* Run one callback with the arguments of the ABI. */
uint64_t wsdk_vm_run(struct wsdk_vm *vm, enum pw_null_callback callback, const uint64_t *args);

/* The allocator that the host calls: memory until the running (or next) callback returns. */
void *wsdk_vm_allocate(void *vm, uint64_t bytes);

/* The rest of a native plugin's table. */
void *wsdk_vm_create(const struct pw_null_host *host, void *host_ctx);
void wsdk_vm_destroy(void *vm);
enum pw_null_outcome wsdk_vm_call(void *vm, uint32_t callback, const uint64_t *args, size_t nargs,
                                  uint64_t *result);

/* The one VM of a Wasm instance. */
struct wsdk_vm *wsdk_vm_wasm(void);

/*
 * WSDK_PLUGIN(name, root_bytes, stream_bytes, CALLBACKS), once per plugin, at file level. CALLBACKS is a
 * macro that applies its argument to each pair (callback, function).
 */
#define WSDK_TABLE(plugin_name, root_size, stream_size, CALLBACKS)                                           \
    const struct wsdk_plugin wsdk_plugin_table = {.name = (plugin_name),                                     \
                                                  .root_bytes = (root_size),                                 \
                                                  .stream_bytes = (stream_size),                             \
                                                  CALLBACKS(WSDK_TABLE_ROW)};

#define WSDK_TABLE_ROW(callback, function) .callback = (function),

#ifdef __wasm__

#define WSDK_PLUGIN(plugin_name, root_size, stream_size, CALLBACKS)                                          \
    WSDK_TABLE(plugin_name, root_size, stream_size, CALLBACKS)                                               \
    WSDK_WASM(proxy_abi_version_0_2_1, void, (void)) {}                                                      \
    WSDK_WASM_AS(wsdk_malloc, malloc, uint32_t, (uint32_t bytes))                                            \
    {                                                                                                        \
        return (uint32_t)(uintptr_t)wsdk_vm_allocate(wsdk_vm_wasm(), bytes);                                 \
    }                                                                                                        \
    WSDK_V2(proxy_on_context_create)                                                                         \
    WSDK_V1(proxy_on_delete)                                                                                 \
    CALLBACKS(WSDK_WASM_ROW)                                                                                 \
    _Static_assert(sizeof(size_t) == 4, "wasm32")

/* The C name is the export's, for a readable backtrace; malloc would clash with libc's. */
#define WSDK_WASM(name, result, parameters) WSDK_WASM_AS(name, name, result, parameters)
#define WSDK_WASM_AS(c_name, name, result, parameters)                                                       \
    __attribute__((export_name(#name))) result c_name parameters;                                            \
    result c_name parameters

#define WSDK_RUN(name, ...) wsdk_vm_run(wsdk_vm_wasm(), PW_NULL_CB_##name, (const uint64_t[]){__VA_ARGS__})
#define WSDK_V1(name)                                                                                        \
    WSDK_WASM(name, void, (uint32_t a))                                                                      \
    {                                                                                                        \
        WSDK_RUN(name, a);                                                                                   \
    }
#define WSDK_V2(name)                                                                                        \
    WSDK_WASM(name, void, (uint32_t a, uint32_t b))                                                          \
    {                                                                                                        \
        WSDK_RUN(name, a, b);                                                                                \
    }
#define WSDK_V3(name)                                                                                        \
    WSDK_WASM(name, void, (uint32_t a, uint32_t b, uint32_t c))                                              \
    {                                                                                                        \
        WSDK_RUN(name, a, b, c);                                                                             \
    }
#define WSDK_V5(name)                                                                                        \
    WSDK_WASM(name, void, (uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e))                      \
    {                                                                                                        \
        WSDK_RUN(name, a, b, c, d, e);                                                                       \
    }
#define WSDK_R1(name)                                                                                        \
    WSDK_WASM(name, uint32_t, (uint32_t a))                                                                  \
    {                                                                                                        \
        return (uint32_t)WSDK_RUN(name, a);                                                                  \
    }
#define WSDK_R2(name)                                                                                        \
    WSDK_WASM(name, uint32_t, (uint32_t a, uint32_t b))                                                      \
    {                                                                                                        \
        return (uint32_t)WSDK_RUN(name, a, b);                                                               \
    }
#define WSDK_R3(name)                                                                                        \
    WSDK_WASM(name, uint32_t, (uint32_t a, uint32_t b, uint32_t c))                                          \
    {                                                                                                        \
        return (uint32_t)WSDK_RUN(name, a, b, c);                                                            \
    }

#define WSDK_WASM_ROW(callback, function)                 WSDK_WASM_##callback(proxy_##callback)
#define WSDK_WASM_on_context_create(name)                 /* exported in any case: it makes the context */
#define WSDK_WASM_on_delete(name)                         /* exported in any case: it frees the context */
#define WSDK_WASM_on_done(name)                           WSDK_R1(name)
#define WSDK_WASM_on_log(name)                            WSDK_V1(name)
#define WSDK_WASM_on_vm_start(name)                       WSDK_R2(name)
#define WSDK_WASM_on_configure(name)                      WSDK_R2(name)
#define WSDK_WASM_on_tick(name)                           WSDK_V1(name)
#define WSDK_WASM_on_queue_ready(name)                    WSDK_V2(name)
#define WSDK_WASM_on_foreign_function(name)               WSDK_V3(name)
#define WSDK_WASM_on_stats_update(name)                   WSDK_V2(envoy_on_stats_update)
#define WSDK_WASM_on_http_call_response(name)             WSDK_V5(name)
#define WSDK_WASM_on_grpc_receive_initial_metadata(name)  WSDK_V3(name)
#define WSDK_WASM_on_grpc_receive(name)                   WSDK_V3(name)
#define WSDK_WASM_on_grpc_receive_trailing_metadata(name) WSDK_V3(name)
#define WSDK_WASM_on_grpc_close(name)                     WSDK_V3(name)
#define WSDK_WASM_on_request_headers(name)                WSDK_R3(name)
#define WSDK_WASM_on_request_body(name)                   WSDK_R3(name)
#define WSDK_WASM_on_request_trailers(name)               WSDK_R2(name)
#define WSDK_WASM_on_request_metadata(name)               WSDK_R2(name)
#define WSDK_WASM_on_response_headers(name)               WSDK_R3(name)
#define WSDK_WASM_on_response_body(name)                  WSDK_R3(name)
#define WSDK_WASM_on_response_trailers(name)              WSDK_R2(name)
#define WSDK_WASM_on_response_metadata(name)              WSDK_R2(name)
#define WSDK_WASM_on_new_connection(name)                 WSDK_R1(name)
#define WSDK_WASM_on_downstream_data(name)                WSDK_R3(name)
#define WSDK_WASM_on_upstream_data(name)                  WSDK_R3(name)
#define WSDK_WASM_on_downstream_connection_close(name)    WSDK_V2(name)
#define WSDK_WASM_on_upstream_connection_close(name)      WSDK_V2(name)

#else

#define WSDK_PLUGIN(plugin_name, root_size, stream_size, CALLBACKS)                                          \
    WSDK_TABLE(plugin_name, root_size, stream_size, CALLBACKS)                                               \
    static const struct pw_null_plugin wsdk_null_table = {.size = sizeof(struct pw_null_plugin),             \
                                                          .version = PW_NULL_CONTRACT_VERSION,               \
                                                          .abi = PW_NULL_ABI,                                \
                                                          .name = (plugin_name),                             \
                                                          .exports = PW_NULL_BIT(proxy_on_context_create) |  \
                                                                     PW_NULL_BIT(proxy_on_delete)            \
                                                                         CALLBACKS(WSDK_BIT_ROW),            \
                                                          .instance_create = wsdk_vm_create,                 \
                                                          .instance_destroy = wsdk_vm_destroy,               \
                                                          .allocate = wsdk_vm_allocate,                      \
                                                          .call = wsdk_vm_call};                             \
    __attribute__((visibility("default"))) const struct pw_null_plugin *pw_null_plugin_entry(void)           \
    {                                                                                                        \
        return &wsdk_null_table;                                                                             \
    }                                                                                                        \
    _Static_assert(sizeof(size_t) == 8, "the null engine is 64-bit")

/* The one callback that is not the ABI's but Envoy's. */
#define PW_NULL_CB_proxy_on_stats_update PW_NULL_CB_envoy_on_stats_update

#define WSDK_BIT_ROW(callback, function) | PW_NULL_BIT(proxy_##callback)

#endif

#endif
