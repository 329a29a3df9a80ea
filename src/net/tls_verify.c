/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification in Envoy's order: the chain against the trusted CAs and revocation lists, then names, then
 * digests. The store of CAs is our own, not the SSL_CTX's, so that one serves many contexts.
 */
#include "net/tls_verify.h"

#include "base/assert.h"

#include <openssl/base64.h>
#include <openssl/err.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_verify {
    X509_STORE *store; /* NULL: no trusted CA */
    STACK_OF(X509_NAME) * ca_names;
    int64_t expires; /* the first of the authorities; INT64_MAX: there are none */
    const struct tls_san_matcher *sans;
    size_t sans_count;
    void (*sans_release)(void *owner);
    void *owner;
    struct tls_digest *hashes;
    size_t hashes_count;
    struct tls_digest *spki;
    size_t spki_count;
    int depth; /* intermediates; -1: the library's limit */
    bool accept_untrusted;
    bool match_sni;
    struct tls_digest fingerprint;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tls_digest_from_hex(struct slice text, struct tls_digest *out)
{
    bool colons = text.len == TLS_DIGEST_BYTES * 3 - 1;
    size_t step = colons ? 3 : 2;
    if (!colons && text.len != TLS_DIGEST_BYTES * 2)
        return false;
    for (size_t i = 0; i < TLS_DIGEST_BYTES; i++) {
        int high = hex_value(text.ptr[i * step]), low = hex_value(text.ptr[i * step + 1]);
        if (high < 0 || low < 0 || (colons && i + 1 < TLS_DIGEST_BYTES && text.ptr[i * 3 + 2] != ':'))
            return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool tls_digest_from_base64(struct slice text, struct tls_digest *out)
{
    uint8_t bytes[TLS_DIGEST_BYTES + 1]; /* 44 characters decode to at most 33 */
    size_t len = 0;
    if (text.len != 44 || !EVP_DecodeBase64(bytes, &len, sizeof bytes, (const uint8_t *)text.ptr, text.len) ||
        len != TLS_DIGEST_BYTES)
        return false;
    memcpy(out->bytes, bytes, TLS_DIGEST_BYTES);
    return true;
}

/* --- Indices under which OpenSSL objects carry ours --- */

static int ctx_index = -1, ssl_index = -1;

static void make_indices(void)
{
    ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    WEIR_ASSERT(ctx_index >= 0 && ssl_index >= 0);
}

static void need_indices(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_indices);
}

/* --- Making --- */

static STACK_OF(X509_INFO) * read_pem(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (ossl_ssize_t)pem.len);
    STACK_OF(X509_INFO) *list = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return list;
}

static bool add_name(struct tls_verify *v, X509 *cert)
{
    X509_NAME *name = X509_get_subject_name(cert);
    for (size_t i = 0; i < sk_X509_NAME_num(v->ca_names); i++) {
        if (X509_NAME_cmp(sk_X509_NAME_value(v->ca_names, i), name) == 0)
            return true;
    }
    X509_NAME *copy = X509_NAME_dup(name);
    if (copy && sk_X509_NAME_push(v->ca_names, copy))
        return true;
    X509_NAME_free(copy);
    return false;
}

static void note_expiration(struct tls_verify *v, const X509 *cert)
{
    int64_t end;
    if (ASN1_TIME_to_posix(X509_get0_notAfter(cert), &end) && end < v->expires)
        v->expires = end;
}

/* The number of certificates or lists that were added; -1 when memory is out, -2 for what cannot be read. */
static int add_pem(struct tls_verify *v, struct slice pem, bool certificates, bool *crls)
{
    STACK_OF(X509_INFO) *list = read_pem(pem);
    int added = list ? 0 : -2;
    for (size_t i = 0; list && added >= 0 && i < sk_X509_INFO_num(list); i++) {
        const X509_INFO *info = sk_X509_INFO_value(list, i);
        bool ok = true;
        if (info->x509 && certificates) {
            ok = X509_STORE_add_cert(v->store, info->x509) && add_name(v, info->x509);
            note_expiration(v, info->x509);
            added++;
        }
        if (info->crl) {
            ok = ok && X509_STORE_add_crl(v->store, info->crl);
            *crls = true;
            added += certificates ? 0 : 1;
        }
        if (!ok)
            added = -1;
    }
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    return added;
}

