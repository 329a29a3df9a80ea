/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCSP responses that a server staples (RFC 6066 8): whether one belongs to a certificate, until when it is
 * good, and who wants one. Never asks a responder, and does not judge what the response says: clients do.
 */
#ifndef WEIR_NET_TLS_OCSP_H
#define WEIR_NET_TLS_OCSP_H

#include "base/slice.h"

#include <openssl/ssl.h>

/* A response for this certificate, in DER. *good_until: its nextUpdate in seconds of the epoch; 0: it has
 * none, which Envoy takes for an expired one. false: *why says what is wrong. */
bool tls_ocsp_read(struct slice der, const X509 *certificate, int64_t *good_until, const char **why);
/* Whether the certificate demands a staple (RFC 7633). */
bool tls_ocsp_must_staple(const X509 *certificate);
/* Whether the client asks for one. */
bool tls_ocsp_asked_for(const SSL_CLIENT_HELLO *hello);

#endif
