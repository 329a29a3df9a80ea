/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a TLS context from settings: each error names the setting it is about. Immutable once made, apart
 * from its counters; the library's session cache in it has a lock of its own.
 */
#include "net/tls_context_private.h"

#include "base/assert.h"
#include "base/refs.h"
#include "net/limits.h"
#include "net/tls_ocsp.h"
#include "net/tls_sessions.h"
#include "telemetry/log.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

/* Envoy's. TLS 1.3 has suites of its own, which are not configured. */
#define DEFAULT_CIPHERS                                                                                      \
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:"                                         \
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:"                                             \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define DEFAULT_GROUPS "X25519:P-256"

struct making {
    const struct tls_settings *settings;
    struct tls_context *context;
    struct tls_setting_error *error;
};

static bool wrong(struct making *m, enum tls_setting setting, size_t index, const char *text)
{
    m->error->setting = setting;
    m->error->index = index;
    (void)snprintf(m->error->text, sizeof(m->error->text), "%s", text);
    ERR_clear_error();
    return false;
}

/* The library's text about the last error goes behind ours. */
static bool wrong_reason(struct making *m, enum tls_setting setting, const char *text)
{
    char both[TLS_REASON_MAX];
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    (void)snprintf(both, sizeof(both), "%s (%s)", text, reason ? reason : "no reason given");
    return wrong(m, setting, 0, both);
}

/* --- one certificate --- */

/* As Envoy: what is demanded must be there, and belong to the certificate, when the configuration is read. */
static bool use_staple(struct making *m, struct tls_identity *id, const X509 *leaf, size_t i)
{
    struct slice der = m->settings->certificates[i].ocsp_staple;
    const char *why;
    id->must_staple = tls_ocsp_must_staple(leaf);
    if (der.len == 0 && id->must_staple)
        return wrong(m, TLS_SETTING_OCSP, i, "OCSP response is required for must-staple certificate");
    if (der.len == 0 && m->settings->staple_policy == TLS_STAPLE_MUST)
        return wrong(m, TLS_SETTING_OCSP, i, "Required OCSP response is missing from TLS context");
    if (der.len == 0)
        return true;
    if (!tls_ocsp_read(der, leaf, &id->staple_until, &why))
        return wrong(m, TLS_SETTING_OCSP, i, why);
    id->staple = arena_dup(&m->context->arena, der);
    return id->staple.ptr || wrong(m, TLS_SETTING_NONE, i, "out of memory");
}

/* The chain, leaf first, and its key; the caller frees both, also after an error. */
static bool read_pair(struct making *m, size_t i, STACK_OF(X509) * *chain, EVP_PKEY **key)
{
    const struct tls_certificate_pem *pem = &m->settings->certificates[i];
    const char *why;
    bool password_wrong;
    *key = NULL;
    if (pem->pkcs12.len) {
        *chain = tls_certificate_read_pkcs12(pem->pkcs12, pem->password, key, &why);
        return *chain || wrong(m, TLS_SETTING_PKCS12, i, why);
    }
    *chain = tls_certificate_read_chain(pem->chain, &why);
    if (!*chain)
        return wrong(m, TLS_SETTING_CHAIN, i, why);
    *key = tls_certificate_read_key(pem->key, pem->password, &why, &password_wrong);
    return *key || wrong(m, password_wrong ? TLS_SETTING_PASSWORD : TLS_SETTING_KEY, i, why);
}

static bool use_certificate(struct making *m, struct tls_identity *id, size_t i)
{
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    bool ok = read_pair(m, i, &chain, &key);
    X509 *leaf = ok ? sk_X509_value(chain, 0) : NULL;
    if (ok && X509_check_private_key(leaf, key) != 1)
        ok = wrong(m, TLS_SETTING_KEY, i, "the key is not that of the certificate");
    if (ok && EVP_PKEY_id(key) == EVP_PKEY_RSA && EVP_PKEY_bits(key) < 2048)
        ok = wrong(m, TLS_SETTING_CHAIN, i, "its RSA key is shorter than 2048 bits");
    ok = ok && (SSL_CTX_use_certificate(id->ctx, leaf) == 1 && SSL_CTX_use_PrivateKey(id->ctx, key) == 1
                    ? true
                    : wrong_reason(m, TLS_SETTING_CHAIN, "it cannot be used"));
    for (size_t n = 1; ok && n < sk_X509_num(chain); n++)
        ok = SSL_CTX_add1_chain_cert(id->ctx, sk_X509_value(chain, n)) == 1;
    ok = ok && (!m->settings->server || use_staple(m, id, leaf, i));
    if (ok) {
        id->ecdsa = EVP_PKEY_id(key) == EVP_PKEY_EC;
        id->common_name = tls_certificate_common_name(leaf, &m->context->arena);
        tls_certificate_describe(leaf, &m->context->arena, &id->info);
    }
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return ok;
}

