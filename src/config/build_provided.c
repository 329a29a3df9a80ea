/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters that bring their own way to pick a host (CLUSTER_PROVIDED): ORIGINAL_DST, whose hosts come from
 * requests, and aggregates, whose hosts are other clusters'. Says no to whatever else would choose.
 */
#include "config/builder.h"

#include <envoy/extensions/clusters/aggregate/v3/cluster.pb-c.h>
#include <envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.pb-c.h>

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;

/* Envoy's. */
#define DESTINATION_HEADER "x-envoy-original-dst-host"

static void destination(struct builder *b, const Envoy__Config__Cluster__V3__Cluster__OriginalDstLbConfig *in,
                        struct cluster_config *c)
{
    const char *header = in->http_header_name;
    if (in->use_http_header)
        c->original_dst.header = builder_text(b, &c->arena, header[0] ? header : DESTINATION_HEADER);
    else if (header[0])
        builder_error(b, in, "http_header_name", "needs use_http_header: true");
    c->original_dst.port = builder_u32(in->upstream_port_override, c->original_dst.port);
}

static void original_dst(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    if (in->load_assignment)
        builder_error(b, in, "load_assignment",
                      "hosts of an ORIGINAL_DST cluster come from requests; remove it");
    /* At least a turn of the clock, as Envoy rounds it. */
    c->original_dst.cleanup_interval_ms =
        builder_ms(in->cleanup_interval, c->original_dst.cleanup_interval_ms);
    if (c->original_dst.cleanup_interval_ms == 0)
        c->original_dst.cleanup_interval_ms = 1;
    if (in->original_dst_lb_config)
        destination(b, in->original_dst_lb_config, c);
}

void builder_aggregate(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__Clusters__Aggregate__V3__ClusterConfig *in = (const void *)msg;
    struct aggregate_member *members = builder_array(b, &c->arena, in->n_clusters, sizeof *members);
    c->type = CLUSTER_AGGREGATE;
    c->aggregate.members = members;
    c->aggregate.count = members ? (uint32_t)in->n_clusters : 0;
    for (uint32_t i = 0; i < c->aggregate.count; i++) {
        members[i].name = builder_text(b, &c->arena, in->clusters[i]);
        members[i].hash = slice_hash(members[i].name);
    }
}

/* The typed policy of that name, which says no more. */
static bool typed_provided(const struct builder *b, const Envoy__Config__Cluster__V3__LoadBalancingPolicy *in)
{
    const Envoy__Config__Core__V3__TypedExtensionConfig *first =
        in->n_policies > 0 ? in->policies[0]->typed_extension_config : NULL;
    const ProtobufCMessage *msg = first ? config_any_message(b->doc, first->typed_config) : NULL;
    return msg &&
           msg->descriptor ==
               &envoy__extensions__load_balancing_policies__cluster_provided__v3__cluster_provided__descriptor;
}

bool builder_provided(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    bool typed = in->load_balancing_policy && typed_provided(b, in->load_balancing_policy);
    bool wanted = typed || in->lb_policy == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED;
    if (!cluster_type_provides(c->type)) {
        if (wanted)
            builder_error(b, in, typed ? "load_balancing_policy" : "lb_policy",
                          "CLUSTER_PROVIDED needs a cluster that provides one, like ORIGINAL_DST");
        return typed;
    }
    if (!wanted)
        builder_error(b, in, "lb_policy", "must be CLUSTER_PROVIDED in a cluster of this type");
    else if (in->load_balancing_policy && !typed)
        builder_error(b, in, "load_balancing_policy", "stands beside CLUSTER_PROVIDED; remove it");
    if (in->lb_subset_config)
        builder_error(b, in, "lb_subset_config", "cannot be combined with CLUSTER_PROVIDED; remove it");
    if (c->type == CLUSTER_ORIGINAL_DST)
        original_dst(b, in, c);
    return true;
}
