/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates made on the spot for tests: P-256 keys, one CA over the other, names, dates and revocation.
 */
#ifndef WEIR_TEST_VERIFY_CERTS_H
#define WEIR_TEST_VERIFY_CERTS_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

struct verify_cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct verify_cert_spec {
    const char *name;
    const struct verify_cert *issuer; /* NULL: signs itself */
    bool ca;
    const char *sans;    /* as in an openssl.cnf: "DNS:a.example,URI:spiffe://b" */
    long days;           /* until it ends; 0: 30. Negative: it has ended */
    long serial;         /* 0: one that no other has */
    const char *purpose; /* extended key usage; NULL: none */
};

struct verify_cert verify_cert_make(const struct verify_cert_spec *spec);
void verify_cert_free(struct verify_cert *c);
/* Revokes one serial; 0: an empty list. PEM that the caller frees. */
char *verify_crl_pem(const struct verify_cert *issuer, long serial);
/* PEM of the certificates one after the other; the caller frees. */
char *verify_certs_pem(const struct verify_cert *const *certs, size_t count);

#endif
