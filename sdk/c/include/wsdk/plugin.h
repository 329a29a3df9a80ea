/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/plugin.h: what a plugin is. Its author writes functions, lists them once with WSDK_PLUGIN, and gets
 * the exports of a Wasm module or of a native shared object from the same source. A plugin never has a C
 * variable that changes: all state is the zeroed memory that the SDK gives to each context.
 *
 *     #define CALLBACKS(ON)                        \
 *         ON(on_configure, configure)              \
 *         ON(on_request_headers, request_headers)
 *     WSDK_PLUGIN("hello", sizeof(struct root), sizeof(struct stream), CALLBACKS)
 *
 * Callbacks of one VM never run at the same time. Data that a host call returned lives until the callback
 * that is running returns; copy what must live longer (wsdk_keep).
 */
#ifndef WSDK_PLUGIN_H
#define WSDK_PLUGIN_H

#include <proxy_wasm_null.h>
#include <wsdk/types.h>

/*
 * A root context (one per plugin configuration in a VM) or a stream context (one per HTTP stream or TCP
 * connection). Owned by the SDK: made before the first callback, gone after on_delete.
 */
struct wsdk_context;

/* One VM: all contexts of one instance. */
struct wsdk_vm;

/*
 * The callbacks, each optional. A callback that is not listed is not exported, so the host does not call it.
 * `count` is a number of header entries, `bytes` a size, `end` says that the message ends here.
 */
struct wsdk_plugin {
    const char *name;
    size_t root_bytes;   /* state of each root context: wsdk_root_state */
    size_t stream_bytes; /* state of each stream context: wsdk_state */

    /* Any context. on_done: false on a root delays its end until wsdk_done; on a stream it means nothing. */
    void (*on_context_create)(struct wsdk_context *ctx);
    bool (*on_done)(struct wsdk_context *ctx);
    void (*on_log)(struct wsdk_context *ctx);
    void (*on_delete)(struct wsdk_context *ctx);

    /* Root contexts. on_vm_start and on_configure: false refuses the plugin. */
    bool (*on_vm_start)(struct wsdk_context *root, size_t bytes);
    bool (*on_configure)(struct wsdk_context *root, size_t bytes);
    void (*on_tick)(struct wsdk_context *root);
    void (*on_queue_ready)(struct wsdk_context *root, uint32_t queue);
    void (*on_foreign_function)(struct wsdk_context *ctx, uint32_t function, size_t bytes);
    /* A stat sink's: `bytes` of WSDK_FOREIGN_ARGUMENTS hold the counters and gauges; see wsdk_stats_next. */
    void (*on_stats_update)(struct wsdk_context *root, size_t bytes);

    /* Answers to wsdk_http_call and wsdk_grpc_*; they arrive on the root context. (0, 0, 0) = the call
     * failed. */
    void (*on_http_call_response)(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                                  size_t trailer_count);
    void (*on_grpc_receive_initial_metadata)(struct wsdk_context *root, uint32_t call, size_t count);
    void (*on_grpc_receive)(struct wsdk_context *root, uint32_t call, size_t bytes);
    void (*on_grpc_receive_trailing_metadata)(struct wsdk_context *root, uint32_t call, size_t count);
    void (*on_grpc_close)(struct wsdk_context *root, uint32_t call, uint32_t grpc_status);

    /* HTTP streams. */
    enum wsdk_action (*on_request_headers)(struct wsdk_context *stream, size_t count, bool end);
    enum wsdk_action (*on_request_body)(struct wsdk_context *stream, size_t bytes, bool end);
    enum wsdk_action (*on_request_trailers)(struct wsdk_context *stream, size_t count);
    enum wsdk_action (*on_request_metadata)(struct wsdk_context *stream, size_t count);
    enum wsdk_action (*on_response_headers)(struct wsdk_context *stream, size_t count, bool end);
    enum wsdk_action (*on_response_body)(struct wsdk_context *stream, size_t bytes, bool end);
    enum wsdk_action (*on_response_trailers)(struct wsdk_context *stream, size_t count);
    enum wsdk_action (*on_response_metadata)(struct wsdk_context *stream, size_t count);

    /* TCP streams. */
    enum wsdk_action (*on_new_connection)(struct wsdk_context *stream);
    enum wsdk_action (*on_downstream_data)(struct wsdk_context *stream, size_t bytes, bool end);
    enum wsdk_action (*on_upstream_data)(struct wsdk_context *stream, size_t bytes, bool end);
    void (*on_downstream_connection_close)(struct wsdk_context *stream, enum wsdk_peer peer);
    void (*on_upstream_connection_close)(struct wsdk_context *stream, enum wsdk_peer peer);
};

/* The ABI's number of the context. */
uint32_t wsdk_id(const struct wsdk_context *ctx);

/* Whether the context is a root context. */
bool wsdk_is_root(const struct wsdk_context *ctx);

/* The root of a stream; a root context is its own root. */
struct wsdk_context *wsdk_root(struct wsdk_context *ctx);

/* The context's own state: `root_bytes` or `stream_bytes`, zeroed when the context was made, aligned to 16.
 */
void *wsdk_state(struct wsdk_context *ctx);

/* The same for the root of `ctx`. */
void *wsdk_root_state(struct wsdk_context *ctx);

/* The context with this id in the same VM, or NULL. */
struct wsdk_context *wsdk_find(struct wsdk_context *ctx, uint32_t id);

/* `bytes` zeroed bytes that live as long as `ctx`; there is no free. NULL when memory is short. */
void *wsdk_alloc(struct wsdk_context *ctx, size_t bytes);

/* A copy of `text`, followed by a NUL, that lives as long as `ctx`. data is NULL when memory is short. */
struct wsdk_bytes wsdk_keep(struct wsdk_context *ctx, struct wsdk_bytes text);

/* `bytes` bytes, not zeroed, that live until the running callback returns. NULL when memory is short. */
void *wsdk_temp(struct wsdk_context *ctx, size_t bytes);

/*
 * Give up: logs `why` at critical. In Wasm it traps and does not return. Native code cannot be unwound, so
 * there it marks the VM as failed and returns; the caller must return from its callback at once. The host
 * retires the VM.
 */
void wsdk_trap(struct wsdk_context *ctx, const char *why);

/* The table that WSDK_PLUGIN makes. */
extern const struct wsdk_plugin wsdk_plugin_table;

#include <wsdk/exports.h>

#endif
