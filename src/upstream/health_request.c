/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and answers of HTTP health checks, and of grpc.health.v1.Health.Check. What comes back is a peer's
 * bytes: nothing in it is trusted.
 */
#include "upstream/health_request.h"

#include <stdio.h>

#define GRPC_HEAD_BYTES     5u
#define GRPC_SERVING        1u
#define GRPC_FIELD_STATUS   1u
#define WIRE_VARINT         0u
#define WIRE_FIXED64        1u
#define WIRE_BYTES          2u
#define WIRE_FIXED32        5u
#define VARINT_BYTES_MAX    10u
#define REQUEST_HEADERS_MAX 256u

/* --- the request --- */

static bool put(struct header_map *m, const char *name, struct slice value)
{
    return header_map_add(m, slice_str(name), value) == HEADER_OK;
}

static bool put_grpc(struct header_map *m, const struct health_config *config)
{
    char timeout[24];
    snprintf(timeout, sizeof(timeout), "%llum", (unsigned long long)config->timeout_ms);
    return put(m, ":method", SLICE_LIT("POST")) &&
           put(m, ":path", SLICE_LIT("/grpc.health.v1.Health/Check")) &&
           put(m, "content-type", SLICE_LIT("application/grpc")) && put(m, "te", SLICE_LIT("trailers")) &&
           put(m, "grpc-timeout", slice_str(timeout));
}

static bool put_http(struct header_map *m, const struct health_config *config)
{
    char length[SLICE_U64_BYTES];
    return put(m, ":method", config->method) && put(m, ":path", config->path) &&
           (config->send.len == 0 || put(m, "content-length", slice_from_u64(config->send.len, length)));
}

static bool add_field(struct header_map *m, const struct health_field *f)
{
    bool there = header_map_find(m, f->name) != NULL;
    switch (f->action) {
    case HEALTH_FIELD_APPEND:
        return header_map_add(m, f->name, f->value) == HEADER_OK;
    case HEALTH_FIELD_ADD_IF_ABSENT:
        return there || header_map_add(m, f->name, f->value) == HEADER_OK;
    case HEALTH_FIELD_OVERWRITE:
        return header_map_set(m, f->name, f->value) == HEADER_OK;
    case HEALTH_FIELD_OVERWRITE_IF_EXISTS:
        return !there || header_map_set(m, f->name, f->value) == HEADER_OK;
    }
    return false;
}

struct header_map *health_request_headers(struct arena *arena, const struct health_config *config,
                                          struct slice authority, bool secure)
{
    struct header_map *m = ARENA_NEW(arena, struct header_map);
    if (!m)
        return NULL;
    header_map_init(m, arena, REQUEST_HEADERS_MAX, HEADERS_BYTES_MAX);
    bool ok = config->kind == HEALTH_GRPC ? put_grpc(m, config) : put_http(m, config);
    ok = ok && put(m, ":authority", authority) &&
         put(m, ":scheme", secure ? SLICE_LIT("https") : SLICE_LIT("http")) &&
         put(m, "user-agent", SLICE_LIT("Envoy/HC"));
    for (size_t i = 0; i < config->remove_count; i++)
        header_map_remove(m, config->remove[i]);
    for (size_t i = 0; i < config->add_count; i++)
        ok = ok && add_field(m, &config->add[i]);
    return ok ? m : NULL;
}

/* HealthCheckRequest{service = 1} in its frame. */
static struct slice grpc_body(struct arena *arena, struct slice service)
{
    unsigned char varint[VARINT_BYTES_MAX];
    size_t varint_len = 0;
    for (size_t n = service.len; n > 0 || varint_len == 0; n >>= 7)
        varint[varint_len++] = (unsigned char)(n > 0x7f ? (n & 0x7f) | 0x80 : n);
    size_t len = service.len ? 1 + varint_len + service.len : 0;
    char *p = arena_alloc_text(arena, GRPC_HEAD_BYTES + len);
    if (!p)
        return SLICE_EMPTY;
    p[0] = 0;
    for (int i = 0; i < 4; i++)
        p[1 + i] = (char)(len >> (24 - 8 * i) & 0xff);
    if (service.len) {
        p[GRPC_HEAD_BYTES] = (char)(GRPC_FIELD_STATUS << 3 | WIRE_BYTES);
        memcpy(p + GRPC_HEAD_BYTES + 1, varint, varint_len);
        memcpy(p + GRPC_HEAD_BYTES + 1 + varint_len, service.ptr, service.len);
    }
    return slice_of(p, GRPC_HEAD_BYTES + len);
}