/* --- limits and lists --- */

static const char *text_of(struct making *m, struct slice s, const char *unset)
{
    return s.len ? arena_strdup(&m->context->arena, s) : unset;
}

static bool set_limits(struct making *m, SSL_CTX *ctx)
{
    const struct tls_settings *s = m->settings;
    const char *ciphers = text_of(m, s->cipher_suites, DEFAULT_CIPHERS);
    const char *groups = text_of(m, s->groups, DEFAULT_GROUPS);
    const char *sigalgs = text_of(m, s->sigalgs, NULL);
    if (s->version_min > s->version_max)
        return wrong(m, TLS_SETTING_VERSIONS, 0, "the minimum is above the maximum");
    if (!SSL_CTX_set_min_proto_version(ctx, s->version_min) ||
        !SSL_CTX_set_max_proto_version(ctx, s->version_max))
        return wrong_reason(m, TLS_SETTING_VERSIONS, "these versions cannot be used");
    if (!ciphers || !SSL_CTX_set_strict_cipher_list(ctx, ciphers))
        return wrong_reason(m, TLS_SETTING_CIPHERS, "there is a cipher in it that is unknown");
    if (!groups || !SSL_CTX_set1_groups_list(ctx, groups))
        return wrong_reason(m, TLS_SETTING_GROUPS, "there is a curve in it that is unknown");
    if (sigalgs && !SSL_CTX_set1_sigalgs_list(ctx, sigalgs))
        return wrong_reason(m, TLS_SETTING_SIGALGS, "there is a signature algorithm in it that is unknown");
    return true;
}

/* The lists as they go over the wire (RFC 7301 3.1). */
static bool set_alpn(struct making *m)
{
    const struct tls_settings *s = m->settings;
    size_t total = 0, at = 0;
    for (size_t i = 0; i < s->alpn_count; i++) {
        if (s->alpn[i].len == 0 || s->alpn[i].len > 255)
            return wrong(m, TLS_SETTING_ALPN, i, "a protocol has 1 to 255 bytes");
        total += 1 + s->alpn[i].len;
    }
    if (total > UINT16_MAX)
        return wrong(m, TLS_SETTING_ALPN, 0, "the protocols take more than 65535 bytes");
    char *wire = arena_alloc_text(&m->context->arena, total);
    if (!wire)
        return wrong(m, TLS_SETTING_NONE, 0, "out of memory");
    for (size_t i = 0; i < s->alpn_count; i++) {
        wire[at++] = (char)s->alpn[i].len;
        memcpy(wire + at, s->alpn[i].ptr, s->alpn[i].len);
        at += s->alpn[i].len;
    }
    m->context->alpn = slice_of(wire, total);
    return true;
}

