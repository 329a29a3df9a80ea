/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC calls and streams of plugins: the request head, the five bytes in front of each message, and a status
 * for everything that can end it (grpc/doc/http-grpc-status-mapping.md), as Envoy's client decides it. The
 * transport is any upstream stream; that it is HTTP/2 is the cluster's business.
 */
#include "filters/wasm/wasm_callout.h"
#include "filters/wasm/wasm_grpc_service.h"
#include "proxy/grpc.h"

#include <stdio.h>

#define GRPC_OK                 0u
#define GRPC_UNKNOWN            2u
#define GRPC_RESOURCE_EXHAUSTED 8u
#define GRPC_INTERNAL           13u

static bool is_stream(const struct wasm_callout *c);

/* The end: known now, told at the end of the turn. `trailing`: the map to show, or NULL for an empty one. The
 * status' text has Envoy's details behind it. */
static void end_with(struct wasm_callout *c, uint32_t status, struct slice message, const char *details,
                     struct header_map *trailing)
{
    c->grpc_status = status;
    strbuf_reset(&c->grpc_message);
    strbuf_append(&c->grpc_message, message);
    if (details[0])
        strbuf_printf(&c->grpc_message, message.len ? "{%s}" : "%s", details);
    c->trailers = trailing;
    wasm_callout_done(c);
}

/* The upstream broke the rules: it is given up. */
static void stream_error(struct wasm_callout *c, uint32_t status)
{
    wasm_callout_stop(c);
    end_with(c, status, SLICE_EMPTY, "", NULL);
}

static bool grpc_status_of(const struct header_map *map, uint32_t *status)
{
    uint64_t value;
    if (!header_map_has_id(map, HDR_GRPC_STATUS))
        return false;
    bool valid = slice_parse_u64(header_map_get_id(map, HDR_GRPC_STATUS), &value) && value <= UINT32_MAX;
    *status = valid ? (uint32_t)value : UINT32_MAX; /* Envoy's InvalidCode */
    return true;
}

/* Trailers, or the head of an answer that has nothing else. */
static void end_with_trailers(struct wasm_callout *c, struct header_map *map)
{
    uint32_t status = GRPC_UNKNOWN;
    grpc_status_of(map, &status);
    end_with(c, status, header_map_get_id(map, HDR_GRPC_MESSAGE), "via_upstream", map);
}

static void tell_initial_metadata(struct wasm_callout *c, const struct header_map *map)
{
    size_t count = 0;
    struct pw_pair *pairs = map ? wasm_callout_pairs(c, map, &count) : NULL;
    if (is_stream(c))
        pw_callout_grpc_initial_metadata(c->pw, pairs, count);
}

static void on_headers(struct wasm_callout *c, bool end_of_stream)
{
    uint64_t http = 0;
    uint32_t status;
    slice_parse_u64(header_map_get_id(c->headers, HDR_STATUS), &http);
    tell_initial_metadata(c, end_of_stream ? NULL : c->headers);
    if (!c->pw)
        return;
    if (end_of_stream && (http == 200 || grpc_status_of(c->headers, &status)))
        end_with_trailers(c, c->headers);
    else if (http != 200)
        stream_error(c, grpc_status_of_http(http));
}

/* --- messages --- */

static void frame_reset(struct wasm_grpc_frame *f)
{
    f->prefix_have = 0;
    strbuf_reset(&f->bytes);
}

/* A message is whole. */
static void on_message(struct wasm_callout *c)
{
    struct wasm_grpc_frame *f = &c->frame;
    if (!is_stream(c)) {
        /* A call has one; it counts only with the status that follows. */
        if (c->grpc_answered) {
            stream_error(c, GRPC_INTERNAL);
            return;
        }
        c->grpc_answered = true;
        struct strbuf kept = c->body;
        c->body = f->bytes;
        f->bytes = kept;
        frame_reset(f);
        return;
    }
    struct pw_slice message = {f->bytes.ptr ? f->bytes.ptr : "", f->bytes.len};
    pw_callout_uncharge(c->pw, message.len);
    pw_callout_grpc_message(c->pw, message);
    frame_reset(f);
}

/* Takes what one step can from `data`. False: the message is over the cap, or compressed. */
static bool frame_step(struct wasm_callout *c, struct chain *data, uint32_t *error)
{
    struct wasm_grpc_frame *f = &c->frame;
    if (f->prefix_have < sizeof(f->prefix)) {
        size_t n = chain_copy_out(data, 0, f->prefix + f->prefix_have, sizeof(f->prefix) - f->prefix_have);
        chain_drain(data, n);
        f->prefix_have += (uint32_t)n;
        if (f->prefix_have < sizeof(f->prefix))
            return true;
        f->length = (uint32_t)f->prefix[1] << 24 | (uint32_t)f->prefix[2] << 16 |
                    (uint32_t)f->prefix[3] << 8 | f->prefix[4];
        *error = GRPC_INTERNAL; /* nobody offered a compression */
        if (f->prefix[0] != 0)
            return false;
    }
    size_t want = f->length - f->bytes.len;
    *error = GRPC_RESOURCE_EXHAUSTED;
    if (f->length > pw_callout_answer_bytes_max(c->pw) ||
        !wasm_callout_keep(c, &f->bytes, data, want < data->bytes ? want : data->bytes))
        return false;
    if (f->bytes.len == f->length)
        on_message(c);
    return true;
}

