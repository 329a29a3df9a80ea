/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one TLS connection once its handshake is done, for access logs and plugin attributes. The
 * transport fills it and keeps it as long as the connection; everybody else only reads. A connection without
 * TLS has none (a NULL pointer). Empty slices: there is no such thing on this connection.
 */
#ifndef WEIR_NET_TLS_INFO_H
#define WEIR_NET_TLS_INFO_H

#include "base/slice.h"

/* Subjects are RFC 2253 text, as Envoy prints them. Of several SANs the first counts. */
struct tls_certificate_info {
    struct slice subject;
    struct slice dns_san;
    struct slice uri_san;
};

struct tls_info {
    struct slice version;     /* "TLSv1.3" */
    struct slice server_name; /* SNI; known also when the handshake failed later */
    struct tls_certificate_info local;
    struct tls_certificate_info peer;
    struct slice peer_sha256; /* lower-case hex of the certificate's SHA-256 */
    struct slice peer_pem;    /* URL-encoded PEM */
    struct slice failure;     /* why the handshake failed (%DOWNSTREAM_TRANSPORT_FAILURE_REASON%) */
    bool peer_presented;      /* a client certificate was shown and accepted: mutual TLS */
};

#endif
