/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of a stream as plugins read them (ABI 2.3, Envoy's attributes). One row makes one attribute.
 * Values come from the stream's own record, never from the plugin, except what proxy_set_property stored.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_filter.h"
#include "proxy/hcm_config.h"
#include "proxy/stream.h"

#include <stdio.h>

/* proxy_set_property keys live under this prefix among the stream's values, as in Envoy's filter state. */
#define SET_PREFIX     "wasm."
#define PATH_BYTES_MAX 1024u

typedef enum pw_status (*attribute_fn)(const struct stream *s, struct pw_value *out);

static enum pw_status bytes_or_absent(struct slice value, struct pw_value *out)
{
    if (!value.ptr)
        return PW_STATUS_NOT_FOUND;
    pw_value_bytes(out, slice_to_pw(value));
    return PW_STATUS_OK;
}

static enum pw_status request_header(const struct stream *s, enum header_id id, struct pw_value *out)
{
    return s->request_headers ? bytes_or_absent(header_map_get_id(s->request_headers, id), out)
                              : PW_STATUS_NOT_FOUND;
}

static enum pw_status i64(int64_t value, struct pw_value *out)
{
    pw_value_i64(out, value);
    return PW_STATUS_OK;
}

/* 0 is "did not happen". */
static enum pw_status time_between(uint64_t from_ns, uint64_t to_ns, struct pw_value *out)
{
    return from_ns && to_ns >= from_ns ? i64((int64_t)(to_ns - from_ns), out) : PW_STATUS_NOT_FOUND;
}

static enum pw_status address_text(const struct address *a, struct pw_value *out)
{
    char text[ADDRESS_TEXT_MAX];
    if (!a || a->len == 0)
        return PW_STATUS_NOT_FOUND;
    address_format(a, text);
    pw_value_copy(out, (struct pw_slice){text, strlen(text)});
    return PW_STATUS_OK;
}

static enum pw_status address_port_of(const struct address *a, struct pw_value *out)
{
    return a && a->len ? i64(address_port(a), out) : PW_STATUS_NOT_FOUND;
}

#define ATTRIBUTE(name) static enum pw_status name(const struct stream *s, struct pw_value *out)

ATTRIBUTE(request_path)
{
    return request_header(s, HDR_PATH, out);
}
ATTRIBUTE(request_url_path)
{
    struct slice path = s->request_headers ? header_map_get_id(s->request_headers, HDR_PATH) : SLICE_EMPTY;
    ptrdiff_t query = slice_find_char(path, '?');
    return bytes_or_absent(query >= 0 ? slice_take(path, (size_t)query) : path, out);
}
ATTRIBUTE(request_query)
{
    struct slice path = s->request_headers ? header_map_get_id(s->request_headers, HDR_PATH) : SLICE_EMPTY;
    ptrdiff_t query = slice_find_char(path, '?');
    return bytes_or_absent(query >= 0 ? slice_skip(path, (size_t)query + 1) : SLICE_LIT(""), out);
}
ATTRIBUTE(request_host)
{
    return request_header(s, HDR_AUTHORITY, out);
}
ATTRIBUTE(request_scheme)
{
    return request_header(s, HDR_SCHEME, out);
}
ATTRIBUTE(request_method)
{
    return request_header(s, HDR_METHOD, out);
}
ATTRIBUTE(request_referer)
{
    return request_header(s, HDR_REFERER, out);
}
ATTRIBUTE(request_useragent)
{
    return request_header(s, HDR_USER_AGENT, out);
}
ATTRIBUTE(request_id)
{
    return request_header(s, HDR_X_REQUEST_ID, out);
}
ATTRIBUTE(request_time)
{
    return i64((int64_t)s->info.start_realtime_ns, out);
}
ATTRIBUTE(request_protocol)
{
    static const char *const names[] = {[HTTP_10] = "HTTP/1.0", [HTTP_11] = "HTTP/1.1", [HTTP_2] = "HTTP/2"};
    return bytes_or_absent(slice_str(names[s->info.protocol]), out);
}
ATTRIBUTE(request_duration)
{
    return time_between(s->info.start_ns, s->info.end_ns, out);
}
ATTRIBUTE(request_size)
{
    return i64((int64_t)s->info.request_body_bytes, out);
}
ATTRIBUTE(request_headers_bytes)
{
    return i64((int64_t)s->info.request_headers_bytes, out);
}
ATTRIBUTE(request_total_size)
{
    return i64((int64_t)(s->info.request_body_bytes + s->info.request_headers_bytes), out);
}
ATTRIBUTE(response_code)
{
    return s->info.response_code ? i64(s->info.response_code, out) : PW_STATUS_NOT_FOUND;
}
ATTRIBUTE(response_code_details)
{
    return s->info.details.len ? bytes_or_absent(s->info.details, out) : PW_STATUS_NOT_FOUND;
}
ATTRIBUTE(response_flags)
{
    return i64((int64_t)s->info.flags, out);
}
ATTRIBUTE(response_grpc_status)
{
    const struct header_map *maps[] = {s->response_trailers, s->response_headers};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(maps); i++) {
        int64_t status;
        if (maps[i] && slice_parse_i64(header_map_get_id(maps[i], HDR_GRPC_STATUS), &status))
            return i64(status, out);
    }
    return PW_STATUS_NOT_FOUND;
}
ATTRIBUTE(response_size)
{
    return i64((int64_t)s->info.response_body_bytes, out);
}
ATTRIBUTE(response_headers_bytes)
{
    return i64((int64_t)s->info.response_headers_bytes, out);
}
ATTRIBUTE(response_total_size)
{
    return i64((int64_t)(s->info.response_body_bytes + s->info.response_headers_bytes), out);
}
ATTRIBUTE(response_backend_latency)
{
    return time_between(s->info.upstream_request_start_ns, s->info.upstream_response_start_ns, out);
}
ATTRIBUTE(source_address)
{
    return address_text(s->info.downstream_remote, out);
}
ATTRIBUTE(source_port)
{
    return address_port_of(s->info.downstream_remote, out);
}
ATTRIBUTE(destination_address)
{
    return address_text(s->info.downstream_local, out);
}
ATTRIBUTE(destination_port)
{
    return address_port_of(s->info.downstream_local, out);
}
ATTRIBUTE(connection_id)
{
    pw_value_u64(out, s->info.connection_id);
    return PW_STATUS_OK;
}
ATTRIBUTE(connection_mtls)
{
    (void)s;
    pw_value_bool(out, false); /* no TLS yet: no connection is mutually authenticated */
    return PW_STATUS_OK;
}
ATTRIBUTE(connection_termination_details)
{
    struct slice details = s->info.connection_termination_details;
    return details.len ? bytes_or_absent(details, out) : PW_STATUS_NOT_FOUND;
}
ATTRIBUTE(upstream_address)
{
    return address_text(&s->info.upstream_remote, out);
}
ATTRIBUTE(upstream_port)
{
    return address_port_of(&s->info.upstream_remote, out);
}
ATTRIBUTE(upstream_local_address)
{
    return address_text(&s->info.upstream_local, out);
}
ATTRIBUTE(upstream_failure)
{
    struct slice reason = s->info.upstream_failure_reason;
    return reason.len ? bytes_or_absent(reason, out) : PW_STATUS_NOT_FOUND;
}
ATTRIBUTE(upstream_attempts)
{
    pw_value_u64(out, s->info.upstream_attempts);
    return PW_STATUS_OK;
}
ATTRIBUTE(route_name)
{
    return bytes_or_absent(s->info.route_name, out);
}
ATTRIBUTE(virtual_host_name)
{
    return bytes_or_absent(s->info.virtual_host_name, out);
}
ATTRIBUTE(cluster_name)
{
    return bytes_or_absent(s->info.cluster_name, out);
}

