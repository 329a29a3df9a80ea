/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RouteConfiguration to route_table. What the table can check itself (names of headers, patterns, domains,
 * weights) is left to route_table_finish; clusters are checked here, because only the whole document knows
 * them.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "config/build_matcher.h"

#include <envoy/extensions/router/cluster_specifiers/matcher/v3/matcher.pb-c.h>
#include <inttypes.h>
#include <stdio.h>

#define DIRECT_BODY_BYTES_MAX (64u << 20) /* the table's own limit is the one that counts */

typedef Envoy__Config__Route__V3__RouteConfiguration table_message;
typedef Envoy__Config__Route__V3__VirtualHost host_message;
typedef Envoy__Config__Route__V3__Route route_message;
typedef Envoy__Config__Route__V3__RouteAction action_message;
typedef Envoy__Config__Route__V3__RouteAction__UpgradeConfig upgrade_message;
typedef Envoy__Config__Core__V3__HeaderValueOption header_message;
typedef Envoy__Config__Route__V3__ClusterSpecifierPlugin specifier_message;

struct route_builder {
    struct builder *b;
    struct arena *arena;
    struct route_table *table;
    struct map *plugins; /* cluster_specifier_plugins: name -> struct cluster_matcher */
    bool check_clusters;
    bool cors_typed;              /* some CORS policy is in a typed_per_filter_config */
    const ProtobufCMessage *cors; /* who has the older field; NULL: nobody */
};

static struct slice text(const struct route_builder *r, const char *s)
{
    return builder_text(r->b, r->arena, s);
}

/* ptr NULL when empty: "not set". */
static struct slice text_or_none(const struct route_builder *r, const char *s)
{
    return s[0] ? text(r, s) : SLICE_EMPTY;
}

/* --- header mutations --- */

#define MUTATIONS(r, in, out)                                                                                \
    do {                                                                                                     \
        builder_mutation((r)->b, (r)->arena, (in)->request_headers_to_add, (in)->n_request_headers_to_add,   \
                         (in)->request_headers_to_remove, (in)->n_request_headers_to_remove,                 \
                         &(out)->request_headers);                                                           \
        builder_mutation((r)->b, (r)->arena, (in)->response_headers_to_add, (in)->n_response_headers_to_add, \
                         (in)->response_headers_to_remove, (in)->n_response_headers_to_remove,               \
                         &(out)->response_headers);                                                          \
    } while (0)

/* --- per-filter configuration --- */

/* All the entry types have the same fields: key and an Any. */
typedef Envoy__Config__Route__V3__Route__TypedPerFilterConfigEntry entry_message;

static void overrides(struct route_builder *r, entry_message *const *in, size_t count,
                      struct filter_overrides *out)
{
    out->items = builder_array(r->b, r->arena, count, sizeof *out->items);
    for (size_t i = 0; out->items && i < count; i++) {
        const ProtobufCMessage *config = config_any_message(r->b->doc, in[i]->value);
        if (!config)
            continue; /* reported already */
        struct filter_override *o = &out->items[out->count++];
        o->filter_name = text(r, in[i]->key);
        o->enabled = true;
        if (config->descriptor == &envoy__config__route__v3__filter_config__descriptor) {
            const Envoy__Config__Route__V3__FilterConfig *f =
                (const Envoy__Config__Route__V3__FilterConfig *)config;
            if (!f->disabled && !f->config)
                builder_error(r->b, f, NULL,
                              "is empty; write disabled: true, or config: {} to switch the filter on");
            o->disabled = f->disabled;
            o->enabled = !f->disabled;
            config = f->disabled ? NULL : config_any_message(r->b->doc, f->config);
        }
        if (!config)
            continue;
        if (builder_cors_route(r->b, r->arena, config, o))
            r->cors_typed = true;
        else if (!builder_rbac_route(r->b, r->arena, config, o) &&
                 !builder_fault_route(r->b, r->arena, config, o) &&
                 !builder_local_limit_route(r->b, config, o) && !builder_mutation_route(r->b, config, o) &&
                 !builder_session_route(r->b, r->arena, config, o) &&
                 !builder_dynamic_route(r->b, r->arena, config, o))
            builder_route_filter(r->b, config, o);
    }
}

#define OVERRIDES(r, in, out)                                                                                \
    overrides((r), (entry_message *const *)(in)->typed_per_filter_config, (in)->n_typed_per_filter_config,   \
              &(out)->overrides)