static enum tls_verify_error make_store(struct tls_verify *v, const struct tls_verify_config *config)
{
    bool crls = false;
    v->store = X509_STORE_new();
    v->ca_names = sk_X509_NAME_new_null();
    if (!v->store || !v->ca_names)
        return TLS_VERIFY_NO_MEMORY;
    int added = add_pem(v, config->trusted_ca, true, &crls);
    if (added <= 0)
        return added == -1 ? TLS_VERIFY_NO_MEMORY : TLS_VERIFY_BAD_CA;
    added = config->crl.len ? add_pem(v, config->crl, false, &crls) : 1;
    if (added <= 0)
        return added == -1 ? TLS_VERIFY_NO_MEMORY : TLS_VERIFY_BAD_CRL;
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    if (crls)
        flags |= X509_V_FLAG_CRL_CHECK | (config->only_leaf_crl ? 0 : X509_V_FLAG_CRL_CHECK_ALL);
    if (config->allow_expired)
        flags |= X509_V_FLAG_NO_CHECK_TIME;
    return X509_STORE_set_flags(v->store, flags) ? TLS_VERIFY_OK : TLS_VERIFY_NO_MEMORY;
}

static bool copy_digests(struct tls_digest **to, size_t *to_count, const struct tls_digest *from,
                         size_t count)
{
    if (count == 0)
        return true;
    *to = calloc(count, sizeof **to);
    if (!*to)
        return false;
    memcpy(*to, from, count * sizeof **to);
    *to_count = count;
    return true;
}

static void fingerprint(struct tls_verify *v, const struct tls_verify_config *c)
{
    SHA256_CTX sha;
    uint32_t numbers[] = {c->max_depth,
                          c->max_depth_set,
                          c->only_leaf_crl,
                          c->allow_expired,
                          c->accept_untrusted,
                          c->match_sni,
                          (uint32_t)c->trusted_ca.len,
                          (uint32_t)c->crl.len,
                          (uint32_t)c->sans_count,
                          (uint32_t)c->hashes_count,
                          (uint32_t)c->spki_count};
    SHA256_Init(&sha);
    SHA256_Update(&sha, numbers, sizeof numbers);
    SHA256_Update(&sha, c->trusted_ca.ptr, c->trusted_ca.len);
    SHA256_Update(&sha, c->crl.ptr, c->crl.len);
    SHA256_Update(&sha, v->hashes, v->hashes_count * sizeof *v->hashes);
    SHA256_Update(&sha, v->spki, v->spki_count * sizeof *v->spki);
    for (size_t i = 0; i < c->sans_count; i++) {
        const struct tls_san_matcher *m = &c->sans[i];
        uint32_t head[] = {m->type, (uint32_t)m->host.len, (uint32_t)m->identity.len,
                           m->oid ? (uint32_t)OBJ_length(m->oid) : 0};
        SHA256_Update(&sha, head, sizeof head);
        if (m->oid)
            SHA256_Update(&sha, OBJ_get0_data(m->oid), OBJ_length(m->oid));
        SHA256_Update(&sha, m->host.ptr, m->host.len);
        SHA256_Update(&sha, m->identity.ptr, m->identity.len);
    }
    SHA256_Final(v->fingerprint.bytes, &sha);
}

