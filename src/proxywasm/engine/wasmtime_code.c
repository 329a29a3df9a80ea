/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled code: out of the cache, or from a compiler and then into the cache. Native code is only ever taken
 * from an entry that the cache found intact and that was made for these settings, or from the compiler.
 */
#include "base/assert.h"
#include "proxywasm/engine/cache.h"
#include "proxywasm/engine/compiler.h"
#include "proxywasm/engine/sha256.h"
#include "proxywasm/engine/wasmtime_impl.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/message.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SETTINGS_HEX_BYTES 16
#define FORM_BYTES         34

/* "wasmtime-48.0.8-x86_64-0123456789abcdef-<sha256>", and for the other forms "-i" or "-<half a sha256 of the
 * state>". */
static void make_key(const struct pw_module *module, struct slice state_bytes, char key[CACHE_KEY_BYTES])
{
    char form[FORM_BYTES] = "";
    const struct wt_state *state = module->engine->state;
    char settings[SHA256_HEX_BYTES];
    struct utsname machine;
    int n;

    if (module->form == MODULE_INSTRUMENTED) {
        memcpy(form, "-i", sizeof("-i"));
    } else if (module->form == MODULE_SNAPSHOT) {
        sha256_hex(state_bytes, settings);
        (void)snprintf(form, sizeof(form), "-%.*s", FORM_BYTES - 2, settings);
    }
    sha256_hex(slice_str(state->settings), settings);
    if (uname(&machine) != 0)
        machine.machine[0] = '\0';
    n = snprintf(key, CACHE_KEY_BYTES, "wasmtime-" WASMTIME_VERSION "-%.24s-%.*s-%s%s", machine.machine,
                 SETTINGS_HEX_BYTES, settings, module->info.sha256, form);
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

static wasmtime_module_t *from_cache(const struct pw_module *module, const char *key, bool *quick)
{
    wasmtime_module_t *compiled = NULL;
    bool damaged;
    uint64_t len;
    int fd;

    if (cache_open(module->engine->host, key, &fd, &len, quick, &damaged)) {
        compiled = map_entry(module, fd, len);
        damaged = !compiled;
        close(fd);
    }
    if (damaged)
        log_cache(module, "the cached entry is damaged or foreign and is replaced");
    return compiled;
}

/*
 * Takes what a compiler left in `fd`: through the cache where there is one, so that the memory of the file is
 * given back and the entry is mapped.
 */
static int take_file(const struct pw_module *module, const char *key, int fd, struct wt_code *out,
                     struct pw_message *why)
{
    struct pw_host *host = module->engine->host;
    bool quick;
    struct stat status;

    out->module = NULL;
    if (fstat(fd, &status) == 0 && host->ops.cache_store) {
        if (cache_store(host, key, fd, out->quick))
            out->module = from_cache(module, key, &quick);
        else
            log_cache(module, "it could not be stored in the cache");
    }
    if (!out->module)
        out->module = map_entry(module, fd, (uint64_t)status.st_size);
    return out->module ? PW_OK : message_error(PW_ERR_BAD_MODULE, why, "the compiled code cannot be loaded");
}

static int compile_in_child(const struct pw_module *module, const struct compile_job *job, const char *key,
                            struct wt_code *out, struct pw_message *why)
{
    int fd;
    int error = compile_outside(module->engine->host, job, &fd, why);

    if (error != PW_OK)
        return error;
    out->quick = job->codegen.quick;
    error = take_file(module, key, fd, out, why);
    close(fd);
    return error;
}

/* False: it is used as it lies in the compiler's memory. */
static bool through_file(const struct pw_module *module, const char *key, wasm_byte_vec_t *content,
                         struct wt_code *out)
{
    int fd = memfd_create("compiled", MFD_CLOEXEC);
    size_t done = 0;
    bool ok = fd >= 0;

    while (ok && done < content->size) {
        ssize_t n = write(fd, content->data + done, content->size - done);
        if (n < 0 && errno == EINTR)
            continue;
        ok = n > 0;
        done += ok ? (size_t)n : 0;
    }
    ok = ok && take_file(module, key, fd, out, NULL) == PW_OK;
    if (fd >= 0)
        close(fd);
    return ok;
}

static int compile_here(const struct pw_module *module, const struct compile_job *job, const char *key,
                        struct wt_code *out, struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    struct wt_code stored = {0};
    wasm_byte_vec_t content;
    wasmtime_error_t *failure;
    int error = compile_inside(state->engine, job, &out->module, why);

    if (error != PW_OK)
        return error;
    failure = module->engine->host->ops.cache_store ? wasmtime_module_serialize(out->module, &content) : NULL;
    if (failure) {
        wasmtime_error_delete(failure);
    } else if (module->engine->host->ops.cache_store) {
        if (through_file(module, key, &content, &stored)) {
            wasmtime_module_delete(out->module);
            *out = stored;
        }
        wasm_byte_vec_delete(&content);
    }
#ifdef __GLIBC__
    /* The compiler leaves ten times the module behind in the allocator. */
    malloc_trim(0);
#endif
    return PW_OK;
}

int wt_code_load(struct pw_module *module, struct slice binary, struct wt_code *out, struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    struct compile_job job = {
        .code = binary, .form = module->form, .state = module->state, .codegen = state->codegen};
    char key[CACHE_KEY_BYTES];

    make_key(module, job.state, key);
    out->module = from_cache(module, key, &out->quick);
    module->info.from_cache = out->module != NULL;
    if (out->module)
        return PW_OK;
    if (!module->engine->host->ops.compile)
        return compile_here(module, &job, key, out, why);
    job.codegen.quick = state->quick_bytes_min > 0 && binary.len >= state->quick_bytes_min;
    return compile_in_child(module, &job, key, out, why);
}

int wt_code_optimise(struct pw_module *module, struct slice binary, struct slice state_bytes,
                     struct wt_code *out, struct pw_message *why)
{
    const struct wt_state *state = module->engine->state;
    struct compile_job job = {.code = binary,
                              .form = module->form,
                              .state = state_bytes,
                              .codegen = state->codegen,
                              .background = true};
    char key[CACHE_KEY_BYTES];

    if (!module->engine->host->ops.compile)
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "there is no compiler for the background");
    make_key(module, state_bytes, key);
    /* Another module of the same code, or another process, may have done it. */
    out->module = from_cache(module, key, &out->quick);
    if (out->module && !out->quick)
        return PW_OK;
    wt_code_fini(out);
    job.codegen.one_thread = true;
    return compile_in_child(module, &job, key, out, why);
}

void wt_code_fini(struct wt_code *code)
{
    if (code->pre)
        wasmtime_instance_pre_delete(code->pre);
    if (code->linker)
        wasmtime_linker_delete(code->linker);
    if (code->module)
        wasmtime_module_delete(code->module);
    *code = (struct wt_code){0};
}
