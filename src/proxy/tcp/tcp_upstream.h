/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection to a host of a cluster for one downstream connection: picking the host, breakers,
 * connecting, and the cluster's and host's counts. Nothing here is reused or shared.
 */
#ifndef WEIR_PROXY_TCP_UPSTREAM_H
#define WEIR_PROXY_TCP_UPSTREAM_H

#include "net/conn.h"
#include "upstream/worker_cluster.h"

struct upstream_origin;
struct worker;

enum tcp_upstream_result {
    TCP_UPSTREAM_CONNECTING,
    TCP_UPSTREAM_NO_HOST,
    TCP_UPSTREAM_OVERFLOW, /* too many wait for connections */
    TCP_UPSTREAM_FAILED,   /* connecting cannot even begin */
};

struct tcp_upstream {
    struct worker_cluster *cluster;    /* owned reference while there is an attempt */
    struct host *host;                 /* owned reference, of the last attempt */
    struct conn *conn;                 /* NULL: no attempt is under way */
    struct worker_cluster_conn listed; /* while there is an attempt */
    struct tls_info *tls;              /* owned reference, of the last attempt; NULL: clear text */
    uint64_t started_ms;
    uint64_t bytes_in_counted;
    uint64_t bytes_out_counted;
    bool connected;
    bool tcp_open;      /* the last attempt got as far as the TLS handshake */
    bool ended_by_peer; /* the peer's end came last: closing only follows it */
};

/* Whether the cluster may have another connection; counts an overflow if not. */
bool tcp_upstream_allowed(struct worker_cluster *wc);
/* Starts an attempt. `origin`: for hosts that want a PROXY header; NULL: none of the cluster does. The events
 * come to `owner` through the connection; `connected` and `closed` must call the functions below. */
enum tcp_upstream_result tcp_upstream_start(struct tcp_upstream *u, struct worker *w,
                                            struct worker_cluster *wc, const struct lb_request *wish,
                                            const struct upstream_origin *origin,
                                            const struct conn_events *events, void *owner);
void tcp_upstream_connected(struct tcp_upstream *u);
/* Brings the byte counts up to date. */
void tcp_upstream_count_bytes(struct tcp_upstream *u);
void tcp_upstream_closed(struct tcp_upstream *u, enum conn_close why);
/* Drops the references. No attempt may be under way. */
void tcp_upstream_fini(struct tcp_upstream *u);

#endif
