/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is set on a client socket before it connects: where from, TCP keep-alive, and what else a
 * configuration wants. Plain data of the configuration.
 */
#ifndef WEIR_NET_CONN_OPTIONS_H
#define WEIR_NET_CONN_OPTIONS_H

#include "net/address.h"
#include "net/socket_option.h"

struct conn_source {
    struct address address;        /* len 0: the system chooses */
    struct socket_options options; /* of those, the ones before binding are set (Envoy) */
};

struct conn_options {
    const struct conn_source *sources;
    size_t sources_count;
    bool freebind; /* also an address that is not there (yet) */
    struct socket_options keepalive;
};

/* The first of the peer's family, or the first of all; NULL: there is none. */
const struct conn_source *conn_options_source(const struct conn_options *o, const struct address *to);
/* 0 or a negative errno: the socket cannot be used as wanted. */
int conn_options_apply(const struct conn_options *o, int fd, const struct address *to);
/* The same of its source. */
int conn_options_bind(const struct conn_options *o, int fd, const struct address *to);

#endif
