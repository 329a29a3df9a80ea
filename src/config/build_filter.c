/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of HTTP filters: those of a connection manager and of its upgrades.
 */
#include "config/builder.h"

#include "proxy/router.h"

#include <envoy/extensions/filters/http/health_check/v3/health_check.pb-c.h>
#include <envoy/extensions/filters/http/router/v3/router.pb-c.h>
#include <stdlib.h>

#define ROUTER_TYPE "envoy.extensions.filters.http.router.v3.Router"

static void free_config(void *config)
{
    free(config);
}

static bool router_filter(struct builder *b, const Envoy__Extensions__Filters__Http__Router__V3__Router *in,
                          const http_filter_message *owner, struct filter_config *out)
{
    struct router_config *config = calloc(1, sizeof *config);
    if (!config) {
        builder_error(b, owner, NULL, "out of memory");
        return false;
    }
    config->suppress_envoy_headers = in->suppress_envoy_headers;
    config->respect_expected_rq_timeout = in->respect_expected_rq_timeout;
    out->ops = &router_filter_ops;
    out->config = config;
    out->destroy = free_config;
    return true;
}

bool builder_filter_is(const struct builder *b, struct slice name, bool (*is)(const ProtobufCMessage *config))
{
    for (size_t i = 0; i < b->http_filters_count; i++) {
        if (!slice_eq(slice_str(b->http_filters[i]->name), name))
            continue;
        const ProtobufCMessage *inside = config_any_message(b->doc, b->http_filters[i]->typed_config);
        return !inside || is(inside);
    }
    return true; /* reported with all names that no filter has */
}

/* false when nothing was made: after an error, or because no plugins are loaded in this build. */
static bool one_filter(struct builder *b, const http_filter_message *in, const ProtobufCMessage *inside,
                       struct arena *arena, struct slice stat_prefix, struct filter_config *out)
{
    struct slice name = builder_text(b, arena, in->name);
    bool made;
    if (inside->descriptor == &envoy__extensions__filters__http__router__v3__router__descriptor)
        made =
            router_filter(b, (const Envoy__Extensions__Filters__Http__Router__V3__Router *)inside, in, out);
    else if (inside->descriptor ==
             &envoy__extensions__filters__http__health_check__v3__health_check__descriptor)
        made = builder_health_filter(
            b, (const Envoy__Extensions__Filters__Http__HealthCheck__V3__HealthCheck *)inside, stat_prefix,
            out);
    else if (builder_is_cors(inside))
        made = builder_cors_filter(b, stat_prefix, inside, out);
    else if (builder_is_session(inside))
        made = builder_session_filter(b, stat_prefix, inside, out);
    else if (builder_is_dynamic_filter(inside))
        made = builder_dynamic_filter(b, inside, out);
    else
        made = builder_wasm_filter(b, (const Envoy__Extensions__Filters__Http__Wasm__V3__Wasm *)inside, name,
                                   out);
    if (!made)
        return false;
    out->name = name;
    out->disabled = in->disabled;
    return true;
}

static bool is_router(const ProtobufCMessage *inside)
{
    return inside->descriptor == &envoy__extensions__filters__http__router__v3__router__descriptor;
}

void builder_filters(struct builder *b, struct arena *arena, struct slice stat_prefix,
                     http_filter_message *const *in, size_t count, struct filter_list *out)
{
    out->items = builder_array(b, arena, count, sizeof *out->items);
    for (size_t i = 0; out->items && i < count; i++) {
        const http_filter_message *f = in[i];
        const ProtobufCMessage *inside = builder_typed(b, f, "which filter this is");
        bool last = i + 1 == count;
        if (!inside)
            continue; /* of a type that was reported already */
        if (last && (!is_router(inside) || f->disabled))
            builder_error(b, f, NULL, "the last filter must be an enabled " ROUTER_TYPE);
        if (!last && is_router(inside))
            builder_error(b, f, NULL, "the router ends the chain; move it behind the other filters");
        if (one_filter(b, f, inside, arena, stat_prefix, &out->items[out->count]))
            out->count++;
    }
}
