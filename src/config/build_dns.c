/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the hosts of a cluster are found: its type, by number or by extension, and how its names are resolved.
 * Cluster types that are not there are errors.
 */
#include "config/builder.h"

#include "base/assert.h"

#include <envoy/extensions/clusters/aggregate/v3/cluster.pb-c.h>
#include <envoy/extensions/clusters/dns/v3/dns_cluster.pb-c.h>
#include <envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb-c.h>

#define DNS_PORT 53u
/* Seconds that c-ares may wait for an answer; its type is an int of milliseconds. */
#define QUERY_TIMEOUT_SECONDS_MAX 3600u
#define QUERY_TRIES_MAX           100u

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;
typedef Envoy__Config__Core__V3__Address address_message;
typedef Envoy__Config__Core__V3__TypedExtensionConfig typed_message;
typedef Envoy__Config__Core__V3__DnsResolverOptions options_message;
typedef Envoy__Config__Core__V3__DnsResolutionConfig resolution_message;
typedef Envoy__Extensions__Network__DnsResolver__Cares__V3__CaresDnsResolverConfig cares_message;
typedef Envoy__Extensions__Clusters__Dns__V3__DnsCluster dns_message;

/* --- resolvers --- */

static void servers(struct builder *b, struct arena *arena, address_message *const *in, size_t count,
                    struct dns_options *out)
{
    struct address *list = builder_array(b, arena, count, sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        if (!builder_address(b, in[i], &list[i]))
            continue;
        if (list[i].sa.sa_family == AF_UNIX)
            builder_error(b, in[i], NULL, "is no address of a DNS server");
        else if (address_port(&list[i]) == 0)
            address_set_port(&list[i], DNS_PORT);
    }
    out->servers = list;
    out->servers_count = list ? count : 0;
}

static void resolver_options(const options_message *in, struct dns_options *out)
{
    if (!in)
        return;
    out->tcp = in->use_tcp_for_dns_lookups;
    out->no_search = in->no_default_search_domain;
}

static void cares(struct builder *b, struct arena *arena, const cares_message *in, struct dns_options *out)
{
    servers(b, arena, in->resolvers, in->n_resolvers, out);
    resolver_options(in->dns_resolver_options, out);
    out->rotate = in->rotate_nameservers;
    out->fallback = in->use_resolvers_as_fallback;
    out->routable = in->filter_unroutable_families;
    out->tries = builder_u32(in->query_tries, 0);
    if (out->tries > QUERY_TRIES_MAX)
        builder_error(b, in, "query_tries", "must be at most %u", QUERY_TRIES_MAX);
    if (!in->query_timeout_seconds)
        return;
    out->timeout_ms = in->query_timeout_seconds->value * 1000;
    if (in->query_timeout_seconds->value > QUERY_TIMEOUT_SECONDS_MAX)
        builder_error(b, in, "query_timeout_seconds", "must be at most %u", QUERY_TIMEOUT_SECONDS_MAX);
}

static void typed_resolver(struct builder *b, struct arena *arena, const typed_message *in,
                           struct dns_options *out)
{
    const ProtobufCMessage *msg = config_any_message(b->doc, in->typed_config);
    *out = (struct dns_options){0};
    if (msg &&
        msg->descriptor ==
            &envoy__extensions__network__dns_resolver__cares__v3__cares_dns_resolver_config__descriptor)
        cares(b, arena, (const cares_message *)msg, out);
    else if (msg)
        builder_error(b, in, "typed_config", "%s is no resolver; write CaresDnsResolverConfig",
                      msg->descriptor->name);
}

void builder_resolver(struct builder *b, struct arena *arena, const typed_message *typed,
                      const resolution_message *resolution, bool tcp, struct dns_options *out)
{
    if (typed) {
        typed_resolver(b, arena, typed, out);
    } else if (resolution) {
        *out = (struct dns_options){0};
        servers(b, arena, resolution->resolvers, resolution->n_resolvers, out);
        resolver_options(resolution->dns_resolver_options, out);
    } else if (tcp) {
        out->tcp = true;
    }
}

void builder_default_dns(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in)
{
    builder_resolver(b, &b->scratch, in->typed_dns_resolver_config, in->dns_resolution_config,
                     in->use_tcp_for_dns_lookups, &b->dns);
}

/* The bootstrap's resolver, copied: the cluster outlives the build. */
static void inherit(struct builder *b, struct cluster_config *c)
{
    struct address *copy = builder_array(b, &c->arena, b->dns.servers_count, sizeof *copy);
    c->dns = b->dns;
    if (copy)
        memcpy(copy, b->dns.servers, b->dns.servers_count * sizeof(*copy));
    c->dns.servers = copy;
    c->dns.servers_count = copy ? b->dns.servers_count : 0;
}

