/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a filter chain: the most specific match per step in Envoy's order, no going back, the default
 * chain, what counts as an overlap, and that a thousand chains cost what one does.
 */
#include "proxy/listener/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHAINS_MAX 2048

static struct address ip(const char *text, uint16_t port)
{
    struct address a;
    assert_true(address_parse_ip(slice_str(text), port, &a));
    return a;
}

static struct cidr range(const char *text, unsigned bits)
{
    struct cidr c;
    assert_true(cidr_init(&c, slice_str(text), bits));
    return c;
}

static enum filter_chain_index_result make(struct filter_chain *chains, size_t count, struct arena *arena,
                                           struct listener_config *l)
{
    static const struct filter_chain_match *matches[CHAINS_MAX];
    *l = (struct listener_config){.chains = chains, .chains_count = count};
    arena_init(arena, 16 << 20, NULL);
    for (size_t i = 0; i < count; i++)
        matches[i] = &chains[i].match;
    return filter_chain_index(matches, count, arena, &l->chain_index);
}

static const char *find(struct filter_chain *chains, size_t count, struct filter_chain *fallback,
                        const struct filter_chain_facts *facts)
{
    struct listener_config l;
    struct arena arena;
    assert_int_equal(make(chains, count, &arena, &l), FILTER_CHAIN_INDEX_OK);
    l.default_chain = fallback;
    const struct filter_chain *c = listener_find_chain(&l, facts);
    arena_fini(&arena);
    return c ? c->name.ptr : "none";
}

static const char *pick(struct filter_chain *chains, size_t count, struct filter_chain *fallback,
                        const char *remote, uint16_t remote_port)
{
    struct address from = ip(remote, remote_port), to = ip("10.0.0.1", 80);
    const struct filter_chain_facts facts = {
        .remote = &from, .direct_remote = &from, .local = &to, .transport_protocol = SLICE_LIT("raw_buffer")};
    return find(chains, count, fallback, &facts);
}

/* A TLS connection. `alpn` is one protocol or NULL. */
static const char *pick_tls(struct filter_chain *chains, size_t count, const char *name, const char *alpn)
{
    struct address from = ip("1.2.3.4", 5), to = ip("10.0.0.1", 443);
    const struct slice protocol = slice_str(alpn);
    const struct filter_chain_facts facts = {.remote = &from,
                                             .direct_remote = &from,
                                             .local = &to,
                                             .server_name = slice_str(name),
                                             .transport_protocol = SLICE_LIT("tls"),
                                             .application_protocols = &protocol,
                                             .application_protocols_count = alpn ? 1 : 0};
    return find(chains, count, NULL, &facts);
}

static void nothing_matches(void **state)
{
    (void)state;
    static const struct slice names[] = {{"example.com", 11}};
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("sni"), .match = {.server_names = names, .server_names_count = 1}},
        {.name = SLICE_LIT("tls"), .match = {.transport_protocol = SLICE_LIT("tls")}},
        {.name = SLICE_LIT("alpn"),
         .match = {.application_protocols = names, .application_protocols_count = 1}},
        {.name = SLICE_LIT("port"), .match = {.destination_port = 81}},
    };
    struct filter_chain fallback = {.name = SLICE_LIT("fallback")};
    assert_string_equal(pick(chains, 4, NULL, "1.2.3.4", 5), "none");
    assert_string_equal(pick(chains, 4, &fallback, "1.2.3.4", 5), "fallback");
    assert_string_equal(pick(chains, 0, NULL, "1.2.3.4", 5), "none");
}

static void longest_prefix_wins(void **state)
{
    (void)state;
    struct cidr wide = range("1.0.0.0", 8), narrow = range("1.2.0.0", 16), all = range("0.0.0.0", 0);
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("any")},
        {.name = SLICE_LIT("all"), .match = {.source_ranges = &all, .source_ranges_count = 1}},
        {.name = SLICE_LIT("wide"), .match = {.source_ranges = &wide, .source_ranges_count = 1}},
        {.name = SLICE_LIT("narrow"), .match = {.source_ranges = &narrow, .source_ranges_count = 1}},
    };
    assert_string_equal(pick(chains, 4, NULL, "1.2.3.4", 5), "narrow");
    assert_string_equal(pick(chains, 4, NULL, "1.3.3.4", 5), "wide");
    assert_string_equal(pick(chains, 4, NULL, "2.3.3.4", 5), "all");
    assert_string_equal(pick(chains, 1, NULL, "2.3.3.4", 5), "any");
}

