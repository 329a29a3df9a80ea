/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP and gRPC callouts. There is no client behind them yet: arguments are checked as they will be, then the
 * answer is a code that every SDK survives.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/pairs.h"

static bool slices_ok(const struct pw_vm *vm, const uint64_t *args, size_t count)
{
    struct slice s;
    for (size_t i = 0; i < count; i++) {
        if (!guest_slice(vm, args[2 * i], args[2 * i + 1], &s))
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

uint32_t hostcall_proxy_http_call(struct pw_vm *vm, const uint64_t *args)
{
    struct slice headers;
    struct pw_pair *pairs;
    size_t count;
    /* The id slot is written before the attempt, to validate the pointer (ABI 3.8). */
    if (!slices_ok(vm, args, 4) || !guest_slice(vm, args[2], args[3], &headers) ||
        !guest_put_u32(vm, args[9], 0))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    if (!pairs_parse(headers, &vm->scratch, &pairs, &count))
        return PW_STATUS_INTERNAL_FAILURE;
    if ((int32_t)arg_u32(args[8]) < 0 || !has_name(pairs, count, SLICE_LIT(":method")) ||
        !has_name(pairs, count, SLICE_LIT(":path")) || !has_name(pairs, count, SLICE_LIT(":authority")))
        return PW_STATUS_BAD_ARGUMENT;
    return PW_STATUS_INTERNAL_FAILURE;
}

uint32_t hostcall_proxy_grpc_call(struct pw_vm *vm, const uint64_t *args)
{
    return slices_ok(vm, args, 5) ? PW_STATUS_INTERNAL_FAILURE : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_grpc_stream(struct pw_vm *vm, const uint64_t *args)
{
    return slices_ok(vm, args, 4) ? PW_STATUS_INTERNAL_FAILURE : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_grpc_send(struct pw_vm *vm, const uint64_t *args)
{
    return slices_ok(vm, args + 1, 1) ? PW_STATUS_NOT_FOUND : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_grpc_cancel(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    (void)args;
    return PW_STATUS_NOT_FOUND;
}

uint32_t hostcall_proxy_grpc_close(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    (void)args;
    return PW_STATUS_NOT_FOUND;
}
