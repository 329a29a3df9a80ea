/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates: from PEM, and to text. Everything that a peer chose is bounded by the handshake's limit on a
 * chain (100 KiB) and by the arena it is written to.
 */
#include "net/tls_certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pkcs8.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

/* --- reading --- */

STACK_OF(X509) * tls_certificate_read_chain(struct slice pem, const char **why)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem.ptr ? pem.ptr : "", (ossl_ssize_t)pem.len);
    *why = chain && bio ? NULL : "out of memory";
    while (!*why) {
        X509 *x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
        if (!x)
            break;
        if (sk_X509_num(chain) >= TLS_CHAIN_CERTIFICATES_MAX)
            *why = "it holds too many certificates";
        if (*why || !sk_X509_push(chain, x))
            X509_free(x);
    }
    uint32_t last = ERR_peek_last_error();
    bool end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    if (!*why && sk_X509_num(chain) == 0)
        *why = end ? "it holds no PEM certificate" : "its certificate cannot be read";
    else if (!*why && last && !end)
        *why = "a certificate in it cannot be read";
    ERR_clear_error();
    BIO_free(bio);
    if (!*why)
        return chain;
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

static int give_password(char *dst, int size, int rwflag, void *arg)
{
    const struct slice *password = arg;
    (void)rwflag;
    if (password->len == 0 || password->len > (size_t)size)
        return -1;
    memcpy(dst, password->ptr, password->len);
    return (int)password->len;
}

EVP_PKEY *tls_certificate_read_key(struct slice pem, struct slice password, const char **why,
                                   bool *password_wrong)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr ? pem.ptr : "", (ossl_ssize_t)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_password, &password) : NULL;
    uint32_t first = ERR_peek_error();
    int reason = ERR_GET_REASON(first);
    *password_wrong = false;
    *why = NULL;
    if (!bio) {
        *why = "out of memory";
    } else if (!key && ERR_GET_LIB(first) == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) {
        *why = "it holds no PEM private key";
    } else if (!key && slice_find(pem, SLICE_LIT("ENCRYPTED")) >= 0) {
        *password_wrong = true;
        *why = password.len ? "the password does not open the key" : "the key is encrypted: set password";
    } else if (!key) {
        *why = "the key cannot be read";
    }
    ERR_clear_error();
    BIO_free(bio);
    return key;
}

static STACK_OF(X509) * open_pkcs12(const PKCS12 *file, const char *password, EVP_PKEY **key)
{
    X509 *leaf = NULL;
    STACK_OF(X509) *others = NULL, *chain = sk_X509_new_null();
    bool ok = chain && PKCS12_parse(file, password, key, &leaf, &others) == 1 && *key && leaf &&
              sk_X509_push(chain, leaf);
    if (ok)
        leaf = NULL; /* the chain's */
    for (size_t i = 0; ok && others && i < sk_X509_num(others) && i + 1 < TLS_CHAIN_CERTIFICATES_MAX; i++) {
        X509 *x = sk_X509_value(others, i);
        ok = X509_up_ref(x) && sk_X509_push(chain, x);
    }
    X509_free(leaf);
    sk_X509_pop_free(others, X509_free);
    if (ok)
        return chain;
    EVP_PKEY_free(*key);
    *key = NULL;
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

STACK_OF(X509) *
    tls_certificate_read_pkcs12(struct slice der, struct slice password, EVP_PKEY **key, const char **why)
{
    const uint8_t *at = (const uint8_t *)der.ptr;
    PKCS12 *file = d2i_PKCS12(NULL, &at, der.len);
    char *text = strndup(password.ptr ? password.ptr : "", password.len);
    *key = NULL;
    *why = NULL;
    STACK_OF(X509) *chain = file && text ? open_pkcs12(file, text, key) : NULL;
    if (!chain)
        *why = "it is no PKCS #12 file with a key and its certificate, or its password is another";
    ERR_clear_error();
    if (text)
        OPENSSL_cleanse(text, password.len);
    free(text);
    PKCS12_free(file);
    return chain;
}

/* --- describing --- */

struct slice tls_hex(const uint8_t *bytes, size_t len, struct arena *arena)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc_text(arena, len * 2);
    if (!text)
        return SLICE_EMPTY;
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return slice_of(text, len * 2);
}

static struct slice take_bio(BIO *bio, struct arena *arena)
{
    const uint8_t *text;
    size_t len;
    if (!BIO_mem_contents(bio, &text, &len))
        return SLICE_EMPTY;
    struct slice copy = arena_dup(arena, slice_of(text, len));
    return copy.ptr ? copy : SLICE_EMPTY;
}

static struct slice name_text(const X509_NAME *name, struct arena *arena)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct slice text = SLICE_EMPTY;
    if (bio && name && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        text = take_bio(bio, arena);
    BIO_free(bio);
    return text;
}

static struct slice serial_text(const X509 *certificate, struct arena *arena)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    BIGNUM *number = serial ? ASN1_INTEGER_to_BN(serial, NULL) : NULL;
    char *hex = number ? BN_bn2hex(number) : NULL;
    struct slice text = hex ? arena_dup(arena, slice_str(hex)) : SLICE_EMPTY;
    for (size_t i = 0; i < text.len; i++)
        ((char *)(uintptr_t)text.ptr)[i] = ascii_lower(text.ptr[i]);
    OPENSSL_free(hex);
    BN_free(number);
    return text;
}

