/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest calls and host calls: the hot path. No allocation, no lock, no name lookup after the first call of an
 * export. It must not call anything above but hostcall_run.
 */
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/abi/hostcalls.h"

#include <inttypes.h>
#include <stdio.h>

#define HOST_ARGS_MAX  12 /* proxy_grpc_call */
#define GUEST_ARGS_MAX 5  /* proxy_on_http_call_response */

#define NS_PER_MS UINT64_C(1000000)

static void stop_guest(struct engine_instance *instance, int error, const char *what, const char *name)
{
    if (instance->stop_error != PW_OK)
        return;
    instance->stop_error = error;
    (void)snprintf(instance->stop_reason, sizeof(instance->stop_reason), "%s%s", what, name);
}

/* The memory is exported, and the start section runs: only the caller's view has it by now. */
static __attribute__((cold, noinline)) void find_memory(struct engine_instance *instance,
                                                        wasmtime_caller_t *caller)
{
    const struct scan_export *memory = instance->module->impl->contract.memory;
    wasmtime_extern_t item;

    WEIR_ASSERT(memory);
    if (!wasmtime_caller_export_get(caller, memory->name.ptr, memory->name.len, &item))
        return;
    wt_instance_set_memory(instance, &item);
}

static __attribute__((cold, noinline)) wasm_trap_t *refuse_host_call(struct engine_instance *instance,
                                                                     const struct host_function *fn)
{
    static const char unwinding[] = "stopped by the host";

    stop_guest(instance, PW_ERR_TRAP, "restricted_callback: ", fn->name);
    return wasmtime_trap_new(unwinding, sizeof(unwinding) - 1);
}

/* No canary: as for wt_call. */
WEIR_HOT __attribute__((no_stack_protector)) wasm_trap_t *
wt_host_call(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count)
{
    const struct host_function *fn = env;
    struct engine_instance *instance = wasmtime_context_get_data(wasmtime_caller_context(caller));
    uint64_t args[HOST_ARGS_MAX];
    uint32_t result;

    WEIR_ASSERT(fn->nargs <= HOST_ARGS_MAX && fn->nargs <= count);
    for (size_t i = 0; i < fn->nargs; i++)
        args[i] = (uint32_t)values[i].i32;
    for (size_t wide = fn->wide; WEIR_UNLIKELY(wide != 0); wide &= wide - 1)
        args[__builtin_ctzl(wide)] = (uint64_t)values[__builtin_ctzl(wide)].i64;
    if (WEIR_UNLIKELY(!instance->has_memory))
        find_memory(instance, caller);
    if (WEIR_UNLIKELY(!hostcall_run(instance->vm, fn, args, &result)))
        return refuse_host_call(instance, fn);
    if (fn->has_result)
        values[0].i32 = (int32_t)result;
    return NULL;
}

/* The epoch moved on: someone asked for a look. */
wasmtime_error_t *wt_epoch_reached(wasmtime_context_t *context, void *data, uint64_t *delta,
                                   wasmtime_update_deadline_kind_t *kind)
{
    struct engine_instance *instance = data;
    struct deadline *deadline = &instance->deadline;
    char limit[64];

    (void)context;
    *delta = 1;
    *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    switch (deadline_verdict(deadline)) {
    case DEADLINE_GO_ON:
        return NULL;
    case DEADLINE_OVERDUE:
        (void)snprintf(limit, sizeof(limit), "%" PRIu64 " ms passed",
                       atomic_load_explicit(&deadline->limit_ns, memory_order_relaxed) / NS_PER_MS);
        stop_guest(instance, PW_ERR_TIMEOUT, "time limit of ", limit);
        break;
    case DEADLINE_INTERRUPTED:
        stop_guest(instance, PW_ERR_TIMEOUT, "interrupted by the host", "");
        break;
    }
    return wasmtime_error_new("stopped by the host");
}

static inline int call_function(struct engine_instance *instance, const wasmtime_func_t *function,
                                wasmtime_val_raw_t *values, size_t count, struct engine_trap *trap)
{
    wasm_trap_t *trap_in = NULL;
    wasmtime_error_t *error =
        wasmtime_func_call_unchecked(instance->context, function, values, count, &trap_in);

    if (WEIR_LIKELY(!error && !trap_in))
        return PW_OK;
    return wt_trap_take(instance, error, trap_in, trap);
}

