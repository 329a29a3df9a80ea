/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.rbac.v3.RBAC to rbac_rules. What was refused or reported becomes a rule that matches nothing, in a
 * document that is not built.
 */
#include "config/builder.h"

#include "filters/rbac/rbac_rules.h"
#include "proxy/routing/path_template.h"

#include <envoy/extensions/rbac/principals/mtls_authenticated/v3/mtls_authenticated.pb-c.h>
#include <envoy/type/matcher/v3/filter_state.pb-c.h>
#include <envoy/type/matcher/v3/metadata.pb-c.h>
#include <envoy/type/matcher/v3/path.pb-c.h>
#include <envoy/type/v3/range.pb-c.h>
#include <stdlib.h>

typedef Envoy__Config__Rbac__V3__RBAC rules_message;
typedef Envoy__Config__Rbac__V3__RBAC__PoliciesEntry policy_entry;
typedef Envoy__Config__Rbac__V3__Permission permission_message;
typedef Envoy__Config__Rbac__V3__Principal principal_message;
typedef Envoy__Type__Matcher__V3__StringMatcher string_message;
typedef Envoy__Extensions__Rbac__Principals__MtlsAuthenticated__V3__Config mtls_message;

#define PERMISSION(name) ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_##name
#define PRINCIPAL(name)  ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_##name

/* Behind the last port. */
#define PORTS_END 65536

struct making {
    struct builder *b;
    const struct rbac_rules_place *at;
};

static void permission(struct making *m, const permission_message *in, struct rbac_rule *out);
static void principal(struct making *m, const principal_message *in, struct rbac_rule *out);

/* --- rules that both have; `owner` is the message that errors are about --- */

static void *new_one(struct making *m, size_t size)
{
    return builder_array(m->b, m->at->arena, 1, size);
}

static struct rbac_rule *new_items(struct making *m, enum rbac_kind kind, size_t count, struct rbac_rule *out)
{
    out->kind = kind;
    out->items = builder_array(m->b, m->at->arena, count, sizeof *out->items);
    out->items_count = out->items ? (uint32_t)count : 0;
    return out->items;
}

static void permissions(struct making *m, enum rbac_kind kind, permission_message *const *in, size_t count,
                        struct rbac_rule *out)
{
    new_items(m, kind, count, out);
    for (uint32_t i = 0; i < out->items_count; i++)
        permission(m, in[i], &out->items[i]);
}

static void principals(struct making *m, enum rbac_kind kind, principal_message *const *in, size_t count,
                       struct rbac_rule *out)
{
    new_items(m, kind, count, out);
    for (uint32_t i = 0; i < out->items_count; i++)
        principal(m, in[i], &out->items[i]);
}

static void string(struct making *m, const ProtobufCMessage *owner, const char *path,
                   const string_message *in, struct string_matcher *out)
{
    struct builder_finish finish;
    builder_finish_init(&finish, m->b, owner);
    builder_string_matcher(m->b, m->at->arena, in, out);
    string_matcher_finish(out, path, &finish.errors);
}

static void text(struct making *m, enum rbac_kind kind, const ProtobufCMessage *owner, const char *path,
                 const string_message *in, struct rbac_rule *out)
{
    struct string_matcher *made = in ? new_one(m, sizeof *made) : NULL;
    if (!made)
        return;
    string(m, owner, path, in, made);
    out->kind = kind;
    out->text = made;
}

static void header(struct making *m, const ProtobufCMessage *owner,
                   const Envoy__Config__Route__V3__HeaderMatcher *in, struct rbac_rule *out)
{
    struct builder_finish finish;
    struct header_matcher *made = new_one(m, sizeof *made);
    if (m->at->connection)
        config_error_at(m->b->doc, m->b->diag, owner, "header", -1,
                        "is for the HTTP filter; a connection has no headers");
    if (!made)
        return;
    builder_finish_init(&finish, m->b, owner);
    builder_header_matcher(m->b, m->at->arena, in, made);
    header_matcher_finish(made, m->at->arena, "header", &finish.errors);
    out->kind = RBAC_HEADER;
    out->header = made;
}

