/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the rules. What is not known (no TLS, no path, no route) matches nothing; "not" of it matches, as in
 * Envoy. What cannot be found out for want of memory is denied.
 */
#include "filters/rbac/rbac_rules.h"

#include "base/assert.h"
#include "net/tls_info.h"
#include "proxy/downstream.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

/* Who asks for what. */
struct subject {
    struct stream *stream;
    const struct header_map *headers; /* NULL: a connection */
    struct slice path;                /* ptr NULL until somebody wants it, and where there is none */
    bool unknown;                     /* the path could not be had */
};

static bool matches(const struct rbac_rule *r, struct subject *s);

/* --- single rules --- */

static bool has_path(struct subject *s)
{
    if (!s->headers || s->path.ptr || !header_map_has_id(s->headers, HDR_PATH))
        return s->path.ptr != NULL;
    s->path = s->stream->route_table ? route_table_path(s->stream->route_table, s->headers)
                                     : path_without_query(header_map_get_id(s->headers, HDR_PATH));
    s->unknown = s->unknown || !s->path.ptr;
    return s->path.ptr != NULL;
}

const struct address *rbac_connection_address(const struct stream *s)
{
    const struct conn *conn = s->downstream ? s->downstream->conn : NULL;
    return conn ? &conn->remote : s->info.downstream_remote;
}

static bool in_range(const struct rbac_rule *r, const struct address *a)
{
    return a && cidr_contains(r->range, a);
}

static bool port_matches(const struct rbac_rule *r, const struct stream *s)
{
    const struct address *local = s->info.downstream_local;
    return local && address_is_ip(local) && address_port(local) >= r->from && address_port(local) < r->to;
}

static bool route_metadata_matches(const struct rbac_rule *r, struct stream *s)
{
    const struct route *route = s->downstream ? stream_route(s) : NULL;
    const struct typed_value *metadata = route ? route->metadata : NULL;
    return route &&
           metadata_matcher_match_in(
               r->metadata, metadata ? typed_value_member(metadata, SLICE_LIT("filter_metadata")) : NULL);
}

static bool any_text(const struct string_matcher *m, const struct slice *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (string_matcher_match(m, texts[i]))
            return true;
    }
    return false;
}

static bool authenticated(const struct string_matcher *m, const struct tls_info *tls)
{
    const struct tls_certificate_info *peer = tls ? &tls->peer : NULL;
    if (!peer || !m)
        return peer != NULL;
    return any_text(m, peer->uri_sans, peer->uri_sans_count) ||
           any_text(m, peer->dns_sans, peer->dns_sans_count) || string_matcher_match(m, peer->subject);
}

static bool any_host(const struct string_matcher *m, const struct tls_certificate_info *peer)
{
    if (m->kind != STRING_EXACT)
        return any_text(m, peer->dns_sans, peer->dns_sans_count);
    for (size_t i = 0; i < peer->dns_sans_count; i++) {
        if (tls_host_matches(m->value, peer->dns_sans[i]))
            return true;
    }
    return false;
}

static bool san_matches(const struct rbac_san *san, const struct tls_certificate_info *peer)
{
    switch (san->type) {
    case TLS_SAN_EMAIL:
        return any_text(&san->text, peer->email_sans, peer->email_sans_count);
    case TLS_SAN_DNS:
        return any_host(&san->text, peer);
    case TLS_SAN_URI:
        return any_text(&san->text, peer->uri_sans, peer->uri_sans_count);
    default:
        WEIR_ASSERT(san->type == TLS_SAN_IP);
        return any_text(&san->text, peer->ip_sans, peer->ip_sans_count);
    }
}

static bool mtls_matches(const struct rbac_san *san, const struct tls_info *tls)
{
    return tls && tls->peer_validated && (!san || san_matches(san, &tls->peer));
}

/* --- all of them --- */

static bool any_of(const struct rbac_rule *r, struct subject *s)
{
    for (uint32_t i = 0; i < r->items_count; i++) {
        if (matches(&r->items[i], s))
            return true;
    }
    return false;
}

