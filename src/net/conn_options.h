/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is set on a client socket before it connects: where from, and TCP keep-alive. Plain data of the
 * configuration; nothing of it outlives the call.
 */
#ifndef WEIR_NET_CONN_OPTIONS_H
#define WEIR_NET_CONN_OPTIONS_H

#include "net/address.h"

struct conn_options {
    const struct address *sources; /* the first of the peer's family is bound; none: the system chooses */
    size_t sources_count;
    bool freebind;               /* also an address that is not there (yet) */
    bool keepalive;              /* SO_KEEPALIVE, with the next three; 0: the system's default */
    uint32_t keepalive_probes;   /* unanswered ones until the connection is given up */
    uint32_t keepalive_time_s;   /* idle time before the first */
    uint32_t keepalive_period_s; /* between them */
};

/* 0 or a negative errno: the socket cannot be used as wanted. */
int conn_options_apply(const struct conn_options *o, int fd, const struct address *to);

#endif
