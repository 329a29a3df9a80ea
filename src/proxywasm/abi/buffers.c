/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers: bodies and TCP data of the stream, and the read-only ones (configurations, arguments of foreign
 * functions). A body that is not attached now reads as empty (ABI 3.5).
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/callout_impl.h"
#include "proxywasm/guest.h"

/* What a buffer number means in the running call. */
struct buffer_view {
    struct pw_stream *stream; /* NULL: `bytes`, read-only */
    enum pw_buffer buffer;
    struct slice bytes;
    uint64_t size;
};

static bool view_stream(const struct pw_vm *vm, enum pw_buffer buffer, struct buffer_view *view)
{
    struct context *c = vm_context(vm);
    if (!c || c->kind != CONTEXT_STREAM)
        return true;
    struct pw_stream *stream = context_stream(c);
    if (stream->buffers_open & (1u << buffer)) {
        view->stream = stream;
        view->size = stream->ops->buffer_size(stream->ctx, buffer);
    }
    return true;
}

static bool view_bytes(struct buffer_view *view, struct slice bytes)
{
    view->bytes = bytes;
    view->size = bytes.len;
    return true;
}

/* False: NOT_FOUND. */
static bool view_open(const struct pw_vm *vm, enum pw_buffer buffer, struct buffer_view *view)
{
    const struct context *c = vm_context(vm);
    *view = (struct buffer_view){.buffer = buffer};
    switch (buffer) {
    case PW_BUFFER_REQUEST_BODY:
    case PW_BUFFER_RESPONSE_BODY:
    case PW_BUFFER_DOWNSTREAM_DATA:
    case PW_BUFFER_UPSTREAM_DATA:
        return view_stream(vm, buffer, view);
    case PW_BUFFER_VM_CONFIGURATION:
        return view_bytes(view, vm->configuration);
    case PW_BUFFER_PLUGIN_CONFIGURATION:
        return c && c->kind == CONTEXT_ROOT && c->root->config_readable &&
               view_bytes(view, c->root->plugin->configuration);
    case PW_BUFFER_CALL_DATA:
        return view_bytes(view, vm->foreign_arguments);
    case PW_BUFFER_HTTP_CALL_BODY:
    case PW_BUFFER_GRPC_MESSAGE:
        /* Whatever context is the effective one (ABI 3.5). */
        return callout_buffer(vm, buffer, &view->bytes) && view_bytes(view, view->bytes);
    }
    return false;
}

static uint32_t give_range(struct pw_vm *vm, const struct buffer_view *view, uint64_t start, uint64_t len,
                           const uint64_t *out)
{
    if (!view->stream || len == 0) {
        struct slice part = len ? slice_of(view->bytes.ptr + start, len) : SLICE_EMPTY;
        return guest_give(vm, part, out[0], out[1]) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
    }
    uint64_t address;
    char *to = guest_allocate(vm, len, &address);
    if (!to)
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    size_t copied = view->stream->ops->buffer_copy(view->stream->ctx, view->buffer, start, to, len);
    WEIR_ASSERT(copied == len); /* the guest's allocator reaches no buffer */
    return guest_put_word(vm, out[0], address) && guest_put_word(vm, out[1], len)
               ? PW_STATUS_OK
               : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_get_buffer_bytes(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t buffer = arg_u32(args[0]);
    uint64_t start = args[1];
    uint64_t len = args[2];
    struct buffer_view view;
    if (buffer > PW_BUFFER_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!view_open(vm, buffer, &view))
        return PW_STATUS_NOT_FOUND;
    if (start > view.size)
        start = view.size; /* out of range reads as empty (ABI 3.0) */
    if (len > view.size - start)
        len = view.size - start;
    return give_range(vm, &view, start, len, args + 3);
}

uint32_t hostcall_proxy_get_buffer_status(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t buffer = arg_u32(args[0]);
    struct buffer_view view;
    if (buffer > PW_BUFFER_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!view_open(vm, buffer, &view))
        return PW_STATUS_NOT_FOUND;
    return guest_put_word(vm, args[1], view.size) && guest_put_u32(vm, args[2], 0)
               ? PW_STATUS_OK
               : PW_STATUS_INVALID_MEMORY_ACCESS;
}

/* A body that grows is held for the guest until it lets it go. */
static enum pw_status write_body(struct pw_vm *vm, const struct buffer_view *view, uint64_t start,
                                 uint64_t remove, struct slice bytes)
{
    struct pw_stream *stream = view->stream;
    uint64_t kept = view->size - remove;
    uint64_t more = bytes.len > remove ? bytes.len - remove : 0;
    uint64_t max = vm->limits.body_bytes_max;
    if (bytes.len > 0 && (kept > max || bytes.len > max - kept))
        return vm_limit_passed(vm, PW_LIMIT_body_bytes_max);
    if (!vm_charge(vm, more))
        return PW_STATUS_INTERNAL_FAILURE;
    vm_count_bytes(vm, bytes.len);
    stream->body_bytes[view->buffer] += more;
    stream->bodies_written = true;
    return stream->ops->buffer_splice(stream->ctx, view->buffer, start, remove, slice_to_pw(bytes));
}

uint32_t hostcall_proxy_set_buffer_bytes(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t buffer = arg_u32(args[0]);
    uint64_t start = args[1];
    uint64_t remove = args[2];
    struct buffer_view view;
    struct slice bytes;
    if (buffer > PW_BUFFER_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!view_open(vm, buffer, &view))
        return PW_STATUS_NOT_FOUND;
    if (!guest_slice(vm, args[3], args[4], &bytes))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    if (!view.stream)
        return PW_STATUS_BAD_ARGUMENT; /* immutable or not attached */
    if (start == 0)
        remove = remove < view.size ? remove : view.size;
    else if (start >= view.size)
        start = view.size, remove = 0;
    else
        return PW_STATUS_BAD_ARGUMENT; /* no injection in the middle (ABI 3.0) */
    return write_body(vm, &view, start, remove, bytes);
}

/* 0.1.0 only: the plugin configuration during configure, else that of the VM. */
uint32_t hostcall_proxy_get_configuration(struct pw_vm *vm, const uint64_t *args)
{
    struct buffer_view view;
    if (!view_open(vm, PW_BUFFER_PLUGIN_CONFIGURATION, &view))
        view_open(vm, PW_BUFFER_VM_CONFIGURATION, &view);
    return give_range(vm, &view, 0, view.size, args);
}
