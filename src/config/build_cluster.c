/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cluster messages to cluster_config. Options of the upstream protocol stand in HttpProtocolOptions, or in
 * the older fields of the cluster itself.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "upstream/limits.h"

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;

#define UPSTREAM_CASE(name)                                                                                  \
    ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_##name
#define EXPLICIT_CASE(name)                                                                                  \
    ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_##name
#define UPSTREAM_OPTIONS "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

static void common_options(const Envoy__Config__Core__V3__HttpProtocolOptions *in, struct cluster_config *c)
{
    if (!in)
        return;
    c->idle_timeout_ms = builder_ms(in->idle_timeout, c->idle_timeout_ms);
    c->max_connection_duration_ms = builder_ms(in->max_connection_duration, c->max_connection_duration_ms);
    c->max_stream_duration_ms = builder_ms(in->max_stream_duration, c->max_stream_duration_ms);
    c->max_headers_count = builder_u32(in->max_headers_count, c->max_headers_count);
    c->max_requests_per_connection =
        builder_u32(in->max_requests_per_connection, c->max_requests_per_connection);
    if (in->max_response_headers_kb)
        c->max_headers_bytes = in->max_response_headers_kb->value * 1024;
}

static void http1_options(struct builder *b, const Envoy__Config__Core__V3__Http1ProtocolOptions *in,
                          struct cluster_config *c)
{
    if (!in)
        return;
    c->http1_enable_trailers = in->enable_trailers;
    c->http1_keys = builder_key_format(b, in);
}

static const upstream_message *upstream_options(struct builder *b, const cluster_message *in)
{
    const upstream_message *found = NULL;
    for (size_t i = 0; i < in->n_typed_extension_protocol_options; i++) {
        const Envoy__Config__Cluster__V3__Cluster__TypedExtensionProtocolOptionsEntry *e =
            in->typed_extension_protocol_options[i];
        if (strcmp(e->key, UPSTREAM_OPTIONS) != 0)
            builder_error(b, e, NULL, "is no name of protocol options; write " UPSTREAM_OPTIONS);
        else
            found = config_any_unpack(
                b->doc, e->value, &envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor);
    }
    const char *older = in->http_protocol_options          ? "http_protocol_options"
                        : in->http2_protocol_options       ? "http2_protocol_options"
                        : in->common_http_protocol_options ? "common_http_protocol_options"
                                                           : NULL;
    if (found && older)
        builder_error(b, in, older, "stands beside typed_extension_protocol_options; keep one of them");
    return found;
}

static void http2_options(struct builder *b, const Envoy__Config__Core__V3__Http2ProtocolOptions *in,
                          struct cluster_config *c)
{
    builder_http2(b, in, &c->arena, &c->http2, &c->keepalive);
}

/* Which protocol is spoken to the upstream, and its options. */
static void upstream_protocol(struct builder *b, const upstream_message *in, struct cluster_config *c)
{
    switch (in->upstream_protocol_options_case) {
    case UPSTREAM_CASE(EXPLICIT_HTTP_CONFIG):
        http1_options(b,
                      in->explicit_http_config->protocol_config_case == EXPLICIT_CASE(HTTP_PROTOCOL_OPTIONS)
                          ? in->explicit_http_config->http_protocol_options
                          : NULL,
                      c);
        if (in->explicit_http_config->protocol_config_case == EXPLICIT_CASE(HTTP2_PROTOCOL_OPTIONS)) {
            c->protocol = UPSTREAM_HTTP2;
            http2_options(b, in->explicit_http_config->http2_protocol_options, c);
        }
        break;
    case UPSTREAM_CASE(USE_DOWNSTREAM_PROTOCOL_CONFIG):
        c->protocol = UPSTREAM_AS_DOWNSTREAM;
        http1_options(b, in->use_downstream_protocol_config->http_protocol_options, c);
        http2_options(b, in->use_downstream_protocol_config->http2_protocol_options, c);
        break;
    case UPSTREAM_CASE(AUTO_CONFIG):
        c->protocol = UPSTREAM_AUTO;
        http1_options(b, in->auto_config->http_protocol_options, c);
        http2_options(b, in->auto_config->http2_protocol_options, c);
        break;
    default:
        break;
    }
}

static void names(struct builder *b, const Envoy__Config__Core__V3__UpstreamHttpProtocolOptions *in,
                  struct cluster_config *c)
{
    if (!in)
        return;
    c->auto_sni = in->auto_sni != 0;
    c->auto_san_validation = in->auto_san_validation != 0;
    c->auto_sni_header = builder_text(b, &c->arena, in->override_auto_sni_header);
}

