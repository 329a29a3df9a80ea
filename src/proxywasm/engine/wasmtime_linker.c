/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binds a module's imports, once per module: host functions from the rows that the contract chose, so types
 * are known to fit. Imported memories and tables belong to an instance and are made for each.
 */
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/message.h"

#include <stdio.h>
#include <string.h>

#define HOST_PARAMS_MAX 16

static wasm_functype_t *function_type(const struct host_function *fn)
{
    wasm_valtype_t *list[HOST_PARAMS_MAX];
    wasm_valtype_vec_t params;
    wasm_valtype_vec_t results;
    size_t count = strlen(fn->params);

    WEIR_ASSERT(count <= HOST_PARAMS_MAX);
    for (size_t i = 0; i < count; i++)
        list[i] = wasm_valtype_new(fn->params[i] == 'I' ? WASM_I64 : WASM_I32);
    wasm_valtype_vec_new(&params, count, list);
    if (fn->has_result) {
        list[0] = wasm_valtype_new(WASM_I32);
        wasm_valtype_vec_new(&results, 1, list);
    } else {
        wasm_valtype_vec_new_empty(&results);
    }
    return wasm_functype_new(&params, &results); /* takes both */
}

static wasmtime_error_t *define_functions(wasmtime_linker_t *linker, const struct pw_module *module,
                                          const struct contract *contract)
{
    wasmtime_error_t *error = NULL;

    for (size_t i = 0; !error && i < module->scan.imports_count; i++) {
        const struct scan_import *import = &module->scan.imports[i];
        const struct host_function *fn = contract->linked[i];
        wasm_functype_t *type;

        if (!fn)
            continue;
        type = function_type(fn);
        error = wasmtime_linker_define_func_unchecked(linker, import->module.ptr, import->module.len,
                                                      import->name.ptr, import->name.len, type, wt_host_call,
                                                      (void *)fn, NULL);
        wasm_functype_delete(type);
    }
    return error;
}

int wt_module_link(struct pw_module *module, struct engine_module *impl, struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    wasmtime_linker_t *linker = wasmtime_linker_new(state->engine);
    wasmtime_error_t *error;

    /* The same name may be imported twice. */
    wasmtime_linker_allow_shadowing(linker, true);
    error = define_functions(linker, module, &impl->contract);
    if (!error && impl->contract.imports_items) {
        impl->linker = linker;
        return PW_OK;
    }
    if (!error)
        error = wasmtime_linker_instantiate_pre(linker, impl->module, &impl->pre);
    wasmtime_linker_delete(linker);
    if (!error)
        return PW_OK;
    wt_error_take(error, "cannot link: ", why);
    return PW_ERR_MISSING_IMPORT;
}

static wasmtime_error_t *make_memory(struct engine_instance *instance, const struct scan_import *import,
                                     wasmtime_extern_t *item)
{
    wasm_memorytype_t *type = NULL;
    wasmtime_error_t *error =
        wasmtime_memorytype_new(import->min, import->has_max, import->max, false, false, 16, &type);

    if (error)
        return error;
    item->kind = WASMTIME_EXTERN_MEMORY;
    error = wasmtime_memory_new(instance->context, type, &item->of.memory);
    wasm_memorytype_delete(type);
    if (!error) {
        instance->memory = item->of.memory;
        instance->has_memory = true;
    }
    return error;
}

static wasmtime_error_t *make_table(struct engine_instance *instance, const struct scan_import *import,
                                    wasmtime_extern_t *item)
{
    const wasm_limits_t limits = {(uint32_t)import->min,
                                  import->has_max ? (uint32_t)import->max : wasm_limits_max_default};
    wasm_tabletype_t *type;
    wasmtime_error_t *error;
    wasmtime_val_t empty = {.kind = WASMTIME_FUNCREF};

    if (import->element != 0x70)
        return wasmtime_error_new("an imported table of references that are not functions");
    type = wasm_tabletype_new(wasm_valtype_new(WASM_FUNCREF), &limits);
    item->kind = WASMTIME_EXTERN_TABLE;
    error = wasmtime_table_new(instance->context, type, &empty, &item->of.table);
    wasm_tabletype_delete(type);
    return error;
}

wasmtime_linker_t *wt_link_items(struct engine_instance *instance, struct engine_trap *trap)
{
    const struct scan *scan = &instance->module->scan;
    wasmtime_linker_t *linker = wasmtime_linker_clone(instance->module->impl->linker);
    wasmtime_error_t *error = NULL;

    for (size_t i = 0; !error && i < scan->imports_count; i++) {
        const struct scan_import *import = &scan->imports[i];
        wasmtime_extern_t item;

        if (import->kind == SCAN_FUNC)
            continue;
        error = import->kind == SCAN_MEMORY ? make_memory(instance, import, &item)
                                            : make_table(instance, import, &item);
        if (!error)
            error = wasmtime_linker_define(linker, instance->context, import->module.ptr, import->module.len,
                                           import->name.ptr, import->name.len, &item);
    }
    if (!error)
        return linker;
    wasmtime_linker_delete(linker);
    wt_trap_take(instance, error, NULL, trap);
    trap->error = PW_ERR_LIMIT;
    return NULL;
}
