/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HttpConnectionManager to hcm_config, with its routes, filters, access logs and local replies.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "proxy/logging/log_format.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__ResponseMapper mapper_message;

#define REPLY_BODY_BYTES_MAX (1u << 20)

/* --- plain options --- */

static void common_options(const Envoy__Config__Core__V3__HttpProtocolOptions *in, struct hcm_config *h)
{
    if (!in)
        return;
    h->idle_timeout_ms = builder_ms(in->idle_timeout, h->idle_timeout_ms);
    h->max_connection_duration_ms = builder_ms(in->max_connection_duration, h->max_connection_duration_ms);
    h->max_stream_duration_ms = builder_ms(in->max_stream_duration, h->max_stream_duration_ms);
    h->max_headers_count = builder_u32(in->max_headers_count, h->max_headers_count);
    h->max_requests_per_connection =
        builder_u32(in->max_requests_per_connection, h->max_requests_per_connection);
    /* Same numbers: ALLOW, REJECT_REQUEST, DROP_HEADER. */
    h->underscores = (enum hcm_underscores)in->headers_with_underscores_action;
}

static void http1_options(struct builder *b, const Envoy__Config__Core__V3__Http1ProtocolOptions *in,
                          struct hcm_config *h)
{
    if (!in)
        return;
    h->http1.accept_http_10 = in->accept_http_10;
    h->http1.default_host_for_http_10 = builder_text(b, &h->arena, in->default_host_for_http_10);
    h->http1.allow_absolute_url = builder_bool(in->allow_absolute_url, true);
    h->http1.allow_chunked_length = in->allow_chunked_length;
    h->http1.enable_trailers = in->enable_trailers;
    h->http1.keys = builder_key_format(b, in);
}

static void timeouts(const hcm_message *in, struct hcm_config *h)
{
    h->stream_idle_timeout_ms = builder_ms(in->stream_idle_timeout, h->stream_idle_timeout_ms);
    h->request_timeout_ms = builder_ms(in->request_timeout, h->request_timeout_ms);
    h->request_headers_timeout_ms = builder_ms(in->request_headers_timeout, h->request_headers_timeout_ms);
    h->drain_timeout_ms = builder_ms(in->drain_timeout, h->drain_timeout_ms);
    h->delayed_close_timeout_ms = builder_ms(in->delayed_close_timeout, h->delayed_close_timeout_ms);
}

static void addresses(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    h->use_remote_address = builder_bool(in->use_remote_address, false);
    h->xff_num_trusted_hops = in->xff_num_trusted_hops;
    h->skip_xff_append = in->skip_xff_append;
    h->append_x_forwarded_port = in->append_x_forwarded_port;
    h->tells_origin = builder_bool(in->add_proxy_protocol_connection_state, true);
    if (!in->internal_address_config)
        return;
    h->internal_unix_sockets = in->internal_address_config->unix_sockets;
    h->internal_ranges =
        builder_cidrs(b, &h->arena, &in->internal_address_config->base, "cidr_ranges",
                      in->internal_address_config->cidr_ranges, in->internal_address_config->n_cidr_ranges);
    h->internal_ranges_count = h->internal_ranges ? in->internal_address_config->n_cidr_ranges : 0;
}

static void paths(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    static const enum hcm_escaped_slashes slashes[] = {
        HCM_SLASHES_KEEP_UNCHANGED, /* IMPLEMENTATION_SPECIFIC_DEFAULT */
        HCM_SLASHES_KEEP_UNCHANGED, HCM_SLASHES_REJECT, HCM_SLASHES_UNESCAPE_AND_REDIRECT,
        HCM_SLASHES_UNESCAPE_AND_FORWARD};
    size_t action = in->path_with_escaped_slashes_action;
    uint32_t normalized = 0;
    uint64_t chosen;
    if (action == 0 &&
        builder_runtime_u64(b, "http_connection_manager.path_with_escaped_slashes_action", &chosen))
        action = chosen < WEIR_ARRAY_LEN(slashes) ? chosen : 0;
    if (action < WEIR_ARRAY_LEN(slashes))
        h->escaped_slashes = slashes[action];
    if (!in->normalize_path) /* some of the requests, by Envoy's documentation; by its code all or none */
        builder_runtime_percent(b, &normalized, "http_connection_manager.normalize_path");
    h->normalize_path = builder_bool(in->normalize_path, normalized > 0);
    h->merge_slashes = in->merge_slashes;
    h->strip_matching_host_port = in->strip_matching_host_port;
    h->strip_any_host_port = in->strip_port_mode_case != 0 && in->strip_any_host_port;
    h->strip_trailing_host_dot = in->strip_trailing_host_dot;
}

