/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_null.h: the contract between a host and a Proxy-Wasm plugin that was compiled to native code
 * instead of WebAssembly (the "null engine"). Plain C, no dependency, version 1, ABI 0.2.1, 64-bit
 * little-endian machines only. It must never grow a type or a function that only one host or only one SDK
 * understands.
 *
 * The plugin
 *   A plugin is a shared object that exports exactly one symbol, pw_null_plugin_entry. That function may be
 * called from any thread and any number of times; it returns the same pointer to constant data each time. The
 * shared object has no writable globals: it is loaded once and serves any number of VMs on any number of
 * threads at the same time. All state hangs on the `instance` pointer (one instance = one VM). One instance
 * is used by one thread at a time; the host may move it to another thread between two calls.
 *
 * Numbers
 *   Each argument of a callback or host call travels in one uint64_t:
 *     - an ABI i32 that is an address or a size/length: the native 64-bit pointer or size;
 *     - any other ABI i32 (context id, map type, status code, count, bool, ...): the uint32_t, zero extended
 *       (so grpc_status -1 is 0x00000000ffffffff);
 *     - an ABI i64: its 64 bits.
 *   The number, the order and the meaning of arguments are those of ABI 0.2.1, unchanged.
 *
 * Out-parameters: ONE RULE
 *   Every out-parameter of every host call, whatever its width in the Wasm ABI (address, size, id, cas,
 * level, flags, time, metric value), is the address of one 8-byte, 8-byte aligned slot. The host writes all 8
 * bytes: the address or number, zero extended. Where the ABI lets an out-pointer be 0 ("not wanted"), 0 means
 * so here. The host writes an out-parameter exactly when it would write it for a Wasm guest.
 *
 * Data
 *   Bytes behind (address, size) are the same bytes as in Wasm. Serialised pairs keep their 32-bit
 * little-endian counts and lengths. Time and metric values are 64-bit. A property that is an integer is 8
 * bytes. Where the ABI makes the host allocate guest memory, the host calls `allocate` and gives the memory
 * to the guest, who owns it from then on; for empty data it passes address 0, size 0, and does not allocate.
 *   The host does not keep a guest address after a host call returns. It reads and writes the guest's memory
 * as it is told to: it has no means to check an address. Native plugins are trusted code and no limit holds
 * on them.
 *
 * Re-entrancy
 *   During `call` the plugin may call the host; during a host call the host may call `allocate`, nothing else
 * of the plugin. Outside of `call`, instance_create and instance_destroy the plugin calls nothing. In
 * instance_create and instance_destroy only proxy_log may be called (they stand for `_initialize` and the end
 * of the VM).
 */
#ifndef PROXY_WASM_NULL_H
#define PROXY_WASM_NULL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PW_NULL_CONTRACT_VERSION 1u
#define PW_NULL_ABI              "0.2.1"
#define PW_NULL_ENTRY_SYMBOL     "pw_null_plugin_entry"

/*
 * Host functions, one row each: X(name, number of arguments). The order is the function's number and is part
 * of the contract: new rows are added at the end only.
 */
#define PW_NULL_HOST_FUNCTIONS(X)                                                                            \
    X(proxy_log, 3)                                                                                          \
    X(proxy_get_log_level, 1)                                                                                \
    X(proxy_get_current_time_nanoseconds, 1)                                                                 \
    X(proxy_set_tick_period_milliseconds, 1)                                                                 \
    X(proxy_get_status, 3)                                                                                   \
    X(proxy_get_property, 4)                                                                                 \
    X(proxy_set_property, 4)                                                                                 \
    X(proxy_get_buffer_bytes, 5)                                                                             \
    X(proxy_get_buffer_status, 3)                                                                            \
    X(proxy_set_buffer_bytes, 5)                                                                             \
    X(proxy_get_header_map_size, 2)                                                                          \
    X(proxy_get_header_map_pairs, 3)                                                                         \
    X(proxy_set_header_map_pairs, 3)                                                                         \
    X(proxy_get_header_map_value, 5)                                                                         \
    X(proxy_add_header_map_value, 5)                                                                         \
    X(proxy_replace_header_map_value, 5)                                                                     \
    X(proxy_remove_header_map_value, 3)                                                                      \
    X(proxy_continue_stream, 1)                                                                              \
    X(proxy_close_stream, 1)                                                                                 \
    X(proxy_send_local_response, 8)                                                                          \
    X(proxy_http_call, 10)                                                                                   \
    X(proxy_grpc_call, 12)                                                                                   \
    X(proxy_grpc_stream, 9)                                                                                  \
    X(proxy_grpc_send, 4)                                                                                    \
    X(proxy_grpc_cancel, 1)                                                                                  \
    X(proxy_grpc_close, 1)                                                                                   \
    X(proxy_get_shared_data, 5)                                                                              \
    X(proxy_set_shared_data, 5)                                                                              \
    X(proxy_register_shared_queue, 3)                                                                        \
    X(proxy_resolve_shared_queue, 5)                                                                         \
    X(proxy_enqueue_shared_queue, 3)                                                                         \
    X(proxy_dequeue_shared_queue, 3)                                                                         \
    X(proxy_define_metric, 4)                                                                                \
    X(proxy_increment_metric, 2)                                                                             \
    X(proxy_record_metric, 2)                                                                                \
    X(proxy_get_metric, 2)                                                                                   \
    X(proxy_set_effective_context, 1)                                                                        \
    X(proxy_done, 0)                                                                                         \
    X(proxy_call_foreign_function, 6)

enum pw_null_host_function {
#define PW_NULL_X(name, nargs) PW_NULL_HOST_##name,
    PW_NULL_HOST_FUNCTIONS(PW_NULL_X)
#undef PW_NULL_X
        PW_NULL_HOST_FUNCTION_COUNT
};

