/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP and gRPC callouts: arguments are checked and answered as the reference host does (ABI 3.8), then it is
 * callout.c's business. Nothing is started when the place for the number is bad.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/callout_impl.h"
#include "proxywasm/guest.h"
#include "proxywasm/pairs.h"

/* `count` pairs of address and length from args[0] on. */
static bool take_slices(const struct pw_vm *vm, const uint64_t *args, struct slice *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!guest_slice(vm, args[2 * i], args[2 * i + 1], &out[i]))
            return false;
    }
    return true;
}

static bool has_name(const struct pw_pair *pairs, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq_nocase(slice_from_pw(pairs[i].name), name))
            return true;
    }
    return false;
}

/* Callouts belong to the root of the context that asks. */
static struct pw_root *call_root(const struct pw_vm *vm)
{
    struct context *c = vm_context(vm);
    return c ? c->root : NULL;
}

uint32_t hostcall_proxy_http_call(struct pw_vm *vm, const uint64_t *args)
{
    struct slice in[4]; /* upstream, headers, body, trailers */
    struct pw_pair *headers, *trailers;
    struct pw_http_call call;
    struct pw_root *root = call_root(vm);
    /* The id slot is written before the attempt, to validate the pointer (ABI 3.8). */
    if (!take_slices(vm, args, in, 4) || !guest_put_u32(vm, args[9], 0))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    if (!root || !pairs_parse(in[1], &vm->scratch, &headers, &call.headers_count) ||
        !pairs_parse(in[3], &vm->scratch, &trailers, &call.trailers_count))
        return PW_STATUS_INTERNAL_FAILURE;
    if ((int32_t)arg_u32(args[8]) < 0 || !has_name(headers, call.headers_count, SLICE_LIT(":method")) ||
        !has_name(headers, call.headers_count, SLICE_LIT(":path")) ||
        !has_name(headers, call.headers_count, SLICE_LIT(":authority")))
        return PW_STATUS_BAD_ARGUMENT;
    call.upstream = slice_to_pw(in[0]);
    call.headers = headers;
    call.body = slice_to_pw(in[2]);
    call.trailers = trailers;
    call.timeout_ms = arg_u32(args[8]);
    uint32_t id = 0;
    enum pw_status status = callout_http(root, &call, &id);
    bool put = guest_put_u32(vm, args[9], id);
    WEIR_ASSERT(put); /* nothing moved the guest's memory */
    return status;
}

/* The number is written on success only, but its place is looked at first. */
static bool id_place_ok(const struct pw_vm *vm, uint64_t address)
{
    return guest_at(vm, address, vm->ops->address_bytes == 8 ? 8 : 4) != NULL;
}

/* The common part of call and stream: `in` holds upstream, service, method, metadata, message. */
static uint32_t grpc_start(struct pw_vm *vm, const struct slice *in, bool stream, uint32_t timeout_ms,
                           uint64_t id_address)
{
    struct pw_pair *metadata;
    struct pw_grpc_call call;
    struct pw_root *root = call_root(vm);
    if (!root || !pairs_parse(in[3], &vm->scratch, &metadata, &call.metadata_count))
        return PW_STATUS_INTERNAL_FAILURE;
    call.upstream = slice_to_pw(in[0]);
    call.service = slice_to_pw(in[1]);
    call.method = slice_to_pw(in[2]);
    call.metadata = metadata;
    call.message = slice_to_pw(in[4]);
    call.timeout_ms = timeout_ms;
    uint32_t id;
    enum pw_status status = callout_grpc(root, stream, &call, &id);
    if (status != PW_STATUS_OK)
        return status;
    bool put = guest_put_u32(vm, id_address, id);
    WEIR_ASSERT(put);
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_grpc_call(struct pw_vm *vm, const uint64_t *args)
{
    struct slice in[5];
    if (!take_slices(vm, args, in, 5) || !id_place_ok(vm, args[11]))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    return grpc_start(vm, in, false, arg_u32(args[10]), args[11]);
}

uint32_t hostcall_proxy_grpc_stream(struct pw_vm *vm, const uint64_t *args)
{
    struct slice in[5] = {0};
    if (!take_slices(vm, args, in, 4) || !id_place_ok(vm, args[8]))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    return grpc_start(vm, in, true, 0, args[8]);
}

/* The callout with that number, if it is one of the kinds (bits); *status says why there is none. */
static struct pw_callout *find(const struct pw_vm *vm, uint32_t id, unsigned kinds, uint32_t *status)
{
    const struct pw_root *root = call_root(vm);
    *status = PW_STATUS_BAD_ARGUMENT;
    if (!(kinds & 1u << (id & CALLOUT_KIND_BITS)))
        return NULL;
    *status = PW_STATUS_NOT_FOUND;
    return root ? callout_find(root, id) : NULL;
}

#define KIND_STREAM (1u << CALLOUT_GRPC_STREAM)
#define KINDS_GRPC  (1u << CALLOUT_GRPC_CALL | KIND_STREAM)

uint32_t hostcall_proxy_grpc_send(struct pw_vm *vm, const uint64_t *args)
{
    struct slice message;
    uint32_t status;
    if (!guest_slice(vm, args[1], args[2], &message))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_callout *c = find(vm, arg_u32(args[0]), KIND_STREAM, &status);
    if (!message.ptr)
        message = SLICE_LIT(""); /* an empty message is one too */
    return c ? callout_send(c, slice_to_pw(message), arg_u32(args[3]) != 0) : status;
}

uint32_t hostcall_proxy_grpc_cancel(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t status;
    struct pw_callout *c = find(vm, arg_u32(args[0]), KINDS_GRPC, &status);
    if (!c)
        return status;
    callout_cancel(c);
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_grpc_close(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t status;
    struct pw_callout *c = find(vm, arg_u32(args[0]), KINDS_GRPC, &status);
    if (!c)
        return status;
    if ((c->id & CALLOUT_KIND_BITS) == CALLOUT_GRPC_STREAM)
        return callout_close(c);
    callout_cancel(c); /* closing a call cancels it */
    return PW_STATUS_OK;
}
