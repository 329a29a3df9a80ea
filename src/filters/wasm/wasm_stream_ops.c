/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of operations through which a plugin reaches its stream: header maps, bodies, control. What a
 * plugin writes is checked like what a peer sends; the library decides what is reachable when.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_filter.h"
#include "proxy/local_reply.h"
#include "proxy/stream.h"
#include "telemetry/log.h"

static struct header_map *map_of(struct wasm_stream *st, enum pw_map map)
{
    switch (map) {
    case PW_MAP_REQUEST_HEADERS:
        return filter_request_headers(st->filter);
    case PW_MAP_REQUEST_TRAILERS:
        return filter_request_trailers(st->filter);
    case PW_MAP_RESPONSE_HEADERS:
        return filter_response_headers(st->filter);
    case PW_MAP_RESPONSE_TRAILERS:
        return filter_response_trailers(st->filter);
    default:
        return NULL;
    }
}

/* For writing: trailers may come into being in the last body callback. */
static struct header_map *map_for_write(struct wasm_stream *st, enum pw_map map)
{
    struct header_map *m = map_of(st, map);
    if (m)
        return m;
    if (map == PW_MAP_REQUEST_TRAILERS && st->data[WASM_REQUEST] && st->eos[WASM_REQUEST])
        return filter_add_request_trailers(st->filter);
    if (map == PW_MAP_RESPONSE_TRAILERS && st->data[WASM_RESPONSE] && st->eos[WASM_RESPONSE])
        return filter_add_response_trailers(st->filter);
    return NULL;
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

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    const struct header_map *m = map_of(ctx, map);
    uint32_t at = (uint32_t)*cursor;
    const struct header *h = m ? header_map_next(m, &at) : NULL;
    if (!h)
        return false;
    *cursor = at;
    *out = (struct pw_pair){slice_to_pw(h->name), slice_to_pw(h->value)};
    return true;
}

struct slice wasm_header_name(enum pw_map map, struct pw_slice name)
{
    if (name.len == 4 && map == PW_MAP_REQUEST_HEADERS && slice_eq_nocase(from_pw(name), SLICE_LIT("host")))
        return SLICE_LIT(":authority");
    return from_pw(name);
}

static WEIR_HOT bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    const struct header_map *m = map_of(ctx, map);
    const struct header *h = m ? header_map_find(m, wasm_header_name(map, name)) : NULL;
    if (!h)
        return false;
    *value = slice_to_pw(h->value);
    return true;
}

static enum pw_status write_result(struct wasm_stream *st, enum header_result result, const char *what,
                                   struct slice name)
{
    static const char *const reasons[] = {"", "the name is not a token",
                                          "the value holds CR, LF, NUL or the like",
                                          "too many or too large headers"};
    if (result == HEADER_OK)
        return PW_STATUS_OK;
    log_write(WASM, DEBUG, "plugin \"%s\": %s of header \"%.*s\" refused: %s", st->plugin->name, what,
              SLICE_ARG(slice_take(name, 128)), reasons[-(int)result]);
    return PW_STATUS_BAD_ARGUMENT;
}

static WEIR_HOT enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name,
                                       struct pw_slice value)
{
    struct header_map *m = map_for_write(ctx, map);
    if (!m)
        return PW_STATUS_BAD_ARGUMENT;
    return write_result(ctx, header_map_add(m, wasm_header_name(map, name), from_pw(value)), "adding",
                        from_pw(name));
}

static WEIR_HOT enum pw_status map_replace(void *ctx, enum pw_map map, struct pw_slice name,
                                           struct pw_slice value)
{
    struct header_map *m = map_for_write(ctx, map);
    if (!m)
        return PW_STATUS_BAD_ARGUMENT;
    return write_result(ctx, header_map_set(m, wasm_header_name(map, name), from_pw(value)), "replacing",
                        from_pw(name));
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    struct header_map *m = map_of(ctx, map);
    if (m)
        header_map_remove(m, wasm_header_name(map, name));
    return m ? PW_STATUS_OK : PW_STATUS_BAD_ARGUMENT;
}

/* All or nothing: every pair is checked before the old fields go. */
static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    struct wasm_stream *st = ctx;
    struct header_map *m = map_for_write(st, map);
    if (!m)
        return PW_STATUS_BAD_ARGUMENT;
    struct header_map fresh;
    header_map_init(&fresh, m->arena, m->count_max, m->bytes_max);
    for (size_t i = 0; i < count; i++) {
        enum header_result r =
            header_map_add(&fresh, wasm_header_name(map, pairs[i].name), from_pw(pairs[i].value));
        if (r != HEADER_OK)
            return write_result(st, r, "setting", from_pw(pairs[i].name));
    }
    *m = fresh;
    return PW_STATUS_OK;
}

