/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds log records. Formatting happens here only for what the library itself has to say, which is rare;
 * a guest's text goes through as it is.
 */
#include "proxywasm/vm_log.h"

#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"

#include <stdarg.h>
#include <stdio.h>

static void log_record(struct pw_vm *vm, const struct pw_plugin *plugin, enum pw_log_level level,
                       struct slice text, bool from_guest)
{
    struct pw_log_record record = {
        .level = level,
        .vm_id = slice_to_pw(vm->vm_id),
        .text = slice_to_pw(slice_take(text, LOG_LINE_BYTES_MAX)),
        .from_guest = from_guest,
    };
    if (plugin) {
        record.plugin = slice_to_pw(plugin->name);
        record.root_id = slice_to_pw(plugin->root_id);
    }
    vm->host->ops.log(vm->host->ctx, &record);
}

#define LOG_WINDOW_NS UINT64_C(1000000000)

/* Lines below the log's level cost nobody anything. */
static bool may_log(struct pw_vm *vm, const struct context *context, enum pw_log_level level)
{
    const struct pw_host *host = vm->host;
    if (level < host->ops.log_level(host->ctx))
        return true;
    uint64_t now = host->ops.monotonic_ns(host->ctx);
    if (now - vm->log_window_ns >= LOG_WINDOW_NS) {
        uint32_t dropped = vm->log_dropped;
        vm->log_window_ns = now;
        vm->log_lines = 0;
        vm->log_dropped = 0;
        if (dropped)
            vm_logf(vm, context, PW_LOG_WARN, "%u log lines were dropped: over the limit of %u per second",
                    dropped, vm->limits.log_lines_per_sec);
    }
    if (vm->log_lines < vm->limits.log_lines_per_sec) {
        vm->log_lines++;
        return true;
    }
    vm->log_dropped++;
    vm_limit_passed(vm, PW_LIMIT_log_lines_per_sec);
    return false;
}

void vm_log(struct pw_vm *vm, const struct context *context, enum pw_log_level level, struct slice text,
            bool from_guest)
{
    if (from_guest && !may_log(vm, context, level))
        return;
    log_record(vm, context ? context->root->plugin : NULL, level, text, from_guest);
}

void vm_logf(struct pw_vm *vm, const struct context *context, enum pw_log_level level, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a cut line is still a line */
    va_end(args);
    vm_log(vm, context, level, slice_str(text), false);
}

_Static_assert(PW_LIMIT_COUNT <= 32, "vm->limits_logged is one word");

void vm_log_limit(struct pw_vm *vm, const struct context *context, enum pw_limit limit)
{
    uint64_t now = vm->host->ops.monotonic_ns(vm->host->ctx);
    uint32_t bit = UINT32_C(1) << limit;
    if (now - vm->limits_logged_ns >= LOG_WINDOW_NS) {
        vm->limits_logged_ns = now;
        vm->limits_logged = 0;
    }
    if (vm->limits_logged & bit)
        return;
    vm->limits_logged |= bit;
    vm_logf(vm, context, PW_LOG_WARN, "over its limit %s", pw_limit_name(limit));
}

/* One record a second and plugin, over all its VMs. */
static bool may_log_trap(struct pw_vm *vm, struct pw_plugin *plugin)
{
    uint64_t now = vm->host->ops.monotonic_ns(vm->host->ctx);
    uint64_t last = atomic_load_explicit(&plugin->trap_logged_ns, memory_order_relaxed);
    if (last != 0 && now - last < TRAP_LOG_INTERVAL_NS)
        return false;
    return atomic_compare_exchange_strong_explicit(&plugin->trap_logged_ns, &last, now ? now : 1,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void vm_log_failure(struct pw_vm *vm)
{
    struct pw_plugin *plugin = vm->failed_plugin;
    if (plugin && !may_log_trap(vm, plugin))
        return;
    const struct pw_failure *f = &vm->failure;
    char text[sizeof(struct engine_trap) + 256];
    int n = snprintf(text, sizeof(text), "Function: %s failed: %s%s%s", f->function, f->message.ptr,
                     f->backtrace.len ? "\nProxy-Wasm plugin in-VM backtrace:\n" : "",
                     f->backtrace.len ? f->backtrace.ptr : "");
    WEIR_ASSERT(n > 0);
    struct slice line = slice_str(text);
    while (line.len && line.ptr[line.len - 1] == '\n')
        line.len--;
    log_record(vm, plugin, PW_LOG_ERROR, line, false);
}
