/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of certificates. The bytes come from a peer: they may hold anything, NUL included, so they are
 * compared by length and never printed raw.
 */
#include "net/tls_san.h"

#include <openssl/bn.h>
#include <openssl/mem.h>
#include <openssl/obj.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

static struct slice lower_dup(struct slice s, char *dst)
{
    for (size_t i = 0; i < s.len; i++)
        dst[i] = ascii_lower(s.ptr[i]);
    return slice_of(dst, s.len);
}

/* "w*d" against one label. */
static bool label_matches(struct slice label, struct slice pattern)
{
    if (slice_eq(pattern, SLICE_LIT("*")))
        return true;
    ptrdiff_t star = slice_find_char(pattern, '*');
    if (star < 0 || slice_find_char(slice_skip(pattern, (size_t)star + 1), '*') >= 0)
        return false;
    return pattern.len <= label.len + 1 && slice_starts_with(label, slice_take(pattern, (size_t)star)) &&
           slice_ends_with(label, slice_skip(pattern, (size_t)star + 1));
}

/* RFC 1035 3.1: longer ones are no host names. */
#define HOST_BYTES_MAX 256u

bool tls_host_matches(struct slice host, struct slice pattern)
{
    char host_text[HOST_BYTES_MAX], pattern_text[HOST_BYTES_MAX];
    if (slice_eq_nocase(host, pattern))
        return true;
    if (host.len > HOST_BYTES_MAX || pattern.len > HOST_BYTES_MAX)
        return false;
    host = lower_dup(host, host_text);
    pattern = lower_dup(pattern, pattern_text);
    ptrdiff_t host_dot = slice_find_char(host, '.'), pattern_dot = slice_find_char(pattern, '.');
    if (host_dot < 0 || pattern_dot < 0)
        return false;
    struct slice first = slice_take(pattern, (size_t)pattern_dot);
    struct slice rest = slice_skip(pattern, (size_t)pattern_dot + 1);
    if (slice_find_char(first, '*') < 0 || slice_find_char(rest, '*') >= 0 ||
        slice_starts_with(first, SLICE_LIT("xn--")))
        return false;
    return slice_eq(slice_skip(host, (size_t)host_dot + 1), rest) &&
           label_matches(slice_take(host, (size_t)host_dot), first);
}

static struct slice string_text(const ASN1_STRING *s)
{
    return slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static struct slice ip_text(const ASN1_OCTET_STRING *ip, char dst[TLS_SAN_TEXT_BYTES])
{
    int len = ASN1_STRING_length(ip);
    if (len != 4 && len != 16)
        return SLICE_EMPTY;
    const char *text =
        inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), dst, TLS_SAN_TEXT_BYTES);
    return text ? slice_str(text) : SLICE_EMPTY;
}

/* What `free_text` allocates is copied, cut to the room there is. */
static struct slice owned_text(char *text, char dst[TLS_SAN_TEXT_BYTES])
{
    struct slice s = slice_take(slice_str(text), TLS_SAN_TEXT_BYTES);
    if (text)
        memcpy(dst, s.ptr, s.len);
    OPENSSL_free(text);
    return slice_of(dst, s.len);
}

static struct slice integer_text(const ASN1_INTEGER *integer, char dst[TLS_SAN_TEXT_BYTES])
{
    BIGNUM *number = ASN1_INTEGER_to_BN(integer, NULL);
    char *text = number ? BN_bn2dec(number) : NULL;
    BN_free(number);
    return owned_text(text, dst);
}

/* Encodings of two and four bytes a character. */
static struct slice wide_text(const ASN1_STRING *s, char dst[TLS_SAN_TEXT_BYTES])
{
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, s);
    if (len < 0)
        return SLICE_EMPTY;
    size_t taken = (size_t)len < TLS_SAN_TEXT_BYTES ? (size_t)len : 0; /* a part would be another name */
    if (taken)
        memcpy(dst, text, taken);
    OPENSSL_free(text);
    return slice_of(dst, taken);
}

