/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making plugin resources: runtime name to engine, module, group. Main thread or a loader, never a serving
 * thread.
 */
#include "filters/wasm/wasm_plugin.h"

#include "base/assert.h"
#include "base/refs.h"
#include "filters/wasm/wasm_attributes.h"
#include "filters/wasm/wasm_group.h"
#include "filters/wasm/wasm_service_impl.h"
#include "telemetry/log.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNTIME_PREFIX "envoy.wasm.runtime."

bool wasm_runtime_known(struct slice runtime, bool *is_null)
{
    /* Envoy's engines all mean the sandbox here; a file that names one stays portable. */
    static const char *const sandboxes[] = {RUNTIME_PREFIX "v8", RUNTIME_PREFIX "wasmtime",
                                            RUNTIME_PREFIX "wamr", ""};
    *is_null = slice_eq(runtime, SLICE_LIT(RUNTIME_PREFIX "null"));
    for (size_t i = 0; !*is_null && i < WEIR_ARRAY_LEN(sandboxes); i++) {
        if (slice_eq(runtime, slice_str(sandboxes[i])))
            return true;
    }
    return *is_null;
}

static void register_stats(struct wasm_plugin_stats *stats, const char *name)
{
    stats->vm_reload = stat_counter("wasm.%s.vm_reload", name);
    stats->vm_reload_backoff = stat_counter("wasm.%s.vm_reload_backoff", name);
    stats->vm_reload_success = stat_counter("wasm.%s.vm_reload_success", name);
    stats->stream_vm_exhausted = stat_counter("wasm.%s.stream_vm_exhausted", name);
    stats->vm_reload_failure = stat_counter("wasm.%s.vm_reload_failure", name);
}

struct wasm_policy *wasm_plugin_policy(struct wasm_plugin *plugin)
{
    pthread_mutex_lock(&plugin->service->policy_lock);
    struct wasm_policy *policy = wasm_policy_ref(plugin->policy);
    pthread_mutex_unlock(&plugin->service->policy_lock);
    return policy;
}

/* Properties outside of streams: from start and configure on, on whatever thread the VM is. */
static enum pw_status root_property(void *ctx, struct pw_slice path, struct pw_value *out)
{
    const struct wasm_scope scope = {.plugin = ctx};
    struct wasm_policy *policy = wasm_plugin_policy(ctx);
    bool hidden = wasm_policy_hides_property(policy, slice_of(path.ptr, path.len));
    wasm_policy_unref(&policy);
    if (hidden)
        return PW_STATUS_NOT_FOUND;
    return wasm_attribute_get(&scope, slice_of(path.ptr, path.len), out);
}

/* Bytes of node and listener metadata that a plugin shows. */
#define SHOWN_BYTES_MAX ((size_t)16 << 20)

static bool keep_shown(struct wasm_plugin *p, const struct wasm_spec *spec)
{
    p->direction = spec->direction;
    p->node = typed_value_dup(&p->shown, spec->node);
    p->listener_metadata = typed_value_dup(&p->shown, spec->listener_metadata);
    return (p->node || !spec->node) && (p->listener_metadata || !spec->listener_metadata);
}

static int create_pw_plugin(struct wasm_plugin *plugin, const struct wasm_spec *spec, struct pw_plugin **out)
{
    struct pw_plugin_config config = {
        .size = sizeof(config),
        .name = {spec->name.ptr, spec->name.len},
        .root_id = {spec->root_id.ptr, spec->root_id.len},
        .configuration = {spec->configuration.ptr, spec->configuration.len},
        .allow_on_headers_stop_iteration = spec->allow_on_headers_stop_iteration,
        .key = {spec->listener_direction.ptr, spec->listener_direction.len},
        .property_get = root_property,
        .property_ctx = plugin,
    };
    return pw_plugin_create(&config, out);
}

static void join_group(struct wasm_plugin *plugin, struct wasm_group *group, const struct wasm_spec *spec)
{
    WEIR_ASSERT(group->plugins_count < WASM_GROUP_PLUGINS_MAX);
    plugin->group = group;
    plugin->index_in_group = group->plugins_count;
    group->plugins[group->plugins_count++] = plugin;
    if (spec->failure_policy == WASM_FAIL_RELOAD) {
        uint64_t backoff = spec->reload_backoff_ms ? spec->reload_backoff_ms : 1000;
        group->reload = true;
        if (backoff > group->reload_backoff_ms)
            group->reload_backoff_ms = backoff;
    }
}

static void plugin_free(struct wasm_plugin *p)
{
    if (p->pw)
        pw_plugin_unref(&p->pw);
    arena_fini(&p->shown);
    free(p->name);
    free(p->root_id);
    free(p->listener);
    wasm_policy_unref(&p->policy);
    wasm_plugin_unref(&p->chain);
    free(p);
}

