/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificate verification in whole handshakes in memory, each mode with peers that fail it first.
 */
#include "net/tls_verify.h"

#include "net/tls_verify/certs.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct verify_cert root, other_root, middle, leaf, expired, nameless, deep, client_only, self_signed;
static char *root_pem, *other_pem, *middle_pem;

static int make_certs(void **state)
{
    (void)state;
    root = verify_cert_make(&(struct verify_cert_spec){.name = "root", .ca = true});
    other_root = verify_cert_make(&(struct verify_cert_spec){.name = "other", .ca = true});
    middle = verify_cert_make(&(struct verify_cert_spec){.name = "middle", .ca = true, .issuer = &root});
    leaf = verify_cert_make(&(struct verify_cert_spec){
        .name = "leaf",
        .issuer = &root,
        .serial = 7,
        .sans = "DNS:*.example.com,DNS:plain.test,URI:spiffe://mesh/ns/a,email:a@b.test,IP:10.1.2.3,IP:::1,"
                "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:user@corp"});
    expired = verify_cert_make(
        &(struct verify_cert_spec){.name = "expired", .issuer = &root, .days = -1, .sans = "DNS:a.test"});
    nameless = verify_cert_make(&(struct verify_cert_spec){.name = "plain.test", .issuer = &root});
    deep = verify_cert_make(
        &(struct verify_cert_spec){.name = "deep", .issuer = &middle, .sans = "DNS:deep.test"});
    client_only = verify_cert_make(
        &(struct verify_cert_spec){.name = "client", .issuer = &root, .purpose = "clientAuth"});
    self_signed = verify_cert_make(&(struct verify_cert_spec){.name = "self", .sans = "DNS:plain.test"});
    root_pem = verify_certs_pem((const struct verify_cert *[]){&root}, 1);
    other_pem = verify_certs_pem((const struct verify_cert *[]){&other_root, &root}, 2);
    middle_pem = verify_certs_pem((const struct verify_cert *[]){&middle}, 1);
    return 0;
}

static int free_certs(void **state)
{
    (void)state;
    struct verify_cert *all[] = {&root,     &other_root, &middle,      &leaf,       &expired,
                                 &nameless, &deep,       &client_only, &self_signed};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        verify_cert_free(all[i]);
    free(root_pem);
    free(other_pem);
    free(middle_pem);
    return 0;
}

/* What a handshake with `server` gives a client that verifies. */
struct outcome {
    bool ok;
    uint8_t alert; /* that the server got */
    struct tls_check check;
};

static void step(SSL *ssl, bool *done, bool *failed)
{
    int rc = SSL_do_handshake(ssl);
    int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, rc);
    *done = rc == 1;
    *failed = rc != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
}

static void on_info(const SSL *ssl, int type, int value)
{
    if (type == SSL_CB_READ_ALERT) {
        struct outcome *o = SSL_get_app_data(ssl);
        o->alert = (uint8_t)(value & 0xff);
    }
}

static SSL_CTX *make_ctx(const struct verify_cert *cert, const struct verify_cert *chain)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    assert_non_null(ctx);
    if (cert) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, cert->x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, cert->key), 1);
    }
    if (chain)
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, chain->x509), 1);
    return ctx;
}

struct setup {
    const struct tls_verify *verify;
    bool verifier_is_server;
    bool require;
    const struct verify_cert *peer; /* NULL: shows none */
    const struct verify_cert *chain;
    const char *wanted;
    const char *sni;
    bool want_without_context;
};

static struct outcome shake(const struct setup *s)
{
    struct outcome o = {0};
    SSL_CTX *verifier_ctx = make_ctx(s->verifier_is_server ? &leaf : NULL, NULL);
    SSL_CTX *peer_ctx = make_ctx(s->peer, s->chain);
    if (s->verify)
        tls_verify_install(s->verify, verifier_ctx, s->verifier_is_server, s->require);
    SSL_CTX_set_info_callback(peer_ctx, on_info);
    SSL *verifier = SSL_new(verifier_ctx), *peer = SSL_new(peer_ctx);
    BIO *a, *b;
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(verifier, a, a);
    SSL_set_bio(peer, b, b);
    SSL_set_app_data(peer, &o);
    if (s->verifier_is_server) {
        SSL_set_accept_state(verifier);
        SSL_set_connect_state(peer);
    } else {
        SSL_set_connect_state(verifier);
        SSL_set_accept_state(peer);
    }
    o.check.sni = slice_str(s->sni);
    tls_check_attach(&o.check, verifier);
    if (s->wanted)
        tls_check_want_san(&o.check, verifier, slice_str(s->wanted));
    bool done = false, failed = false, peer_done = false, peer_failed = false;
    for (int i = 0; i < 20 && !(done && peer_done) && !failed; i++) {
        if (!peer_done)
            step(peer, &peer_done, &peer_failed);
        if (!done)
            step(verifier, &done, &failed);
    }
    if (failed && !peer_done)
        step(peer, &peer_done, &peer_failed); /* reads the alert */
    else if (failed) {
        char byte;
        (void)SSL_read(peer, &byte, 1);
    }
    ERR_clear_error();
    o.ok = done && !failed;
    SSL_free(verifier);
    SSL_free(peer);
    SSL_CTX_free(verifier_ctx);
    SSL_CTX_free(peer_ctx);
    return o;
}

