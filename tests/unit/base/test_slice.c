/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices: numbers that must not be taken for numbers first, then searching, splitting, comparing.
 */
#include "base/assert.h"
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define L SLICE_LIT

static void bad_numbers(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "1 ",
                                      " 1",
                                      "+1",
                                      "1x",
                                      "0x1",
                                      "1.0",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "000000000000000000001",
                                      "--1",
                                      "\xff"};
    uint64_t u = 7;
    int64_t i = 7;
    (void)state;
    for (size_t n = 0; n < WEIR_ARRAY_LEN(bad); n++) {
        assert_false(slice_parse_u64(slice_str(bad[n]), &u));
        assert_false(slice_parse_i64(slice_str(bad[n]), &i));
    }
    assert_false(slice_parse_u64(L("-1"), &u));
    assert_false(slice_parse_i64(L("-"), &i));
    assert_false(slice_parse_i64(L("9223372036854775808"), &i));
    assert_false(slice_parse_i64(L("-9223372036854775809"), &i));
    assert_false(slice_parse_u64(slice_of("1\0", 2), &u));
    assert_false(slice_parse_u64(SLICE_EMPTY, &u));
    assert_int_equal(u, 7);
    assert_int_equal(i, 7);
}

static void good_numbers(void **state)
{
    uint64_t u;
    int64_t i;
    (void)state;
    assert_true(slice_parse_u64(L("0"), &u) && u == 0);
    assert_true(slice_parse_u64(L("007"), &u) && u == 7);
    assert_true(slice_parse_u64(L("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_true(slice_parse_i64(L("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(slice_parse_i64(L("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(slice_parse_i64(L("-0"), &i) && i == 0);
    assert_true(slice_parse_u64(slice_of("12x", 2), &u) && u == 12);
}

static void comparing(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE_EMPTY, L("")));
    assert_false(slice_eq(L("a"), L("ab")));
    assert_true(slice_eq(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    assert_false(slice_eq(slice_of("a\0b", 3), slice_of("a\0c", 3)));
    assert_true(slice_eq_nocase(L("Content-TYPE"), L("content-type")));
    /* Only letters fold: "@" and "`", "[" and "{" are 32 apart too. */
    assert_false(slice_eq_nocase(L("@["), L("`{")));
    assert_false(slice_eq_nocase(L("\xc4"), L("\xe4")));
    assert_true(slice_cmp(L("a"), L("b")) < 0);
    assert_true(slice_cmp(L("ab"), L("a")) > 0);
    assert_true(slice_cmp(L(""), SLICE_EMPTY) == 0);
    assert_true(slice_cmp(L("\xff"), L("a")) > 0);
    assert_true(slice_starts_with(L("abc"), L("ab")) && slice_starts_with(L("abc"), L("")));
    assert_false(slice_starts_with(L("ab"), L("abc")));
    assert_true(slice_starts_with_nocase(L("ABC"), L("ab")));
    assert_false(slice_starts_with_nocase(L("A"), L("ab")));
    assert_true(slice_ends_with(L("abc"), L("bc")) && slice_ends_with(L("abc"), L("")));
    assert_false(slice_ends_with(L("c"), L("bc")));
    assert_true(slice_hash(L("a")) != slice_hash(L("b")) && slice_hash(L("")) == slice_hash(SLICE_EMPTY));
}

static void searching(void **state)
{
    (void)state;
    assert_int_equal(slice_find_char(L("abcb"), 'b'), 1);
    assert_int_equal(slice_find_char(L("abc"), 'x'), -1);
    assert_int_equal(slice_find_char(SLICE_EMPTY, 'x'), -1);
    assert_int_equal(slice_find_char(slice_of("abc", 2), 'c'), -1);
    assert_int_equal(slice_find_char(slice_of("a\0c", 3), '\0'), 1);
    assert_int_equal(slice_find(L("abcabd"), L("abd")), 3);
    assert_int_equal(slice_find(L("ab"), L("abc")), -1);
    assert_int_equal(slice_find(L("ab"), L("")), 0);
    assert_int_equal(slice_find(SLICE_EMPTY, L("a")), -1);
}

static void cutting(void **state)
{
    struct slice part, rest = L("a,,b,");
    (void)state;
    assert_true(slice_split(&rest, ',', &part) && slice_eq(part, L("a")));
    assert_true(slice_split(&rest, ',', &part) && part.len == 0);
    assert_true(slice_split(&rest, ',', &part) && slice_eq(part, L("b")));
    assert_true(slice_split(&rest, ',', &part) && part.len == 0);
    assert_false(slice_split(&rest, ',', &part));
    rest = L("");
    assert_true(slice_split(&rest, ',', &part) && part.len == 0);
    assert_false(slice_split(&rest, ',', &part));
    rest = SLICE_EMPTY;
    assert_false(slice_split(&rest, ',', &part));
    assert_true(slice_eq(slice_trim(L(" \t a b\t ")), L("a b")));
    assert_int_equal(slice_trim(L(" \t ")).len, 0);
    assert_int_equal(slice_trim(SLICE_EMPTY).len, 0);
    assert_true(slice_eq(slice_trim(L("\na\r")), L("\na\r")));
    assert_true(slice_eq(slice_skip(L("abc"), 1), L("bc")));
    assert_int_equal(slice_skip(L("abc"), 9).len, 0);
    assert_null(slice_skip(SLICE_EMPTY, 9).ptr);
    assert_true(slice_eq(slice_take(L("abc"), 2), L("ab")));
    assert_true(slice_eq(slice_take(L("abc"), 9), L("abc")));
    assert_null(slice_str(NULL).ptr);
}

static void written_numbers(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 9, 10, 99, 100, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char text[SLICE_U64_BYTES];
        uint64_t back = 1;
        struct slice s = slice_from_u64(numbers[i], text);
        assert_true(s.ptr >= text && s.ptr + s.len == text + sizeof(text));
        assert_true(s.len == 1 || s.ptr[0] != '0');
        assert_true(slice_parse_u64(s, &back));
        assert_int_equal(back, numbers[i]);
    }
}

/* Not a byte less, nor one beyond. */
static void copying(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 40; len++) {
        char from[40], to[42];
        for (size_t i = 0; i < sizeof(from); i++)
            from[i] = (char)(i + 1);
        memset(to, 0, sizeof(to));
        slice_copy(to + 1, slice_of(from, len));
        assert_int_equal(to[0], 0);
        assert_memory_equal(to + 1, from, len);
        assert_int_equal(to[len + 1], 0);
    }
    slice_copy(NULL, SLICE_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_numbers), cmocka_unit_test(good_numbers), cmocka_unit_test(comparing),
        cmocka_unit_test(searching),   cmocka_unit_test(cutting),      cmocka_unit_test(written_numbers),
        cmocka_unit_test(copying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
