/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x-forwarded-client-cert: a client's own words first, then each mode with and without a certificate.
 */
#include "proxy/client_cert.h"

#include "net/tls_info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NAME SLICE_LIT("x-forwarded-client-cert")

static const struct slice local_uris[] = {{"spiffe://s/one", 14}, {"spiffe://s/two", 14}};
static const struct slice peer_uris[] = {{"spiffe://c/one;a=b", 18}, {"spiffe://c/two", 14}};
static const struct slice peer_dns[] = {{"a.test", 6}, {"evil\r\nx: y", 10}, {"b.test", 6}};

static struct tls_info mutual(void)
{
    return (struct tls_info){
        .local = {.uri_sans = local_uris, .uri_sans_count = 2},
        .peer = {.subject = SLICE_LIT("OU=x,O=Acme\\, \\\"Inc\\\"\\; a=b,C=DE"),
                 .uri_sans = peer_uris,
                 .uri_sans_count = 2,
                 .dns_sans = peer_dns,
                 .dns_sans_count = 3},
        .peer_sha256 = SLICE_LIT("0123"),
        .peer_pem = SLICE_LIT("PEM%0A"),
        .peer_chain_pem = SLICE_LIT("PEM%0APEM%0A"),
        .peer_presented = true,
    };
}

static const struct client_cert_details all = {true, true, true, true, true}, none;

/* The fields of the name after `mode`, joined by "|"; NULL: none. */
static const char *apply(struct arena *arena, enum client_cert_mode mode,
                         const struct client_cert_details *details, const struct tls_info *tls,
                         const char *first, const char *second, size_t bytes_max)
{
    struct header_map m;
    header_map_init(&m, arena, 100, bytes_max);
    if (first)
        assert_int_equal(header_map_add(&m, NAME, slice_str(first)), HEADER_OK);
    if (second)
        assert_int_equal(header_map_add(&m, NAME, slice_str(second)), HEADER_OK);
    client_cert_apply(mode, details, tls, &m, arena);
    const char *out = NULL;
    for (const struct header *h = header_map_find(&m, NAME); h; h = header_map_find_next(&m, NAME, h))
        out = arena_printf(arena, "%s%s" SLICE_FMT, out ? out : "", out ? "|" : "", SLICE_ARG(h->value));
    return out;
}

static void same(const char *got, const char *want)
{
    if (!want)
        assert_null(got);
    else
        assert_string_equal(got ? got : "(none)", want);
}

static void clients_are_not_believed(void **state)
{
    (void)state;
    struct tls_info tls = mutual();
    tls.peer_presented = false;
    for (int mode = CLIENT_CERT_SANITIZE; mode < CLIENT_CERT_ALWAYS_FORWARD_ONLY; mode++) {
        struct arena arena;
        arena_init(&arena, 1 << 20, NULL);
        same(apply(&arena, (enum client_cert_mode)mode, &all, NULL, "By=me", "x", 60000), NULL);
        same(apply(&arena, (enum client_cert_mode)mode, &all, &tls, "By=me", NULL, 60000), NULL);
        same(apply(&arena, (enum client_cert_mode)mode, &all, NULL, NULL, NULL, 60000), NULL);
        arena_fini(&arena);
    }
}

static void modes(void **state)
{
    (void)state;
    const struct tls_info tls = mutual();
    const char *own = "By=spiffe://s/one;By=spiffe://s/two;Hash=0123";
    const struct {
        enum client_cert_mode mode;
        const struct tls_info *tls;
        const char *first, *second, *out;
    } rows[] = {
        {CLIENT_CERT_SANITIZE, &tls, "old", NULL, NULL},
        {CLIENT_CERT_FORWARD_ONLY, &tls, NULL, NULL, NULL},
        {CLIENT_CERT_FORWARD_ONLY, &tls, "old", NULL, "old"},
        {CLIENT_CERT_APPEND_FORWARD, &tls, NULL, NULL, own},
        {CLIENT_CERT_APPEND_FORWARD, &tls, "old", NULL, "old,By=spiffe://s/one;By=spiffe://s/two;Hash=0123"},
        {CLIENT_CERT_APPEND_FORWARD, &tls, "a", "b", "a,b,By=spiffe://s/one;By=spiffe://s/two;Hash=0123"},
        {CLIENT_CERT_SANITIZE_SET, &tls, "a", "b", own},
        {CLIENT_CERT_SANITIZE_SET, &tls, NULL, NULL, own},
        {CLIENT_CERT_ALWAYS_FORWARD_ONLY, &tls, "old", NULL, "old"},
        {CLIENT_CERT_ALWAYS_FORWARD_ONLY, NULL, "old", NULL, "old"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct arena arena;
        arena_init(&arena, 1 << 20, NULL);
        same(apply(&arena, rows[i].mode, &none, rows[i].tls, rows[i].first, rows[i].second, 60000),
             rows[i].out);
        arena_fini(&arena);
    }
}

/* In Envoy's order, quoted as there; the name with a line break in it is left out. */
static void details(void **state)
{
    (void)state;
    struct tls_info tls = mutual();
    struct arena arena;
    arena_init(&arena, 1 << 20, NULL);
    same(apply(&arena, CLIENT_CERT_SANITIZE_SET, &all, &tls, NULL, NULL, 60000),
         "By=spiffe://s/one;By=spiffe://s/two;Hash=0123;Cert=\"PEM%0A\";Chain=\"PEM%0APEM%0A\";"
         "Subject=\"OU=x,O=Acme\\, \\\"Inc\\\"\\; a=b,C=DE\";URI=spiffe://c/one;a=b;URI=spiffe://c/two;"
         "DNS=a.test;DNS=b.test");
    tls = (struct tls_info){.peer_presented = true};
    same(apply(&arena, CLIENT_CERT_SANITIZE_SET, &all, &tls, NULL, NULL, 60000), "Subject=\"\";URI=");
    arena_fini(&arena);
}

/* An element that has no room must not leave somebody else's as the last one. */
static void no_room(void **state)
{
    (void)state;
    const struct tls_info tls = mutual();
    struct arena arena;
    arena_init(&arena, 1 << 20, NULL);
    same(apply(&arena, CLIENT_CERT_APPEND_FORWARD, &all, &tls, "By=somebody", NULL, 60), NULL);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_not_believed),
        cmocka_unit_test(modes),
        cmocka_unit_test(details),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
