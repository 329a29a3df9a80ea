/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dynamic forward proxy: the cluster with its DNS cache, the filter in front of it, and what routes say to
 * that. The filter resolves by the cluster's cache; what it says of one must be the same.
 */
#include "config/builder.h"

#include "filters/dynamic_forward_proxy/dynamic_forward_proxy.h"

#include <envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.pb-c.h>
#include <envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.pb-c.h>

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;
typedef Envoy__Extensions__Clusters__DynamicForwardProxy__V3__ClusterConfig dynamic_message;
typedef Envoy__Extensions__Common__DynamicForwardProxy__V3__DnsCacheConfig cache_message;
typedef Envoy__Extensions__Filters__Http__DynamicForwardProxy__V3__FilterConfig filter_message;
typedef Envoy__Extensions__Filters__Http__DynamicForwardProxy__V3__PerRouteConfig route_message;

bool builder_is_dynamic(const ProtobufCMessage *msg)
{
    return msg->descriptor ==
           &envoy__extensions__clusters__dynamic_forward_proxy__v3__cluster_config__descriptor;
}

/* --- caches of one name --- */

static bool same(struct builder *b, const cache_message *x, const cache_message *y)
{
    struct arena_mark mark = arena_mark(&b->scratch);
    size_t n = protobuf_c_message_get_packed_size(&x->base);
    uint8_t *bytes =
        n == protobuf_c_message_get_packed_size(&y->base) ? arena_alloc(&b->scratch, 2 * n + 1) : NULL;
    bool equal = bytes && protobuf_c_message_pack(&x->base, bytes) == n &&
                 protobuf_c_message_pack(&y->base, bytes + n) == n && memcmp(bytes, bytes + n, n) == 0;
    arena_reset_to(&b->scratch, mark);
    return equal;
}

static const cache_message *cache_of(const struct builder *b, const cluster_message *c)
{
    const ProtobufCMessage *msg =
        c->cluster_discovery_type_case ==
                    ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE &&
                c->cluster_type->typed_config
            ? config_any_message(b->doc, c->cluster_type->typed_config)
            : NULL;
    return msg && builder_is_dynamic(msg) ? ((const dynamic_message *)msg)->dns_cache_config : NULL;
}

/* As Envoy, in which they are one cache. */
static void check_cache(struct builder *b, const cache_message *in)
{
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&b->clusters, &cursor)) != NULL;) {
        const cache_message *other = cache_of(b, e->value);
        if (other && strcmp(other->name, in->name) == 0 && !same(b, in, other)) {
            builder_error(b, in, NULL,
                          "the DNS cache \"%s\" has other settings in the cluster \"%.*s\"; write the same",
                          in->name, SLICE_ARG(map_entry_key(e)));
            return;
        }
    }
}

/* --- the cluster --- */

static void first_names(struct builder *b, const cache_message *in, struct cluster_config *c)
{
    size_t count = in->n_preresolve_hostnames;
    struct dynamic_key *first = builder_array(b, &c->arena, count, sizeof *first);
    if (count > c->dns_cache.hosts_max)
        builder_error(b, in, "preresolve_hostnames", "are %zu, more than max_hosts (%u)", count,
                      c->dns_cache.hosts_max);
    for (size_t i = 0; first && i < count; i++) {
        const Envoy__Config__Core__V3__SocketAddress *a = in->preresolve_hostnames[i];
        bool six = strchr(a->address, ':') != NULL;
        char text[DYNAMIC_NAME_BYTES_MAX + 3];
        int n = snprintf(text, sizeof(text), "%s%s%s:%u", six ? "[" : "", a->address, six ? "]" : "",
                         a->port_value);
        if (n >= (int)sizeof(text) || !dynamic_key_parse(slice_str(text), 0, &first[i]))
            builder_error(b, a, NULL, "names no host with a port");
    }
    c->dns_cache.first = first;
    c->dns_cache.first_count = first ? (uint32_t)count : 0;
}

