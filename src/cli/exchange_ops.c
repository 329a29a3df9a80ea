/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of operations through which the plugin reaches the message. What it writes is checked as a peer's
 * bytes are, because the header maps do that.
 */
#include "cli/exchange.h"

#include "base/assert.h"
#include "cli/limits.h"

#include <stdio.h>
#include <stdlib.h>

static struct slice from_pw(struct pw_slice s)
{
    return slice_of(s.ptr, s.len);
}

static struct pw_slice to_pw(struct slice s)
{
    return (struct pw_slice){s.ptr, s.len};
}

static struct header_map *map_of(struct exchange *x, enum pw_map map)
{
    struct message *request = &x->halves[EXCHANGE_REQUEST].message;
    struct message *response = &x->halves[EXCHANGE_RESPONSE].message;
    if (x->test->is_tcp)
        return NULL;
    switch (map) {
    case PW_MAP_REQUEST_HEADERS:
        return &request->headers;
    case PW_MAP_REQUEST_TRAILERS:
        return request->has_trailers ? &request->trailers : NULL;
    case PW_MAP_RESPONSE_HEADERS:
        return x->responding ? &response->headers : NULL;
    case PW_MAP_RESPONSE_TRAILERS:
        return x->responding && response->has_trailers ? &response->trailers : NULL;
    default:
        return NULL;
    }
}

/* Trailers come into being with the first write in the last body callback. */
static struct header_map *map_for_write(struct exchange *x, enum pw_map map)
{
    struct exchange_half *half =
        &x->halves[map == PW_MAP_RESPONSE_TRAILERS ? EXCHANGE_RESPONSE : EXCHANGE_REQUEST];
    if ((map == PW_MAP_REQUEST_TRAILERS || map == PW_MAP_RESPONSE_TRAILERS) && half->last_chunk)
        half->message.has_trailers = true;
    return map_of(x, map);
}

static bool map_exists(void *ctx, enum pw_map map)
{
    return map_of(ctx, map) != NULL;
}

static size_t map_count(void *ctx, enum pw_map map)
{
    const struct header_map *m = map_of(ctx, map);
    return m ? m->count : 0;
}

static size_t map_bytes(void *ctx, enum pw_map map)
{
    const struct header_map *m = map_of(ctx, map);
    return m ? m->bytes : 0;
}

static bool map_step(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    const struct header_map *m = map_of(ctx, map);
    uint32_t at = (uint32_t)*cursor;
    const struct header *h = m ? header_map_next(m, &at) : NULL;
    if (!h)
        return false;
    *cursor = at;
    *out = (struct pw_pair){to_pw(h->name), to_pw(h->value)};
    return true;
}

static bool map_value(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    const struct header_map *m = map_of(ctx, map);
    const struct header *h = m ? header_map_find(m, from_pw(name)) : NULL;
    if (!h)
        return false;
    *value = to_pw(h->value);
    return true;
}

