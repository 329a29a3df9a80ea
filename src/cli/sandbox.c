/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox: what weir's workers and loader do for a plugin, one step at a time.
 */
#include "cli/sandbox.h"

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/exchange.h"
#include "cli/file.h"
#include "cli/limits.h"
#include "cli/trial.h"
#include "filters/wasm/foreign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRONMENT_MAX 256

static struct pw_slice pw_str(const char *s)
{
    return (struct pw_slice){s, s ? strlen(s) : 0};
}

/* --- host callbacks --- */

static void host_log(void *ctx, const struct pw_log_record *record)
{
    journal_log(&((struct sandbox *)ctx)->journal, record);
}

static uint32_t host_log_level(void *ctx)
{
    return ((struct sandbox *)ctx)->journal.level;
}

static uint64_t host_realtime(void *ctx)
{
    return pw_posix_realtime_ns(((struct sandbox *)ctx)->posix);
}

static uint64_t host_monotonic(void *ctx)
{
    return pw_posix_monotonic_ns(((struct sandbox *)ctx)->posix);
}

static bool host_random(void *ctx, void *dst, size_t len)
{
    return pw_posix_random(((struct sandbox *)ctx)->posix, dst, len);
}

static void *host_native_load(void *ctx, struct pw_slice name, struct pw_message *why)
{
    return pw_posix_native_load(((struct sandbox *)ctx)->posix, name, why);
}

static int host_compile(void *ctx, const struct pw_compile_order *order, int *fd, struct pw_message *why)
{
    return pw_posix_compile(((struct sandbox *)ctx)->posix, order, fd, why);
}

static bool host_cache_open(void *ctx, const char *key, int *fd)
{
    return pw_posix_cache_open(((struct sandbox *)ctx)->posix, key, fd);
}

static bool host_cache_store(void *ctx, const char *key, struct pw_slice content)
{
    return pw_posix_cache_store(((struct sandbox *)ctx)->posix, key, content);
}

static void *host_metric_define(void *ctx, enum pw_metric_type type, struct pw_slice name)
{
    return journal_metric_define(&((struct sandbox *)ctx)->journal, type, name);
}

static void host_metric_add(void *ctx, void *metric, int64_t delta)
{
    journal_metric_add(&((struct sandbox *)ctx)->journal, metric, delta);
}

static void host_metric_record(void *ctx, void *metric, uint64_t value)
{
    struct journal_metric *m = metric;
    if (m->type == PW_METRIC_COUNTER)
        journal_metric_add(&((struct sandbox *)ctx)->journal, m, (int64_t)value); /* ABI 3.13 */
    else
        journal_metric_record(&((struct sandbox *)ctx)->journal, m, value);
}

static uint64_t host_metric_get(void *ctx, void *metric)
{
    return journal_metric_get(&((struct sandbox *)ctx)->journal, metric);
}

/* --- VM callbacks --- */

static void vm_wake(void *ctx)
{
    atomic_store(&((struct sandbox *)ctx)->woken, true);
}

static void vm_failed(void *ctx, const struct pw_failure *failure)
{
    struct sandbox *box = ctx;
    box->failures++;
    json_decref(box->failure);
    box->failure = json_pack(
        "{s:s, s:s, s:o, s:o}", "function", failure->function, "error", pw_error_str(failure->error),
        "message", cli_json_string(slice_of(failure->message.ptr, failure->message.len)), "backtrace",
        cli_json_string(slice_of(failure->backtrace.ptr, failure->backtrace.len)));
}

static void vm_set_tick(void *ctx, struct pw_root *root, uint32_t period_ms)
{
    (void)root;
    ((struct sandbox *)ctx)->tick_period_ms = period_ms;
}

static void vm_root_done(void *ctx, struct pw_root *root)
{
    (void)ctx;
    (void)root;
}