static void cache(struct builder *b, const cache_message *in, struct cluster_config *c)
{
    struct dns_cache_config *out = &c->dns_cache;
    check_cache(b, in);
    out->name = builder_text(b, &c->arena, in->name);
    out->family = (enum dns_family)in->dns_lookup_family;
    out->refresh_ms = builder_ms(in->dns_refresh_rate, out->refresh_ms);
    out->refresh_min_ms = builder_ms(in->dns_min_refresh_rate, out->refresh_min_ms);
    out->host_ttl_ms = builder_ms(in->host_ttl, out->host_ttl_ms);
    out->query_timeout_ms = builder_ms(in->dns_query_timeout, out->query_timeout_ms);
    out->hosts_max = builder_u32(in->max_hosts, out->hosts_max);
    out->forget_failures = in->disable_dns_refresh_on_failure;
    if (in->dns_cache_circuit_breaker)
        out->pending_max = builder_u32(in->dns_cache_circuit_breaker->max_pending_requests, out->pending_max);
    if (in->dns_failure_refresh_rate) {
        out->failure_base_ms = builder_ms(in->dns_failure_refresh_rate->base_interval, 0);
        out->failure_max_ms = builder_ms(in->dns_failure_refresh_rate->max_interval, 0);
    }
    builder_resolver(b, &c->arena, in->typed_dns_resolver_config, in->dns_resolution_config,
                     in->use_tcp_for_dns_lookups, &c->dns);
    first_names(b, in, c);
}

void builder_dynamic(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const dynamic_message *in = (const dynamic_message *)msg;
    c->type = CLUSTER_DYNAMIC;
    c->dns_cache.insecure = in->allow_insecure_cluster_options;
    /* Unless the cluster says otherwise. */
    c->auto_sni = c->auto_san_validation = true;
    if (in->dns_cache_config)
        cache(b, in->dns_cache_config, c);
    else
        builder_error(b, in, "dns_cache_config", "is required: it says how names are resolved");
}

void builder_dynamic_names(struct builder *b, const cluster_message *in, const struct cluster_config *c)
{
    if (!c->dns_cache.insecure && !(c->auto_sni && c->auto_san_validation))
        builder_error(
            b, in, NULL,
            "a dynamic_forward_proxy cluster must have auto_sni and auto_san_validation true unless "
            "allow_insecure_cluster_options is set");
}

/* --- the filter --- */

bool builder_is_dynamic_filter(const ProtobufCMessage *config)
{
    return config->descriptor ==
           &envoy__extensions__filters__http__dynamic_forward_proxy__v3__filter_config__descriptor;
}

bool builder_dynamic_filter(struct builder *b, const ProtobufCMessage *msg, struct filter_config *out)
{
    const filter_message *in = (const filter_message *)msg;
    if (in->dns_cache_config)
        check_cache(b, in->dns_cache_config);
    else
        builder_error(b, in, "dns_cache_config", "is required: it says how names are resolved");
    out->ops = &dynamic_forward_proxy_ops;
    return true;
}

bool builder_dynamic_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                           struct filter_override *o)
{
    const route_message *in = (const route_message *)config;
    if (config->descriptor !=
        &envoy__extensions__filters__http__dynamic_forward_proxy__v3__per_route_config__descriptor)
        return false;
    struct dynamic_forward_route *r = builder_array(b, arena, 1, sizeof *r);
    if (!r)
        return true;
    if (in->host_rewrite_specifier_case ==
        ENVOY__EXTENSIONS__FILTERS__HTTP__DYNAMIC_FORWARD_PROXY__V3__PER_ROUTE_CONFIG__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL)
        r->literal = builder_text(b, arena, in->host_rewrite_literal);
    else if (
        in->host_rewrite_specifier_case ==
        ENVOY__EXTENSIONS__FILTERS__HTTP__DYNAMIC_FORWARD_PROXY__V3__PER_ROUTE_CONFIG__HOST_REWRITE_SPECIFIER_HOST_REWRITE_HEADER)
        r->header = builder_text(b, arena, in->host_rewrite_header);
    o->config = r;
    return true;
}