/* Before the first call of an export: false when there is none. */
static __attribute__((cold, noinline)) bool find_function(struct engine_instance *instance,
                                                          enum guest_function fn)
{
    const struct contract_callback *callback = &instance->module->impl->contract.callbacks[fn];
    struct wt_function *f = &instance->functions[fn];

    if (!callback->export)
        return false;
    WEIR_ASSERT(callback->nargs <= GUEST_ARGS_MAX && callback->nargs > 0);
    WEIR_ASSERT(wt_instance_function(instance, callback->export->name, &f->function));
    f->nargs = (uint8_t)callback->nargs;
    f->has_result = callback->export->type->results[0];
    return true;
}

/* The room for the values is written up to a count that was checked: a canary would only cost time. */
WEIR_HOT __attribute__((no_stack_protector)) int64_t wt_call(struct engine_instance *instance,
                                                             enum guest_function fn, const uint64_t *args,
                                                             size_t nargs, struct engine_trap *trap)
{
    const struct wt_function *f = &instance->functions[fn];
    wasmtime_val_raw_t values[GUEST_ARGS_MAX];

    if (WEIR_UNLIKELY(f->nargs == 0) && !find_function(instance, fn))
        return ENGINE_NO_VALUE;
    WEIR_ASSERT(nargs >= f->nargs);
    values[0].i32 = (int32_t)(uint32_t)args[0];
    if (f->nargs > 1) {
        values[1].i32 = (int32_t)(uint32_t)args[1];
        for (size_t i = 2; i < f->nargs; i++)
            values[i].i32 = (int32_t)(uint32_t)args[i];
    }
    if (WEIR_UNLIKELY(instance->pooled))
        wt_instance_limit_growth(instance);
    int error = call_function(instance, &f->function, values, f->nargs, trap);
    if (WEIR_UNLIKELY(instance->pooled))
        wt_instance_charge_growth(instance);
    if (WEIR_UNLIKELY(error != PW_OK))
        return error;
    return f->has_result ? (int64_t)(uint32_t)values[0].i32 : ENGINE_NO_VALUE;
}

WEIR_HOT int wt_allocate(struct engine_instance *instance, uint64_t len, uint64_t *address,
                         struct engine_trap *trap)
{
    const struct contract *contract = &instance->module->impl->contract;
    wasmtime_val_raw_t value;
    int error;

    /* malloc(0) traps in Go plugins (ABI 3.16). */
    WEIR_ASSERT(len > 0);
    *address = 0;
    if (len > UINT32_MAX)
        return PW_OK;
    /* A start section that makes the host allocate: the instance is not complete, nothing can be called. */
    if (WEIR_UNLIKELY(!instance->has_instance))
        return PW_OK;
    if (WEIR_UNLIKELY(!instance->has_allocator)) {
        const struct scan_export *export = contract->malloc_ ? contract->malloc_ : contract->allocate;
        WEIR_ASSERT(wt_instance_function(instance, export->name, &instance->allocator));
        instance->has_allocator = true;
    }
    value.i32 = (int32_t)(uint32_t)len;
    error = call_function(instance, &instance->allocator, &value, 1, trap);
    if (error == PW_OK)
        *address = (uint32_t)value.i32;
    return error;
}

static int call_once(struct engine_instance *instance, const struct scan_export *export,
                     struct engine_trap *trap)
{
    wasmtime_val_raw_t values[2] = {{.i32 = 0}, {.i32 = 0}};
    wasmtime_func_t function;

    if (!export)
        return PW_OK;
    WEIR_ASSERT(wt_instance_function(instance, export->name, &function));
    return call_function(instance, &function, values, 2, trap);
}

int wt_instance_start(struct engine_instance *instance, struct engine_trap *trap)
{
    const struct contract *contract = &instance->module->impl->contract;
    int error;

    if (!contract->initialize)
        return call_once(instance, contract->start, trap);
    error = call_once(instance, contract->initialize, trap);
    if (error != PW_OK)
        return error;
    return call_once(instance, contract->main_ ? contract->main_ : contract->main_void, trap);
}
