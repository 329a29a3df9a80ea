/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers, times and base64 from text: what must be refused first.
 */
#include "base/base64.h"
#include "base/utf8.h"
#include "config/scalar.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum scalar_result result;
        int64_t value;
    } cases[] = {
        {"", SCALAR_SYNTAX, 0},
        {"-", SCALAR_SYNTAX, 0},
        {"+", SCALAR_SYNTAX, 0},
        {"01", SCALAR_SYNTAX, 0},
        {"1 ", SCALAR_SYNTAX, 0},
        {" 1", SCALAR_SYNTAX, 0},
        {"1.5", SCALAR_SYNTAX, 0},
        {"1.", SCALAR_SYNTAX, 0},
        {".5", SCALAR_SYNTAX, 0},
        {"1e", SCALAR_SYNTAX, 0},
        {"1e-1", SCALAR_SYNTAX, 0},
        {"0x", SCALAR_SYNTAX, 0},
        {"0xg", SCALAR_SYNTAX, 0},
        {"--1", SCALAR_SYNTAX, 0},
        {"1_000", SCALAR_SYNTAX, 0},
        {"nan", SCALAR_SYNTAX, 0},
        {"9223372036854775808", SCALAR_RANGE, 0},
        {"-9223372036854775809", SCALAR_RANGE, 0},
        {"99999999999999999999999", SCALAR_RANGE, 0},
        {"0x10000000000000000", SCALAR_RANGE, 0},
        {"1e400", SCALAR_RANGE, 0},
        {"1e19", SCALAR_RANGE, 0},
        {"0", SCALAR_OK, 0},
        {"-0", SCALAR_OK, 0},
        {"+7", SCALAR_OK, 7},
        {"9223372036854775807", SCALAR_OK, INT64_MAX},
        {"-9223372036854775808", SCALAR_OK, INT64_MIN},
        {"0x1F", SCALAR_OK, 31},
        {"-0x1f", SCALAR_OK, -31},
        {"1e3", SCALAR_OK, 1000},
        {"1.0", SCALAR_OK, 1},
        {"-2.5e1", SCALAR_OK, -25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 0;
        enum scalar_result result = scalar_i64(slice_str(cases[i].text), &value);
        if (result != cases[i].result)
            print_error("%s\n", cases[i].text);
        assert_int_equal(result, cases[i].result);
        if (result == SCALAR_OK)
            assert_true(value == cases[i].value);
    }
    uint64_t u;
    assert_int_equal(scalar_u64(SLICE_LIT("-1"), &u), SCALAR_RANGE);
    assert_int_equal(scalar_u64(SLICE_LIT("18446744073709551616"), &u), SCALAR_RANGE);
    assert_int_equal(scalar_u64(SLICE_LIT("18446744073709551615"), &u), SCALAR_OK);
    assert_true(u == UINT64_MAX);
}

