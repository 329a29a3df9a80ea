/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups and the making of their instances.
 */
#include "filters/wasm/wasm_group.h"

#include "base/assert.h"
#include "filters/wasm/wasm_service_impl.h"
#include "filters/wasm/wasm_vm.h"
#include "telemetry/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct pw_slice dup_pw(struct arena *a, struct pw_slice s)
{
    struct slice copy = arena_dup(a, slice_of(s.ptr, s.len));
    return (struct pw_slice){copy.ptr, copy.len};
}

static struct pw_slice to_pw(struct slice s)
{
    return (struct pw_slice){s.ptr, s.len};
}

/* Copies all that a VM needs for its life. false when memory is out or the cap is passed. */
static bool copy_vm_config(struct wasm_group *g, const struct wasm_spec *spec)
{
    struct arena *a = &g->arena;
    struct pw_pair *environment = ARENA_NEW_N(a, struct pw_pair, spec->environment_count);
    struct pw_slice *capabilities = ARENA_NEW_N(a, struct pw_slice, spec->capabilities_count);
    bool ok = environment && capabilities;
    for (size_t i = 0; ok && i < spec->environment_count; i++) {
        environment[i].name = dup_pw(a, spec->environment[i].name);
        environment[i].value = dup_pw(a, spec->environment[i].value);
        ok = environment[i].name.ptr && environment[i].value.ptr;
    }
    for (size_t i = 0; ok && i < spec->capabilities_count; i++) {
        capabilities[i] = dup_pw(a, spec->capabilities[i]);
        ok = capabilities[i].ptr != NULL;
    }
    g->vm_config = (struct pw_vm_config){
        .size = sizeof(g->vm_config),
        .vm_id = dup_pw(a, to_pw(spec->vm_id)),
        .configuration = dup_pw(a, to_pw(spec->vm_configuration)),
        .environment = environment,
        .environment_count = spec->environment_count,
        .capabilities = capabilities,
        .capabilities_count = spec->capabilities_count,
    };
    g->runtime = arena_dup(a, spec->runtime.len ? spec->runtime : SLICE_LIT("envoy.wasm.runtime.v8"));
    return ok && g->vm_config.vm_id.ptr && g->vm_config.configuration.ptr && g->runtime.ptr;
}

/*
 * What must be equal for two plugins to share a VM: Envoy's vm_id, VM configuration and code, and beyond
 * Envoy everything else that the VM is made with (environment, capabilities, limits), so that sharing never
 * loosens a limit.
 */
static struct slice sharing_key(struct arena *a, const struct wasm_spec *spec, const struct pw_module *module)
{
    struct strbuf key;
    strbuf_init(&key, WASM_SPEC_BYTES_MAX);
    strbuf_printf(&key, "%s %zu:", pw_module_info(module)->sha256, spec->vm_id.len);
    strbuf_append(&key, spec->vm_id);
    strbuf_printf(&key, " %zu:", spec->vm_configuration.len);
    strbuf_append(&key, spec->vm_configuration);
    for (size_t i = 0; i < spec->environment_count; i++) {
        const struct pw_pair *e = &spec->environment[i];
        strbuf_printf(&key, " e%zu:", e->name.len);
        strbuf_append(&key, slice_of(e->name.ptr, e->name.len));
        strbuf_printf(&key, "=%zu:", e->value.len);
        strbuf_append(&key, slice_of(e->value.ptr, e->value.len));
    }
    for (size_t i = 0; i < spec->capabilities_count; i++) {
        strbuf_printf(&key, " c%zu:", spec->capabilities[i].len);
        strbuf_append(&key, slice_of(spec->capabilities[i].ptr, spec->capabilities[i].len));
    }
    strbuf_append_str(&key, " l");
    const struct pw_limits *limits = spec->policy ? &spec->policy->limits : &(struct pw_limits){0};
#define KEY_X(type, field, value, what) strbuf_printf(&key, ",%" PRIu64, (uint64_t)limits->field);
    PW_LIMITS(KEY_X)
#undef KEY_X
    strbuf_printf(&key, "%s t%d r", spec->singleton ? " s" : "",
                  spec->policy && spec->policy->time_check_off);
    strbuf_append(&key, spec->runtime);
    struct slice copy = key.failed ? SLICE_EMPTY : arena_dup(a, strbuf_slice(&key));
    strbuf_fini(&key);
    return copy;
}

static struct wasm_group *find_shared(struct wasm_service *service, struct slice key)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        if (g->key.len && slice_eq(g->key, key) && !g->vms && g->plugins_count < WASM_GROUP_PLUGINS_MAX)
            return g;
    }
    return NULL;
}

