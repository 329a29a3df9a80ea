/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Continue, close and local replies. All of them are only queued here; without a stream they are OK and do
 * nothing (ABI 3.0, 3.6).
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/pairs.h"
#include "proxywasm/stream_impl.h"

#define GRPC_STATUS_MAX 16

static struct pw_stream *call_stream(const struct pw_vm *vm)
{
    struct context *c = vm_context(vm);
    return c && c->kind == CONTEXT_STREAM ? context_stream(c) : NULL;
}

static uint32_t continue_stream(struct pw_vm *vm, enum pw_stream_type type)
{
    struct pw_stream *stream = call_stream(vm);
    if (!stream)
        return PW_STATUS_OK;
    stream_queue(stream, ACTION_CONTINUE, type);
    /* As in Envoy the request is let go at once, whichever direction continues (ABI 3.4). */
    if (type == PW_STREAM_HTTP_REQUEST || type == PW_STREAM_HTTP_RESPONSE) {
        stream->maps_open &= (uint8_t) ~(1u << PW_MAP_REQUEST_HEADERS | 1u << PW_MAP_REQUEST_TRAILERS);
        stream->buffers_open &= (uint8_t) ~(1u << PW_BUFFER_REQUEST_BODY);
    }
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_continue_request(struct pw_vm *vm, const uint64_t *args)
{
    (void)args;
    return continue_stream(vm, PW_STREAM_HTTP_REQUEST);
}

uint32_t hostcall_proxy_continue_response(struct pw_vm *vm, const uint64_t *args)
{
    (void)args;
    return continue_stream(vm, PW_STREAM_HTTP_RESPONSE);
}

uint32_t hostcall_proxy_continue_stream(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t type = arg_u32(args[0]);
    return type > PW_STREAM_MAX ? PW_STATUS_BAD_ARGUMENT : continue_stream(vm, type);
}

uint32_t hostcall_proxy_close_stream(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t type = arg_u32(args[0]);
    if (type > PW_STREAM_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    struct pw_stream *stream = call_stream(vm);
    if (stream)
        stream_queue(stream, ACTION_CLOSE, type);
    return PW_STATUS_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space would break the fields of an access log (ABI 3.6). False: no memory. */
static bool clean_details(struct pw_vm *vm, struct slice *details)
{
    *details = guest_keep(vm, *details);
    if (!details->ptr)
        return false;
    char *text = (char *)details->ptr;
    for (size_t i = 0; i < details->len; i++) {
        if (is_space(text[i]))
            text[i] = '_';
    }
    return true;
}

uint32_t hostcall_proxy_send_local_response(struct pw_vm *vm, const uint64_t *args)
{
    struct slice details, body, headers;
    if (!guest_slice(vm, args[1], args[2], &details) || !guest_slice(vm, args[3], args[4], &body) ||
        !guest_slice(vm, args[5], args[6], &headers))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_stream *stream = call_stream(vm);
    if (!stream)
        return PW_STATUS_OK;
    struct pw_pair *pairs;
    size_t count;
    if (!clean_details(vm, &details) || !pairs_parse(headers, &vm->scratch, &pairs, &count))
        return PW_STATUS_INTERNAL_FAILURE;
    int32_t grpc_status = (int32_t)arg_u32(args[7]);
    const struct pw_local_reply reply = {
        .status_code = arg_u32(args[0]),
        .details = slice_to_pw(details),
        .body = slice_to_pw(body),
        .headers = pairs,
        .headers_count = count,
        .grpc_status = grpc_status >= 0 && grpc_status <= GRPC_STATUS_MAX ? grpc_status : -1,
    };
    return stream_queue_reply(stream, &reply);
}
