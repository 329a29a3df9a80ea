/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate factory of test_tls_verify.
 */
#include "net/tls_verify/certs.h"

#include "base/assert.h"

#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

static long serials = 1000;

static EVP_PKEY *make_key(void)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *key = EVP_PKEY_new();
    bool ok = ec && key && EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec);
    WEIR_ASSERT(ok);
    return key;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1);
    WEIR_ASSERT(ok);
    X509_EXTENSION_free(e);
}

struct verify_cert verify_cert_make(const struct verify_cert_spec *spec)
{
    struct verify_cert c = {.x509 = X509_new(), .key = make_key()};
    const struct verify_cert *issuer = spec->issuer ? spec->issuer : &c;
    X509_set_version(c.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), spec->serial ? spec->serial : ++serials);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), -60L * 86400);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), (spec->days ? spec->days : 30) * 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x509), "CN", MBSTRING_UTF8,
                               (const uint8_t *)spec->name, -1, -1, 0);
    X509_set_issuer_name(c.x509, X509_get_subject_name(issuer->x509));
    X509_set_pubkey(c.x509, c.key);
    if (spec->ca) {
        extend(c.x509, issuer->x509, NID_basic_constraints, "critical,CA:TRUE");
        extend(c.x509, issuer->x509, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (spec->sans)
        extend(c.x509, issuer->x509, NID_subject_alt_name, spec->sans);
    if (spec->purpose)
        extend(c.x509, issuer->x509, NID_ext_key_usage, spec->purpose);
    int signed_bytes = X509_sign(c.x509, issuer->key, EVP_sha256());
    WEIR_ASSERT(signed_bytes > 0);
    return c;
}

void verify_cert_free(struct verify_cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

static char *take(BIO *bio)
{
    const uint8_t *bytes;
    size_t len;
    BIO_mem_contents(bio, &bytes, &len);
    char *text = strndup((const char *)bytes, len);
    BIO_free(bio);
    return text;
}

char *verify_crl_pem(const struct verify_cert *issuer, long serial)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *then = X509_gmtime_adj(NULL, -3600), *next = X509_gmtime_adj(NULL, 86400);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509));
    X509_CRL_set1_lastUpdate(crl, then);
    X509_CRL_set1_nextUpdate(crl, next);
    if (serial) {
        X509_REVOKED *r = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        ASN1_INTEGER_set(number, serial);
        X509_REVOKED_set_serialNumber(r, number);
        X509_REVOKED_set_revocationDate(r, then);
        X509_CRL_add0_revoked(crl, r);
        ASN1_INTEGER_free(number);
    }
    int signed_bytes = X509_CRL_sign(crl, issuer->key, EVP_sha256());
    WEIR_ASSERT(signed_bytes > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_CRL(bio, crl);
    X509_CRL_free(crl);
    ASN1_TIME_free(then);
    ASN1_TIME_free(next);
    return take(bio);
}

char *verify_certs_pem(const struct verify_cert *const *certs, size_t count)
{
    BIO *bio = BIO_new(BIO_s_mem());
    for (size_t i = 0; i < count; i++)
        PEM_write_bio_X509(bio, certs[i]->x509);
    return take(bio);
}
