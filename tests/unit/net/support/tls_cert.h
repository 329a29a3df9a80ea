/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests, made on the spot: nothing in the tree expires.
 */
#ifndef WEIR_TEST_TLS_CERT_H
#define WEIR_TEST_TLS_CERT_H

#include "base/slice.h"

struct test_cert {
    char *chain; /* PEM; free with test_cert_fini */
    char *key;
};

struct test_cert_options {
    const char *common_name;
    const char *sans; /* "DNS:a.example,URI:spiffe://x"; NULL: none */
    bool rsa;         /* else P-256 */
    long days;        /* of validity from an hour ago; 0: 30 */
};

/* Self-signed. */
struct test_cert test_cert_make(const struct test_cert_options *options);
void test_cert_fini(struct test_cert *c);

#endif
