/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation in the guest and handing bytes over to it. The guest's allocator is guest code: it may call the
 * host, grow and move memory, and trap.
 */
#include "proxywasm/guest.h"

#include "proxywasm/host_impl.h"
#include "proxywasm/vm_call.h"
#include "proxywasm/vm_log.h"

bool guest_grew(const struct pw_vm *vm, uint64_t address, uint64_t len)
{
    struct guest_memory *memory = (struct guest_memory *)(uintptr_t)&vm->memory; /* a cache: no VM is const */
    *memory = vm->ops->memory(vm->instance);
    return guest_holds(memory, address, len);
}

WEIR_HOT char *guest_allocate(struct pw_vm *vm, uint64_t len, uint64_t *address)
{
    WEIR_ASSERT(len > 0);
    WEIR_ASSERT(vm->mode != VM_MALLOC);
    *address = 0;
    if (vm->failed || (vm->ops->address_bytes == 4 && len > UINT32_MAX))
        return NULL;

    vm_count_bytes(vm, len);
    enum vm_mode mode = vm->mode;
    bool gate = vm->gate;
    vm->mode = VM_MALLOC;
    vm->gate = true;
    int error = vm->ops->allocate(vm->instance, len, address, &vm->trap[1]);
    vm->mode = mode;
    vm->gate = gate;
    if (error != PW_OK) {
        vm_fail(vm, error, &vm->trap[1]);
        return NULL;
    }
    if (WEIR_UNLIKELY(!vm->memory_stays))
        vm->memory = vm->ops->memory(vm->instance);
    /* Address 0 means "none left", even though 0 is ordinary memory. */
    return *address ? guest_at(vm, *address, len) : NULL;
}

WEIR_HOT bool guest_give(struct pw_vm *vm, struct slice data, uint64_t address_out, uint64_t size_out)
{
    uint64_t address = 0;
    if (data.len > 0) {
        char *p = guest_allocate(vm, data.len, &address);
        if (!p)
            return false;
        slice_copy(p, data);
    }
    return guest_put_word(vm, address_out, address) && guest_put_word(vm, size_out, data.len);
}

struct slice guest_keep(struct pw_vm *vm, struct slice data)
{
    return arena_dup(&vm->scratch, data);
}

enum pw_status vm_limit_passed(struct pw_vm *vm, enum pw_limit limit)
{
    const struct context *c = vm_context(vm);
    (c ? c->root->costs->limit_hits : vm->limit_hits)[limit]++;
    if (limit != PW_LIMIT_log_lines_per_sec)
        vm_log_limit(vm, c, limit);
    return PW_STATUS_INTERNAL_FAILURE;
}

/* Takes at least `bytes` from the budget of all VMs, and some more when there is more. */
static bool prepay(struct pw_vm *vm, uint64_t bytes)
{
    uint64_t short_of = bytes - vm->prepaid_bytes;
    if (!budget_take(&vm->host->budget, short_of))
        return false;
    vm->prepaid_bytes = bytes;
    if (budget_take(&vm->host->budget, PREPAID_BYTES))
        vm->prepaid_bytes += PREPAID_BYTES;
    return true;
}

WEIR_HOT bool vm_charge(struct pw_vm *vm, uint64_t bytes)
{
    uint64_t max = vm->limits.host_bytes_max;
    if (bytes > max || vm->held_bytes > max - bytes) {
        vm_limit_passed(vm, PW_LIMIT_host_bytes_max);
        return false;
    }
    if (WEIR_UNLIKELY(bytes > vm->prepaid_bytes) && !prepay(vm, bytes)) {
        vm_limit_passed(vm, PW_LIMIT_total_memory);
        return false;
    }
    vm->prepaid_bytes -= bytes;
    vm->held_bytes += bytes;
    return true;
}

WEIR_HOT void vm_uncharge(struct pw_vm *vm, uint64_t bytes)
{
    WEIR_ASSERT(vm->held_bytes >= bytes);
    vm->held_bytes -= bytes;
    vm->prepaid_bytes += bytes;
    if (WEIR_UNLIKELY(vm->prepaid_bytes > 2 * PREPAID_BYTES)) {
        budget_give(&vm->host->budget, vm->prepaid_bytes - PREPAID_BYTES);
        vm->prepaid_bytes = PREPAID_BYTES;
    }
}

void vm_repay(struct pw_vm *vm)
{
    budget_give(&vm->host->budget, vm->prepaid_bytes);
    vm->prepaid_bytes = 0;
}
