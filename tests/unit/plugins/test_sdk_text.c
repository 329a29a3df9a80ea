/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sdk_text.c: the SDK's text functions: base64, secrets, header syntax, formatting.
 */
#include "fake_host.h"
#include <stdio.h>
#include <wsdk.h>

/* The SDK's objects want a plugin; this one is empty. */
#define CALLBACKS(ON)
WSDK_PLUGIN("none", 0, 0, CALLBACKS);

static void test_base64(void **state)
{
    static const char *const good[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xff\xfe\xfd", "//79"},
                                          {"ok:test", "b2s6dGVzdA=="}};
    static const char *const bad[] = {
        "=", "Z", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Zm9-", "====", "Z===", "Zg==Zg=="};
    char text[64];
    size_t len;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct wsdk_bytes plain = wsdk_cstr(good[i][0]), coded = wsdk_cstr(good[i][1]);
        assert_int_equal(wsdk_base64_len(plain.len), coded.len);
        wsdk_base64_encode(plain, text);
        assert_memory_equal(text, coded.data, coded.len);
        assert_true(wsdk_base64_decode(coded, text, &len));
        assert_true(wsdk_equal(plain, (struct wsdk_bytes){text, len}));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (wsdk_base64_decode(wsdk_cstr(bad[i]), text, &len))
            fail_msg("decoded: '%s'", bad[i]);
        assert_int_equal(len, 0);
    }
}

static void test_secret(void **state)
{
    (void)state;
    assert_true(wsdk_equal_secret(WSDK_STR("a:b"), WSDK_STR("a:b")));
    assert_true(wsdk_equal_secret(WSDK_NONE, WSDK_NONE));
    assert_false(wsdk_equal_secret(WSDK_STR("a:b"), WSDK_STR("a:c")));
    assert_false(wsdk_equal_secret(WSDK_STR("a:ba:b"), WSDK_STR("a:b")));
    assert_false(wsdk_equal_secret(WSDK_STR("a:"), WSDK_STR("a:b")));
    assert_false(wsdk_equal_secret(WSDK_STR("a"), WSDK_NONE));
    assert_false(wsdk_equal_secret(WSDK_NONE, WSDK_STR("a")));
}

static void test_syntax(void **state)
{
    (void)state;
    assert_true(wsdk_is_token(WSDK_STR("X-a_1!")));
    assert_false(wsdk_is_token(WSDK_STR("")));
    assert_false(wsdk_is_token(WSDK_STR("a\0")));
    assert_false(wsdk_is_token(WSDK_STR("a b")));
    assert_false(wsdk_is_token(WSDK_STR(":path")));
    assert_false(wsdk_is_token(WSDK_STR("\xc3\xa4")));
    assert_true(wsdk_is_field_value(WSDK_STR("")));
    assert_true(wsdk_is_field_value(WSDK_STR("a \t\xc3\xa4")));
    assert_false(wsdk_is_field_value(WSDK_STR("a\r\nb")));
    assert_false(wsdk_is_field_value(WSDK_STR("a\0b")));
    assert_false(wsdk_is_field_value(WSDK_STR("a ")));
    assert_false(wsdk_is_field_value(WSDK_STR("\x7f")));
    assert_true(wsdk_equal(wsdk_before(WSDK_STR("/a?b#c"), "?#"), WSDK_STR("/a")));
    assert_true(wsdk_equal(wsdk_before(WSDK_STR("/a\0?"), "?#"), WSDK_STR("/a\0")));
    assert_true(wsdk_equal(wsdk_trim(WSDK_STR(" \ta b ")), WSDK_STR("a b")));
    assert_true(wsdk_ends_with(WSDK_STR("abc"), WSDK_STR("bc")));
    assert_false(wsdk_ends_with(WSDK_STR("c"), WSDK_STR("bc")));
    assert_true(wsdk_starts_with_nocase(WSDK_STR("ABc"), WSDK_STR("ab")));
    assert_false(wsdk_equal_nocase(WSDK_STR("a["), WSDK_STR("a{")));
}

/* The same line from libc and from the SDK. */
#define SAME(...)                                                                                            \
    do {                                                                                                     \
        char mine[128], theirs[128];                                                                         \
        snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                                       \
        assert_int_equal(wsdk_format(mine, sizeof(mine), __VA_ARGS__), strlen(theirs));                      \
        assert_string_equal(mine, theirs);                                                                   \
    } while (0)

static void test_format(void **state)
{
    char small[4];
    (void)state;
    SAME("plain %% text");
    SAME("%s|%.*s|%c", "abc", 2, "xyz", 'q');
    SAME("%d %i %u %x", -7, 0, 4000000000u, 0xbeefu);
    SAME("%ld %lld %lu %llu", -1L, INT64_MIN + 0LL, ~0ul, ~0ull);
    SAME("%zu %zd", (size_t)12, (ssize_t)-12);
    SAME("%5d|%05d|%05d|%3u|%08x", 42, 42, -42, 12345u, 0xabcu);
    assert_int_equal(wsdk_format(small, sizeof(small), "%s", "abcdef"), 3);
    assert_string_equal(small, "abc");
    assert_int_equal(wsdk_format(small, 0, "x"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
