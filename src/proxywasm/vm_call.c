/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering guest code and settling afterwards. Guest code is never entered from inside a guest call (the
 * allocator apart), and no callback of the embedder that may act on streams runs inside one.
 */
#include "proxywasm/vm_call.h"

#include "proxywasm/context.h"
#include "proxywasm/costs_impl.h"
#include "proxywasm/engine/deadline.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/stream_impl.h"
#include "proxywasm/vm_log.h"

static const char *const function_names[] = {
#define GUEST_X(name, nargs, has_result) #name,
    GUEST_FUNCTIONS(GUEST_X)
#undef GUEST_X
};
_Static_assert(GUEST_FUNCTION_COUNT <= 64, "vm->exports is one word");

const char *guest_function_name(enum guest_function fn)
{
    WEIR_ASSERT((unsigned)fn < GUEST_FUNCTION_COUNT);
    return function_names[fn];
}

void vm_fail(struct pw_vm *vm, int error, const struct engine_trap *trap)
{
    WEIR_ASSERT(error != PW_OK);
    if (vm->failed)
        return;
    vm->failed = true;
    if (vm->current)
        vm->failed_plugin = pw_plugin_ref(vm->current->root->plugin);
    struct slice message = slice_str(trap->message);
    struct slice backtrace = slice_str(trap->backtrace);
    vm->failure = (struct pw_failure){
        .error = error,
        .function = vm->mode == VM_START || vm->depth == 0 ? "_initialize" : guest_function_name(vm->running),
        .message = slice_to_pw(message),
        .backtrace = slice_to_pw(backtrace),
    };
}

/* Clears what one outermost call left behind. */
static inline void call_end(struct pw_vm *vm)
{
    vm->depth = 0;
    vm->current = NULL;
    vm->effective = NULL;
    vm->cost = &vm->no_cost;
    if (WEIR_UNLIKELY(vm->scratch.cursor != vm->scratch_mark.cursor))
        arena_reset_to(&vm->scratch, vm->scratch_mark);
}

static inline uint64_t call_begin(const struct pw_vm *vm)
{
    uint64_t lap = *vm->lap;
    return lap > PW_LAP_ON ? lap : host_cycles(vm->host);
}

static inline uint64_t call_took(const struct pw_vm *vm, uint64_t began)
{
    uint64_t now = host_cycles(vm->host);
    if (*vm->lap != PW_LAP_OFF)
        *vm->lap = now;
    return now - began;
}

/* A guest that outlived a failed allocation is failed all the same. */
static __attribute__((cold, noinline)) int64_t call_failed(struct pw_vm *vm, struct pw_costs *costs,
                                                           int64_t outcome, bool starting)
{
    if (outcome < 0)
        vm_fail(vm, (int)outcome, &vm->trap[0]);
    costs->callback[vm->running].failures++;
    if (vm->failure.error == PW_ERR_TIMEOUT)
        costs->limit_hits[starting ? PW_LIMIT_start_time_max_ns : PW_LIMIT_callback_time_max_ns]++;
    call_end(vm);
    return vm->failure.error;
}

static inline __attribute__((always_inline)) int64_t run_counted(struct pw_vm *vm, struct context *context,
                                                                 enum guest_function fn, const uint64_t *args,
                                                                 size_t nargs, bool starting, bool sampled)
{
    WEIR_ASSERT(vm->depth == 0 && !vm->effective);
    struct pw_costs *costs = context->root->costs;
    struct pw_cost *cost = &costs->callback[fn];
    struct deadline *deadline = vm->deadline;
    vm->depth = 1;
    vm->running = fn;
    vm->current = context;
    vm->cost = cost;
    vm->calls++;
    uint64_t cpu_ns = sampled ? cpu_sample_begin(vm) : 0;
    uint64_t began = call_begin(vm);
    if (WEIR_LIKELY(deadline != NULL))
        deadline_enter(deadline, starting ? vm->limits.start_time_max_ns : vm->limits.callback_time_max_ns,
                       began);
    int64_t outcome = vm->ops->call(vm->instance, fn, args, nargs, &vm->trap[0]);
    if (WEIR_LIKELY(deadline != NULL))
        deadline_leave(deadline);
    uint64_t cycles = call_took(vm, began);
    vm->cycles += cycles;
    costs->cycles += cycles;
    cost->cycles += cycles;
    __asm__ volatile("" ::: "memory"); /* one by one: gcc would make vectors of neighbours, which is slower */
    cost->calls++;
    if (sampled && cpu_ns != 0)
        cpu_sample_end(vm, cost, cpu_ns);
    if (WEIR_UNLIKELY(outcome < 0 || vm->failed))
        return call_failed(vm, costs, outcome, starting);
    call_end(vm);
    return outcome;
}

