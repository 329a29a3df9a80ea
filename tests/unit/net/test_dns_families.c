/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families of interfaces: the loopback's addresses count for nothing, nor does what has no address.
 */
#include "net/address.h"
#include "net/dns_families.h"

#include <ifaddrs.h>
#include <netpacket/packet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A list of interfaces with these addresses; "-": none, "packet": the link's. */
static void check(const char *const *texts, size_t count, bool v4, bool v6)
{
    struct address addresses[8] = {0};
    struct sockaddr_ll link = {.sll_family = AF_PACKET};
    struct ifaddrs list[8] = {0};
    for (size_t i = 0; i < count; i++) {
        list[i].ifa_next = i + 1 < count ? &list[i + 1] : NULL;
        if (strcmp(texts[i], "packet") == 0)
            list[i].ifa_addr = (struct sockaddr *)&link;
        else if (address_parse_ip(slice_str(texts[i]), 0, &addresses[i]))
            list[i].ifa_addr = &addresses[i].sa;
    }
    struct dns_families found = dns_families_of(count ? list : NULL);
    assert_int_equal(found.v4, v4);
    assert_int_equal(found.v6, v6);
}

#define CHECK(v4, v6, ...)                                                                                   \
    check((const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), v4, v6)

static void families(void **state)
{
    (void)state;
    check(NULL, 0, false, false);
    CHECK(false, false, "127.0.0.1", "::1");
    CHECK(false, false, "-", "packet", "127.0.0.2");
    CHECK(true, false, "127.0.0.1", "::1", "192.0.2.2");
    CHECK(false, true, "127.0.0.1", "2001:db8::1");
    CHECK(false, true, "fe80::1", "-");
    CHECK(true, true, "packet", "10.0.0.1", "packet", "fd00::1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(families)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