/* --- actions --- */

static void rewrite(const struct route_builder *r,
                    const Envoy__Type__Matcher__V3__RegexMatchAndSubstitute *in, struct regex_rewrite *out)
{
    if (!in || !in->pattern)
        return;
    out->pattern = text(r, in->pattern->regex);
    out->substitution = text(r, in->substitution);
}

static void check_cluster(const struct route_builder *r, const ProtobufCMessage *owner, const char *field,
                          const char *name)
{
    if (r->check_clusters && name[0] && !r->b->clusters_unknown && !map_has(&r->b->clusters, slice_str(name)))
        config_error_at(r->b->doc, r->b->diag, owner, field, -1,
                        "there is no cluster \"%s\"; add it to static_resources.clusters", name);
}

/* A runtime key PREFIX.CLUSTER may replace it. */
static uint32_t weight_of(const struct route_builder *r, const char *prefix,
                          const Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *in)
{
    uint32_t weight = builder_u32(in->weight, 0);
    if (prefix[0])
        builder_runtime_limit(r->b, &weight, arena_printf(&r->b->scratch, "%s.%s", prefix, in->name));
    return weight;
}

static void weighted(struct route_builder *r, const Envoy__Config__Route__V3__WeightedCluster *in,
                     struct route_action *out)
{
    out->cluster_kind = ROUTE_CLUSTER_WEIGHTED;
    if (in->random_value_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__RANDOM_VALUE_SPECIFIER_HEADER_NAME)
        out->weighted_header = text_or_none(r, in->header_name);
    out->weighted_by_hash =
        in->random_value_specifier_case ==
            ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__RANDOM_VALUE_SPECIFIER_USE_HASH_POLICY &&
        builder_bool(in->use_hash_policy, false);
    out->weighted = builder_array(r->b, r->arena, in->n_clusters, sizeof *out->weighted);
    out->weighted_count = out->weighted ? (uint32_t)in->n_clusters : 0;
    for (size_t i = 0; i < out->weighted_count; i++) {
        const Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *c = in->clusters[i];
        struct weighted_cluster *w = &out->weighted[i];
        if ((c->name[0] != '\0') == (c->cluster_header[0] != '\0'))
            builder_error(r->b, c, NULL, "needs either name or cluster_header");
        check_cluster(r, &c->base, "name", c->name);
        w->name = text_or_none(r, c->name);
        w->cluster_header = text_or_none(r, c->cluster_header);
        w->weight = weight_of(r, in->runtime_key_prefix, c);
        if (c->host_rewrite_specifier_case ==
            ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL)
            w->host_rewrite_literal = text_or_none(r, c->host_rewrite_literal);
        w->match = builder_match(r->b, r->arena, c->metadata_match, out->match);
        MUTATIONS(r, c, w);
        OVERRIDES(r, c, w);
    }
}

/* --- clusters by trees --- */

static const void *cluster_action(void *arg, const Xds__Core__V3__TypedExtensionConfig *owner,
                                  const ProtobufCMessage *config)
{
    const struct route_builder *r = arg;
    if (config->descriptor !=
        &envoy__extensions__router__cluster_specifiers__matcher__v3__cluster_action__descriptor) {
        builder_error(r->b, owner, "typed_config", "must hold a ClusterAction here, found %s",
                      config->descriptor->name);
        return NULL;
    }
    struct weighted_cluster *to = builder_array(r->b, r->arena, 1, sizeof *to);
    if (!to)
        return NULL;
    to->name = text(
        r,
        ((const Envoy__Extensions__Router__ClusterSpecifiers__Matcher__V3__ClusterAction *)config)->cluster);
    to->name_hash = slice_hash(to->name);
    return to;
}

