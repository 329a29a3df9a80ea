/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listener to listener_config, with its filter chains.
 */
#include "config/builder.h"

#include "config/build_listener_filter.h"
#include "config/build_matcher.h"
#include "config/build_tls.h"
#include "config/dump.h"
#include "proxy/listener/connection_limit.h"
#include "proxy/listener/sni_cluster.h"
#include "telemetry/log.h"

#include <envoy/extensions/filters/network/connection_limit/v3/connection_limit.pb-c.h>
#include <envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.pb-c.h>
#include <stdio.h>

typedef Envoy__Config__Listener__V3__Listener listener_message;
typedef Envoy__Config__Listener__V3__FilterChain chain_message;
typedef Envoy__Config__Listener__V3__FilterChainMatch match_message;
typedef Envoy__Config__Listener__V3__Filter filter_message;
typedef Envoy__Extensions__Filters__Network__Wasm__V3__Wasm network_wasm_message;
typedef Envoy__Extensions__Filters__Network__ConnectionLimit__V3__ConnectionLimit connection_limit_message;

/* --- which connections a chain takes --- */

/* As they are compared: in lower case. */
static void server_names(struct builder *b, struct arena *arena, const match_message *in,
                         struct filter_chain_match *out)
{
    struct slice *names = builder_texts(b, arena, in->server_names, in->n_server_names);
    for (size_t i = 0; names && i < in->n_server_names; i++) {
        struct slice bare = slice_starts_with(names[i], SLICE_LIT("*.")) ? slice_skip(names[i], 2) : names[i];
        if (slice_find_char(bare, '*') >= 0)
            builder_error_item(b, in, "server_names", i,
                               "partial wildcards are not supported in \"server_names\"");
        for (size_t j = 0; j < names[i].len; j++) /* the copy is ours */
            ((char *)(uintptr_t)names[i].ptr)[j] = ascii_lower(names[i].ptr[j]);
    }
    out->server_names = names;
    out->server_names_count = names ? in->n_server_names : 0;
}

static void source_ports(struct builder *b, struct arena *arena, const match_message *in,
                         struct filter_chain_match *out)
{
    uint16_t *ports = builder_array(b, arena, in->n_source_ports, sizeof *ports);
    for (size_t i = 0; ports && i < in->n_source_ports; i++)
        ports[i] = (uint16_t)in->source_ports[i];
    out->source_ports = ports;
    out->source_ports_count = ports ? in->n_source_ports : 0;
}

static void chain_match(struct builder *b, struct arena *arena, const match_message *in,
                        struct filter_chain_match *out)
{
    if (!in)
        return;
    out->destination_port = (uint16_t)builder_u32(in->destination_port, 0);
    out->destination_ranges =
        builder_cidrs(b, arena, &in->base, "prefix_ranges", in->prefix_ranges, in->n_prefix_ranges);
    out->destination_ranges_count = out->destination_ranges ? in->n_prefix_ranges : 0;
    server_names(b, arena, in, out);
    out->transport_protocol = builder_text(b, arena, in->transport_protocol);
    out->application_protocols =
        builder_texts(b, arena, in->application_protocols, in->n_application_protocols);
    out->application_protocols_count = out->application_protocols ? in->n_application_protocols : 0;
    out->direct_source_ranges =
        builder_cidrs(b, arena, &in->base, "direct_source_prefix_ranges", in->direct_source_prefix_ranges,
                      in->n_direct_source_prefix_ranges);
    out->direct_source_ranges_count = out->direct_source_ranges ? in->n_direct_source_prefix_ranges : 0;
    /* Same numbers: ANY, SAME_IP_OR_LOOPBACK, EXTERNAL. */
    out->source_type = (enum source_type)in->source_type;
    out->source_ranges = builder_cidrs(b, arena, &in->base, "source_prefix_ranges", in->source_prefix_ranges,
                                       in->n_source_prefix_ranges);
    out->source_ranges_count = out->source_ranges ? in->n_source_prefix_ranges : 0;
    source_ports(b, arena, in, out);
}

