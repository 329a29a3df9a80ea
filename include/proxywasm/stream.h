/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: stream contexts, the plugin's view of one HTTP request or one TCP connection. The embedder
 * drives callbacks in order and supplies one table of operations through which every header map, buffer and
 * property goes. A restricted or log-only plugin gets another table over the same stream, not other code in
 * here. All functions: on the VM's thread, not inside a guest call of this VM unless stated.
 */
#ifndef PROXYWASM_STREAM_H
#define PROXYWASM_STREAM_H

#include <proxywasm/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_stream;
struct pw_value;

/* A reply the guest asked for; everything borrowed during the callback. */
struct pw_local_reply {
    uint32_t status_code;    /* as the guest gave it: not yet checked to be 200..599 */
    struct pw_slice details; /* white space replaced by '_' */
    struct pw_slice body;
    const struct pw_pair *headers;
    size_t headers_count;
    int32_t grpc_status; /* 0..16, or -1: none */
};

/*
 * What a stream offers. Called inside guest calls, except those under "afterwards", which the library queues
 * and runs when the outermost guest call has returned. Which map or buffer is reachable in which phase is
 * decided by the library (ABI 3.5); these functions only reach into the message. Slices that they give stay
 * valid until the next write through this table.
 */
struct pw_stream_ops {
    size_t size;

    /* Header maps 0..3. Names come lower-cased. `map_get`: first value. */
    bool (*map_exists)(void *ctx, enum pw_map map);
    size_t (*map_count)(void *ctx, enum pw_map map);
    size_t (*map_bytes)(void *ctx, enum pw_map map); /* sum of name and value lengths */
    /* Steps from *cursor = 0; false at the end. */
    bool (*map_next)(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out);
    bool (*map_get)(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value);
    /* The embedder checks names and values as if a peer had sent them. BAD_ARGUMENT refuses the write.
     * Trailer maps come into being with the first write. */
    enum pw_status (*map_add)(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value);
    enum pw_status (*map_replace)(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value);
    enum pw_status (*map_remove)(void *ctx, enum pw_map map, struct pw_slice name);
    enum pw_status (*map_set)(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count);

    /* Buffers 0..3. */
    size_t (*buffer_size)(void *ctx, enum pw_buffer buffer);
    size_t (*buffer_copy)(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len);
    /* Replaces `remove` bytes at `offset` (0, or the end) by `bytes`. */
    enum pw_status (*buffer_splice)(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes);

    /*
     * Properties; `path` has its segments separated by NUL, none at the end. The library answers plugin_name,
     * plugin_root_id and plugin_vm_id itself. Use the pw_value_* setters. Also called for root contexts
     * through pw_root_ops with root scope.
     */
    enum pw_status (*property_get)(void *ctx, struct pw_slice path, struct pw_value *out);
    enum pw_status (*property_set)(void *ctx, struct pw_slice path, struct pw_slice value);

    /* 0.1.0 proxy_clear_route_cache, and automatically after a request header was changed (ABI <= 0.2.1). */
    void (*clear_route_cache)(void *ctx);

    /* Afterwards. They may end in pw_stream_destroy of this or another stream. */
    void (*continue_stream)(void *ctx, enum pw_stream_type type);
    void (*close_stream)(void *ctx, enum pw_stream_type type);
    void (*local_reply)(void *ctx, const struct pw_local_reply *reply);
    /* The VM died while this stream lives in it: apply the failure policy now. Once per stream. */
    void (*vm_failed)(void *ctx);
};

/* Property values in the ABI's forms (abi 2.3): raw bytes, 8-byte little-endian integers, 1-byte booleans. */
void pw_value_bytes(struct pw_value *out,
                    struct pw_slice borrowed); /* must stay valid until property_get returned */
void pw_value_copy(struct pw_value *out, struct pw_slice bytes); /* copied at once */
void pw_value_i64(struct pw_value *out, int64_t value);
void pw_value_u64(struct pw_value *out, uint64_t value);
void pw_value_f64(struct pw_value *out, double value);
void pw_value_bool(struct pw_value *out, bool value);
/* A map in the pairs format; copied. */
void pw_value_map(struct pw_value *out, const struct pw_pair *pairs, size_t count);

/* Properties for calls from a root context (start, configure, tick): optional, per root, before use. `ops`
 * lives on. */