/* NULL after an error. Its clusters are not looked for, as in Envoy. */
static const struct cluster_matcher *cluster_matcher(struct route_builder *r, const specifier_message *in)
{
    struct cluster_matcher *m = builder_array(r->b, r->arena, 1, sizeof *m);
    const ProtobufCMessage *config =
        m && in->extension ? builder_typed(r->b, in->extension, "how the cluster is chosen") : NULL;
    if (!config)
        return NULL;
    m->next = r->table->cluster_matchers;
    r->table->cluster_matchers = m;
    if (config->descriptor !=
        &envoy__extensions__router__cluster_specifiers__matcher__v3__matcher_cluster_specifier__descriptor) {
        if (!in->is_optional) /* then no request has a cluster (Envoy) */
            builder_error(r->b, in->extension, "typed_config",
                          "must hold a MatcherClusterSpecifier, found %s", config->descriptor->name);
        return m;
    }
    const struct matcher_use use = {.inputs = MATCHER_REQUEST_INPUTS,
                                    .where = "for a request's cluster",
                                    .action = cluster_action,
                                    .arg = r};
    builder_match_tree(
        r->b, r->arena,
        ((const Envoy__Extensions__Router__ClusterSpecifiers__Matcher__V3__MatcherClusterSpecifier *)config)
            ->cluster_matcher,
        &use, &m->tree);
    return m;
}

/* The first of a name counts (Envoy). */
static void cluster_plugins(struct route_builder *r, const table_message *in)
{
    for (size_t i = 0; i < in->n_cluster_specifier_plugins; i++) {
        const specifier_message *p = in->cluster_specifier_plugins[i];
        const struct cluster_matcher *m = cluster_matcher(r, p);
        struct slice name = slice_str(p->extension ? p->extension->name : "");
        if (m && !map_has(r->plugins, name) && !map_put(r->plugins, name, (void *)(uintptr_t)m))
            builder_error(r->b, p, NULL, "out of memory");
    }
}

static void action_cluster(struct route_builder *r, const action_message *in, struct route_action *out)
{
    out->match = builder_match(r->b, r->arena, in->metadata_match, NULL);
    switch (in->cluster_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER:
        check_cluster(r, &in->base, "cluster", in->cluster);
        out->cluster_kind = ROUTE_CLUSTER_NAME;
        out->cluster = text(r, in->cluster);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_HEADER:
        out->cluster_kind = ROUTE_CLUSTER_HEADER;
        out->cluster_header = text(r, in->cluster_header);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS:
        weighted(r, in->weighted_clusters, out);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_SPECIFIER_PLUGIN:
        out->cluster_kind = ROUTE_CLUSTER_MATCHER;
        out->matcher = map_get(r->plugins, slice_str(in->cluster_specifier_plugin));
        if (!out->matcher)
            builder_error(r->b, in, "cluster_specifier_plugin",
                          "Unknown cluster specifier plugin name: %s is used in the route",
                          in->cluster_specifier_plugin);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_INLINE_CLUSTER_SPECIFIER_PLUGIN:
        out->cluster_kind = ROUTE_CLUSTER_MATCHER;
        out->matcher = cluster_matcher(r, in->inline_cluster_specifier_plugin);
        break;
    default:
        break; /* the API requires one: reported already */
    }
    static const uint16_t not_found[] = {503, 404, 500};
    if ((size_t)in->cluster_not_found_response_code < WEIR_ARRAY_LEN(not_found))
        out->cluster_not_found_status = not_found[in->cluster_not_found_response_code];
}

static void action_host(const struct route_builder *r, const action_message *in, struct route_action *out)
{
    switch (in->host_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL:
        out->host_rewrite = HOST_REWRITE_LITERAL;
        out->host_rewrite_value = text(r, in->host_rewrite_literal);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_HEADER:
        out->host_rewrite = HOST_REWRITE_HEADER;
        out->host_rewrite_value = text(r, in->host_rewrite_header);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE:
        out->host_rewrite = in->auto_host_rewrite->value ? HOST_REWRITE_AUTO : HOST_REWRITE_NONE;
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_PATH_REGEX:
        out->host_rewrite = HOST_REWRITE_PATH_REGEX;
        rewrite(r, in->host_rewrite_path_regex, &out->host_rewrite_regex);
        break;
    default:
        break;
    }
    out->append_x_forwarded_host = in->append_x_forwarded_host;
}

static void action_timeouts(const action_message *in, struct route_action *out)
{
    out->timeout_ms = builder_ms(in->timeout, out->timeout_ms);
    out->idle_timeout_ms = builder_ms(in->idle_timeout, out->idle_timeout_ms);
    const Envoy__Config__Route__V3__RouteAction__MaxStreamDuration *m = in->max_stream_duration;
    out->max_grpc_timeout_ms = builder_ms(in->max_grpc_timeout, out->max_grpc_timeout_ms);
    out->grpc_timeout_offset_ms = builder_ms(in->grpc_timeout_offset, out->grpc_timeout_offset_ms);
    if (!m)
        return;
    out->max_stream_duration_ms = builder_ms(m->max_stream_duration, out->max_stream_duration_ms);
    out->grpc_timeout_header_max_ms = builder_ms(m->grpc_timeout_header_max, out->grpc_timeout_header_max_ms);
    out->grpc_timeout_header_offset_ms =
        builder_ms(m->grpc_timeout_header_offset, out->grpc_timeout_header_offset_ms);
}

