/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root contexts: one plugin in one VM, from context_create over start and configure to done and delete
 * (ABI 3.2, 3.18). Timers are the embedder's.
 */
#include "proxywasm/root_impl.h"

#include "proxywasm/callout_impl.h"
#include "proxywasm/context.h"
#include "proxywasm/mailbox.h"
#include "proxywasm/message.h"
#include "proxywasm/stream_impl.h"
#include "proxywasm/vm_call.h"

#include <stdlib.h>

/* The three calls of a new root. PW_OK, START_FAILED, CONFIGURE_FAILED or the VM's failure. */
static int root_start(struct pw_root *root)
{
    struct pw_vm *vm = root->base.vm;
    uint64_t id = root->base.id;
    uint64_t create[2] = {id, 0};
    root->config_readable = true;
    int error = vm_call(vm, &root->base, GUEST_proxy_on_context_create, create, 2, NULL, true);
    root->config_readable = false;
    if (error)
        return error;
    root->base.created = true;

    uint64_t ok = 1;
    uint64_t start[2] = {id, vm->configuration.len};
    error = vm_call(vm, &root->base, GUEST_proxy_on_vm_start, start, 2, &ok, true);
    if (error || !ok)
        return error ? error : PW_ERR_START_FAILED;

    uint64_t configure[2] = {id, root->plugin->configuration.len};
    root->config_readable = true;
    error = vm_call(vm, &root->base, GUEST_proxy_on_configure, configure, 2, &ok, true);
    root->config_readable = false;
    return error || ok ? error : PW_ERR_CONFIGURE_FAILED;
}

static void explain(const struct pw_root *root, int error, struct pw_message *why)
{
    const struct pw_vm *vm = root->base.vm;
    const struct pw_plugin *plugin = root->plugin;
    message_set(why, "plugin \"" SLICE_FMT "\": ", SLICE_ARG(plugin->name));
    if (error == PW_ERR_START_FAILED || error == PW_ERR_CONFIGURE_FAILED)
        message_append(why, "%s returned false",
                       error == PW_ERR_START_FAILED ? "proxy_on_vm_start" : "proxy_on_configure");
    else if (vm->failed)
        message_append(why, "%s failed: %s%s%s", vm->failure.function, vm->failure.message.ptr,
                       vm->failure.backtrace.len ? "\n" : "", vm->failure.backtrace.ptr);
    else
        message_append(why, "%s", pw_error_str(error));
}

int root_new(struct pw_vm *vm, struct pw_plugin *plugin, struct pw_root **out)
{
    struct pw_root *root = calloc(1, sizeof(*root));
    if (!root)
        return PW_ERR_NOMEM;
    int error = context_init(&root->base, vm, CONTEXT_ROOT, root);
    if (error) {
        free(root);
        return error;
    }
    root->plugin = pw_plugin_ref(plugin);
    root->costs = &root->own_costs;
    root->property_get = plugin->property_get;
    root->property_ctx = plugin->property_ctx;
    list_init(&root->callouts);
    list_init(&root->retired);
    *out = root;
    return PW_OK;
}

int pw_root_create(struct pw_vm *vm, struct pw_plugin *plugin, struct pw_root **out, struct pw_message *why)
{
    WEIR_ASSERT(vm->depth == 0 && !vm->destroyed && plugin);
    *out = NULL;
    if (vm->failed)
        return message_error(PW_ERR_VM_FAILED, why, "%s", pw_error_str(PW_ERR_VM_FAILED));
    struct pw_root *root;
    int error = root_new(vm, plugin, &root);
    if (error)
        return message_error(error, why, "%s", pw_error_str(error));

    vm_hold(vm);
    context_hold(&root->base);
    error = root_start(root);
    if (error) {
        explain(root, error, why);
        uint64_t id = root->base.id;
        vm_call(vm, &root->base, GUEST_proxy_on_delete, &id, 1, NULL, true);
        root_discard(root);
    } else {
        *out = root;
    }
    vm_settle(vm);
    context_release(&root->base);
    vm_release(vm);
    return error;
}

static void root_drop_data(struct pw_root *root)
{
    if (root->data_destroy)
        root->data_destroy(root->data);
    root->data = NULL;
    root->data_destroy = NULL;
}

