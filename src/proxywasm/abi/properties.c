/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties. The three that name the plugin are answered here, as they must be readable before any stream
 * exists; all others are the embedder's.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/value.h"

/* The C++ SDK ends a path with NUL, others do not (ABI 2.3). */
static struct slice trim_path(struct slice path)
{
    if (path.len && path.ptr[path.len - 1] == '\0')
        path.len--;
    return path;
}

static bool own_property(const struct pw_vm *vm, struct slice path, struct slice *value)
{
    const struct context *c = vm_context(vm);
    if (!c || path.len < 11 || memcmp(path.ptr, "plugin_", 7) != 0)
        return false;
    if (slice_eq(path, SLICE_LIT("plugin_root_id")))
        *value = c->root->plugin->root_id;
    else if (slice_eq(path, SLICE_LIT("plugin_name")))
        *value = c->root->plugin->name;
    else if (slice_eq(path, SLICE_LIT("plugin_vm_id")))
        *value = vm->vm_id;
    else
        return false;
    return true;
}

static enum pw_status ask_embedder(struct pw_vm *vm, struct slice path, struct pw_value *value)
{
    struct context *c = vm_context(vm);
    enum pw_status status = PW_STATUS_NOT_FOUND;
    if (c->kind == CONTEXT_STREAM) {
        struct pw_stream *stream = context_stream(c);
        status = stream->ops->property_get(stream->ctx, slice_to_pw(path), value);
    } else if (c->root->logged) {
        struct pw_stream *logged = c->root->logged;
        status = logged->ops->property_get(logged->ctx, slice_to_pw(path), value);
    } else if (c->root->property_get) {
        status = c->root->property_get(c->root->property_ctx, slice_to_pw(path), value);
    }
    if (status == PW_STATUS_OK && value->failed)
        return PW_STATUS_INTERNAL_FAILURE;
    if (status == PW_STATUS_OK && !value->set)
        return PW_STATUS_SERIALIZATION_FAILURE;
    /* Other codes are a trap in the Rust SDK (ABI 2.1). */
    bool known =
        status == PW_STATUS_OK || status == PW_STATUS_NOT_FOUND || status == PW_STATUS_SERIALIZATION_FAILURE;
    return known ? status : PW_STATUS_INTERNAL_FAILURE;
}

uint32_t hostcall_proxy_get_property(struct pw_vm *vm, const uint64_t *args)
{
    struct slice path, own;
    struct pw_value value;
    if (!guest_slice(vm, args[0], args[1], &path))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    path = trim_path(path);
    if (path.len > PROPERTY_PATH_BYTES_MAX || !vm_context(vm))
        return PW_STATUS_NOT_FOUND;
    if (path.len == 0)
        return PW_STATUS_SERIALIZATION_FAILURE; /* the null value (ABI 2.3) */
    if (own_property(vm, path, &own))
        return guest_give(vm, own, args[2], args[3]) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
    value_init(&value, &vm->scratch);
    enum pw_status status = ask_embedder(vm, path, &value);
    if (status != PW_STATUS_OK)
        return status;
    return guest_give(vm, value.bytes, args[2], args[3]) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_set_property(struct pw_vm *vm, const uint64_t *args)
{
    struct slice path, value;
    if (!guest_slice(vm, args[0], args[1], &path) || !guest_slice(vm, args[2], args[3], &value))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    path = trim_path(path);
    struct context *c = vm_context(vm);
    if (!c || c->kind != CONTEXT_STREAM)
        return PW_STATUS_NOT_FOUND;
    if (path.len == 0 || path.len > PROPERTY_PATH_BYTES_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    struct pw_stream *stream = context_stream(c);
    return stream->ops->property_set(stream->ctx, slice_to_pw(path), slice_to_pw(value));
}