enum tls_verify_error tls_verify_create(const struct tls_verify_config *config, struct tls_verify **out)
{
    enum tls_verify_error rc = TLS_VERIFY_OK;
    need_indices();
    struct tls_verify *v = calloc(1, sizeof *v);
    *out = NULL;
    if (!v) {
        if (config->sans_release)
            config->sans_release(config->owner);
        return TLS_VERIFY_NO_MEMORY;
    }
    v->expires = INT64_MAX;
    v->sans_release = config->sans_release;
    v->owner = config->owner;
    v->sans = config->sans;
    v->sans_count = config->sans_count;
    v->accept_untrusted = config->accept_untrusted;
    v->match_sni = config->match_sni;
    /* Envoy's number counts the anchor, the library's neither end. */
    v->depth =
        config->max_depth_set ? (int)(config->max_depth > INT32_MAX ? INT32_MAX : config->max_depth) : -1;
    if (v->depth > 0)
        v->depth--;
    if (!copy_digests(&v->hashes, &v->hashes_count, config->hashes, config->hashes_count) ||
        !copy_digests(&v->spki, &v->spki_count, config->spki, config->spki_count))
        rc = TLS_VERIFY_NO_MEMORY;
    if (rc == TLS_VERIFY_OK && config->trusted_ca.len)
        rc = make_store(v, config);
    if (rc != TLS_VERIFY_OK) {
        tls_verify_destroy(&v);
        return rc;
    }
    fingerprint(v, config);
    *out = v;
    return TLS_VERIFY_OK;
}

void tls_verify_destroy(struct tls_verify **verify)
{
    struct tls_verify *v = *verify;
    *verify = NULL;
    if (!v)
        return;
    X509_STORE_free(v->store);
    sk_X509_NAME_pop_free(v->ca_names, X509_NAME_free);
    if (v->sans_release)
        v->sans_release(v->owner);
    free(v->hashes);
    free(v->spki);
    free(v);
}

int64_t tls_verify_expires(const struct tls_verify *v)
{
    return v->expires;
}

bool tls_verify_vouches(const struct tls_verify *v)
{
    return !v->accept_untrusted && (v->store || v->sans_count || v->hashes_count || v->spki_count);
}

struct tls_digest tls_verify_fingerprint(const struct tls_verify *v)
{
    return v->fingerprint;
}

/* --- Verifying --- */

static bool fail(struct tls_check *check, enum tls_verify_failure failure, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct tls_check *check, enum tls_verify_failure failure, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int used = snprintf(check->text, sizeof check->text, "verify cert failed: ");
    vsnprintf(check->text + used, sizeof check->text - (size_t)used, fmt, args);
    va_end(args);
    check->failure = failure;
    check->verdict = TLS_INVALID;
    return false;
}

static bool about_revocation(int error)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
    case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
    case X509_V_ERR_CERT_REVOKED:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
        return true;
    default:
        return false;
    }
}

static bool chain_holds(const struct tls_verify *v, STACK_OF(X509) * chain, bool server,
                        struct tls_check *check, uint8_t *alert)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ready = ctx && X509_STORE_CTX_init(ctx, v->store, sk_X509_value(chain, 0), chain) &&
                 X509_STORE_CTX_set_default(ctx, server ? "ssl_client" : "ssl_server");
    if (!ready) {
        X509_STORE_CTX_free(ctx);
        *alert = SSL_AD_INTERNAL_ERROR;
        return fail(check, TLS_VERIFY_FAILED_CHAIN, "init and setup X509_STORE_CTX");
    }
    if (v->depth >= 0)
        X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), v->depth);
    bool ok = X509_verify_cert(ctx) == 1;
    if (!ok) {
        int error = X509_STORE_CTX_get_error(ctx);
        *alert = (uint8_t)SSL_alert_from_verify_result(error);
        fail(check, TLS_VERIFY_FAILED_CHAIN,
             "X509_verify_cert: certificate verification error at depth %d: %s%s",
             X509_STORE_CTX_get_error_depth(ctx),
             about_revocation(error) ? "certificate revocation check against provided CRLs failed: " : "",
             X509_verify_cert_error_string(error));
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static bool san_holds(const struct tls_verify *v, X509 *leaf, struct tls_check *check)
{
    char names[192];
    if (check->wanted_san.len) {
        if (tls_san_is(leaf, check->wanted_san))
            return true;
        return fail(check, TLS_VERIFY_FAILED_SAN,
                    "verify SAN list, expected SANs: [" SLICE_FMT "], certificate SANs: [%s]",
                    (int)(check->wanted_san.len > 64 ? 64 : check->wanted_san.len), check->wanted_san.ptr,
                    tls_san_list(leaf, names, sizeof names));
    }
    const struct tls_san_matcher sni = {.type = TLS_SAN_DNS, .host = check->sni};
    bool by_sni = v->match_sni && check->sni.len;
    if (tls_san_match_any(leaf, by_sni ? &sni : v->sans, by_sni ? 1 : v->sans_count))
        return true;
    return fail(check, TLS_VERIFY_FAILED_SAN, "SAN matcher, certificate SANs are [%s]",
                tls_san_list(leaf, names, sizeof names));
}

static bool digest_in(const struct tls_digest *list, size_t count, const uint8_t digest[TLS_DIGEST_BYTES])
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(list[i].bytes, digest, TLS_DIGEST_BYTES) == 0)
            return true;
    }
    return false;
}