static void group_destroy(struct wasm_group *g)
{
    for (uint32_t i = 0; g->vms && i <= g->service->workers; i++)
        wasm_vm_destroy(&g->vms[i]);
    free(g->vms);
    list_remove(&g->node);
    pw_snapshot_unref(&g->snapshot);
    pw_module_unref(&g->module);
    wasm_quarantine_fini(&g->quarantine);
    arena_fini(&g->arena);
    free(g);
}

struct wasm_group *wasm_group_for(struct wasm_service *service, const struct wasm_spec *spec, bool is_null,
                                  struct pw_module *module, struct pw_message *why)
{
    struct wasm_group *g = calloc(1, sizeof(*g));
    bool ok = g != NULL;
    if (ok) {
        list_init(&g->node);
        g->service = service;
        arena_init(&g->arena, WASM_SPEC_BYTES_MAX, NULL);
        ok = copy_vm_config(g, spec);
    }
    if (ok && spec->sharing == WASM_SHARE_VM_KEY && !is_null) {
        g->key = sharing_key(&g->arena, spec, module);
        ok = g->key.len > 0;
    }
    struct wasm_group *shared = ok && g->key.len ? find_shared(service, g->key) : NULL;
    if (!ok || shared) {
        if (!ok)
            snprintf(why->text, sizeof(why->text), "out of memory, or configuration over %u bytes",
                     WASM_SPEC_BYTES_MAX);
        if (g) {
            arena_fini(&g->arena);
            free(g);
        }
        return shared;
    }
    wasm_quarantine_init(&g->quarantine);
    g->module = pw_module_ref(module);
    g->is_null = is_null;
    g->singleton = spec->singleton;
    g->engine = wasm_plugin_engine(spec->policy, is_null);
    g->stream = spec->sharing == WASM_SHARE_STREAM;
    g->created = stat_counter("wasm.%.*s.created", SLICE_ARG(g->runtime));
    g->active = stat_gauge("wasm.%.*s.active", SLICE_ARG(g->runtime));
    list_push_back(&service->groups, &g->node);
    return g;
}

void wasm_group_leave(struct wasm_group *group, struct wasm_plugin *plugin)
{
    WEIR_ASSERT(plugin->index_in_group < group->plugins_count);
    WEIR_ASSERT(group->plugins[plugin->index_in_group] == plugin);
    group->plugins[plugin->index_in_group] = NULL;
    for (uint32_t i = 0; i < group->plugins_count; i++) {
        if (group->plugins[i])
            return;
    }
    group_destroy(group);
}

void wasm_group_limits(struct wasm_group *group, struct pw_limits *out)
{
    bool first = true;
    pthread_mutex_lock(&group->service->policy_lock);
    for (uint32_t i = 0; i < group->plugins_count; i++) {
        const struct wasm_plugin *plugin = group->plugins[i];
        if (!plugin)
            continue;
        if (first)
            *out = plugin->policy->limits;
        else
            pw_limits_tighten(out, &plugin->policy->limits);
        first = false;
    }
    pthread_mutex_unlock(&group->service->policy_lock);
    WEIR_ASSERT(!first);
}

int wasm_instance_create(struct wasm_group *group, struct wasm_instance *out, struct pw_message *why)
{
    struct pw_message inner = {0};
    *out = (struct wasm_instance){0};
    const char *name = group->plugins[0] ? group->plugins[0]->name : "";
    struct pw_vm_config config = group->vm_config;
    wasm_group_limits(group, &config.limits);
    int error = pw_vm_create(group->module, &config, &out->vm, &inner);
    for (uint32_t i = 0; error == PW_OK && i < group->plugins_count; i++) {
        struct wasm_plugin *plugin = group->plugins[i];
        if (!plugin)
            continue;
        name = plugin->name;
        error = pw_root_create(out->vm, plugin->pw, &out->roots[i], &inner);
    }
    if (error == PW_OK) {
        stat_inc(group->created);
        stat_inc(group->active);
        return PW_OK;
    }
    snprintf(why->text, sizeof(why->text), "plugin \"%s\": %s%s%.1800s", name, pw_error_str(error),
             inner.text[0] ? ": " : "", inner.text);
    if (out->vm)
        pw_vm_destroy(&out->vm);
    *out = (struct wasm_instance){0};
    return error;
}

void wasm_instance_destroy(struct wasm_instance *instance)
{
    if (instance->vm)
        pw_vm_destroy(&instance->vm);
    *instance = (struct wasm_instance){0};
}