/* Equal texts are equal matches; an empty one equals none at all. */
static void check_same_match(struct builder *b, const listener_message *in)
{
    struct map seen;
    map_init(&seen);
    struct strbuf dumped;
    strbuf_init(&dumped, CONFIG_SOURCE_BYTES_MAX);
    for (size_t i = 0; i < in->n_filter_chains; i++) {
        strbuf_reset(&dumped);
        strbuf_append_str(&dumped, in->filter_chains[i]->filter_chain_match ? "" : "{}");
        if (in->filter_chains[i]->filter_chain_match)
            config_dump(b->doc, &in->filter_chains[i]->filter_chain_match->base, -1, &dumped);
        const chain_message *first = map_get(&seen, strbuf_slice(&dumped));
        if (first)
            builder_error(b, in->filter_chains[i], "filter_chain_match",
                          "filter chain '%s' has the same matching rules defined as '%s'. duplicate matcher "
                          "is: %s",
                          in->filter_chains[i]->name, first->name, strbuf_cstr(&dumped));
        else
            map_put(&seen, strbuf_slice(&dumped), in->filter_chains[i]);
    }
    strbuf_fini(&dumped);
    map_fini(&seen);
}

/* --- chains --- */

/* The last filter of a chain: who owns the connection. */
static void terminal(struct builder *b, const filter_message *f, const ProtobufCMessage *inside,
                     struct filter_chain *out)
{
    if (inside->descriptor ==
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor)
        out->hcm = builder_hcm(b, (const hcm_message *)inside);
    else if (inside->descriptor == &envoy__extensions__filters__network__tcp_proxy__v3__tcp_proxy__descriptor)
        out->tcp = builder_tcp_proxy(b, (const tcp_proxy_message *)inside);
    else
        builder_error(
            b, f, "typed_config",
            "is the last filter of its chain, which must be an HttpConnectionManager or a TcpProxy");
}

static void network_filter(struct builder *b, struct arena *arena, const filter_message *f,
                           const network_wasm_message *in, struct network_filter_config *filters,
                           struct filter_chain *out)
{
    struct slice name = builder_text(b, arena, f->name);
    if (builder_wasm_network_filter(b, in, name, &filters[out->network_count]))
        out->network_count++;
}

static void transport(struct builder *b, const chain_message *in, const struct listener_config *l,
                      struct filter_chain *out)
{
    const Envoy__Config__Core__V3__TransportSocket *socket = in->transport_socket;
    const ProtobufCMessage *inside = socket ? config_any_message(b->doc, socket->typed_config) : NULL;
    out->transport_connect_timeout_ms = builder_ms(in->transport_socket_connect_timeout, 0);
    if (!inside)
        return;
    if (inside->descriptor ==
        &envoy__extensions__transport_sockets__tls__v3__downstream_tls_context__descriptor)
        out->tls = builder_downstream_tls(b, (const downstream_tls_message *)inside, l);
    else if (inside->descriptor ==
             &envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor)
        builder_error(b, socket, "typed_config", "is for clusters; a listener has a DownstreamTlsContext");
}

static void limit_filter(struct builder *b, const filter_message *f, const connection_limit_message *in,
                         struct network_filter_config *filters, struct filter_chain *out)
{
    uint64_t max = in->max_connections ? in->max_connections->value : 0;
    bool enabled = !in->runtime_enabled || builder_runtime_flag(b, in->runtime_enabled);
    if (!in->max_connections)
        builder_error(b, in, "max_connections", "is required: say how many connections there may be");
    if (!enabled)
        return;
    if (connection_limit_init(&filters[out->network_count], slice_str(in->stat_prefix), max,
                              builder_ms(in->delay, 0)))
        out->network_count++;
    else
        builder_error(b, f, NULL, "out of memory");
}

