/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ORIGINAL_DST cluster says of its hosts, which come from requests. Says no to whatever chooses
 * between hosts or asks how they are: there is nothing to choose from, and nobody asks.
 */
#include "config/builder.h"

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

void builder_original_dst(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    if (in->lb_policy != ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED)
        builder_error(b, in, "lb_policy", "must be CLUSTER_PROVIDED in a cluster of type ORIGINAL_DST");
    if (in->load_balancing_policy)
        builder_error(b, in, "load_balancing_policy", "stands beside CLUSTER_PROVIDED; remove it");
    if (in->load_assignment)
        builder_error(b, in, "load_assignment",
                      "hosts of an ORIGINAL_DST cluster come from requests; remove it");
    if (in->lb_subset_config)
        builder_error(b, in, "lb_subset_config",
                      "hosts of an ORIGINAL_DST cluster have no subsets; remove it");
    if (in->n_health_checks > 0)
        builder_error(b, in, "health_checks",
                      "hosts of an ORIGINAL_DST cluster are not checked; remove them");
    if (in->outlier_detection)
        builder_error(b, in, "outlier_detection",
                      "hosts of an ORIGINAL_DST cluster are used however they are; remove it");
    if (in->common_lb_config)
        c->update_merge_window_ms =
            builder_ms(in->common_lb_config->update_merge_window, c->update_merge_window_ms);
    /* At least a turn of the clock, as Envoy rounds it. */
    c->original_dst.cleanup_interval_ms =
        builder_ms(in->cleanup_interval, c->original_dst.cleanup_interval_ms);
    if (c->original_dst.cleanup_interval_ms == 0)
        c->original_dst.cleanup_interval_ms = 1;
    if (in->original_dst_lb_config)
        destination(b, in->original_dst_lb_config, c);
}
