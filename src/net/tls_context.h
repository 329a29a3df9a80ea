/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One generation of a TLS configuration, for servers or clients: certificates, limits, ALPN, how peers are
 * checked. Immutable and counted by reference from any thread; a connection keeps the one it began with. What
 * is wrong with the settings is told in words, with the setting it belongs to; nothing here reads files.
 */
#ifndef WEIR_NET_TLS_CONTEXT_H
#define WEIR_NET_TLS_CONTEXT_H

#include "base/slice.h"
#include "net/tls_info.h"
#include "net/tls_key_log.h"
#include "net/tls_stats.h"
#include "net/tls_tickets.h"

/* AWS-LC's, named so that rooms above need no header of it. */
struct ssl_st;
struct ssl_ctx_st;

#define TLS_REASON_MAX 256

struct tls_verify;

/* PEM texts, borrowed. Of a key in several pieces (password) all are needed. */
struct tls_certificate_pem {
    struct slice chain; /* leaf first */
    struct slice key;
    struct slice password;
    struct slice pkcs12;      /* DER, in place of chain and key; empty: none */
    struct slice ocsp_staple; /* DER; empty: none */
};

/* What a server does without a staple that is good; Envoy's OcspStaplePolicy, same numbers. */
enum tls_staple_policy {
    TLS_STAPLE_LENIENT, /* goes on without */
    TLS_STAPLE_STRICT,  /* goes on when there is none at all; refuses with one that has expired */
    TLS_STAPLE_MUST,    /* refuses */
};

struct tls_settings {
    bool server;
    uint16_t version_min; /* 0x0301 (TLS 1.0) to 0x0304 */
    uint16_t version_max;
    struct slice cipher_suites; /* OpenSSL's syntax, of TLS 1.2 and below; empty: Envoy's default */
    struct slice groups;        /* "X25519:P-256"; empty: that */
    struct slice sigalgs;       /* "ecdsa_secp256r1_sha256:..."; empty: the library's */
    const struct slice *alpn;   /* in order of preference */
    size_t alpn_count;
    const struct tls_certificate_pem *certificates; /* clients: at most one */
    size_t certificates_count;
    struct tls_key_log key_log; /* borrowed; zeroed: none */
    struct tls_verify *verify;  /* how peers are checked, taken over; NULL: any peer will do */

    /* Clients */
    bool keep_sessions;     /* connections fill the store of their options */
    bool enforce_rsa_usage; /* a server's RSA key must be meant for what it is used for */

    /* Servers */
    bool require_client_certificate; /* in effect with a `verify` that has authorities, as in Envoy */
    bool require_sni;
    bool prefer_client_ciphers;
    bool full_scan_certs_on_sni_mismatch;
    bool no_tickets;
    bool no_stateful_resumption;
    enum tls_staple_policy staple_policy;
    uint32_t session_timeout_s;  /* 0: the library's, two hours */
    struct tls_tickets *tickets; /* referenced; NULL only with no_tickets */
    struct slice identity;       /* bytes that differ where sessions must not be resumed */
};

/* The setting that an error is about. */
enum tls_setting {
    TLS_SETTING_NONE, /* memory */
    TLS_SETTING_VERSIONS,
    TLS_SETTING_CIPHERS,
    TLS_SETTING_GROUPS,
    TLS_SETTING_SIGALGS,
    TLS_SETTING_ALPN,
    TLS_SETTING_CHAIN, /* of certificate `index`, as the next five */
    TLS_SETTING_KEY,
    TLS_SETTING_PASSWORD,
    TLS_SETTING_OCSP,
    TLS_SETTING_PKCS12,
    TLS_SETTING_SECRET, /* the file that names the others */
    TLS_SETTING_TICKET_KEYS,
    TLS_SETTING_TICKET_KEYS_SECRET, /* the files that have them, as the next */
    TLS_SETTING_VALIDATION_SECRET,
    TLS_SETTING_CA,
    TLS_SETTING_CRL,
};

/* "certificate_chain", "trusted_ca": the field's name; "" for TLS_SETTING_NONE. */
const char *tls_setting_name(enum tls_setting setting);

struct tls_setting_error {
    enum tls_setting setting;
    size_t index;
    char text[TLS_REASON_MAX];
};

/* What /certs and warnings are made of; lies in the context. */
struct tls_certificate_view {
    const struct tls_certificate_info *info;
    bool ecdsa;
};

struct tls_context;

/* Two references to `stats` and tickets are taken. NULL: *error says why. `verify` is taken over in
 * both cases. */
const struct tls_context *tls_context_create(const struct tls_settings *settings, struct tls_stats *stats,
                                             struct tls_setting_error *error);
const struct tls_context *tls_context_ref(const struct tls_context *c);
void tls_context_unref(const struct tls_context **c);

size_t tls_context_certificates(const struct tls_context *c);
struct tls_certificate_view tls_context_certificate(const struct tls_context *c, size_t i);
struct tls_stats *tls_context_stats(const struct tls_context *c);
const struct tls_verify *tls_context_verify(const struct tls_context *c);
/* Of the first certificate; for what one side alone needs (session caches of clients). Borrowed. */
struct ssl_ctx_st *tls_context_ssl_ctx(const struct tls_context *c);

#endif
