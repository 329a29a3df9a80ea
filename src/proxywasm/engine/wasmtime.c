/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the wasmtime engine.
 */
#include "proxywasm/engine/wasmtime_impl.h"

static void wt_interrupt(struct pw_engine *engine)
{
    const struct wt_state *state = engine->state;

    /* One atomic addition. */
    wasmtime_engine_increment_epoch(state->engine);
}

static bool wt_has_function(const struct engine_instance *instance, enum guest_function fn)
{
    return instance->module->impl->contract.callbacks[fn].export != NULL;
}

static struct guest_memory wt_memory(struct engine_instance *instance)
{
    const wasmtime_memory_t *memory = &instance->memory;
    struct guest_memory now = {instance->memory_base, 0};

    if (!instance->has_memory)
        return now;
    now.size = wasmtime_memory_data_size(instance->context, memory);
    if (!now.base)
        now.base = (char *)wasmtime_memory_data(instance->context, memory);
    return now;
}

const struct engine_ops engine_wasmtime = {
    .name = "wasmtime",
    .address_bytes = 4,
    .engine_init = wt_engine_init,
    .engine_fini = wt_engine_fini,
    .interrupt = wt_interrupt,
    .module_load = wt_module_load,
    .module_fini = wt_module_fini,
    .module_optimise = wt_module_optimise,
    .module_quick = wt_module_quick,
    .instance_create = wt_instance_create,
    .instance_destroy = wt_instance_destroy,
    .instance_drop = wt_instance_drop,
    .instance_reset = wt_instance_reset,
    .instance_renew = wt_instance_renew,
    .instance_state = wt_instance_state,
    .instance_start = wt_instance_start,
    .has_function = wt_has_function,
    .call = wt_call,
    .allocate = wt_allocate,
    .memory = wt_memory,
};
