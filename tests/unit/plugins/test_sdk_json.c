/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sdk_json.c: the SDK's JSON reader: what is not JSON is refused with its place, what is JSON reads
 * right. Each document goes through on_configure of a plugin that writes back what it read.
 */
#include "fake_host.h"
#include <string.h>
#include <wsdk.h>
#include <wsdk/json.h>

/* One line per value: kind and decoded text, through the iterators only. */
static void dump(struct wsdk_context *root, struct wsdk_json_value value)
{
    static const char *const names[] = {"none", "null", "bool", "number", "string", "array", "object"};
    struct wsdk_bytes text = WSDK_NONE, name = WSDK_NONE;
    enum wsdk_json_kind kind = wsdk_json_kind_of(value);
    if (kind == WSDK_JSON_STRING)
        wsdk_json_string(value, &text);
    wsdk_json_name(value, &name);
    wsdk_log(root, WSDK_INFO, "%.*s=%s%s%.*s", WSDK_FMT(name), names[kind], text.len != 0 ? ":" : "",
             WSDK_FMT(text));
    struct wsdk_json_value at = wsdk_json_first(value);
    for (; wsdk_json_exists(at); at = wsdk_json_next(at))
        dump(root, at);
}

static bool configure(struct wsdk_context *root, size_t bytes)
{
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    struct wsdk_json *doc = wsdk_json_parse(root, text);
    if (doc == NULL)
        return false;
    struct wsdk_json_value top = wsdk_json_root(doc), limit = wsdk_json_field(top, "limit");
    uint64_t number;
    bool flag;
    if (wsdk_json_exists(limit) && wsdk_json_u64(limit, 10, UINT64_MAX, &number))
        wsdk_log(root, WSDK_INFO, "limit is %llu", (unsigned long long)number);
    if (wsdk_json_exists(wsdk_json_field(top, "flag")) && wsdk_json_bool(wsdk_json_field(top, "flag"), &flag))
        wsdk_log(root, WSDK_INFO, "flag is %d", flag);
    dump(root, top);
    return wsdk_json_ok(doc);
}

#define CALLBACKS(ON) ON(on_configure, configure)
WSDK_PLUGIN("json", 0, 0, CALLBACKS);

static bool configure_bytes(struct fake_host *fake, const char *json, size_t len)
{
    fake_open(fake, pw_null_plugin_entry());
    fake->configuration = json;
    fake->configuration_len = len;
    fake_call(fake, PW_NULL_CB_proxy_on_context_create, 1, 0, 0);
    return fake_call(fake, PW_NULL_CB_proxy_on_configure, 1, len, 0) != 0;
}

static void test_not_json(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[",
                                      "]",
                                      "[}",
                                      "{]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\" 1}",
                                      "{\"a\":1 \"b\":2}",
                                      "{\"a\":1,,\"b\":2}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "{1:2}",
                                      "{\"a\":1}}",
                                      "{}{}",
                                      "{} x",
                                      "[1 2]",
                                      "[1,]",
                                      "[,1]",
                                      "[1,,2]",
                                      "[01]",
                                      "[+1]",
                                      "[1.]",
                                      "[.5]",
                                      "[1e]",
                                      "[1e+]",
                                      "[-]",
                                      "[0x1]",
                                      "[tru]",
                                      "[truex]",
                                      "[nul]",
                                      "[True]",
                                      "[NaN]",
                                      "[\"a]",
                                      "[\"\\x\"]",
                                      "[\"\\u12g4\"]",
                                      "[\"\\u12\"]",
                                      "[\"\\ud800\"]",
                                      "[\"\\ud800\\u0041\"]",
                                      "[\"\\udc00\"]",
                                      "[\"\\u0000\"]",
                                      "[\"a\nb\"]",
                                      "[\"a\tb\"]",
                                      "{\"a\":\"b\":1}",
                                      "[\"a\":1]",
                                      "\"a\":1",
                                      "{\"a\":[1}",
                                      "[[1]",
                                      "// x\n{}",
                                      "{\"a\":1 /* x */}",
                                      "\xef\xbb\xbf{}",
                                      "[\"a\"\"b\"]",
                                      "{\"a\":1\"b\":2}",
                                      "{[]:1}",
                                      "{\"a\"}: []}",
                                      "[{\"a\"}:1]",
                                      "[[\"a\"]:1]",
                                      "{\"a\":{}{}}",
                                      "[1:2]",
                                      ":",
                                      ","};
    struct fake_host fake;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (configure_bytes(&fake, bad[i], strlen(bad[i])))
            fail_msg("accepted: %s", bad[i]);
        if (bad[i][0] != '\0' && !fake_logged(&fake, 4, "json: configuration, line 1, column "))
            fail_msg("no place for: %s", bad[i]);
        fake_close(&fake);
    }
}

static void test_nul_and_depth(void **state)
{
    struct fake_host fake;
    char deep[400];
    (void)state;
    assert_false(configure_bytes(&fake, "{}\0{}", 5));
    assert_true(fake_logged(&fake, 4, "unexpected text behind the end"));
    fake_close(&fake);
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    assert_true(configure_bytes(&fake, deep + 200 - 60, 120));
    fake_close(&fake);
    assert_false(configure_bytes(&fake, deep + 200 - 65, 130));
    assert_true(fake_logged(&fake, 4, "column 65: nested too deeply"));
    fake_close(&fake);
}

static void test_reads(void **state)
{
    static const char json[] = "\r\n{ \"a\" : [ 1, -0.5e+10, \"x\\\"\\\\\\/\\b\\f\\n\\r\\t\" , true,null ],\t"
                               "\"b\\u00fc\":{\"c\":{},\"d\":[[],\"\\ud83d\\ude00\"]}, \"\" : false}";
    static const char *const lines[] = {
        "=object",          "a=array",  "=number", "=number", "=string:x\"\\/\b\f\n\r\t", "=bool", "=null",
        "b\xc3\xbc=object", "c=object", "d=array", "=array",  "=string:\xf0\x9f\x98\x80", "=bool"};
    struct fake_host fake;
    (void)state;
    assert_true(configure_bytes(&fake, json, strlen(json)));
    assert_int_equal(fake.log_count, sizeof(lines) / sizeof(lines[0]));
    for (size_t i = 0; i < fake.log_count; i++)
        assert_string_equal(fake.logs[i], lines[i]);
    fake_close(&fake);
}

static void test_numbers(void **state)
{
    struct fake_host fake;
    (void)state;
    assert_true(configure_bytes(&fake, "{\"limit\":18446744073709551615,\"flag\":true}", 42));
    assert_true(fake_logged(&fake, 2, "limit is 18446744073709551615"));
    assert_true(fake_logged(&fake, 2, "flag is 1"));
    fake_close(&fake);
    static const char *const bad[] = {"{\"limit\":18446744073709551616}", "{\"limit\":9}", "{\"limit\":-11}",
                                      "{\"limit\":10.5}", "{\"limit\":1e3}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(configure_bytes(&fake, bad[i], strlen(bad[i])));
        assert_true(fake_logged(&fake, 4, "column 10: limit: expected a whole number from 10 to"));
        fake_close(&fake);
    }
    assert_false(configure_bytes(&fake, "{\"flag\":0}", 10));
    assert_true(fake_logged(&fake, 4, "flag: expected true or false, found a number"));
    fake_close(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_nul_and_depth),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
