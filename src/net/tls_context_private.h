/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tls_context.c, tls_select.c, tls_session.c and transport_tls.c share. Internal to them.
 */
#ifndef WEIR_NET_TLS_CONTEXT_PRIVATE_H
#define WEIR_NET_TLS_CONTEXT_PRIVATE_H

#include "net/conn.h"
#include "net/tls_certificate.h"
#include "net/tls_context.h"
#include "net/tls_verify.h"

#include <openssl/ssl.h>

/* A certificate with its key; each has a context of the library's own, because that takes one. */
struct tls_identity {
    SSL_CTX *ctx;
    struct tls_certificate_info info;
    struct slice common_name; /* of the subject; empty: none */
    bool ecdsa;
    bool must_staple;     /* it says so itself */
    struct slice staple;  /* DER; empty: none */
    int64_t staple_until; /* seconds of the epoch */
};

struct tls_context {
    atomic_uint refs;
    struct arena arena;
    bool server;
    bool require_client_certificate;
    bool require_sni;
    bool full_scan;
    enum tls_staple_policy staple_policy;
    bool enforce_rsa_usage;
    struct slice alpn;          /* wire format */
    struct tls_key_log key_log; /* owns a reference to its file; ranges lie in the arena */
    struct tls_stats *stats;
    struct tls_tickets *tickets;
    struct tls_verify *verify;
    struct tls_identity *identities; /* at least one; a client's may have no certificate */
    size_t identities_count;
    bool has_certificate;
};

/* One connection's state, in conn->transport_state. */
struct tls_conn {
    SSL *ssl;
    const struct tls_context *context; /* lives by info's reference */
    struct tls_info *info;             /* owned reference */
    const struct tls_identity *identity;
    struct conn *conn;
    struct tls_sessions *sessions; /* of the client's options; NULL: none */
    struct chain early;            /* read before the handshake began */
    struct chain sealed;           /* for the socket */
    size_t budget;                 /* bytes that may still be received in this event */
    int error;                     /* errno of the socket */
    bool dry;                      /* the socket had less than was asked for */
    bool dry_before;               /* it was so when the handshake ended, in the same event */
    bool ended;                    /* the socket has no more, ever */
    bool failed;                   /* the session cannot go on */
    bool eof_due;                  /* an end that was seen behind bytes is to be told next */
    struct tls_check check;        /* what became of the peer's certificate */
};

/* tls_select.c: which certificate a ClientHello gets. */
enum ssl_select_cert_result_t tls_select(const SSL_CLIENT_HELLO *hello);
/* tls_session.c: the ticket callback. */
int tls_session_ticket(SSL *ssl, uint8_t *key_name, uint8_t *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac,
                       int encrypt);
/* tls_peer.c */
/* The handshake has ended, well or not: counts what the check said. */
void tls_peer_count_check(const struct tls_conn *t);
/* Fills in what the finished handshake has agreed on, and counts it. */
void tls_peer_describe(struct tls_conn *t);
/* tls_error.c: takes the library's queue as Envoy's text, and counts. */
void tls_error_take(struct tls_conn *t);

#endif
