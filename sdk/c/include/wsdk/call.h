/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/call.h: calls from a plugin to other services. The answer comes later, to the on_http_call_response
 * and on_grpc_* callbacks of the root context. A host without callouts answers WSDK_INTERNAL_FAILURE.
 */
#ifndef WSDK_CALL_H
#define WSDK_CALL_H

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

struct wsdk_grpc_request {
    struct wsdk_bytes upstream, service, method;
    const struct wsdk_header *metadata;
    size_t metadata_count;
    struct wsdk_bytes message; /* a call's only message; not used by a stream */
    uint32_t timeout_ms;       /* not used by a stream */
};

enum wsdk_status wsdk_grpc_call(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                uint32_t *call);
enum wsdk_status wsdk_grpc_stream(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                  uint32_t *stream);
enum wsdk_status wsdk_grpc_send(struct wsdk_context *ctx, uint32_t stream, struct wsdk_bytes message,
                                bool end);
enum wsdk_status wsdk_grpc_cancel(struct wsdk_context *ctx, uint32_t call);
enum wsdk_status wsdk_grpc_close(struct wsdk_context *ctx, uint32_t call);

/* Code and message of the last answer: a gRPC status, or why an HTTP call failed. */
enum wsdk_status wsdk_call_status(struct wsdk_context *ctx, uint32_t *code, struct wsdk_bytes *message);

#endif
