/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of a configured VM. Runs no guest code and changes nothing in the model.
 */
#include "proxywasm/snapshot.h"

#include "base/refs.h"
#include "proxywasm/context.h"
#include "proxywasm/engine/state.h"
#include "proxywasm/message.h"
#include "proxywasm/module_impl.h"

#include <stdlib.h>

static void snapshot_free(struct pw_snapshot *s)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(s->metrics.handles); i++)
        free(s->metrics.handles[i]);
    for (uint32_t i = 0; i < s->roots_count; i++)
        pw_plugin_unref(&s->roots[i].plugin);
    free(s->roots);
    pw_module_unref(&s->module);
    free(s);
}

static bool copy_roots(struct pw_snapshot *s, const struct pw_vm *vm)
{
    struct list *node, *tmp;
    s->roots = calloc(vm->roots_count, sizeof(*s->roots));
    if (!s->roots)
        return false;
    list_for_each(node, tmp, &((struct pw_vm *)(uintptr_t)vm)->roots)
    {
        const struct pw_root *root = context_root(list_entry(node, struct context, node));
        s->roots[s->roots_count++] = (struct snapshot_root){root->base.id, pw_plugin_ref(root->plugin)};
    }
    return true;
}

static bool copy_metrics(struct pw_snapshot *s, const struct pw_vm *vm)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(vm->metrics.handles); i++) {
        uint32_t count = vm->metrics.count[i];
        if (count == 0)
            continue;
        s->metrics.handles[i] = calloc(count, sizeof(void *));
        if (!s->metrics.handles[i])
            return false;
        memcpy(s->metrics.handles[i], vm->metrics.handles[i], count * sizeof(void *));
        s->metrics.count[i] = s->metrics.cap[i] = count;
    }
    s->metrics_count = vm->metrics_count;
    return true;
}

static int check_model(const struct pw_vm *vm, const struct pw_engine *pool, struct pw_message *why)
{
    if (vm->failed || vm->vm_ops || vm->roots_count == 0 || vm->streams_count > 0 ||
        vm->module->form != MODULE_INSTRUMENTED || pool->ops != vm->ops)
        return message_error(PW_ERR_INVALID_ARGUMENT, why,
                             "a snapshot is taken of a VM of an instrumented module that has a root and "
                             "serves nothing yet");
    if (!vm->module->original)
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "a snapshot of this module was taken before");
    return PW_OK;
}

/* The module that begins where the model is now. */
static int load(const struct pw_vm *vm, struct pw_engine *pool, struct pw_module **out,
                struct pw_message *why)
{
    struct pw_module *model = vm->module;
    struct state_writer state = {0};
    int error = vm->ops->instance_state(vm->instance, &state);
    if (error == PW_OK)
        error = module_load(pool, (struct pw_slice){model->name, model->name_len},
                            (struct pw_slice){model->original, model->original_bytes}, MODULE_SNAPSHOT,
                            slice_of(state.bytes, state.len), out, why);
    else
        message_set(why, "out of memory");
    free(state.bytes);
    return error;
}

int pw_snapshot_create(struct pw_vm *vm, struct pw_engine *pool, struct pw_snapshot **out,
                       struct pw_message *why)
{
    *out = NULL;
    int error = check_model(vm, pool, why);
    if (error)
        return error;
    struct pw_snapshot *s = calloc(1, sizeof(*s));
    if (!s)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    atomic_init(&s->refs, 1);
    s->next_id = vm->next_id;
    memcpy(s->next_callouts, vm->callouts.next, sizeof(s->next_callouts));
    error = copy_roots(s, vm) && copy_metrics(s, vm) ? load(vm, pool, &s->module, why)
                                                     : message_error(PW_ERR_NOMEM, why, "out of memory");
    if (error) {
        snapshot_free(s);
        return error;
    }
    free(vm->module->original);
    vm->module->original = NULL;
    *out = s;
    return PW_OK;
}

struct pw_snapshot *pw_snapshot_ref(struct pw_snapshot *snapshot)
{
    refs_take(&snapshot->refs);
    return snapshot;
}

void pw_snapshot_unref(struct pw_snapshot **snapshot)
{
    struct pw_snapshot *s = *snapshot;
    *snapshot = NULL;
    if (!s)
        return;
    if (refs_drop(&s->refs))
        snapshot_free(s);
}

struct pw_module *pw_snapshot_module(const struct pw_snapshot *snapshot)
{
    return snapshot->module;
}