static struct slice other_text(const ASN1_TYPE *value, char dst[TLS_SAN_TEXT_BYTES])
{
    if (!value)
        return SLICE_EMPTY;
    switch (value->type) {
    case V_ASN1_NULL:
        return SLICE_EMPTY;
    case V_ASN1_BOOLEAN:
        return value->value.boolean ? SLICE_LIT("true") : SLICE_LIT("false");
    case V_ASN1_INTEGER:
        return integer_text(value->value.integer, dst);
    case V_ASN1_ENUMERATED:
        return integer_text(value->value.enumerated, dst);
    case V_ASN1_OBJECT: {
        int len = OBJ_obj2txt(dst, (int)TLS_SAN_TEXT_BYTES, value->value.object, 1);
        return len > 0 && len < (int)TLS_SAN_TEXT_BYTES ? slice_of(dst, (size_t)len) : SLICE_EMPTY;
    }
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
        return wide_text(value->value.asn1_string, dst);
    default:
        return value->value.asn1_string ? string_text(value->value.asn1_string) : SLICE_EMPTY;
    }
}

struct slice tls_san_text(const GENERAL_NAME *name, char dst[TLS_SAN_TEXT_BYTES])
{
    switch (name->type) {
    case GEN_DNS:
    case GEN_URI:
    case GEN_EMAIL:
        return string_text(name->d.ia5);
    case GEN_IPADD:
        return ip_text(name->d.ip, dst);
    case GEN_OTHERNAME:
        return other_text(name->d.otherName->value, dst);
    default:
        return SLICE_EMPTY;
    }
}

static bool type_fits(const GENERAL_NAME *name, const struct tls_san_matcher *m)
{
    switch (m->type) {
    case TLS_SAN_EMAIL:
        return name->type == GEN_EMAIL;
    case TLS_SAN_DNS:
        return name->type == GEN_DNS;
    case TLS_SAN_URI:
        return name->type == GEN_URI;
    case TLS_SAN_IP:
        return name->type == GEN_IPADD;
    case TLS_SAN_OTHER:
        return name->type == GEN_OTHERNAME && m->oid && OBJ_cmp(name->d.otherName->type_id, m->oid) == 0;
    }
    return false;
}

static bool satisfies(const GENERAL_NAME *name, const struct tls_san_matcher *m)
{
    char scratch[TLS_SAN_TEXT_BYTES];
    if (!type_fits(name, m))
        return false;
    struct slice text = tls_san_text(name, scratch);
    return m->host.ptr ? tls_host_matches(m->host, text) : m->match(m->matcher, text);
}

static GENERAL_NAMES *names_of(X509 *cert)
{
    return X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
}

bool tls_san_match_any(X509 *cert, const struct tls_san_matcher *matchers, size_t count)
{
    GENERAL_NAMES *names = names_of(cert);
    bool found = false;
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names) && !found; i++) {
        for (size_t j = 0; j < count && !found; j++)
            found = satisfies(sk_GENERAL_NAME_value(names, i), &matchers[j]);
    }
    GENERAL_NAMES_free(names);
    return found;
}

bool tls_san_is(X509 *cert, struct slice wanted)
{
    GENERAL_NAMES *names = names_of(cert);
    bool found = false;
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char scratch[TLS_SAN_TEXT_BYTES];
        struct slice text = tls_san_text(name, scratch);
        found = name->type == GEN_DNS ? tls_host_matches(wanted, text) : slice_eq(wanted, text);
    }
    GENERAL_NAMES_free(names);
    return found;
}

char *tls_san_list(X509 *cert, char *dst, size_t size)
{
    GENERAL_NAMES *names = names_of(cert);
    size_t used = 0;
    for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names) && used + 1 < size; i++) {
        char scratch[TLS_SAN_TEXT_BYTES];
        struct slice text = tls_san_text(sk_GENERAL_NAME_value(names, i), scratch);
        for (const char *gap = i ? ", " : ""; *gap && used + 1 < size; gap++)
            dst[used++] = *gap;
        for (size_t j = 0; j < text.len && used + 1 < size; j++)
            dst[used++] = text.ptr[j] >= ' ' && text.ptr[j] <= '~' ? text.ptr[j] : '?';
    }
    dst[used] = '\0';
    GENERAL_NAMES_free(names);
    return dst;
}