void pw_root_set_properties(struct pw_root *root,
                            enum pw_status (*property_get)(void *ctx, struct pw_slice path,
                                                           struct pw_value *out),
                            void *ctx);

/*
 * Makes a stream context and calls proxy_on_context_create(id, root id). `ops` is kept by reference and must
 * live as long as the stream. PW_ERR_VM_FAILED, PW_ERR_TRAP, PW_ERR_TIMEOUT (the VM failed: no stream was
 * made), PW_ERR_LIMIT (contexts_max), PW_ERR_NOMEM. *out is set before actions that the guest asked for run;
 * it is NULL after PW_OK when one of them destroyed the stream.
 */
int pw_stream_create(struct pw_root *root, const struct pw_stream_ops *ops, void *ctx,
                     struct pw_stream **out);

/* HTTP callbacks. `count`: entries of the map, pseudo-headers included. Body sizes are what the buffer holds
 * now. */
enum pw_action pw_stream_request_headers(struct pw_stream *stream, size_t count, bool end_of_stream);
enum pw_action pw_stream_request_body(struct pw_stream *stream, size_t body_bytes, bool end_of_stream);
enum pw_action pw_stream_request_trailers(struct pw_stream *stream, size_t count);
enum pw_action pw_stream_response_headers(struct pw_stream *stream, size_t count, bool end_of_stream);
enum pw_action pw_stream_response_body(struct pw_stream *stream, size_t body_bytes, bool end_of_stream);
enum pw_action pw_stream_response_trailers(struct pw_stream *stream, size_t count);

/* TCP callbacks (ABI 3.17). */
enum pw_action pw_stream_new_connection(struct pw_stream *stream);
enum pw_action pw_stream_downstream_data(struct pw_stream *stream, size_t bytes, bool end_of_stream);
enum pw_action pw_stream_upstream_data(struct pw_stream *stream, size_t bytes, bool end_of_stream);
void pw_stream_downstream_close(struct pw_stream *stream, enum pw_peer peer);
void pw_stream_upstream_close(struct pw_stream *stream, enum pw_peer peer);

/* proxy_on_log: request, response headers and response trailers are readable, nothing is writable. */
void pw_stream_log(struct pw_stream *stream);
/* Whether that would call anything. */
bool pw_stream_has_log(const struct pw_stream *stream);
/*
 * proxy_on_done (result ignored) and proxy_on_delete, once each and only in a healthy VM; then frees. Queued
 * actions of the stream are dropped. May be called from the "afterwards" callbacks. Clears the pointer.
 */
void pw_stream_destroy(struct pw_stream **stream);
/*
 * Instead of pw_stream_destroy where the plugin may not run now: the embedder is rid of the stream, and its
 * `ops` and `ctx` are not used any more. proxy_on_done and proxy_on_delete come by pw_root_end_retired; until
 * then it counts against contexts_max. In a VM of its own (proxywasm/fresh.h) they do not come. Clears the
 * pointer.
 */
void pw_stream_retire(struct pw_stream **stream);
/* Ends the oldest stream of the root that was retired; false: there is none. Those that are left when the
 * root is destroyed go without callbacks. It may fail the VM, and with it the root. */
bool pw_root_end_retired(struct pw_root *root);
/* The same for a TCP stream that is to be logged: proxy_on_done, proxy_on_log, proxy_on_delete (ABI 3.0). */
void pw_stream_destroy_logged(struct pw_stream **stream);

/*
 * proxy_on_log on the root context itself (an access logger, ABI 3.0): during the call, request headers,
 * response headers and trailers and properties are read through `ops`; of it only map_exists, map_next,
 * map_get and property_get are used.
 */
void pw_root_log(struct pw_root *root, const struct pw_stream_ops *ops, void *ctx);

/* Inside a foreign function: the root, and the stream or NULL, of the effective context. */
struct pw_root *pw_foreign_root(const struct pw_foreign_call *call);
struct pw_stream *pw_foreign_stream(const struct pw_foreign_call *call);

uint32_t pw_stream_id(const struct pw_stream *stream);
/* What pw_stream_create was given. */
void *pw_stream_ctx(const struct pw_stream *stream);
struct pw_root *pw_stream_root(const struct pw_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
