/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs for one stream each. What costs time to make and holds nothing of a guest's (the VM's own structs, the
 * root, the watchdog's registration) is kept and used again; the sandbox only where the engine has set it
 * back to what the snapshot is.
 */
#include "proxywasm/fresh_impl.h"

#include "proxywasm/callout_impl.h"
#include "proxywasm/context.h"
#include "proxywasm/costs_impl.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/message.h"
#include "proxywasm/module_impl.h"
#include "proxywasm/root_impl.h"
#include "proxywasm/snapshot.h"
#include "proxywasm/vm_call.h"

#include <stdlib.h>

struct fresh_costs {
    struct pw_costs *to; /* own, or the embedder's */
    struct pw_costs own;
};

/* VMs without a stream: with an instance that was set back, and with none. */
enum { SPARES_READY, SPARES_BARE, SPARES_KINDS };

struct pw_fresh {
    struct pw_snapshot *snapshot;
    struct pw_vm_config config;
    struct pw_vm_ops ops;
    void *ctx;
    struct list vms; /* all */
    struct pw_vm *spares[SPARES_KINDS];
    uint32_t spares_count;
    uint32_t live;
    uint32_t limits_version;
    struct pw_vm_stats past; /* of VMs that are gone: calls, host_calls */
    uint64_t past_cycles;
    struct fresh_costs *costs; /* of all streams, by root */
};

/* The roots as the model's were after configure, without guest code. */
static bool add_roots(struct pw_vm *vm, const struct pw_fresh *f)
{
    const struct pw_snapshot *s = f->snapshot;
    vm->fresh_roots = calloc(s->roots_count, sizeof(struct pw_root *));
    for (uint32_t i = 0; vm->fresh_roots && i < s->roots_count; i++) {
        struct pw_root *root;
        vm->next_id = s->roots[i].id - 1;
        if (root_new(vm, s->roots[i].plugin, &root) != PW_OK)
            return false;
        WEIR_ASSERT(root->base.id == s->roots[i].id);
        root->base.created = true;
        root->costs = f->costs[i].to;
        vm->fresh_roots[i] = root;
    }
    return vm->fresh_roots;
}

/* Numbers that the model knows, and no others. */
static bool reset_numbers(struct pw_vm *vm, const struct pw_snapshot *s)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(s->metrics.handles); i++) {
        uint32_t count = s->metrics.count[i];
        if (vm->metrics.cap[i] < count) {
            void **handles = calloc(count, sizeof(void *));
            if (!handles)
                return false;
            free(vm->metrics.handles[i]);
            vm->metrics.handles[i] = handles;
            vm->metrics.cap[i] = count;
            memcpy(handles, s->metrics.handles[i], count * sizeof(void *));
        }
        vm->metrics.count[i] = count; /* handles of the model stay in front */
    }
    vm->metrics_count = s->metrics_count;
    vm->next_id = s->next_id;
    memcpy(vm->callouts.next, s->next_callouts, sizeof(s->next_callouts));
    return true;
}

static void forget_failure(struct pw_vm *vm)
{
    vm->failed = false;
    vm->failure_told = false;
    pw_plugin_unref(&vm->failed_plugin);
}

static void reset_root(struct pw_root *root)
{
    callouts_drop_root(root);
    root->tick_ms = 0;
    root->tick_recorded = false;
    root->in_done = false;
    root->done_pending = false;
    root->done_called = false;
    root->status_code = 0;
    root->status_message = SLICE_EMPTY;
}

static struct pw_vm *vm_new(struct pw_fresh *f, struct pw_message *why)
{
    struct pw_vm *vm;
    if (vm_create_empty(f->snapshot->module, &f->config, &vm, why) != PW_OK)
        return NULL;
    if (!add_roots(vm, f) || !reset_numbers(vm, f->snapshot)) {
        message_set(why, "out of memory");
        pw_vm_destroy(&vm);
        return NULL;
    }
    vm->vm_ops_copy = f->ops;
    vm->vm_ops = &vm->vm_ops_copy;
    vm->ctx = f->ctx;
    vm->fresh = f;
    vm->fresh_limits = f->limits_version;
    list_push_back(&f->vms, &vm->fresh_node);
    return vm;
}

static void vm_end(struct pw_fresh *f, struct pw_vm *vm)
{
    f->past.calls += vm->calls;
    f->past.host_calls += vm->host_calls;
    f->past.callouts_started += vm->callouts.started;
    f->past.callouts_refused += vm->callouts.refused;
    f->past_cycles += vm->cycles;
    list_remove(&vm->fresh_node);
    pw_vm_destroy(&vm);
}

/* No guest code runs here: a snapshot has no start section. */
static int instantiate(struct pw_vm *vm, struct pw_message *why)
{
    vm->trap[0].message[0] = '\0';
    vm->memory = (struct guest_memory){0}; /* what is known of it is the last instance's */
    int error;
    if (vm->instance) {
        error = vm->ops->instance_renew(vm->instance, &vm->trap[0]);
    } else {
        error = vm->ops->instance_create(vm, &vm->instance, &vm->trap[0]);
        if (!error)
            vm_exports_init(vm);
    }
    vm->gate = vm->denied.any;
    return error ? message_error(error, why, "%s", vm->trap[0].message) : PW_OK;
}

static struct pw_vm *pop_spare(struct pw_fresh *f)
{
    struct pw_vm **from = &f->spares[f->spares[SPARES_READY] ? SPARES_READY : SPARES_BARE];
    struct pw_vm *vm = *from;
    if (vm) {
        *from = vm->fresh_spare;
        f->spares_count--;
    }
    return vm;
}

