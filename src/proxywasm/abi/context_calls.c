/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host functions about contexts: effective context, done, timers, status. Timers are the embedder's; before
 * the hand-over a period is only recorded.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/context.h"
#include "proxywasm/guest.h"

uint32_t hostcall_proxy_set_effective_context(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t id = arg_u32(args[0]);
    struct context *c = context_find(vm, id);
    if (id != 0 && !c)
        return PW_STATUS_BAD_ARGUMENT;
    vm->effective = c; /* until the callback returns; 0: no override (ABI 3.7) */
    return PW_STATUS_OK;
}

/* Looks up by the plugin of the context, so it works from a stream too (ABI 3.18). */
uint32_t hostcall_proxy_done(struct pw_vm *vm, const uint64_t *args)
{
    (void)args;
    struct context *c = vm_context(vm);
    struct pw_root *root = c ? c->root : NULL;
    if (!root || (!root->done_pending && !root->in_done) || root->done_called)
        return PW_STATUS_NOT_FOUND;
    root->done_called = true;
    vm->roots_done = true;
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_set_tick_period_milliseconds(struct pw_vm *vm, const uint64_t *args)
{
    struct context *c = vm_context(vm);
    if (!c)
        return PW_STATUS_OK;
    struct pw_root *root = c->root;
    root->tick_ms = arg_u32(args[0]);
    if (!vm->vm_ops)
        root->tick_recorded = true;
    else if (vm->vm_ops->set_tick)
        vm->vm_ops->set_tick(vm->ctx, root, root->tick_ms);
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_get_status(struct pw_vm *vm, const uint64_t *args)
{
    /* The status of the last callout belongs to the root of the true context (ABI 3.7). */
    const struct pw_root *root = vm->current ? vm->current->root : NULL;
    struct slice message = root ? root->status_message : SLICE_EMPTY;
    if (!guest_put_u32(vm, args[0], root ? root->status_code : 0) ||
        !guest_give(vm, message, args[1], args[2]))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    return PW_STATUS_OK;
}
