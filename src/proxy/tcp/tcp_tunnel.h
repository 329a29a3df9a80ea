/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection through an HTTP proxy: one CONNECT or POST request whose bodies are the bytes
 * (tunneling_config). The stream comes from the cluster's pools, in the protocol that the cluster speaks.
 */
#ifndef WEIR_PROXY_TCP_TUNNEL_H
#define WEIR_PROXY_TCP_TUNNEL_H

#include "base/chain.h"
#include "net/conn.h"
#include "proxy/routing/header_mutation.h"

struct address;
struct tcp_upstream;
struct tcp_upstream_wish;
struct tls_info;
struct worker;

struct tcp_tunnel_config {
    struct stream_format *hostname; /* owned; what the request is for */
    struct slice post_path;         /* ptr NULL: CONNECT */
    struct header_mutation headers;
    bool request_id;        /* each request gets one */
    struct slice id_header; /* under this name */
    bool propagate_headers; /* the answer's head becomes filter state of the connection */
    bool propagate_trailers;
};

void tcp_tunnel_config_fini(struct tcp_tunnel_config *c);

/* For u->host; NULL: it could not begin (*overflow: a breaker is open). */
struct tcp_tunnel *tcp_tunnel_open(struct tcp_upstream *u, struct worker *w,
                                   const struct tcp_upstream_wish *wish, bool *overflow);
bool tcp_tunnel_send(struct tcp_tunnel *t, struct chain *data);
void tcp_tunnel_end(struct tcp_tunnel *t);
void tcp_tunnel_pause(struct tcp_tunnel *t, bool on);
void tcp_tunnel_close(struct tcp_tunnel *t, enum conn_close_mode mode);
const struct address *tcp_tunnel_local(const struct tcp_tunnel *t);
const struct address *tcp_tunnel_remote(const struct tcp_tunnel *t);
uint64_t tcp_tunnel_connection_id(const struct tcp_tunnel *t);
struct tls_info *tcp_tunnel_tls(const struct tcp_tunnel *t);

#endif
