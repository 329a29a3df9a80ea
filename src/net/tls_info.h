/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one TLS connection, for access logs, headers and plugin attributes. The transport makes it
 * when the connection begins and fills it as the handshake goes; everybody else only reads. Counted by
 * reference on its worker's thread: who outlives the connection takes a reference. A connection without TLS
 * has none (a NULL pointer). Empty slices: there is no such thing on this connection.
 */
#ifndef WEIR_NET_TLS_INFO_H
#define WEIR_NET_TLS_INFO_H

#include "base/arena.h"
#include "base/slice.h"
#include "net/limits.h"

struct tls_context;

/* Subjects are RFC 2253 text, as Envoy prints them. */
struct tls_certificate_info {
    struct slice subject;
    struct slice issuer;
    struct slice serial;  /* lower-case hex */
    struct slice dns_san; /* the first of its kind, as of uri_san */
    struct slice uri_san;
    const struct slice *dns_sans;
    size_t dns_sans_count;
    const struct slice *uri_sans;
    size_t uri_sans_count;
    const struct slice *ip_sans; /* as text */
    size_t ip_sans_count;
    const struct slice *email_sans;
    size_t email_sans_count;
    int64_t not_before; /* seconds since the epoch; both 0 when there is no certificate */
    int64_t not_after;
};

struct tls_info {
    uint32_t refs;
    struct arena arena;                /* of what belongs to this connection alone */
    char first[TLS_INFO_FIRST_BYTES];  /* where it begins */
    const struct tls_context *context; /* owned reference; `local` lies there */

    struct slice version;     /* "TLSv1.3" */
    struct slice cipher;      /* OpenSSL's name: "TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256" */
    struct slice server_name; /* SNI; known also when the handshake failed later */
    struct slice alpn;        /* agreed on; empty: none */
    struct slice session_id;  /* lower-case hex; TLS 1.2 */
    struct tls_certificate_info local;
    struct tls_certificate_info peer;
    struct slice peer_sha256; /* lower-case hex of the certificate's SHA-256 */
    struct slice peer_sha1;
    struct slice peer_pem;       /* URL-encoded PEM */
    struct slice peer_chain_pem; /* the same of the whole chain, leaf first */
    struct slice failure;        /* why the handshake failed (%DOWNSTREAM_TRANSPORT_FAILURE_REASON%) */
    bool peer_presented;         /* the peer has shown a certificate, and it was accepted: mutual TLS */
    bool peer_validated;         /* ... and there was something to check it against */
    bool resumed;
};

struct tls_info *tls_info_ref(struct tls_info *info);
/* NULL content is fine. */
void tls_info_unref(struct tls_info **info);

#endif