static void chain(struct builder *b, struct listener_config *l, const chain_message *in,
                  struct filter_chain *out)
{
    struct arena *arena = &l->arena;
    transport(b, in, l, out);
    out->name = builder_text(b, arena, in->name);
    if (!b->listener->filter_chain_matcher) /* else it means nothing (Envoy) */
        chain_match(b, arena, in->filter_chain_match, &out->match);
    if (in->n_filters == 0) {
        builder_error(b, in, "filters", "is empty: it needs an HttpConnectionManager or a TcpProxy");
        return;
    }
    b->chain_name = in->name;
    struct network_filter_config *network = builder_array(b, arena, in->n_filters, sizeof *network);
    if (!network)
        return;
    out->network = network;
    for (size_t i = 0; i < in->n_filters; i++) {
        const filter_message *f = in->filters[i];
        const ProtobufCMessage *inside = builder_typed(b, f, "which filter this is");
        if (!inside)
            continue;
        if (i + 1 == in->n_filters)
            terminal(b, f, inside, out);
        else if (inside->descriptor ==
                 &envoy__extensions__filters__network__connection_limit__v3__connection_limit__descriptor)
            limit_filter(b, f, (const connection_limit_message *)inside, network, out);
        else if (builder_is_rbac_network(inside))
            out->network_count += builder_rbac_network(b, inside, &network[out->network_count]);
        else if (builder_is_connection_rate(inside))
            out->network_count += builder_connection_rate(b, inside, &network[out->network_count]);
        else if (inside->descriptor == &envoy__extensions__filters__network__wasm__v3__wasm__descriptor)
            network_filter(b, arena, f, (const network_wasm_message *)inside, network, out);
        else if (inside->descriptor ==
                 &envoy__extensions__filters__network__sni_cluster__v3__sni_cluster__descriptor)
            sni_cluster_init(&network[out->network_count++]);
        else
            builder_error(b, f, "typed_config",
                          "ends the chain, and there are filters after it; move it to the end");
    }
}

/* Chains that differ may still want the same connections. */
static void index_chains(struct builder *b, const listener_message *in, struct listener_config *l)
{
    if (config_diag_failed(b->diag))
        return;
    switch (listener_config_index(l)) {
    case FILTER_CHAIN_INDEX_OK:
        return;
    case FILTER_CHAIN_INDEX_OVERLAP:
        builder_error(b, in, "filter_chains",
                      "multiple filter chains with overlapping matching rules are defined");
        return;
    case FILTER_CHAIN_INDEX_NO_MEMORY:
        builder_error(b, in, "filter_chains", "have more combinations of matches than fit into memory");
        return;
    }
}

/* --- chains by a tree --- */

struct chain_names {
    struct builder *b;
    const struct listener_config *l;
    struct map chains; /* name -> struct filter_chain */
};

static const void *chain_action(void *arg, const Xds__Core__V3__TypedExtensionConfig *owner,
                                const ProtobufCMessage *config)
{
    const struct chain_names *names = arg;
    if (config->descriptor != &google__protobuf__string_value__descriptor) {
        builder_error(names->b, owner, "typed_config",
                      "must hold a google.protobuf.StringValue here, the name of a filter chain");
        return NULL;
    }
    const char *name = ((const Google__Protobuf__StringValue *)config)->value;
    const struct filter_chain *chain = map_get(&names->chains, slice_str(name));
    if (chain)
        return chain;
    log_write(
        CONFIG, WARN,
        "listener \"%.*s\": filter_chain_matcher names the filter chain \"%s\", which is not there: such "
        "connections are closed",
        SLICE_ARG(names->l->name), name);
    return &filter_chain_unknown;
}

