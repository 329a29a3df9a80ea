/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of sockets: options of any, and where a cluster's connections come from, their keep-alive, how
 * many are opened ahead. What the bootstrap's upstream_bind_config says and a cluster's does not is taken
 * from there.
 */
#include "config/builder.h"

#include "base/assert.h"

#include <envoy/config/upstream/local_address_selector/v3/default_local_address_selector.pb-c.h>
#include <netinet/tcp.h>

typedef Envoy__Config__Core__V3__BindConfig bind_message;
typedef Envoy__Config__Core__V3__SocketAddress socket_message;
typedef Envoy__Config__Core__V3__SocketOption option_message;

/* --- options --- */

static struct slice option_value(struct builder *b, struct arena *arena, const option_message *in)
{
    if (in->value_case == ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__VALUE_BUF_VALUE)
        return builder_bytes(b, arena, in->buf_value.data, in->buf_value.len);
    int number = (int)in->int_value;
    if (in->value_case != ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__VALUE_INT_VALUE || number != in->int_value)
        builder_error(b, in, NULL, "needs int_value, of 32 bits, or buf_value");
    return builder_bytes(b, arena, &number, sizeof(number));
}

void builder_socket_options(struct builder *b, option_message *const *in, size_t count, struct arena *arena,
                            struct socket_options *out)
{
    struct socket_option *list = builder_array(b, arena, count, sizeof *list);
    size_t taken = 0;
    for (size_t i = 0; list && i < count; i++) {
        const option_message *o = in[i];
        if (o->type && o->type->datagram)
            continue; /* of no socket here */
        list[taken++] = (struct socket_option){.when = (enum socket_option_when)o->state, /* same numbers */
                                               .level = (int)o->level,
                                               .name = (int)o->name,
                                               .value = option_value(b, arena, o)};
    }
    *out = (struct socket_options){list, taken};
}

static bool off(const Google__Protobuf__UInt32Value *v)
{
    return v && v->value == 0;
}

void builder_keepalive_options(struct builder *b, const Envoy__Config__Core__V3__TcpKeepalive *in,
                               struct arena *arena, struct socket_options *out)
{
    if (!in || off(in->keepalive_probes) || off(in->keepalive_time) || off(in->keepalive_interval))
        return;
    const int on = 1;
    const struct {
        int level, name;
        const void *value; /* 4 bytes; NULL: the system's default */
    } all[] = {{SOL_SOCKET, SO_KEEPALIVE, &on},
               {IPPROTO_TCP, TCP_KEEPCNT, in->keepalive_probes ? &in->keepalive_probes->value : NULL},
               {IPPROTO_TCP, TCP_KEEPIDLE, in->keepalive_time ? &in->keepalive_time->value : NULL},
               {IPPROTO_TCP, TCP_KEEPINTVL, in->keepalive_interval ? &in->keepalive_interval->value : NULL}};
    struct socket_option *list = builder_array(b, arena, out->count + WEIR_ARRAY_LEN(all), sizeof *list);
    size_t count = 0;
    for (; list && count < out->count; count++)
        list[count] = out->list[count];
    for (size_t i = 0; list && i < WEIR_ARRAY_LEN(all); i++) {
        if (all[i].value)
            list[count++] = (struct socket_option){.when = SOCKET_OPTION_PREBIND,
                                                   .level = all[i].level,
                                                   .name = all[i].name,
                                                   .value = builder_bytes(b, arena, all[i].value, sizeof on)};
    }
    *out = (struct socket_options){list, count};
}

/* --- where connections come from --- */

static void source(struct builder *b, const socket_message *s, struct address *out)
{
    if (!address_parse_ip(slice_str(s->address), (uint16_t)s->port_value, out))
        builder_error(b, s, "address", "\"%s\" is no IP address; a name cannot be bound", s->address);
}

static void extra_sources(struct builder *b, const bind_message *in, struct arena *arena,
                          struct conn_source *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        list[i].options = list[0].options;
        if (i > in->n_extra_source_addresses) {
            source(b, in->additional_source_addresses[i - 1 - in->n_extra_source_addresses],
                   &list[i].address);
            continue;
        }
        const Envoy__Config__Core__V3__ExtraSourceAddress *e = in->extra_source_addresses[i - 1];
        if (e->address)
            source(b, e->address, &list[i].address);
        if (e->socket_options)
            builder_socket_options(b, e->socket_options->socket_options, e->socket_options->n_socket_options,
                                   arena, &list[i].options);
    }
}