static struct slice ip_text(const ASN1_OCTET_STRING *ip, struct arena *arena)
{
    const uint8_t *b = ASN1_STRING_get0_data(ip);
    int len = ASN1_STRING_length(ip);
    char text[48];
    int n = 0;
    if (len == 4)
        n = snprintf(text, sizeof(text), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    for (int i = 0; len == 16 && i < 16; i += 2)
        n += snprintf(text + n, sizeof(text) - (size_t)n, i ? ":%x" : "%x", (unsigned)(b[i] << 8 | b[i + 1]));
    return arena_dup(arena, slice_of(text, (size_t)n));
}

static struct slice san_text(const GENERAL_NAME *name, struct arena *arena)
{
    const ASN1_STRING *text = NULL;
    if (name->type == GEN_IPADD)
        return ip_text(name->d.iPAddress, arena);
    if (name->type == GEN_DNS)
        text = name->d.dNSName;
    else if (name->type == GEN_URI)
        text = name->d.uniformResourceIdentifier;
    else if (name->type == GEN_EMAIL)
        text = name->d.rfc822Name;
    if (!text || ASN1_STRING_length(text) <= 0)
        return SLICE_EMPTY;
    return arena_dup(arena, slice_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)));
}

/* All names of one kind, in the certificate's order. */
static const struct slice *sans_of(const GENERAL_NAMES *names, int type, struct arena *arena, size_t *count)
{
    size_t total = 0;
    *count = 0;
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++)
        total += sk_GENERAL_NAME_value(names, i)->type == type;
    if (total > TLS_CERTIFICATE_NAMES_MAX)
        total = TLS_CERTIFICATE_NAMES_MAX;
    struct slice *out = total ? ARENA_NEW_N(arena, struct slice, total) : NULL;
    for (size_t i = 0; out && i < sk_GENERAL_NAME_num(names) && *count < total; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct slice text = name->type == type ? san_text(name, arena) : SLICE_EMPTY;
        if (text.len > 0)
            out[(*count)++] = text;
    }
    return out;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    int64_t seconds = 0;
    if (t && ASN1_TIME_to_tm(t, &tm))
        seconds = (int64_t)timegm(&tm);
    return seconds;
}

void tls_certificate_describe(const X509 *certificate, struct arena *arena, struct tls_certificate_info *out)
{
    *out = (struct tls_certificate_info){0};
    out->subject = name_text(X509_get_subject_name(certificate), arena);
    out->issuer = name_text(X509_get_issuer_name(certificate), arena);
    out->serial = serial_text(certificate, arena);
    out->not_before = seconds_of(X509_get0_notBefore(certificate));
    out->not_after = seconds_of(X509_get0_notAfter(certificate));
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (names) {
        out->dns_sans = sans_of(names, GEN_DNS, arena, &out->dns_sans_count);
        out->uri_sans = sans_of(names, GEN_URI, arena, &out->uri_sans_count);
        out->ip_sans = sans_of(names, GEN_IPADD, arena, &out->ip_sans_count);
        out->email_sans = sans_of(names, GEN_EMAIL, arena, &out->email_sans_count);
        GENERAL_NAMES_free(names);
    }
    if (out->dns_sans_count)
        out->dns_san = out->dns_sans[0];
    if (out->uri_sans_count)
        out->uri_san = out->uri_sans[0];
    ERR_clear_error();
}

struct slice tls_certificate_common_name(const X509 *certificate, struct arena *arena)
{
    const X509_NAME *name = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const X509_NAME_ENTRY *entry = at >= 0 ? X509_NAME_get_entry(name, at) : NULL;
    const ASN1_STRING *text = entry ? X509_NAME_ENTRY_get_data(entry) : NULL;
    uint8_t *utf8 = NULL;
    int len = text ? ASN1_STRING_to_UTF8(&utf8, text) : 0;
    struct slice out = len > 0 ? arena_dup(arena, slice_of(utf8, (size_t)len)) : SLICE_EMPTY;
    OPENSSL_free(utf8);
    return out;
}

struct slice tls_certificate_fingerprint(const X509 *certificate, const EVP_MD *digest, struct arena *arena)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!X509_digest(certificate, digest, hash, &len))
        return SLICE_EMPTY;
    return tls_hex(hash, len, arena);
}

/* Unreserved (RFC 3986 2.3); everything else is escaped: what Envoy does with PEM. */
static bool url_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static struct slice url_encode(struct slice in, struct arena *arena)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = in.len, n = 0;
    for (size_t i = 0; i < in.len; i++)
        len += url_plain(in.ptr[i]) ? 0 : 2;
    char *out = arena_alloc_text(arena, len);
    for (size_t i = 0; out && i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];
        if (url_plain(in.ptr[i])) {
            out[n++] = in.ptr[i];
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    return out ? slice_of(out, n) : SLICE_EMPTY;
}

struct slice tls_certificate_url_pem(const STACK_OF(X509) * chain, size_t count, struct arena *arena)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *text;
    size_t len;
    bool ok = bio != NULL;
    for (size_t i = 0; ok && i < count && i < sk_X509_num(chain); i++)
        ok = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
    struct slice out = SLICE_EMPTY;
    if (ok && BIO_mem_contents(bio, &text, &len))
        out = url_encode(slice_of(text, len), arena);
    BIO_free(bio);
    return out;
}