static void range(struct making *m, enum rbac_kind kind, const ProtobufCMessage *owner, const char *field,
                  const Envoy__Config__Core__V3__CidrRange *in, struct rbac_rule *out)
{
    struct cidr *made = new_one(m, sizeof *made);
    uint32_t bits = builder_u32(in->prefix_len, 0);
    if (!made)
        return;
    if (!cidr_init(made, slice_str(in->address_prefix), bits))
        config_error_at(m->b->doc, m->b->diag, owner, field, -1, "\"%s/%u\" is no range of IP addresses",
                        in->address_prefix, bits);
    out->kind = kind;
    out->range = made;
}

static void metadata(struct making *m, enum rbac_kind kind, const ProtobufCMessage *owner, const char *path,
                     const Envoy__Type__Matcher__V3__MetadataMatcher *in, struct rbac_rule *out)
{
    struct builder_finish finish;
    struct metadata_matcher *made = in ? new_one(m, sizeof *made) : NULL;
    if (!made)
        return;
    builder_finish_init(&finish, m->b, owner);
    builder_metadata_matcher(m->b, m->at->arena, in, made);
    metadata_matcher_finish(made, path, &finish.errors);
    out->kind = kind;
    out->metadata = made;
}

static void sourced(struct making *m, const ProtobufCMessage *owner,
                    const Envoy__Config__Rbac__V3__SourcedMetadata *in, struct rbac_rule *out)
{
    bool of_route = in->metadata_source == ENVOY__CONFIG__RBAC__V3__METADATA_SOURCE__ROUTE;
    metadata(m, of_route ? RBAC_ROUTE_METADATA : RBAC_METADATA, owner, "sourced_metadata.metadata_matcher",
             in->metadata_matcher, out);
}

static void path(struct making *m, const ProtobufCMessage *owner,
                 const Envoy__Type__Matcher__V3__PathMatcher *in, struct rbac_rule *out)
{
    text(m, RBAC_PATH, owner, "url_path.path", in->path, out);
}

/* --- permissions --- */

static void ports(struct making *m, const permission_message *in, struct rbac_rule *out)
{
    const Envoy__Type__V3__Int32Range *r = in->destination_port_range;
    if (r->start < 0 || r->end > PORTS_END || r->start >= r->end)
        builder_error(m->b, in, "destination_port_range",
                      "from %d to %d are no ports; the end, which is not among them, is at most %d", r->start,
                      r->end, PORTS_END);
    out->kind = RBAC_DESTINATION_PORTS;
    out->from = (uint32_t)r->start;
    out->to = (uint32_t)r->end;
}

static void uri_template(struct making *m, const permission_message *in, struct rbac_rule *out)
{
    char error[REGEX_ERROR_MAX];
    struct path_template_variables variables;
    struct strbuf pattern;
    strbuf_init(&pattern, CONFIG_MESSAGE_BYTES_MAX);
    const char *wrong =
        path_template_pattern(builder_template(m->b, m->at->arena, in->uri_template), &pattern, &variables);
    struct regex *made = !wrong && !pattern.failed ? regex_create(strbuf_slice(&pattern), error) : NULL;
    if (made) {
        out->kind = RBAC_TEMPLATE;
        out->regex = made;
    } else {
        builder_error(m->b, in, "uri_template", "%s", wrong ? wrong : pattern.failed ? "is too long" : error);
    }
    strbuf_fini(&pattern);
}