static void test_doubles(void **state)
{
    (void)state;
    double d;
    static const char *const bad[] = {"", "1.", ".5", "0x1p3", "1e", "inf", "NAN", "1.5f", "1,5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(scalar_double(slice_str(bad[i]), &d), SCALAR_SYNTAX);
    assert_int_equal(scalar_double(SLICE_LIT("1e999"), &d), SCALAR_RANGE);
    assert_int_equal(scalar_double(SLICE_LIT("-1.25e2"), &d), SCALAR_OK);
    assert_true(d == -125.0);
    assert_int_equal(scalar_double(SLICE_LIT("NaN"), &d), SCALAR_OK);
    assert_true(isnan(d));
    assert_int_equal(scalar_double(SLICE_LIT("-Infinity"), &d), SCALAR_OK);
    assert_true(isinf(d) && d < 0);
    char text[SCALAR_TEXT_BYTES];
    scalar_print_double(0.1, text);
    assert_string_equal(text, "0.1");
    scalar_print_double(1.0 / 3.0, text);
    assert_true(strtod(text, NULL) == 1.0 / 3.0);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum scalar_result result;
        int64_t seconds;
        int32_t nanos;
        const char *printed;
    } cases[] = {
        {"", SCALAR_SYNTAX, 0, 0, ""},
        {"s", SCALAR_SYNTAX, 0, 0, ""},
        {"1", SCALAR_SYNTAX, 0, 0, ""},
        {"1m", SCALAR_SYNTAX, 0, 0, ""},
        {"1.s", SCALAR_SYNTAX, 0, 0, ""},
        {".5s", SCALAR_SYNTAX, 0, 0, ""},
        {"1e3s", SCALAR_SYNTAX, 0, 0, ""},
        {"+1s", SCALAR_SYNTAX, 0, 0, ""},
        {"1.0000000001s", SCALAR_SYNTAX, 0, 0, ""},
        {"315576000001s", SCALAR_RANGE, 0, 0, ""},
        {"99999999999999999999s", SCALAR_RANGE, 0, 0, ""},
        {"0s", SCALAR_OK, 0, 0, "0s"},
        {"1.5s", SCALAR_OK, 1, 500000000, "1.500s"},
        {"-1.5s", SCALAR_OK, -1, -500000000, "-1.500s"},
        {"-0.25s", SCALAR_OK, 0, -250000000, "-0.250s"},
        {"0.000001s", SCALAR_OK, 0, 1000, "0.000001s"},
        {"0.000000001s", SCALAR_OK, 0, 1, "0.000000001s"},
        {"315576000000s", SCALAR_OK, 315576000000, 0, "315576000000s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t seconds = 0;
        int32_t nanos = 0;
        char text[SCALAR_TEXT_BYTES];
        assert_int_equal(scalar_duration(slice_str(cases[i].text), &seconds, &nanos), cases[i].result);
        if (cases[i].result != SCALAR_OK)
            continue;
        assert_true(seconds == cases[i].seconds && nanos == cases[i].nanos);
        scalar_print_duration(seconds, nanos, text);
        assert_string_equal(text, cases[i].printed);
    }
}

static void test_timestamps(void **state)
{
    (void)state;
    int64_t seconds;
    int32_t nanos;
    char text[SCALAR_TEXT_BYTES];
    static const char *const bad[] = {"",
                                      "2026-01-31",
                                      "2026-01-31T10:00:00",
                                      "2026-01-31 10:00:00Z",
                                      "2026-01-31T10:00:00.Z",
                                      "2026-01-31T10:00:00+0100",
                                      "2026-01-31T10:00:00+24:00",
                                      "2026-1-31T10:00:00.00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(scalar_timestamp(slice_str(bad[i]), &seconds, &nanos), SCALAR_SYNTAX);
    assert_int_equal(scalar_timestamp(SLICE_LIT("2026-04-31T10:00:00Z"), &seconds, &nanos), SCALAR_RANGE);
    assert_int_equal(scalar_timestamp(SLICE_LIT("2026-13-01T10:00:00Z"), &seconds, &nanos), SCALAR_RANGE);
    assert_int_equal(scalar_timestamp(SLICE_LIT("1970-01-02T01:00:00.5+01:00"), &seconds, &nanos), SCALAR_OK);
    assert_true(seconds == 86400 && nanos == 500000000);
    scalar_print_timestamp(seconds, nanos, text);
    assert_string_equal(text, "1970-01-02T00:00:00.500Z");
}

static void test_base64(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20, NULL);
    static const char *const bad[] = {"A", "AAAAA", "A*AA", "AA=A", "AA AA"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(base64_decode(slice_str(bad[i]), &arena).ptr);
    struct slice s = base64_decode(SLICE_LIT(""), &arena);
    assert_non_null(s.ptr);
    assert_int_equal(s.len, 0);
    static const struct {
        const char *text;
        const char *bytes;
    } good[] = {{"Zg==", "f"},   {"Zg", "f"},          {"Zm8=", "fo"},
                {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"_-8=", "\xff\xef"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(slice_eq(base64_decode(slice_str(good[i].text), &arena), slice_str(good[i].bytes)));
    arena_fini(&arena);
}

static void test_bools(void **state)
{
    (void)state;
    bool value;
    static const char *const bad[] = {"", "tRue", "t", "1", "yEs", "oN", "null"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(scalar_bool(slice_str(bad[i]), &value));
    assert_true(scalar_bool(SLICE_LIT("Yes"), &value) && value);
    assert_true(scalar_bool(SLICE_LIT("OFF"), &value) && !value);
    assert_true(scalar_bool(SLICE_LIT("n"), &value) && !value);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",         "\xc0\x80",         "\xe0\x80\x80",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
                                      "a\xc3",        "\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(utf8_valid(slice_str(bad[i])));
    assert_true(utf8_valid(slice_str("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
    assert_true(utf8_valid(SLICE_EMPTY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),   cmocka_unit_test(test_doubles), cmocka_unit_test(test_durations),
        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_base64),  cmocka_unit_test(test_bools),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