/* As Envoy: its default selector takes one address of each family. */
static void check_sources(struct builder *b, const bind_message *in)
{
    size_t more = in->n_extra_source_addresses + in->n_additional_source_addresses;
    if (in->n_extra_source_addresses && in->n_additional_source_addresses)
        builder_error(b, in, "additional_source_addresses",
                      "stands beside extra_source_addresses; keep one of them");
    else if (more > 0 && !in->source_address)
        builder_error(b, in, NULL, "has further sources and no source_address; set that first");
    else if (more > 1)
        builder_error(b, in, NULL, "has more than one source beside source_address; keep one");
}

static void check_selector(struct builder *b, const bind_message *in)
{
    const ProtobufCMessage *msg = in->local_address_selector
                                      ? config_any_message(b->doc, in->local_address_selector->typed_config)
                                      : NULL;
    if (msg &&
        msg->descriptor !=
            &envoy__config__upstream__local_address_selector__v3__default_local_address_selector__descriptor)
        builder_error(b, in->local_address_selector, "typed_config", "%s is no selector of this build",
                      msg->descriptor->name);
}

/* The cluster's own, or the bootstrap's as a whole. */
static void sources(struct builder *b, const bind_message *in, const struct socket_options *options,
                    struct cluster_config *c)
{
    size_t count = 1 + in->n_extra_source_addresses + in->n_additional_source_addresses;
    struct conn_source *list = builder_array(b, &c->arena, count, sizeof *list);
    check_sources(b, in);
    check_selector(b, in);
    if (!list)
        return;
    if (in->source_address)
        source(b, in->source_address, &list[0].address);
    list[0].options = *options;
    extra_sources(b, in, &c->arena, list, count);
    if (count == 2 && list[0].address.len && list[0].address.sa.sa_family == list[1].address.sa.sa_family)
        builder_error(b, in, NULL, "has two sources of one family; the second would never be used");
    c->socket.sources = list;
    c->socket.sources_count = count;
}

static void binding(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                    struct cluster_config *c)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap *bootstrap = config_bootstrap(b->doc);
    const bind_message *own = in->upstream_bind_config,
                       *all = bootstrap->cluster_manager ? bootstrap->cluster_manager->upstream_bind_config
                                                         : NULL;
    const bind_message *with = own && own->n_socket_options > 0 ? own : all;
    struct socket_options options = {0};
    if (with)
        builder_socket_options(b, with->socket_options, with->n_socket_options, &c->arena, &options);
    c->socket.freebind =
        own && own->freebind ? own->freebind->value != 0 : all && builder_bool(all->freebind, false);
    if (own || all)
        sources(b, own ? own : all, &options, c);
}

/* Which address of a host is tried first. */
static void order(const Envoy__Config__Cluster__V3__UpstreamConnectionOptions__HappyEyeballsConfig *in,
                  struct address_order *out)
{
    static const sa_family_t families[] = {0, AF_INET, AF_INET6}; /* DEFAULT, V4, V6 */
    if (!in)
        return;
    size_t version = (size_t)in->first_address_family_version;
    if (version < WEIR_ARRAY_LEN(families)) /* another number was reported already */
        out->first = families[version];
    out->first_count = builder_u32(in->first_address_family_count, 1);
}

void builder_sockets(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                     struct cluster_config *c)
{
    binding(b, in, c);
    if (in->upstream_connection_options) {
        builder_keepalive_options(b, in->upstream_connection_options->tcp_keepalive, &c->arena,
                                  &c->socket.keepalive);
        order(in->upstream_connection_options->happy_eyeballs_config, &c->address_order);
    }
    c->pool_per_downstream = in->connection_pool_per_downstream_connection;
    if (in->preconnect_policy && in->preconnect_policy->per_upstream_preconnect_ratio)
        c->preconnect_ratio = in->preconnect_policy->per_upstream_preconnect_ratio->value;
}