/* After all chains were made. */
static void chain_tree(struct builder *b, const listener_message *in, struct listener_config *l)
{
    struct chain_names names = {.b = b, .l = l};
    map_init(&names.chains);
    for (size_t i = 0; i < l->chains_count; i++) {
        const char *name = in->filter_chains[i]->name;
        if (!name[0])
            builder_error(b, in->filter_chains[i], "name",
                          "\"name\" field is required when using a listener matcher");
        else if (map_has(&names.chains, slice_str(name)))
            builder_error(b, in->filter_chains[i], "name", "\"name\" field is duplicated with value '%s'",
                          name);
        else if (!map_put(&names.chains, slice_str(name), &l->chains[i]))
            builder_error(b, in, NULL, "out of memory");
    }
    const struct matcher_use use = {
        .inputs = MATCHER_CHAIN_INPUTS, .where = "for a filter chain", .action = chain_action, .arg = &names};
    builder_match_tree(b, &l->arena, in->filter_chain_matcher, &use, &l->matcher);
    map_fini(&names.chains);
}

static void chains(struct builder *b, const listener_message *in, struct listener_config *l)
{
    if (in->n_filter_chains == 0 && !in->default_filter_chain)
        builder_error(b, in, "filter_chains", "is empty, and there is no default_filter_chain: add one");
    l->chains = builder_array(b, &l->arena, in->n_filter_chains, sizeof *l->chains);
    l->chains_count = l->chains ? in->n_filter_chains : 0;
    for (size_t i = 0; i < l->chains_count; i++)
        chain(b, l, in->filter_chains[i], &l->chains[i]);
    if (in->default_filter_chain) {
        l->default_chain = builder_array(b, &l->arena, 1, sizeof *l->default_chain);
        if (l->default_chain)
            chain(b, l, in->default_filter_chain, l->default_chain);
    }
    if (in->filter_chain_matcher) {
        chain_tree(b, in, l);
        return;
    }
    check_same_match(b, in);
    index_chains(b, in, l);
}

/* As Envoy since 1.40: no inspector is added, so such chains take no connection. */
static void warn_uninspected(const struct listener_config *l)
{
    for (size_t i = 0; l->filters_count == 0 && i < l->chains_count; i++) {
        const struct filter_chain_match *m = &l->chains[i].match;
        if (m->server_names_count == 0 && m->application_protocols_count == 0 &&
            !slice_eq(m->transport_protocol, SLICE_LIT("tls")))
            continue;
        log_write(
            CONFIG, WARN,
            "listener \"%.*s\": filter chain \"%.*s\" matches by TLS, and there is no tls_inspector among "
            "the listener_filters: it takes no connection",
            SLICE_ARG(l->name), SLICE_ARG(l->chains[i].name));
    }
}

/* --- the listener --- */

static struct slice name_or_address(struct builder *b, const listener_message *in, struct listener_config *l)
{
    char buffer[ADDRESS_TEXT_MAX];
    return builder_text(b, &l->arena, in->name[0] ? in->name : address_format(&l->main.where, buffer));
}

