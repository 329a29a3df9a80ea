/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared data and shared queues as guests see them (ABI 3.11, 3.12). No lock is held while the guest's
 * allocator runs.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"

uint32_t hostcall_proxy_get_shared_data(struct pw_vm *vm, const uint64_t *args)
{
    struct slice key;
    struct bytes *value = NULL;
    uint32_t cas = 0;
    if (!guest_slice(vm, args[0], args[1], &key))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    enum pw_status status = shared_space_get(vm->shared, key, &value, &cas);
    if (status != PW_STATUS_OK)
        return status;
    bool ok = guest_give(vm, bytes_slice(value), args[2], args[3]) && guest_put_u32(vm, args[4], cas);
    bytes_unref(&value);
    return ok ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_set_shared_data(struct pw_vm *vm, const uint64_t *args)
{
    struct slice key, value;
    if (!guest_slice(vm, args[0], args[1], &key) || !guest_slice(vm, args[2], args[3], &value))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct limit_check check = limit_check(&vm->limits);
    vm_count_bytes(vm, key.len + value.len);
    enum pw_status status =
        shared_space_set(&vm->host->shared, vm->shared, key, value, arg_u32(args[4]), &check);
    vm_count_limit(vm, &check);
    return status;
}

uint32_t hostcall_proxy_register_shared_queue(struct pw_vm *vm, const uint64_t *args)
{
    struct slice name;
    uint32_t id = 0;
    size_t slot;
    if (!guest_slice(vm, args[0], args[1], &name))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    const struct context *c = vm_context(vm);
    struct limit_check check = limit_check(&vm->limits);
    enum pw_status status = queue_register(&vm->host->queues, vm->queues, name, &id, &check);
    vm_count_limit(vm, &check);
    if (status != PW_STATUS_OK)
        return status;
    /* The model listens, not each of its copies. */
    if (c && !vm->fresh) {
        if (!mailbox_slot(vm->mailbox, c->root->base.id, id, &slot))
            return PW_STATUS_INTERNAL_FAILURE;
        /* Before the hand-over the slot is only recorded: a trial must not take the queue over. */
        if (vm->vm_ops)
            queue_listen(&vm->host->queues, id, vm->mailbox, slot);
    }
    return guest_put_u32(vm, args[2], id) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_resolve_shared_queue(struct pw_vm *vm, const uint64_t *args)
{
    struct slice vm_id, name;
    uint32_t id = 0;
    if (!guest_slice(vm, args[0], args[1], &vm_id) || !guest_slice(vm, args[2], args[3], &name))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    if (vm_id.len == 0)
        vm_id = vm->vm_id;
    enum pw_status status = queue_resolve(&vm->host->queues, vm_id, name, &id);
    if (status != PW_STATUS_OK)
        return status;
    return guest_put_u32(vm, args[4], id) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_enqueue_shared_queue(struct pw_vm *vm, const uint64_t *args)
{
    struct slice value;
    if (!guest_slice(vm, args[1], args[2], &value))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct limit_check check = limit_check(&vm->limits);
    vm_count_bytes(vm, value.len);
    enum pw_status status = queue_enqueue(&vm->host->queues, arg_u32(args[0]), value, &check);
    vm_count_limit(vm, &check);
    return status;
}

uint32_t hostcall_proxy_dequeue_shared_queue(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t id = arg_u32(args[0]);
    struct queue_item *item = NULL;
    enum pw_status status = queue_dequeue(&vm->host->queues, id, &item);
    if (status != PW_STATUS_OK)
        return status;
    if (!guest_give(vm, queue_item_value(item), args[1], args[2])) {
        queue_item_return(&vm->host->queues, id, &item); /* the reference host loses it */
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    }
    queue_item_free(&item);
    return PW_STATUS_OK;
}
