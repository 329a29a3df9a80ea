/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and ranges: text that is no address first, then forms, ranges with odd prefixes, mapped IPv4.
 */
#include "net/address.h"

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

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4x",
                                      "::1::", "[::1]", "host",      " 1.2.3.4",  "1.2.3.4 "};
    struct address a;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(address_parse_ip(slice_str(bad[i]), 1, &a));
    assert_false(address_parse_ip(SLICE_LIT("1.2.3.4\0"), 1, &a));
    struct cidr c;
    assert_false(cidr_init(&c, SLICE_LIT("10.0.0.0"), 33));
    assert_false(cidr_init(&c, SLICE_LIT("::"), 129));
    assert_false(address_unix(SLICE_LIT(""), &a));
    char path[200];
    memset(path, 'x', sizeof(path));
    assert_false(address_unix(slice_of(path, sizeof(path)), &a));
}

static void text_forms(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    struct address a = ip("1.2.3.4", 80);
    assert_string_equal(address_format(&a, text), "1.2.3.4:80");
    assert_string_equal(address_format_ip(&a, text), "1.2.3.4");
    a = ip("2001:db8::1", 443);
    assert_string_equal(address_format(&a, text), "[2001:db8::1]:443");
    assert_true(address_unix(SLICE_LIT("/run/x.sock"), &a));
    assert_string_equal(address_format(&a, text), "/run/x.sock");
    assert_true(address_unix(SLICE_LIT("@weir"), &a));
    assert_string_equal(address_format(&a, text), "@weir");
    a.len = 0;
    assert_string_equal(address_format(&a, text), "");
}

static void equality(void **state)
{
    (void)state;
    struct address a = ip("1.2.3.4", 80), b = ip("1.2.3.4", 81), m = ip("::ffff:1.2.3.4", 80);
    assert_false(address_eq(&a, &b));
    assert_true(address_eq_ip(&a, &b));
    assert_true(address_eq_ip(&a, &m));
    assert_false(address_eq(&a, &m)); /* another family is another socket */
    address_set_port(&b, 80);
    assert_true(address_eq(&a, &b));
}

static void ranges(void **state)
{
    (void)state;
    struct cidr c;
    assert_true(cidr_init(&c, SLICE_LIT("10.1.2.3"), 13));
    struct address in = ip("10.7.255.255", 0), out = ip("10.8.0.0", 0), mapped = ip("::ffff:10.0.0.1", 0);
    assert_true(cidr_contains(&c, &in));
    assert_false(cidr_contains(&c, &out));
    assert_true(cidr_contains(&c, &mapped));
    assert_true(cidr_init(&c, SLICE_LIT("0.0.0.0"), 0));
    struct address v6 = ip("2001:db8::1", 0);
    assert_true(cidr_contains(&c, &out));
    assert_false(cidr_contains(&c, &v6));
    assert_true(cidr_init(&c, SLICE_LIT("::"), 0)); /* all of IPv6 is none of IPv4 */
    assert_true(cidr_contains(&c, &v6));
    assert_false(cidr_contains(&c, &out));
    assert_false(cidr_contains(&c, &mapped));
    assert_true(cidr_init(&c, SLICE_LIT("::ffff:10.0.0.0"), 112));
    assert_true(cidr_contains(&c, &mapped));
    assert_true(cidr_init(&c, SLICE_LIT("2001:db8:ffff::"), 33));
    struct address high = ip("2001:db8:8000::1", 0);
    assert_true(cidr_contains(&c, &high));
    assert_false(cidr_contains(&c, &v6));
}

static void classes(void **state)
{
    (void)state;
    static const char *const private_ips[] = {"10.0.0.1", "172.31.255.255", "192.168.1.1", "127.9.9.9",
                                              "::1",      "fd00::1"};
    static const char *const public_ips[] = {"172.32.0.1", "11.0.0.1", "8.8.8.8", "2001:db8::1", "::2"};
    for (size_t i = 0; i < sizeof(private_ips) / sizeof(*private_ips); i++) {
        struct address a = ip(private_ips[i], 0);
        assert_true(address_is_private(&a));
    }
    for (size_t i = 0; i < sizeof(public_ips) / sizeof(*public_ips); i++) {
        struct address a = ip(public_ips[i], 0);
        assert_false(address_is_private(&a));
    }
    struct address any = ip("0.0.0.0", 1), lo = ip("127.0.0.1", 1);
    assert_true(address_is_wildcard(&any));
    assert_false(address_is_wildcard(&lo));
    assert_true(address_is_loopback(&lo));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(text_forms), cmocka_unit_test(equality),
        cmocka_unit_test(ranges),  cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