/* Without a protocol in common the connection goes on without one (Envoy). */
static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len,
                       void *arg)
{
    const struct tls_context *c = arg;
    uint8_t *picked;
    (void)ssl;
    if (SSL_select_next_proto(&picked, out_len, (const uint8_t *)c->alpn.ptr, (unsigned)c->alpn.len, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

/* --- sessions --- */

static void add(SHA256_CTX *sha, const void *bytes, size_t len)
{
    uint64_t n = len;
    SHA256_Update(sha, &n, sizeof(n));
    SHA256_Update(sha, bytes, len);
}

/* A session is good only where the same would have been decided: same names, same checks. */
static bool set_session_identity(struct making *m, SSL_CTX *ctx)
{
    const struct tls_context *c = m->context;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint8_t flags[] = {c->require_client_certificate, c->verify != NULL};
    SHA256_CTX sha;
    SHA256_Init(&sha);
    for (size_t i = 0; i < c->identities_count; i++) {
        const struct tls_certificate_info *info = &c->identities[i].info;
        add(&sha, info->subject.ptr, info->subject.len);
        add(&sha, info->issuer.ptr, info->issuer.len);
        for (size_t n = 0; n < info->dns_sans_count; n++)
            add(&sha, info->dns_sans[n].ptr, info->dns_sans[n].len);
        for (size_t n = 0; n < info->uri_sans_count; n++)
            add(&sha, info->uri_sans[n].ptr, info->uri_sans[n].len);
    }
    add(&sha, flags, sizeof(flags));
    add(&sha, c->alpn.ptr, c->alpn.len);
    add(&sha, m->settings->identity.ptr, m->settings->identity.len);
    if (c->verify) {
        struct tls_digest checks = tls_verify_fingerprint(c->verify);
        add(&sha, &checks, sizeof(checks));
    }
    SHA256_Final(digest, &sha);
    return SSL_CTX_set_session_id_context(ctx, digest, sizeof(digest)) == 1;
}

static bool set_sessions(struct making *m, SSL_CTX *ctx)
{
    const struct tls_settings *s = m->settings;
    SSL_CTX_set_session_cache_mode(ctx,
                                   s->no_stateful_resumption ? SSL_SESS_CACHE_OFF : SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(ctx, TLS_SERVER_SESSIONS_MAX);
    if (s->session_timeout_s) {
        SSL_CTX_set_timeout(ctx, s->session_timeout_s);
        SSL_CTX_set_session_psk_dhe_timeout(ctx, s->session_timeout_s);
    }
    if (s->no_tickets)
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    else if (!SSL_CTX_set_tlsext_ticket_key_cb(ctx, tls_session_ticket))
        return false;
    return set_session_identity(m, ctx);
}

/* --- all together --- */

static bool set_server(struct making *m, SSL_CTX *ctx)
{
    const struct tls_settings *s = m->settings;
    struct tls_context *c = m->context;
    if (!s->prefer_client_ciphers)
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (c->alpn.len)
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, c);
    SSL_CTX_set_select_certificate_cb(ctx, tls_select);
    if (c->verify)
        tls_verify_install(c->verify, ctx, true, c->require_client_certificate);
    if (!set_sessions(m, ctx))
        return wrong(m, TLS_SETTING_NONE, 0, "sessions cannot be set up");
    return true;
}

static bool set_client(struct making *m, SSL_CTX *ctx)
{
    struct tls_context *c = m->context;
    if (c->verify)
        tls_verify_install(c->verify, ctx, false, false);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (m->settings->keep_sessions)
        tls_sessions_enable(ctx);
    c->enforce_rsa_usage = m->settings->enforce_rsa_usage;
    if (c->alpn.len && SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)c->alpn.ptr, (unsigned)c->alpn.len) != 0)
        return wrong(m, TLS_SETTING_NONE, 0, "out of memory");
    return true;
}

static bool make_identity(struct making *m, size_t i)
{
    struct tls_context *c = m->context;
    struct tls_identity *id = &c->identities[i];
    id->ctx = SSL_CTX_new(TLS_method());
    if (!id->ctx)
        return wrong(m, TLS_SETTING_NONE, 0, "out of memory");
    SSL_CTX_set_read_ahead(id->ctx, 1); /* one recv per flight instead of two per record */
    SSL_CTX_set_options(id->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(id->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_max_cert_list(id->ctx, TLS_PEER_CHAIN_BYTES_MAX);
    if (c->key_log.file)
        SSL_CTX_set_keylog_callback(id->ctx, tls_key_log_line);
    if (!set_limits(m, id->ctx) || (i < m->settings->certificates_count && !use_certificate(m, id, i)))
        return false;
    return true;
}

/* The context may outlive the configuration: it has ranges and file of its own. */
static bool set_key_log(struct making *m)
{
    const struct tls_key_log *in = &m->settings->key_log;
    struct tls_key_log *out = &m->context->key_log;
    if (!in->file)
        return true;
    size_t count = in->local_count + in->remote_count;
    struct cidr *ranges = count ? ARENA_NEW_N(&m->context->arena, struct cidr, count) : NULL;
    if (count && !ranges)
        return wrong(m, TLS_SETTING_NONE, 0, "out of memory");
    for (size_t i = 0; i < count; i++)
        ranges[i] = i < in->local_count ? in->local[i] : in->remote[i - in->local_count];
    *out = (struct tls_key_log){.file = log_file_ref(in->file),
                                .local = ranges,
                                .local_count = in->local_count,
                                .remote = ranges ? ranges + in->local_count : NULL,
                                .remote_count = in->remote_count};
    return true;
}

static bool make_all(struct making *m)
{
    struct tls_context *c = m->context;
    const struct tls_settings *s = m->settings;
    size_t count = s->certificates_count ? s->certificates_count : 1;
    WEIR_ASSERT(s->server ? s->certificates_count > 0 : s->certificates_count <= 1);
    c->identities = ARENA_NEW_N(&c->arena, struct tls_identity, count);
    if (!c->identities)
        return wrong(m, TLS_SETTING_NONE, 0, "out of memory");
    c->identities_count = count;
    if (!set_alpn(m) || !set_key_log(m))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!make_identity(m, i))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!(c->server ? set_server(m, c->identities[i].ctx) : set_client(m, c->identities[i].ctx)))
            return false;
    }
    return true;
}

