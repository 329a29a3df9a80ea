/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_basic_auth.c: build/plugins/basic-auth.so on the fake host: which requests are refused, and what a
 * wrong configuration is told.
 */
#include "fake_host.h"
#include <string.h>

#define REQUEST 0u
#define ERROR   4u

/* The rule of Istio's users, as it must work (base64 of admin3:admin3 is the second). */
#define PRODUCTPAGE                                                                                          \
    "{\"basic_auth_rules\":[{\"prefix\":\"/productpage\",\"request_methods\":[\"GET\",\"POST\"],"            \
    "\"credentials\":[\"ok:test\",\"YWRtaW4zOmFkbWluMw==\"]}]}"
#define OK_TEST "Basic b2s6dGVzdA=="
#define ADMIN3  "Basic YWRtaW4zOmFkbWluMw=="

/* One request; NULL leaves a header out. True when it passed. */
static bool passes(struct fake_host *fake, const char *method, const char *path, const char *host,
                   const char *authorization)
{
    static uint32_t id = 2;
    fake_clear(fake);
    if (method != NULL)
        fake_header(fake, REQUEST, ":method", method);
    if (path != NULL)
        fake_header(fake, REQUEST, ":path", path);
    if (host != NULL)
        fake_header(fake, REQUEST, ":authority", host);
    if (authorization != NULL)
        fake_header(fake, REQUEST, "authorization", authorization);
    fake_stream(fake, ++id);
    uint64_t action = fake_call(fake, PW_NULL_CB_proxy_on_request_headers, id, fake->maps[REQUEST].count, 1);
    fake_call(fake, PW_NULL_CB_proxy_on_delete, id, 0, 0);
    assert_true(action == 0 || action == 1);
    assert_int_equal(fake->replies, action); /* refused: exactly one reply; passed: none */
    if (action == 1)
        assert_int_equal(fake->reply_status, 401);
    return action == 0;
}

static void open_with(struct fake_host *fake, const char *json)
{
    fake_open_file(fake, "basic-auth");
    if (!fake_configure(fake, json))
        fail_msg("refused: %s", fake->logs[0]);
}

/* The configuration is refused, and an error line holds `text`. */
static void refused_with(const char *json, const char *text)
{
    struct fake_host fake;
    fake_open_file(&fake, "basic-auth");
    assert_false(fake_configure(&fake, json));
    if (!fake_logged(&fake, ERROR, text))
        fail_msg("no error with '%s'; the first is '%s'", text, fake.logs[0]);
    fake_close(&fake);
}

#define RULE(fields) "{\"basic_auth_rules\":[{" fields "}]}"
#define CREDS        "\"credentials\":[\"ok:test\"]"

static void test_wrong_configuration(void **state)
{
    (void)state;
    refused_with("", "there is no configuration");
    refused_with("nonsense", "configuration, line 1, column 1: ");
    refused_with("[]", "expected an object {...}, found an array [...]");
    refused_with(RULE("\"prefx\":\"/\"," CREDS),
                 "basic_auth_rules[0].prefx: unknown field; did you mean \"prefix\"?");
    refused_with("{\"rules\":[]}", "unknown field; known here: basic_auth_rules, realm");
    refused_with(RULE(CREDS), "basic_auth_rules[0]: one of \"prefix\", \"exact\" and \"suffix\" is missing");
    refused_with(RULE("\"prefix\":\"/\",\"exact\":\"/\"," CREDS), "only one of");
    refused_with(RULE("\"prefix\":\"/\",\"prefix\":\"/a\"," CREDS), "this field is there twice");
    refused_with(RULE("\"prefix\":\"\"," CREDS), "must not be empty");
    refused_with(RULE("\"prefix\":\"a\"," CREDS), "must begin with '/'");
    refused_with(RULE("\"exact\":\"/a?b\"," CREDS), "the query is not part");
    refused_with(RULE("\"prefix\":7," CREDS), "expected a string, found a number");
    refused_with(RULE("\"prefix\":\"/\""), "the field \"credentials\" is missing");
    refused_with(RULE("\"prefix\":\"/\",\"credentials\":[]"),
                 "basic_auth_rules[0].credentials: the list is empty");
    refused_with(RULE("\"prefix\":\"/\",\"credentials\":[\"a:b\",7]"), "credentials[1]: expected a string");
    refused_with(RULE("\"prefix\":\"/\",\"credentials\":[\"abc\"]"), "neither \"user:password\" nor base64");
    refused_with(RULE("\"prefix\":\"/\",\"credentials\":[\"YWJj\"]"), "neither \"user:password\" nor base64");
    refused_with(RULE("\"prefix\":\"/\",\"credentials\":[\"a:b\\u0007\"]"), "control characters");
    refused_with(RULE("\"prefix\":\"/\",\"request_methods\":[]," CREDS),
                 "request_methods: the list is empty");
    refused_with(RULE("\"prefix\":\"/\",\"request_methods\":\"GET\"," CREDS),
                 "expected an array [...], found a string");
    refused_with(RULE("\"prefix\":\"/\",\"request_methods\":[\"get\"]," CREDS), "did you mean \"GET\"?");
    refused_with(RULE("\"prefix\":\"/\",\"request_methods\":[\"G T\"]," CREDS), "not a request method");
    refused_with(RULE("\"prefix\":\"/\",\"hosts\":[\"a.example:80\"]," CREDS), "without a port");
    refused_with(RULE("\"prefix\":\"/\",\"hosts\":[\"a.*.example\"]," CREDS), "'*' is only allowed");
    refused_with(RULE("\"prefix\":\"/\",\"hosts\":[\"*.*\"]," CREDS), "only one '*'");
    refused_with(RULE("\"prefix\":\"/\",\"hosts\":[\"\"]," CREDS), "a host must not be empty");
    refused_with("{\"realm\":\"a\\nb\"}", "realm: control characters");
    refused_with("{\n  \"basic_auth_rules\": [\n    {\"prefix\": true}]}", "line 3, column 16");
}

