/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TcpProxy to tcp_proxy_config. A cluster that the file does not have is no error: Envoy closes such
 * connections with the flag NC, and a file must mean the same here.
 */
#include "config/builder.h"

#include "proxy/logging/log_format.h"
#include "proxy/tcp/tcp_proxy_config.h"
#include "proxy/tcp/tcp_tunnel.h"

#include <math.h>

typedef Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__TunnelingConfig tunnel_message;

static void one_cluster(struct builder *b, struct tcp_proxy_config *t, const char *name)
{
    struct tcp_proxy_target *target = builder_array(b, &t->arena, 1, sizeof *target);
    if (!target)
        return;
    target->cluster = builder_text(b, &t->arena, name);
    target->hash = slice_hash(target->cluster);
    target->match = t->match;
    t->targets = target;
    t->targets_count = 1;
}

static void
weighted_clusters(struct builder *b, struct tcp_proxy_config *t,
                  const Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__WeightedCluster *in)
{
    uint64_t total = 0;
    struct tcp_proxy_target *targets = builder_array(b, &t->arena, in->n_clusters, sizeof *targets);
    for (size_t i = 0; targets && i < in->n_clusters; i++) {
        total += in->clusters[i]->weight;
        targets[i].cluster = builder_text(b, &t->arena, in->clusters[i]->name);
        targets[i].hash = slice_hash(targets[i].cluster);
        targets[i].cumulative_end = total;
        targets[i].match = builder_match(b, &t->arena, in->clusters[i]->metadata_match, t->match);
    }
    t->targets = targets;
    t->targets_count = targets ? in->n_clusters : 0;
}

static void targets(struct builder *b, struct tcp_proxy_config *t, const tcp_proxy_message *in)
{
    switch (in->cluster_specifier_case) {
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER:
        one_cluster(b, t, in->cluster);
        break;
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS:
        weighted_clusters(b, t, in->weighted_clusters);
        break;
    default:
        break; /* the API requires one: reported already */
    }
}

static void back_off(struct builder *b, struct tcp_proxy_config *t,
                     const Envoy__Config__Core__V3__BackoffStrategy *in)
{
    if (!in)
        return;
    t->back_off_base_ms = builder_ms(in->base_interval, 0);
    t->back_off_max_ms = builder_ms(in->max_interval, t->back_off_base_ms * 10);
    if (t->back_off_max_ms < t->back_off_base_ms)
        builder_error(b, in, "max_interval", "must not be less than base_interval");
}

/* The older fields stand for those of access_log_options, but not beside it. */
static void log_options(struct builder *b, struct tcp_proxy_config *t, const tcp_proxy_message *in)
{
    const Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy__TcpAccessLogOptions *o =
        in->access_log_options;
    if (o && in->flush_access_log_on_connected)
        builder_error(b, in, "flush_access_log_on_connected", "stands beside access_log_options");
    if (o && in->access_log_flush_interval)
        builder_error(b, in, "access_log_flush_interval", "stands beside access_log_options");
    t->log_connected = o ? o->flush_access_log_on_connected : in->flush_access_log_on_connected;
    t->log_interval_ms = builder_ms(o ? o->access_log_flush_interval : in->access_log_flush_interval, 0);
}

static void connecting(struct builder *b, struct tcp_proxy_config *t, const tcp_proxy_message *in)
{
    t->connect_moment = (enum tcp_connect_moment)in->upstream_connect_mode;
    t->early_data = in->max_early_data_bytes != NULL;
    t->early_bytes_max = builder_u32(in->max_early_data_bytes, 0);
    if (t->connect_moment != TCP_CONNECT_AT_ONCE && !t->early_data)
        builder_error(b, in, "upstream_connect_mode",
                      "needs max_early_data_bytes: what may come before there is an upstream");
}

static void duration(struct tcp_proxy_config *t, const tcp_proxy_message *in)
{
    const Envoy__Type__V3__Percent *jitter = in->max_downstream_connection_duration_jitter_percentage;
    t->duration_max_ms = builder_ms(in->max_downstream_connection_duration, 0);
    if (jitter)
        t->duration_jitter_ms = (uint64_t)ceil((double)t->duration_max_ms * (jitter->value / 100.0));
}

/* A request id, where an extension that makes them is named: the only one there is makes UUIDs. */
static void tunnel_id(struct builder *b, struct tcp_proxy_config *t, const tunnel_message *in)
{
    t->tunnel->request_id = in->request_id_extension && in->request_id_extension->typed_config;
    t->tunnel->id_header =
        builder_text(b, &t->arena, in->request_id_header[0] ? in->request_id_header : "x-request-id");
    if (!header_name_valid(t->tunnel->id_header))
        builder_error(b, in, "request_id_header", "is no header name");
}

static void tunnel(struct builder *b, struct tcp_proxy_config *t, const tunnel_message *in)
{
    static const struct log_format_options plain;
    struct tcp_tunnel_config *c = in ? builder_array(b, &t->arena, 1, sizeof *c) : NULL;
    struct log_format_error error;
    struct builder_finish finish;
    if (!c)
        return;
    t->tunnel = c;
    c->hostname = log_format_text(slice_str(in->hostname), &plain, &error);
    if (!c->hostname)
        builder_error(b, in, "hostname", "%s", error.text);
    if (in->use_post)
        c->post_path = builder_text(b, &t->arena, in->post_path[0] ? in->post_path : "/");
    else if (in->post_path[0])
        builder_error(b, in, "post_path", "stands without use_post");
    builder_mutation(b, &t->arena, in->headers_to_add, in->n_headers_to_add, NULL, 0, &c->headers);
    builder_finish_init(&finish, b, &in->base);
    header_mutation_finish(&c->headers, &t->arena, "headers_to_add", "", &finish.errors);
    c->propagate_headers = in->propagate_response_headers;
    c->propagate_trailers = in->propagate_response_trailers;
    tunnel_id(b, t, in);
}

const struct tcp_proxy_config *builder_tcp_proxy(struct builder *b, const tcp_proxy_message *in)
{
    struct tcp_proxy_config *t = tcp_proxy_config_create();
    if (!t) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    uint32_t before = b->diag->errors_total;
    t->stat_prefix = builder_text(b, &t->arena, in->stat_prefix);
    t->connect_attempts_max = builder_u32(in->max_connect_attempts, t->connect_attempts_max);
    t->idle_timeout_ms = builder_ms(in->idle_timeout, t->idle_timeout_ms);
    duration(t, in);
    back_off(b, t, in->backoff_options);
    log_options(b, t, in);
    connecting(b, t, in);
    tunnel(b, t, in->tunneling_config);
    t->match = builder_match(b, &t->arena, in->metadata_match, NULL);
    targets(b, t, in);
    struct slice tlvs =
        builder_tlvs(b, &in->base, "proxy_protocol_tlvs", in->proxy_protocol_tlvs, in->n_proxy_protocol_tlvs);
    t->proxy_tlvs = builder_bytes(b, &t->arena, tlvs.ptr, tlvs.len);
    builder_tcp_hash(b, in, t);
    builder_access_logs(b, in->access_log, in->n_access_log, &t->arena, &t->access_logs,
                        &t->access_logs_count);
    const struct tcp_proxy_config *out = t;
    if (b->diag->errors_total != before)
        tcp_proxy_config_unref(&out);
    else
        tcp_proxy_config_seal(t);
    return out;
}
