/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The null engine: native plugins behind the contract of sdk/c/include/proxy_wasm_null.h. No sandbox: no
 * limit holds, addresses are pointers, and a plugin is code that the operator put into a fixed directory or
 * built in. It must never load anything by a path that a configuration names.
 */
#include "proxywasm/engine/native.h"

#include "base/assert.h"
#include "base/map.h"
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"
#include "proxywasm/module_impl.h"

#include <proxy_wasm_null.h>

#include <stdio.h>
#include <stdlib.h>

/* pw_engine.state */
struct native_state {
    /* By number of the contract; NULL: the library has no such function. */
    const struct host_function *functions[PW_NULL_HOST_FUNCTION_COUNT];
    struct map builtin; /* name -> entry; under the engine's lock */
};

struct engine_module {
    const struct pw_null_plugin *plugin;
    uint64_t exports;
};

struct engine_instance {
    const struct pw_null_plugin *plugin;
    void *instance; /* NULL until instance_start */
    uint64_t exports;
    struct pw_vm *vm;
    const struct native_state *state;
    struct pw_null_host host;
};

static const struct {
    const char *name;
    uint8_t nargs;
} native_functions[] = {
#define PW_NULL_X(name, nargs) {#name, nargs},
    PW_NULL_HOST_FUNCTIONS(PW_NULL_X)
#undef PW_NULL_X
};

/* The library's callbacks are numbered as the contract's. */
static const uint8_t native_callback_nargs[] = {
#define PW_NULL_X(name, nargs, has_result) nargs,
    PW_NULL_CALLBACKS(PW_NULL_X)
#undef PW_NULL_X
};
#define GUEST_X(name, nargs, has_result)                                                                     \
    _Static_assert((int)GUEST_##name == (int)PW_NULL_CB_##name, "callbacks are numbered alike");
GUEST_FUNCTIONS(GUEST_X)
#undef GUEST_X
_Static_assert((int)GUEST_FUNCTION_COUNT == (int)PW_NULL_CALLBACK_COUNT, "callbacks are the same");

static const struct host_function *find_function(const char *name, size_t nargs)
{
    for (size_t i = 0; i < host_functions_count; i++) {
        const struct host_function *fn = &host_functions[i];

        if (strcmp(fn->module, "env") != 0 || strcmp(fn->name, name) != 0)
            continue;
        WEIR_ASSERT(strlen(fn->params) == nargs);
        return fn;
    }
    return NULL;
}

static int native_init(struct pw_engine *engine, const struct pw_engine_config *config,
                       struct pw_message *why)
{
    struct native_state *state = calloc(1, sizeof(*state));

    (void)config;
    if (!state)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(native_functions); i++)
        state->functions[i] = find_function(native_functions[i].name, native_functions[i].nargs);
    map_init(&state->builtin);
    engine->state = state;
    return PW_OK;
}

static void native_fini(struct pw_engine *engine)
{
    struct native_state *state = engine->state;

    map_fini(&state->builtin);
    free(state);
    engine->state = NULL;
}

static void native_interrupt(struct pw_engine *engine)
{
    (void)engine; /* nothing can stop native code */
}

int native_add(struct pw_engine *engine, const char *name, const void *entry)
{
    struct native_state *state = engine->state;
    int error = PW_OK;

    pthread_mutex_lock(&engine->lock);
    if (state->builtin.count >= NATIVE_PLUGINS_MAX)
        error = PW_ERR_LIMIT;
    else if (!map_put(&state->builtin, slice_str(name), (void *)(uintptr_t)entry))
        error = PW_ERR_NOMEM;
    pthread_mutex_unlock(&engine->lock);
    return error;
}

static void *find_builtin(struct pw_engine *engine, struct slice name)
{
    struct native_state *state = engine->state;
    void *entry;

    pthread_mutex_lock(&engine->lock);
    entry = map_get(&state->builtin, name);
    pthread_mutex_unlock(&engine->lock);
    return entry;
}

static int check_plugin(const struct pw_null_plugin *plugin, const char *name, struct pw_message *why)
{
    if (!plugin || plugin->size < sizeof(*plugin))
        return message_error(PW_ERR_BAD_MODULE, why, "%s: not a native plugin of this contract", name);
    if (plugin->version != PW_NULL_CONTRACT_VERSION)
        return message_error(PW_ERR_BAD_MODULE, why, "%s: contract version %u, this host has %u", name,
                             plugin->version, PW_NULL_CONTRACT_VERSION);
    if (!plugin->abi || strcmp(plugin->abi, PW_NULL_ABI) != 0)
        return message_error(PW_ERR_BAD_MODULE, why, "%s: ABI \"%.32s\", this host has " PW_NULL_ABI, name,
                             plugin->abi ? plugin->abi : "");
    if (!plugin->instance_create || !plugin->instance_destroy || !plugin->call)
        return message_error(PW_ERR_BAD_EXPORT, why, "%s: a function of the contract is missing", name);
    if (!plugin->allocate)
        return message_error(PW_ERR_BAD_EXPORT, why, "%s: no allocator", name);
    return PW_OK;
}

/* A file name, not a path. */
static bool name_plain(struct slice name)
{
    if (name.len == 0 || name.len > NATIVE_NAME_BYTES_MAX || name.ptr[0] == '.')
        return false;
    return slice_find_char(name, '/') < 0 && slice_find_char(name, '\0') < 0;
}

