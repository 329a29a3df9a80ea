/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY headers: both versions, cut at every byte, what is refused, TLVs. (Envoy's opinion on each is asked
 * by the integration tests.)
 */
#include "net/proxy_header.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(s)                                                                                              \
    {                                                                                                        \
        (s), sizeof(s) - 1                                                                                   \
    }
#define V4(command, len)                                                                                     \
    "\r\n\r\n\0\r\nQUIT\n" command "\x11\0" len "\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\x07\xd0"

static void check_addresses(const struct proxy_header *h)
{
    char text[ADDRESS_TEXT_MAX];
    assert_string_equal(address_format(&h->remote, text), "1.2.3.4:1000");
    assert_string_equal(address_format(&h->destination, text), "5.6.7.8:2000");
}

/* Every shorter piece asks for more, in memory of exactly its size. */
static void cut_everywhere(struct slice whole)
{
    struct proxy_header h;
    for (size_t cut = 0; cut < whole.len; cut++) {
        char *part = malloc(cut + 1);
        assert_non_null(part);
        memcpy(part, whole.ptr, cut);
        assert_int_equal(proxy_header_parse(slice_of(part, cut), &h), PROXY_HEADER_MORE);
        free(part);
    }
}

static void both_versions(void **state)
{
    (void)state;
    static const struct slice headers[] = {
        TEXT("PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n"),
        TEXT(V4("\x21", "\x0c")),
        TEXT(V4("\x21", "\x13") "\x02\0\x04name"),
    };
    struct proxy_header h;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(headers); i++) {
        assert_int_equal(proxy_header_parse(headers[i], &h), PROXY_HEADER_OK);
        assert_int_equal(h.bytes, headers[i].len);
        assert_false(h.local);
        check_addresses(&h);
        cut_everywhere(headers[i]);
    }
    uint8_t type;
    struct slice value;
    assert_true(proxy_header_tlv(&h.tlvs, &type, &value));
    assert_int_equal(type, 2);
    assert_true(slice_eq(value, SLICE_LIT("name")));
    assert_false(proxy_header_tlv(&h.tlvs, &type, &value));
}

static void local(void **state)
{
    (void)state;
    struct proxy_header h;
    assert_int_equal(proxy_header_parse(SLICE_LIT("PROXY UNKNOWN a b\r\nrest"), &h), PROXY_HEADER_OK);
    assert_true(h.local);
    assert_int_equal(h.bytes, 19);
    assert_int_equal(proxy_header_parse(SLICE_LIT(V4("\x20", "\x0c")), &h), PROXY_HEADER_OK);
    assert_true(h.local);
    assert_int_equal(h.bytes, 28);
}

static void refused(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        TEXT("PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n"),
        TEXT("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"),
        TEXT("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n"),
        TEXT("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n"),
        TEXT("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n"),
        TEXT("PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n"),
        TEXT("PROXY TCP4 1.2.3.4 255.255.255.255 1 2\r\n"),
        TEXT("PROXY \r\n"),
        TEXT(V4("\x22", "\x0c")), /* command */
        TEXT(V4("\x11", "\x0c")), /* version */
        TEXT(V4("\x21", "\x0b")), /* shorter than its addresses */
    };
    static const struct slice none[] = {TEXT("G"), TEXT("PROXY\t"), TEXT("\r\n\r\n\r\n")};
    struct proxy_header h;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        assert_int_equal(proxy_header_parse(bad[i], &h), PROXY_HEADER_BAD);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(none); i++)
        assert_int_equal(proxy_header_parse(none[i], &h), PROXY_HEADER_NONE);
}

static struct address ip(const char *text, uint16_t port)
{
    struct address a;
    assert_true(address_parse_ip(slice_str(text), port, &a));
    return a;
}

/* What is written is what the reader understands; what cannot be said is not. */
static void written(void **state)
{
    static const char *const pairs[][3] = {
        {"1.2.3.4", "5.6.7.8", "PROXY TCP4 1.2.3.4 5.6.7.8 1000 65535\r\n"},
        {"2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 1000 65535\r\n"},
        {"1.2.3.4", "2001:db8::1", "PROXY TCP6 ::ffff:1.2.3.4 2001:db8::1 1000 65535\r\n"},
        {"2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1111:2222:3333:4444:5555:6666:7777:8888",
         "PROXY TCP6 2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1111:2222:3333:4444:5555:6666:7777:8888 1000 "
         "65535\r\n"},
    };
    char line[PROXY_HEADER_V1_BYTES_MAX], head[PROXY_HEADER_V2_HEAD_MAX + 8];
    struct proxy_header h;
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(pairs); i++) {
        struct address from = ip(pairs[i][0], 1000), to = ip(pairs[i][1], 65535);
        assert_true(proxy_header_says(&from, &to));
        size_t n = proxy_header_v1(&from, &to, line);
        assert_true(slice_eq(slice_of(line, n), slice_str(pairs[i][2])));
        n = proxy_header_v2(&from, &to, SLICE_LIT("\xe0\0\1x"), head);
        assert_true(n <= PROXY_HEADER_V2_HEAD_MAX);
        memcpy(head + n, "\xe0\0\1x", 4);
        assert_int_equal(proxy_header_parse(slice_of(head, n + 4), &h), PROXY_HEADER_OK);
        assert_true(address_eq_ip(&h.remote, &from) && address_eq_ip(&h.destination, &to));
        assert_int_equal(address_port(&h.remote), 1000);
        assert_int_equal(address_port(&h.destination), 65535);
        assert_true(!h.local && slice_eq(h.tlvs, SLICE_LIT("\xe0\0\1x")) && h.bytes == n + 4);
        assert_int_equal(proxy_header_v2_room(&from, &to) + n - 16, UINT16_MAX);
    }
    struct address from = ip("1.2.3.4", 1), path;
    assert_true(address_unix(SLICE_LIT("/a"), &path));
    assert_true(
        slice_eq(slice_of(line, proxy_header_v1(&from, &path, line)), SLICE_LIT("PROXY UNKNOWN\r\n")));
    assert_int_equal(proxy_header_v2(&path, &from, SLICE_EMPTY, head), 16);
    assert_int_equal(proxy_header_parse(slice_of(head, 16), &h), PROXY_HEADER_OK);
    assert_true(h.local);
    assert_int_equal(proxy_header_v2(NULL, NULL, SLICE_EMPTY, head), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions),
        cmocka_unit_test(local),
        cmocka_unit_test(refused),
        cmocka_unit_test(written),
    };
    return cmocka_run_group_tests_name("proxy_header", tests, NULL, NULL);
}
