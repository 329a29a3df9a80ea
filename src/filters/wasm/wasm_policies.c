/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing what an operator decided while the proxy runs: new policies for all plugins, the end of a
 * quarantine. The main or the admin thread decides, each worker takes it over by a post; a worker that is
 * busy takes it later.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_service_impl.h"
#include "filters/wasm/wasm_vm.h"
#include "telemetry/log.h"

#include <stdlib.h>

/* What a worker is to do with each of its VMs. */
static void each_vm(void *arg, void (*fn)(struct wasm_vm *vm))
{
    struct wasm_attached *a = arg;
    struct list *node, *tmp;
    if (!a->worker)
        return; /* posted before its plugins began to end, run while they do */
    list_for_each(node, tmp, &a->service->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        struct wasm_vm *vm = g->vms ? g->vms[a->worker->index] : NULL;
        if (vm && vm->worker)
            fn(vm);
    }
}

/* On a worker. */
static void take_policies(void *arg)
{
    each_vm(arg, wasm_vm_take_policies);
}

/* On a worker. */
static void released(void *arg)
{
    each_vm(arg, wasm_vm_released);
}

static void tell_workers(struct wasm_service *s, void (*fn)(void *arg))
{
    pthread_mutex_lock(&s->attached_lock);
    for (uint32_t i = 0; i <= s->workers; i++) {
        if (s->attached[i].worker && !loop_post(&s->attached[i].worker->loop, fn, &s->attached[i]))
            log_write(WASM, ERROR, "worker %u was not told of the new policy: out of memory", i);
    }
    pthread_mutex_unlock(&s->attached_lock);
}

/* Calls fn for each plugin until it returns false; whether it never did. */
static bool each_plugin(struct wasm_service *s, bool (*fn)(struct wasm_plugin *p, void *arg), void *arg)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &s->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        for (uint32_t i = 0; i < g->plugins_count; i++) {
            if (g->plugins[i] && !fn(g->plugins[i], arg))
                return false;
        }
    }
    return true;
}

struct decision {
    wasm_decide_fn decide;
    void *ctx;
};

static bool decide_one(struct wasm_plugin *p, void *arg)
{
    const struct decision *d = arg;
    p->next_policy = d->decide(d->ctx, slice_str(p->name),
                               slice_str(pw_module_info(p->group->module)->sha256), slice_str(p->listener));
    return p->next_policy != NULL;
}

static bool drop_next(struct wasm_plugin *p, void *arg)
{
    (void)arg;
    wasm_policy_unref(&p->next_policy);
    return true;
}

/* Under policy_lock. */
static bool take_next(struct wasm_plugin *p, void *arg)
{
    uint32_t *later = arg;
    *later += p->policy->time_check_off != p->next_policy->time_check_off ||
              p->policy->sharing != p->next_policy->sharing;
    wasm_policy_unref(&p->policy);
    p->policy = p->next_policy;
    p->next_policy = NULL;
    return true;
}

static bool release_group(struct wasm_group *g)
{
    if (!wasm_quarantine_release(&g->quarantine))
        return false;
    log_write(WASM, WARN, "plugin \"%s\" is let out of quarantine", g->plugins[0] ? g->plugins[0]->name : "");
    return true;
}

static uint32_t release(struct wasm_service *s, const char *name)
{
    uint32_t count = 0;
    struct list *node, *tmp;
    list_for_each(node, tmp, &s->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        bool named = name == NULL;
        for (uint32_t i = 0; !named && i < g->plugins_count; i++)
            named = g->plugins[i] && strcmp(g->plugins[i]->name, name) == 0;
        count += named && release_group(g);
    }
    return count;
}

bool wasm_service_repolicy(struct wasm_service *service, wasm_decide_fn decide, void *ctx, uint32_t *later)
{
    struct decision d = {decide, ctx};
    *later = 0;
    if (!each_plugin(service, decide_one, &d)) {
        each_plugin(service, drop_next, NULL);
        return false;
    }
    pthread_mutex_lock(&service->policy_lock);
    each_plugin(service, take_next, later);
    pthread_mutex_unlock(&service->policy_lock);
    release(service, NULL);
    tell_workers(service, take_policies);
    tell_workers(service, released);
    return true;
}

uint32_t wasm_service_release(struct wasm_service *service, const char *name)
{
    uint32_t count = release(service, name);
    if (count > 0)
        tell_workers(service, released);
    return count;
}

void wasm_service_set_memory_max(struct wasm_service *service, uint64_t bytes)
{
    pw_host_set_memory_max(service->host, bytes);
}

void wasm_service_memory(struct wasm_service *service, uint64_t *bytes, uint64_t *max_bytes)
{
    struct pw_host_stats stats;
    pw_host_stats(service->host, &stats);
    *bytes = stats.memory_bytes;
    *max_bytes = stats.memory_max_bytes;
}
