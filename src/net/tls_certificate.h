/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates as texts: reading PEM chains and keys, and describing an X.509 certificate for logs and
 * attributes. Judges nothing: that is the verifier's.
 */
#ifndef WEIR_NET_TLS_CERTIFICATE_H
#define WEIR_NET_TLS_CERTIFICATE_H

#include "base/arena.h"
#include "net/tls_info.h"

#include <openssl/x509.h>

/* Certificates in one PEM text; a chain of more is a mistake, a bundle of authorities may be long. */
#define TLS_CHAIN_CERTIFICATES_MAX 64
/* Names of one kind that are kept of a certificate for logs and matching by logs. */
#define TLS_CERTIFICATE_NAMES_MAX 256

/* The chain in order, at least one; the caller frees it with sk_X509_pop_free(.., X509_free). NULL: *why says
 * what is wrong. */
STACK_OF(X509) * tls_certificate_read_chain(struct slice pem, const char **why);
/* NULL: *why says what is wrong; *password_wrong: it is about that. */
EVP_PKEY *tls_certificate_read_key(struct slice pem, struct slice password, const char **why,
                                   bool *password_wrong);

/* The same from a PKCS #12 file: the certificate of its key first, then the others as they stand. */
STACK_OF(X509) *
    tls_certificate_read_pkcs12(struct slice der, struct slice password, EVP_PKEY **key, const char **why);

/* Fills `out` from `arena`; what does not fit is left empty. */
void tls_certificate_describe(const X509 *certificate, struct arena *arena, struct tls_certificate_info *out);
/* The subject's common name; empty: none. */
struct slice tls_certificate_common_name(const X509 *certificate, struct arena *arena);
/* Lower-case hex of `digest` of the DER. */
struct slice tls_certificate_fingerprint(const X509 *certificate, const EVP_MD *digest, struct arena *arena);
/* URL-encoded PEM, as Envoy prints it. */
struct slice tls_certificate_url_pem(const STACK_OF(X509) * chain, size_t count, struct arena *arena);
struct slice tls_hex(const uint8_t *bytes, size_t len, struct arena *arena);

#endif