static struct tls_verify *make(const struct tls_verify_config *config)
{
    struct tls_verify *v;
    assert_int_equal(tls_verify_create(config, &v), TLS_VERIFY_OK);
    return v;
}

/* The verdict about one server under one configuration. */
static struct outcome try_chain(const struct tls_verify_config *config, const struct verify_cert *peer,
                                const struct verify_cert *chain)
{
    struct tls_verify *v = make(config);
    struct outcome o = shake(&(struct setup){.verify = v, .peer = peer, .chain = chain});
    tls_verify_destroy(&v);
    return o;
}

static struct outcome try(const struct tls_verify_config *config, const struct verify_cert *peer)
{
    return try_chain(config, peer, NULL);
}

static void refused(const struct outcome *o, enum tls_verify_failure failure, uint8_t alert, const char *text)
{
    assert_false(o->ok);
    assert_int_equal(o->check.failure, failure);
    assert_int_equal(o->check.verdict, TLS_INVALID);
    assert_string_equal(o->check.text, text);
    assert_int_equal(o->alert, alert);
}

static void accepted(const struct outcome *o)
{
    if (!o->ok)
        print_message("refused: %s\n", o->check.text);
    assert_true(o->ok);
    assert_int_equal(o->check.verdict, TLS_VALIDATED);
    assert_int_equal(o->check.failure, TLS_VERIFY_PASSED);
}

