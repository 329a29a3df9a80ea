/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable text: the cap and failing memory keep what was there and are seen at the end; JSON strings stay
 * JSON whatever bytes go in.
 */
#include "failing.h"

#include "base/strbuf.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_cap_holds(void **state)
{
    struct strbuf b;
    volatile size_t huge = SIZE_MAX; /* out of the compiler's sight, which would warn */
    (void)state;
    strbuf_init(&b, 10);
    assert_string_equal(strbuf_cstr(&b), "");
    assert_int_equal(strbuf_slice(&b).len, 0);
    assert_true(strbuf_append_str(&b, "12345"));
    assert_false(strbuf_append(&b, slice_of("x", huge)));
    assert_true(b.failed);
    assert_string_equal(strbuf_cstr(&b), "12345");
    /* Failed stays failed, even if it would fit. */
    assert_false(strbuf_append_char(&b, '6'));
    assert_false(strbuf_printf(&b, "%d", 6));
    assert_string_equal(strbuf_cstr(&b), "12345");
    strbuf_reset(&b);
    assert_true(strbuf_append_str(&b, "1234567890"));
    assert_false(b.failed);
    assert_false(strbuf_append_char(&b, '!'));
    assert_string_equal(strbuf_cstr(&b), "1234567890");
    strbuf_reset(&b);
    assert_false(strbuf_printf(&b, "%s", "12345678901"));
    assert_string_equal(strbuf_cstr(&b), "");
    strbuf_reset(&b);
    assert_true(strbuf_printf(&b, "%05d-%s", 42, "abcd"));
    assert_string_equal(strbuf_cstr(&b), "00042-abcd");
    strbuf_fini(&b);
    assert_string_equal(strbuf_cstr(&b), "");
    strbuf_init(&b, 0);
    assert_true(strbuf_append(&b, SLICE_EMPTY));
    assert_false(strbuf_append_char(&b, 'x'));
    strbuf_fini(&b);
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (long n = 0; n < 5; n++) {
        struct strbuf b;
        strbuf_init(&b, 1u << 20);
        failing_after = n;
        size_t in = 0;
        while (in < 100000 && strbuf_append_str(&b, "0123456789"))
            in += 10;
        failing_after = -1;
        assert_true(b.failed && b.len == in && in < 2000);
        assert_true(strlen(strbuf_cstr(&b)) == in);
        strbuf_reset(&b);
        assert_true(strbuf_append_str(&b, "again"));
        strbuf_fini(&b);
    }
}

static void check_json(struct slice in, const char *want)
{
    struct strbuf b;
    strbuf_init(&b, 4096);
    assert_true(strbuf_append_json(&b, in));
    assert_string_equal(strbuf_cstr(&b), want);
    strbuf_fini(&b);
}

#define REPLACED "\\ufffd"

static void json_strings(void **state)
{
    (void)state;
    check_json(SLICE_LIT(""), "\"\"");
    check_json(SLICE_LIT("a\"\\/b"), "\"a\\\"\\\\/b\"");
    check_json(SLICE_LIT("\n\r\t\b\x1f\x7f"), "\"\\n\\r\\t\\u0008\\u001f\\u007f\"");
    check_json(slice_of("a\0b", 3), "\"a\\u0000b\"");
    check_json(SLICE_LIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    /* Cut, overlong, surrogates, too large, stray. */
    check_json(SLICE_LIT("\xc3"), "\"" REPLACED "\"");
    check_json(SLICE_LIT("\xe2\x82"), "\"" REPLACED REPLACED "\"");
    check_json(SLICE_LIT("\xc0\xaf"), "\"" REPLACED REPLACED "\"");
    check_json(SLICE_LIT("\xe0\x80\xaf"), "\"" REPLACED REPLACED REPLACED "\"");
    check_json(SLICE_LIT("\xed\xa0\x80"), "\"" REPLACED REPLACED REPLACED "\"");
    check_json(SLICE_LIT("\xf4\x90\x80\x80"), "\"" REPLACED REPLACED REPLACED REPLACED "\"");
    check_json(SLICE_LIT("\x80x\xff"), "\"" REPLACED "x" REPLACED "\"");
    check_json(SLICE_LIT("\xc3(\xf0\x90\x80("), "\"" REPLACED "(" REPLACED REPLACED REPLACED "(\"");
    struct strbuf b;
    strbuf_init(&b, 5);
    assert_false(strbuf_append_json(&b, SLICE_LIT("abcdef")));
    assert_true(b.failed);
    strbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(json_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
