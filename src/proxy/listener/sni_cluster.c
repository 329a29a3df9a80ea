/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As Envoy: the name goes into the filter state where the TCP proxy looks for a connection's own cluster. A
 * client that names nobody goes where the TCP proxy is configured to. It never decides whether the cluster is
 * there.
 */
#include "proxy/listener/sni_cluster.h"

static enum network_status new_connection(struct network_filter *f)
{
    static const struct filter_state_prototype prototype = {.type = FILTER_STATE_STRING,
                                                            .span = FILTER_STATE_CONNECTION};
    struct stream *s = network_filter_stream(f);
    struct slice name = stream_info_server_name(&s->info);
    if (name.len > 0 &&
        filter_state_set(&s->filter_state, TCP_PROXY_CLUSTER_KEY, name, &prototype) != FILTER_STATE_OK) {
        network_filter_close(f, CONN_CLOSE_NOW); /* nowhere else, if it cannot be said where */
        return NETWORK_STOP;
    }
    return NETWORK_CONTINUE;
}

static const struct network_filter_ops ops = {.name = "sni_cluster", .new_connection = new_connection};

void sni_cluster_init(struct network_filter_config *f)
{
    *f = (struct network_filter_config){.ops = &ops, .name = SLICE_LIT("sni_cluster")};
}
