/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a module once, to see whether it can be compiled. No code of it runs.
 */
#include "cli/trial.h"

#include "cli/limits.h"

#include <proxywasm/proxywasm.h>

const char *const trial_compiler[] = {"/proc/self/exe", TRIAL_ARGUMENT, NULL};

static void log_nothing(void *ctx, const struct pw_log_record *record)
{
    (void)ctx;
    (void)record;
}

static uint32_t log_off(void *ctx)
{
    (void)ctx;
    return 6;
}

static void load(struct trial *out, struct pw_engine *engine, struct slice code)
{
    struct pw_slice bytes = {code.ptr, code.len}, name = {"module", 6};
    struct pw_module *module = NULL;
    out->error = pw_module_load(engine, name, bytes, &module, &out->why);
    if (out->error != PW_OK)
        return;
    out->load_ns = pw_module_info(module)->load_ns;
    out->compiled_bytes = pw_module_info(module)->compiled_bytes;
    pw_module_unref(&module);
}

void trial_compile(struct trial *out, struct slice code)
{
    struct pw_posix_config posix_config = {.size = sizeof(posix_config),
                                           .compiler = trial_compiler,
                                           .compile_memory_max_bytes = CLI_COMPILE_MEMORY};
    struct pw_engine_config engine_config = {
        .size = sizeof(engine_config), .interruptible = true, .quick_bytes_min = CLI_QUICK_BYTES_MIN};
    struct pw_host_ops ops = {.size = sizeof(ops), .log = log_nothing, .log_level = log_off};
    struct pw_posix *posix = NULL;
    struct pw_engine *engine = NULL;
    *out = (struct trial){.why = {"out of memory"}};
    out->error = pw_posix_create(&posix_config, &posix, &out->why);
    if (out->error != PW_OK)
        return;
    pw_posix_fill(posix, &ops);
    struct pw_host *host = pw_host_create(&ops, posix);
    out->error = host ? pw_engine_create(host, "wasmtime", &engine_config, &engine, &out->why) : PW_ERR_NOMEM;
    if (out->error == PW_OK) {
        load(out, engine, code);
        pw_engine_destroy(&engine);
    }
    if (host)
        pw_host_destroy(&host);
    pw_posix_destroy(&posix);
}