struct attribute {
    struct slice path; /* segments separated by '.' */
    attribute_fn get;
};

#define ROW(text, fn)                                                                                        \
    {                                                                                                        \
        {text, sizeof(text) - 1}, fn                                                                         \
    }

static const struct attribute attributes[] = {
    ROW("request.path", request_path),
    ROW("request.url_path", request_url_path),
    ROW("request.query", request_query),
    ROW("request.host", request_host),
    ROW("request.scheme", request_scheme),
    ROW("request.method", request_method),
    ROW("request.referer", request_referer),
    ROW("request.useragent", request_useragent),
    ROW("request.id", request_id),
    ROW("request.time", request_time),
    ROW("request.protocol", request_protocol),
    ROW("request.duration", request_duration),
    ROW("request.size", request_size),
    ROW("request.headers_bytes", request_headers_bytes),
    ROW("request.total_size", request_total_size),
    ROW("response.code", response_code),
    ROW("response.code_details", response_code_details),
    ROW("response.flags", response_flags),
    ROW("response.grpc_status", response_grpc_status),
    ROW("response.size", response_size),
    ROW("response.headers_bytes", response_headers_bytes),
    ROW("response.total_size", response_total_size),
    ROW("response.backend_latency", response_backend_latency),
    ROW("source.address", source_address),
    ROW("source.port", source_port),
    ROW("destination.address", destination_address),
    ROW("destination.port", destination_port),
    ROW("connection.id", connection_id),
    ROW("connection_id", connection_id),
    ROW("connection.mtls", connection_mtls),
    ROW("connection.termination_details", connection_termination_details),
    ROW("upstream.address", upstream_address),
    ROW("upstream.port", upstream_port),
    ROW("upstream.local_address", upstream_local_address),
    ROW("upstream.transport_failure_reason", upstream_failure),
    ROW("upstream.request_attempt_count", upstream_attempts),
    ROW("xds.route_name", route_name),
    ROW("route_name", route_name),
    ROW("xds.virtual_host_name", virtual_host_name),
    ROW("xds.cluster_name", cluster_name),
    ROW("cluster_name", cluster_name),
};