const struct tls_context *tls_context_create(const struct tls_settings *settings, struct tls_stats *stats,
                                             struct tls_setting_error *error)
{
    struct tls_context *c = calloc(1, sizeof(*c));
    struct making m = {settings, c, error};
    *error = (struct tls_setting_error){0};
    if (!c) {
        struct tls_verify *unused = settings->verify;
        tls_verify_destroy(&unused);
        wrong(&m, TLS_SETTING_NONE, 0, "out of memory");
        return NULL;
    }
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, TLS_CONTEXT_BYTES_MAX, NULL);
    c->server = settings->server;
    c->require_client_certificate = settings->require_client_certificate;
    c->require_sni = settings->require_sni;
    c->full_scan = settings->full_scan_certs_on_sni_mismatch;
    c->staple_policy = settings->staple_policy;
    c->has_certificate = settings->certificates_count > 0;
    c->stats = tls_stats_ref(stats);
    c->tickets = settings->tickets ? tls_tickets_ref(settings->tickets) : NULL;
    c->verify = settings->verify;
    const struct tls_context *done = c;
    if (!make_all(&m))
        tls_context_unref(&done);
    return done;
}

const struct tls_context *tls_context_ref(const struct tls_context *c)
{
    struct tls_context *own = (struct tls_context *)(uintptr_t)c;
    refs_take(&own->refs);
    return c;
}

void tls_context_unref(const struct tls_context **context)
{
    struct tls_context *c = (struct tls_context *)(uintptr_t)*context;
    *context = NULL;
    if (!c)
        return;
    if (!refs_drop(&c->refs))
        return;
    for (size_t i = 0; i < c->identities_count; i++)
        SSL_CTX_free(c->identities[i].ctx);
    tls_verify_destroy(&c->verify);
    tls_stats_unref(&c->stats);
    tls_tickets_unref(&c->tickets);
    if (c->key_log.file)
        log_file_unref(&c->key_log.file);
    arena_fini(&c->arena);
    free(c);
}

/* --- looking --- */

size_t tls_context_certificates(const struct tls_context *c)
{
    return c->has_certificate ? c->identities_count : 0;
}

struct tls_certificate_view tls_context_certificate(const struct tls_context *c, size_t i)
{
    WEIR_ASSERT(i < tls_context_certificates(c));
    return (struct tls_certificate_view){&c->identities[i].info, c->identities[i].ecdsa};
}

struct tls_stats *tls_context_stats(const struct tls_context *c)
{
    return c->stats;
}

const struct tls_verify *tls_context_verify(const struct tls_context *c)
{
    return c->verify;
}

struct ssl_ctx_st *tls_context_ssl_ctx(const struct tls_context *c)
{
    return c->identities[0].ctx;
}

const char *tls_setting_name(enum tls_setting setting)
{
    static const char *const names[] = {
        [TLS_SETTING_NONE] = "",
        [TLS_SETTING_VERSIONS] = "tls_minimum_protocol_version",
        [TLS_SETTING_CIPHERS] = "cipher_suites",
        [TLS_SETTING_GROUPS] = "ecdh_curves",
        [TLS_SETTING_SIGALGS] = "signature_algorithms",
        [TLS_SETTING_ALPN] = "alpn_protocols",
        [TLS_SETTING_CHAIN] = "certificate_chain",
        [TLS_SETTING_KEY] = "private_key",
        [TLS_SETTING_PASSWORD] = "password",
        [TLS_SETTING_OCSP] = "ocsp_staple",
        [TLS_SETTING_PKCS12] = "pkcs12",
        [TLS_SETTING_SECRET] = "sds_config",
        [TLS_SETTING_TICKET_KEYS] = "session_ticket_keys",
        [TLS_SETTING_TICKET_KEYS_SECRET] = "session_ticket_keys_sds_secret_config",
        [TLS_SETTING_VALIDATION_SECRET] = "validation_context_sds_secret_config",
        [TLS_SETTING_CA] = "trusted_ca",
        [TLS_SETTING_CRL] = "crl",
    };
    WEIR_ASSERT((size_t)setting < WEIR_ARRAY_LEN(names));
    return names[setting];
}
