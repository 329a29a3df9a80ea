/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener at run time: one listening socket on one worker, and the connections that came through it.
 */
#ifndef WEIR_PROXY_LISTENER_H
#define WEIR_PROXY_LISTENER_H

#include "net/acceptor.h"
#include "net/worker.h"
#include "proxy/listener/listener_config.h"

struct listener {
    struct worker_listener base;
    struct acceptor acceptor;
    const struct listener_config *config; /* owned reference */
    const struct listener_address *at;    /* of `config`: which of its addresses this socket has */
    struct worker *worker;
    struct list connections; /* struct downstream */
    struct list sessions;    /* struct tcp_session */
    struct list incoming;    /* struct incoming */
    struct address bound;    /* with the real port */
    uint32_t connections_count;
    bool open;            /* neither drained nor closed; without a socket too (bind_to_port: false) */
    bool closed;          /* by listener_close: the struct goes with the last connection */
    bool counts_globally; /* its connections count for the limit of the process */
};

/* Opens the sockets of one address of a listener for `count` workers: fds[0..count-1]; with port 0 all get
 * the same port. `bound` may name that port already (len > 0: other sockets are there). 0 or a negative
 * errno, and no socket then. */
int listener_open(const struct listener_config *config, const struct listener_address *at, uint32_t count,
                  int *fds, struct address *bound);

/* Takes the fd over; -1: it has no socket, and gets connections from other listeners only. On the worker's
 * thread, or before it starts. NULL when something is out (fd closed). */
struct listener *listener_create(struct worker *w, const struct listener_config *config,
                                 const struct listener_address *at, int fd);
/* Whose a connection is that `from` has accepted and that wanted to go to this address: the listener with it,
 * else that of the wildcard with its port. One that was drained is none, unless `from` was, too: then all
 * stop, and what is on its way arrives. NULL: nobody's. */
struct listener *listener_find(const struct listener *from, const struct address *address);
/* A connection that was accepted by `from` is `to`'s from now on, as limits and ends count. false: the limit
 * of the process is reached, and it stays. */
bool listener_take_over(struct listener *to, struct listener *from);
/* Takes what is queued, closes the socket; connections end with their current request. */
void listener_drain(struct listener *l);
/* A successor process serves from now on: the socket is closed, without taking what is queued when the
 * successor has the same one (`shared`). Connections stay until their answers end them. */
void listener_hand_over(struct listener *l, bool shared);
/* Asks the clients of HTTP/2 connections to open no more streams: they learn it without a request. */
void listener_go_away(struct listener *l);
/* Closes the socket and all connections hard; the struct goes when the last connection is gone. */
void listener_close(struct listener *l);
/* [worker's thread] An overload action that concerns all its listeners began or ended. */
void listener_overload_changed(struct worker *w);
/* A connection that was accepted is gone. */
void listener_connection_gone(struct listener *l);

/* The chain for a connection, or NULL: none matches. */
const struct filter_chain *listener_find_chain(const struct listener_config *config,
                                               const struct filter_chain_facts *facts);

/* Before the connection has an owner: it will be TLS, as the chain says. false: memory is out, or the chain's
 * certificates were never loaded; drop it. */
bool listener_start_tls(struct conn *conn, const struct filter_chain *chain);

#endif
