/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs: creation on any thread, hand-over to the serving thread, work left by other threads, destruction. A VM
 * belongs to one thread at a time; only its mailbox is touched by others.
 */
#include "proxywasm/vm_impl.h"

#include "proxywasm/callout_impl.h"
#include "proxywasm/context.h"
#include "proxywasm/engine/deadline.h"
#include "proxywasm/fresh_impl.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/mailbox.h"
#include "proxywasm/message.h"
#include "proxywasm/root_impl.h"
#include "proxywasm/stream_impl.h"
#include "proxywasm/vm_call.h"
#include "proxywasm/vm_config.h"

#include <stdlib.h>

static struct pw_vm *vm_alloc(struct pw_module *module)
{
    _Static_assert(offsetof(struct pw_vm, limits) + offsetof(struct pw_limits, header_bytes_max) < 6 * 64,
                   "six lines");
    struct pw_vm *vm = aligned_alloc(64, (sizeof(*vm) + 63) / 64 * 64);
    if (!vm)
        return NULL;
    memset(vm, 0, sizeof(*vm));
    vm->trap = calloc(2, sizeof(*vm->trap));
    if (!vm->trap) {
        free(vm);
        return NULL;
    }
    vm->module = pw_module_ref(module);
    vm->engine = module_engine(module);
    vm->ops = engine_operations(vm->engine);
    vm->host = engine_host(vm->engine);
    WEIR_ASSERT(vm->ops->address_bytes == 4 || vm->ops->address_bytes == 8);
    list_init(&vm->roots);
    list_init(&vm->streams);
    list_init(&vm->untold);
    list_init(&vm->pending);
    vm->cpu_countdown = 1;
    vm->lap = &vm->no_lap;
    vm->cost = &vm->no_cost;
    list_init(&vm->fresh_node);
    list_init(&vm->callouts.recorded);
    list_init(&vm->callouts.lingering);
    return vm;
}

/* What needs memory but no guest. */
static int vm_furnish(struct pw_vm *vm)
{
    arena_init(&vm->scratch, vm->limits.host_bytes_max, NULL);
    /* Pins the first block, so that the steady state allocates nothing. */
    if (!arena_alloc(&vm->scratch, 1))
        return PW_ERR_NOMEM;
    vm->scratch_mark = arena_mark(&vm->scratch);
    vm->mailbox = mailbox_create();
    vm->shared = shared_space_open(&vm->host->shared, vm->vm_id);
    vm->queues = queue_space_open(&vm->host->queues, vm->vm_id);
    return vm->mailbox && vm->shared && vm->queues ? PW_OK : PW_ERR_NOMEM;
}

void vm_exports_init(struct pw_vm *vm)
{
    for (unsigned fn = 0; fn < GUEST_FUNCTION_COUNT; fn++) {
        if (vm->ops->has_function(vm->instance, fn))
            vm->exports |= UINT64_C(1) << fn;
    }
    vm->exports &= ~vm->denied.guest;
}

static int vm_instantiate(struct pw_vm *vm, struct pw_message *why)
{
    vm->mode = VM_START;
    vm->gate = true;
    int error = vm->ops->instance_create(vm, &vm->instance, &vm->trap[0]);
    vm->mode = VM_NORMAL;
    vm->gate = vm->denied.any;
    if (!error) {
        vm_exports_init(vm);
        error = vm_call_start(vm);
    }
    if (error) {
        const char *reason = vm->trap[0].message[0] ? vm->trap[0].message : pw_error_str(error);
        message_set(why, "cannot start the module: %s%s%s", reason, vm->trap[0].backtrace[0] ? "\n" : "",
                    vm->trap[0].backtrace);
    }
    return error;
}

int vm_create_empty(struct pw_module *module, const struct pw_vm_config *config, struct pw_vm **out,
                    struct pw_message *why)
{
    *out = NULL;
    struct pw_vm *vm = vm_alloc(module);
    if (!vm)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    int error = vm_config_init(vm, config, why);
    if (!error && (error = vm_furnish(vm)) != PW_OK)
        message_set(why, "out of memory");
    if (error) {
        pw_vm_destroy(&vm);
        return error;
    }
    *out = vm;
    return PW_OK;
}

int pw_vm_create(struct pw_module *module, const struct pw_vm_config *config, struct pw_vm **out,
                 struct pw_message *why)
{
    WEIR_ASSERT(module && out);
    int error = vm_create_empty(module, config, out, why);
    if (error)
        return error;
    error = vm_instantiate(*out, why);
    if (error)
        pw_vm_destroy(out);
    return error;
}

void vm_leave(struct pw_vm *vm)
{
    if (!vm->destroyed) {
        fresh_take_back(vm);
        return;
    }
    vm_repay(vm);
    free(vm->fresh_roots);
    free(vm->trap);
    free(vm);
}

void pw_vm_attach(struct pw_vm *vm, const struct pw_vm_ops *ops, void *ctx)
{
    WEIR_ASSERT(!vm->vm_ops && vm->depth == 0);
    WEIR_ASSERT(ops && ops->size >= sizeof(*ops));
    vm->vm_ops_copy = *ops;
    vm->vm_ops = &vm->vm_ops_copy;
    vm->ctx = ctx;
    if (vm->failed)
        return;
    mailbox_attach(vm->mailbox, ops->wake, ctx);
    for (size_t i = 0; i < mailbox_slots(vm->mailbox); i++) {
        uint32_t queue_id = mailbox_slot_queue(vm->mailbox, i);
        if (queue_id)
            queue_listen(&vm->host->queues, queue_id, vm->mailbox, i);
    }
    struct list *node, *tmp;
    list_for_each(node, tmp, &vm->roots)
    {
        struct pw_root *root = context_root(list_entry(node, struct context, node));
        if (root->tick_recorded && ops->set_tick)
            ops->set_tick(ctx, root, root->tick_ms);
        root->tick_recorded = false;
    }
    callouts_attach(vm);
}