typedef Envoy__Config__Route__V3__RouteAction__RequestMirrorPolicy mirror_message;

void builder_mirrors(struct builder *b, struct arena *arena, mirror_message *const *in, size_t count,
                     bool check, struct mirror_policies *out)
{
    const struct route_builder r = {.b = b, .arena = arena, .check_clusters = check};
    struct mirror_policy *items = builder_array(b, arena, count, sizeof *items);
    out->items = items;
    out->count = items ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->count; i++) {
        const mirror_message *m = in[i];
        if ((m->cluster[0] != '\0') == (m->cluster_header[0] != '\0'))
            builder_error(b, m, NULL, "needs either cluster or cluster_header");
        check_cluster(&r, &m->base, "cluster", m->cluster);
        items[i].cluster = text_or_none(&r, m->cluster);
        items[i].cluster_hash = slice_hash(items[i].cluster);
        items[i].cluster_header = text_or_none(&r, m->cluster_header);
        items[i].host = text_or_none(&r, m->host_rewrite_literal);
        items[i].plain_host = m->disable_shadow_host_suffix_append;
        if (!header_value_valid(items[i].host))
            builder_error(b, m, "host_rewrite_literal", "holds a character that no header may have");
        builder_runtime_fraction(b, m->runtime_fraction, &items[i].numerator, &items[i].denominator);
        builder_header_steps(b, arena, &m->base, "request_headers_mutations", m->request_headers_mutations,
                             m->n_request_headers_mutations, &items[i].headers);
    }
}

static void mirrors(const struct route_builder *r, mirror_message *const *in, size_t count,
                    struct mirror_policies *out)
{
    builder_mirrors(r->b, r->arena, in, count, r->check_clusters, out);
}

static struct byte_limit byte_limit(const Google__Protobuf__UInt32Value *v)
{
    return (struct byte_limit){v != NULL, v ? v->value : 0};
}

static struct byte_limit long_byte_limit(const Google__Protobuf__UInt64Value *v)
{
    return (struct byte_limit){v != NULL, v ? v->value : 0};
}

static void connect_config(struct route_builder *r, const upgrade_message *in, struct route_action *out)
{
    if (strcasecmp(in->upgrade_type, "CONNECT") != 0) {
        builder_error(r->b, in, "connect_config", "needs the upgrade_type CONNECT");
        return;
    }
    struct route_connect *c = builder_array(r->b, r->arena, 1, sizeof *c);
    if (!c)
        return;
    c->allow_post = in->connect_config->allow_post;
    c->proxy_version = builder_proxy_version(in->connect_config->proxy_protocol_config);
    out->connect = c;
}

static void upgrades(struct route_builder *r, const action_message *in, struct route_action *out)
{
    out->upgrades = builder_array(r->b, r->arena, in->n_upgrade_configs, sizeof *out->upgrades);
    out->upgrades_count = out->upgrades ? (uint32_t)in->n_upgrade_configs : 0;
    for (size_t i = 0; i < out->upgrades_count; i++) {
        const upgrade_message *one = in->upgrade_configs[i];
        out->upgrades[i].type = text(r, one->upgrade_type);
        out->upgrades[i].enabled = builder_bool(one->enabled, true);
        for (size_t k = 0; k < i; k++) {
            if (slice_eq_nocase(out->upgrades[i].type, out->upgrades[k].type))
                builder_error(r->b, one, "upgrade_type", "is given twice; remove one");
        }
        if (one->connect_config)
            connect_config(r, one, out);
    }
}

