/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way of connecting to a host: for pools, connections without HTTP, and health checks. TLS is put on
 * top by upstream_tls_start.
 */
#ifndef WEIR_UPSTREAM_HOST_CONNECT_H
#define WEIR_UPSTREAM_HOST_CONNECT_H

#include "net/conn.h"
#include "upstream/cluster_stats.h"
#include "upstream/host.h"

struct cluster_config;
struct upstream_origin;

struct host_connect {
    struct loop *loop;
    const struct cluster_config *config; /* lives as long as the connection */
    const struct host *host;
    const struct address *address;
    struct address_list *any;             /* instead of `address`: whichever answers first; NULL: none */
    const struct upstream_origin *origin; /* for a PROXY header; NULL: the connection is our own */
};

/* What a worker wants. */
static inline struct host_connect host_connect_of(struct loop *loop, const struct cluster_config *config,
                                                  const struct host *h, uint32_t worker)
{
    return (struct host_connect){.loop = loop,
                                 .config = config,
                                 .host = h,
                                 .address = host_address(h, worker),
                                 .any = host_addresses(h, worker)};
}

/* As conn_connect. NULL and errno when it cannot even begin. */
struct conn *host_connect(const struct host_connect *wanted, const struct conn_events *events, void *owner);

/* Why connecting failed, in Envoy's words; "": nothing more is known than `why`. Cut to fit; returns dst. */
#define HOST_CONNECT_FAILURE_MAX 256
const char *host_connect_failure(const struct conn *conn, enum conn_close why,
                                 const struct cluster_config *config, char dst[HOST_CONNECT_FAILURE_MAX]);

/* Once it is connected, or has failed: sockets beyond the first count as connections (Envoy). */
static inline void host_connect_count(const struct conn *conn, struct cluster_stats *stats,
                                      struct host_shard *shard)
{
    if (WEIR_LIKELY(conn->attempts <= 1 && conn->bind_failures == 0))
        return;
    stat_add(stats->bind_errors, conn->bind_failures);
    stat_add(stats->upstream_cx_total, conn->attempts - 1u);
    host_count(&shard->cx_total, conn->attempts - 1u);
}

#endif
