/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP calls of plugins: the request as Envoy's asynchronous client makes it, the answer as a whole. Before
 * an answer began, a failure is an answer of the proxy itself (503, 504); after that it is no answer at all.
 */
#include "filters/wasm/wasm_callout.h"

/* What the plugin gets: its answer, or nothing. */
static void deliver(struct wasm_callout *c)
{
    struct pw_http_answer answer = {.body = {c->body.ptr, c->body.len}};
    bool whole = c->headers != NULL;
    if (whole) {
        answer.headers = wasm_callout_pairs(c, c->headers, &answer.headers_count);
        whole = answer.headers != NULL;
    }
    if (whole && c->trailers) {
        answer.trailers = wasm_callout_pairs(c, c->trailers, &answer.trailers_count);
        whole = answer.trailers != NULL;
    }
    pw_callout_http_response(&c->pw, whole ? &answer : NULL);
}

/* No answer: an answer that was cut short, or is too long, is not shown. */
static void lost(struct wasm_callout *c)
{
    c->headers = NULL;
    wasm_callout_done(c);
}

static void on_failed(struct wasm_callout *c, unsigned status, const char *text, const char *details)
{
    (void)details;
    char number[SLICE_U64_BYTES];
    struct header_map *headers = status ? ARENA_NEW(&c->arena, struct header_map) : NULL;
    if (!headers) {
        lost(c);
        return;
    }
    struct slice body = slice_str(text);
    header_map_init(headers, &c->arena, 8, 1024);
    header_map_set_id(headers, HDR_STATUS, slice_from_u64(status, number));
    header_map_set_id(headers, HDR_CONTENT_LENGTH, slice_from_u64(body.len, number));
    header_map_set_id(headers, HDR_CONTENT_TYPE, SLICE_LIT("text/plain"));
    strbuf_append(&c->body, body);
    c->headers = headers;
    wasm_callout_done(c);
}

static void on_headers(struct wasm_callout *c, bool end_of_stream)
{
    if (end_of_stream)
        wasm_callout_done(c);
}

static void on_data(struct wasm_callout *c, struct chain *data, bool end_of_stream)
{
    if (!wasm_callout_keep(c, &c->body, data, data->bytes)) {
        wasm_callout_stop(c);
        lost(c);
    } else if (end_of_stream) {
        wasm_callout_done(c);
    }
}

static void on_trailers(struct wasm_callout *c)
{
    wasm_callout_done(c);
}

static const struct wasm_callout_kind http_kind = {
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .failed = on_failed,
    .deliver = deliver,
};

/* Each pseudo-header once; a tunnel is nothing that a plugin could use. */
static bool request_ok(const struct header_map *request)
{
    static const enum header_id once[] = {HDR_METHOD, HDR_PATH, HDR_AUTHORITY, HDR_SCHEME};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(once); i++) {
        struct slice name = header_id_name(once[i]);
        const struct header *first = header_map_find(request, name);
        if (first && header_map_find_next(request, name, first))
            return false;
    }
    return !header_map_has_id(request, HDR_PROTOCOL) && !header_map_has_id(request, HDR_STATUS) &&
           !slice_eq(header_map_get_id(request, HDR_METHOD), SLICE_LIT("CONNECT"));
}

/* What the plugin says of the framing does not count: the length is that of its body. */
static bool frame(struct header_map *request, size_t body_bytes)
{
    char number[SLICE_U64_BYTES];
    header_map_remove_id(request, HDR_TRANSFER_ENCODING);
    header_map_remove_id(request, HDR_CONNECTION);
    header_map_remove_id(request, HDR_UPGRADE);
    if (body_bytes == 0) {
        header_map_remove_id(request, HDR_CONTENT_LENGTH);
        return true;
    }
    return header_map_set_id(request, HDR_CONTENT_LENGTH, slice_from_u64(body_bytes, number)) == HEADER_OK;
}

static bool fill(struct wasm_callout *c, const struct pw_http_call *call)
{
    if (!wasm_callout_copy(&c->request, call->headers, call->headers_count) ||
        !wasm_callout_copy(&c->request_trailers, call->trailers, call->trailers_count) ||
        !request_ok(&c->request) || !frame(&c->request, call->body.len))
        return false;
    if (!header_map_has_id(&c->request, HDR_SCHEME))
        header_map_set_id(&c->request, HDR_SCHEME, SLICE_LIT("http"));
    return true;
}

enum pw_status wasm_callout_http(void *ctx, struct pw_callout *pw, const struct pw_http_call *call)
{
    struct wasm_vm *vm = ctx;
    enum pw_status status;
    struct wasm_callout *c =
        wasm_callout_create(vm, pw, &http_kind, slice_of(call->upstream.ptr, call->upstream.len), &status);
    if (!c)
        return status;
    if (!fill(c, call)) {
        c->pw = NULL;
        wasm_callout_destroy(c);
        return PW_STATUS_BAD_ARGUMENT;
    }
    if (call->body.len > 0 && !wasm_callout_send(c, slice_of(call->body.ptr, call->body.len))) {
        c->pw = NULL;
        wasm_callout_destroy(c);
        return PW_STATUS_INTERNAL_FAILURE;
    }
    wasm_callout_send_end(c);
    return wasm_callout_start(c, call->timeout_ms);
}