static void action(struct route_builder *r, const action_message *in, struct route_action *out)
{
    route_action_init(out);
    action_cluster(r, in, out);
    action_host(r, in, out);
    action_timeouts(in, out);
    out->prefix_rewrite = text_or_none(r, in->prefix_rewrite);
    rewrite(r, in->regex_rewrite, &out->regex_rewrite);
    out->template_rewrite = builder_template_rewrite(r->b, r->arena, in);
    out->retry = builder_retry(r->b, r->arena, in->retry_policy);
    mirrors(r, in->request_mirror_policies, in->n_request_mirror_policies, &out->mirrors);
    builder_internal_redirect(r->b, r->arena, in->internal_redirect_policy, &out->redirects);
    out->has_hedge_policy = in->hedge_policy != NULL;
    out->hedge_on_per_try_timeout = in->hedge_policy && in->hedge_policy->hedge_on_per_try_timeout;
    builder_hash_policies(r->b, r->arena, in->hash_policy, in->n_hash_policy, &out->hash_policies);
    builder_rate_limits(r->b, r->arena, in->rate_limits, in->n_rate_limits, &out->rate_limits);
    out->includes_vhost_rate_limits = builder_bool(in->include_vh_rate_limits, false);
    out->high_priority = in->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH;
    upgrades(r, in, out);
}

static void redirect(const struct route_builder *r, const Envoy__Config__Route__V3__RedirectAction *in,
                     struct redirect_action *out)
{
    static const uint16_t statuses[] = {301, 302, 303, 307, 308};
    if ((size_t)in->response_code < WEIR_ARRAY_LEN(statuses))
        out->status = statuses[in->response_code];
    if (in->scheme_rewrite_specifier_case ==
            ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT &&
        in->https_redirect) {
        out->scheme_kind = REDIRECT_SCHEME_HTTPS;
    } else if (in->scheme_rewrite_specifier_case ==
               ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT) {
        out->scheme_kind = REDIRECT_SCHEME_LITERAL;
        out->scheme = text(r, in->scheme_redirect);
    }
    switch (in->path_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT:
        out->path = text(r, in->path_redirect);
        break;
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE:
        out->prefix_rewrite = text(r, in->prefix_rewrite);
        break;
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE:
        rewrite(r, in->regex_rewrite, &out->regex_rewrite);
        break;
    default:
        break;
    }
    out->host = text_or_none(r, in->host_redirect);
    out->port = in->port_redirect;
    out->strip_query = in->strip_query;
}

/* --- routes and virtual hosts --- */

static void route(struct route_builder *r, const route_message *in, struct route *out)
{
    out->name = text(r, in->name);
    out->stat_prefix = text(r, in->stat_prefix);
    out->metadata = builder_value(r->b, r->arena, in->metadata);
    if (in->match)
        builder_route_match(r->b, r->arena, in->match, &out->match);
    switch (in->action_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE:
        out->kind = ROUTE_FORWARD;
        action(r, in->route, &out->action);
        out->action.request_buffer = byte_limit(in->per_request_buffer_limit_bytes);
        out->action.body_buffer = long_byte_limit(in->request_body_buffer_limit);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT:
        out->kind = ROUTE_REDIRECT;
        redirect(r, in->redirect, &out->redirect);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE:
        out->kind = ROUTE_DIRECT_RESPONSE;
        out->response.status = (uint16_t)in->direct_response->status;
        if (in->direct_response->body)
            out->response.body =
                builder_data_source(r->b, in->direct_response->body, r->arena, DIRECT_BODY_BYTES_MAX);
        if (in->direct_response->body_format) {
            out->response.format = builder_format(r->b, in->direct_response->body_format);
            out->response.content_type =
                builder_format_content_type(r->b, r->arena, in->direct_response->body_format);
        }
        break;
    default: /* the API requires one: non_forwarding_action, or it was reported already */
        out->kind = ROUTE_NON_FORWARDING;
        break;
    }
    MUTATIONS(r, in, out);
    OVERRIDES(r, in, out);
    if (out->kind == ROUTE_FORWARD && builder_cors_legacy(r->b, r->arena, in->route->cors, &out->overrides))
        r->cors = &in->route->base;
}

static void virtual_clusters(const struct route_builder *r, const host_message *in,
                             struct virtual_clusters *out)
{
    out->items = builder_array(r->b, r->arena, in->n_virtual_clusters, sizeof *out->items);
    out->count = out->items ? (uint32_t)in->n_virtual_clusters : 0;
    for (uint32_t i = 0; i < out->count; i++) {
        const Envoy__Config__Route__V3__VirtualCluster *c = in->virtual_clusters[i];
        if (c->n_headers == 0)
            builder_error(r->b, c, "headers", "virtual clusters must define 'headers'");
        out->items[i].name = text(r, c->name);
        out->items[i].headers =
            builder_header_matchers(r->b, r->arena, c->headers, c->n_headers, &out->items[i].headers_count);
    }
}

