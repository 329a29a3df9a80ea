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

/*
 * Imported memories and tables come out of a little module that defines and exports them, one instance of it
 * per VM. (The C interface makes no tables when it is built without garbage collection.) Item i is export "a"
 * + i.
 */
#define ITEMS_MAX   8
#define ITEM_BYTES  24
#define ITEMS_BYTES (64 + ITEMS_MAX * ITEM_BYTES)

struct writer {
    uint8_t bytes[ITEMS_BYTES];
    size_t used;
};

static void put_byte(struct writer *w, uint8_t byte)
{
    WEIR_ASSERT(w->used < sizeof(w->bytes));
    w->bytes[w->used++] = byte;
}

static void put_varint(struct writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_byte(w, (uint8_t)(value | 0x80));
    put_byte(w, (uint8_t)value);
}

static void put_section(struct writer *w, uint8_t id, uint64_t count, const struct writer *content)
{
    if (count == 0)
        return;
    WEIR_ASSERT(count < 0x80);
    put_byte(w, id);
    put_varint(w, content->used + 1);
    put_varint(w, count);
    for (size_t i = 0; i < content->used; i++)
        put_byte(w, content->bytes[i]);
}

static void put_limits(struct writer *w, const struct scan_import *import)
{
    put_byte(w, import->has_max);
    put_varint(w, import->min);
    if (import->has_max)
        put_varint(w, import->max);
}

static void put_export(struct writer *w, uint8_t letter, enum scan_kind kind, uint64_t index)
{
    put_varint(w, 1);
    put_byte(w, letter);
    put_byte(w, (uint8_t)kind);
    put_varint(w, index);
}

/* NULL when all went well. */
static const char *items_encode(const struct scan *scan, struct writer *out)
{
    static const uint8_t header[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct writer tables = {.used = 0};
    struct writer memories = {.used = 0};
    struct writer exports = {.used = 0};
    uint8_t tables_count = 0;
    uint8_t memories_count = 0;

    for (size_t i = 0; i < scan->imports_count; i++) {
        const struct scan_import *import = &scan->imports[i];
        uint8_t items = tables_count + memories_count;

        if (import->kind == SCAN_FUNC)
            continue;
        if (items == ITEMS_MAX)
            return "too many memories and tables are imported";
        if (import->kind == SCAN_MEMORY) {
            put_limits(&memories, import);
            put_export(&exports, 'a' + items, SCAN_MEMORY, memories_count++);
            continue;
        }
        if ((uint8_t)import->element != 0x70)
            return "a table of something else than functions is imported";
        put_byte(&tables, 0x70);
        put_limits(&tables, import);
        put_export(&exports, 'a' + items, SCAN_TABLE, tables_count++);
    }
    out->used = 0;
    for (size_t i = 0; i < sizeof(header); i++)
        put_byte(out, header[i]);
    put_section(out, 4, tables_count, &tables);
    put_section(out, 5, memories_count, &memories);
    put_section(out, 7, (uint64_t)tables_count + memories_count, &exports);
    return NULL;
}

static int make_items(struct pw_module *module, struct engine_module *impl, struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    struct writer binary;
    const char *problem = items_encode(&module->scan, &binary);
    wasmtime_error_t *error;

    if (problem)
        return message_error(PW_ERR_MISSING_IMPORT, why, "cannot link: %s", problem);
    error = wasmtime_module_new(state->engine, binary.bytes, binary.used, &impl->items);
    if (!error)
        return PW_OK;
    wt_error_take(error, "cannot link: ", why);
    return PW_ERR_MISSING_IMPORT;
}

int wt_code_link(struct pw_module *module, struct engine_module *impl, struct wt_code *code,
                 struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    wasmtime_linker_t *linker = wasmtime_linker_new(state->engine);
    wasmtime_error_t *error;

    /* The same name may be imported twice. */
    wasmtime_linker_allow_shadowing(linker, true);
    error = define_functions(linker, module, &impl->contract);
    if (!error && impl->contract.imports_items) {
        code->linker = linker;
        return impl->items ? PW_OK : make_items(module, impl, why);
    }
    if (!error)
        error = wasmtime_linker_instantiate_pre(linker, code->module, &code->pre);
    wasmtime_linker_delete(linker);
    if (!error)
        return PW_OK;
    wt_error_take(error, "cannot link: ", why);
    return PW_ERR_MISSING_IMPORT;
}

static wasmtime_error_t *define_items(struct engine_instance *instance, wasmtime_linker_t *linker,
                                      const wasmtime_instance_t *items)
{
    const struct scan *scan = &instance->module->scan;
    wasmtime_error_t *error = NULL;
    char name = 'a';

    for (size_t i = 0; !error && i < scan->imports_count; i++) {
        const struct scan_import *import = &scan->imports[i];
        wasmtime_extern_t item;

        if (import->kind == SCAN_FUNC)
            continue;
        WEIR_ASSERT(wasmtime_instance_export_get(instance->context, items, &name, 1, &item));
        name++;
        if (item.kind == WASMTIME_EXTERN_MEMORY)
            wt_instance_set_memory(instance, &item);
        error = wasmtime_linker_define(linker, instance->context, import->module.ptr, import->module.len,
                                       import->name.ptr, import->name.len, &item);
    }
    return error;
}

wasmtime_linker_t *wt_link_items(struct engine_instance *instance, struct engine_trap *trap)
{
    const struct engine_module *impl = instance->module->impl;
    wasmtime_linker_t *linker;
    wasmtime_instance_t items;
    wasm_trap_t *trap_in = NULL;
    wasmtime_error_t *error =
        wasmtime_instance_new(instance->context, impl->items, NULL, 0, &items, &trap_in);

    WEIR_ASSERT(!trap_in); /* it has no code */
    if (!error) {
        linker = wasmtime_linker_clone(instance->code->linker);
        error = define_items(instance, linker, &items);
        if (!error)
            return linker;
        wasmtime_linker_delete(linker);
    }
    wt_trap_take(instance, error, NULL, trap);
    trap->error = PW_ERR_LIMIT;
    return NULL;
}