static void client_cert(const hcm_message *in, struct hcm_config *h)
{
    h->client_cert = (enum client_cert_mode)in->forward_client_cert_details;
    if (!in->set_current_client_cert_details)
        return;
    h->client_cert_details = (struct client_cert_details){
        .subject = builder_bool(in->set_current_client_cert_details->subject, false),
        .cert = in->set_current_client_cert_details->cert,
        .chain = in->set_current_client_cert_details->chain,
        .dns = in->set_current_client_cert_details->dns,
        .uri = in->set_current_client_cert_details->uri,
    };
}

static void headers(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    if (in->server_name[0])
        h->server_name = builder_text(b, &h->arena, in->server_name);
    /* Same numbers: OVERWRITE, APPEND_IF_ABSENT, PASS_THROUGH. */
    h->server_header = (enum hcm_server_header)in->server_header_transformation;
    h->via = builder_text(b, &h->arena, in->via);
    const Envoy__Config__Core__V3__Node *node = config_bootstrap(b->doc)->node;
    h->add_user_agent = builder_bool(in->add_user_agent, false);
    h->filter_chain_name = builder_text(b, &h->arena, b->chain_name ? b->chain_name : "");
    if (h->add_user_agent && node)
        h->service_cluster = builder_text(b, &h->arena, node->cluster);
    h->generate_request_id = builder_bool(in->generate_request_id, true);
    h->preserve_external_request_id = in->preserve_external_request_id;
    h->always_set_request_id_in_response = in->always_set_request_id_in_response;
    h->proxy_100_continue = in->proxy_100_continue;
    client_cert(in, h);
    const Envoy__Config__Core__V3__SchemeHeaderTransformation *scheme = in->scheme_header_transformation;
    if (scheme &&
        scheme->transformation_case ==
            ENVOY__CONFIG__CORE__V3__SCHEME_HEADER_TRANSFORMATION__TRANSFORMATION_SCHEME_TO_OVERWRITE)
        h->scheme_overwrite = builder_text(b, &h->arena, scheme->scheme_to_overwrite);
    h->scheme_as_upstream = scheme && scheme->match_upstream && h->scheme_overwrite.len == 0;
}

static const uint32_t *ports(struct builder *b, struct arena *arena, const uint32_t *in, size_t count,
                             size_t *out_count)
{
    uint32_t *out = builder_array(b, arena, count, sizeof *out);
    *out_count = out ? count : 0;
    return out ? memcpy(out, in, count * sizeof *out) : NULL;
}

static void forward_proto(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__ForwardProtoConfig *f =
        in->forward_proto_config;
    if (!f)
        return;
    h->https_ports =
        ports(b, &h->arena, f->https_destination_ports, f->n_https_destination_ports, &h->https_ports_count);
    h->http_ports =
        ports(b, &h->arena, f->http_destination_ports, f->n_http_destination_ports, &h->http_ports_count);
    h->scheme_by_port = true;
}

static void upgrades(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    const struct builder_chain at = {.arena = &h->arena, .stat_prefix = h->stat_prefix};
    struct hcm_upgrade *out = builder_array(b, &h->arena, in->n_upgrade_configs, sizeof *out);
    h->upgrades = out;
    h->upgrades_count = out ? in->n_upgrade_configs : 0;
    for (size_t i = 0; i < h->upgrades_count; i++) {
        out[i].type = builder_text(b, &h->arena, in->upgrade_configs[i]->upgrade_type);
        out[i].enabled = builder_bool(in->upgrade_configs[i]->enabled, true);
        builder_filters(b, &at, in->upgrade_configs[i]->filters, in->upgrade_configs[i]->n_filters,
                        &out[i].filters);
        for (size_t j = 0; j < i; j++) {
            if (slice_eq_nocase(out[i].type, out[j].type))
                builder_error(b, in->upgrade_configs[i], "upgrade_type", "is given twice; remove one");
        }
    }
}

