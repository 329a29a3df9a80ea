/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a host as its cluster says. Every failure but the first is told by `closed`.
 */
#include "upstream/host_connect.h"

#include "upstream/cluster_config.h"
#include "upstream/upstream_proxy.h"

struct conn *host_connect(const struct host_connect *wanted, const struct conn_events *events, void *owner)
{
    const struct cluster_config *config = wanted->config;
    const struct conn_target to = {
        .address = wanted->address, .any = wanted->any, .options = &config->socket};
    struct conn *conn = conn_connect_to(wanted->loop, &to, config->connect_timeout_ms, events, owner,
                                        config->buffer_bytes_max);
    const struct upstream_proxy *proxy = wanted->host->proxy;
    if (conn && WEIR_UNLIKELY(proxy != NULL) && !upstream_proxy_start(conn, proxy, wanted->origin))
        conn_close(conn, CONN_CLOSE_NOW, 0);
    return conn;
}
