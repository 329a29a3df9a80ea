/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: whole texts, and beginnings of texts.
 */
#include "base/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void whole_texts(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*", "abc", true},
        {"a*", "ba", false},
        {"*c", "abc", true},
        {"*c", "abcd", false},
        {"a*c", "ac", true},
        {"a*b*c", "axbxc", true},
        {"a*b*c", "axcxb", false},
        {"**", "x", true},
        {"*ab", "aab", true},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"a?c", "abc", false},
        {"istio-*", "istio-system.auth", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(glob_match(slice_str(cases[i].pattern), slice_str(cases[i].text)), cases[i].matches);
}

static void beginnings(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *prefix;
        bool may;
    } cases[] = {
        {"a.b", "a.", true},
        {"a.b", "a.b", true},
        {"a.b", "a.b.", false},
        {"a.b", "b.", false},
        {"*.b", "a.", true},
        {"a*", "a.b.c.", true},
        {"a*", "b.", false},
        {"", "", true},
        {"metadata.*", "metadata.", true},
        {"metadata.*", "meta.", false},
        {"a*c", "abcabc", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(glob_match_prefix(slice_str(cases[i].pattern), slice_str(cases[i].prefix)),
                         cases[i].may);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts),
        cmocka_unit_test(beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