void root_discard(struct pw_root *root)
{
    struct pw_vm *vm = root->base.vm;
    WEIR_ASSERT(root->streams == 0);
    if (!vm->destroyed)
        mailbox_drop_root(vm->mailbox, root->base.id);
    callouts_drop_root(root);
    root_drop_data(root);
    context_fini(&root->base);
    pw_plugin_unref(&root->plugin);
    context_destroy(&root->base);
}

bool pw_root_shutdown(struct pw_root *root)
{
    struct pw_vm *vm = root->base.vm;
    WEIR_ASSERT(!root->done_pending && !root->done_called);
    uint64_t id = root->base.id;
    uint64_t done = 1;
    vm_hold(vm);
    context_hold(&root->base);
    root->in_done = true;
    int error = vm_call(vm, &root->base, GUEST_proxy_on_done, &id, 1, &done, false);
    root->in_done = false;
    /* proxy_done from inside proxy_on_done counts as "true". */
    bool finished = error || done || root->done_called;
    root->done_pending = !finished;
    vm_settle(vm);
    context_release(&root->base);
    vm_release(vm);
    return finished;
}

void pw_root_destroy(struct pw_root **root)
{
    struct pw_root *r = *root;
    *root = NULL;
    if (!r)
        return;
    struct pw_vm *vm = r->base.vm;
    stream_drop_retired(r);
    WEIR_ASSERT(vm->depth == 0 && r->streams == 0);
    uint64_t id = r->base.id;
    vm_hold(vm);
    context_hold(&r->base);
    r->done_pending = false;
    vm_call(vm, &r->base, GUEST_proxy_on_delete, &id, 1, NULL, false);
    root_discard(r);
    vm_settle(vm);
    context_release(&r->base);
    vm_release(vm);
}

void pw_root_tick(struct pw_root *root)
{
    struct pw_vm *vm = root->base.vm;
    uint64_t id = root->base.id;
    vm_hold(vm);
    vm_call(vm, &root->base, GUEST_proxy_on_tick, &id, 1, NULL, false);
    vm_settle(vm);
    vm_release(vm);
}

void pw_root_log(struct pw_root *root, const struct pw_stream_ops *ops, void *ctx)
{
    struct pw_vm *vm = root->base.vm;
    struct pw_stream logged = {.ops = ops, .ctx = ctx, .in_log = true};
    uint64_t id = root->base.id;
    WEIR_ASSERT(!root->logged);
    logged.base = (struct context){.vm = vm, .root = root, .kind = CONTEXT_STREAM};
    vm_hold(vm);
    context_hold(&root->base);
    root->logged = &logged;
    vm_call(vm, &root->base, GUEST_proxy_on_log, &id, 1, NULL, false);
    root->logged = NULL;
    vm_settle(vm);
    context_release(&root->base);
    vm_release(vm);
}

void pw_root_stats_update(struct pw_root *root, struct pw_slice snapshot)
{
    struct pw_vm *vm = root->base.vm;
    uint64_t args[2] = {root->base.id, (uint32_t)snapshot.len};
    vm_hold(vm);
    vm->foreign_arguments = slice_from_pw(snapshot);
    vm_call(vm, &root->base, GUEST_envoy_on_stats_update, args, 2, NULL, false);
    vm->foreign_arguments = SLICE_EMPTY;
    vm_settle(vm);
    vm_release(vm);
}

void pw_root_set_properties(struct pw_root *root,
                            enum pw_status (*property_get)(void *ctx, struct pw_slice path,
                                                           struct pw_value *out),
                            void *ctx)
{
    root->property_get = property_get;
    root->property_ctx = ctx;
}

struct pw_plugin *pw_root_plugin(const struct pw_root *root)
{
    return root->plugin;
}

struct pw_vm *pw_root_vm(const struct pw_root *root)
{
    return root->base.vm;
}

void pw_root_set_data(struct pw_root *root, void *data, void (*destroy)(void *data))
{
    root_drop_data(root);
    root->data = data;
    root->data_destroy = destroy;
}

void *pw_root_data(const struct pw_root *root)
{
    return root->data;
}