static enum pw_status written(enum header_result result)
{
    return result == HEADER_OK ? PW_STATUS_OK : PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    struct header_map *m = map_for_write(ctx, map);
    return m ? written(header_map_add(m, from_pw(name), from_pw(value))) : PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status map_replace(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    struct header_map *m = map_for_write(ctx, map);
    return m ? written(header_map_set(m, from_pw(name), from_pw(value))) : PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status map_drop(void *ctx, enum pw_map map, struct pw_slice name)
{
    struct header_map *m = map_of(ctx, map);
    if (!m)
        return PW_STATUS_BAD_ARGUMENT;
    header_map_remove(m, from_pw(name));
    return PW_STATUS_OK;
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    struct header_map *m = map_for_write(ctx, map);
    if (!m)
        return PW_STATUS_BAD_ARGUMENT;
    header_map_clear(m);
    enum pw_status status = PW_STATUS_OK;
    for (size_t i = 0; i < count; i++)
        if (header_map_add(m, from_pw(pairs[i].name), from_pw(pairs[i].value)) != HEADER_OK)
            status = PW_STATUS_BAD_ARGUMENT;
    return status;
}

/* --- bodies --- */

static struct strbuf *buffer_of(struct exchange *x, enum pw_buffer buffer)
{
    WEIR_ASSERT(buffer <= PW_BUFFER_UPSTREAM_DATA);
    bool back = buffer == PW_BUFFER_RESPONSE_BODY || buffer == PW_BUFFER_UPSTREAM_DATA;
    bool tcp = buffer == PW_BUFFER_DOWNSTREAM_DATA || buffer == PW_BUFFER_UPSTREAM_DATA;
    struct exchange_half *half = &x->halves[back ? EXCHANGE_RESPONSE : EXCHANGE_REQUEST];
    return tcp == x->test->is_tcp && half->viewing ? &half->view : NULL;
}

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    const struct strbuf *b = buffer_of(ctx, buffer);
    return b ? b->len : 0;
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    const struct strbuf *b = buffer_of(ctx, buffer);
    if (!b || offset >= b->len)
        return 0;
    struct slice part = slice_take(slice_skip(strbuf_slice(b), offset), len);
    if (part.len)
        memcpy(dst, part.ptr, part.len);
    return part.len;
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    struct strbuf *b = buffer_of(ctx, buffer), fresh;
    if (!b)
        return PW_STATUS_BAD_ARGUMENT;
    struct slice whole = strbuf_slice(b);
    strbuf_init(&fresh, CLI_BODY_BYTES_MAX);
    strbuf_append(&fresh, slice_take(whole, offset));
    strbuf_append(&fresh, from_pw(bytes));
    strbuf_append(&fresh, slice_skip(slice_skip(whole, offset), remove));
    if (fresh.failed) {
        strbuf_fini(&fresh);
        return PW_STATUS_INTERNAL_FAILURE;
    }
    strbuf_fini(b);
    *b = fresh;
    return PW_STATUS_OK;
}

/* --- afterwards --- */

static void clear_route_cache(void *ctx)
{
    (void)ctx; /* there are no routes */
}

/* Whether the type is one of what runs here: a message's or a connection's. */
static bool is_ours(const struct exchange *x, enum pw_stream_type type)
{
    return x->test->is_tcp == (type == PW_STREAM_DOWNSTREAM || type == PW_STREAM_UPSTREAM);
}

static void continue_stream(void *ctx, enum pw_stream_type type)
{
    struct exchange *x = ctx;
    bool back = type == PW_STREAM_HTTP_RESPONSE || type == PW_STREAM_UPSTREAM;
    struct exchange_half *half = &x->halves[back ? EXCHANGE_RESPONSE : EXCHANGE_REQUEST];
    if (!is_ours(x, type))
        return;
    half->blocked = false;
    half->held = false;
    exchange_release(half);
}

static void close_stream(void *ctx, enum pw_stream_type type)
{
    struct exchange *x = ctx;
    x->closed |= is_ours(x, type);
}

static void local_reply(void *ctx, const struct pw_local_reply *reply)
{
    struct exchange *x = ctx;
    char text[32];
    if (x->reply_waits || x->test->is_tcp)
        return;
    message_fini(&x->reply);
    message_init(&x->reply);
    message_set_status(&x->reply,
                       reply->status_code >= 200 && reply->status_code < 600 ? reply->status_code : 500);
    if (reply->body.len > 0) {
        snprintf(text, sizeof(text), "%zu", reply->body.len);
        header_map_set_id(&x->reply.headers, HDR_CONTENT_LENGTH, slice_str(text));
        header_map_set_id(&x->reply.headers, HDR_CONTENT_TYPE, SLICE_LIT("text/plain"));
    }
    for (size_t i = 0; i < reply->headers_count; i++)
        header_map_add(&x->reply.headers, from_pw(reply->headers[i].name), from_pw(reply->headers[i].value));
    if (reply->grpc_status >= 0) {
        snprintf(text, sizeof(text), "%d", reply->grpc_status);
        header_map_add(&x->reply.headers, SLICE_LIT("grpc-status"), slice_str(text));
    }
    strbuf_append(&x->reply.body, from_pw(reply->body));
    free(x->reply_details);
    x->reply_details = slice_strdup(from_pw(reply->details));
    x->reply_waits = true;
}

static void vm_failed(void *ctx)
{
    ((struct exchange *)ctx)->failed = true;
}

const struct pw_stream_ops exchange_ops = {
    .size = sizeof(exchange_ops),
    .map_exists = map_exists,
    .map_count = map_count,
    .map_bytes = map_bytes,
    .map_next = map_step,
    .map_get = map_value,
    .map_add = map_add,
    .map_replace = map_replace,
    .map_remove = map_drop,
    .map_set = map_set,
    .buffer_size = buffer_size,
    .buffer_copy = buffer_copy,
    .buffer_splice = buffer_splice,
    .property_get = exchange_property_get,
    .property_set = exchange_property_set,
    .clear_route_cache = clear_route_cache,
    .continue_stream = continue_stream,
    .close_stream = close_stream,
    .local_reply = local_reply,
    .vm_failed = vm_failed,
};