/* --- routes in a tree --- */

#define ROUTE_INPUTS                                                                                         \
    ((1u << MATCH_INPUT_HEADER) | (1u << MATCH_INPUT_FILTER_STATE) | (1u << MATCH_INPUT_CONSTANT))

struct tree_routes {
    struct route_builder *r;
    uint32_t host;
    uint32_t count; /* so far */
};

/* Its place in the virtual host; it is made when all are known. */
static void note_route(struct tree_routes *t, const route_message *in)
{
    struct builder *b = t->r->b;
    struct matched_route *m = builder_array(b, &b->scratch, 1, sizeof *m);
    if (!m)
        return;
    *m = (struct matched_route){b->matched_routes, in, t->host, t->count++};
    b->matched_routes = m;
}

static const void *route_group(void *arg, const Xds__Core__V3__TypedExtensionConfig *owner,
                               const ProtobufCMessage *config)
{
    struct tree_routes *t = arg;
    struct route_group *group = builder_array(t->r->b, t->r->arena, 1, sizeof *group);
    if (!group)
        return NULL;
    group->first = t->count;
    if (config->descriptor == &envoy__config__route__v3__route__descriptor) {
        note_route(t, (const route_message *)config);
    } else if (config->descriptor == &envoy__config__route__v3__route_list__descriptor) {
        const Envoy__Config__Route__V3__RouteList *list = (const void *)config;
        for (size_t i = 0; i < list->n_routes; i++)
            note_route(t, list->routes[i]);
    } else {
        builder_error(t->r->b, owner, "typed_config", "must hold a Route or a RouteList here, found %s",
                      config->descriptor->name);
    }
    group->count = t->count - group->first;
    return group;
}

/* Their clusters are not looked for, as in Envoy. */
static void routes_of_tree(struct route_builder *r, const host_message *in, uint32_t host,
                           struct virtual_host *out)
{
    struct tree_routes t = {.r = r, .host = host};
    const struct matched_route *before = r->b->matched_routes;
    const struct matcher_use use = {
        .inputs = ROUTE_INPUTS,
        .where = "for a route: only request headers, filter state and the environment can",
        .decides_alone = true,
        .action = route_group,
        .arg = &t};
    if (in->n_routes > 0)
        builder_error(r->b, in, "matcher", "cannot set both matcher and routes on virtual host");
    builder_match_tree(r->b, r->arena, in->matcher, &use, &out->matcher);
    out->routes = builder_array(r->b, r->arena, t.count, sizeof *out->routes);
    out->routes_count = out->routes ? t.count : 0;
    struct route_builder inner = *r;
    inner.check_clusters = false;
    for (const struct matched_route *m = r->b->matched_routes; out->routes && m != before; m = m->next)
        route(&inner, m->message, &out->routes[m->number]);
    r->cors_typed = inner.cors_typed;
    r->cors = inner.cors;
}

static void virtual_host(struct route_builder *r, const host_message *in, uint32_t number,
                         struct virtual_host *out)
{
    out->name = text(r, in->name);
    out->metadata = builder_value(r->b, r->arena, in->metadata);
    out->domains = builder_texts(r->b, r->arena, in->domains, in->n_domains);
    out->domains_count = out->domains ? (uint32_t)in->n_domains : 0;
    out->require_tls = (enum require_tls)(
        in->require_tls == ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL ? REQUIRE_TLS_ALL
        : in->require_tls == ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__EXTERNAL_ONLY
            ? REQUIRE_TLS_EXTERNAL_ONLY
            : REQUIRE_TLS_NONE);
    out->include_request_attempt_count = in->include_request_attempt_count;
    out->include_attempt_count_in_response = in->include_attempt_count_in_response;
    mirrors(r, in->request_mirror_policies, in->n_request_mirror_policies, &out->mirrors);
    out->include_is_timeout_retry_header = in->include_is_timeout_retry_header;
    out->retry = builder_retry(r->b, r->arena, in->retry_policy);
    out->hedge_on_per_try_timeout = in->hedge_policy && in->hedge_policy->hedge_on_per_try_timeout;
    out->request_buffer = byte_limit(in->per_request_buffer_limit_bytes);
    out->body_buffer = long_byte_limit(in->request_body_buffer_limit);
    virtual_clusters(r, in, &out->virtual_clusters);
    builder_rate_limits(r->b, r->arena, in->rate_limits, in->n_rate_limits, &out->rate_limits);
    MUTATIONS(r, in, out);
    OVERRIDES(r, in, out);
    if (builder_cors_legacy(r->b, r->arena, in->cors, &out->overrides))
        r->cors = &in->base;
    if (in->matcher) {
        routes_of_tree(r, in, number, out);
        return;
    }
    out->routes = builder_array(r->b, r->arena, in->n_routes, sizeof *out->routes);
    out->routes_count = out->routes ? (uint32_t)in->n_routes : 0;
    for (size_t i = 0; i < out->routes_count; i++)
        route(r, in->routes[i], &out->routes[i]);
}