static void configurations_refused(void **state)
{
    (void)state;
    struct tls_verify *v;
    struct tls_verify_config c = {.trusted_ca = SLICE_LIT("no certificate")};
    assert_int_equal(tls_verify_create(&c, &v), TLS_VERIFY_BAD_CA);
    assert_null(v);
    c.trusted_ca = SLICE_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_int_equal(tls_verify_create(&c, &v), TLS_VERIFY_BAD_CA);
    /* Cut in the middle of the second certificate. */
    c.trusted_ca = slice_of(other_pem, strlen(other_pem) - 100);
    assert_int_equal(tls_verify_create(&c, &v), TLS_VERIFY_BAD_CA);
    c.trusted_ca = slice_str(root_pem);
    c.crl = SLICE_LIT("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    assert_int_equal(tls_verify_create(&c, &v), TLS_VERIFY_BAD_CRL);
    assert_null(v);
}

static void digests_parsed(void **state)
{
    (void)state;
    struct tls_digest d;
    static const char *const bad[] = {
        "",
        "00",
        "zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0",
        "00-11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(tls_digest_from_hex(slice_str(bad[i]), &d));
    assert_true(tls_digest_from_hex(
        SLICE_LIT("00112233445566778899aAbBccddeeff00112233445566778899aabbccddeefF"), &d));
    assert_int_equal(d.bytes[10], 0xaa);
    assert_int_equal(d.bytes[31], 0xff);
    assert_true(tls_digest_from_hex(SLICE_LIT("00:11:22:33:44:55:66:77:88:99:AA:bb:cc:dd:ee:ff:00:11:22:33:"
                                              "44:55:66:77:88:99:aa:bb:cc:dd:ee:01"),
                                    &d));
    assert_int_equal(d.bytes[31], 1);
    assert_false(tls_digest_from_base64(SLICE_LIT("AAAA"), &d));
    assert_false(tls_digest_from_base64(SLICE_LIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), &d));
    assert_false(tls_digest_from_base64(SLICE_LIT("!!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), &d));
    assert_true(tls_digest_from_base64(SLICE_LIT("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI="), &d));
    assert_int_equal(d.bytes[0], 1);
    assert_int_equal(d.bytes[31], 2);
}

static void hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *pattern;
        bool matches;
    } rows[] = {
        {"a.example.com", "a.example.com", true},
        {"A.Example.com", "a.eXample.com", true},
        {"a.example.com", "*.example.com", true},
        {"example.com", "*.example.com", false},
        {"a.b.example.com", "*.example.com", false},
        {"a.example.com", "a.*.com", false},
        {"a.example.com", "*", false},
        {"com", "*", false},
        {"foobar.x.y", "foo*.x.y", true},
        {"foobar.x.y", "*bar.x.y", true},
        {"foobar.x.y", "f*r.x.y", true},
        {"fr.x.y", "f*r.x.y", true},
        {"f.x.y", "f*f.x.y", false},
        {"foobar.x.y", "f**r.x.y", false},
        {"xn--a.x.y", "xn--*.x.y", false},
        {"a.x.y", "*.*.y", false},
        {"a.x.y", "", false},
        {"", "*.x.y", false},
        {".x.y", "*.x.y", true},
        {"a.x.y", "*.x.z", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (tls_host_matches(slice_str(rows[i].host), slice_str(rows[i].pattern)) != rows[i].matches)
            fail_msg("%s against %s", rows[i].host, rows[i].pattern);
    }
    /* A NUL inside of a name is a byte like any other. */
    assert_false(tls_host_matches(SLICE_LIT("a.test"), SLICE_LIT("a.test\0.evil.test")));
}

static void chains(void **state)
{
    (void)state;
    struct tls_verify_config c = {.trusted_ca = slice_str(root_pem)};
    struct outcome o = try(&c, &self_signed);
    refused(&o, TLS_VERIFY_FAILED_CHAIN, SSL_AD_UNKNOWN_CA,
            "verify cert failed: X509_verify_cert: certificate verification error at depth 0: self signed "
            "certificate");
    o = try(&c, &deep);
    refused(&o, TLS_VERIFY_FAILED_CHAIN, SSL_AD_UNKNOWN_CA,
            "verify cert failed: X509_verify_cert: certificate verification error at depth 0: unable to get "
            "local issuer certificate");
    o = try(&c, &expired);
    refused(
        &o, TLS_VERIFY_FAILED_CHAIN, SSL_AD_CERTIFICATE_EXPIRED,
        "verify cert failed: X509_verify_cert: certificate verification error at depth 0: certificate has "
        "expired");
    o = try(&c, &client_only);
    refused(&o, TLS_VERIFY_FAILED_CHAIN, SSL_AD_UNSUPPORTED_CERTIFICATE,
            "verify cert failed: X509_verify_cert: certificate verification error at depth 0: unsupported "
            "certificate purpose");
    o = try(&c, &leaf);
    accepted(&o);
    o = try_chain(&c, &deep, &middle);
    accepted(&o);
    c.trusted_ca = slice_str(other_pem); /* the second of two */
    o = try(&c, &leaf);
    accepted(&o);
    c.trusted_ca = slice_str(middle_pem); /* an anchor that is no root */
    o = try_chain(&c, &deep, NULL);
    accepted(&o);
    c = (struct tls_verify_config){.trusted_ca = slice_str(root_pem), .allow_expired = true};
    o = try(&c, &expired);
    accepted(&o);
}

static void depths(void **state)
{
    (void)state;
    struct tls_verify_config c = {.trusted_ca = slice_str(root_pem), .max_depth = 1, .max_depth_set = true};
    struct outcome o = try_chain(&c, &deep, &middle);
    assert_false(o.ok);
    assert_int_equal(o.check.failure, TLS_VERIFY_FAILED_CHAIN);
    o = try(&c, &leaf);
    accepted(&o);
    c.max_depth = 2;
    o = try_chain(&c, &deep, &middle);
    accepted(&o);
}

static void untrusted(void **state)
{
    (void)state;
    struct tls_verify_config c = {.trusted_ca = slice_str(root_pem), .accept_untrusted = true};
    struct outcome o = try(&c, &self_signed);
    assert_true(o.ok);
    assert_int_equal(o.check.failure, TLS_VERIFY_FAILED_CHAIN);
    assert_int_equal(o.check.verdict, TLS_INVALID);
    c.trusted_ca = SLICE_EMPTY;
    o = try(&c, &self_signed);
    assert_true(o.ok);
    assert_int_equal(o.check.verdict, TLS_NOT_VALIDATED);
}

static void revoked(void **state)
{
    (void)state;
    char *crl = verify_crl_pem(&root, 7), *empty = verify_crl_pem(&root, 0);
    char *with_ca = malloc(strlen(root_pem) + strlen(crl) + 1);
    snprintf(with_ca, strlen(root_pem) + strlen(crl) + 1, "%s%s", root_pem, crl);
    struct tls_verify_config c = {.trusted_ca = slice_str(root_pem), .crl = slice_str(crl)};
    struct outcome o = try(&c, &leaf);
    refused(&o, TLS_VERIFY_FAILED_CHAIN, SSL_AD_CERTIFICATE_REVOKED,
            "verify cert failed: X509_verify_cert: certificate verification error at depth 0: certificate "
            "revocation check against provided CRLs failed: certificate revoked");
    o = try(&c, &nameless);
    accepted(&o);
    /* The lists of every issuer in the chain are wanted, or only the leaf's. */
    o = try_chain(&c, &deep, &middle);
    assert_false(o.ok);
    char *of_middle = verify_crl_pem(&middle, 0);
    struct tls_verify_config deep_only = {.trusted_ca = slice_str(root_pem), .crl = slice_str(of_middle)};
    o = try_chain(&deep_only, &deep, &middle);
    assert_false(o.ok);
    deep_only.only_leaf_crl = true;
    o = try_chain(&deep_only, &deep, &middle);
    accepted(&o);
    c = (struct tls_verify_config){.trusted_ca = slice_str(with_ca)};
    o = try(&c, &leaf);
    assert_false(o.ok);
    c = (struct tls_verify_config){.trusted_ca = slice_str(root_pem), .crl = slice_str(empty)};
    o = try(&c, &leaf);
    accepted(&o);
    free(crl);
    free(empty);
    free(with_ca);
    free(of_middle);
}

static bool is_text(const void *matcher, struct slice san)
{
    return slice_eq(slice_str(matcher), san);
}

static void names(void **state)
{
    (void)state;
    ASN1_OBJECT *upn = OBJ_txt2obj("1.3.6.1.4.1.311.20.2.3", 1), *wrong = OBJ_txt2obj("1.2.3.4", 1);
    const struct {
        struct tls_san_matcher matcher;
        bool matches;
    } rows[] = {
        {{.type = TLS_SAN_DNS, .host = SLICE_LIT("www.example.com")}, true},
        {{.type = TLS_SAN_DNS, .host = SLICE_LIT("a.www.example.com")}, false},
        {{.type = TLS_SAN_DNS, .match = is_text, .matcher = "www.example.com"}, false},
        {{.type = TLS_SAN_DNS, .match = is_text, .matcher = "*.example.com"}, true},
        {{.type = TLS_SAN_URI, .match = is_text, .matcher = "spiffe://mesh/ns/a"}, true},
        {{.type = TLS_SAN_URI, .match = is_text, .matcher = "plain.test"}, false},
        {{.type = TLS_SAN_DNS, .match = is_text, .matcher = "spiffe://mesh/ns/a"}, false},
        {{.type = TLS_SAN_EMAIL, .match = is_text, .matcher = "a@b.test"}, true},
        {{.type = TLS_SAN_IP, .match = is_text, .matcher = "10.1.2.3"}, true},
        {{.type = TLS_SAN_IP, .match = is_text, .matcher = "::1"}, true},
        {{.type = TLS_SAN_IP, .match = is_text, .matcher = "10.1.2.4"}, false},
        {{.type = TLS_SAN_OTHER, .oid = upn, .match = is_text, .matcher = "user@corp"}, true},
        {{.type = TLS_SAN_OTHER, .oid = wrong, .match = is_text, .matcher = "user@corp"}, false},
        {{.type = TLS_SAN_OTHER, .match = is_text, .matcher = "user@corp"}, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct tls_verify_config c = {
            .trusted_ca = slice_str(root_pem), .sans = &rows[i].matcher, .sans_count = 1};
        struct outcome o = try(&c, &leaf);
        if (o.ok != rows[i].matches)
            fail_msg("row %zu: %s", i, o.check.text);
        assert_int_equal(o.check.failure, rows[i].matches ? TLS_VERIFY_PASSED : TLS_VERIFY_FAILED_SAN);
    }
    struct tls_verify_config c = {
        .trusted_ca = slice_str(root_pem), .sans = &rows[1].matcher, .sans_count = 1};
    struct outcome o = try(&c, &deep); /* the chain comes first */
    assert_int_equal(o.check.failure, TLS_VERIFY_FAILED_CHAIN);
    o = try_chain(&c, &deep, &middle);
    refused(&o, TLS_VERIFY_FAILED_SAN, SSL_AD_CERTIFICATE_UNKNOWN,
            "verify cert failed: SAN matcher, certificate SANs are [deep.test]");
    o = try(&c, &nameless);
    assert_string_equal(o.check.text, "verify cert failed: SAN matcher, certificate SANs are []");
    ASN1_OBJECT_free(upn);
    ASN1_OBJECT_free(wrong);
}

static void names_of_the_request(void **state)
{
    (void)state;
    struct tls_verify *v = make(&(struct tls_verify_config){.trusted_ca = slice_str(root_pem)});
    struct setup s = {.verify = v, .peer = &leaf, .wanted = "other.test"};
    struct outcome o = shake(&s);
    assert_false(o.ok);
    assert_non_null(strstr(o.check.text,
                           "verify SAN list, expected SANs: [other.test], certificate SANs: "
                           "[*.example.com, plain.test, spiffe://mesh/ns/a, a@b.test, 10.1.2.3"));
    s.wanted = "x.example.com";
    o = shake(&s);
    accepted(&o);
    tls_verify_destroy(&v);
    s.verify = NULL; /* no validation context: only the name counts */
    o = shake(&s);
    accepted(&o);
    s.wanted = "x.example.org";
    o = shake(&s);
    assert_false(o.ok);
    /* auto_sni_san_validation: the SNI as a DNS name; without an SNI what is configured. */
    static const struct tls_san_matcher never = {.type = TLS_SAN_DNS, .host = {"never.test", 10}};
    v = make(&(struct tls_verify_config){
        .trusted_ca = slice_str(root_pem), .match_sni = true, .sans = &never, .sans_count = 1});
    s = (struct setup){.verify = v, .peer = &leaf, .sni = "y.example.com"};
    o = shake(&s);
    accepted(&o);
    s.sni = "10.1.2.3"; /* is a name of it, but no DNS name */
    o = shake(&s);
    assert_false(o.ok);
    s.sni = NULL;
    o = shake(&s);
    assert_int_equal(o.check.failure, TLS_VERIFY_FAILED_SAN);
    tls_verify_destroy(&v);
}

static void digests(void **state)
{
    (void)state;
    struct tls_digest hash, spki, wrong = {{1}};
    X509_digest(leaf.x509, EVP_sha256(), hash.bytes, NULL);
    uint8_t *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf.x509), &der);
    SHA256(der, (size_t)len, spki.bytes);
    OPENSSL_free(der);
    struct tls_verify_config c = {.hashes = &wrong, .hashes_count = 1, .spki = &wrong, .spki_count = 1};
    struct outcome o = try(&c, &leaf);
    refused(&o, TLS_VERIFY_FAILED_DIGEST, SSL_AD_BAD_CERTIFICATE_HASH_VALUE,
            "verify cert failed: cert hash and spki");
    c.hashes = &spki; /* a digest of the wrong thing */
    o = try(&c, &leaf);
    assert_false(o.ok);
    c.spki = &spki; /* one of both is enough, and no CA is needed */
    o = try(&c, &leaf);
    accepted(&o);
    c = (struct tls_verify_config){.hashes = (struct tls_digest[]){wrong, hash}, .hashes_count = 2};
    o = try(&c, &leaf);
    accepted(&o);
    c.trusted_ca = slice_str(middle_pem);
    o = try(&c, &leaf);
    assert_int_equal(o.check.failure, TLS_VERIFY_FAILED_CHAIN);
}

static void clients(void **state)
{
    (void)state;
    struct tls_verify *v = make(&(struct tls_verify_config){.trusted_ca = slice_str(root_pem)});
    struct setup s = {.verify = v, .verifier_is_server = true, .require = true};
    struct outcome o = shake(&s);
    assert_false(o.ok); /* none */
    assert_int_equal(o.check.failure, TLS_VERIFY_PASSED);
    s.peer = &self_signed;
    o = shake(&s);
    refused(&o, TLS_VERIFY_FAILED_CHAIN, SSL_AD_UNKNOWN_CA,
            "verify cert failed: X509_verify_cert: certificate verification error at depth 0: self signed "
            "certificate");
    s.peer = &client_only;
    o = shake(&s);
    accepted(&o);
    s.require = false;
    o = shake(&s);
    accepted(&o);
    s.peer = &expired; /* who shows one must show a good one */
    o = shake(&s);
    assert_false(o.ok);
    s.peer = NULL;
    o = shake(&s);
    assert_true(o.ok);
    assert_int_equal(o.check.verdict, TLS_NOT_VALIDATED);
    tls_verify_destroy(&v);
    /* Digests require a certificate without being told; accepting the untrusted does not. */
    struct tls_digest wrong = {{1}};
    v = make(&(struct tls_verify_config){.hashes = &wrong, .hashes_count = 1});
    s.verify = v;
    o = shake(&s);
    assert_false(o.ok);
    tls_verify_destroy(&v);
    v = make(&(struct tls_verify_config){.hashes = &wrong, .hashes_count = 1, .accept_untrusted = true});
    s.verify = v;
    o = shake(&s);
    assert_true(o.ok);
    s.peer = &self_signed;
    o = shake(&s);
    assert_true(o.ok);
    assert_int_equal(o.check.failure, TLS_VERIFY_FAILED_DIGEST);
    tls_verify_destroy(&v);
}

static void fingerprints(void **state)
{
    (void)state;
    static const struct tls_san_matcher a = {.type = TLS_SAN_DNS, .host = {"a", 1}},
                                        b = {.type = TLS_SAN_DNS, .host = {"b", 1}};
    const struct tls_san_matcher upn = {.type = TLS_SAN_OTHER,
                                        .identity = {"x", 1},
                                        .oid = OBJ_nid2obj(NID_ms_upn)},
                                 smart = {.type = TLS_SAN_OTHER,
                                          .identity = {"x", 1},
                                          .oid = OBJ_nid2obj(NID_ms_smartcard_login)};
    struct tls_digest d = {{1}};
    const struct tls_verify_config configs[] = {
        {.trusted_ca = slice_str(root_pem)},
        {.trusted_ca = slice_str(other_pem)},
        {.trusted_ca = slice_str(root_pem), .allow_expired = true},
        {.trusted_ca = slice_str(root_pem), .max_depth_set = true},
        {.trusted_ca = slice_str(root_pem), .sans = &a, .sans_count = 1},
        {.trusted_ca = slice_str(root_pem), .sans = &b, .sans_count = 1},
        {.trusted_ca = slice_str(root_pem), .sans = &upn, .sans_count = 1},
        {.trusted_ca = slice_str(root_pem), .sans = &smart, .sans_count = 1},
        {.trusted_ca = slice_str(root_pem), .hashes = &d, .hashes_count = 1},
        {.trusted_ca = slice_str(root_pem), .spki = &d, .spki_count = 1},
    };
    enum { COUNT = sizeof(configs) / sizeof(*configs) };
    struct tls_digest seen[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        struct tls_verify *v = make(&configs[i]), *again = make(&configs[i]);
        seen[i] = tls_verify_fingerprint(v);
        struct tls_digest same = tls_verify_fingerprint(again);
        assert_memory_equal(&seen[i], &same, sizeof(same));
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&seen[i], &seen[j], sizeof(seen[i]));
        tls_verify_destroy(&v);
        tls_verify_destroy(&again);
    }
}

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static void sans_released_once(void **state)
{
    (void)state;
    int released = 0;
    struct tls_verify *v;
    struct tls_verify_config c = {
        .trusted_ca = SLICE_LIT("bad"), .sans_release = count_release, .owner = &released};
    assert_int_equal(tls_verify_create(&c, &v), TLS_VERIFY_BAD_CA);
    assert_int_equal(released, 1);
    c.trusted_ca = slice_str(root_pem);
    v = make(&c);
    assert_int_equal(released, 1);
    tls_verify_destroy(&v);
    assert_int_equal(released, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_refused),
        cmocka_unit_test(digests_parsed),
        cmocka_unit_test(hosts),
        cmocka_unit_test(chains),
        cmocka_unit_test(depths),
        cmocka_unit_test(untrusted),
        cmocka_unit_test(revoked),
        cmocka_unit_test(names),
        cmocka_unit_test(names_of_the_request),
        cmocka_unit_test(digests),
        cmocka_unit_test(clients),
        cmocka_unit_test(fingerprints),
        cmocka_unit_test(sans_released_once),
    };
    return cmocka_run_group_tests(tests, make_certs, free_certs);
}