static void on_data(struct wasm_callout *c, struct chain *data, bool end_of_stream)
{
    uint32_t error;
    bool over = c->over; /* by the end that comes with this data */
    while (!chain_empty(data)) {
        if (is_stream(c) && wasm_callout_must_wait(c)) {
            if (!wasm_callout_later_data(c, data, end_of_stream))
                stream_error(c, GRPC_RESOURCE_EXHAUSTED);
            return;
        }
        if (!frame_step(c, data, &error)) {
            stream_error(c, error);
            return;
        }
        /* The plugin may have cancelled it in the callback, or the message was one too many. */
        if (!c->pw || c->over != over || !list_empty(&c->done.node))
            return;
    }
    if (end_of_stream)
        stream_error(c, GRPC_UNKNOWN); /* trailers with a status are missing */
}

static void on_trailers(struct wasm_callout *c)
{
    end_with_trailers(c, c->trailers);
}

/* The proxy's own answer in place of the upstream's: for a gRPC request it is one of gRPC. */
static struct header_map *local_trailers(struct wasm_callout *c, uint32_t status, struct slice text)
{
    char number[SLICE_U64_BYTES];
    struct header_map *map = ARENA_NEW(&c->arena, struct header_map);
    if (!map)
        return NULL;
    header_map_init(map, &c->arena, 8, 4096);
    header_map_set_id(map, HDR_STATUS, SLICE_LIT("200"));
    header_map_set_id(map, HDR_CONTENT_TYPE, SLICE_LIT("application/grpc"));
    header_map_set_id(map, HDR_GRPC_STATUS, slice_from_u64(status, number));
    header_map_set_id(map, HDR_GRPC_MESSAGE, text);
    return map;
}

static void on_failed(struct wasm_callout *c, unsigned status, const char *text, const char *details)
{
    if (!status) {
        end_with(c, GRPC_INTERNAL, SLICE_EMPTY, "", NULL);
        return;
    }
    uint32_t grpc = grpc_status_of_http(status);
    struct header_map *map = local_trailers(c, grpc, slice_str(text));
    c->headers = NULL;
    end_with(c, grpc, slice_str(text), details, map);
}

/* --- the end --- */

static void deliver_call(struct wasm_callout *c)
{
    if (c->grpc_status == GRPC_OK && c->grpc_answered) {
        pw_callout_grpc_answer(&c->pw, (struct pw_slice){c->body.ptr ? c->body.ptr : "", c->body.len});
        return;
    }
    /* A call without a message is no success, whatever its status says. */
    uint32_t status = c->grpc_status == GRPC_OK ? GRPC_INTERNAL : c->grpc_status;
    pw_callout_grpc_close(&c->pw, status, (struct pw_slice){c->grpc_message.ptr, c->grpc_message.len});
}

static void deliver_stream(struct wasm_callout *c)
{
    size_t count = 0;
    struct pw_pair *pairs = NULL;
    if (!c->headers) { /* it failed before an answer: the plugin gets the whole sequence all the same */
        pw_callout_grpc_initial_metadata(c->pw, NULL, 0);
        if (!c->pw)
            return;
    }
    if (c->trailers)
        pairs = wasm_callout_pairs(c, c->trailers, &count);
    pw_callout_grpc_trailing_metadata(c->pw, pairs, count);
    if (c->pw)
        pw_callout_grpc_close(&c->pw, c->grpc_status,
                              (struct pw_slice){c->grpc_message.ptr, c->grpc_message.len});
}

static const struct wasm_callout_kind call_kind = {
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .failed = on_failed,
    .deliver = deliver_call,
};

static const struct wasm_callout_kind stream_kind = {
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .failed = on_failed,
    .deliver = deliver_stream,
    .tells_all = true,
};

static bool is_stream(const struct wasm_callout *c)
{
    return c->kind == &stream_kind;
}

/* --- the beginning --- */

/* At most eight digits, in the finest unit that holds the time (as Envoy). */
static void timeout_text(uint64_t ms, char *to, size_t size)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'m', 1}, {'S', 1000}, {'M', 60000}, {'H', 3600000}};
    size_t i = 0;
    while (i + 1 < WEIR_ARRAY_LEN(units) && ms / units[i].ms > 99999999)
        i++;
    snprintf(to, size, "%llu%c", (unsigned long long)(ms / units[i].ms), units[i].unit);
}

