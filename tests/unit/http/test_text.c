/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character classes, hosts, status codes, dates and the rows of errors.
 */
#include "base/assert.h"
#include "http/chars.h"
#include "http/date.h"
#include "http/error.h"
#include "http/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* Each scan stops at the first byte outside its class, at every length and place, and reads nothing behind.
 */
static void scans_stop_where_they_must(void **state)
{
    (void)state;
    for (int bad = 0; bad < 256; bad++) {
        for (size_t len = 0; len < 40; len++) {
            char *text = malloc(len ? len : 1);
            memset(text, 'a', len);
            for (size_t at = 0; at < len; at += 3) {
                text[at] = (char)bad;
                const char *end = text + len, *stop = text + at;
                assert_ptr_equal(chars_skip_value(text, end), chars_is_value((char)bad) ? end : stop);
                assert_ptr_equal(chars_skip_visible(text, end), chars_is_visible((char)bad) ? end : stop);
                assert_ptr_equal(chars_skip_token(text, end), chars_is_token((char)bad) ? end : stop);
                text[at] = 'a';
            }
            free(text);
        }
    }
}

static void classes(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        bool alnum = (i >= '0' && i <= '9') || (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z');
        bool mark = i && strchr("!#$%&'*+-.^_`|~", i) != NULL;
        assert_int_equal(chars_is_token(c), alnum || mark);
        if (alnum || mark)
            assert_int_equal(chars_token_lower[i], (unsigned char)ascii_lower(c));
        assert_int_equal(chars_is_value(c), i == '\t' || (i >= 0x20 && i != 0x7f));
        assert_int_equal(chars_is_visible(c), i > 0x20 && i < 0x7f);
        const char *hex = "0123456789abcdefABCDEF", *at = i ? strchr(hex, i) : NULL;
        assert_int_equal(chars_hex(c), at ? (at - hex < 16 ? at - hex : at - hex - 6) : -1);
    }
}

static void hosts(void **state)
{
    static const char *const good[] = {"",      "h",        "h:80",     "h:",    "a.b-c_d~e", "1.2.3.4:65535",
                                       "[::1]", "[::1]:80", "[v1.x:y]", "a%20b", "h,g"};
    static const char *const bad[] = {
        " h", "h ", "h:65536", "h:x",  "h:80:80", "h:-1",    "u@h",   "h/p",   "h?",  "h#",    "h\\",
        "[",  "[]", "[::1",    "::1]", "[::1]x",  "[::1]:x", "[a/b]", "\"h\"", "<h>", "h\x80", "h\t"};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good); i++)
        if (!chars_host_valid(slice_str(good[i])))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        if (chars_host_valid(slice_str(bad[i])))
            fail_msg("\"%s\" is accepted", bad[i]);
    assert_false(chars_host_valid(slice_of("h\0", 2)));
}

static void status_codes(void **state)
{
    (void)state;
    assert_int_equal(status_parse(SLICE_LIT("100")), 100);
    assert_int_equal(status_parse(SLICE_LIT("999")), 999);
    assert_int_equal(status_parse(SLICE_LIT("099")), 0);
    assert_int_equal(status_parse(SLICE_LIT("1000")), 0);
    assert_int_equal(status_parse(SLICE_LIT("2x0")), 0);
    assert_int_equal(status_parse(SLICE_LIT("")), 0);
    assert_true(slice_eq(status_reason(431), SLICE_LIT("Request Header Fields Too Large")));
    assert_true(slice_eq(status_reason(299), SLICE_LIT("Unknown")));
    assert_true(status_bodiless(100) && status_bodiless(204) && status_bodiless(304));
    assert_false(status_bodiless(200) || status_bodiless(205) || status_bodiless(404));
}

static void dates(void **state)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char text[DATE_BYTES];
    (void)state;
    assert_true(slice_eq(date_format(784111777, text), SLICE_LIT("Sun, 06 Nov 1994 08:49:37 GMT")));
    assert_true(slice_eq(date_format(253402300799, text), SLICE_LIT("Fri, 31 Dec 9999 23:59:59 GMT")));
    /* Against the C library, about 17 days and some seconds apart, over 400 years and the leap days. */
    for (uint64_t t = 0; t < 13000000000u; t += 1468801) {
        struct tm tm;
        char want[64];
        time_t seconds = (time_t)t;
        gmtime_r(&seconds, &tm);
        snprintf(want, sizeof(want), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                 months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        assert_true(slice_eq(date_format(t, text), slice_str(want)));
    }
}

static void error_rows(void **state)
{
    static const struct http_error *const rows[] = {
#define ROW(n, d, s, t) &http_error_##n,
        HTTP_ERRORS(ROW)
#undef ROW
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_true(rows[i]->name[0] && rows[i]->details[0] && rows[i]->text[0] && rows[i]->connection);
        assert_true(rows[i]->status == 0 || (rows[i]->status >= 400 && rows[i]->status < 600));
        assert_true(rows[i]->status == 0 || !slice_eq(status_reason(rows[i]->status), SLICE_LIT("Unknown")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_stop_where_they_must),
        cmocka_unit_test(classes),
        cmocka_unit_test(hosts),
        cmocka_unit_test(status_codes),
        cmocka_unit_test(dates),
        cmocka_unit_test(error_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
