/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign functions: named C functions of the embedder that guests call. They act on the effective context.
 * clear_route_cache is built in, as every embedder that routes has it.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/engine/deadline.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/stream_impl.h"

struct pw_foreign_call {
    struct pw_vm *vm;
    struct slice result; /* in scratch */
    bool failed;
};

/* A policy may allow larger outputs than the default cap of results. */
static size_t result_max(const struct pw_foreign_call *call)
{
    size_t made = pw_foreign_output_max(call);
    return made > FOREIGN_RESULT_BYTES_MAX ? made : FOREIGN_RESULT_BYTES_MAX;
}

bool pw_foreign_result(struct pw_foreign_call *call, struct pw_slice bytes)
{
    if (bytes.len > result_max(call)) {
        call->failed = true;
        return false;
    }
    struct slice kept = guest_keep(call->vm, slice_from_pw(bytes));
    if (!kept.ptr) {
        call->failed = true;
        return false;
    }
    call->result = kept;
    return true;
}

bool pw_foreign_overdue(const struct pw_foreign_call *call)
{
    const struct deadline *d = call->vm->deadline;
    return d && atomic_load_explicit(&d->overdue_call, memory_order_acquire) ==
                    atomic_load_explicit(&d->call, memory_order_relaxed);
}

size_t pw_foreign_output_max(const struct pw_foreign_call *call)
{
    return (size_t)call->vm->limits.uncompressed_bytes_max;
}

struct pw_root *pw_foreign_root(const struct pw_foreign_call *call)
{
    return vm_context(call->vm)->root;
}

struct pw_stream *pw_foreign_stream(const struct pw_foreign_call *call)
{
    struct context *c = vm_context(call->vm);
    return c->kind == CONTEXT_STREAM && !stream_gone(context_stream(c)) ? context_stream(c) : NULL;
}

static enum pw_status run_foreign(struct pw_vm *vm, struct slice name, struct pw_foreign_call *call,
                                  struct slice arguments)
{
    const struct foreign_function *f = host_foreign(vm->host, name);
    if (!vm_context(vm))
        return PW_STATUS_NOT_FOUND;
    if (f)
        return f->fn(f->ctx, call, slice_to_pw(arguments));
    if (!slice_eq(name, SLICE_LIT("clear_route_cache")))
        return PW_STATUS_NOT_FOUND;
    struct pw_stream *stream = pw_foreign_stream(call);
    if (stream)
        stream->ops->clear_route_cache(stream->ctx);
    return PW_STATUS_OK;
}

/* Only codes that the Rust SDK survives (ABI 2.1). */
static enum pw_status survivable(enum pw_status status)
{
    switch (status) {
    case PW_STATUS_OK:
    case PW_STATUS_NOT_FOUND:
    case PW_STATUS_BAD_ARGUMENT:
    case PW_STATUS_SERIALIZATION_FAILURE:
        return status;
    default:
        return PW_STATUS_INTERNAL_FAILURE;
    }
}

/* Writes address and size where the guest wants them; both pointers may be 0. */
static bool give_result(struct pw_vm *vm, struct slice result, uint64_t address_out, uint64_t size_out)
{
    uint64_t address = 0;
    if (address_out && result.len) {
        char *to = guest_allocate(vm, result.len, &address);
        if (!to)
            return false;
        memcpy(to, result.ptr, result.len);
    }
    if (address_out && !guest_put_word(vm, address_out, address))
        return false;
    return !size_out || guest_put_word(vm, size_out, result.len);
}

uint32_t hostcall_proxy_call_foreign_function(struct pw_vm *vm, const uint64_t *args)
{
    struct slice name, arguments;
    if (!guest_slice(vm, args[0], args[1], &name) || !guest_slice(vm, args[2], args[3], &arguments))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_foreign_call call = {.vm = vm, .result = SLICE_EMPTY};
    enum pw_status status = run_foreign(vm, name, &call, arguments);
    if (status == PW_STATUS_OK && call.failed)
        status = PW_STATUS_INTERNAL_FAILURE;
    if (status == PW_STATUS_NOT_FOUND && !host_foreign(vm->host, name))
        return status; /* unknown: nothing is written */
    if (!give_result(vm, call.result, args[4], args[5]))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    return survivable(status);
}