static void queue_ready(struct pw_vm *vm, uint32_t root_id, uint32_t queue_id)
{
    struct context *c = context_find(vm, root_id);
    if (!c || c->kind != CONTEXT_ROOT)
        return; /* the root went: the notification is lost, the item stays (ABI 3.12) */
    uint64_t args[2] = {root_id, queue_id};
    vm_call(vm, c, GUEST_proxy_on_queue_ready, args, 2, NULL, false);
    vm_settle(vm);
}

void pw_vm_run(struct pw_vm *vm)
{
    WEIR_ASSERT(vm->depth == 0 && !vm->destroyed);
    vm_hold(vm);
    struct mailbox *box = mailbox_ref(vm->mailbox);
    mailbox_begin(box);
    callouts_run(vm);
    uint32_t root_id, queue_id;
    for (unsigned n = 0; n < QUEUE_READY_PER_RUN; n++) {
        if (vm->destroyed || vm->failed || !mailbox_take(box, &root_id, &queue_id))
            break;
        queue_ready(vm, root_id, queue_id);
    }
    if (!vm->failed)
        mailbox_end(box);
    mailbox_unref(&box);
    vm_release(vm);
}

/* Contexts without guest code; those that a frame still holds stay as empty shells. */
static void contexts_discard(struct pw_vm *vm)
{
    list_splice_back(&vm->streams, &vm->untold);
    struct list *node, *tmp;
    list_for_each(node, tmp, &vm->streams)
        stream_discard(context_stream(list_entry(node, struct context, node)));
    list_for_each(node, tmp, &vm->roots) root_discard(context_root(list_entry(node, struct context, node)));
    WEIR_ASSERT(vm->contexts == 0);
    callouts_fini(vm);
    free(vm->buckets);
    vm->buckets = NULL;
    while (vm->spare_streams) {
        struct context *spare = vm->spare_streams;
        vm->spare_streams = spare->id_next;
        free(context_stream(spare));
    }
}

void pw_vm_destroy(struct pw_vm **vm)
{
    struct pw_vm *v = *vm;
    *vm = NULL;
    if (!v)
        return;
    WEIR_ASSERT(v->depth == 0 && !v->destroyed);
    vm_hold(v);
    v->destroyed = true;
    v->leaving = true;
    if (v->mailbox) {
        mailbox_close(v->mailbox);
        if (v->vm_ops && mailbox_slots(v->mailbox) > 0)
            queue_unlisten(&v->host->queues, v->mailbox);
    }
    contexts_discard(v);
    WEIR_ASSERT(v->held_bytes == 0 || v->draining);
    if (v->instance)
        v->ops->instance_destroy(&v->instance);
    mailbox_unref(&v->mailbox);
    shared_space_close(&v->host->shared, &v->shared);
    queue_space_close(&v->host->queues, &v->queues);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(v->metrics.handles); i++)
        free(v->metrics.handles[i]);
    arena_fini(&v->scratch);
    vm_config_fini(v);
    pw_plugin_unref(&v->failed_plugin);
    pw_module_unref(&v->module);
    vm_release(v);
}

void pw_vm_set_limits(struct pw_vm *vm, const struct pw_limits *limits)
{
    WEIR_ASSERT(vm->depth == 0);
    vm->limits = *limits;
    pw_limits_fill(&vm->limits);
    vm->scratch.cap_bytes = vm->limits.host_bytes_max;
    if (vm->deadline)
        deadline_set_shortest(vm->engine, vm->deadline, &vm->limits);
}

void pw_vm_set_lap(struct pw_vm *vm, uint64_t *lap)
{
    WEIR_ASSERT(vm->depth == 0);
    vm->lap = lap ? lap : &vm->no_lap;
}

bool pw_vm_failed(const struct pw_vm *vm)
{
    return vm->failed;
}

void pw_vm_stats(const struct pw_vm *vm, struct pw_vm_stats *out)
{
    uint64_t memory = vm->instance ? vm->ops->memory(vm->instance).size : 0;
    uint64_t metrics = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(vm->metrics.cap); i++)
        metrics += vm->metrics.cap[i] * sizeof(void *);
    *out = (struct pw_vm_stats){
        .memory_bytes = memory == UINT64_MAX ? 0 : memory,
        .host_bytes = vm->scratch.used_bytes + vm->held_bytes + vm->text_bytes + metrics + sizeof(*vm) +
                      2 * sizeof(*vm->trap) + vm->streams_count * sizeof(struct pw_stream) +
                      vm->roots_count * sizeof(struct pw_root) + vm->callouts.bytes,
        .calls = vm->calls,
        .host_calls = vm->host_calls,
        .time_ns = host_cycles_to_ns(vm->host, vm->cycles),
        .roots = vm->roots_count,
        .streams = vm->streams_count,
        .callouts = vm->callouts.count,
        .callout_bytes = vm->callouts.bytes,
        .callouts_started = vm->callouts.started,
        .callouts_refused = vm->callouts.refused,
    };
}
