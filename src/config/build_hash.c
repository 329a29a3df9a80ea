/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash policies of routes and of the TCP proxy to those of the data path. route_table_finish compiles the
 * patterns.
 */
#include "config/builder.h"

#include "proxy/tcp/tcp_proxy_config.h"

#define POLICY_CASE(name) ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_##name

typedef Envoy__Config__Route__V3__RouteAction__HashPolicy policy_message;
typedef Envoy__Config__Route__V3__RouteAction__HashPolicy__Cookie cookie_message;

static void header(struct builder *b, struct arena *arena,
                   const Envoy__Config__Route__V3__RouteAction__HashPolicy__Header *in,
                   struct hash_policy *out)
{
    out->source = HASH_HEADER;
    out->name = builder_text(b, arena, in->header_name);
    if (!in->regex_rewrite || !in->regex_rewrite->pattern)
        return;
    out->pattern = builder_text(b, arena, in->regex_rewrite->pattern->regex);
    out->replacement = builder_text(b, arena, in->regex_rewrite->substitution);
}

void builder_cookie_begin(struct strbuf *text, const char *path)
{
    strbuf_init(text, 16384);
    if (path[0])
        strbuf_printf(text, "; Path=%s", path);
}

void builder_cookie_attribute(struct strbuf *text, const char *name, const char *value)
{
    strbuf_printf(text, value[0] ? "; %s=%s" : "; %s", name, value);
}

struct slice builder_cookie_end(struct builder *b, struct arena *arena, const ProtobufCMessage *in,
                                struct strbuf *text)
{
    strbuf_append_str(text, "; HttpOnly");
    struct slice suffix = builder_bytes(b, arena, text->ptr, text->len);
    if (text->failed || !header_value_valid(suffix))
        config_error_at(b->doc, b->diag, in, NULL, -1, "its path and attributes cannot stand in a header");
    strbuf_fini(text);
    return suffix;
}

static void cookie(struct builder *b, struct arena *arena, const cookie_message *in, struct hash_policy *out)
{
    out->source = HASH_COOKIE;
    out->name = builder_text(b, arena, in->name);
    out->generate = in->ttl != NULL;
    if (!in->ttl)
        return;
    out->max_age_seconds = (uint64_t)in->ttl->seconds;
    struct strbuf text;
    builder_cookie_begin(&text, in->path);
    for (size_t i = 0; i < in->n_attributes; i++)
        builder_cookie_attribute(&text, in->attributes[i]->name, in->attributes[i]->value);
    out->suffix = builder_cookie_end(b, arena, &in->base, &text);
}

/* false: the policy does nothing. */
static bool policy(struct builder *b, struct arena *arena, const policy_message *in, struct hash_policy *out)
{
    out->terminal = in->terminal;
    switch (in->policy_specifier_case) {
    case POLICY_CASE(HEADER):
        header(b, arena, in->header, out);
        return true;
    case POLICY_CASE(COOKIE):
        cookie(b, arena, in->cookie, out);
        return true;
    case POLICY_CASE(CONNECTION_PROPERTIES):
        out->source = HASH_SOURCE_IP;
        return in->connection_properties->source_ip;
    case POLICY_CASE(QUERY_PARAMETER):
        out->source = HASH_QUERY_PARAMETER;
        out->name = builder_text(b, arena, in->query_parameter->name);
        return true;
    case POLICY_CASE(FILTER_STATE):
        out->source = HASH_FILTER_STATE;
        out->name = builder_text(b, arena, in->filter_state->key);
        return true;
    default: /* the API requires one: reported already */
        return false;
    }
}

void builder_hash_policies(struct builder *b, struct arena *arena, policy_message *const *in, size_t count,
                           struct hash_policies *out)
{
    out->items = builder_array(b, arena, count, sizeof *out->items);
    for (size_t i = 0; out->items && i < count; i++)
        out->count += policy(b, arena, in[i], &out->items[out->count]);
}

void builder_tcp_hash(struct builder *b, const tcp_proxy_message *in, struct tcp_proxy_config *t)
{
    if (in->n_hash_policy == 0)
        return;
    const Envoy__Type__V3__HashPolicy *p = in->hash_policy[0];
    t->hash_source_ip = p->policy_specifier_case == ENVOY__TYPE__V3__HASH_POLICY__POLICY_SPECIFIER_SOURCE_IP;
    if (p->policy_specifier_case == ENVOY__TYPE__V3__HASH_POLICY__POLICY_SPECIFIER_FILTER_STATE)
        t->hash_filter_state = builder_text(b, &t->arena, p->filter_state->key);
}