static struct slice from_slice(struct pw_slice s)
{
    return slice_of(s.ptr, s.len);
}

/* A plugin adds metadata; it does not change where the call goes. */
static bool add_metadata(struct header_map *map, const struct pw_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].name.len == 0 || pairs[i].name.ptr[0] == ':')
            return false;
    }
    return wasm_callout_copy(map, pairs, count);
}

static bool fill(struct wasm_callout *c, const struct pw_grpc_call *call, const struct wasm_grpc_service *to)
{
    struct header_map *h = &c->request;
    char *path = arena_printf(&c->arena, "/" SLICE_FMT "/" SLICE_FMT, SLICE_ARG(from_slice(call->service)),
                              SLICE_ARG(from_slice(call->method)));
    bool ok =
        path && header_map_set_id(h, HDR_METHOD, SLICE_LIT("POST")) == HEADER_OK &&
        header_map_set_id(h, HDR_SCHEME, SLICE_LIT("http")) == HEADER_OK &&
        header_map_set_id(h, HDR_PATH, slice_str(path)) == HEADER_OK &&
        header_map_set_id(h, HDR_AUTHORITY, to->authority.len ? to->authority : to->cluster) == HEADER_OK &&
        header_map_set_id(h, HDR_TE, SLICE_LIT("trailers")) == HEADER_OK;
    if (ok && call->timeout_ms) {
        char text[32];
        timeout_text(call->timeout_ms, text, sizeof(text));
        ok = header_map_set_id(h, HDR_GRPC_TIMEOUT, slice_str(text)) == HEADER_OK;
    }
    ok = ok && header_map_set_id(h, HDR_CONTENT_TYPE, SLICE_LIT("application/grpc")) == HEADER_OK;
    return ok && add_metadata(h, to->metadata, to->metadata_count) &&
           add_metadata(h, call->metadata, call->metadata_count);
}

/* The prefix and the message wait to be sent. */
static bool queue_message(struct wasm_callout *c, struct pw_slice message)
{
    uint32_t len = (uint32_t)message.len;
    const char prefix[5] = {0, (char)(len >> 24), (char)(len >> 16), (char)(len >> 8), (char)len};
    return message.len <= UINT32_MAX && wasm_callout_send(c, slice_of(prefix, sizeof(prefix))) &&
           (message.len == 0 || wasm_callout_send(c, from_slice(message)));
}

static enum pw_status refuse(struct wasm_callout *c)
{
    c->pw = NULL;
    wasm_callout_destroy(c);
    return PW_STATUS_INTERNAL_FAILURE;
}

static enum pw_status begin(struct wasm_vm *vm, struct pw_callout *pw, const struct pw_grpc_call *call,
                            const struct wasm_callout_kind *kind)
{
    struct wasm_grpc_service to;
    enum pw_status status = wasm_grpc_service_read(vm, pw, call->upstream, &to);
    if (status != PW_STATUS_OK)
        return status;
    struct wasm_callout *c = wasm_callout_create(vm, pw, kind, to.cluster, &status);
    if (!c)
        return PW_STATUS_INTERNAL_FAILURE;
    if (!fill(c, call, &to))
        return refuse(c);
    if (kind == &call_kind) {
        if (!queue_message(c, call->message))
            return refuse(c);
        wasm_callout_send_end(c);
    }
    return wasm_callout_start(c, call->timeout_ms);
}

enum pw_status wasm_callout_grpc_call(void *ctx, struct pw_callout *pw, const struct pw_grpc_call *call)
{
    return begin(ctx, pw, call, &call_kind);
}

enum pw_status wasm_callout_grpc_stream(void *ctx, struct pw_callout *pw, const struct pw_grpc_call *call)
{
    return begin(ctx, pw, call, &stream_kind);
}

enum pw_status wasm_callout_grpc_send(void *ctx, struct pw_callout *pw, struct pw_slice message, bool end)
{
    struct wasm_callout *c = pw_callout_data(pw);
    (void)ctx;
    if (c->over)
        return PW_STATUS_OK; /* its end is on its way to the plugin */
    if (message.ptr) {
        uint64_t bytes = sizeof(c->frame.prefix) + message.len;
        /* A code that refuses would trap a Rust plugin: the stream ends with a status instead. */
        if (!pw_callout_charge(pw, bytes) || !queue_message(c, message)) {
            stream_error(c, GRPC_RESOURCE_EXHAUSTED);
            return PW_STATUS_OK;
        }
        c->out_charged += bytes;
    }
    if (end)
        wasm_callout_send_end(c);
    return PW_STATUS_OK;
}
