/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cluster says about the sockets of its connections: where they come from, TCP keep-alive, how many
 * are opened ahead. The bootstrap's upstream_bind_config holds for clusters that have none.
 */
#include "config/builder.h"

#include "base/assert.h"

typedef Envoy__Config__Core__V3__BindConfig bind_message;
typedef Envoy__Config__Core__V3__SocketAddress socket_message;

static const bind_message *bind_config(const struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap *bootstrap = config_bootstrap(b->doc);
    if (in->upstream_bind_config || !bootstrap->cluster_manager)
        return in->upstream_bind_config;
    return bootstrap->cluster_manager->upstream_bind_config;
}

static void source(struct builder *b, const socket_message *s, struct address *list, size_t *count)
{
    if (!s || !list)
        return;
    if (!address_parse_ip(slice_str(s->address), (uint16_t)s->port_value, &list[*count]))
        builder_error(b, s, "address", "\"%s\" is no IP address; a name cannot be bound", s->address);
    else
        ++*count;
}

static void sources(struct builder *b, const bind_message *in, struct cluster_config *c)
{
    size_t max = 1 + in->n_extra_source_addresses + in->n_additional_source_addresses;
    struct address *list = builder_array(b, &c->arena, max, sizeof *list);
    size_t count = 0;
    source(b, in->source_address, list, &count);
    for (size_t i = 0; i < in->n_extra_source_addresses; i++)
        source(b, in->extra_source_addresses[i]->address, list, &count);
    for (size_t i = 0; i < in->n_additional_source_addresses; i++)
        source(b, in->additional_source_addresses[i], list, &count);
    for (size_t i = 1; i < count; i++) {
        if (list[i].sa.sa_family == list[0].sa.sa_family)
            builder_error(b, in, NULL, "has two sources of one family; the second would never be used");
    }
    c->socket.sources = list;
    c->socket.sources_count = count;
    c->socket.freebind = builder_bool(in->freebind, false);
}

/* Which address of a host is tried first. */
static void order(const Envoy__Config__Cluster__V3__UpstreamConnectionOptions__HappyEyeballsConfig *in,
                  struct address_order *out)
{
    static const sa_family_t families[] = {0, AF_INET, AF_INET6}; /* DEFAULT, V4, V6 */
    if (!in)
        return;
    WEIR_ASSERT((size_t)in->first_address_family_version < WEIR_ARRAY_LEN(families));
    out->first = families[in->first_address_family_version];
    out->first_count = builder_u32(in->first_address_family_count, 1);
}

void builder_sockets(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                     struct cluster_config *c)
{
    const bind_message *bind = bind_config(b, in);
    const Envoy__Config__Core__V3__TcpKeepalive *alive =
        in->upstream_connection_options ? in->upstream_connection_options->tcp_keepalive : NULL;
    if (bind)
        sources(b, bind, c);
    if (alive) {
        c->socket.keepalive = true;
        c->socket.keepalive_probes = builder_u32(alive->keepalive_probes, 0);
        c->socket.keepalive_time_s = builder_u32(alive->keepalive_time, 0);
        c->socket.keepalive_period_s = builder_u32(alive->keepalive_interval, 0);
    }
    if (in->upstream_connection_options)
        order(in->upstream_connection_options->happy_eyeballs_config, &c->address_order);
    c->pool_per_downstream = in->connection_pool_per_downstream_connection;
    if (in->preconnect_policy && in->preconnect_policy->per_upstream_preconnect_ratio)
        c->preconnect_ratio = in->preconnect_policy->per_upstream_preconnect_ratio->value;
}