/* Each mistake is reported in one run, and no credential is ever logged. */
static void test_all_mistakes_no_secrets(void **state)
{
    struct fake_host fake;
    (void)state;
    fake_open_file(&fake, "basic-auth");
    assert_false(fake_configure(
        &fake, RULE("\"prefix\":1,\"hots\":[],\"credentials\":[\"hunter2\",\"a:hunter2\\u0001\"]")));
    assert_true(fake_logged(&fake, ERROR, "basic_auth_rules[0].prefix"));
    assert_true(fake_logged(&fake, ERROR, "did you mean \"hosts\"?"));
    assert_true(fake_logged(&fake, ERROR, "credentials[0]"));
    assert_true(fake_logged(&fake, ERROR, "credentials[1]"));
    assert_false(fake_logged(&fake, 0, "hunter2"));
    fake_close(&fake);
}

static void test_no_rules(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, "{}");
    assert_true(fake_logged(&fake, 3, "every request is let through"));
    assert_true(passes(&fake, "GET", "/", "a", NULL));
    fake_close(&fake);
}

static void test_prefix(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, PRODUCTPAGE);
    assert_false(passes(&fake, "GET", "/productpage", "h", NULL));
    assert_string_equal(fake_value(&fake.reply_headers, "www-authenticate"), "Basic realm=\"istio\"");
    assert_string_equal(fake.reply_details, "basic_auth_no_credentials");
    assert_false(passes(&fake, "POST", "/productpage/x?y", "h", NULL));
    assert_true(passes(&fake, "GET", "/productpage", "h", OK_TEST));
    assert_true(passes(&fake, "POST", "/productpage/1", "h", ADMIN3));
    assert_true(passes(&fake, "PUT", "/productpage", "h", NULL));
    assert_true(passes(&fake, "GET", "/product", "h", NULL));
    fake_close(&fake);
}

static void test_credentials(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, PRODUCTPAGE);
    static const char *const wrong[] = {"",
                                        "Basic",
                                        "Basic ",
                                        "Basic ==",
                                        "b2s6dGVzdA==",
                                        "Bearer b2s6dGVzdA==",
                                        "Basic b2s6dGVzd",
                                        "Basic b2s6dGVzdA=",
                                        "Basic b2s6dGVzdA==x",
                                        "Basic b2s6dGVzdB==",
                                        "Basic b2s6",
                                        "Basic b2s6dGVzdGE=",
                                        "Basic b2s6dGVzdA==, Basic b2s6dGVzdA==",
                                        "Basicb2s6dGVzdA==",
                                        "Basic b2s6 dGVzdA==",
                                        "Basic ok:test",
                                        "Basic b2s6dGVzdG9rOnRlc3Q="};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (passes(&fake, "GET", "/productpage", "h", wrong[i]))
            fail_msg("let through: '%s'", wrong[i]);
    }
    assert_true(passes(&fake, "GET", "/productpage", "h", "basic b2s6dGVzdA=="));
    assert_true(passes(&fake, "GET", "/productpage", "h", "BASIC   b2s6dGVzdA== "));
    assert_true(passes(&fake, "GET", "/productpage", "h", "Basic b2s6dGVzdA")); /* padding is optional */
    fake_close(&fake);
}