struct slice health_request_body(struct arena *arena, const struct health_config *config)
{
    return config->kind == HEALTH_GRPC ? grpc_body(arena, config->grpc_service) : config->send;
}

/* --- the answer --- */

unsigned health_answer_status(const struct health_answer *a)
{
    uint64_t status = 0;
    return slice_parse_u64(header_map_get_id(a->headers, HDR_STATUS), &status) && status < 1000
               ? (unsigned)status
               : 0;
}

bool health_answer_says(const struct health_answer *a, struct slice name)
{
    return header_map_find(a->headers, name) != NULL;
}

enum health_verdict health_answer_http(const struct health_answer *a, const struct health_config *config,
                                       bool *verified)
{
    unsigned status = health_answer_status(a);
    if (config->receive_count > 0 && !health_receive_match(config, a->body))
        return HEALTH_VERDICT_FAIL;
    if (!health_config_passes(config, status))
        return health_config_retriable(config, status) ? HEALTH_VERDICT_RETRIABLE : HEALTH_VERDICT_FAIL;
    if (!config->service_name.match)
        return HEALTH_VERDICT_PASS;
    const struct header *h = header_map_find(a->headers, SLICE_LIT("x-envoy-upstream-healthchecked-cluster"));
    *verified = true;
    return config->service_name.match(config->service_name.matcher, h ? h->value : SLICE_LIT(""))
               ? HEALTH_VERDICT_PASS
               : HEALTH_VERDICT_FAIL;
}

/* Takes one varint off the front. */
static bool take_varint(struct slice *in, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < in->len && i < VARINT_BYTES_MAX; i++) {
        unsigned char c = (unsigned char)in->ptr[i];
        *out |= (uint64_t)(c & 0x7f) << (7 * i);
        if (!(c & 0x80)) {
            *in = slice_skip(*in, i + 1);
            return true;
        }
    }
    return false;
}

static bool skip_bytes(struct slice *in, uint64_t n)
{
    if (n > in->len)
        return false;
    *in = slice_skip(*in, (size_t)n);
    return true;
}

/* HealthCheckResponse{status = 1}; fields of other numbers are passed over. */
static bool parse_status(struct slice in, uint64_t *status)
{
    *status = 0;
    while (in.len > 0) {
        uint64_t key, value = 0;
        bool ok = take_varint(&in, &key);
        switch (key & 7) {
        case WIRE_VARINT:
            ok = ok && take_varint(&in, &value);
            if (ok && key >> 3 == GRPC_FIELD_STATUS)
                *status = value;
            break;
        case WIRE_FIXED64:
            ok = ok && skip_bytes(&in, 8);
            break;
        case WIRE_BYTES:
            ok = ok && take_varint(&in, &value) && skip_bytes(&in, value);
            break;
        case WIRE_FIXED32:
            ok = ok && skip_bytes(&in, 4);
            break;
        default:
            return false;
        }
        if (!ok)
            return false;
    }
    return true;
}

/* One message with content, uncompressed; empty frames are passed over (Envoy). */
static bool find_message(struct slice body, struct slice *message)
{
    bool found = false;
    while (body.len >= GRPC_HEAD_BYTES) {
        const unsigned char *p = (const unsigned char *)body.ptr;
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        body = slice_skip(body, GRPC_HEAD_BYTES);
        if (len > body.len || (len > 0 && (found || p[0] != 0)))
            return false;
        if (len > 0) {
            *message = slice_take(body, len);
            found = true;
        }
        body = slice_skip(body, len);
    }
    return found && body.len == 0;
}

enum health_verdict health_answer_grpc(const struct health_answer *a)
{
    const struct header_map *last = a->trailers ? a->trailers : a->headers;
    struct slice message;
    uint64_t status;
    bool ok = health_answer_status(a) == 200 &&
              slice_starts_with_nocase(header_map_get_id(a->headers, HDR_CONTENT_TYPE),
                                       SLICE_LIT("application/grpc")) &&
              slice_eq(header_map_get_id(last, HDR_GRPC_STATUS), SLICE_LIT("0")) && !a->body_cut &&
              find_message(a->body, &message) && parse_status(message, &status) && status == GRPC_SERVING;
    return ok ? HEALTH_VERDICT_PASS : HEALTH_VERDICT_FAIL;
}