struct wasm_plugin *wasm_plugin_create(struct wasm_service *service, const struct wasm_spec *spec,
                                       struct pw_message *why)
{
    bool is_null;
    struct pw_message inner = {0};
    struct pw_module *module = NULL;
    if (!wasm_runtime_known(spec->runtime, &is_null)) {
        snprintf(why->text, sizeof(why->text),
                 "unknown runtime \"%.*s\": use envoy.wasm.runtime.v8, .wasmtime, .wamr (all mean the "
                 "sandbox) or .null",
                 SLICE_ARG(spec->runtime));
        return NULL;
    }
    struct wasm_plugin *p = calloc(1, sizeof(*p));
    bool ok = p && (p->name = slice_strdup(spec->name)) && (p->root_id = slice_strdup(spec->root_id)) &&
              (p->listener = slice_strdup(spec->listener));
    if (p)
        arena_init(&p->shown, SHOWN_BYTES_MAX, NULL);
    if (ok) {
        p->policy = spec->policy ? wasm_policy_ref(spec->policy) : wasm_policy_create(SLICE_EMPTY);
        ok = p->policy != NULL;
    }
    ok = ok && keep_shown(p, spec);
    int error = ok ? create_pw_plugin(p, spec, &p->pw) : PW_ERR_NOMEM;
    if (error == PW_OK)
        error = spec->sharing == WASM_SHARE_STREAM
                    ? wasm_service_model(service, is_null, spec->name, spec->code, &module, &inner)
                    : wasm_service_module(service, wasm_plugin_engine(spec->policy, is_null), spec->name,
                                          spec->code, &module, &inner);
    struct wasm_group *group = error == PW_OK ? wasm_group_for(service, spec, is_null, module, &inner) : NULL;
    if (module)
        pw_module_unref(&module);
    if (!group) {
        snprintf(why->text, sizeof(why->text), "plugin \"%.*s\", code from %.*s: %s%s%.1500s",
                 SLICE_ARG(spec->name), SLICE_ARG(spec->code_origin), error ? pw_error_str(error) : "",
                 error && inner.text[0] ? ": " : "", inner.text);
        if (p)
            plugin_free(p);
        return NULL;
    }
    atomic_init(&p->refs, 1);
    p->service = service;
    p->failure_policy = spec->failure_policy;
    p->allow_on_headers_stop_iteration = spec->allow_on_headers_stop_iteration;
    register_stats(&p->stats, p->name);
    join_group(p, group, spec);
    return p;
}

static struct wasm_plugin *find_for_route(const struct wasm_plugin *chain, const struct wasm_spec *spec)
{
    for (uint32_t i = 0; i < chain->group->plugins_count; i++) {
        struct wasm_plugin *p = chain->group->plugins[i];
        if (p && p->chain == chain && slice_eq(slice_str(p->name), spec->name) &&
            slice_eq(slice_str(p->root_id), spec->root_id) && slice_eq(p->configuration, spec->configuration))
            return p;
    }
    return NULL;
}

struct wasm_plugin *wasm_plugin_create_for_route(struct wasm_plugin *chain, const struct wasm_spec *spec,
                                                 struct pw_message *why)
{
    WEIR_ASSERT(!chain->group->vms && !chain->chain);
    struct wasm_plugin *p = find_for_route(chain, spec);
    if (p)
        return wasm_plugin_ref(p);
    if (chain->group->plugins_count == WASM_GROUP_PLUGINS_MAX) {
        snprintf(why->text, sizeof(why->text),
                 "more than %u plugins in one VM; let routes share configurations", WASM_GROUP_PLUGINS_MAX);
        return NULL;
    }
    struct wasm_spec whole = *spec;
    whole.node = chain->node;
    whole.listener_metadata = chain->listener_metadata;
    whole.direction = chain->direction;
    whole.failure_policy = chain->failure_policy;
    whole.allow_on_headers_stop_iteration = chain->allow_on_headers_stop_iteration;
    p = calloc(1, sizeof(*p));
    bool ok = p && (p->name = slice_strdup(spec->name)) && (p->root_id = slice_strdup(spec->root_id)) &&
              (p->listener = slice_strdup(slice_str(chain->listener)));
    if (p)
        arena_init(&p->shown, SHOWN_BYTES_MAX, NULL);
    if (ok) {
        p->policy = wasm_plugin_policy(chain);
        p->configuration = arena_dup(&p->shown, spec->configuration);
        ok = p->configuration.ptr && keep_shown(p, &whole) && create_pw_plugin(p, &whole, &p->pw) == PW_OK;
    }
    if (!ok) {
        snprintf(why->text, sizeof(why->text),
                 "plugin \"%.*s\": out of memory, or configuration over %zu bytes", SLICE_ARG(spec->name),
                 SHOWN_BYTES_MAX);
        if (p)
            plugin_free(p);
        return NULL;
    }
    atomic_init(&p->refs, 1);
    p->service = chain->service;
    p->chain = wasm_plugin_ref(chain);
    p->failure_policy = chain->failure_policy;
    p->allow_on_headers_stop_iteration = chain->allow_on_headers_stop_iteration;
    chain->routes_have_own = true;
    register_stats(&p->stats, p->name);
    join_group(p, chain->group, &whole);
    return p;
}

struct wasm_plugin *wasm_plugin_ref(struct wasm_plugin *plugin)
{
    refs_take(&plugin->refs);
    return plugin;
}

void wasm_plugin_unref(struct wasm_plugin **plugin)
{
    struct wasm_plugin *dead = *plugin;
    *plugin = NULL;
    if (!dead)
        return;
    if (!refs_drop(&dead->refs))
        return;
    wasm_group_leave(dead->group, dead);
    plugin_free(dead);
}