static void test_exact_and_suffix(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, "{\"basic_auth_rules\":[{\"exact\":\"/a\"," CREDS "},{\"suffix\":\".php\"," CREDS "}]}");
    assert_false(passes(&fake, "GET", "/a", "h", NULL));
    assert_false(passes(&fake, "GET", "/a?x=1", "h", NULL)); /* Istio's lets this through */
    assert_false(passes(&fake, "GET", "/a#x", "h", NULL));
    assert_false(passes(&fake, "BREW", "/a", "h", NULL)); /* no request_methods: all */
    assert_true(passes(&fake, "GET", "/a/", "h", NULL));
    assert_true(passes(&fake, "GET", "/A", "h", NULL));
    assert_false(passes(&fake, "GET", "/x/index.php", "h", NULL));
    assert_false(passes(&fake, "GET", "/x/index.php?.css", "h", NULL));
    assert_true(passes(&fake, "GET", "/x/index.php5", "h", NULL));
    assert_true(passes(&fake, "GET", "/a", "h", OK_TEST));
    fake_close(&fake);
}

static void test_hosts(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake,
              RULE("\"prefix\":\"/\",\"hosts\":[\"a.example\",\"*.b.example\",\"c.*\",\"[::1]\"]," CREDS));
    static const char *const covered[] = {"a.example",     "A.Example",     "a.example:8080",
                                          "a.example.",    "a.example.:80", "x.b.example",
                                          "X.B.EXAMPLE:1", "c.example",     "c.",
                                          "[::1]",         "[::1]:80"};
    static const char *const free_hosts[] = {"example", "xa.example", "a.example.org", "b.example",
                                             "c",       "xc.example", "[::2]"};
    for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++) {
        if (passes(&fake, "GET", "/", covered[i], NULL))
            fail_msg("let through: '%s'", covered[i]);
        assert_true(passes(&fake, "GET", "/", covered[i], OK_TEST));
    }
    for (size_t i = 0; i < sizeof(free_hosts) / sizeof(free_hosts[0]); i++) {
        if (!passes(&fake, "GET", "/", free_hosts[i], NULL))
            fail_msg("refused: '%s'", free_hosts[i]);
    }
    fake_close(&fake);
}

/* What cannot be read must not open the door. */
static void test_missing_pseudo_headers(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, RULE("\"prefix\":\"/\",\"hosts\":[\"a.example\"],\"request_methods\":[\"GET\"]," CREDS));
    assert_false(passes(&fake, NULL, "/", "a.example", NULL));
    assert_false(passes(&fake, "GET", "/", NULL, NULL));
    assert_false(passes(&fake, "GET", NULL, "a.example", NULL));
    assert_false(passes(&fake, NULL, NULL, NULL, NULL));
    fake_close(&fake);
}

static void test_every_covering_rule_must_accept(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, "{\"realm\":\"say \\\"hi\\\"\",\"basic_auth_rules\":[{\"prefix\":\"/\"," CREDS "},"
                     "{\"prefix\":\"/admin\",\"credentials\":[\"YWRtaW4zOmFkbWluMw\",\"ok:other\"]}]}");
    assert_true(passes(&fake, "GET", "/", "h", OK_TEST));
    assert_false(passes(&fake, "GET", "/", "h", ADMIN3));
    assert_string_equal(fake.reply_details, "basic_auth_wrong_credentials");
    assert_string_equal(fake_value(&fake.reply_headers, "www-authenticate"),
                        "Basic realm=\"say \\\"hi\\\"\"");
    assert_false(passes(&fake, "GET", "/admin", "h", OK_TEST));
    assert_false(passes(&fake, "GET", "/admin", "h", ADMIN3));
    fake_close(&fake);
}

static void test_two_authorization_headers(void **state)
{
    struct fake_host fake;
    (void)state;
    open_with(&fake, PRODUCTPAGE);
    fake_header(&fake, REQUEST, ":method", "GET");
    fake_header(&fake, REQUEST, ":path", "/productpage");
    fake_header(&fake, REQUEST, "authorization", OK_TEST);
    fake_header(&fake, REQUEST, "Authorization", ADMIN3);
    fake_stream(&fake, 2);
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_request_headers, 2, 4, 1), 1);
    assert_string_equal(fake.reply_details, "basic_auth_two_authorization_headers");
    fake_close(&fake); /* with a live stream: nothing leaks (checked under ASan) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_configuration),
        cmocka_unit_test(test_all_mistakes_no_secrets),
        cmocka_unit_test(test_no_rules),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_exact_and_suffix),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_missing_pseudo_headers),
        cmocka_unit_test(test_every_covering_rule_must_accept),
        cmocka_unit_test(test_two_authorization_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