static bool all_of(const struct rbac_rule *r, struct subject *s)
{
    for (uint32_t i = 0; i < r->items_count; i++) {
        if (!matches(&r->items[i], s))
            return false;
    }
    return true;
}

/* The configuration's limit of nesting bounds the recursion. */
static bool matches(const struct rbac_rule *r, struct subject *s)
{
    const struct stream_info *info = &s->stream->info;
    switch (r->kind) {
    case RBAC_ANY:
        return true;
    case RBAC_AND:
        return all_of(r, s);
    case RBAC_OR:
        return any_of(r, s);
    case RBAC_NOT:
        return !matches(r->items, s);
    case RBAC_HEADER:
        return s->headers && header_matcher_match(r->header, s->headers);
    case RBAC_PATH:
        return has_path(s) && string_matcher_match(r->text, s->path);
    case RBAC_TEMPLATE:
        return has_path(s) && regex_full_match(r->regex, s->path);
    case RBAC_DESTINATION_IP:
        return in_range(r, info->downstream_local);
    case RBAC_DESTINATION_PORTS:
        return port_matches(r, s->stream);
    case RBAC_CONNECTION_IP:
        return in_range(r, rbac_connection_address(s->stream));
    case RBAC_DIRECT_IP:
        return in_range(r, info->downstream_direct_remote);
    case RBAC_REMOTE_IP:
        return in_range(r, info->downstream_remote);
    case RBAC_SERVER_NAME:
        return string_matcher_match(r->text, stream_info_server_name(info));
    case RBAC_METADATA:
        return metadata_matcher_match(r->metadata, s->stream);
    case RBAC_ROUTE_METADATA:
        return route_metadata_matches(r, s->stream);
    case RBAC_FILTER_STATE:
        return filter_state_matcher_match(r->state, s->stream);
    case RBAC_AUTHENTICATED:
        return authenticated(r->text, info->tls);
    default:
        WEIR_ASSERT(r->kind == RBAC_MTLS);
        return mtls_matches(r->san, info->tls);
    }
}

struct rbac_verdict rbac_rules_ask(const struct rbac_rules *rules, struct stream *s,
                                   const struct header_map *headers)
{
    struct subject subject = {.stream = s, .headers = headers};
    const struct rbac_policy *found = NULL;
    for (uint32_t i = 0; !found && i < rules->policies_count; i++) {
        const struct rbac_policy *p = &rules->policies[i];
        if (any_of(&p->permissions, &subject) && any_of(&p->principals, &subject))
            found = p;
    }
    if (subject.unknown)
        return (struct rbac_verdict){.allowed = rules->action == RBAC_LOG};
    return (struct rbac_verdict){
        .allowed = rules->action == RBAC_LOG || (found != NULL) == (rules->action == RBAC_ALLOW),
        .policy = found,
    };
}

/* --- the end --- */

static void rule_fini(struct rbac_rule *r)
{
    switch (r->kind) {
    case RBAC_AND:
    case RBAC_OR:
    case RBAC_NOT:
        for (uint32_t i = 0; i < r->items_count; i++)
            rule_fini(&r->items[i]);
        break;
    case RBAC_HEADER:
        header_matcher_fini(r->header);
        break;
    case RBAC_TEMPLATE:
        regex_destroy(&r->regex);
        break;
    case RBAC_PATH:
    case RBAC_SERVER_NAME:
    case RBAC_AUTHENTICATED:
        if (r->text)
            string_matcher_fini(r->text);
        break;
    case RBAC_METADATA:
    case RBAC_ROUTE_METADATA:
        metadata_matcher_fini(r->metadata);
        break;
    case RBAC_FILTER_STATE:
        string_matcher_fini(&r->state->string);
        break;
    case RBAC_MTLS:
        if (r->san)
            string_matcher_fini(&r->san->text);
        break;
    default:
        break;
    }
}

void rbac_rules_fini(struct rbac_rules *rules)
{
    for (uint32_t i = 0; rules && i < rules->policies_count; i++) {
        rule_fini(&rules->policies[i].permissions);
        rule_fini(&rules->policies[i].principals);
    }
}
