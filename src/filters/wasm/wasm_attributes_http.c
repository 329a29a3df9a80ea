/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of an HTTP request and its response. Beyond Envoy, request.* can be read while the response is
 * under way. Of a connection without HTTP there are those that need no headers, as in Envoy: its maps are
 * empty, its sizes are those of its bytes.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_attributes.h"
#include "proxy/grpc.h"

#define ATTRIBUTE(name) static enum wasm_found name(struct wasm_attribute *a)
#define STREAM          (a->scope->stream)
#define INFO            (a->scope->info)
/* NULL: not there, or not yet. */
#define MAP(member) (STREAM ? STREAM->member : NULL)

static enum wasm_found request_header(struct wasm_attribute *a, enum header_id id)
{
    const struct header_map *m = MAP(request_headers);
    return m ? wasm_found_slice(a, header_map_get_id(m, id)) : WASM_FOUND_NOTHING;
}

ATTRIBUTE(request_path)
{
    return request_header(a, HDR_PATH);
}
ATTRIBUTE(request_url_path)
{
    const struct header_map *m = MAP(request_headers);
    struct slice path = m ? header_map_get_id(m, HDR_PATH) : SLICE_EMPTY;
    ptrdiff_t query = slice_find_char(path, '?');
    return wasm_found_slice(a, query >= 0 ? slice_take(path, (size_t)query) : path);
}
ATTRIBUTE(request_query)
{
    const struct header_map *m = MAP(request_headers);
    struct slice path = m ? header_map_get_id(m, HDR_PATH) : SLICE_EMPTY;
    ptrdiff_t query = slice_find_char(path, '?');
    if (!m)
        return WASM_FOUND_NOTHING;
    return wasm_found_slice(a, query >= 0 ? slice_skip(path, (size_t)query + 1) : SLICE_LIT(""));
}
ATTRIBUTE(request_host)
{
    return request_header(a, HDR_AUTHORITY);
}
ATTRIBUTE(request_scheme)
{
    return request_header(a, HDR_SCHEME);
}
ATTRIBUTE(request_method)
{
    return request_header(a, HDR_METHOD);
}
ATTRIBUTE(request_referer)
{
    return request_header(a, HDR_REFERER);
}
ATTRIBUTE(request_useragent)
{
    return request_header(a, HDR_USER_AGENT);
}
ATTRIBUTE(request_id)
{
    return request_header(a, HDR_X_REQUEST_ID);
}
ATTRIBUTE(request_headers)
{
    a->headers = MAP(request_headers);
    return WASM_FOUND_HEADERS;
}
ATTRIBUTE(request_time)
{
    return wasm_found_i64(a, (int64_t)INFO->start_realtime_ns);
}
ATTRIBUTE(request_protocol)
{
    static const char *const names[] = {[HTTP_10] = "HTTP/1.0", [HTTP_11] = "HTTP/1.1", [HTTP_2] = "HTTP/2"};
    return STREAM ? wasm_found_slice(a, slice_str(names[INFO->protocol])) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(request_duration)
{
    return wasm_found_time(a, INFO->start_ns, INFO->end_ns);
}
/* What the request says of itself, else what has come so far. */
ATTRIBUTE(request_size)
{
    const struct header_map *m = MAP(request_headers);
    int64_t announced;
    if (m && slice_parse_i64(header_map_get_id(m, HDR_CONTENT_LENGTH), &announced))
        return wasm_found_i64(a, announced);
    return wasm_found_i64(a, (int64_t)INFO->request_body_bytes);
}
static int64_t map_bytes(const struct header_map *m)
{
    return m ? (int64_t)m->bytes : 0;
}
ATTRIBUTE(request_headers_bytes)
{
    return wasm_found_i64(a, map_bytes(MAP(request_headers)));
}
ATTRIBUTE(request_total_size)
{
    return wasm_found_i64(a, (int64_t)INFO->request_body_bytes + map_bytes(MAP(request_headers)));
}

const struct wasm_attribute_row wasm_request_attributes[] = {
    WASM_ATTRIBUTE("path", request_path),
    WASM_ATTRIBUTE("url_path", request_url_path),
    WASM_ATTRIBUTE("host", request_host),
    WASM_ATTRIBUTE("scheme", request_scheme),
    WASM_ATTRIBUTE("method", request_method),
    WASM_ATTRIBUTE("headers", request_headers),
    WASM_ATTRIBUTE("headers_bytes", request_headers_bytes),
    WASM_ATTRIBUTE("referer", request_referer),
    WASM_ATTRIBUTE("useragent", request_useragent),
    WASM_ATTRIBUTE("time", request_time),
    WASM_ATTRIBUTE("id", request_id),
    WASM_ATTRIBUTE("protocol", request_protocol),
    WASM_ATTRIBUTE("query", request_query),
    WASM_ATTRIBUTE("duration", request_duration),
    WASM_ATTRIBUTE("size", request_size),
    WASM_ATTRIBUTE("total_size", request_total_size),
    {{0}, NULL},
};

/* --- response.* --- */

/* Before headers went out the answer that is under way has a status too. 0: none. */
static uint16_t code_of(const struct stream *s)
{
    uint64_t code;
    if (!s)
        return 0;
    if (s->info.response_code)
        return s->info.response_code;
    return s->response_headers && slice_parse_u64(header_map_get_id(s->response_headers, HDR_STATUS), &code)
               ? (uint16_t)code
               : 0;
}

ATTRIBUTE(response_code)
{
    uint16_t code = code_of(STREAM);
    return code ? wasm_found_i64(a, code) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(response_code_details)
{
    return wasm_found_text(a, INFO->details);
}
ATTRIBUTE(response_flags)
{
    return wasm_found_i64(a, (int64_t)INFO->flags);
}
/* As Envoy: an answer without a gRPC status has the one that its HTTP status stands for. */
ATTRIBUTE(response_grpc_status)
{
    const struct header_map *maps[] = {a->scope->response_trailers, a->scope->response_headers};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(maps); i++) {
        int64_t status;
        if (maps[i] && slice_parse_i64(header_map_get_id(maps[i], HDR_GRPC_STATUS), &status))
            return wasm_found_i64(a, status);
    }
    uint16_t code = code_of(STREAM);
    return code ? wasm_found_i64(a, grpc_status_of_http(code)) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(response_headers)
{
    a->headers = a->scope->response_headers;
    return WASM_FOUND_HEADERS;
}
ATTRIBUTE(response_trailers)
{
    a->headers = a->scope->response_trailers;
    return WASM_FOUND_HEADERS;
}
ATTRIBUTE(response_headers_bytes)
{
    return wasm_found_i64(a, map_bytes(a->scope->response_headers));
}
ATTRIBUTE(response_size)
{
    return wasm_found_i64(a, (int64_t)INFO->response_body_bytes);
}
ATTRIBUTE(response_total_size)
{
    return wasm_found_i64(a, (int64_t)INFO->response_body_bytes + map_bytes(a->scope->response_headers) +
                                 map_bytes(a->scope->response_trailers));
}
ATTRIBUTE(response_backend_latency)
{
    return wasm_found_time(a, INFO->upstream_request_start_ns, INFO->upstream_response_end_ns);
}

const struct wasm_attribute_row wasm_response_attributes[] = {
    WASM_ATTRIBUTE("code", response_code),
    WASM_ATTRIBUTE("code_details", response_code_details),
    WASM_ATTRIBUTE("flags", response_flags),
    WASM_ATTRIBUTE("grpc_status", response_grpc_status),
    WASM_ATTRIBUTE("headers", response_headers),
    WASM_ATTRIBUTE("headers_bytes", response_headers_bytes),
    WASM_ATTRIBUTE("trailers", response_trailers),
    WASM_ATTRIBUTE("size", response_size),
    WASM_ATTRIBUTE("total_size", response_total_size),
    WASM_ATTRIBUTE("backend_latency", response_backend_latency),
    {{0}, NULL},
};
