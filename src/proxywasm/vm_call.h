/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door into guest code: vm_call runs an export, vm_settle runs what must wait until the outermost
 * guest call has returned. Every public function that calls the guest is: hold, vm_call, act on the result,
 * vm_settle, release.
 */
#ifndef PROXYWASM_VM_CALL_H
#define PROXYWASM_VM_CALL_H

#include "proxywasm/vm_impl.h"

const char *guest_function_name(enum guest_function fn);

/*
 * Runs `fn` for `context`. Not re-entrant. `result` may be NULL; it is left alone when the export is missing
 * or denied, which is PW_OK. PW_ERR_VM_FAILED before anything ran; PW_ERR_TRAP or PW_ERR_TIMEOUT: the VM has
 * failed now. `starting` selects the start limit.
 */
int vm_call(struct pw_vm *vm, struct context *context, enum guest_function fn, const uint64_t *args,
            size_t nargs, uint64_t *result, bool starting);
/* The same for a callback of streams whose export is there (vm_exports), in a VM that has not failed. Its
 * arguments are the context's id and two more. As engine_ops.call. */
int64_t vm_call_export(struct pw_vm *vm, struct context *context, enum guest_function fn, uint32_t arg,
                       uint32_t arg2);

/* Runs `_initialize` or `_start` under the start limit. */
int vm_call_start(struct pw_vm *vm);

/* Marks the VM as failed; the first failure stays. Runs no callback: vm_settle tells. */
void vm_fail(struct pw_vm *vm, int error, const struct engine_trap *trap);

/*
 * Runs queued actions, proxy_done completions and the news of a failure, in this order of arrival, unless a
 * frame further up the stack is doing that already. Callbacks may destroy streams, roots and the VM.
 */
void vm_settle_slow(struct pw_vm *vm);
static inline bool vm_is_settled(const struct pw_vm *vm)
{
    WEIR_ASSERT(vm->depth == 0);
    return WEIR_LIKELY(!vm->failed && !vm->roots_done && list_empty(&vm->pending));
}
static inline void vm_settle(struct pw_vm *vm)
{
    if (!vm_is_settled(vm))
        vm_settle_slow(vm);
}

/* A frame of the library that goes on using the VM after callbacks. The last release frees a dead VM. */
static inline void vm_hold(struct pw_vm *vm)
{
    vm->holds++;
}
/* Nobody holds it any more and it is leaving. (vm.c) */
void vm_leave(struct pw_vm *vm);
static inline void vm_release(struct pw_vm *vm)
{
    WEIR_ASSERT(vm->holds > 0);
    if (--vm->holds == 0 && WEIR_UNLIKELY(vm->leaving))
        vm_leave(vm);
}

/* Whether vm_call would run anything: the export is there and not denied. */
static inline bool vm_exports(const struct pw_vm *vm, enum guest_function fn)
{
    return vm->exports & (UINT64_C(1) << fn);
}

#endif