static void permission(struct making *m, const permission_message *in, struct rbac_rule *out)
{
    const ProtobufCMessage *owner = &in->base;
    out->kind = RBAC_OR; /* of nothing */
    switch (in->rule_case) {
    case PERMISSION(AND_RULES):
        permissions(m, RBAC_AND, in->and_rules->rules, in->and_rules->n_rules, out);
        break;
    case PERMISSION(OR_RULES):
        permissions(m, RBAC_OR, in->or_rules->rules, in->or_rules->n_rules, out);
        break;
    case PERMISSION(ANY):
        out->kind = RBAC_ANY;
        break;
    case PERMISSION(HEADER):
        header(m, owner, in->header, out);
        break;
    case PERMISSION(URL_PATH):
        path(m, owner, in->url_path, out);
        break;
    case PERMISSION(DESTINATION_IP):
        range(m, RBAC_DESTINATION_IP, owner, "destination_ip", in->destination_ip, out);
        break;
    case PERMISSION(DESTINATION_PORT):
        out->kind = RBAC_DESTINATION_PORTS;
        out->from = in->destination_port;
        out->to = in->destination_port + 1;
        break;
    case PERMISSION(DESTINATION_PORT_RANGE):
        ports(m, in, out);
        break;
    case PERMISSION(METADATA):
        metadata(m, RBAC_METADATA, owner, "metadata", in->metadata, out);
        break;
    case PERMISSION(NOT_RULE):
        permissions(m, RBAC_NOT, (permission_message *const *)&in->not_rule, 1, out);
        break;
    case PERMISSION(REQUESTED_SERVER_NAME):
        text(m, RBAC_SERVER_NAME, owner, "requested_server_name", in->requested_server_name, out);
        break;
    case PERMISSION(URI_TEMPLATE):
        uri_template(m, in, out);
        break;
    case PERMISSION(SOURCED_METADATA):
        sourced(m, owner, in->sourced_metadata, out);
        break;
    default: /* none, or a matcher extension: reported already */
        break;
    }
}

/* --- principals --- */

static void san(struct making *m, const mtls_message *in, struct rbac_rule *out)
{
    const Envoy__Extensions__TransportSockets__Tls__V3__SubjectAltNameMatcher *wanted = in->san_matcher;
    const int type = (int)wanted->san_type;
    if (!wanted->matcher || type < TLS_SAN_EMAIL || type > TLS_SAN_OTHER)
        return; /* the API requires both: reported already */
    if (type == TLS_SAN_OTHER)
        builder_error(m->b, wanted, "san_type",
                      "OTHER_NAME is not there yet; EMAIL, DNS, URI and IP_ADDRESS are");
    struct rbac_san *made = new_one(m, sizeof *made);
    if (!made)
        return;
    made->type = (enum tls_san_type)type;
    string(m, &wanted->base, "matcher", wanted->matcher, &made->text);
    out->kind = RBAC_MTLS;
    out->san = made;
}

static void custom(struct making *m, const principal_message *in, struct rbac_rule *out)
{
    const ProtobufCMessage *inside = builder_typed(m->b, in->custom, "which extension this is");
    if (!inside)
        return;
    if (inside->descriptor !=
        &envoy__extensions__rbac__principals__mtls_authenticated__v3__config__descriptor) {
        builder_error(m->b, in, "custom", "%s is no principal", inside->descriptor->name);
        return;
    }
    const mtls_message *mtls = (const mtls_message *)inside;
    if (mtls->san_matcher)
        san(m, mtls, out);
    else if (mtls->any_validated_client_certificate)
        out->kind = RBAC_MTLS;
    else
        builder_error(m->b, mtls, NULL,
                      "needs a san_matcher, or any_validated_client_certificate: true to take all");
}

/* Without a name: whoever may connect by TLS. */
static void authenticated(struct making *m, const principal_message *in, struct rbac_rule *out)
{
    out->kind = RBAC_AUTHENTICATED;
    text(m, RBAC_AUTHENTICATED, &in->base, "authenticated.principal_name", in->authenticated->principal_name,
         out);
}

static void filter_state(struct making *m, const principal_message *in, struct rbac_rule *out)
{
    struct builder_finish finish;
    struct filter_state_matcher *made = new_one(m, sizeof *made);
    if (!made)
        return;
    builder_finish_init(&finish, m->b, &in->base);
    builder_filter_state_matcher(m->b, m->at->arena, in->filter_state, made);
    string_matcher_finish(&made->string, "filter_state.string_match", &finish.errors);
    out->kind = RBAC_FILTER_STATE;
    out->state = made;
}

