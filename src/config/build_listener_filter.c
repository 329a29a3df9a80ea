/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListenerFilter messages to listener_filter_config: one function per filter, and where they do not run.
 */
#include "config/build_listener_filter.h"

#include "proxy/listener/http_inspector.h"
#include "proxy/listener/original_dst.h"
#include "proxy/listener/proxy_protocol.h"
#include "proxy/listener/tls_inspector.h"

#include <envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb-c.h>
#include <envoy/extensions/filters/listener/original_dst/v3/original_dst.pb-c.h>
#include <envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb-c.h>
#include <envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h>

typedef Envoy__Config__Listener__V3__ListenerFilter filter_message;
typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate predicate_message;
typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate__MatchSet predicate_set;
typedef Envoy__Extensions__Filters__Listener__ProxyProtocol__V3__ProxyProtocol proxy_protocol_message;
typedef Envoy__Extensions__Filters__Listener__ProxyProtocol__V3__ProxyProtocol__Rule rule_message;
typedef Envoy__Extensions__Filters__Listener__TlsInspector__V3__TlsInspector tls_inspector_message;

/* --- filter_disabled --- */

struct predicates {
    struct builder *b;
    struct listener_predicate *items; /* NULL: only counted */
    size_t count;
};

static void add_predicate(struct predicates *p, const predicate_message *in);

static void add_item(struct predicates *p, struct listener_predicate item)
{
    if (p->items)
        p->items[p->count] = item;
    p->count++;
}

static void add_set(struct predicates *p, enum listener_predicate_kind kind, const predicate_set *set)
{
    add_item(p, (struct listener_predicate){.kind = kind, .children = (uint32_t)set->n_rules});
    for (size_t i = 0; i < set->n_rules; i++)
        add_predicate(p, set->rules[i]);
}

static void add_predicate(struct predicates *p, const predicate_message *in)
{
    switch (in->rule_case) {
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_OR_MATCH:
        add_set(p, PREDICATE_OR, in->or_match);
        return;
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_AND_MATCH:
        add_set(p, PREDICATE_AND, in->and_match);
        return;
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_NOT_MATCH:
        add_item(p, (struct listener_predicate){.kind = PREDICATE_NOT, .children = 1});
        add_predicate(p, in->not_match);
        return;
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_DESTINATION_PORT_RANGE:
        add_item(p, (struct listener_predicate){.kind = PREDICATE_PORTS,
                                                .port_from = in->destination_port_range->start,
                                                .port_to = in->destination_port_range->end});
        return;
    default: /* any_match; the API requires one rule */
        add_item(p, (struct listener_predicate){.kind = PREDICATE_ANY});
        return;
    }
}

static void disabled(struct builder *b, struct arena *arena, const predicate_message *in,
                     struct listener_filter_config *out)
{
    struct predicates p = {.b = b};
    if (!in || config_diag_failed(b->diag))
        return;
    add_predicate(&p, in);
    p.items = builder_array(b, arena, p.count, sizeof *p.items);
    if (!p.items)
        return;
    out->disabled = p.items;
    out->disabled_count = p.count;
    p.count = 0;
    add_predicate(&p, in);
}

/* --- filters --- */

static bool tls_inspector(const tls_inspector_message *in, struct listener_filter_config *out)
{
    const struct tls_inspector_options options = {
        .hello_bytes_max = builder_u32(in->max_client_hello_size, CLIENT_HELLO_BYTES_MAX),
        .close_on_errors = in->close_connection_on_client_hello_parsing_errors,
        .ja3 = builder_bool(in->enable_ja3_fingerprinting, false),
        .ja4 = builder_bool(in->enable_ja4_fingerprinting, false)};
    return tls_inspector_init(out, &options);
}

static const struct proxy_protocol_rule *tlv_rules(struct builder *b, struct arena *arena,
                                                   rule_message *const *in, size_t count)
{
    struct proxy_protocol_rule *rules = builder_array(b, arena, count, sizeof *rules);
    size_t used = 0;
    for (size_t i = 0; rules && i < count; i++) {
        if (!in[i]->on_tlv_present)
            continue;
        const char *space = in[i]->on_tlv_present->metadata_namespace;
        rules[used].type = (uint8_t)in[i]->tlv_type;
        rules[used].space =
            builder_text(b, arena, space[0] ? space : "envoy.filters.listener.proxy_protocol");
        rules[used++].key = builder_text(b, arena, in[i]->on_tlv_present->key);
    }
    return rules;
}

static bool proxy_protocol(struct builder *b, struct arena *arena, const proxy_protocol_message *in,
                           struct listener_filter_config *out)
{
    struct proxy_protocol_options o = {.allow_without = in->allow_requests_without_proxy_protocol,
                                       .stat_prefix = builder_text(b, arena, in->stat_prefix)};
    o.rules = tlv_rules(b, arena, in->rules, in->n_rules);
    for (size_t i = 0; o.rules && i < in->n_rules; i++)
        o.rules_count += in->rules[i]->on_tlv_present != NULL;
    builder_pass_tlvs(in->pass_through_tlvs, &o.pass_all, o.pass);
    for (size_t i = 0; i < in->n_disallowed_versions; i++) {
        if (in->disallowed_versions[i] == ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V1)
            o.v1_disallowed = true;
        else
            o.v2_disallowed = true;
    }
    if (o.v1_disallowed && o.v2_disallowed)
        builder_error(b, in, "disallowed_versions", "leaves no version that is allowed; remove one");
    return proxy_protocol_init(out, &o);
}

static bool filter(struct builder *b, struct arena *arena, const ProtobufCMessage *in,
                   struct listener_filter_config *out)
{
    const ProtobufCMessageDescriptor *d = in->descriptor;
    if (d == &envoy__extensions__filters__listener__tls_inspector__v3__tls_inspector__descriptor)
        return tls_inspector((const tls_inspector_message *)in, out);
    if (d == &envoy__extensions__filters__listener__http_inspector__v3__http_inspector__descriptor)
        return http_inspector_init(out);
    if (d == &envoy__extensions__filters__listener__proxy_protocol__v3__proxy_protocol__descriptor)
        return proxy_protocol(b, arena, (const proxy_protocol_message *)in, out);
    if (d != &envoy__extensions__filters__listener__original_dst__v3__original_dst__descriptor)
        return false;
    original_dst_init(out);
    return true;
}

void builder_listener_filters(struct builder *b, const Envoy__Config__Listener__V3__Listener *in,
                              struct listener_config *l)
{
    struct listener_filter_config *filters =
        builder_array(b, &l->arena, in->n_listener_filters + l->use_original_dst, sizeof *filters);
    l->filters = filters;
    for (size_t i = 0; filters && i < in->n_listener_filters; i++) {
        const filter_message *f = in->listener_filters[i];
        const ProtobufCMessage *inside = builder_typed(b, f, "which filter this is");
        if (!inside)
            continue;
        struct listener_filter_config *out = &filters[l->filters_count];
        if (builder_is_listener_rate(inside)) {
            if (!builder_listener_rate(b, inside, out))
                continue; /* off */
        } else if (!filter(b, &l->arena, inside, out)) {
            builder_error(b, f, NULL, "out of memory");
            return;
        }
        l->filters_count++;
        disabled(b, &l->arena, f->filter_disabled, out);
    }
    if (filters && l->use_original_dst) /* as Envoy: the field brings the filter, behind the others */
        original_dst_init(&filters[l->filters_count++]);
}
