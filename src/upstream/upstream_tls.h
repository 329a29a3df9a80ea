/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards the hosts of a cluster: an UpstreamTlsContext. Counted by reference and shared by all threads;
 * immutable but for the context that tls_config makes of its files. Whoever connects to a host calls
 * upstream_tls_start right after conn_connect; hosts without TLS need nothing.
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_TLS_H
#define WEIR_UPSTREAM_UPSTREAM_TLS_H

#include "base/arena.h"
#include "net/tls.h"
#include "net/tls_config.h"
#include "upstream/upstream_wants.h"

#include <stdatomic.h>

struct host;
struct tls_sessions;

struct upstream_tls {
    atomic_uint refs;
    const struct tls_config *config; /* owned reference; loaded */
    struct slice sni;                /* lies behind the object */
    bool auto_host_sni;              /* the host's name before `sni` */
    uint32_t session_keys;           /* per host and worker; 0: sessions are not resumed */
};

/* With one reference; takes over that to `config`, also on failure. NULL when memory is out. */
struct upstream_tls *upstream_tls_create(const struct tls_config *config, struct slice sni);
const struct upstream_tls *upstream_tls_ref(const struct upstream_tls *t);
/* NULL content is fine. [any thread] */
void upstream_tls_unref(const struct upstream_tls **t);

/* What is offered when the configuration has no list: that which the caller is going to speak. */
enum upstream_alpn { UPSTREAM_ALPN_NONE, UPSTREAM_ALPN_HTTP1, UPSTREAM_ALPN_HTTP2, UPSTREAM_ALPN_BOTH };

/*
 * Puts TLS below a connection to `host` that was just begun (host->tls is not NULL). `sessions`: where those
 * of this host and these wants are kept, made when needed; NULL: none are. A reference to what is known of
 * the connection is put into *info: its `failure` says why a handshake failed. false: it cannot begin; the
 * connection is to be closed.
 */
bool upstream_tls_start(struct conn *conn, const struct host *host, const struct upstream_wants *wants,
                        enum upstream_alpn alpn, struct tls_sessions **sessions, struct tls_info **info);

#endif
