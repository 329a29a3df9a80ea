/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of the health check filter. Checks what only the whole can tell: modes that exclude each
 * other, clusters that are not there.
 */
#include "config/builder.h"
#include "filters/health_check/health_check.h"

#include <envoy/extensions/filters/http/health_check/v3/health_check.pb-c.h>

typedef Envoy__Extensions__Filters__Http__HealthCheck__V3__HealthCheck filter_message;

static void headers(struct builder *b, const filter_message *in, struct health_filter_config *c)
{
    struct builder_finish finish;
    builder_finish_init(&finish, b, &in->base);
    c->headers = builder_array(b, &c->arena, in->n_headers, sizeof *c->headers);
    for (size_t i = 0; c->headers && i < in->n_headers; i++) {
        char path[BUILD_PATH_BYTES_MAX];
        builder_header_matcher(b, &c->arena, in->headers[i], &c->headers[i]);
        header_matcher_finish(&c->headers[i], &c->arena, build_path(path, "", "headers[%u]", (unsigned)i),
                              &finish.errors);
        c->headers_count++;
    }
}

static void clusters(struct builder *b, const filter_message *in, struct health_filter_config *c)
{
    size_t count = in->n_cluster_min_healthy_percentages;
    c->clusters = builder_array(b, &c->arena, count, sizeof *c->clusters);
    for (size_t i = 0; c->clusters && i < count; i++) {
        const Envoy__Extensions__Filters__Http__HealthCheck__V3__HealthCheck__ClusterMinHealthyPercentagesEntry
            *e = in->cluster_min_healthy_percentages[i];
        c->clusters[i].name = builder_text(b, &c->arena, e->key);
        c->clusters[i].hash = slice_hash(c->clusters[i].name);
        c->clusters[i].percent = e->value ? e->value->value : 0;
        c->clusters_count++;
    }
}

bool builder_health_filter(struct builder *b, const filter_message *in, struct slice stat_prefix,
                           struct filter_config *out)
{
    struct health_filter_config *c = health_filter_config_create(stat_prefix);
    if (!c) {
        builder_error(b, in, NULL, "out of memory");
        return false;
    }
    const Envoy__Config__Core__V3__Node *node = config_bootstrap(b->doc)->node;
    c->pass_through = builder_bool(in->pass_through_mode, false);
    c->cache_ms = builder_ms(in->cache_time, 0);
    c->node_cluster = builder_text(b, &c->arena, node ? node->cluster : "");
    if (!c->pass_through && c->cache_ms)
        builder_error(b, in, "cache_time", "has a meaning only with pass_through_mode");
    if (c->pass_through && in->n_cluster_min_healthy_percentages > 0)
        builder_error(b, in, "cluster_min_healthy_percentages",
                      "has a meaning only without pass_through_mode");
    headers(b, in, c);
    clusters(b, in, c);
    out->ops = &health_filter_ops;
    out->config = c;
    out->destroy = health_filter_config_destroy;
    return true;
}