static bool digests_hold(const struct tls_verify *v, X509 *leaf)
{
    uint8_t digest[TLS_DIGEST_BYTES];
    if (v->hashes_count && X509_digest(leaf, EVP_sha256(), digest, NULL) &&
        digest_in(v->hashes, v->hashes_count, digest))
        return true;
    uint8_t *der = NULL;
    int len = v->spki_count ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der) : -1;
    if (len < 0)
        return false;
    SHA256(der, (size_t)len, digest);
    OPENSSL_free(der);
    return digest_in(v->spki, v->spki_count, digest);
}

/* Names and digests; with no CA one of them must have been wanted, or nothing vouches for the peer. */
static bool leaf_holds(const struct tls_verify *v, X509 *leaf, struct tls_check *check, uint8_t *alert)
{
    bool names = check->wanted_san.len || v->sans_count || (v->match_sni && check->sni.len);
    bool digests = v->hashes_count || v->spki_count;
    *alert = SSL_AD_CERTIFICATE_UNKNOWN;
    if (names && !san_holds(v, leaf, check))
        return false;
    if (digests && !digests_hold(v, leaf)) {
        *alert = SSL_AD_BAD_CERTIFICATE_HASH_VALUE;
        return fail(check, TLS_VERIFY_FAILED_DIGEST, "cert hash and spki");
    }
    if (names || digests || v->store) {
        check->verdict = TLS_VALIDATED;
        return true;
    }
    check->verdict = TLS_NOT_VALIDATED;
    return false;
}

static enum ssl_verify_result_t verify_peer(SSL *ssl, uint8_t *alert)
{
    static const struct tls_verify nothing;
    const struct tls_verify *v = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_index);
    struct tls_check *check = SSL_get_ex_data(ssl, ssl_index), own = {0};
    if (!v)
        v = &nothing; /* only tls_check_want_san asks then */
    STACK_OF(X509) *chain = SSL_get_peer_full_cert_chain(ssl);
    if (!check)
        check = &own;
    if (!chain || sk_X509_num(chain) == 0) {
        *alert = SSL_AD_INTERNAL_ERROR;
        fail(check, TLS_VERIFY_FAILED_CHAIN, "empty cert chain");
        return ssl_verify_invalid;
    }
    bool ok = !v->store || chain_holds(v, chain, SSL_is_server(ssl), check, alert);
    if (ok)
        ok = leaf_holds(v, sk_X509_value(chain, 0), check, alert);
    return ok || v->accept_untrusted ? ssl_verify_ok : ssl_verify_invalid;
}

void tls_verify_install(const struct tls_verify *v, SSL_CTX *ctx, bool server, bool require)
{
    bool leaf = v->sans_count || v->hashes_count || v->spki_count;
    int mode = SSL_VERIFY_NONE;
    if (v->accept_untrusted || v->store)
        mode = SSL_VERIFY_PEER;
    if ((leaf && !v->accept_untrusted) || (server && require && v->store))
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    int set = SSL_CTX_set_ex_data(ctx, ctx_index, (void *)(uintptr_t)v);
    WEIR_ASSERT(set == 1);
    SSL_CTX_set_custom_verify(ctx, mode, verify_peer);
    if (server && v->ca_names)
        SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(v->ca_names));
}

void tls_check_attach(struct tls_check *check, SSL *ssl)
{
    need_indices();
    int set = SSL_set_ex_data(ssl, ssl_index, check);
    WEIR_ASSERT(set == 1);
}

void tls_check_want_san(struct tls_check *check, SSL *ssl, struct slice name)
{
    check->wanted_san = name;
    SSL_set_custom_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_peer);
}
