/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign and verify_signature, as Envoy: a hash by its name, a key as DER or PEM. Keys come from the guest, so
 * their size bounds the work; nothing of them is kept.
 */
#include "base/assert.h"
#include "base/strbuf.h"
#include "filters/wasm/foreign.h"

#include <openssl/bytestring.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <stdio.h>

/* A key in either form; a PEM of RSA with 8192 bits has 6.3 KB. */
#define KEY_BYTES_MAX (16u << 10)
/* The largest signature, of RSA with 16384 bits. */
#define SIGNATURE_BYTES_MAX 2048u

struct crypto_arguments {
    struct slice hash;
    struct slice der;
    struct slice pem;
    struct slice text;
    struct slice signature;
};

static const EVP_MD *digest_by_name(struct slice name)
{
    const struct {
        const char *name;
        const EVP_MD *md;
    } rows[] = {{"sha1", EVP_sha1()},
                {"sha224", EVP_sha224()},
                {"sha256", EVP_sha256()},
                {"sha384", EVP_sha384()},
                {"sha512", EVP_sha512()}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (slice_eq_nocase(slice_str(rows[i].name), name))
            return rows[i].md;
    }
    return NULL;
}

/* A PEM with a password would otherwise ask for it on the terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return 0;
}

static EVP_PKEY *import_pem(struct slice pem, bool private_key)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = NULL;
    if (bio)
        key = private_key ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
                          : PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return key;
}

/* Exactly one of the two forms must be there. */
static bool has_key(const struct crypto_arguments *a)
{
    return (a->der.len > 0) != (a->pem.len > 0);
}

/* NULL when it is no key: that is a result, not an error of the call. */
static EVP_PKEY *import_key(const struct crypto_arguments *a, bool private_key)
{
    CBS cbs;
    if (a->der.len > KEY_BYTES_MAX || a->pem.len > KEY_BYTES_MAX)
        return NULL;
    if (a->pem.len)
        return import_pem(a->pem, private_key);
    CBS_init(&cbs, (const uint8_t *)a->der.ptr, a->der.len);
    return private_key ? EVP_parse_private_key(&cbs) : EVP_parse_public_key(&cbs);
}

static const uint8_t *bytes(struct slice s)
{
    return (const uint8_t *)(s.ptr ? s.ptr : "");
}

static void unsupported(struct slice name, struct strbuf *why)
{
    strbuf_append(why, name);
    strbuf_append_str(why, " is not supported.");
}

static bool verify(const struct crypto_arguments *a, EVP_PKEY *key, struct strbuf *why)
{
    const EVP_MD *md = digest_by_name(a->hash);
    EVP_MD_CTX *ctx = md ? EVP_MD_CTX_new() : NULL;
    bool ok = false;
    if (!md) {
        unsupported(a->hash, why);
    } else if (!key || !ctx || EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) != 1) {
        strbuf_append_str(why, "Failed to initialize digest verify.");
    } else {
        int result =
            EVP_DigestVerify(ctx, bytes(a->signature), a->signature.len, bytes(a->text), a->text.len);
        ok = result == 1;
        if (!ok)
            strbuf_printf(why, "Failed to verify digest. Error code: %d", result);
    }
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* `signature` has SIGNATURE_BYTES_MAX. */
static bool sign(const struct crypto_arguments *a, EVP_PKEY *key, uint8_t *signature, size_t *len,
                 struct strbuf *why)
{
    const EVP_MD *md = digest_by_name(a->hash);
    EVP_MD_CTX *ctx = md ? EVP_MD_CTX_new() : NULL;
    bool ok = false;
    *len = SIGNATURE_BYTES_MAX;
    if (!md) {
        unsupported(a->hash, why);
    } else if (!key) {
        strbuf_append_str(why, "Invalid key type: private key required for signing operation.");
    } else if (!ctx || EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1) {
        strbuf_append_str(why, "Failed to initialize digest sign.");
    } else {
        ok = EVP_DigestSign(ctx, signature, len, bytes(a->text), a->text.len) == 1;
        if (!ok)
            strbuf_append_str(why, "Failed to create signature.");
    }
    EVP_MD_CTX_free(ctx);
    return ok;
}

static enum pw_status give(struct pw_foreign_call *call, const struct strbuf *result)
{
    bool ok = !result->failed && pw_foreign_result(call, (struct pw_slice){strbuf_cstr(result), result->len});
    return ok ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

enum pw_status foreign_verify_signature(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    struct crypto_arguments a = {0};
    const struct foreign_field fields[] = {{1, true, NULL, &a.hash},
                                           {2, false, NULL, &a.der},
                                           {3, false, NULL, &a.signature},
                                           {4, false, NULL, &a.text},
                                           {5, true, NULL, &a.pem}};
    if (!foreign_parse(slice_of(arguments.ptr, arguments.len), fields, WEIR_ARRAY_LEN(fields)) ||
        !has_key(&a))
        return PW_STATUS_BAD_ARGUMENT;
    EVP_PKEY *key = import_key(&a, false);
    struct strbuf result, why;
    strbuf_init(&result, KEY_BYTES_MAX);
    strbuf_init(&why, KEY_BYTES_MAX / 2);
    foreign_put_bool(&result, 1, verify(&a, key, &why));
    foreign_put_bytes(&result, 2, strbuf_slice(&why));
    EVP_PKEY_free(key);
    enum pw_status status = give(call, &result);
    strbuf_fini(&why);
    strbuf_fini(&result);
    return status;
}

enum pw_status foreign_sign(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    struct crypto_arguments a = {0};
    const struct foreign_field fields[] = {{1, true, NULL, &a.hash},
                                           {2, false, NULL, &a.der},
                                           {3, false, NULL, &a.text},
                                           {4, true, NULL, &a.pem}};
    if (!foreign_parse(slice_of(arguments.ptr, arguments.len), fields, WEIR_ARRAY_LEN(fields)) ||
        !has_key(&a))
        return PW_STATUS_BAD_ARGUMENT;
    EVP_PKEY *key = import_key(&a, true);
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t len = 0;
    struct strbuf result, why;
    strbuf_init(&result, KEY_BYTES_MAX);
    strbuf_init(&why, KEY_BYTES_MAX / 2);
    bool ok = sign(&a, key, signature, &len, &why);
    EVP_PKEY_free(key);
    foreign_put_bool(&result, 1, ok);
    foreign_put_bytes(&result, 2, slice_of(signature, ok ? len : 0));
    foreign_put_bytes(&result, 3, strbuf_slice(&why));
    enum pw_status status = give(call, &result);
    OPENSSL_cleanse(signature, sizeof(signature));
    strbuf_fini(&why);
    strbuf_fini(&result);
    return status;
}
