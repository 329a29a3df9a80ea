/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fresh VMs of a worker. One that fails hurts one stream: nothing is made again, nothing waits.
 */
#include "filters/wasm/wasm_fresh.h"

#include "base/assert.h"
#include "filters/wasm/wasm_callout.h"
#include "filters/wasm/wasm_optimiser.h"
#include "filters/wasm/wasm_service_impl.h"
#include "telemetry/log.h"

#include <stdio.h>

/* One line in this time, per plugin and worker. */
#define EXHAUSTED_LOG_MS 1000

bool wasm_fresh_snapshot(struct wasm_group *group, struct wasm_instance *model, struct pw_message *why)
{
    struct pw_message inner = {0};
    const char *name = group->plugins[0]->name;
    int error = pw_snapshot_create(model->vm, group->service->pool, &group->snapshot, &inner);
    if (error != PW_OK) {
        snprintf(why->text, sizeof(why->text), "plugin \"%s\", sharing STREAM: %s%s%.1500s", name,
                 pw_error_str(error), inner.text[0] ? ": " : "", inner.text);
        return false;
    }
    wasm_optimiser_add(group->service->optimiser, pw_snapshot_module(group->snapshot), slice_str(name));
    return true;
}

/* The stream's own callback applies the failure policy. */
static void on_failed(void *ctx, const struct pw_failure *failure)
{
    struct wasm_vm *vm = ctx;
    if (failure->error == PW_ERR_TIMEOUT)
        vm->counts.timeouts++;
    else
        vm->counts.traps++;
    wasm_vm_note_failure(vm);
}

bool wasm_fresh_open(struct wasm_vm *vm, struct pw_message *why)
{
    static const struct pw_vm_ops ops = {
        .size = sizeof(ops), .failed = on_failed, .callouts = &wasm_callout_ops};
    struct wasm_group *group = vm->group;
    if (!group->snapshot)
        return true;
    struct pw_vm_config config = group->vm_config;
    wasm_group_limits(group, &config.limits);
    int error = pw_fresh_create(group->snapshot, &config, &ops, vm, &vm->fresh, why);
    for (uint32_t i = 0; error == PW_OK && i < group->plugins_count; i++) {
        WEIR_ASSERT(vm->seats[i]); /* so the numbers of roots and plugins are the same */
        pw_fresh_set_costs(vm->fresh, i, &vm->seats[i]->costs);
    }
    return error == PW_OK;
}

void wasm_fresh_close(struct wasm_vm *vm)
{
    pw_fresh_destroy(&vm->fresh);
}

void wasm_fresh_take_limits(struct wasm_vm *vm)
{
    struct pw_limits limits;
    if (!vm->fresh)
        return;
    wasm_group_limits(vm->group, &limits);
    pw_fresh_set_limits(vm->fresh, &limits);
}

bool wasm_fresh_stream(struct wasm_vm *vm, const struct wasm_plugin *plugin, const struct pw_stream_ops *ops,
                       void *ctx, struct pw_stream **out)
{
    struct pw_message why;
    int error = pw_fresh_stream_create(vm->fresh, plugin->index_in_group, ops, ctx, out, &why);
    if (WEIR_LIKELY(error == PW_OK))
        return true;
    if (error != PW_ERR_LIMIT && error != PW_ERR_NOMEM)
        return false; /* it failed in its first call: reported already */
    stat_inc(plugin->stats.stream_vm_exhausted);
    uint64_t now_ms = vm->worker->loop.now_ms;
    if (vm->exhausted_logged_ms == 0 || now_ms - vm->exhausted_logged_ms >= EXHAUSTED_LOG_MS) {
        vm->exhausted_logged_ms = now_ms;
        log_write(WASM, WARN, "plugin \"%s\": no fresh VM for a stream: %s", plugin->name, why.text);
    }
    return false;
}

void wasm_fresh_add_stats(const struct wasm_vm *vm, struct pw_vm_stats *stats)
{
    struct pw_vm_stats fresh;
    if (!vm->fresh)
        return;
    pw_fresh_stats(vm->fresh, &fresh);
    stats->memory_bytes += fresh.memory_bytes;
    stats->host_bytes += fresh.host_bytes;
    stats->calls += fresh.calls;
    stats->host_calls += fresh.host_calls;
    stats->time_ns += fresh.time_ns;
    stats->streams += fresh.streams;
}