static void ipv6_ranges(void **state)
{
    (void)state;
    struct cidr all6 = range("::", 0), net6 = range("2001:db8::", 32);
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("all6"), .match = {.source_ranges = &all6, .source_ranges_count = 1}},
        {.name = SLICE_LIT("net6"), .match = {.source_ranges = &net6, .source_ranges_count = 1}},
    };
    assert_string_equal(pick(chains, 2, NULL, "2001:db8::1", 5), "net6");
    assert_string_equal(pick(chains, 2, NULL, "2001:db9::1", 5), "all6");
    assert_string_equal(pick(chains, 2, NULL, "1.2.3.4", 5), "none");
}

/* The destination port comes first: the chain that has it is taken although its later step fails. */
static void no_going_back(void **state)
{
    (void)state;
    static const uint16_t ports[] = {1000};
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("any")},
        {.name = SLICE_LIT("port"),
         .match = {.destination_port = 80, .source_ports = ports, .source_ports_count = 1}},
    };
    assert_string_equal(pick(chains, 2, NULL, "1.2.3.4", 1000), "port");
    assert_string_equal(pick(chains, 2, NULL, "1.2.3.4", 1001), "none");
}

static void source_type(void **state)
{
    (void)state;
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("local"), .match = {.source_type = SOURCE_SAME_IP_OR_LOOPBACK}},
        {.name = SLICE_LIT("external"), .match = {.source_type = SOURCE_EXTERNAL}},
    };
    assert_string_equal(pick(chains, 2, NULL, "127.0.0.1", 5), "local");
    assert_string_equal(pick(chains, 2, NULL, "10.0.0.1", 5), "local");
    assert_string_equal(pick(chains, 2, NULL, "10.0.0.2", 5), "external");
}

/* The proxied address is matched by source_prefix_ranges, the socket's by direct_source_prefix_ranges. */
static void direct_source(void **state)
{
    (void)state;
    struct cidr proxies = range("10.9.0.0", 16), clients = range("1.0.0.0", 8);
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("proxied"),
         .match = {.direct_source_ranges = &proxies, .direct_source_ranges_count = 1}},
        {.name = SLICE_LIT("client"), .match = {.source_ranges = &clients, .source_ranges_count = 1}},
    };
    struct address from = ip("1.2.3.4", 5), to = ip("10.0.0.1", 80), proxy = ip("10.9.0.1", 9);
    struct filter_chain_facts facts = {.remote = &from, .direct_remote = &proxy, .local = &to};
    assert_string_equal(find(chains, 2, NULL, &facts), "proxied");
    facts.direct_remote = &from;
    assert_string_equal(find(chains, 2, NULL, &facts), "client");
}

static void unix_sockets_have_envoys_address(void **state)
{
    (void)state;
    struct cidr all = range("0.0.0.0", 0), fake = range("255.255.255.255", 32), net = range("10.0.0.0", 8);
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("net"), .match = {.source_ranges = &net, .source_ranges_count = 1}},
        {.name = SLICE_LIT("all"), .match = {.source_ranges = &all, .source_ranges_count = 1}},
        {.name = SLICE_LIT("fake"), .match = {.source_ranges = &fake, .source_ranges_count = 1}},
        {.name = SLICE_LIT("local"), .match = {.source_type = SOURCE_SAME_IP_OR_LOOPBACK}},
    };
    struct address a;
    assert_true(address_unix(SLICE_LIT("/run/x"), &a));
    struct filter_chain_facts facts = {.remote = &a, .direct_remote = &a, .local = &a};
    assert_string_equal(find(chains, 2, NULL, &facts), "all");
    assert_string_equal(find(chains, 3, NULL, &facts), "fake");
    assert_string_equal(find(chains, 4, NULL, &facts), "local");
}

static void server_names(void **state)
{
    (void)state;
    static const struct slice exact[] = {{"www.example.com", 15}, {"a.net", 5}},
                              below[] = {{"*.example.com", 13}}, top[] = {{"*.com", 5}};
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("exact"), .match = {.server_names = exact, .server_names_count = 2}},
        {.name = SLICE_LIT("below"), .match = {.server_names = below, .server_names_count = 1}},
        {.name = SLICE_LIT("top"), .match = {.server_names = top, .server_names_count = 1}},
        {.name = SLICE_LIT("any")},
    };
    assert_string_equal(pick_tls(chains, 4, "www.example.com", NULL), "exact");
    assert_string_equal(pick_tls(chains, 4, "a.net", NULL), "exact");
    assert_string_equal(pick_tls(chains, 4, "b.example.com", NULL), "below");
    assert_string_equal(pick_tls(chains, 4, "c.b.example.com", NULL), "below");
    assert_string_equal(pick_tls(chains, 4, "example.com", NULL), "top");
    assert_string_equal(pick_tls(chains, 4, "com", NULL), "any");
    assert_string_equal(pick_tls(chains, 4, ".com", NULL), "top");
    assert_string_equal(pick_tls(chains, 4, "com.", NULL), "any");
    assert_string_equal(pick_tls(chains, 4, NULL, NULL), "any");
    assert_string_equal(pick_tls(chains, 3, "a.org", NULL), "none");
}