static void address(struct builder *b, const Envoy__Config__Core__V3__Address *in,
                    struct listener_address *out)
{
    builder_address(b, in, &out->where);
    if (in->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE)
        out->pipe_mode = in->pipe->mode;
    else if (in->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        out->ipv4_compat = in->socket_address->ipv4_compat;
    const struct in6_addr *v6 = out->where.sa.sa_family == AF_INET6 ? &out->where.in6.sin6_addr : NULL;
    if (out->ipv4_compat && out->where.len > 0 &&
        !(v6 && (IN6_IS_ADDR_UNSPECIFIED(v6) || IN6_IS_ADDR_V4MAPPED(v6))))
        builder_error(b, in->socket_address, "ipv4_compat",
                      "is for the address :: or an IPv4-mapped IPv6 address");
}

static void keepalive(struct builder *b, const Envoy__Config__Core__V3__TcpKeepalive *in,
                      struct listener_config *l, struct listener_address *out)
{
    if (out->where.sa.sa_family != AF_UNIX)
        builder_keepalive_options(b, in, &l->arena, &out->socket_options);
}

/* Each has the listener's socket options, or its own, which may be none. */
static void additional(struct builder *b, const listener_message *in, struct listener_config *l)
{
    size_t count = in->n_additional_addresses;
    struct listener_address *more = builder_array(b, &l->arena, count, sizeof *more);
    for (size_t i = 0; more && i < count; i++) {
        const Envoy__Config__Listener__V3__AdditionalAddress *a = in->additional_addresses[i];
        const Envoy__Config__Core__V3__SocketOptionsOverride *own = a->socket_options;
        if (!a->address) {
            builder_error(b, a, "address", "is required; set it");
            continue;
        }
        address(b, a->address, &more[i]);
        if (more[i].where.len &&
            (more[i].where.sa.sa_family == AF_UNIX) != (l->main.where.sa.sa_family == AF_UNIX))
            builder_error(b, a, "address",
                          "a listener has IP addresses or paths, not both; write a second listener");
        if (own)
            builder_socket_options(b, own->socket_options, own->n_socket_options, &l->arena,
                                   &more[i].socket_options);
        else
            builder_socket_options(b, in->socket_options, in->n_socket_options, &l->arena,
                                   &more[i].socket_options);
        keepalive(b, a->tcp_keepalive ? a->tcp_keepalive : in->tcp_keepalive, l, &more[i]);
    }
    l->more = more;
    l->more_count = more ? count : 0;
}

static void sockets(struct builder *b, const listener_message *in, struct listener_config *l)
{
    l->bind_to_port = builder_bool(in->bind_to_port, true);
    l->reuse_port = builder_bool(in->enable_reuse_port, true);
    l->freebind = builder_bool(in->freebind, false);
    l->transparent = builder_bool(in->transparent, false);
    l->use_original_dst = builder_bool(in->use_original_dst, false);
    l->backlog = builder_u32(in->tcp_backlog_size, l->backlog);
    builder_socket_options(b, in->socket_options, in->n_socket_options, &l->arena, &l->main.socket_options);
    keepalive(b, in->tcp_keepalive, l, &l->main);
    additional(b, in, l);
}

static void limits(struct builder *b, const listener_message *in, struct listener_config *l)
{
    uint64_t max;
    const char *key =
        arena_printf(&b->scratch, "envoy.resource_limits.listener.%.*s.connection_limit", SLICE_ARG(l->name));
    if (builder_runtime_u64(b, key, &max) && !listener_config_limit(l, max))
        builder_error(b, in, NULL, "out of memory");
    l->ignore_global_limit = in->ignore_global_conn_limit;
    l->bypass_overload = in->bypass_overload_manager;
}

const struct listener_config *builder_listener(struct builder *b, const listener_message *in)
{
    struct listener_config *l = listener_config_create();
    if (!l) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    uint32_t before = b->diag->errors_total;
    b->listener = in;
    if (!in->address)
        builder_error(b, in, "address", "is required; set it");
    else
        address(b, in->address, &l->main);
    l->name = name_or_address(b, in, l);
    l->stat_prefix = builder_text(b, &l->arena, in->stat_prefix);
    l->per_connection_buffer_limit_bytes =
        builder_u32(in->per_connection_buffer_limit_bytes, l->per_connection_buffer_limit_bytes);
    sockets(b, in, l);
    l->accepts_per_event_max =
        builder_u32(in->max_connections_to_accept_per_socket_event, l->accepts_per_event_max);
    l->traffic_direction = (uint64_t)in->traffic_direction;
    limits(b, in, l);
    l->metadata = builder_value(b, &l->arena, in->metadata);
    builder_access_logs(b, in->access_log, in->n_access_log, &l->arena, &l->access_logs,
                        &l->access_logs_count);
    l->filters_timeout_ms = builder_ms(in->listener_filters_timeout, l->filters_timeout_ms);
    l->continue_on_filters_timeout = in->continue_on_listener_filters_timeout;
    builder_listener_filters(b, in, l);
    chains(b, in, l);
    warn_uninspected(l);
    b->listener = NULL;
    const struct listener_config *done = l;
    if (b->diag->errors_total == before && b->options->wasm)
        listener_config_seal(l);
    if (b->diag->errors_total != before)
        listener_config_unref(&done);
    return done;
}