static void dns(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    c->dns_refresh_rate_ms = builder_ms(in->dns_refresh_rate, c->dns_refresh_rate_ms);
    c->dns_jitter_ms = builder_ms(in->dns_jitter, c->dns_jitter_ms);
    c->respect_dns_ttl = in->respect_dns_ttl;
    c->dns_family = (enum dns_family)in->dns_lookup_family;
    if (in->dns_failure_refresh_rate) {
        c->dns_failure_refresh_base_ms = builder_ms(in->dns_failure_refresh_rate->base_interval, 0);
        c->dns_failure_refresh_max_ms = builder_ms(in->dns_failure_refresh_rate->max_interval, 0);
    }
    inherit(b, c);
    if (in->n_dns_resolvers > 0) {
        c->dns = (struct dns_options){0};
        servers(b, &c->arena, in->dns_resolvers, in->n_dns_resolvers, &c->dns);
    }
    builder_resolver(b, &c->arena, in->typed_dns_resolver_config, in->dns_resolution_config,
                     in->use_tcp_for_dns_lookups, &c->dns);
}

/* --- types --- */

static void dns_cluster(struct builder *b, const dns_message *in, struct cluster_config *c)
{
    c->type = in->all_addresses_in_single_endpoint ? CLUSTER_LOGICAL_DNS : CLUSTER_STRICT_DNS;
    c->dns_refresh_rate_ms = builder_ms(in->dns_refresh_rate, c->dns_refresh_rate_ms);
    c->dns_jitter_ms = builder_ms(in->dns_jitter, 0);
    c->respect_dns_ttl = in->respect_dns_ttl;
    /* The numbers begin with UNSPECIFIED, which is AUTO. */
    c->dns_family = in->dns_lookup_family ? (enum dns_family)(in->dns_lookup_family - 1) : DNS_FAMILY_AUTO;
    if (in->dns_failure_refresh_rate) {
        c->dns_failure_refresh_base_ms = builder_ms(in->dns_failure_refresh_rate->base_interval, 0);
        c->dns_failure_refresh_max_ms = builder_ms(in->dns_failure_refresh_rate->max_interval, 0);
    }
    if (in->typed_dns_resolver_config)
        typed_resolver(b, &c->arena, in->typed_dns_resolver_config, &c->dns);
}

static void extension(struct builder *b, const Envoy__Config__Cluster__V3__Cluster__CustomClusterType *in,
                      struct cluster_config *c)
{
    static const struct {
        const char *name;
        enum cluster_type type;
        bool dns; /* DnsCluster says the rest */
    } types[] = {
        {"envoy.cluster.static", CLUSTER_STATIC, false},
        {"envoy.cluster.strict_dns", CLUSTER_STRICT_DNS, true},
        {"envoy.cluster.logical_dns", CLUSTER_LOGICAL_DNS, true},
        {"envoy.cluster.dns", CLUSTER_STRICT_DNS, true},
        {"envoy.clusters.dns", CLUSTER_STRICT_DNS, true},
        {"envoy.cluster.original_dst", CLUSTER_ORIGINAL_DST, false},
    };
    const ProtobufCMessage *msg = in->typed_config ? config_any_message(b->doc, in->typed_config) : NULL;
    if (msg && msg->descriptor == &envoy__extensions__clusters__aggregate__v3__cluster_config__descriptor) {
        builder_aggregate(b, msg, c);
        return;
    }
    if (msg && builder_is_dynamic(msg)) {
        builder_dynamic(b, msg, c);
        return;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(types); i++) {
        if (strcmp(in->name, types[i].name) != 0)
            continue;
        c->type = types[i].type;
        if (types[i].dns && msg)
            dns_cluster(b, (const dns_message *)msg, c);
        if (i == 2) /* the name says more than the message */
            c->type = CLUSTER_LOGICAL_DNS;
        return;
    }
    if (msg || !in->typed_config) /* a type that is not there was reported already */
        builder_error(b, in, "name",
                      "\"%s\" is no cluster type of this build; there are envoy.cluster.static, "
                      "envoy.cluster.strict_dns, envoy.cluster.logical_dns, envoy.cluster.dns, "
                      "envoy.cluster.original_dst and, with a ClusterConfig, envoy.clusters.aggregate and "
                      "envoy.clusters.dynamic_forward_proxy",
                      in->name);
}

void builder_discovery(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    dns(b, in, c);
    c->no_warm_wait = !builder_bool(in->wait_for_warm_on_init, true);
    switch (in->cluster_discovery_type_case) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE:
        extension(b, in->cluster_type, c);
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE:
        if (in->type == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST)
            c->type = CLUSTER_ORIGINAL_DST;
        else if (in->type == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS)
            c->type = CLUSTER_STRICT_DNS;
        else if (in->type == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS)
            c->type = CLUSTER_LOGICAL_DNS;
        break;
    default:
        break;
    }
}