/*
 * Callbacks, one row each: X(name, number of arguments, has a result). The order is the callback's number and
 * its bit in `exports`, and is part of the contract: new rows are added at the end only, 64 at most.
 */
#define PW_NULL_CALLBACKS(X)                                                                                 \
    X(proxy_on_context_create, 2, 0)                                                                         \
    X(proxy_on_vm_start, 2, 1)                                                                               \
    X(proxy_on_configure, 2, 1)                                                                              \
    X(proxy_on_tick, 1, 0)                                                                                   \
    X(proxy_on_queue_ready, 2, 0)                                                                            \
    X(proxy_on_new_connection, 1, 1)                                                                         \
    X(proxy_on_downstream_data, 3, 1)                                                                        \
    X(proxy_on_upstream_data, 3, 1)                                                                          \
    X(proxy_on_downstream_connection_close, 2, 0)                                                            \
    X(proxy_on_upstream_connection_close, 2, 0)                                                              \
    X(proxy_on_request_headers, 3, 1)                                                                        \
    X(proxy_on_request_body, 3, 1)                                                                           \
    X(proxy_on_request_trailers, 2, 1)                                                                       \
    X(proxy_on_request_metadata, 2, 1)                                                                       \
    X(proxy_on_response_headers, 3, 1)                                                                       \
    X(proxy_on_response_body, 3, 1)                                                                          \
    X(proxy_on_response_trailers, 2, 1)                                                                      \
    X(proxy_on_response_metadata, 2, 1)                                                                      \
    X(proxy_on_http_call_response, 5, 0)                                                                     \
    X(proxy_on_grpc_receive_initial_metadata, 3, 0)                                                          \
    X(proxy_on_grpc_receive, 3, 0)                                                                           \
    X(proxy_on_grpc_receive_trailing_metadata, 3, 0)                                                         \
    X(proxy_on_grpc_close, 3, 0)                                                                             \
    X(proxy_on_foreign_function, 3, 0)                                                                       \
    X(proxy_on_done, 1, 1)                                                                                   \
    X(proxy_on_log, 1, 0)                                                                                    \
    X(proxy_on_delete, 1, 0)                                                                                 \
    X(envoy_on_stats_update, 2, 0)

enum pw_null_callback {
#define PW_NULL_X(name, nargs, has_result) PW_NULL_CB_##name,
    PW_NULL_CALLBACKS(PW_NULL_X)
#undef PW_NULL_X
        PW_NULL_CALLBACK_COUNT
};

#define PW_NULL_BIT(callback_name) (UINT64_C(1) << PW_NULL_CB_##callback_name)

/* What pw_null_plugin.call returns. */
enum pw_null_outcome {
    PW_NULL_DONE = 0,    /* the callback ran; *result is set where the callback has one */
    PW_NULL_MISSING = 1, /* the plugin has no such callback: as a missing Wasm export; *result untouched */
    PW_NULL_TRAPPED = 2, /* the plugin gave up (out of memory, broken invariant): as a trap in Wasm. The host
                            retires the VM: no further `call`, only instance_destroy */
};

/* What the host gives to an instance. It must outlive the instance. */
struct pw_null_host {
    uint32_t size;    /* sizeof(struct pw_null_host) of the host; fields beyond it do not exist */
    uint32_t version; /* PW_NULL_CONTRACT_VERSION of the host */

    /*
     * Call host function `function` (enum pw_null_host_function) with `nargs` arguments, exactly as many as
     * the row says. Returns the ABI status (0 = OK); 12 (UNIMPLEMENTED) for a number that the host does not
     * know. `host_ctx` is what instance_create received. `args` is the caller's and only valid during the
     * call.
     */
    int32_t (*call)(void *host_ctx, uint32_t function, const uint64_t *args, size_t nargs);
};

/* What a plugin is: constant data, valid as long as the shared object is loaded. */
struct pw_null_plugin {
    uint32_t size; /* sizeof(struct pw_null_plugin) of the plugin; fields beyond it do not exist */
    uint32_t
        version;     /* PW_NULL_CONTRACT_VERSION of the plugin; the host refuses a version it does not know */
    const char *abi; /* PW_NULL_ABI; stands for the export proxy_abi_version_0_2_1 */
    const char *name; /* for messages; never NULL */

    /* Bit i is set when callback i exists. A host need not call callbacks whose bit is not set. */
    uint64_t exports;

    /* A fresh VM, or NULL when memory is short. The host keeps `host` and `host_ctx` alive until destroy. */
    void *(*instance_create)(const struct pw_null_host *host, void *host_ctx);

    /* The end of the VM, at any time outside of `call`; frees everything of the instance. Not NULL-safe. */
    void (*instance_destroy)(void *instance);

    /*
     * The export `malloc`: memory in the instance that the host fills and hands over. `bytes` > 0; aligned to
     * at least 8. NULL when memory is short (the host then fails the host call as it does for a Wasm guest).
     */
    void *(*allocate)(void *instance, uint64_t bytes);

    /*
     * Run callback `callback` (enum pw_null_callback) with `nargs` arguments, exactly as many as the row
     * says.
     * `*result` (never NULL) receives the ABI's i32 result, zero extended, for callbacks that have one.
     */
    enum pw_null_outcome (*call)(void *instance, uint32_t callback, const uint64_t *args, size_t nargs,
                                 uint64_t *result);
};

typedef const struct pw_null_plugin *(*pw_null_plugin_entry_fn)(void);

/* The one exported symbol of the shared object. */
const struct pw_null_plugin *pw_null_plugin_entry(void);

#ifdef __cplusplus
}
#endif

#endif
