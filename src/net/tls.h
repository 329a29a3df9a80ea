/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on a connection, for either role: puts the TLS transport below a conn that was just made. The owner
 * goes on as with clear text; what it may want to know is in tls_info. docs/tls.md says how ends and errors
 * look from outside.
 */
#ifndef WEIR_NET_TLS_H
#define WEIR_NET_TLS_H

#include "net/conn.h"
#include "net/tls_context.h"

extern const struct transport_ops transport_tls;

struct ssl_session_st;
struct tls_sessions;

/* What one client connection has beyond its context; borrowed for the call. */
struct tls_client_options {
    struct slice server_name; /* SNI; empty: none is sent */
    const struct slice *alpn; /* instead of the context's list; NULL: that */
    size_t alpn_count;
    struct ssl_session_st *session; /* to be resumed; NULL: none */
    struct tls_sessions *sessions;  /* else one of these, and new ones go there (tls_settings.keep_sessions);
                                       it  outlives the connection. NULL: none */
    struct slice wanted_san; /* the name that its certificate must have; empty: what the context says */
};

/*
 * Right after conn_accepted; bytes in conn->in are the handshake's first. `secured` follows, or `closed` with
 * CONN_CLOSE_ERROR (refused, broken), CONN_CLOSE_REMOTE (the client went) or CONN_CLOSE_CONNECT_TIMEOUT.
 * timeout_ms 0: no limit. false: memory is out; the conn is as before.
 */
bool tls_start_server(struct conn *conn, const struct tls_context *context, uint64_t timeout_ms);
/* Right after conn_connect, whose timeout also covers the handshake. `connected` follows when that is done;
 * failures are CONN_CLOSE_CONNECT_FAILED with EPROTO and a text in tls_info.failure. */
bool tls_start_client(struct conn *conn, const struct tls_context *context,
                      const struct tls_client_options *options);

/* NULL: clear text, or closed. Who needs it longer takes a reference. */
struct tls_info *tls_info_of(const struct conn *conn);
/* For callbacks of the library. */
struct conn *tls_conn_of(const struct ssl_st *ssl);

#endif
