/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test certificates by the library that is under test.
 */
#include "tls_cert.h"

#include "base/assert.h"

#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static EVP_PKEY *make_key(bool rsa)
{
    EVP_PKEY *key = EVP_PKEY_new();
    if (rsa) {
        RSA *r = RSA_new();
        BIGNUM *e = BN_new();
        WEIR_ASSERT(BN_set_word(e, RSA_F4) && RSA_generate_key_ex(r, 2048, e, NULL));
        BN_free(e);
        EVP_PKEY_assign_RSA(key, r);
    } else {
        EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
        WEIR_ASSERT(ec && EC_KEY_generate_key(ec));
        EVP_PKEY_assign_EC_KEY(key, ec);
    }
    return key;
}

static char *text_of(BIO *bio)
{
    const uint8_t *data;
    size_t len;
    WEIR_ASSERT(BIO_mem_contents(bio, &data, &len));
    char *text = slice_strdup(slice_of(data, len));
    BIO_free(bio);
    return text;
}

struct test_cert test_cert_make(const struct test_cert_options *o)
{
    EVP_PKEY *key = make_key(o->rsa);
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 0x1234);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), (o->days ? o->days : 30) * 86400L);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"Weir", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)o->common_name, -1, -1, 0);
    X509_set_issuer_name(x, name);
    if (o->sans) {
        X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, o->sans);
        WEIR_ASSERT(ext && X509_add_ext(x, ext, -1));
        X509_EXTENSION_free(ext);
    }
    X509_set_pubkey(x, key);
    WEIR_ASSERT(X509_sign(x, key, EVP_sha256()));
    BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    WEIR_ASSERT(PEM_write_bio_X509(chain, x) &&
                PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL));
    struct test_cert made = {text_of(chain), text_of(secret)};
    X509_free(x);
    EVP_PKEY_free(key);
    return made;
}

void test_cert_fini(struct test_cert *c)
{
    free(c->chain);
    free(c->key);
    *c = (struct test_cert){0};
}