/* --- bodies --- */

static struct chain *chain_of(struct wasm_stream *st, enum pw_buffer buffer)
{
    switch (buffer) {
    case PW_BUFFER_REQUEST_BODY:
        return st->data[WASM_REQUEST] ? st->data[WASM_REQUEST] : filter_request_body(st->filter);
    case PW_BUFFER_RESPONSE_BODY:
        return st->data[WASM_RESPONSE] ? st->data[WASM_RESPONSE] : filter_response_body(st->filter);
    default:
        return NULL;
    }
}

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    const struct chain *c = chain_of(ctx, buffer);
    return c ? c->bytes : 0;
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    const struct chain *c = chain_of(ctx, buffer);
    return c ? chain_copy_out(c, offset, dst, len) : 0;
}

enum pw_status wasm_splice(struct chain *c, struct block_pool *blocks, size_t offset, size_t remove,
                           struct slice bytes)
{
    bool append = offset >= c->bytes && offset > 0;
    if (offset != 0 && !append)
        return PW_STATUS_BAD_ARGUMENT;
    if (append)
        return chain_append_copy(c, blocks, bytes) ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
    chain_drain(c, remove < c->bytes ? remove : c->bytes);
    return chain_prepend_copy(c, blocks, bytes) ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    struct wasm_stream *st = ctx;
    struct chain *c = chain_of(st, buffer);
    if (!c)
        return PW_STATUS_BAD_ARGUMENT;
    enum pw_status status =
        wasm_splice(c, &st->filter->stream->worker->loop.blocks, offset, remove, from_pw(bytes));
    if (offset == 0)
        filter_body_drained(st->filter);
    return status;
}

/* --- properties --- */

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    return wasm_property_get(ctx, from_pw(path), out);
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    return wasm_property_set(ctx, from_pw(path), from_pw(value));
}

/* --- control: after the outermost guest call --- */

static void clear_route_cache(void *ctx)
{
    filter_clear_route(((struct wasm_stream *)ctx)->filter);
}

static void continue_stream(void *ctx, enum pw_stream_type type)
{
    struct wasm_stream *st = ctx;
    if (type == PW_STREAM_HTTP_REQUEST) {
        wasm_stream_continues(st, WASM_REQUEST);
        filter_continue_request(st->filter);
    } else if (type == PW_STREAM_HTTP_RESPONSE) {
        wasm_stream_continues(st, WASM_RESPONSE);
        filter_continue_response(st->filter);
    }
}

static void close_stream(void *ctx, enum pw_stream_type type)
{
    struct wasm_stream *st = ctx;
    if (type == PW_STREAM_HTTP_REQUEST || type == PW_STREAM_HTTP_RESPONSE)
        filter_close_stream(st->filter, "wasm_close_stream");
}

#define REPLY_HEADERS_MAX 128 /* more than max_headers_count's default */

static void local_reply(void *ctx, const struct pw_local_reply *r)
{
    struct wasm_stream *st = ctx;
    struct local_reply_header headers[REPLY_HEADERS_MAX];
    size_t count = r->headers_count < REPLY_HEADERS_MAX ? r->headers_count : REPLY_HEADERS_MAX;
    for (size_t i = 0; i < count; i++)
        headers[i] = (struct local_reply_header){from_pw(r->headers[i].name), from_pw(r->headers[i].value)};
    bool valid = r->status_code >= 200 && r->status_code <= 599;
    if (!valid)
        log_write(WASM, WARN, "plugin \"%s\" sent a local reply with status %u: answered with 500",
                  st->plugin->name, r->status_code);
    struct local_reply reply = {
        .status = valid ? (uint16_t)r->status_code : 500,
        .body = from_pw(r->body),
        .details = from_pw(r->details),
        .grpc_status = r->grpc_status,
        .headers = headers,
        .headers_count = count,
    };
    filter_local_reply(st->filter, &reply);
}

static void vm_failed(void *ctx)
{
    wasm_stream_failed(ctx);
}

const struct pw_stream_ops wasm_stream_ops = {
    .size = sizeof(wasm_stream_ops),
    .map_exists = map_exists,
    .map_count = map_count,
    .map_bytes = map_bytes,
    .map_next = map_next,
    .map_get = map_get,
    .map_add = map_add,
    .map_replace = map_replace,
    .map_remove = map_remove,
    .map_set = map_set,
    .buffer_size = buffer_size,
    .buffer_copy = buffer_copy,
    .buffer_splice = buffer_splice,
    .property_get = property_get,
    .property_set = property_set,
    .clear_route_cache = clear_route_cache,
    .continue_stream = continue_stream,
    .close_stream = close_stream,
    .local_reply = local_reply,
    .vm_failed = vm_failed,
};
