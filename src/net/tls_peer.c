/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a handshake tells about the peer: written down and counted when it is done. Decides nothing about
 * certificates: that is tls_verify's.
 */
#include "net/tls_context_private.h"

#include "base/assert.h"

#include <openssl/digest.h>

void tls_peer_count_check(const struct tls_conn *t)
{
    const struct tls_stats *stats = t->context->stats;
    switch (t->check.failure) {
    case TLS_VERIFY_PASSED:
        break;
    case TLS_VERIFY_FAILED_CHAIN:
        stat_inc(stats->fail_verify_error);
        break;
    case TLS_VERIFY_FAILED_SAN:
        stat_inc(stats->fail_verify_san);
        break;
    case TLS_VERIFY_FAILED_DIGEST:
        stat_inc(stats->fail_verify_cert_hash);
        break;
    }
}

static void describe_peer(struct tls_info *info, const STACK_OF(X509) * chain, bool whole_chain)
{
    const X509 *leaf = sk_X509_value(chain, 0);
    tls_certificate_describe(leaf, &info->arena, &info->peer);
    info->peer_sha256 = tls_certificate_fingerprint(leaf, EVP_sha256(), &info->arena);
    info->peer_sha1 = tls_certificate_fingerprint(leaf, EVP_sha1(), &info->arena);
    info->peer_pem = tls_certificate_url_pem(chain, 1, &info->arena);
    if (whole_chain)
        info->peer_chain_pem =
            sk_X509_num(chain) == 1 ? info->peer_pem : tls_certificate_url_pem(chain, SIZE_MAX, &info->arena);
    info->peer_presented = true;
}

static struct slice keep(struct arena *arena, struct slice s)
{
    return s.len ? arena_dup(arena, s) : SLICE_EMPTY;
}

static void count_handshake(struct tls_conn *t, bool peer)
{
    struct tls_stats *stats = t->context->stats;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    uint16_t group = SSL_get_group_id(t->ssl);
    uint16_t sigalg = SSL_get_peer_signature_algorithm(t->ssl);
    stat_inc(stats->handshake);
    if (t->info->resumed)
        stat_inc(stats->session_reused);
    if (!peer)
        stat_inc(stats->no_certificate);
    tls_stats_count(stats, &stats->ciphers, "ciphers", SSL_CIPHER_get_id(cipher), t->info->cipher.ptr);
    tls_stats_count(stats, &stats->versions, "versions", (uint32_t)SSL_version(t->ssl), t->info->version.ptr);
    if (group)
        tls_stats_count(stats, &stats->curves, "curves", group, SSL_get_group_name(group));
    if (sigalg)
        tls_stats_count(stats, &stats->sigalgs, "sigalgs", sigalg,
                        SSL_get_signature_algorithm_name(sigalg, 1));
}

void tls_peer_describe(struct tls_conn *t)
{
    struct tls_info *info = t->info;
    SSL *ssl = t->ssl;
    const STACK_OF(X509) *chain = SSL_get_peer_full_cert_chain(ssl);
    const SSL_SESSION *session = SSL_get_session(ssl);
    const uint8_t *alpn;
    unsigned alpn_len, id_len = 0;
    bool peer = chain && sk_X509_num(chain) > 0;
    info->version = slice_str(SSL_get_version(ssl));
    info->cipher = slice_str(SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)));
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    info->alpn = keep(&info->arena, slice_of(alpn, alpn_len));
    info->resumed = SSL_session_reused(ssl);
    const uint8_t *id = session ? SSL_SESSION_get_id(session, &id_len) : NULL;
    if (id_len > 0)
        info->session_id = tls_hex(id, id_len, &info->arena);
    if (t->context->has_certificate)
        info->local = t->identity->info;
    if (peer) {
        describe_peer(info, chain, t->context->server);
        /* A resumed session was checked when it was new; what came of it is lost where anything is accepted.
         */
        info->peer_validated = t->check.verdict == TLS_VALIDATED || (info->resumed && t->context->verify &&
                                                                     tls_verify_vouches(t->context->verify));
    }
    count_handshake(t, peer);
}