/* --- local replies --- */

static void reply_headers(struct builder *b, const mapper_message *in, struct hcm_config *h,
                          struct hcm_reply_mapper *out)
{
    struct hcm_header_add *add = builder_array(b, &h->arena, in->n_headers_to_add, sizeof *add);
    out->headers = add;
    out->headers_count = add ? in->n_headers_to_add : 0;
    for (size_t i = 0; i < out->headers_count; i++) {
        const Envoy__Config__Core__V3__HeaderValueOption *o = in->headers_to_add[i];
        if (!o->header)
            continue;
        add[i].name = builder_text(b, &h->arena, o->header->key);
        add[i].format = builder_value_format(b, &h->arena, o->header, &add[i].value);
        /* Same numbers; `append` is the older form. */
        add[i].action = (enum hcm_header_action)o->append_action;
        if (o->append && !o->append->value)
            add[i].action = HCM_HEADER_OVERWRITE_OR_ADD;
    }
}

static void reply_mapper(struct builder *b, const mapper_message *in, struct hcm_config *h,
                         struct hcm_reply_mapper *out)
{
    out->filter = in->filter ? builder_predicate(b, in->filter) : NULL;
    out->status = (uint16_t)builder_u32(in->status_code, 0);
    if (in->body) {
        out->has_body = true;
        out->body = builder_data_source(b, in->body, &h->arena, REPLY_BODY_BYTES_MAX);
    }
    if (in->body_format_override) {
        out->format = builder_format(b, in->body_format_override);
        out->content_type = builder_format_content_type(b, &h->arena, in->body_format_override);
    }
    reply_headers(b, in, h, out);
}

static void local_replies(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__LocalReplyConfig *config =
        in->local_reply_config;
    if (!config)
        return;
    struct hcm_reply_mapper *mappers = builder_array(b, &h->arena, config->n_mappers, sizeof *mappers);
    h->reply_mappers = mappers;
    h->reply_mappers_count = mappers ? config->n_mappers : 0;
    for (size_t i = 0; i < h->reply_mappers_count; i++)
        reply_mapper(b, config->mappers[i], h, &mappers[i]);
    if (config->body_format) {
        h->reply_format = builder_format(b, config->body_format);
        h->reply_content_type = builder_format_content_type(b, &h->arena, config->body_format);
    }
}

/* --- filters --- */

/* Those of all chains, for what routes say to filters by name. */
static void all_filters(struct builder *b, const hcm_message *in)
{
    size_t count = in->n_http_filters;
    for (size_t i = 0; i < in->n_upgrade_configs; i++)
        count += in->upgrade_configs[i]->n_filters;
    http_filter_message **all = builder_array(b, &b->scratch, count, sizeof(*all));
    b->http_filters = all;
    b->http_filters_count = 0;
    for (size_t i = 0; all && i < in->n_http_filters; i++)
        all[b->http_filters_count++] = in->http_filters[i];
    for (size_t i = 0; all && i < in->n_upgrade_configs; i++) {
        for (size_t j = 0; j < in->upgrade_configs[i]->n_filters; j++)
            all[b->http_filters_count++] = in->upgrade_configs[i]->filters[j];
    }
}

/* Whether filters of this name are of one kind: what a route says would be read as something else. */
static bool one_kind(const struct builder *b, const char *name)
{
    const char *type = NULL;
    for (size_t i = 0; i < b->http_filters_count; i++) {
        const http_filter_message *f = b->http_filters[i];
        if (strcmp(f->name, name) != 0 || !f->typed_config)
            continue;
        if (type && strcmp(type, f->typed_config->type_url) != 0)
            return false;
        type = f->typed_config->type_url;
    }
    return true;
}

