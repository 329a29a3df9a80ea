/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the certificate of a peer must satisfy: Envoy's CertificateValidationContext, for both sides of TLS.
 * Immutable once made and shared by all threads. Runs inside of the handshake; never blocks, never logs, and
 * leaves its verdict in the connection's own struct tls_check.
 */
#ifndef WEIR_NET_TLS_VERIFY_H
#define WEIR_NET_TLS_VERIFY_H

#include "net/tls_san.h"

#include <openssl/ssl.h>

#define TLS_DIGEST_BYTES 32u

struct tls_digest {
    uint8_t bytes[TLS_DIGEST_BYTES];
};

/* 64 hexadecimal digits, or 95 characters with colons between the bytes. */
bool tls_digest_from_hex(struct slice text, struct tls_digest *out);
/* The base64 form of 32 bytes. */
bool tls_digest_from_base64(struct slice text, struct tls_digest *out);

/* All is copied but `sans`. */
struct tls_verify_config {
    struct slice trusted_ca; /* PEM, CRLs may stand in it; empty: the chain is not verified */
    struct slice crl;        /* PEM */
    const struct tls_san_matcher *sans;
    size_t sans_count;
    void (*sans_release)(
        void *owner); /* called once with `owner` when nothing uses `sans` any more; may be NULL */
    void *owner;
    const struct tls_digest *hashes; /* of the whole certificate */
    size_t hashes_count;
    const struct tls_digest *spki; /* of its public key */
    size_t spki_count;
    uint32_t max_depth; /* certificates above the leaf, the trust anchor included */
    bool max_depth_set;
    bool only_leaf_crl;
    bool allow_expired;
    bool accept_untrusted; /* whatever is wrong is noted, and accepted */
    bool match_sni;        /* the SNI that was sent takes the place of `sans` */
};

enum tls_verify_error {
    TLS_VERIFY_OK = 0,
    TLS_VERIFY_NO_MEMORY = -1,
    TLS_VERIFY_BAD_CA = -2,  /* no certificate in it, or it cannot be read */
    TLS_VERIFY_BAD_CRL = -3, /* no list in it, or it cannot be read */
};

struct tls_verify;

enum tls_verify_error tls_verify_create(const struct tls_verify_config *config, struct tls_verify **out);
void tls_verify_destroy(struct tls_verify **v);

/* Takes part in every handshake of `ctx` from now on; `v` must outlive it. As a server it also asks for a
 * certificate, and requires one when `require` is set or when names or digests are wanted. */
void tls_verify_install(const struct tls_verify *v, SSL_CTX *ctx, bool server, bool require);
/* When the first of its authorities expires, in seconds of the epoch; INT64_MAX: it has none. */
int64_t tls_verify_expires(const struct tls_verify *v);
/* Whether a peer that it let in has satisfied it, so that the verdict holds for a session that is resumed. */
bool tls_verify_vouches(const struct tls_verify *v);
/* Something that changes whenever another verdict is possible: for session id contexts. */
struct tls_digest tls_verify_fingerprint(const struct tls_verify *v);

enum tls_verdict {
    TLS_NOT_VALIDATED, /* no certificate, or nothing to hold against it */
    TLS_VALIDATED,
    TLS_INVALID,
};

/* Which statistic a failure counts for. */
enum tls_verify_failure {
    TLS_VERIFY_PASSED,
    TLS_VERIFY_FAILED_CHAIN,  /* fail_verify_error */
    TLS_VERIFY_FAILED_SAN,    /* fail_verify_san */
    TLS_VERIFY_FAILED_DIGEST, /* fail_verify_cert_hash */
};

#define TLS_CHECK_TEXT_BYTES 320u

/* Of one connection; lives as long as its SSL. Zeroed at first. */
struct tls_check {
    struct slice wanted_san; /* from auto_san_validation, instead of the configured names; empty: none */
    struct slice sni;        /* that we have sent; for match_sni */
    enum tls_verdict verdict;
    enum tls_verify_failure failure; /* also when it was accepted all the same */
    char text[TLS_CHECK_TEXT_BYTES]; /* "verify cert failed: ..." */
};

/* To be called before the handshake. Without it the verdict is given but not told, and no name is wanted. */
void tls_check_attach(struct tls_check *check, SSL *ssl);
/* The connection must show a certificate with this name although the context asks for none. */
void tls_check_want_san(struct tls_check *check, SSL *ssl, struct slice name);

#endif
