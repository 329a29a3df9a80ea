/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules from strangers: the scan, the cutting-out of precompiled code, the checks against the ABI, then the
 * whole way through the compiler into a VM with tight limits. Whatever is refused must be refused with words;
 * whatever scans must scan the same after cutting.
 */
#include "base/assert.h"
#include "proxywasm/engine/contract.h"

#include <proxywasm/proxywasm.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pw_engine *engine;

static void on_log(void *ctx, const struct pw_log_record *record)
{
    (void)ctx;
    WEIR_ASSERT(record->text.len == 0 || record->text.ptr);
}

static uint32_t log_level(void *ctx)
{
    (void)ctx;
    return PW_LOG_TRACE;
}

static void start(void)
{
    static struct pw_posix *posix;
    struct pw_engine_config config = {.size = sizeof(config), .interruptible = true};
    struct pw_posix_config files = {.size = sizeof(files)};
    struct pw_host_ops ops = {.size = sizeof(ops), .log = on_log, .log_level = log_level};
    struct pw_watchdog *watchdog;
    struct pw_message why;

    WEIR_ASSERT(pw_posix_create(&files, &posix, &why) == PW_OK);
    pw_posix_fill(posix, &ops);
    WEIR_ASSERT(pw_engine_create(pw_host_create(&ops, posix), "wasmtime", &config, &engine, &why) == PW_OK);
    WEIR_ASSERT(pw_watchdog_start(engine, &watchdog) == PW_OK);
}

/* Whether it has what a plugin needs; only those are worth the compiler's time. */
static bool scans_as_plugin(struct slice code)
{
    struct pw_message why = {{0}};
    struct contract contract;
    struct scan scan;
    bool plugin;

    if (scan_module(&scan, code, &why) != PW_OK) {
        WEIR_ASSERT(why.text[0] != '\0');
        return false;
    }
    if (scan.has_precompiled) {
        struct scan again;
        size_t len;
        char *stripped = scan_strip(code, &len);

        WEIR_ASSERT(stripped && len < code.len);
        WEIR_ASSERT(scan_module(&again, slice_of(stripped, len), &why) == PW_OK);
        WEIR_ASSERT(!again.has_precompiled && again.exports_count == scan.exports_count);
        scan_fini(&again);
        free(stripped);
    }
    plugin = contract_check(&scan, &contract, &why) == PW_OK;
    WEIR_ASSERT(plugin || why.text[0] != '\0');
    scan_fini(&scan);
    return plugin;
}

static void run(struct slice code)
{
    struct pw_vm_config config = {.size = sizeof(config)};
    struct pw_message why = {{0}};
    struct pw_module *module;
    struct pw_vm *vm;

    config.limits.memory_max_bytes = 1 << 20;
    config.limits.start_time_max_ns = 5 * 1000 * 1000;
    if (pw_module_load(engine, (struct pw_slice){"fuzz", 4}, (struct pw_slice){code.ptr, code.len}, &module,
                       &why) != PW_OK) {
        WEIR_ASSERT(why.text[0] != '\0');
        return;
    }
    if (pw_vm_create(module, &config, &vm, &why) == PW_OK)
        pw_vm_destroy(&vm);
    else
        WEIR_ASSERT(why.text[0] != '\0');
    pw_module_unref(&module);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice code = slice_of(data, size);

    if (!engine)
        start();
    if (scans_as_plugin(code) || (size > 0 && data[0] == '('))
        run(code);
    return 0;
}