static void principal(struct making *m, const principal_message *in, struct rbac_rule *out)
{
    const ProtobufCMessage *owner = &in->base;
    out->kind = RBAC_OR; /* of nothing */
    switch (in->identifier_case) {
    case PRINCIPAL(AND_IDS):
        principals(m, RBAC_AND, in->and_ids->ids, in->and_ids->n_ids, out);
        break;
    case PRINCIPAL(OR_IDS):
        principals(m, RBAC_OR, in->or_ids->ids, in->or_ids->n_ids, out);
        break;
    case PRINCIPAL(ANY):
        out->kind = RBAC_ANY;
        break;
    case PRINCIPAL(AUTHENTICATED):
        authenticated(m, in, out);
        break;
    case PRINCIPAL(SOURCE_IP):
        range(m, RBAC_CONNECTION_IP, owner, "source_ip", in->source_ip, out);
        break;
    case PRINCIPAL(DIRECT_REMOTE_IP):
        range(m, RBAC_DIRECT_IP, owner, "direct_remote_ip", in->direct_remote_ip, out);
        break;
    case PRINCIPAL(REMOTE_IP):
        range(m, RBAC_REMOTE_IP, owner, "remote_ip", in->remote_ip, out);
        break;
    case PRINCIPAL(HEADER):
        header(m, owner, in->header, out);
        break;
    case PRINCIPAL(URL_PATH):
        path(m, owner, in->url_path, out);
        break;
    case PRINCIPAL(METADATA):
        metadata(m, RBAC_METADATA, owner, "metadata", in->metadata, out);
        break;
    case PRINCIPAL(FILTER_STATE):
        filter_state(m, in, out);
        break;
    case PRINCIPAL(NOT_ID):
        principals(m, RBAC_NOT, (principal_message *const *)&in->not_id, 1, out);
        break;
    case PRINCIPAL(SOURCED_METADATA):
        sourced(m, owner, in->sourced_metadata, out);
        break;
    case PRINCIPAL(CUSTOM):
        custom(m, in, out);
        break;
    default: /* none: reported already */
        break;
    }
}

/* --- policies --- */

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct rbac_policy *)a)->name, ((const struct rbac_policy *)b)->name);
}

/* An access log's words are parted by blanks. */
static struct slice denied_details(struct making *m, const char *name)
{
    struct strbuf text;
    strbuf_init(&text, CONFIG_SOURCE_BYTES_MAX);
    strbuf_printf(&text, "rbac_access_denied_matched_policy[%s]", name);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r'))
            text.ptr[i] = '_';
    }
    struct slice kept = builder_text(m->b, m->at->arena, strbuf_cstr(&text));
    strbuf_fini(&text);
    return kept;
}

static void policy(struct making *m, enum rbac_action action, const policy_entry *in, struct rbac_policy *out)
{
    out->name = builder_text(m->b, m->at->arena, in->key);
    out->denied_details = denied_details(m, in->key[0] ? in->key : "none");
    if (!in->value)
        return;
    permissions(m, RBAC_OR, in->value->permissions, in->value->n_permissions, &out->permissions);
    principals(m, RBAC_OR, in->value->principals, in->value->n_principals, &out->principals);
    if (m->at->stat_prefix.ptr && in->key[0])
        out->matched = stat_counter("%.*spolicy.%s.%s%s", SLICE_ARG(m->at->stat_prefix), in->key,
                                    m->at->stat_name, action == RBAC_DENY ? "denied" : "allowed");
}

struct rbac_rules *builder_rbac_rules(struct builder *b, const struct rbac_rules_place *at,
                                      const rules_message *in)
{
    struct making m = {.b = b, .at = at};
    struct rbac_rules *out = in ? builder_array(b, at->arena, 1, sizeof *out) : NULL;
    if (!out)
        return NULL;
    out->action = (enum rbac_action)in->action; /* same numbers */
    out->policies = builder_array(b, at->arena, in->n_policies, sizeof *out->policies);
    out->policies_count = out->policies ? (uint32_t)in->n_policies : 0;
    for (uint32_t i = 0; i < out->policies_count; i++)
        policy(&m, out->action, in->policies[i], &out->policies[i]);
    if (out->policies_count > 0)
        qsort(out->policies, out->policies_count, sizeof *out->policies, by_name);
    return out;
}