static void protocol(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    c->max_requests_per_connection =
        builder_u32(in->max_requests_per_connection, c->max_requests_per_connection);
    common_options(in->common_http_protocol_options, c);
    http1_options(b, in->http_protocol_options, c);
    if (in->http2_protocol_options) {
        c->protocol = UPSTREAM_HTTP2;
        http2_options(b, in->http2_protocol_options, c);
    }
    names(b, in->upstream_http_protocol_options, c);
    const upstream_message *options = upstream_options(b, in);
    if (!options)
        return;
    names(b, options->upstream_http_protocol_options, c);
    common_options(options->common_http_protocol_options, c);
    upstream_protocol(b, options, c);
    builder_cluster_policy(b, options, c);
}

typedef Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds thresholds_message;

static unsigned priority_of(const thresholds_message *t)
{
    return t->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH ? BREAKER_HIGH : BREAKER_DEFAULT;
}

static void thresholds(const thresholds_message *t, struct breaker_config *out)
{
    out->max_connections = builder_u32(t->max_connections, out->max_connections);
    out->max_pending_requests = builder_u32(t->max_pending_requests, out->max_pending_requests);
    out->max_requests = builder_u32(t->max_requests, out->max_requests);
    out->max_retries = builder_u32(t->max_retries, out->max_retries);
    out->max_connection_pools = builder_u32(t->max_connection_pools, out->max_connection_pools);
    out->track_remaining = t->track_remaining;
    out->retry_budget = t->retry_budget != NULL;
    if (t->retry_budget && t->retry_budget->budget_percent)
        out->retry_budget_percent = t->retry_budget->budget_percent->value;
    if (t->retry_budget)
        out->retry_budget_min = builder_u32(t->retry_budget->min_retry_concurrency, out->retry_budget_min);
}

/* Of a host only its connections can be limited (Envoy refuses the rest too). */
static void host_thresholds(struct builder *b, const thresholds_message *t, struct breaker_config *out)
{
    if (t->max_pending_requests || t->max_requests || t->max_retries || t->max_connection_pools ||
        t->retry_budget || t->track_remaining)
        builder_error(b, t, NULL, "may limit max_connections only");
    out->host_connections_max = builder_u32(t->max_connections, out->host_connections_max);
}

static void breakers(struct builder *b, const Envoy__Config__Cluster__V3__CircuitBreakers *in,
                     struct cluster_config *c)
{
    unsigned seen = 0, seen_of_hosts = 0;
    for (size_t i = 0; in && i < in->n_thresholds; i++) {
        unsigned which = priority_of(in->thresholds[i]);
        if (seen & 1u << which)
            builder_error(b, in->thresholds[i], NULL, "is the second one of this priority; remove one");
        seen |= 1u << which;
        thresholds(in->thresholds[i], &c->breakers[which]);
    }
    for (size_t i = 0; in && i < in->n_per_host_thresholds; i++) {
        unsigned which = priority_of(in->per_host_thresholds[i]);
        if (seen_of_hosts & 1u << which)
            builder_error(b, in->per_host_thresholds[i], NULL,
                          "is the second one of this priority; remove one");
        seen_of_hosts |= 1u << which;
        host_thresholds(b, in->per_host_thresholds[i], &c->breakers[which]);
    }
}

/* Further addresses of a host. Those of names are what the resolver says, and these count for nothing
 * (Envoy). */
static void additional_addresses(struct builder *b, const Envoy__Config__Endpoint__V3__Endpoint *in,
                                 struct cluster_config *c, struct endpoint_config *out)
{
    size_t count = in->n_additional_addresses;
    if (count == 0 || c->type != CLUSTER_STATIC)
        return;
    if (count >= ENDPOINT_ADDRESSES_MAX) {
        builder_error(b, in, "additional_addresses", "an endpoint has at most %u addresses",
                      ENDPOINT_ADDRESSES_MAX);
        return;
    }
    out->addresses = builder_array(b, &c->arena, count + 1, sizeof *out->addresses);
    out->addresses_count = out->addresses ? count + 1 : 0;
    for (size_t i = 1; i < out->addresses_count; i++) {
        const Envoy__Config__Endpoint__V3__Endpoint__AdditionalAddress *a = in->additional_addresses[i - 1];
        if (!a->address)
            builder_error(b, a, "address", "is required; set it");
        else
            builder_address(b, a->address, &out->addresses[i]);
    }
}

