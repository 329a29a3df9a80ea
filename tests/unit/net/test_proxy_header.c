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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions),
        cmocka_unit_test(local),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("proxy_header", tests, NULL, NULL);
}