/* The name comes before ALPN: the chain of the name is not left for one that has the protocol. */
static void name_before_alpn(void **state)
{
    (void)state;
    static const struct slice name[] = {{"a.com", 5}}, h2[] = {{"h2", 2}};
    struct filter_chain chains[] = {
        {.name = SLICE_LIT("name"),
         .match = {.server_names = name,
                   .server_names_count = 1,
                   .application_protocols = h2,
                   .application_protocols_count = 1}},
        {.name = SLICE_LIT("h2"), .match = {.application_protocols = h2, .application_protocols_count = 1}},
        {.name = SLICE_LIT("tls"), .match = {.transport_protocol = SLICE_LIT("tls")}},
        {.name = SLICE_LIT("any")},
    };
    assert_string_equal(pick_tls(chains, 4, "a.com", "h2"), "name");
    assert_string_equal(pick_tls(chains, 4, "a.com", "http/1.1"), "none");
    assert_string_equal(pick_tls(chains, 4, "b.com", "h2"), "tls"); /* transport before ALPN */
    assert_string_equal(pick_tls(chains, 2, "b.com", "h2"), "h2");
    assert_string_equal(pick(chains, 4, NULL, "1.2.3.4", 5), "any");
}

static void overlaps(void **state)
{
    (void)state;
    static const uint16_t a[] = {1, 2}, b[] = {2, 3}, twice[] = {4, 4};
    struct filter_chain chains[] = {
        {.match = {.source_ports = a, .source_ports_count = 2}},
        {.match = {.source_ports = b, .source_ports_count = 2}},
        {.match = {.source_ports = twice, .source_ports_count = 2}},
        {.match = {.source_ports = a, .source_ports_count = 1, .transport_protocol = SLICE_LIT("tls")}},
    };
    struct arena arena;
    struct listener_config l;
    assert_int_equal(make(chains, 2, &arena, &l), FILTER_CHAIN_INDEX_OVERLAP);
    arena_fini(&arena);
    assert_int_equal(make(&chains[2], 1, &arena, &l), FILTER_CHAIN_INDEX_OVERLAP);
    arena_fini(&arena);
    chains[1] = chains[3];
    assert_int_equal(make(chains, 2, &arena, &l), FILTER_CHAIN_INDEX_OK);
    arena_fini(&arena);
}

static void many_chains(void **state)
{
    (void)state;
    static struct filter_chain chains[CHAINS_MAX];
    static struct slice names[CHAINS_MAX];
    static char texts[CHAINS_MAX][32];
    struct listener_config l;
    struct arena arena;
    struct address from = ip("1.2.3.4", 5), to = ip("10.0.0.1", 443);
    struct filter_chain_facts facts = {.remote = &from, .direct_remote = &from, .local = &to};
    for (size_t i = 0; i < CHAINS_MAX; i++) {
        snprintf(texts[i], sizeof(texts[i]), "host%zu.example.com", i);
        names[i] = slice_str(texts[i]);
        chains[i] = (struct filter_chain){.name = names[i],
                                          .match = {.server_names = &names[i], .server_names_count = 1}};
    }
    assert_int_equal(make(chains, CHAINS_MAX, &arena, &l), FILTER_CHAIN_INDEX_OK);
    for (size_t i = 0; i < CHAINS_MAX; i++) {
        facts.server_name = names[i];
        assert_ptr_equal(listener_find_chain(&l, &facts), &chains[i]);
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_matches),
        cmocka_unit_test(longest_prefix_wins),
        cmocka_unit_test(ipv6_ranges),
        cmocka_unit_test(no_going_back),
        cmocka_unit_test(source_type),
        cmocka_unit_test(direct_source),
        cmocka_unit_test(unix_sockets_have_envoys_address),
        cmocka_unit_test(server_names),
        cmocka_unit_test(name_before_alpn),
        cmocka_unit_test(overlaps),
        cmocka_unit_test(many_chains),
    };
    return cmocka_run_group_tests_name("filter_chain_match", tests, NULL, NULL);
}
