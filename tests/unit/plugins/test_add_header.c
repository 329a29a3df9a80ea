/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_add_header.c: build/plugins/add-header.so on the fake host: what is added, and what a wrong
 * configuration is told.
 */
#include "fake_host.h"
#include <string.h>

#define ERROR 4u

static void refused_with(const char *json, const char *text)
{
    struct fake_host fake;
    fake_open_file(&fake, "add-header");
    assert_false(fake_configure(&fake, json));
    if (!fake_logged(&fake, ERROR, text))
        fail_msg("no error with '%s'; the first is '%s'", text, fake.logs[0]);
    fake_close(&fake);
}

static void test_wrong_configuration(void **state)
{
    (void)state;
    refused_with("", "there is no configuration");
    refused_with("{\"response\":{\"hello\":\"world\"}", "unfinished");
    refused_with("\"x\"", "expected an object {...}, found a string");
    refused_with("{\"respnse\":{}}", "respnse: unknown field; did you mean \"response\"?");
    refused_with("{\"response\":[]}", "response: expected an object {...}, found an array [...]");
    refused_with("{\"response\":{\"a\":1}}", "response.a: expected a string, found a number");
    refused_with("{\"response\":{\"a b\":\"1\"}}", "not a header name");
    refused_with("{\"response\":{\"\":\"1\"}}", "not a header name");
    refused_with("{\"request\":{\":path\":\"/\"}}", "pseudo-headers cannot be added");
    refused_with("{\"response\":{\"Content-Length\":\"1\"}}", "belongs to the proxy");
    refused_with("{\"response\":{\"a\":\"x\\r\\nset-cookie: y\"}}", "not a header value");
    refused_with("{\"response\":{\"a\":\"\\u0000\"}}", "\\u0000 and half a surrogate pair are not allowed");
    refused_with("{\"response\":{\"a\":\" x\"}}", "not a header value");
    refused_with("{\"response\":{\"a\":\"1\",\"a\":\"2\"}}", "response.a: this field is there twice");
    refused_with("{\"request\":{\"te\":\"x\"},\"response\":{\"a\nb\":\"1\"}}",
                 "line 1, column 37: a control character");
}

static void test_adds(void **state)
{
    struct fake_host fake;
    (void)state;
    fake_open_file(&fake, "add-header");
    assert_true(fake_configure(
        &fake, "{\"request\":{\"X-One\":\"1\",\"x-two\":\"\"},\"response\":{\"hello\":\"w\\u00f6rld\"}}"));
    fake_header(&fake, 0, "x-one", "there");
    fake_stream(&fake, 2);
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_request_headers, 2, 1, 1), 0);
    assert_int_equal(fake.maps[0].count, 3);
    assert_string_equal(fake.maps[0].items[0].value, "there");
    assert_string_equal(fake.maps[0].items[1].name, "x-one");
    assert_string_equal(fake.maps[0].items[1].value, "1");
    assert_string_equal(fake.maps[0].items[2].value, "");
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_response_headers, 2, 0, 1), 0);
    assert_int_equal(fake.maps[2].count, 1);
    assert_string_equal(fake_value(&fake.maps[2], "hello"), "w\xc3\xb6rld");
    fake_close(&fake);
}

static void test_empty_warns(void **state)
{
    struct fake_host fake;
    (void)state;
    fake_open_file(&fake, "add-header");
    assert_true(fake_configure(&fake, "{\"request\":{}}"));
    assert_true(fake_logged(&fake, 3, "nothing is added"));
    fake_close(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_configuration),
        cmocka_unit_test(test_adds),
        cmocka_unit_test(test_empty_warns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