struct table_finish {
    struct builder_finish base;
    const struct builder *b;
};

/* What is wrong with a route of a tree is shown where it stands there. */
static void report_table(void *arg, const char *path, const char *text)
{
    struct table_finish *f = arg;
    struct builder_finish inner = f->base;
    uint32_t host = 0, number = 0;
    int end = 0;
    bool route = sscanf(path, "virtual_hosts[%" SCNu32 "].routes[%" SCNu32 "]%n", &host, &number, &end) == 2;
    for (const struct matched_route *m = f->b->matched_routes; route && m; m = m->next) {
        if (m->host != host || m->number != number)
            continue;
        inner.root = &m->message->base;
        path += path[end] == '.' ? end + 1 : end;
        break;
    }
    f->base.errors.report(&inner, path, text);
}

const struct route_table *builder_routes(struct builder *b, const table_message *in)
{
    struct route_table *t = route_table_create();
    if (!t) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    /* Static tables are checked unless switched off, as in Envoy. */
    struct map plugins;
    map_init(&plugins);
    struct route_builder r = {.b = b,
                              .arena = &t->arena,
                              .table = t,
                              .plugins = &plugins,
                              .check_clusters = builder_bool(in->validate_clusters, true)};
    b->matched_routes = NULL;
    t->name = text(&r, in->name);
    t->max_direct_response_bytes =
        builder_u32(in->max_direct_response_body_size_bytes, t->max_direct_response_bytes);
    t->most_specific_header_mutations_wins = in->most_specific_header_mutations_wins;
    t->ignore_port_in_host_matching = in->ignore_port_in_host_matching;
    t->ignore_path_parameters = in->ignore_path_parameters_in_path_matching;
    t->vhost_header = text(&r, in->vhost_header);
    for (size_t i = 0; i < t->vhost_header.len; i++) /* the copy is ours */
        ((char *)(uintptr_t)t->vhost_header.ptr)[i] = ascii_lower(t->vhost_header.ptr[i]);
    t->internal_only_headers =
        builder_texts(b, &t->arena, in->internal_only_headers, in->n_internal_only_headers);
    t->internal_only_headers_count = t->internal_only_headers ? (uint32_t)in->n_internal_only_headers : 0;
    MUTATIONS(&r, in, t);
    OVERRIDES(&r, in, t);
    mirrors(&r, in->request_mirror_policies, in->n_request_mirror_policies, &t->mirrors);
    cluster_plugins(&r, in);
    t->virtual_hosts = builder_array(b, &t->arena, in->n_virtual_hosts, sizeof *t->virtual_hosts);
    t->virtual_hosts_count = t->virtual_hosts ? (uint32_t)in->n_virtual_hosts : 0;
    for (size_t i = 0; i < t->virtual_hosts_count; i++)
        virtual_host(&r, in->virtual_hosts[i], (uint32_t)i, &t->virtual_hosts[i]);
    map_fini(&plugins);
    if (r.cors && r.cors_typed) /* Envoy would look at the one or the other, by the route of a request */
        config_error_at(
            b->doc, b->diag, r.cors, "cors", -1,
            "cannot be combined with a CorsPolicy in typed_per_filter_config; write all of them there");
    struct table_finish finish = {.b = b};
    builder_finish_init(&finish.base, b, &in->base);
    struct build_errors errors = {.report = report_table, .arg = &finish};
    const struct route_table *done = t;
    if (!route_table_finish(t, &errors))
        route_table_unref(&done);
    return done;
}
