/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TcpProxy to tcp_proxy_config. A cluster that the file does not have is no error: Envoy closes such
 * connections with the flag NC, and a file must mean the same here.
 */
#include "config/builder.h"

#include "proxy/tcp/tcp_proxy_config.h"

static void one_cluster(struct builder *b, struct tcp_proxy_config *t, const char *name)
{
    struct tcp_proxy_target *target = builder_array(b, &t->arena, 1, sizeof *target);
    if (!target)
        return;
    target->cluster = builder_text(b, &t->arena, name);
    target->hash = slice_hash(target->cluster);
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
    t->duration_max_ms = builder_ms(in->max_downstream_connection_duration, 0);
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