static int native_module_load(struct pw_module *module, struct pw_slice code, struct pw_message *why)
{
    struct pw_host *host = module->engine->host;
    struct slice name = slice_of(code.ptr, code.len);
    char text[NATIVE_NAME_BYTES_MAX + 1];
    pw_null_plugin_entry_fn entry;
    int error;

    if (!name_plain(name))
        return message_error(PW_ERR_INVALID_ARGUMENT, why,
                             "a native plugin is named by a plain name, not by a path");
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    entry = (pw_null_plugin_entry_fn)(uintptr_t)find_builtin(module->engine, name);
    if (!entry && host->ops.native_load) {
        message_set(why, "no native plugin \"%s\"", text);
        entry = (pw_null_plugin_entry_fn)(uintptr_t)host->ops.native_load(host->ctx, code, why);
        if (!entry)
            return PW_ERR_NOT_FOUND;
    }
    if (!entry)
        return message_error(PW_ERR_NOT_FOUND, why, "no native plugin \"%s\"", text);
    const struct pw_null_plugin *plugin = entry();
    error = check_plugin(plugin, text, why);
    if (error != PW_OK)
        return error;
    module->impl = calloc(1, sizeof(*module->impl));
    if (!module->impl)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    module->impl->plugin = plugin;
    module->impl->exports = plugin->exports;
    module->info.abi = PW_ABI_0_2_1;
    return PW_OK;
}

/* The shared object stays loaded: other modules may use it, and unloading code that once ran is not safe. */
static void native_module_fini(struct pw_module *module)
{
    free(module->impl);
    module->impl = NULL;
}

/* Status codes of the ABI: a number that the host does not know, a wrong count, a closed phase. */
static int32_t native_host_call(void *ctx, uint32_t function, const uint64_t *args, size_t nargs)
{
    struct engine_instance *instance = ctx;
    const struct host_function *fn;
    uint32_t result;

    if (function >= PW_NULL_HOST_FUNCTION_COUNT || !instance->state->functions[function])
        return PW_STATUS_UNIMPLEMENTED;
    if (nargs != native_functions[function].nargs)
        return PW_STATUS_BAD_ARGUMENT;
    fn = instance->state->functions[function];
    if (!hostcall_run(instance->vm, fn, args, &result))
        return PW_STATUS_INTERNAL_FAILURE;
    return (int32_t)result;
}

static int native_trap(struct engine_trap *trap, int error, const char *what)
{
    trap->error = error;
    trap->backtrace[0] = '\0';
    (void)snprintf(trap->message, sizeof(trap->message), "%s", what);
    return error;
}

static int native_instance_create(struct pw_vm *vm, struct engine_instance **out, struct engine_trap *trap)
{
    struct engine_instance *instance = calloc(1, sizeof(*instance));

    *out = NULL;
    if (!instance)
        return native_trap(trap, PW_ERR_NOMEM, "out of memory");
    instance->plugin = vm->module->impl->plugin;
    instance->exports = vm->module->impl->exports;
    instance->vm = vm;
    vm->memory_stays = true;
    instance->state = vm->engine->state;
    instance->host = (struct pw_null_host){
        .size = sizeof(instance->host), .version = PW_NULL_CONTRACT_VERSION, .call = native_host_call};
    *out = instance;
    return PW_OK;
}

static void native_instance_destroy(struct engine_instance **instance_ptr)
{
    struct engine_instance *instance = *instance_ptr;

    if (!instance)
        return;
    if (instance->instance)
        instance->plugin->instance_destroy(instance->instance);
    free(instance);
    *instance_ptr = NULL;
}

/* Stands for _initialize. */
static int native_instance_start(struct engine_instance *instance, struct engine_trap *trap)
{
    WEIR_ASSERT(!instance->instance);
    instance->instance = instance->plugin->instance_create(&instance->host, instance);
    if (instance->instance)
        return PW_OK;
    return native_trap(trap, PW_ERR_TRAP, "the native plugin could not make an instance");
}

static bool native_has_function(const struct engine_instance *instance, enum guest_function fn)
{
    return (instance->exports >> fn) & 1;
}

static int64_t native_call(struct engine_instance *instance, enum guest_function fn, const uint64_t *args,
                           size_t nargs, struct engine_trap *trap)
{
    uint64_t value = 0;

    if (!native_has_function(instance, fn))
        return ENGINE_NO_VALUE;
    WEIR_ASSERT(nargs >= native_callback_nargs[fn]);
    switch (
        instance->plugin->call(instance->instance, (uint32_t)fn, args, native_callback_nargs[fn], &value)) {
    case PW_NULL_DONE:
        return (uint32_t)value;
    case PW_NULL_MISSING:
        return ENGINE_NO_VALUE;
    case PW_NULL_TRAPPED:
        break;
    }
    return native_trap(trap, PW_ERR_TRAP, "the native plugin gave up");
}

static int native_allocate(struct engine_instance *instance, uint64_t len, uint64_t *address,
                           struct engine_trap *trap)
{
    (void)trap;
    WEIR_ASSERT(len > 0);
    /* instance_create of the plugin has not come back: there is nothing to allocate in. */
    *address =
        instance->instance ? (uint64_t)(uintptr_t)instance->plugin->allocate(instance->instance, len) : 0;
    return PW_OK;
}

static struct guest_memory native_memory(struct engine_instance *instance)
{
    (void)instance;
    return (struct guest_memory){NULL, UINT64_MAX};
}

const struct engine_ops engine_null = {
    .name = "null",
    .address_bytes = 8,
    .engine_init = native_init,
    .engine_fini = native_fini,
    .interrupt = native_interrupt,
    .module_load = native_module_load,
    .module_fini = native_module_fini,
    .instance_create = native_instance_create,
    .instance_destroy = native_instance_destroy,
    .instance_start = native_instance_start,
    .has_function = native_has_function,
    .call = native_call,
    .allocate = native_allocate,
    .memory = native_memory,
};
