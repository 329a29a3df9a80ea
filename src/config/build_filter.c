/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of HTTP filters: those of a connection manager and of its upgrades, and those towards upstreams.
 */
#include "config/builder.h"

#include "proxy/router.h"
#include "proxy/upstream_filters.h"

#include <envoy/extensions/filters/http/health_check/v3/health_check.pb-c.h>
#include <envoy/extensions/filters/http/router/v3/router.pb-c.h>
#include <envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.pb-c.h>
#include <stdlib.h>

#define ROUTER_TYPE "envoy.extensions.filters.http.router.v3.Router"

#define CODEC_TYPE "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"

#define IS(msg, type) ((msg)->descriptor == &envoy__extensions__filters__http__##type##__descriptor)

static void router_destroy(void *config)
{
    struct router_config *router = config;
    filter_list_fini(&router->upstream_filters);
    free(router);
}

static bool router_filter(struct builder *b, const Envoy__Extensions__Filters__Http__Router__V3__Router *in,
                          const http_filter_message *owner, const struct builder_chain *at,
                          struct filter_config *out)
{
    struct router_config *config = calloc(1, sizeof *config);
    if (!config) {
        builder_error(b, owner, NULL, "out of memory");
        return false;
    }
    config->suppress_envoy_headers = in->suppress_envoy_headers;
    config->respect_expected_rq_timeout = in->respect_expected_rq_timeout;
    const struct builder_chain upstream = {.arena = at->arena, .upstream = true};
    builder_filters(b, &upstream, in->upstream_http_filters, in->n_upstream_http_filters,
                    &config->upstream_filters);
    out->ops = &router_filter_ops;
    out->config = config;
    out->destroy = router_destroy;
    return true;
}

const ProtobufCMessage *builder_filter_message(const struct builder *b, struct slice name)
{
    for (size_t i = 0; i < b->http_filters_count; i++) {
        if (slice_eq(slice_str(b->http_filters[i]->name), name))
            return config_any_message(b->doc, b->http_filters[i]->typed_config);
    }
    return NULL;
}

bool builder_filter_is(const struct builder *b, struct slice name, bool (*is)(const ProtobufCMessage *config))
{
    const ProtobufCMessage *inside = builder_filter_message(b, name);
    return !inside || is(inside);
}

/* The last one of a chain: it sends on what has passed the others. */
static bool ends_chain(const ProtobufCMessage *inside)
{
    return IS(inside, router__v3__router) || IS(inside, upstream_codec__v3__upstream_codec);
}

/* Whether the filter may stand in this chain. */
static bool fits(const ProtobufCMessage *inside, bool upstream)
{
    if (upstream)
        return IS(inside, upstream_codec__v3__upstream_codec) || IS(inside, wasm__v3__wasm) ||
               builder_is_mutation(inside);
    return !IS(inside, upstream_codec__v3__upstream_codec);
}

/* false when nothing was made: after an error, or because no plugins are loaded in this build. */
static bool one_filter(struct builder *b, const http_filter_message *in, const ProtobufCMessage *inside,
                       const struct builder_chain *at, struct filter_config *out)
{
    struct slice name = builder_text(b, at->arena, in->name);
    bool made;
    if (IS(inside, router__v3__router)) {
        made = router_filter(b, (const Envoy__Extensions__Filters__Http__Router__V3__Router *)inside, in, at,
                             out);
    } else if (IS(inside, upstream_codec__v3__upstream_codec)) {
        out->ops = &upstream_codec_filter_ops;
        made = true;
    } else if (IS(inside, health_check__v3__health_check)) {
        made = builder_health_filter(
            b, (const Envoy__Extensions__Filters__Http__HealthCheck__V3__HealthCheck *)inside,
            at->stat_prefix, out);
    } else if (builder_is_cors(inside)) {
        made = builder_cors_filter(b, at->stat_prefix, inside, out);
    } else if (builder_is_fault(inside)) {
        made = builder_fault_filter(b, at->stat_prefix, inside, out);
    } else if (builder_is_rbac(inside)) {
        made = builder_rbac_filter(b, at->stat_prefix, inside, out);
    } else if (builder_is_local_limit(inside)) {
        made = builder_local_limit_filter(b, inside, out);
    } else if (builder_is_mutation(inside)) {
        made = builder_mutation_filter(b, inside, out);
    } else if (builder_is_session(inside)) {
        made = builder_session_filter(b, at->stat_prefix, inside, out);
    } else if (builder_is_dynamic_filter(inside)) {
        made = builder_dynamic_filter(b, inside, out);
    } else {
        made = builder_wasm_filter(b, (const Envoy__Extensions__Filters__Http__Wasm__V3__Wasm *)inside, name,
                                   out);
    }
    if (!made)
        return false;
    out->name = name;
    out->disabled = in->disabled;
    return true;
}

void builder_filters(struct builder *b, const struct builder_chain *at, http_filter_message *const *in,
                     size_t count, struct filter_list *out)
{
    out->items = builder_array(b, at->arena, count, sizeof *out->items);
    for (size_t i = 0; out->items && i < count; i++) {
        const http_filter_message *f = in[i];
        const ProtobufCMessage *inside = builder_typed(b, f, "which filter this is");
        bool last = i + 1 == count;
        if (!inside)
            continue; /* of a type that was reported already */
        if (!fits(inside, at->upstream)) {
            builder_error(
                b, f, NULL,
                at->upstream
                    ? "is no filter for what goes to an upstream; Wasm filters and header_mutation are"
                    : "is the end of upstream filters; this chain ends in " ROUTER_TYPE);
            continue;
        }
        if (last && (!ends_chain(inside) || f->disabled))
            builder_error(b, f, NULL, "the last filter must be an enabled %s",
                          at->upstream ? CODEC_TYPE : ROUTER_TYPE);
        if (!last && ends_chain(inside))
            builder_error(b, f, NULL, "%s ends the chain; move it behind the other filters",
                          at->upstream ? "the codec" : "the router");
        if (one_filter(b, f, inside, at, &out->items[out->count]))
            out->count++;
    }
}
