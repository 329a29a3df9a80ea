/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subject alternative names of a certificate: as text, compared with host names, and matched by what a
 * configuration wants, with Envoy's meaning. Never looks at the subject's common name.
 */
#ifndef WEIR_NET_TLS_SAN_H
#define WEIR_NET_TLS_SAN_H

#include "base/slice.h"

#include <openssl/x509.h>

/* Same numbers as Envoy's SubjectAltNameMatcher.SanType. */
enum tls_san_type {
    TLS_SAN_EMAIL = 1,
    TLS_SAN_DNS = 2,
    TLS_SAN_URI = 3,
    TLS_SAN_IP = 4,
    TLS_SAN_OTHER = 5,
};

/* One wanted name. `match` gets the name as text; it runs on any thread. */
struct tls_san_matcher {
    enum tls_san_type type;
    struct slice host; /* TLS_SAN_DNS: compared as a host name, wildcards of the certificate count; ptr NULL:
                          `match` decides */
    bool (*match)(const void *matcher, struct slice san);
    const void *matcher;
    struct slice identity;  /* what `matcher` wants: the same bytes, the same verdicts */
    const ASN1_OBJECT *oid; /* TLS_SAN_OTHER: its type; NULL: none matches */
};

/* RFC 6125 as Envoy has it: one "*" in the leftmost label of the pattern, which is no A-label, stands for a
 * part of one label. */
bool tls_host_matches(struct slice host, struct slice pattern);

/* The name as text in `dst` or in the certificate itself; empty when it has none. The certificate must live
 * as long as the result. */
#define TLS_SAN_TEXT_BYTES 64u
struct slice tls_san_text(const GENERAL_NAME *name, char dst[TLS_SAN_TEXT_BYTES]);

/* Whether a name of the certificate satisfies one of the matchers. A certificate without names never does. */
bool tls_san_match_any(X509 *cert, const struct tls_san_matcher *matchers, size_t count);
/* Whether `wanted` is a name of the certificate of whatever type; DNS names match as host names. */
bool tls_san_is(X509 *cert, struct slice wanted);

/* "a.example, spiffe://b" for messages: only printable ASCII, cut to fit. Returns dst. */
char *tls_san_list(X509 *cert, char *dst, size_t size);

#endif