static const struct pw_vm_ops vm_ops = {
    .size = sizeof(vm_ops),
    .wake = vm_wake,
    .failed = vm_failed,
    .set_tick = vm_set_tick,
    .root_done = vm_root_done,
    .callouts = &sandbox_callout_ops,
};

/* --- life --- */

static int load_code(struct sandbox *box, struct pw_message *why)
{
    const char *base = file_base_name(box->options->file);
    struct file_error error;
    struct strbuf content;
    if (strcmp(box->options->engine, "null") == 0) {
        struct slice name = slice_str(base);
        if (slice_ends_with(name, SLICE_LIT(".so")))
            name.len -= 3;
        struct pw_slice pw_name = {name.ptr, name.len};
        return pw_module_load(box->engine, pw_name, pw_name, &box->module, why);
    }
    if (!file_read(box->options->file, CLI_MODULE_BYTES_MAX, &content, &error)) {
        snprintf(why->text, sizeof(why->text), "%s", error.text);
        return PW_ERR_IO;
    }
    int status = pw_module_load(box->engine, pw_str(base), (struct pw_slice){content.ptr, content.len},
                                &box->module, why);
    strbuf_fini(&content);
    return status;
}

/* Those of Envoy's functions that need no proxy around them. */
static int add_foreign(struct pw_host *host)
{
    static const struct {
        const char *name;
        pw_foreign_fn run;
    } functions[] = {{"compress", foreign_compress},
                     {"uncompress", foreign_uncompress},
                     {"sign", foreign_sign},
                     {"verify_signature", foreign_verify_signature}};
    int error = PW_OK;
    for (size_t i = 0; error == PW_OK && i < WEIR_ARRAY_LEN(functions); i++)
        error = pw_host_add_foreign(host, functions[i].name, functions[i].run, NULL);
    return error;
}

static int open_host(struct sandbox *box, struct pw_message *why)
{
    char directory[CLI_PATH_BYTES] = ".";
    const char *file = box->options->file, *base = file_base_name(file);
    bool is_null = strcmp(box->options->engine, "null") == 0;
    if (base != file && (size_t)(base - file) < sizeof(directory))
        snprintf(directory, sizeof(directory), "%.*s", (int)(base - file), file);
    struct pw_posix_config config = {.size = sizeof(config),
                                     .native_dir = is_null ? directory : NULL,
                                     .compiler = trial_compiler,
                                     .cache_bytes_max = CLI_CACHE_BYTES_MAX,
                                     .compile_memory_max_bytes = CLI_COMPILE_MEMORY};
    struct pw_host_ops ops = {
        .size = sizeof(ops),
        .log = host_log,
        .log_level = host_log_level,
        .realtime_ns = host_realtime,
        .monotonic_ns = host_monotonic,
        .random = host_random,
        .native_load = host_native_load,
        .compile = host_compile,
        .cache_open = host_cache_open,
        .cache_store = host_cache_store,
        .metric_define = host_metric_define,
        .metric_add = host_metric_add,
        .metric_record = host_metric_record,
        .metric_get = host_metric_get,
    };
    char cache[CLI_PATH_BYTES];
    if (!is_null && !box->options->no_cache && file_cache_place(cache, "compiled"))
        config.cache_dir = cache;
    int error = pw_posix_create(&config, &box->posix, why);
    if (error != PW_OK && config.cache_dir) {
        config.cache_dir = NULL; /* a cache that cannot be used is none */
        error = pw_posix_create(&config, &box->posix, why);
    }
    if (error != PW_OK)
        return error;
    box->host = pw_host_create(&ops, box);
    return box->host ? add_foreign(box->host) : PW_ERR_NOMEM;
}

static int open_plugin(struct sandbox *box)
{
    struct pw_plugin_config config = {
        .size = sizeof(config),
        .name = pw_str(box->cases->name ? box->cases->name : "plugin"),
        .root_id = pw_str(box->cases->root_id),
        .configuration = pw_str(box->cases->config),
        .allow_on_headers_stop_iteration = box->options->allow_stop_iteration,
        .property_get = exchange_root_property,
        .property_ctx = box,
    };
    return pw_plugin_create(&config, &box->plugin);
}

