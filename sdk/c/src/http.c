/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c: the calls of wsdk/http.h. It checks nothing that the host checks anyway.
 */
#include "import.h"
#include "pairs.h"

enum wsdk_status wsdk_header_get(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name,
                                 struct wsdk_bytes *value)
{
    wsdk_slot data = 0, len = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_get_header_map_value, WSDK_ARG(map), WSDK_ARG(name.data),
                                        WSDK_ARG(name.len), WSDK_ARG(&data), WSDK_ARG(&len));
    *value = wsdk_slots_bytes(data, len);
    return status;
}

enum wsdk_status wsdk_header_add(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name,
                                 struct wsdk_bytes value)
{
    return WSDK_HOST(ctx, proxy_add_header_map_value, WSDK_ARG(map), WSDK_ARG(name.data), WSDK_ARG(name.len),
                     WSDK_ARG(value.data), WSDK_ARG(value.len));
}

enum wsdk_status wsdk_header_set(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name,
                                 struct wsdk_bytes value)
{
    return WSDK_HOST(ctx, proxy_replace_header_map_value, WSDK_ARG(map), WSDK_ARG(name.data),
                     WSDK_ARG(name.len), WSDK_ARG(value.data), WSDK_ARG(value.len));
}

enum wsdk_status wsdk_header_remove(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name)
{
    return WSDK_HOST(ctx, proxy_remove_header_map_value, WSDK_ARG(map), WSDK_ARG(name.data),
                     WSDK_ARG(name.len));
}

enum wsdk_status wsdk_headers_bytes(struct wsdk_context *ctx, enum wsdk_map map, size_t *bytes)
{
    wsdk_slot slot = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_get_header_map_size, WSDK_ARG(map), WSDK_ARG(&slot));
    *bytes = (size_t)slot;
    return status;
}

enum wsdk_status wsdk_headers_get(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_headers *headers)
{
    wsdk_slot data = 0, len = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_get_header_map_pairs, WSDK_ARG(map), WSDK_ARG(&data), WSDK_ARG(&len));
    wsdk_pairs_open(headers, wsdk_slots_bytes(data, len));
    return status;
}

enum wsdk_status wsdk_headers_set(struct wsdk_context *ctx, enum wsdk_map map, const struct wsdk_header *list,
                                  size_t count)
{
    struct wsdk_bytes raw;
    enum wsdk_status status = wsdk_pairs_write(ctx, list, count, &raw);
    if (status != WSDK_OK)
        return status;
    return WSDK_HOST(ctx, proxy_set_header_map_pairs, WSDK_ARG(map), WSDK_ARG(raw.data), WSDK_ARG(raw.len));
}

enum wsdk_status wsdk_buffer_get(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t start, size_t len,
                                 struct wsdk_bytes *data)
{
    wsdk_slot at = 0, got = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_get_buffer_bytes, WSDK_ARG(buffer), WSDK_ARG(start),
                                        WSDK_ARG(len), WSDK_ARG(&at), WSDK_ARG(&got));
    *data = wsdk_slots_bytes(at, got);
    return status;
}

enum wsdk_status wsdk_buffer_bytes(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t *bytes)
{
    wsdk_slot len = 0, flags = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_get_buffer_status, WSDK_ARG(buffer), WSDK_ARG(&len), WSDK_ARG(&flags));
    *bytes = (size_t)len;
    return status;
}

enum wsdk_status wsdk_buffer_splice(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t start,
                                    size_t len, struct wsdk_bytes data)
{
    return WSDK_HOST(ctx, proxy_set_buffer_bytes, WSDK_ARG(buffer), WSDK_ARG(start), WSDK_ARG(len),
                     WSDK_ARG(data.data), WSDK_ARG(data.len));
}

enum wsdk_status wsdk_buffer_replace(struct wsdk_context *ctx, enum wsdk_buffer buffer,
                                     struct wsdk_bytes data)
{
    return wsdk_buffer_splice(ctx, buffer, 0, SIZE_MAX, data);
}

enum wsdk_status wsdk_buffer_prepend(struct wsdk_context *ctx, enum wsdk_buffer buffer,
                                     struct wsdk_bytes data)
{
    return wsdk_buffer_splice(ctx, buffer, 0, 0, data);
}

enum wsdk_status wsdk_buffer_append(struct wsdk_context *ctx, enum wsdk_buffer buffer, struct wsdk_bytes data)
{
    return wsdk_buffer_splice(ctx, buffer, SIZE_MAX, 0, data);
}

enum wsdk_status wsdk_configuration(struct wsdk_context *root, size_t bytes, struct wsdk_bytes *text)
{
    *text = WSDK_NONE;
    return bytes == 0 ? WSDK_OK : wsdk_buffer_get(root, WSDK_PLUGIN_CONFIGURATION, 0, bytes, text);
}

enum wsdk_status wsdk_reply_send(struct wsdk_context *ctx, const struct wsdk_reply *reply)
{
    struct wsdk_bytes headers;
    uint32_t grpc_status = reply->has_grpc_status ? reply->grpc_status : UINT32_MAX;
    enum wsdk_status status = wsdk_pairs_write(ctx, reply->headers, reply->header_count, &headers);
    if (status != WSDK_OK)
        return status;
    return WSDK_HOST(ctx, proxy_send_local_response, WSDK_ARG(reply->status), WSDK_ARG(reply->details.data),
                     WSDK_ARG(reply->details.len), WSDK_ARG(reply->body.data), WSDK_ARG(reply->body.len),
                     WSDK_ARG(headers.data), WSDK_ARG(headers.len), WSDK_ARG(grpc_status));
}

enum wsdk_status wsdk_continue(struct wsdk_context *ctx, enum wsdk_stream_kind kind)
{
    return WSDK_HOST(ctx, proxy_continue_stream, WSDK_ARG(kind));
}

enum wsdk_status wsdk_close(struct wsdk_context *ctx, enum wsdk_stream_kind kind)
{
    return WSDK_HOST(ctx, proxy_close_stream, WSDK_ARG(kind));
}
