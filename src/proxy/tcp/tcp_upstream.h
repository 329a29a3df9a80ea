/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upstream side of one connection of the TCP proxy: picking the host, breakers, connecting, the cluster's
 * and host's counts. Either a TCP connection of its own, or a tunnel: a stream of an HTTP connection, which
 * comes from the cluster's pools (tcp_tunnel.h).
 */
#ifndef WEIR_PROXY_TCP_UPSTREAM_H
#define WEIR_PROXY_TCP_UPSTREAM_H

#include "net/conn.h"
#include "upstream/worker_cluster.h"

struct stream;
struct tcp_tunnel;
struct tcp_tunnel_config;
struct upstream_origin;
struct worker;

/* How it ended, or why there was none. */
struct tcp_upstream_end {
    bool was_connected;
    bool given_up;        /* it never failed: the client has gone */
    bool reset;           /* by the peer */
    bool local;           /* the peer was not even asked */
    struct slice failure; /* what Envoy says about it; empty: nothing. Lives during the call */
};

/* All come from the event loop, never from inside a function of this file. */
struct tcp_upstream_events {
    void (*connected)(void *owner);
    /* The owner takes all of it. */
    void (*data)(void *owner, struct chain *data);
    /* The peer has shut its side. */
    void (*eof)(void *owner);
    /* More unsent bytes than it likes (on), or room again (off). */
    void (*full)(void *owner, bool on);
    /* The last one; another attempt may be started. */
    void (*closed)(void *owner, const struct tcp_upstream_end *end);
};

enum tcp_upstream_result {
    TCP_UPSTREAM_CONNECTING,
    TCP_UPSTREAM_NO_HOST,
    TCP_UPSTREAM_OVERFLOW, /* too many wait for connections */
    TCP_UPSTREAM_FAILED,   /* connecting cannot even begin */
};

struct tcp_upstream {
    const struct tcp_upstream_events *events;
    void *owner;
    struct worker_cluster *cluster;    /* owned reference while there is an attempt */
    struct host *host;                 /* owned reference, of the last attempt */
    struct conn *conn;                 /* NULL: no connection is there or under way */
    struct tcp_tunnel *tunnel;         /* owned; NULL: no tunnel is there or under way */
    struct worker_cluster_conn listed; /* while there is a connection */
    struct tls_info *tls;              /* owned reference, of the last connection; NULL: clear text */
    uint64_t started_ms;
    uint64_t bytes_in_counted;
    uint64_t bytes_out_counted;
    bool connected;
    bool ended_by_peer; /* the peer's end came last: closing only follows it */
};

/* What an attempt is told of who makes it. Lives during the call. */
struct tcp_upstream_wish {
    const struct lb_request *request;       /* NULL: nothing for the balancer */
    const struct upstream_origin *origin;   /* for hosts that want a PROXY header; NULL: none of them does */
    const struct tcp_tunnel_config *tunnel; /* through a tunnel; NULL: a connection of its own */
    struct stream *stream;                  /* whose values go into the head of a tunnel's request */
};

/* Whether the cluster may have another connection; counts an overflow if not. */
bool tcp_upstream_allowed(struct worker_cluster *wc);
/* Starts an attempt. */
enum tcp_upstream_result tcp_upstream_start(struct tcp_upstream *u, struct worker *w,
                                            struct worker_cluster *wc, const struct tcp_upstream_wish *wish);
/* There is an attempt, or a connection. */
static inline bool tcp_upstream_open(const struct tcp_upstream *u)
{
    return u->conn || u->tunnel;
}
/* Takes the bytes out of `data`. False: memory is out, or it is lost. Only when connected. */
bool tcp_upstream_send(struct tcp_upstream *u, struct chain *data);
/* Half-close: the peer is told, after what was sent. */
void tcp_upstream_end(struct tcp_upstream *u);
/* Its bytes are not read (on) until off. */
void tcp_upstream_pause(struct tcp_upstream *u, bool on);
/* `closed` follows. Not open is fine. CONN_CLOSE_FLUSH: what was sent still goes, as far as the peer is not
 * waited for. */
void tcp_upstream_close(struct tcp_upstream *u, enum conn_close_mode mode);

/* Bytes that left for the peer, and whether some still wait. A tunnel's are not known. */
static inline uint64_t tcp_upstream_bytes_sent(const struct tcp_upstream *u)
{
    return u->conn ? u->conn->bytes_out : 0;
}
static inline bool tcp_upstream_flushing(const struct tcp_upstream *u)
{
    return u->conn && !chain_empty(&u->conn->out);
}
/* Brings the cluster's byte counts up to date. */
void tcp_upstream_count_bytes(struct tcp_upstream *u);

/* Of the connection, once connected. */
const struct address *tcp_upstream_local(const struct tcp_upstream *u);
const struct address *tcp_upstream_remote(const struct tcp_upstream *u);
uint64_t tcp_upstream_connection_id(const struct tcp_upstream *u);
struct tls_info *tcp_upstream_tls(const struct tcp_upstream *u);

/* For tcp_tunnel.c: the attempt is over. */
void tcp_upstream_tunnel_gone(struct tcp_upstream *u);
/* Drops the references. No attempt may be under way. */
void tcp_upstream_fini(struct tcp_upstream *u);

#endif