int sandbox_open(struct sandbox *box, struct cases *cases, const struct sandbox_options *options,
                 struct pw_message *why)
{
    struct pw_engine_config config = {
        .size = sizeof(config), .interruptible = true, .quick_bytes_min = CLI_QUICK_BYTES_MIN};
    memset(box, 0, sizeof(*box));
    box->cases = cases;
    box->options = options;
    box->ticks_left = cases->ticks;
    box->calls_made = json_array();
    atomic_init(&box->woken, false);
    journal_init(&box->journal, options->level);
    snprintf(why->text, sizeof(why->text), "out of memory");
    int error = open_host(box, why);
    if (error == PW_OK)
        error = pw_engine_create(box->host, options->engine, &config, &box->engine, why);
    if (error == PW_OK)
        error = pw_watchdog_start(box->engine, &box->watchdog);
    if (error == PW_OK)
        error = load_code(box, why);
    return error == PW_OK ? open_plugin(box) : error;
}

static void stop(struct sandbox *box)
{
    if (box->root && box->vm && !pw_vm_failed(box->vm) && pw_root_shutdown(box->root))
        pw_root_destroy(&box->root);
    box->root = NULL; /* goes with its VM otherwise */
    pw_vm_destroy(&box->vm);
    box->calls_count = 0;
    box->tick_period_ms = 0;
    atomic_store(&box->woken, false);
}

static int make_vm(struct sandbox *box, struct pw_message *why)
{
    struct pw_pair environment[ENVIRONMENT_MAX];
    struct pw_vm_config config = {
        .size = sizeof(config),
        .configuration = pw_str(box->cases->vm_config),
        .environment = environment,
        .limits = box->options->limits,
    };
    for (size_t i = 0; i < box->options->environment_count && i < ENVIRONMENT_MAX; i++) {
        const char *pair = box->options->environment[i], *equals = strchr(pair, '=');
        WEIR_ASSERT(equals);
        environment[config.environment_count++] =
            (struct pw_pair){{pair, (size_t)(equals - pair)}, pw_str(equals + 1)};
    }
    return pw_vm_create(box->module, &config, &box->vm, why);
}

int sandbox_start(struct sandbox *box, struct pw_message *why)
{
    stop(box);
    json_decref(box->failure);
    box->failure = NULL;
    int error = make_vm(box, why);
    if (error != PW_OK)
        return error;
    error = pw_root_create(box->vm, box->plugin, &box->root, why);
    if (error != PW_OK)
        return error;
    SANDBOX_STEP(box, pw_root_set_costs(box->root, &box->journal.costs));
    pw_vm_attach(box->vm, &vm_ops, box);
    return PW_OK;
}

void sandbox_fini(struct sandbox *box)
{
    stop(box);
    pw_plugin_unref(&box->plugin);
    pw_module_unref(&box->module);
    if (box->watchdog)
        pw_watchdog_stop(&box->watchdog);
    if (box->engine)
        pw_engine_destroy(&box->engine);
    if (box->host)
        pw_host_destroy(&box->host);
    if (box->posix)
        pw_posix_destroy(&box->posix);
    json_decref(box->calls_made);
    json_decref(box->failure);
    journal_fini(&box->journal);
}

bool sandbox_progress(struct sandbox *box)
{
    if (!box->vm || pw_vm_failed(box->vm))
        return false;
    if (atomic_exchange(&box->woken, false)) {
        SANDBOX_STEP(box, pw_vm_run(box->vm));
        return true;
    }
    if (sandbox_deliver(box))
        return true;
    if (box->tick_period_ms == 0 || box->ticks_left == 0)
        return false;
    box->ticks_left--;
    box->ticks_run++;
    SANDBOX_STEP(box, pw_root_tick(box->root));
    return true;
}
