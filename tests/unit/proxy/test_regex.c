/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns in RE2's syntax: what matches, what is refused, how rewriting works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "proxy/routing/regex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct full_case {
    const char *pattern;
    const char *text;
    bool match;
};

static void full_match(void **state)
{
    static const struct full_case cases[] = {
        {"abc", "abc", true},
        {"abc", "xabc", false},
        {"abc", "abcx", false},
        {"a|ab", "ab", true}, /* the alternation is inside the anchors */
        {"a|b", "ba", false},
        {"", "", true},
        {"", "a", false},
        {".*", "anything", true},
        {".*", "two\nlines", false}, /* the dot takes no newline */
        {"(?s).*", "two\nlines", true},
        {"abc$", "abc", true},
        {"abc$", "abc\n", false}, /* $ is the very end */
        {"^/v[0-9]+/x$", "/v12/x", true},
        {"(?i)HeLLo", "hEllO", true},
        {"\\d+", "123", true},
        {"\\d+", "\xd9\xa1", false}, /* an Arabic digit: \d is ASCII in RE2 */
        {"\\w+", "\xc3\xa9", false}, /* e acute */
        {"[\\w.]+", "a.b_9", true},
        {"[^\\d]+", "abc", true},
        {"[^\\d]+", "ab1", false},
        {"[\\W]", "-", true},
        {"[\\W]", "a", false},
        {"\\s", "\t", true},
        {"\\s", "\xc2\xa0", false}, /* no-break space */
        {"a\\bb", "ab", false},
        {"a\\b.b", "a-b", true},
        {"/x/{id}", "/x/{id}", true}, /* "{" without a count is a letter */
        {"a{2}", "aa", true},
        {"a{2,}", "aaaa", true},
        {"a{,2}", "a{,2}", true},
        {"\\<a\\>", "<a>", true}, /* not a word boundary */
        {"a\\/b", "a/b", true},
        {"\\Qa.b\\E+", "a.bb", true},
        {"\\Qa.b\\E", "axb", false},
        {"[[]", "[", true},
        {"[a&&b]", "&", true}, /* no set operation */
        {"[a~~b]", "~", true},
        {"[--/]", ".", true},
        {"[]a]", "]", true},
        {"[[:alpha:]]+", "abc", true},
        {"[^[:alpha:]]", "1", true},
        {"\\pL", "\xc3\xa9", true},
        {"\\p{Greek}", "\xce\xb1", true},
        {"\\x41\\x{42}", "AB", true},
        {"(?P<n>a)(?:b)(?i:C)", "abc", true},
        {"caf\xc3\xa9", "caf\xc3\xa9", true},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char error[REGEX_ERROR_MAX] = "";
        struct regex *re = regex_create(slice_str(cases[i].pattern), error);
        if (!re)
            print_error("%s: %s\n", cases[i].pattern, error);
        assert_non_null(re);
        if (regex_full_match(re, slice_str(cases[i].text)) != cases[i].match) {
            print_error("\"%s\" on \"%s\"\n", cases[i].pattern, cases[i].text);
            fail();
        }
        regex_destroy(&re);
        assert_null(re);
    }
}

static void refused(void **state)
{
    static const char *const patterns[] = {
        "(",   ")",   "[",     "[a",    "a\\",        "*a",   "(?=a)", "(?<!a)",  "\\1",
        "\\h", "\\Z", "(?x)a", "[\\b]", "a{2000000}", "\\p{", "(?u)a", "\\x{zz}",
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(patterns); i++) {
        char error[REGEX_ERROR_MAX] = "";
        struct regex *re = regex_create(slice_str(patterns[i]), error);
        if (re)
            print_error("accepted: %s\n", patterns[i]);
        assert_null(re);
        assert_true(strlen(error) > 0);
        assert_null(strchr(error, '\n'));
    }
}

static void too_long(void **state)
{
    (void)state;
    char error[REGEX_ERROR_MAX] = "";
    char *pattern = malloc(20000);
    memset(pattern, 'a', 20000);
    assert_null(regex_create(slice_of(pattern, 20000), error));
    struct regex *re = regex_create(slice_of(pattern, 16384), error);
    assert_non_null(re);
    regex_destroy(&re);
    free(pattern);
}

static void replace(void **state)
{
    static const struct {
        const char *pattern, *text, *substitution, *result;
    } cases[] = {
        {"^/service/([^/]+)(/.*)$", "/service/foo/v1/api", "\\2/instance/\\1", "/v1/api/instance/foo"},
        {"one", "/xxx/one/yyy/one/zzz", "two", "/xxx/two/yyy/two/zzz"},
        {"^(.*?)one(.*)$", "/xxx/one/yyy/one/zzz", "\\1two\\2", "/xxx/two/yyy/one/zzz"},
        {"(?i)/xxx/", "/aaa/XxX/bbb", "/yyy/", "/aaa/yyy/bbb"},
        {"nothing", "/a", "b", "/a"},
        {"a", "aaa", "", ""},
        {"a", "a", "\\\\", "\\"},
        {"(a)|(b)", "b", "[\\1]", "[]"},
        {"b", "abc", "<\\0>", "a<b>c"},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char error[REGEX_ERROR_MAX] = "";
        struct arena arena;
        arena_init(&arena, 65536, NULL);
        struct regex *re = regex_create(slice_str(cases[i].pattern), error);
        assert_non_null(re);
        assert_true(regex_check_substitution(re, slice_str(cases[i].substitution), error));
        struct slice got =
            regex_replace_all(re, slice_str(cases[i].text), slice_str(cases[i].substitution), &arena);
        assert_true(slice_eq(got, slice_str(cases[i].result)));
        regex_destroy(&re);
        arena_fini(&arena);
    }
}

static void bad_substitution(void **state)
{
    (void)state;
    char error[REGEX_ERROR_MAX] = "";
    struct regex *re = regex_create(SLICE_LIT("(a)"), error);
    assert_false(regex_check_substitution(re, SLICE_LIT("\\2"), error));
    assert_string_equal(error, "group \\2 is not in the pattern, which has 1");
    assert_false(regex_check_substitution(re, SLICE_LIT("x\\"), error));
    assert_false(regex_check_substitution(re, SLICE_LIT("\\n"), error));
    assert_true(regex_check_substitution(re, SLICE_LIT("\\1\\0\\\\"), error));
    regex_destroy(&re);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_match), cmocka_unit_test(refused),          cmocka_unit_test(too_long),
        cmocka_unit_test(replace),    cmocka_unit_test(bad_substitution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
