/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What typed_per_filter_config says to a Wasm filter: a PluginConfig of the route's own, which becomes one
 * more root context in the filter's VM. It never makes a VM, and never loosens what the filter's own entry or
 * the policy restricts.
 */
#include "config/builder.h"

#include "filters/wasm/wasm_plugin.h"

#include <stdlib.h>

typedef Envoy__Extensions__Filters__Http__Wasm__V3__Wasm wasm_message;
typedef Envoy__Extensions__Wasm__V3__VmConfig vm_message;

/* The PluginConfig in a route's entry; NULL after an error. */
static const plugin_message *route_plugin(struct builder *b, const ProtobufCMessage *config)
{
    if (config->descriptor == &envoy__extensions__wasm__v3__plugin_config__descriptor)
        return (const plugin_message *)config;
    if (config->descriptor == &envoy__extensions__filters__http__wasm__v3__wasm__descriptor) {
        const wasm_message *wasm = (const wasm_message *)config;
        if (!wasm->config)
            builder_error(b, wasm, "config", "is required; set it");
        return wasm->config;
    }
    config_error_at(b->doc, b->diag, config, NULL, -1,
                    "is a %s; a route configures a Wasm filter with envoy.extensions.wasm.v3.PluginConfig or "
                    "envoy.extensions.filters.http.wasm.v3.Wasm",
                    config->descriptor->name);
    return NULL;
}

/* The filter of that name as it stands in http_filters; NULL when there is none, or none that was understood.
 */
static const plugin_message *chain_plugin(struct builder *b, const ProtobufCMessage *config,
                                          struct slice name)
{
    for (size_t i = 0; i < b->http_filters_count; i++) {
        if (!slice_eq(slice_str(b->http_filters[i]->name), name))
            continue;
        const ProtobufCMessage *inside = config_any_message(b->doc, b->http_filters[i]->typed_config);
        if (!inside)
            return NULL;
        if (inside->descriptor == &envoy__extensions__filters__http__wasm__v3__wasm__descriptor)
            return ((const wasm_message *)inside)->config;
        config_error_at(b->doc, b->diag, config, NULL, -1,
                        "the filter \"%.*s\" takes no configuration of a route; only Wasm filters do",
                        SLICE_ARG(name));
        return NULL;
    }
    return NULL; /* reported with all names that no filter has */
}

static struct slice packed(struct builder *b, const vm_message *vm)
{
    size_t len = protobuf_c_message_get_packed_size(&vm->base);
    uint8_t *bytes = builder_array(b, &b->scratch, len ? len : 1, 1);
    return bytes ? slice_of(bytes, protobuf_c_message_pack(&vm->base, bytes)) : SLICE_EMPTY;
}

/* What belongs to the VM or to the filter as a whole cannot differ from route to route. */
static void check_inherited(struct builder *b, const plugin_message *in, const plugin_message *chain)
{
    if (in->vm_config && chain->vm_config && !slice_eq(packed(b, in->vm_config), packed(b, chain->vm_config)))
        builder_error(b, in, "vm_config",
                      "is not that of the filter, in whose VM the route's plugin runs; remove it");
    if (in->fail_open || in->failure_policy || in->reload_config)
        builder_error(b, in,
                      in->fail_open        ? "fail_open"
                      : in->failure_policy ? "failure_policy"
                                           : "reload_config",
                      "is the filter's, not a route's; remove it");
    if (in->capability_restriction_config)
        builder_error(b, in, "capability_restriction_config", "is the filter's, not a route's; remove it");
    if (in->allow_on_headers_stop_iteration &&
        in->allow_on_headers_stop_iteration->value !=
            builder_bool(chain->allow_on_headers_stop_iteration, false))
        builder_error(b, in, "allow_on_headers_stop_iteration", "is the filter's, not a route's; remove it");
}

static struct wasm_plugin *plugin_in(const struct filter_list *list, struct slice name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_eq(list->items[i].name, name))
            return wasm_filter_plugin(&list->items[i]);
    }
    return NULL;
}

static struct wasm_plugin *made_plugin(const struct builder *b, struct slice name)
{
    struct wasm_plugin *plugin = plugin_in(&b->hcm->filters, name);
    for (size_t i = 0; !plugin && i < b->hcm->upgrades_count; i++)
        plugin = plugin_in(&b->hcm->upgrades[i].filters, name);
    return plugin;
}

static void unref(void *config)
{
    struct wasm_plugin *plugin = config;
    wasm_plugin_unref(&plugin);
}

void builder_route_filter(struct builder *b, const ProtobufCMessage *config, struct filter_override *o)
{
    uint32_t before = b->diag->errors_total;
    const plugin_message *in = route_plugin(b, config);
    const plugin_message *chain = in && b->hcm ? chain_plugin(b, config, o->filter_name) : NULL;
    if (!chain)
        return;
    check_inherited(b, in, chain);
    struct wasm_plugin *base = b->hcm ? made_plugin(b, o->filter_name) : NULL;
    if (!base || b->diag->errors_total != before)
        return;
    struct arena_mark mark = arena_mark(&b->scratch);
    struct pw_message why = {0};
    const struct wasm_spec spec = {
        .name = slice_str(in->name[0] ? in->name : chain->name),
        .root_id = slice_str(in->root_id[0] ? in->root_id : chain->root_id),
        .configuration = builder_plugin_configuration(b, in),
    };
    struct wasm_plugin *plugin = wasm_plugin_create_for_route(base, &spec, &why);
    if (!plugin)
        builder_error(b, in, NULL, "%.1800s", why.text);
    o->config = plugin;
    o->destroy = unref;
    arena_reset_to(&b->scratch, mark);
}