static struct pw_vm *take_spare(struct pw_fresh *f, struct pw_message *why)
{
    struct pw_vm *vm = pop_spare(f);
    return vm ? vm : vm_new(f, why);
}

static void keep_spare(struct pw_fresh *f, struct pw_vm *vm, int kind)
{
    if (f->spares_count >= SPARE_VMS_MAX || vm->fresh_limits != f->limits_version) {
        vm_end(f, vm);
        return;
    }
    vm->fresh_spare = f->spares[kind];
    f->spares[kind] = vm;
    f->spares_count++;
}

int pw_fresh_stream_create(struct pw_fresh *f, uint32_t root, const struct pw_stream_ops *ops, void *ctx,
                           struct pw_stream **out, struct pw_message *why)
{
    *out = NULL;
    WEIR_ASSERT(root < f->snapshot->roots_count);
    struct pw_vm *vm = take_spare(f, why);
    if (!vm)
        return PW_ERR_NOMEM;
    int error = instantiate(vm, why);
    if (error) {
        keep_spare(f, vm, SPARES_BARE);
        return error;
    }
    f->live++;
    vm_hold(vm);
    error = pw_stream_create(vm->fresh_roots[root], ops, ctx, out);
    if (!*out)
        vm->leaving = true;
    vm_release(vm);
    return error;
}

void fresh_take_back(struct pw_vm *vm)
{
    struct pw_fresh *f = vm->fresh;
    WEIR_ASSERT(vm->depth == 0 && vm->streams_count == 0 && f->live > 0);
    f->live--;
    for (uint32_t i = 0; i < f->snapshot->roots_count; i++)
        reset_root(vm->fresh_roots[i]);
    bool ready = !vm->failed && vm->ops->instance_reset(vm->instance);
    if (!ready)
        vm->ops->instance_drop(vm->instance);
    WEIR_ASSERT(list_empty(&vm->pending) && vm->held_bytes == 0);
    vm->leaving = false;
    vm->roots_done = false;
    forget_failure(vm);
    WEIR_ASSERT(reset_numbers(vm, f->snapshot)); /* there is room already */
    keep_spare(f, vm, ready ? SPARES_READY : SPARES_BARE);
}

int pw_fresh_create(struct pw_snapshot *snapshot, const struct pw_vm_config *config,
                    const struct pw_vm_ops *ops, void *ctx, struct pw_fresh **out, struct pw_message *why)
{
    *out = NULL;
    if (!config || config->size < sizeof(*config) || !ops || ops->size < sizeof(*ops))
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "pw_fresh_create: an argument is missing");
    struct pw_fresh *f = calloc(1, sizeof(*f));
    if (f)
        f->costs = calloc(snapshot->roots_count, sizeof(*f->costs));
    if (!f || !f->costs) {
        free(f);
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    }
    list_init(&f->vms);
    f->snapshot = pw_snapshot_ref(snapshot);
    f->config = *config;
    f->ops = *ops;
    f->ctx = ctx;
    for (uint32_t i = 0; i < snapshot->roots_count; i++)
        f->costs[i].to = &f->costs[i].own;
    *out = f;
    return PW_OK;
}

void pw_fresh_destroy(struct pw_fresh **fresh)
{
    struct pw_fresh *f = *fresh;
    *fresh = NULL;
    if (!f)
        return;
    WEIR_ASSERT(f->live == 0);
    while (!list_empty(&f->vms))
        vm_end(f, list_first(&f->vms, struct pw_vm, fresh_node));
    pw_snapshot_unref(&f->snapshot);
    free(f->costs);
    free(f);
}

void pw_fresh_set_limits(struct pw_fresh *f, const struct pw_limits *limits)
{
    f->config.limits = *limits;
    /* VMs that were made with others go, those with a stream afterwards. */
    f->limits_version++;
    for (struct pw_vm *vm; (vm = pop_spare(f)) != NULL;)
        vm_end(f, vm);
}

void pw_fresh_set_costs(struct pw_fresh *f, uint32_t root, struct pw_costs *costs)
{
    struct list *node, *tmp;
    struct fresh_costs *of = &f->costs[root];
    struct pw_costs *to = costs ? costs : &of->own;
    WEIR_ASSERT(root < f->snapshot->roots_count);
    if (to == of->to)
        return;
    costs_move(of->to, to);
    of->to = to;
    list_for_each(node, tmp, &f->vms) list_entry(node, struct pw_vm, fresh_node)->fresh_roots[root]->costs =
        to;
}

void pw_fresh_stats(const struct pw_fresh *f, struct pw_vm_stats *out)
{
    struct list *node, *tmp;
    uint64_t cycles = f->past_cycles;
    *out = f->past;
    list_for_each(node, tmp, &((struct pw_fresh *)(uintptr_t)f)->vms)
    {
        const struct pw_vm *vm = list_entry(node, struct pw_vm, fresh_node);
        struct pw_vm_stats one;
        pw_vm_stats(vm, &one);
        out->memory_bytes += vm->streams_count > 0 ? one.memory_bytes : 0; /* a spare's counts for nobody */
        out->host_bytes += one.host_bytes;
        out->calls += one.calls;
        out->host_calls += one.host_calls;
        out->callouts += one.callouts;
        out->callout_bytes += one.callout_bytes;
        out->callouts_started += one.callouts_started;
        out->callouts_refused += one.callouts_refused;
        cycles += vm->cycles;
    }
    out->time_ns = host_cycles_to_ns(f->snapshot->module->engine->host, cycles);
    out->streams = f->live;
}
