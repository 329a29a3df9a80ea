/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of callouts. A record owns all its bytes; the guest's memory may change behind it.
 */
#include "proxywasm/callout_record.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

uint64_t callout_pairs_bytes(const struct pw_pair *pairs, size_t count)
{
    uint64_t bytes = count * sizeof(*pairs);
    for (size_t i = 0; i < count; i++)
        bytes += pairs[i].name.len + pairs[i].value.len;
    return bytes;
}

uint64_t callout_http_bytes(const struct pw_http_call *call)
{
    return call->upstream.len + call->body.len + callout_pairs_bytes(call->headers, call->headers_count) +
           callout_pairs_bytes(call->trailers, call->trailers_count);
}

uint64_t callout_grpc_bytes(const struct pw_grpc_call *call)
{
    return call->upstream.len + call->service.len + call->method.len + call->message.len +
           callout_pairs_bytes(call->metadata, call->metadata_count);
}

static void keep(struct pw_slice *s, char **at)
{
    if (s->len)
        memcpy(*at, s->ptr, s->len);
    s->ptr = *at;
    *at += s->len;
}

/* The arrays come first in the block, as they want alignment. */
static struct pw_pair *keep_array(const struct pw_pair *pairs, size_t count, char **at)
{
    struct pw_pair *copy = (struct pw_pair *)(void *)*at;
    if (count)
        memcpy(copy, pairs, count * sizeof(*copy));
    *at += count * sizeof(*copy);
    return copy;
}

static void keep_pairs(struct pw_pair *pairs, size_t count, char **at)
{
    for (size_t i = 0; i < count; i++) {
        keep(&pairs[i].name, at);
        keep(&pairs[i].value, at);
    }
}

static struct callout_record *record_alloc(enum callout_record_kind kind, uint64_t bytes, char **at)
{
    struct callout_record *r = calloc(1, sizeof(*r) + bytes);
    if (!r)
        return NULL;
    list_init(&r->node);
    r->kind = kind;
    *at = r->block;
    return r;
}

struct callout_record *callout_record_http(const struct pw_http_call *call)
{
    char *at;
    uint64_t bytes = callout_http_bytes(call);
    struct callout_record *r = record_alloc(RECORD_HTTP, bytes, &at);
    if (!r)
        return NULL;
    r->http = *call;
    struct pw_pair *headers = keep_array(call->headers, call->headers_count, &at);
    struct pw_pair *trailers = keep_array(call->trailers, call->trailers_count, &at);
    keep(&r->http.upstream, &at);
    keep(&r->http.body, &at);
    keep_pairs(headers, call->headers_count, &at);
    keep_pairs(trailers, call->trailers_count, &at);
    r->http.headers = headers;
    r->http.trailers = trailers;
    WEIR_ASSERT(at == r->block + bytes);
    return r;
}

struct callout_record *callout_record_grpc(const struct pw_grpc_call *call, bool stream)
{
    char *at;
    uint64_t bytes = callout_grpc_bytes(call);
    struct callout_record *r = record_alloc(stream ? RECORD_GRPC_STREAM : RECORD_GRPC_CALL, bytes, &at);
    if (!r)
        return NULL;
    r->grpc = *call;
    struct pw_pair *metadata = keep_array(call->metadata, call->metadata_count, &at);
    keep(&r->grpc.upstream, &at);
    keep(&r->grpc.service, &at);
    keep(&r->grpc.method, &at);
    keep(&r->grpc.message, &at);
    keep_pairs(metadata, call->metadata_count, &at);
    r->grpc.metadata = metadata;
    WEIR_ASSERT(at == r->block + bytes);
    return r;
}

struct callout_record *callout_record_send(struct pw_slice message, bool end)
{
    char *at;
    struct callout_record *r = record_alloc(RECORD_SEND, message.len, &at);
    if (!r)
        return NULL;
    r->message = message;
    if (message.ptr)
        keep(&r->message, &at);
    r->end = end;
    return r;
}
