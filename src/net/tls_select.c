/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of several certificates a ClientHello gets: by server name (exact, then one wildcard label), then by
 * what the client can check (ECDSA before RSA), by whether it has the staple that is demanded. Envoy's rule.
 * Runs before the handshake's own choices.
 */
#include "net/tls_context_private.h"

#include "base/assert.h"
#include "net/tls_ocsp.h"

#include <openssl/bytestring.h>
#include <time.h>

#define P256_GROUP        23     /* RFC 8422 5.1.1 */
#define SIGALG_ECDSA_P256 0x0403 /* ecdsa_secp256r1_sha256, RFC 8446 4.2.3 */

static bool list_has_u16(const SSL_CLIENT_HELLO *hello, uint16_t extension, uint16_t wanted)
{
    const uint8_t *data;
    size_t len;
    CBS cbs, list;
    uint16_t value;
    if (!SSL_early_callback_ctx_extension_get(hello, extension, &data, &len))
        return false;
    CBS_init(&cbs, data, len);
    if (!CBS_get_u16_length_prefixed(&cbs, &list))
        return false;
    while (CBS_get_u16(&list, &value)) {
        if (value == wanted)
            return true;
    }
    return false;
}

static bool offers_tls13(const SSL_CLIENT_HELLO *hello)
{
    const uint8_t *data;
    size_t len;
    CBS cbs, list;
    uint16_t version;
    if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_supported_versions, &data, &len))
        return false;
    CBS_init(&cbs, data, len);
    if (!CBS_get_u8_length_prefixed(&cbs, &list))
        return false;
    while (CBS_get_u16(&list, &version)) {
        if (version == TLS1_3_VERSION)
            return true;
    }
    return false;
}

static bool offers_ecdsa_cipher(const SSL_CLIENT_HELLO *hello)
{
    CBS list;
    uint16_t id;
    CBS_init(&list, hello->cipher_suites, hello->cipher_suites_len);
    while (CBS_get_u16(&list, &id)) {
        const SSL_CIPHER *cipher = SSL_get_cipher_by_value(id);
        if (cipher && SSL_CIPHER_get_auth_nid(cipher) == NID_auth_ecdsa)
            return true;
    }
    return false;
}

static bool takes_ecdsa(const SSL_CLIENT_HELLO *hello)
{
    if (offers_tls13(hello))
        return list_has_u16(hello, TLSEXT_TYPE_signature_algorithms, SIGALG_ECDSA_P256);
    return list_has_u16(hello, TLSEXT_TYPE_supported_groups, P256_GROUP) && offers_ecdsa_cipher(hello);
}

/* "*.example.com" stands for one label. */
static bool name_matches(struct slice pattern, struct slice name, bool wildcard)
{
    if (!wildcard)
        return slice_eq_nocase(pattern, name);
    ptrdiff_t dot = slice_find_char(name, '.');
    return slice_starts_with(pattern, SLICE_LIT("*.")) && dot > 0 &&
           slice_eq_nocase(slice_skip(pattern, 1), slice_skip(name, (size_t)dot));
}

/* The common name counts only where there is no DNS name (Envoy, RFC 6125 6.4.4). */
static bool identity_has(const struct tls_identity *id, struct slice name, bool wildcard)
{
    if (id->info.dns_sans_count == 0)
        return id->common_name.len > 0 && name_matches(id->common_name, name, wildcard);
    for (size_t i = 0; i < id->info.dns_sans_count; i++) {
        if (name_matches(id->info.dns_sans[i], name, wildcard))
            return true;
    }
    return false;
}

/* --- staples --- */

enum staple { STAPLE_NOT_ASKED, STAPLE_YES, STAPLE_NONE, STAPLE_REFUSE };

static enum staple staple_of(const struct tls_context *c, const struct tls_identity *id, bool asked)
{
    if (!asked)
        return STAPLE_NOT_ASKED;
    if (id->staple.len && id->staple_until >= (int64_t)time(NULL))
        return STAPLE_YES;
    switch (id->must_staple ? TLS_STAPLE_MUST : c->staple_policy) {
    case TLS_STAPLE_LENIENT:
        return STAPLE_NONE;
    case TLS_STAPLE_STRICT:
        return id->staple.len ? STAPLE_REFUSE : STAPLE_NONE;
    case TLS_STAPLE_MUST:
        break;
    }
    return STAPLE_REFUSE;
}

/* false: this client cannot be served. */
static bool staple(SSL *ssl, const struct tls_conn *t, bool asked)
{
    const struct tls_identity *id = t->identity;
    struct tls_stats *stats = t->context->stats;
    if (asked)
        stat_inc(stats->ocsp_staple_requests);
    switch (staple_of(t->context, id, asked)) {
    case STAPLE_NOT_ASKED:
        break;
    case STAPLE_YES:
        stat_inc(stats->ocsp_staple_responses);
        return SSL_set_ocsp_response(ssl, (const uint8_t *)id->staple.ptr, id->staple.len) == 1;
    case STAPLE_NONE:
        stat_inc(stats->ocsp_staple_omitted);
        break;
    case STAPLE_REFUSE:
        stat_inc(stats->ocsp_staple_failed);
        return false;
    }
    return true;
}

/* --- certificates --- */

/* What a client can take. */
struct wants {
    bool ecdsa;
    bool staple;
};

enum rule { RULE_EXACT, RULE_WILDCARD, RULE_ANY };

/* The first that fits the client's keys, else the first at all. */
static const struct tls_identity *pick(const struct tls_context *c, struct slice name, enum rule rule,
                                       struct wants wants)
{
    const struct tls_identity *candidate = NULL;
    for (size_t i = 0; i < c->identities_count; i++) {
        const struct tls_identity *id = &c->identities[i];
        if (rule != RULE_ANY && !identity_has(id, name, rule == RULE_WILDCARD))
            continue;
        if (staple_of(c, id, wants.staple) == STAPLE_REFUSE)
            continue;
        if (id->ecdsa == wants.ecdsa)
            return id;
        if (!candidate && !id->ecdsa)
            candidate = id;
    }
    return candidate;
}

static const struct tls_identity *choose(const struct tls_context *c, struct slice name, struct wants wants)
{
    const struct tls_identity *id = NULL;
    if (name.len) {
        id = pick(c, name, RULE_EXACT, wants);
        if (!id)
            id = pick(c, name, RULE_WILDCARD, wants);
        if (!id && !c->full_scan)
            return &c->identities[0]; /* Envoy: a name that none has gets the first */
    }
    if (!id)
        id = pick(c, name, RULE_ANY, wants);
    return id ? id : &c->identities[0];
}

enum ssl_select_cert_result_t tls_select(const SSL_CLIENT_HELLO *hello)
{
    struct tls_conn *t = SSL_get_app_data(hello->ssl);
    const struct tls_context *c = t->context;
    const char *sni = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    const bool asked = tls_ocsp_asked_for(hello);
    if (c->require_sni && (!sni || !*sni))
        return ssl_select_cert_error;
    if (c->identities_count > 1) {
        const struct wants wants = {.ecdsa = takes_ecdsa(hello), .staple = asked};
        const struct tls_identity *id = choose(c, slice_str(sni), wants);
        t->identity = id;
        if (id != &c->identities[0] && !SSL_set_SSL_CTX(hello->ssl, id->ctx))
            return ssl_select_cert_error;
    }
    return staple(hello->ssl, t, asked) ? ssl_select_cert_success : ssl_select_cert_error;
}
