/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: the calls of wsdk/call.h. It keeps no list of calls in flight: the plugin does.
 */
#include "import.h"
#include "pairs.h"
#include <wsdk/call.h>

enum wsdk_status wsdk_http_call(struct wsdk_context *ctx, const struct wsdk_http_request *request,
                                uint32_t *call)
{
    struct wsdk_bytes headers, trailers;
    wsdk_slot slot = 0;
    *call = 0;
    enum wsdk_status status = wsdk_pairs_write(ctx, request->headers, request->header_count, &headers);
    if (status == WSDK_OK)
        status = wsdk_pairs_write(ctx, request->trailers, request->trailer_count, &trailers);
    if (status != WSDK_OK)
        return status;
    status = WSDK_HOST(ctx, proxy_http_call, WSDK_ARG(request->upstream.data),
                       WSDK_ARG(request->upstream.len), WSDK_ARG(headers.data), WSDK_ARG(headers.len),
                       WSDK_ARG(request->body.data), WSDK_ARG(request->body.len), WSDK_ARG(trailers.data),
                       WSDK_ARG(trailers.len), WSDK_ARG(request->timeout_ms), WSDK_ARG(&slot));
    *call = (uint32_t)slot;
    return status;
}

enum wsdk_status wsdk_grpc_call(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                uint32_t *call)
{
    struct wsdk_bytes metadata;
    wsdk_slot slot = 0;
    *call = 0;
    enum wsdk_status status = wsdk_pairs_write(ctx, request->metadata, request->metadata_count, &metadata);
    if (status != WSDK_OK)
        return status;
    status =
        WSDK_HOST(ctx, proxy_grpc_call, WSDK_ARG(request->upstream.data), WSDK_ARG(request->upstream.len),
                  WSDK_ARG(request->service.data), WSDK_ARG(request->service.len),
                  WSDK_ARG(request->method.data), WSDK_ARG(request->method.len), WSDK_ARG(metadata.data),
                  WSDK_ARG(metadata.len), WSDK_ARG(request->message.data), WSDK_ARG(request->message.len),
                  WSDK_ARG(request->timeout_ms), WSDK_ARG(&slot));
    *call = (uint32_t)slot;
    return status;
}

enum wsdk_status wsdk_grpc_stream(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                  uint32_t *stream)
{
    struct wsdk_bytes metadata;
    wsdk_slot slot = 0;
    *stream = 0;
    enum wsdk_status status = wsdk_pairs_write(ctx, request->metadata, request->metadata_count, &metadata);
    if (status != WSDK_OK)
        return status;
    status = WSDK_HOST(
        ctx, proxy_grpc_stream, WSDK_ARG(request->upstream.data), WSDK_ARG(request->upstream.len),
        WSDK_ARG(request->service.data), WSDK_ARG(request->service.len), WSDK_ARG(request->method.data),
        WSDK_ARG(request->method.len), WSDK_ARG(metadata.data), WSDK_ARG(metadata.len), WSDK_ARG(&slot));
    *stream = (uint32_t)slot;
    return status;
}

enum wsdk_status wsdk_grpc_send(struct wsdk_context *ctx, uint32_t stream, struct wsdk_bytes message,
                                bool end)
{
    return WSDK_HOST(ctx, proxy_grpc_send, WSDK_ARG(stream), WSDK_ARG(message.data), WSDK_ARG(message.len),
                     WSDK_ARG(end ? 1 : 0));
}

enum wsdk_status wsdk_grpc_cancel(struct wsdk_context *ctx, uint32_t call)
{
    return WSDK_HOST(ctx, proxy_grpc_cancel, WSDK_ARG(call));
}

enum wsdk_status wsdk_grpc_close(struct wsdk_context *ctx, uint32_t call)
{
    return WSDK_HOST(ctx, proxy_grpc_close, WSDK_ARG(call));
}

enum wsdk_status wsdk_call_status(struct wsdk_context *ctx, uint32_t *code, struct wsdk_bytes *message)
{
    wsdk_slot number = 0, data = 0, len = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_get_status, WSDK_ARG(&number), WSDK_ARG(&data), WSDK_ARG(&len));
    *code = (uint32_t)number;
    *message = wsdk_slots_bytes(data, len);
    return status;
}
