/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/call.h: calls from a plugin to other services. The answer comes later, to the on_http_call_response
 * and on_grpc_* callbacks of the root context. A host without callouts answers WSDK_INTERNAL_FAILURE.
 */
#ifndef WSDK_CALL_H
#define WSDK_CALL_H

#include <wsdk/plugin.h>

#include <wsdk/http.h>

struct wsdk_http_request {
    struct wsdk_bytes upstream;        /* a cluster's name */
    const struct wsdk_header *headers; /* :method, :path and :authority are required */
    size_t header_count;
    struct wsdk_bytes body;
    const struct wsdk_header *trailers;
    size_t trailer_count;
    uint32_t timeout_ms; /* 0: none */
};

enum wsdk_status wsdk_http_call(struct wsdk_context *ctx, const struct wsdk_http_request *request,
                                uint32_t *call);

/*
 * The same, with a function for the answer. It runs on `ctx` itself: a stream is made the effective context,
 * so headers, replies and wsdk_continue are those of the stream. When the context is gone by then, the answer
 * is dropped. For this the plugin lists ON(on_http_call_response, wsdk_on_http_call_response), or calls
 * wsdk_http_take first in a callback of its own.
 *
 * `status` is the answer's status, 0 when the call failed without one (see wsdk_call_status). Headers, body
 * and trailers are read with WSDK_CALL_RESPONSE_* while the function runs.
 */
struct wsdk_http_answer {
    uint32_t call;
    uint32_t status;
    size_t header_count, bytes, trailer_count;
};
typedef void (*wsdk_http_answer_fn)(struct wsdk_context *ctx, const struct wsdk_http_answer *answer,
                                    void *data);
enum wsdk_status wsdk_http_call_then(struct wsdk_context *ctx, const struct wsdk_http_request *request,
                                     wsdk_http_answer_fn then, void *data);
void wsdk_on_http_call_response(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                                size_t trailer_count);
/* False: the call was not made with wsdk_http_call_then. */
bool wsdk_http_take(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                    size_t trailer_count);

struct wsdk_grpc_request {
    struct wsdk_bytes upstream, service, method;
    const struct wsdk_header *metadata;
    size_t metadata_count;
    struct wsdk_bytes message; /* a call's only message; not used by a stream */
    uint32_t timeout_ms;       /* not used by a stream */
};

enum wsdk_status wsdk_grpc_call(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                uint32_t *call);
/*
 * The same, with a function for the end. `status` 0: `bytes` of message in WSDK_GRPC_MESSAGE; else the call
 * failed and wsdk_call_status has the text. The plugin lists ON(on_grpc_receive, wsdk_on_grpc_receive) and
 * ON(on_grpc_close, wsdk_on_grpc_close), or calls wsdk_grpc_take first in callbacks of its own.
 */
struct wsdk_grpc_answer {
    uint32_t call;
    uint32_t status;
    size_t bytes;
};
typedef void (*wsdk_grpc_answer_fn)(struct wsdk_context *ctx, const struct wsdk_grpc_answer *answer,
                                    void *data);
enum wsdk_status wsdk_grpc_call_then(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                     wsdk_grpc_answer_fn then, void *data);
void wsdk_on_grpc_receive(struct wsdk_context *root, uint32_t call, size_t bytes);
void wsdk_on_grpc_close(struct wsdk_context *root, uint32_t call, uint32_t grpc_status);
/* False: the call was not made with wsdk_grpc_call_then. */
bool wsdk_grpc_take(struct wsdk_context *root, uint32_t call, uint32_t grpc_status, size_t bytes);

/* A stream of messages: its callbacks are on_grpc_receive_initial_metadata, on_grpc_receive for each message,
 * on_grpc_receive_trailing_metadata and on_grpc_close. */
enum wsdk_status wsdk_grpc_stream(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                  uint32_t *stream);
/* `end`: nothing follows it. wsdk_grpc_close of a stream sends the end alone; of a call it cancels. */
enum wsdk_status wsdk_grpc_send(struct wsdk_context *ctx, uint32_t stream, struct wsdk_bytes message,
                                bool end);
enum wsdk_status wsdk_grpc_cancel(struct wsdk_context *ctx, uint32_t call);
enum wsdk_status wsdk_grpc_close(struct wsdk_context *ctx, uint32_t call);

/* Code and message of the last answer: a gRPC status, or why an HTTP call failed. */
enum wsdk_status wsdk_call_status(struct wsdk_context *ctx, uint32_t *code, struct wsdk_bytes *message);

#endif
