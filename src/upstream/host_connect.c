/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a host as its cluster says. Every failure but the first is told by `closed`.
 */
#include "upstream/host_connect.h"

#include "upstream/cluster_config.h"
#include "upstream/upstream_proxy.h"

#include <stdio.h>

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

const char *host_connect_failure(const struct conn *conn, enum conn_close why,
                                 const struct cluster_config *config, char dst[HOST_CONNECT_FAILURE_MAX])
{
    char text[120], address[ADDRESS_TEXT_MAX];
    const char *reason = strerror_r(conn->error, text, sizeof(text));
    dst[0] = '\0';
    if (why == CONN_CLOSE_BIND_FAILED)
        snprintf(dst, HOST_CONNECT_FAILURE_MAX, "failed to bind to %s: %s",
                 address_format(&conn_options_source(&config->socket, &conn->remote)->address, address),
                 reason);
    else if (conn_closed_by_us(why) || conn->error == 0 || conn->local.len > 0)
        return dst; /* or it was TLS that failed, which says so itself */
    else if (conn->refused)
        snprintf(dst, HOST_CONNECT_FAILURE_MAX, "immediate connect error: %s|remote address:%s", reason,
                 address_format(&conn->remote, address));
    else
        snprintf(dst, HOST_CONNECT_FAILURE_MAX, "delayed connect error: %s", reason);
    return dst;
}
