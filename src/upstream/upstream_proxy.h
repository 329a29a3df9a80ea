/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY headers towards the hosts of a cluster: what Envoy's upstream_proxy_protocol transport socket says.
 * Counted by reference and shared by all threads; immutable. Whoever connects to a host with one calls
 * upstream_proxy_start right after conn_connect.
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_PROXY_H
#define WEIR_UPSTREAM_UPSTREAM_PROXY_H

#include "net/conn.h"
#include "net/proxy_header.h"
#include "telemetry/stats.h"

#include <stdatomic.h>

/* Where a client's connection came from and went to; borrowed. */
struct upstream_origin {
    struct address from;
    struct address to;
    struct slice tlvs; /* that may be passed on, as in a header of version 2 */
};

struct upstream_proxy {
    atomic_uint refs;
    enum proxy_version version;
    bool pass_all;      /* TLVs of the origin */
    uint8_t pass[32];   /* or those whose bit is set */
    stat_id exceeded;   /* v2_tlvs_exceed_max_length */
    struct slice added; /* TLVs, as on the wire; lies behind the object */
};

/* With one reference; copies `added`. NULL when memory is out. */
struct upstream_proxy *upstream_proxy_create(struct slice added);
const struct upstream_proxy *upstream_proxy_ref(const struct upstream_proxy *p);
/* NULL content is fine. [any thread] */
void upstream_proxy_unref(const struct upstream_proxy **p);

/* Puts the header before everything else on a connection that was just begun. `origin` NULL: it is our own
 * (a health check, a plugin's call). false: memory is out; the connection is to be closed. */
bool upstream_proxy_start(struct conn *conn, const struct upstream_proxy *p,
                          const struct upstream_origin *origin);

#endif
