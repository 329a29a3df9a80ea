/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes that come from the configuration: xds.* and the names that Envoy had for them before 1.33. The
 * node and the listener are known outside of streams too.
 */
#include "filters/wasm/wasm_attributes.h"
#include "proxy/routing/route_config.h"
#include "upstream/worker_cluster.h"

#define ATTRIBUTE(name) static enum wasm_found name(struct wasm_attribute *a)

/* Metadata of a thing that is there: one that has none gives an empty message. */
static enum wasm_found metadata_of(struct wasm_attribute *a, const struct typed_value *metadata)
{
    return wasm_found_tree(a, metadata ? metadata : &wasm_no_metadata);
}

/* Where the request goes by its route, before the router has chosen; Envoy knows it as early. */
static struct slice routed_cluster(const struct stream *s)
{
    if (!s || !s->route_matched || !s->route || s->route->kind != ROUTE_FORWARD)
        return SLICE_EMPTY;
    const struct route_action *action = &s->route->action;
    struct slice header = action->cluster_header;
    if (action->cluster_kind == ROUTE_CLUSTER_NAME)
        return action->cluster;
    if (s->weighted_cluster) { /* the pick, where the route leaves one */
        if (s->weighted_cluster->name.len)
            return s->weighted_cluster->name;
        header = s->weighted_cluster->cluster_header;
    }
    const struct header *h =
        header.len && s->request_headers ? header_map_find(s->request_headers, header) : NULL;
    return h ? h->value : SLICE_EMPTY;
}

struct slice wasm_scope_cluster_name(const struct wasm_scope *scope)
{
    if (!scope->info)
        return SLICE_EMPTY;
    return scope->info->cluster_name.len ? scope->info->cluster_name : routed_cluster(scope->stream);
}

struct worker_cluster *wasm_scope_cluster(const struct wasm_scope *scope)
{
    struct slice name = wasm_scope_cluster_name(scope);
    return name.len && scope->worker ? worker_cluster_find(scope->worker, name, slice_hash(name)) : NULL;
}

ATTRIBUTE(node)
{
    return wasm_found_tree(a, a->scope->plugin->node);
}
ATTRIBUTE(cluster_name)
{
    return wasm_found_text(a, wasm_scope_cluster_name(a->scope));
}
ATTRIBUTE(cluster_metadata)
{
    const struct worker_cluster *wc = wasm_scope_cluster(a->scope);
    return wc ? metadata_of(a, wc->cluster->config->metadata) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(listener_direction)
{
    return wasm_found_i64(a, (int64_t)a->scope->plugin->direction);
}
ATTRIBUTE(listener_metadata)
{
    return metadata_of(a, a->scope->plugin->listener_metadata);
}
ATTRIBUTE(filter_chain_name)
{
    struct slice name = a->scope->filter_chain_name;
    return a->scope->info ? wasm_found_slice(a, name.ptr ? name : SLICE_LIT("")) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(route_name)
{
    return a->scope->info ? wasm_found_slice(a, a->scope->info->route_name) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(route_metadata)
{
    const struct stream *s = a->scope->stream;
    return s && s->route ? metadata_of(a, s->route->metadata) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(virtual_host_name)
{
    return a->scope->info ? wasm_found_slice(a, a->scope->info->virtual_host_name) : WASM_FOUND_NOTHING;
}
ATTRIBUTE(virtual_host_metadata)
{
    const struct stream *s = a->scope->stream;
    return s && s->virtual_host ? metadata_of(a, s->virtual_host->metadata) : WASM_FOUND_NOTHING;
}

/* The host was noted only when it has something to show. */
ATTRIBUTE(upstream_host_metadata)
{
    const struct stream_info *info = a->scope->info;
    if (!info || info->upstream_remote.len == 0)
        return WASM_FOUND_NOTHING;
    return metadata_of(a, info->upstream_host ? info->upstream_host->shown->metadata : NULL);
}
ATTRIBUTE(upstream_host_locality_metadata)
{
    const struct stream_info *info = a->scope->info;
    if (!info || info->upstream_remote.len == 0)
        return WASM_FOUND_NOTHING;
    return metadata_of(a, info->upstream_host ? info->upstream_host->shown->locality_metadata : NULL);
}

const struct wasm_attribute_row wasm_xds_attributes[] = {
    WASM_ATTRIBUTE("node", node),
    WASM_ATTRIBUTE("cluster_name", cluster_name),
    WASM_ATTRIBUTE("cluster_metadata", cluster_metadata),
    WASM_ATTRIBUTE("listener_direction", listener_direction),
    WASM_ATTRIBUTE("listener_metadata", listener_metadata),
    WASM_ATTRIBUTE("filter_chain_name", filter_chain_name),
    WASM_ATTRIBUTE("route_name", route_name),
    WASM_ATTRIBUTE("route_metadata", route_metadata),
    WASM_ATTRIBUTE("virtual_host_name", virtual_host_name),
    WASM_ATTRIBUTE("virtual_host_metadata", virtual_host_metadata),
    WASM_ATTRIBUTE("upstream_host_metadata", upstream_host_metadata),
    WASM_ATTRIBUTE("upstream_host_locality_metadata", upstream_host_locality_metadata),
    {{0}, NULL},
};