/* Envoy joins the values of a repeated header with ','. */
static enum pw_status joined_header(struct header_map *m, struct slice name, struct pw_value *out)
{
    const struct header *first = m ? header_map_find(m, name) : NULL;
    if (!first)
        return PW_STATUS_NOT_FOUND;
    if (!header_map_find_next(m, name, first))
        return bytes_or_absent(first->value, out);
    size_t len = 0;
    for (const struct header *h = first; h; h = header_map_find_next(m, name, h))
        len += h->value.len + 1;
    char *text = arena_alloc_text(m->arena, len);
    if (!text)
        return PW_STATUS_INTERNAL_FAILURE;
    size_t n = 0;
    for (const struct header *h = first; h; h = header_map_find_next(m, name, h)) {
        if (n > 0)
            text[n++] = ',';
        memcpy(text + n, h->value.ptr, h->value.len);
        n += h->value.len;
    }
    pw_value_bytes(out, (struct pw_slice){text, n});
    return PW_STATUS_OK;
}

static enum pw_status whole_map(const struct header_map *m, struct pw_value *out)
{
    if (!m)
        return PW_STATUS_NOT_FOUND;
    struct pw_pair *pairs = ARENA_NEW_N(m->arena, struct pw_pair, m->count);
    if (!pairs)
        return PW_STATUS_INTERNAL_FAILURE;
    uint32_t cursor = 0;
    size_t n = 0;
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;)
        pairs[n++] = (struct pw_pair){slice_to_pw(h->name), slice_to_pw(h->value)};
    WEIR_ASSERT(n == m->count);
    pw_value_map(out, pairs, n);
    return PW_STATUS_OK;
}

/* "request.headers", "request.headers.NAME" and the like. false: not such a path. */
static bool header_attribute(const struct stream *s, struct slice dotted, struct pw_value *out,
                             enum pw_status *status)
{
    const struct {
        struct slice path;
        struct header_map *map;
    } maps[] = {
        {SLICE_LIT("request.headers"), s->request_headers},
        {SLICE_LIT("request.trailers"), s->request_trailers},
        {SLICE_LIT("response.headers"), s->response_headers},
        {SLICE_LIT("response.trailers"), s->response_trailers},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(maps); i++) {
        struct slice path = maps[i].path;
        if (!slice_starts_with(dotted, path))
            continue;
        if (dotted.len == path.len) {
            *status = whole_map(maps[i].map, out);
            return true;
        }
        if (dotted.ptr[path.len] == '.') {
            *status = joined_header(maps[i].map, slice_skip(dotted, path.len + 1), out);
            return true;
        }
    }
    return false;
}

static size_t stored_key(char *dst, size_t size, struct slice path)
{
    WEIR_ASSERT(path.len <= PATH_BYTES_MAX && size >= PATH_BYTES_MAX + sizeof(SET_PREFIX));
    memcpy(dst, SET_PREFIX, sizeof(SET_PREFIX) - 1);
    if (path.len)
        memcpy(dst + sizeof(SET_PREFIX) - 1, path.ptr, path.len);
    return path.len + sizeof(SET_PREFIX) - 1;
}

enum pw_status wasm_property_get(struct wasm_stream *st, struct slice path, struct pw_value *out)
{
    const struct stream *s = st->filter->stream;
    char dotted_text[PATH_BYTES_MAX];
    if (path.len == 0 || path.len > PATH_BYTES_MAX)
        return PW_STATUS_NOT_FOUND;
    for (size_t i = 0; i < path.len; i++)
        dotted_text[i] = path.ptr[i] ? path.ptr[i] : '.';
    struct slice dotted = slice_of(dotted_text, path.len);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(attributes); i++) {
        if (slice_eq(attributes[i].path, dotted))
            return attributes[i].get(s, out);
    }
    enum pw_status status;
    if (header_attribute(s, dotted, out, &status))
        return status;
    char key[PATH_BYTES_MAX + sizeof(SET_PREFIX)];
    return bytes_or_absent(stream_value_get(s, slice_of(key, stored_key(key, sizeof(key), path))), out);
}

enum pw_status wasm_property_set(struct wasm_stream *st, struct slice path, struct slice value)
{
    char key[PATH_BYTES_MAX + sizeof(SET_PREFIX)];
    if (path.len == 0 || path.len > PATH_BYTES_MAX)
        return PW_STATUS_INTERNAL_FAILURE;
    struct slice k = slice_of(key, stored_key(key, sizeof(key), path));
    return stream_value_set(st->filter->stream, k, value) ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}