static void endpoint(struct builder *b, struct cluster_config *c,
                     const Envoy__Config__Endpoint__V3__LbEndpoint *in, struct endpoint_config *out)
{
    struct arena *arena = &c->arena;
    endpoint_config_init(out);
    out->weight = builder_u32(in->load_balancing_weight, out->weight);
    out->health = (enum endpoint_health)in->health_status;
    out->metadata = builder_value(b, arena, in->metadata);
    const Envoy__Config__Endpoint__V3__Endpoint *e = in->endpoint;
    if (!e || !e->address) {
        builder_error(b, in, "endpoint", "needs an address");
        out->address = SLICE_LIT("127.0.0.1"); /* nothing is built from it; one error is enough */
        return;
    }
    out->hostname = builder_text(b, arena, e->hostname);
    builder_endpoint_health(b, arena, e, out);
    additional_addresses(b, e, c, out);
    if (e->address->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        out->is_pipe = true;
        out->address = builder_text(b, arena, e->address->pipe->path);
        return;
    }
    if (e->address->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        return; /* the API requires one: reported already */
    out->address = builder_text(b, arena, e->address->socket_address->address);
    out->port = (uint16_t)e->address->socket_address->port_value;
}

/* Envoy takes one category only. */
static void drop_overload(struct builder *b,
                          const Envoy__Config__Endpoint__V3__ClusterLoadAssignment__Policy *in,
                          struct cluster_config *c)
{
    if (in->n_drop_overloads == 0)
        return;
    if (in->n_drop_overloads > 1)
        builder_error(b, in, "drop_overloads", "has %zu categories; only one is supported, as in Envoy",
                      in->n_drop_overloads);
    if (in->drop_overloads[0]->drop_percentage)
        builder_fraction(in->drop_overloads[0]->drop_percentage, &c->drop_numerator, &c->drop_denominator);
}

static void localities(struct builder *b, const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *in,
                       struct cluster_config *c)
{
    struct locality_config *out = builder_array(b, &c->arena, in->n_endpoints, sizeof *out);
    if (in->policy) {
        c->overprovisioning_factor =
            builder_u32(in->policy->overprovisioning_factor, c->overprovisioning_factor);
        c->weighted_priority_health = in->policy->weighted_priority_health;
        drop_overload(b, in->policy, c);
    }
    c->localities = out;
    c->localities_count = out ? (uint32_t)in->n_endpoints : 0;
    for (size_t i = 0; out && i < in->n_endpoints; i++) {
        const Envoy__Config__Endpoint__V3__LocalityLbEndpoints *l = in->endpoints[i];
        out[i].priority = l->priority;
        out[i].weight = builder_u32(l->load_balancing_weight, 0);
        out[i].metadata = builder_value(b, &c->arena, l->metadata);
        out[i].message = builder_value(b, &c->arena, l->locality);
        if (l->locality) {
            out[i].region = builder_text(b, &c->arena, l->locality->region);
            out[i].zone = builder_text(b, &c->arena, l->locality->zone);
            out[i].sub_zone = builder_text(b, &c->arena, l->locality->sub_zone);
        }
        out[i].endpoints = builder_array(b, &c->arena, l->n_lb_endpoints, sizeof *out[i].endpoints);
        out[i].endpoints_count = out[i].endpoints ? (uint32_t)l->n_lb_endpoints : 0;
        for (size_t j = 0; j < out[i].endpoints_count; j++)
            endpoint(b, c, l->lb_endpoints[j], &out[i].endpoints[j]);
    }
}

const struct cluster_config *builder_cluster(struct builder *b, const cluster_message *in)
{
    struct cluster_config *c = cluster_config_create();
    if (!c) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    c->name = builder_text(b, &c->arena, in->name);
    c->alt_stat_name = builder_text(b, &c->arena, in->alt_stat_name);
    c->connect_timeout_ms = builder_ms(in->connect_timeout, c->connect_timeout_ms);
    c->buffer_bytes_max = builder_u32(in->per_connection_buffer_limit_bytes, c->buffer_bytes_max);
    c->metadata = builder_value(b, &c->arena, in->metadata);
    builder_sockets(b, in, c);
    c->ignore_health_on_removal = in->ignore_health_on_host_removal;
    c->close_on_health_failure = in->close_connections_on_host_health_failure;
    builder_discovery(b, in, c);
    builder_lb(b, in, c);
    breakers(b, in->circuit_breakers, c);
    protocol(b, in, c);
    if (c->type == CLUSTER_DYNAMIC)
        builder_dynamic_names(b, in, c);
    if (in->load_assignment)
        localities(b, in->load_assignment, c);
    builder_cluster_tls(b, in, c);
    struct builder_finish finish;
    builder_finish_init(&finish, b, &in->base);
    builder_health(b, in, c, &finish);
    builder_outlier(b, in, c);
    builder_cluster_runtime(b, c);
    const struct cluster_config *done = c;
    if (!cluster_config_finish(c, &finish.errors))
        cluster_config_unref(&done);
    return done;
}
