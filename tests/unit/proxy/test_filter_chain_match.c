/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a filter chain: the most specific match per step in Envoy's order, no going back, the default
 * chain, and chains that want TLS.
 */
#include "proxy/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

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

static const char *pick(struct filter_chain *chains, size_t count, struct filter_chain *fallback,
                        const char *remote, uint16_t remote_port)
{
    struct listener_config l = {.chains = chains, .chains_count = count, .default_chain = fallback};
    struct address from = ip(remote, remote_port), to = ip("10.0.0.1", 80);
    const struct filter_chain *c = listener_find_chain(&l, &from, &to);
    return c ? c->name.ptr : "none";
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_matches),
        cmocka_unit_test(longest_prefix_wins),
        cmocka_unit_test(no_going_back),
        cmocka_unit_test(source_type),
    };
    return cmocka_run_group_tests_name("filter_chain_match", tests, NULL, NULL);
}
