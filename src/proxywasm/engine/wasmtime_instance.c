/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances: a store of their own each, with its limits. Growth beyond the memory cap fails in the guest; a
 * module that asks for more from the start is refused with both numbers.
 */
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/limits.h"
#include "proxywasm/vm_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct engine_trap *trap, int error, const char *fmt, uint64_t a, uint64_t b)
    __attribute__((format(printf, 3, 0)));

static int refuse(struct engine_trap *trap, int error, const char *fmt, uint64_t a, uint64_t b)
{
    trap->error = error;
    trap->backtrace[0] = '\0';
    (void)snprintf(trap->message, sizeof(trap->message), fmt, a, b);
    return error;
}

static void set_store_limits(struct engine_instance *instance, int64_t memory)
{
    /* Two instances: a module whose memory is imported gets that from a second one. */
    wasmtime_store_limiter(instance->store, memory, TABLE_ELEMENTS_MAX, 2, TABLES_MAX, 1);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t memory_cap(const struct engine_instance *instance)
{
    const struct wt_state *state = instance->vm->engine->state;
    return min_u64(instance->vm->limits.memory_max_bytes, state->pool_memory_bytes);
}

void wt_instance_limit_growth(struct engine_instance *instance)
{
    uint64_t left = budget_left(&instance->vm->host->budget);
    uint64_t limit = memory_cap(instance);

    if (limit > instance->memory_charged && limit - instance->memory_charged > left)
        limit = instance->memory_charged + left;
    if (WEIR_LIKELY(limit == instance->memory_limit))
        return;
    instance->memory_limit = limit;
    set_store_limits(instance, (int64_t)limit);
}

void wt_instance_charge_growth(struct engine_instance *instance)
{
    uint64_t size = wasmtime_memory_data_size(instance->context, &instance->memory);

    if (WEIR_LIKELY(size == instance->memory_charged))
        return;
    budget_force(&instance->vm->host->budget, size - instance->memory_charged);
    instance->memory_charged = size;
}

/* What it begins with is refused, where there is no room for it. */
static int charge_memory(struct engine_instance *instance, struct engine_trap *trap)
{
    struct pw_vm *vm = instance->vm;
    uint64_t size = wasmtime_memory_data_size(instance->context, &instance->memory);

    if (!budget_take(&vm->host->budget, size)) {
        vm_limit_passed(vm, PW_LIMIT_total_memory);
        return refuse(trap, PW_ERR_LIMIT,
                      "a memory of %" PRIu64 " bytes is too much: all plugins together have %" PRIu64
                      " bytes left",
                      size, budget_left(&vm->host->budget));
    }
    instance->memory_charged = size;
    return PW_OK;
}

static void set_limits(struct engine_instance *instance, const struct wt_state *state)
{
    instance->pooled = state->pool_memory_bytes > 0;
    instance->memory_limit = instance->pooled ? memory_cap(instance) : 0;
    /* Memories outside of a pool have their limit in wasmtime_memory.c. */
    set_store_limits(instance, instance->pooled ? (int64_t)instance->memory_limit : -1);
    wasmtime_store_epoch_deadline_callback(instance->store, wt_epoch_reached, instance, NULL);
    wasmtime_context_set_epoch_deadline(instance->context, 1);
}

bool wt_instance_function(struct engine_instance *instance, struct slice name, wasmtime_func_t *out)
{
    wasmtime_extern_t item;

    WEIR_ASSERT(instance->has_instance);
    if (!wasmtime_instance_export_get(instance->context, &instance->instance, name.ptr, name.len, &item))
        return false;
    WEIR_ASSERT(item.kind == WASMTIME_EXTERN_FUNC);
    *out = item.of.func;
    return true;
}

void wt_instance_set_memory(struct engine_instance *instance, const wasmtime_extern_t *item)
{
    const struct wt_state *state = instance->vm->engine->state;

    WEIR_ASSERT(item->kind == WASMTIME_EXTERN_MEMORY);
    instance->memory = item->of.memory;
    instance->has_memory = true;
    instance->vm->memory_stays = state->memory_stays;
    if (state->memory_stays)
        instance->memory_base = (char *)wasmtime_memory_data(instance->context, &instance->memory);
}

static void take_memory(struct engine_instance *instance)
{
    const struct scan_export *memory = instance->module->impl->contract.memory;
    wasmtime_extern_t item;

    if (instance->has_memory)
        return;
    WEIR_ASSERT(memory);
    WEIR_ASSERT(wasmtime_instance_export_get(instance->context, &instance->instance, memory->name.ptr,
                                             memory->name.len, &item));
    wt_instance_set_memory(instance, &item);
}

/* Runs the start section. */
static int instantiate(struct engine_instance *instance, struct engine_trap *trap)
{
    const struct wt_code *code = instance->code;
    wasm_trap_t *trap_in = NULL;
    wasmtime_error_t *error;

    if (code->pre) {
        error =
            wasmtime_instance_pre_instantiate(code->pre, instance->context, &instance->instance, &trap_in);
    } else {
        wasmtime_linker_t *linker = wt_link_items(instance, trap);
        if (!linker)
            return trap->error;
        error = wasmtime_linker_instantiate(linker, instance->context, code->module, &instance->instance,
                                            &trap_in);
        wasmtime_linker_delete(linker);
    }
    if (error || trap_in) {
        bool ran = trap_in || instance->stop_error != PW_OK;

        wt_trap_take(instance, error, trap_in, trap);
        /* No trap: the instance could not be made, as a pool is full or a table too large. */
        if (!ran && trap->backtrace[0] == '\0')
            trap->error = instance->memory_error != PW_OK ? instance->memory_error : PW_ERR_LIMIT;
        return trap->error;
    }
    instance->has_instance = true;
    take_memory(instance);
    return PW_OK;
}

static uint64_t shortest_limit(const struct pw_limits *limits)
{
    return limits->start_time_max_ns < limits->callback_time_max_ns ? limits->start_time_max_ns
                                                                    : limits->callback_time_max_ns;
}

/* The start section is guest code: the start limit holds for it. */
static int instantiate_limited(struct engine_instance *instance, struct engine_trap *trap)
{
    struct pw_vm *vm = instance->vm;
    int error;

    if (!vm->deadline)
        return instantiate(instance, trap);
    deadline_enter(vm->deadline, vm->limits.start_time_max_ns, host_cycles(vm->host));
    error = instantiate(instance, trap);
    deadline_leave(vm->deadline);
    return error;
}

static int check_memory(const struct pw_vm *vm, struct engine_trap *trap)
{
    uint64_t memory_min = vm->module->info.memory_min_bytes;

    if (memory_min > vm->limits.memory_max_bytes)
        return refuse(trap, PW_ERR_LIMIT,
                      "the module's memory begins with %" PRIu64 " bytes, the limit is %" PRIu64 " bytes",
                      memory_min, vm->limits.memory_max_bytes);
    return PW_OK;
}

/* A store and an instance in it. On error nothing is left. */
static int open_sandbox(struct engine_instance *instance, struct engine_trap *trap)
{
    struct wt_state *state = instance->vm->engine->state;
    int error;

    instance->code = wt_module_code(instance->module->impl);
    instance->store = wasmtime_store_new(state->engine, instance, NULL);
    atomic_fetch_add_explicit(&state->open, 1, memory_order_relaxed);
    instance->context = wasmtime_store_context(instance->store);
    set_limits(instance, state);
    wt_memory_owner(instance);
    error = instantiate_limited(instance, trap);
    wt_memory_owner(NULL);
    if (error == PW_OK && instance->pooled)
        error = charge_memory(instance, trap);
    if (error != PW_OK)
        wt_instance_drop(instance);
    else if (instance->pooled)
        wt_reset_prepare(instance);
    return error;
}

int wt_instance_create(struct pw_vm *vm, struct engine_instance **out, struct engine_trap *trap)
{
    struct engine_instance *instance;
    int error = check_memory(vm, trap);

    *out = NULL;
    if (error != PW_OK)
        return error;
    instance = calloc(1, sizeof(*instance));
    if (!instance)
        return refuse(trap, PW_ERR_NOMEM, "out of memory", 0, 0);
    instance->module = vm->module;
    instance->vm = vm;
    if (vm->engine->interruptible) {
        deadline_register(vm->engine, &instance->deadline, shortest_limit(&vm->limits));
        vm->deadline = &instance->deadline;
    }
    *out = instance;
    error = open_sandbox(instance, trap);
    if (error != PW_OK)
        wt_instance_destroy(out);
    return error;
}

int wt_instance_renew(struct engine_instance *instance, struct engine_trap *trap)
{
    if (!instance->store)
        return open_sandbox(instance, trap);
    /* It was set back, and is charged still, unless its memory was needed elsewhere. */
    if (budget_wake(&instance->vm->host->budget, &instance->idle))
        return PW_OK;
    instance->memory_charged = 0;
    wt_instance_drop(instance);
    return open_sandbox(instance, trap);
}

void wt_instance_drop(struct engine_instance *instance)
{
    struct wt_state *state = instance->vm->engine->state;

    if (!budget_wake(&instance->vm->host->budget, &instance->idle))
        instance->memory_charged = 0;
    if (instance->store) {
        wasmtime_store_delete(instance->store);
        atomic_fetch_sub_explicit(&state->open, 1, memory_order_relaxed);
    }
    if (instance->memory_charged > 0)
        budget_give(&instance->vm->host->budget, instance->memory_charged);
    instance->memory_charged = 0;
    instance->store = NULL;
    instance->context = NULL;
    instance->memory_base = NULL;
    instance->has_memory = false;
    instance->has_instance = false;
    instance->has_allocator = false;
    memset(instance->functions, 0, sizeof(instance->functions)); /* they belong to the store */
    instance->stop_error = PW_OK;
}

void wt_instance_destroy(struct engine_instance **instance_ptr)
{
    struct engine_instance *instance = *instance_ptr;

    if (!instance)
        return;
    if (instance->vm->deadline) {
        deadline_unregister(instance->vm->engine, &instance->deadline);
        instance->vm->deadline = NULL;
    }
    wt_instance_drop(instance);
    free(instance->reset);
    free(instance);
    *instance_ptr = NULL;
}