static __attribute__((cold, noinline)) int64_t run_sampled(struct pw_vm *vm, struct context *context,
                                                           enum guest_function fn, const uint64_t *args,
                                                           size_t nargs, bool starting)
{
    return run_counted(vm, context, fn, args, nargs, starting, true);
}

static inline __attribute__((always_inline)) int64_t run_export(struct pw_vm *vm, struct context *context,
                                                                enum guest_function fn, const uint64_t *args,
                                                                size_t nargs, bool starting)
{
    if (WEIR_UNLIKELY(--vm->cpu_countdown == 0))
        return run_sampled(vm, context, fn, args, nargs, starting);
    return run_counted(vm, context, fn, args, nargs, starting, false);
}

/* Nobody writes to the arguments: a canary would only cost time. */
WEIR_HOT __attribute__((no_stack_protector)) int64_t
vm_call_export(struct pw_vm *vm, struct context *context, enum guest_function fn, uint32_t arg, uint32_t arg2)
{
    uint64_t args[3] = {context->id, arg, arg2};
    return run_export(vm, context, fn, args, WEIR_ARRAY_LEN(args), false);
}

int vm_call(struct pw_vm *vm, struct context *context, enum guest_function fn, const uint64_t *args,
            size_t nargs, uint64_t *result, bool starting)
{
    WEIR_ASSERT(vm->depth == 0 && !vm->destroyed);
    if (WEIR_UNLIKELY(vm->failed))
        return PW_ERR_VM_FAILED;
    if (!vm_exports(vm, fn))
        return PW_OK;
    int64_t outcome = run_export(vm, context, fn, args, nargs, starting);
    if (outcome < 0)
        return (int)outcome;
    if (result && outcome != ENGINE_NO_VALUE)
        *result = (uint64_t)outcome;
    return PW_OK;
}

int vm_call_start(struct pw_vm *vm)
{
    WEIR_ASSERT(vm->depth == 0 && vm->mode == VM_NORMAL);
    vm->mode = VM_START;
    vm->gate = true;
    vm->depth = 1;
    vm->running = GUEST_FUNCTION_COUNT;
    uint64_t began = host_cycles(vm->host);
    int error = PW_OK;
    if (vm->deadline)
        deadline_enter(vm->deadline, vm->limits.start_time_max_ns, began);
    error = vm->ops->instance_start(vm->instance, &vm->trap[0]);
    if (vm->deadline)
        deadline_leave(vm->deadline);
    vm->cycles += host_cycles(vm->host) - began;
    if (error != PW_OK)
        vm_fail(vm, error, &vm->trap[0]);
    if (vm->failed)
        error = vm->failure.error;
    vm->mode = VM_NORMAL;
    vm->gate = vm->denied.any;
    call_end(vm);
    return error;
}

/* Each live stream once, then the embedder of the VM. Any of these callbacks may destroy anything. */
static void tell_failure(struct pw_vm *vm)
{
    vm->failure_told = true;
    vm_log_failure(vm);
    list_splice_back(&vm->untold, &vm->streams);
    while (!vm->destroyed && !list_empty(&vm->untold)) {
        struct context *c = list_first(&vm->untold, struct context, node);
        list_remove(&c->node);
        list_push_back(&vm->streams, &c->node);
        struct pw_stream *stream = context_stream(c);
        stream_drop_actions(stream);
        if (!c->created)
            continue; /* pw_stream_create reports it */
        context_hold(c);
        stream->ops->vm_failed(stream->ctx);
        context_release(c);
    }
    if (!vm->destroyed && vm->vm_ops && vm->vm_ops->failed)
        vm->vm_ops->failed(vm->ctx, &vm->failure);
}

static void tell_done(struct pw_vm *vm)
{
    vm->roots_done = false;
    struct list *node, *tmp;
    list_for_each(node, tmp, &vm->roots)
    {
        struct pw_root *root = context_root(list_entry(node, struct context, node));
        if (!root->done_called || !root->done_pending)
            continue;
        root->done_pending = false;
        vm->roots_done = true; /* look again: the callback may change the list */
        if (vm->vm_ops && vm->vm_ops->root_done)
            vm->vm_ops->root_done(vm->ctx, root);
        return;
    }
}

void vm_settle_slow(struct pw_vm *vm)
{
    if (vm->draining)
        return;
    vm->draining = true;
    vm_new_lap(vm); /* what the embedder does now is no plugin's */
    while (!vm->destroyed) {
        if (WEIR_UNLIKELY(vm->failed)) {
            if (vm->failure_told)
                break;
            tell_failure(vm);
        } else if (!list_empty(&vm->pending)) {
            stream_run_action(list_first(&vm->pending, struct pw_stream, pending));
        } else if (vm->roots_done) {
            tell_done(vm);
        } else {
            break;
        }
    }
    vm->draining = false;
    vm_new_lap(vm);
}
