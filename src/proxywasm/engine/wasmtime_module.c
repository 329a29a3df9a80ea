/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to compiled code: checks first, then the cache, then the compiler. Native code is only ever
 * taken from an entry that the cache found intact and that was made for these settings.
 */
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/engine/cache.h"
#include "proxywasm/engine/sha256.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PAGE_BYTES_LOG2    16
#define SETTINGS_HEX_BYTES 16

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

/* "wasmtime-48.0.8-x86_64-0123456789abcdef-<sha256>" */
static void make_key(const struct pw_module *module, char key[CACHE_KEY_BYTES])
{
    const struct wt_state *state = module->engine->state;
    char settings[SHA256_HEX_BYTES];
    struct utsname machine;
    int n;

    sha256_hex(slice_str(state->settings), settings);
    if (uname(&machine) != 0)
        machine.machine[0] = '\0';
    n = snprintf(key, CACHE_KEY_BYTES, "wasmtime-" WASMTIME_VERSION "-%.24s-%.*s-%s", machine.machine,
                 SETTINGS_HEX_BYTES, settings, module->info.sha256);
    WEIR_ASSERT(n > 0 && n < CACHE_KEY_BYTES);
}

/* Maps the file itself where /proc is there, so that only the pages that run become resident. */
static wasmtime_module_t *map_entry(const struct pw_module *module, int fd, uint64_t len)
{
    const struct wt_state *state = module->engine->state;
    wasmtime_module_t *compiled = NULL;
    wasmtime_error_t *error;
    char path[64];
    void *bytes;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    error = wasmtime_module_deserialize_file(state->engine, path, &compiled);
    if (!error)
        return compiled;
    wasmtime_error_delete(error);
    bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    error = wasmtime_module_deserialize(state->engine, bytes, len, &compiled);
    munmap(bytes, len);
    if (!error)
        return compiled;
    /* Made by another build of the engine or for a CPU with more features. */
    wasmtime_error_delete(error);
    return NULL;
}

static void log_cache(const struct pw_module *module, const char *what)
{
    const struct pw_host *host = module->engine->host;
    struct pw_log_record record = {.level = PW_LOG_WARN};
    struct pw_message text;

    message_set(&text, "compiled code of " SLICE_FMT " (sha256 %.12s): %s", SLICE_ARG(module_name(module)),
                module->info.sha256, what);
    record.text = (struct pw_slice){text.text, strlen(text.text)};
    host->ops.log(host->ctx, &record);
}

static wasmtime_module_t *from_cache(const struct pw_module *module, const char *key)
{
    wasmtime_module_t *compiled = NULL;
    bool damaged;
    uint64_t len;
    int fd;

    if (cache_open(module->engine->host, key, &fd, &len, &damaged)) {
        compiled = map_entry(module, fd, len);
        damaged = !compiled;
        close(fd);
    }
    if (damaged)
        log_cache(module, "the cached entry is damaged or foreign and is replaced");
    return compiled;
}

/* Stores it and goes on with the entry, mapped, in place of what lies in the compiler's memory. */
static void to_cache(const struct pw_module *module, const char *key, wasmtime_module_t **compiled)
{
    wasmtime_module_t *mapped = NULL;
    wasm_byte_vec_t content;
    wasmtime_error_t *error;

    if (!module->engine->host->ops.cache_store)
        return;
    error = wasmtime_module_serialize(*compiled, &content);
    if (error) {
        wasmtime_error_delete(error);
        return;
    }
    if (cache_store(module->engine->host, key, slice_of(content.data, content.size)))
        mapped = from_cache(module, key);
    else
        log_cache(module, "it could not be stored in the cache");
    wasm_byte_vec_delete(&content);
    if (mapped) {
        wasmtime_module_delete(*compiled);
        *compiled = mapped;
    }
}

static void count_bytes(struct pw_module *module, const wasmtime_module_t *compiled)
{
    void *start;
    void *end;

    wasmtime_module_image_range(compiled, &start, &end);
    module->info.compiled_bytes = (uint64_t)((char *)end - (char *)start);
}

static int compile(struct pw_module *module, struct slice code, wasmtime_module_t **out,
                   struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    wasmtime_error_t *error;
    char key[CACHE_KEY_BYTES];

    make_key(module, key);
    *out = from_cache(module, key);
    module->info.from_cache = *out != NULL;
    if (!*out) {
        error = wasmtime_module_new(state->engine, (const uint8_t *)code.ptr, code.len, out);
        if (error) {
            wt_error_take(error, "", why);
            return PW_ERR_BAD_MODULE;
        }
        to_cache(module, key, out);
#ifdef __GLIBC__
        /* The compiler leaves ten times the module behind in the allocator. */
        malloc_trim(0);
#endif
    }
    count_bytes(module, *out);
    return PW_OK;
}

static void module_free(struct engine_module *impl)
{
    if (impl->pre)
        wasmtime_instance_pre_delete(impl->pre);
    if (impl->linker)
        wasmtime_linker_delete(impl->linker);
    if (impl->items)
        wasmtime_module_delete(impl->items);
    if (impl->module)
        wasmtime_module_delete(impl->module);
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
    module->info.memory_min_bytes = module->scan.memory_min_pages << PAGE_BYTES_LOG2;
    error = contract_check(&module->scan, &impl->contract, why);
    if (error == PW_OK)
        error = check_pool(module, why);
    if (error == PW_OK)
        error = without_precompiled(&module->scan, &code, owned, why);
    if (error == PW_OK)
        error = compile(module, code, &impl->module, why);
    if (error == PW_OK)
        error = wt_module_link(module, impl, why);
    if (error != PW_OK) {
        module_free(impl);
        return error;
    }
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
