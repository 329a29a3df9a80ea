/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to a module: the checks, in this process, before any compiler sees them.
 */
#include "proxywasm/engine/state.h"
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <inttypes.h>
#include <stdlib.h>

#define PAGE_BYTES_LOG2 16

/* Text format: for tests and for authors, who try things by hand. */
static bool is_text(struct slice code)
{
    size_t at = 0;

    while (at < code.len && (code.ptr[at] == ' ' || (code.ptr[at] >= '\t' && code.ptr[at] <= '\r')))
        at++;
    return slice_starts_with(slice_skip(code, at), SLICE_LIT("(module"));
}

/* The binary form in *out: `code` itself, or a new block that *owned holds. */
static int to_binary(struct slice code, struct slice *out, char **owned, struct pw_message *why)
{
    wasmtime_error_t *error;
    wasm_byte_vec_t binary;

    *owned = NULL;
    *out = code;
    if (!is_text(code))
        return PW_OK;
    error = wasmtime_wat2wasm(code.ptr, code.len, &binary);
    if (error) {
        wt_error_take(error, "text format: ", why);
        return PW_ERR_BAD_MODULE;
    }
    *owned = malloc(binary.size);
    if (*owned)
        memcpy(*owned, binary.data, binary.size);
    *out = slice_of(*owned, binary.size);
    wasm_byte_vec_delete(&binary);
    return *owned ? PW_OK : message_error(PW_ERR_NOMEM, why, "out of memory");
}

/* Native code of unknown origin in a custom section is cut out, not handed on. */
static int without_precompiled(const struct scan *scan, struct slice *code, char **owned,
                               struct pw_message *why)
{
    char *stripped;
    size_t len;

    if (!scan->has_precompiled)
        return PW_OK;
    stripped = scan_strip(*code, &len);
    if (!stripped)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    free(*owned);
    *owned = stripped;
    *code = slice_of(stripped, len);
    return PW_OK;
}

static void module_free(struct engine_module *impl)
{
    struct wt_code *better = atomic_load_explicit(&impl->better, memory_order_acquire);

    wt_code_fini(&impl->first);
    if (better)
        wt_code_fini(better);
    free(better);
    if (impl->items)
        wasmtime_module_delete(impl->items);
    wt_image_destroy(&impl->image);
    free(impl->source);
    free(impl);
}

static int check_pool(const struct pw_module *module, struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;

    if (state->pool_memory_bytes == 0 || module->info.memory_min_bytes <= state->pool_memory_bytes)
        return PW_OK;
    return message_error(PW_ERR_LIMIT, why,
                         "the module's memory begins with %" PRIu64 " bytes, a pooled instance has %" PRIu64,
                         module->info.memory_min_bytes, state->pool_memory_bytes);
}

static void count_bytes(struct pw_module *module, const wasmtime_module_t *compiled)
{
    void *start;
    void *end;

    wasmtime_module_image_range(compiled, &start, &end);
    module->info.compiled_bytes = (uint64_t)((char *)end - (char *)start);
}

/* Until the module is optimised. */
static int keep_source(const struct pw_module *module, struct engine_module *impl, struct slice code,
                       struct pw_message *why)
{
    impl->source = malloc(code.len + module->state.len);
    if (!impl->source)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    memcpy(impl->source, code.ptr, code.len);
    if (module->state.len > 0)
        memcpy(impl->source + code.len, module->state.ptr, module->state.len);
    impl->source_bytes = code.len;
    impl->source_state_bytes = module->state.len;
    return PW_OK;
}

/* Until a snapshot is taken. */
static int keep_original(struct pw_module *module, struct slice code, struct pw_message *why)
{
    module->original = malloc(code.len);
    if (!module->original)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    memcpy(module->original, code.ptr, code.len);
    module->original_bytes = code.len;
    return PW_OK;
}

/* Snapshots begin with the memory that their model had. */
static uint64_t memory_begins_with(const struct pw_module *module)
{
    return module->form == MODULE_SNAPSHOT ? state_memory_bytes(module->state)
                                           : module->scan.memory_min_pages << PAGE_BYTES_LOG2;
}

/* A snapshot's instances can be set back when its globals can be reached. */
static void with_image(const struct pw_module *module, struct engine_module *impl, struct slice *code,
                       char **owned)
{
    char *wider = NULL;
    size_t len;

    impl->image = wt_image_create(module);
    if (impl->image)
        wider = wt_image_exports(impl->image, *code, &len);
    if (!wider) {
        wt_image_destroy(&impl->image);
        return;
    }
    free(*owned);
    *owned = wider;
    *code = slice_of(wider, len);
}

/* `code` is binary. */
static int load_binary(struct pw_module *module, struct slice code, char **owned, struct pw_message *why)
{
    struct engine_module *impl;
    int error = scan_module(&module->scan, code, why);

    if (error != PW_OK)
        return error;
    impl = calloc(1, sizeof(*impl));
    if (!impl)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    module->info.memory_min_bytes = memory_begins_with(module);
    error = contract_check(&module->scan, &impl->contract, why);
    if (error == PW_OK)
        error = check_pool(module, why);
    if (error == PW_OK)
        error = without_precompiled(&module->scan, &code, owned, why);
    if (error == PW_OK && module->form == MODULE_SNAPSHOT)
        with_image(module, impl, &code, owned);
    if (error == PW_OK)
        error = wt_code_load(module, code, &impl->first, why);
    if (error == PW_OK)
        error = wt_code_link(module, impl, &impl->first, why);
    if (error == PW_OK && impl->first.quick)
        error = keep_source(module, impl, code, why);
    if (error == PW_OK && module->form == MODULE_INSTRUMENTED)
        error = keep_original(module, code, why);
    if (error != PW_OK) {
        module_free(impl);
        return error;
    }
    count_bytes(module, impl->first.module);
    module->info.abi = impl->contract.abi;
    module->impl = impl;
    return PW_OK;
}

int wt_module_load(struct pw_module *module, struct pw_slice code, struct pw_message *why)
{
    struct slice binary;
    char *owned;
    int error = to_binary(slice_of(code.ptr, code.len), &binary, &owned, why);

    if (error == PW_OK)
        error = load_binary(module, binary, &owned, why);
    free(owned);
    return error;
}

void wt_module_fini(struct pw_module *module)
{
    module_free(module->impl);
    module->impl = NULL;
}

int wt_module_optimise(struct pw_module *module, struct pw_message *why)
{
    struct engine_module *impl = module->impl;
    struct wt_code *better;
    int error;

    if (!impl->source)
        return PW_OK;
    better = calloc(1, sizeof(*better));
    if (!better)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    error =
        wt_code_optimise(module, slice_of(impl->source, impl->source_bytes),
                         slice_of(impl->source + impl->source_bytes, impl->source_state_bytes), better, why);
    if (error == PW_OK)
        error = wt_code_link(module, impl, better, why);
    if (error != PW_OK) {
        wt_code_fini(better);
        free(better);
        return error;
    }
    free(impl->source);
    impl->source = NULL;
    /* Instances that others make now take it. */
    atomic_store_explicit(&impl->better, better, memory_order_release);
    return PW_OK;
}

bool wt_module_quick(const struct pw_module *module)
{
    return wt_module_code(module->impl)->quick;
}