/* A name that no filter has would leave the filter on that the route meant to switch off. */
static void check_overrides(struct builder *b,
                            Envoy__Config__Route__V3__Route__TypedPerFilterConfigEntry *const *entries,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const Envoy__Config__Route__V3__FilterConfig *config = config_any_unpack(
            b->doc, entries[i]->value, &envoy__config__route__v3__filter_config__descriptor);
        bool found = config && config->is_optional;
        for (size_t j = 0; j < b->http_filters_count; j++)
            found = found || strcmp(b->http_filters[j]->name, entries[i]->key) == 0;
        if (!found)
            config_error_at(b->doc, b->diag, &entries[i]->base, NULL, -1,
                            "http_filters has no filter of this name");
        else if (!one_kind(b, entries[i]->key))
            config_error_at(b->doc, b->diag, &entries[i]->base, NULL, -1,
                            "filters of several kinds have this name; give them names of their own");
    }
}

#define CHECK_OVERRIDES(b, msg)                                                                              \
    check_overrides(                                                                                         \
        (b),                                                                                                 \
        (Envoy__Config__Route__V3__Route__TypedPerFilterConfigEntry *const *)(msg)->typed_per_filter_config, \
        (msg)->n_typed_per_filter_config)

static void check_route_overrides(struct builder *b, const Envoy__Config__Route__V3__Route *r)
{
    CHECK_OVERRIDES(b, r);
    if (r->action_case != ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE ||
        r->route->cluster_specifier_case !=
            ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS)
        return;
    for (size_t k = 0; k < r->route->weighted_clusters->n_clusters; k++)
        CHECK_OVERRIDES(b, r->route->weighted_clusters->clusters[k]);
}

static void check_all_overrides(struct builder *b, const hcm_message *in)
{
    const Envoy__Config__Route__V3__RouteConfiguration *t = in->route_config;
    CHECK_OVERRIDES(b, t);
    for (size_t i = 0; i < t->n_virtual_hosts; i++) {
        const Envoy__Config__Route__V3__VirtualHost *v = t->virtual_hosts[i];
        CHECK_OVERRIDES(b, v);
        for (size_t j = 0; j < v->n_routes; j++)
            check_route_overrides(b, v->routes[j]);
    }
    for (const struct matched_route *m = b->matched_routes; m; m = m->next)
        check_route_overrides(b, m->message);
}

/* --- all --- */

const struct hcm_config *builder_hcm(struct builder *b, const hcm_message *in)
{
    struct hcm_config *h = hcm_config_create();
    if (!h) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    uint32_t before = b->diag->errors_total;
    h->stat_prefix = builder_text(b, &h->arena, in->stat_prefix);
    /* Same numbers: AUTO, HTTP1, HTTP2. */
    h->codec = (enum hcm_codec)in->codec_type;
    if (in->max_request_headers_kb)
        h->max_request_headers_bytes = in->max_request_headers_kb->value * 1024;
    common_options(in->common_http_protocol_options, h);
    http1_options(b, in->http_protocol_options, h);
    h->stream_error_on_invalid_http_message = builder_bool(in->stream_error_on_invalid_http_message, false);
    h->http2.stream_error_on_bad_message =
        builder_bool(in->stream_error_on_invalid_http_message, h->http2.stream_error_on_bad_message);
    builder_http2(b, in->http2_protocol_options, &h->arena, &h->http2, &h->keepalive);
    timeouts(in, h);
    addresses(b, in, h);
    paths(b, in, h);
    headers(b, in, h);
    forward_proto(b, in, h);
    upgrades(b, in, h);
    local_replies(b, in, h);
    builder_access_logs(b, in->access_log, in->n_access_log, &h->arena, &h->access_logs,
                        &h->access_logs_count);
    all_filters(b, in);
    if (in->n_http_filters == 0)
        builder_error(b, in, "http_filters",
                      "is empty; the last filter must be envoy.extensions.filters.http.router.v3.Router");
    builder_early_steps(b, in, h);
    const struct builder_chain at = {.arena = &h->arena, .stat_prefix = h->stat_prefix};
    builder_filters(b, &at, in->http_filters, in->n_http_filters, &h->filters);
    b->hcm = h;
    if (in->route_specifier_case ==
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG) {
        h->route_table = builder_routes(b, in->route_config);
        check_all_overrides(b, in);
    }
    b->hcm = NULL;
    b->http_filters = NULL;
    b->http_filters_count = 0;
    const struct hcm_config *done = h;
    if (b->diag->errors_total == before && b->options->wasm)
        hcm_config_seal(h);
    if (b->diag->errors_total != before)
        hcm_config_unref(&done);
    return done;
}
