/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules: code that was loaded once and is shared, by an atomic count, between VMs and threads. It must not
 * know what code looks like: the engines do.
 */
#include "proxywasm/module_impl.h"

#include "base/assert.h"
#include "base/refs.h"
#include "proxywasm/engine/sha256.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now_ns(const struct pw_engine *engine)
{
    return engine->host->ops.monotonic_ns(engine->host->ctx);
}

static struct pw_module *module_new(struct pw_engine *engine, struct pw_slice name, struct pw_slice code)
{
    size_t name_len = name.len < MODULE_NAME_BYTES_MAX ? name.len : MODULE_NAME_BYTES_MAX;
    struct pw_module *module = calloc(1, sizeof(*module) + name_len + 1);

    if (!module)
        return NULL;
    atomic_init(&module->refs, 1);
    module->engine = engine;
    module->name_len = name_len;
    if (name_len > 0)
        memcpy(module->name, name.ptr, name_len);
    module->info.code_bytes = code.len;
    sha256_hex(slice_of(code.ptr, code.len), module->info.sha256);
    return module;
}

int module_load(struct pw_engine *engine, struct pw_slice name, struct pw_slice code, enum module_form form,
                struct slice state, struct pw_module **out, struct pw_message *why)
{
    uint64_t start_ns = now_ns(engine);
    struct pw_module *module;
    int error;

    if (code.len > MODULE_BYTES_MAX)
        return message_error(PW_ERR_LIMIT, why, "the module has %zu bytes, at most %" PRIu64 " are taken",
                             code.len, MODULE_BYTES_MAX);
    module = module_new(engine, name, code);
    if (!module)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    module->form = form;
    module->state = state;
    error = engine->ops->module_load(module, code, why);
    module->state = SLICE_EMPTY;
    if (error != PW_OK) {
        WEIR_ASSERT(!module->impl);
        scan_fini(&module->scan);
        free(module->original);
        free(module);
        return error;
    }
    module->info.load_ns = now_ns(engine) - start_ns;
    atomic_fetch_add(&engine->modules, 1);
    *out = module;
    return PW_OK;
}

int pw_module_load(struct pw_engine *engine, struct pw_slice name, struct pw_slice code,
                   struct pw_module **out, struct pw_message *why)
{
    return module_load(engine, name, code, MODULE_PLAIN, SLICE_EMPTY, out, why);
}

int pw_module_load_instrumented(struct pw_engine *engine, struct pw_slice name, struct pw_slice code,
                                struct pw_module **out, struct pw_message *why)
{
    if (!engine->ops->instance_state)
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "the %s engine takes no snapshots",
                             engine->ops->name);
    return module_load(engine, name, code, MODULE_INSTRUMENTED, SLICE_EMPTY, out, why);
}

struct pw_module *pw_module_ref(struct pw_module *module)
{
    refs_take(&module->refs);
    return module;
}

void pw_module_unref(struct pw_module **module_ptr)
{
    struct pw_module *module = *module_ptr;

    *module_ptr = NULL;
    if (!module)
        return;
    if (!refs_drop(&module->refs))
        return;
    module->engine->ops->module_fini(module);
    WEIR_ASSERT(!module->impl);
    scan_fini(&module->scan);
    free(module->original);
    atomic_fetch_sub(&module->engine->modules, 1);
    free(module);
}

int pw_module_optimise(struct pw_module *module, struct pw_message *why)
{
    if (!pw_module_quick(module))
        return PW_OK;
    return module->engine->ops->module_optimise(module, why);
}

bool pw_module_quick(const struct pw_module *module)
{
    return module->engine->ops->module_quick && module->engine->ops->module_quick(module);
}

const struct pw_module_info *pw_module_info(const struct pw_module *module)
{
    return &module->info;
}

bool pw_module_is(const struct pw_module *module, struct pw_slice code)
{
    char sha256[sizeof(module->info.sha256)];

    if (module->info.code_bytes != code.len)
        return false;
    sha256_hex(slice_of(code.ptr, code.len), sha256);
    return memcmp(sha256, module->info.sha256, sizeof(sha256)) == 0;
}

bool pw_module_import_at(const struct pw_module *module, size_t i, struct pw_slice *module_name,
                         struct pw_slice *name)
{
    const struct scan_import *import;

    if (i >= module->scan.imports_count)
        return false;
    import = &module->scan.imports[i];
    *module_name = (struct pw_slice){import->module.ptr, import->module.len};
    *name = (struct pw_slice){import->name.ptr, import->name.len};
    return true;
}

bool pw_module_export_at(const struct pw_module *module, size_t i, struct pw_slice *name)
{
    const struct scan_export *export;

    if (i >= module->scan.exports_count)
        return false;
    export = &module->scan.exports[i];
    *name = (struct pw_slice){export->name.ptr, export->name.len};
    return true;
}

struct pw_engine *module_engine(const struct pw_module *module)
{
    return module->engine;
}

enum pw_abi_version module_abi(const struct pw_module *module)
{
    return module->info.abi;
}
