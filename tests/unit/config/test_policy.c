/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies: bad ones with their messages, then which rule decides.
 */
#include "config/policy.h"

#include "load_case.h"

#define POLICY "weir.policy.v1.Policy"

static const struct load_case bad[] = {
    {POLICY, "{}", "t:1:1: rules: must not be empty\n"},
    {POLICY, "rules: [{match: {plugin: a}}]",
     "t:1:17: rules[0].match: the last rule is the default for every other plugin and must have no match; "
     "add one\n"},
    {POLICY, "rules: [{name: x}, {match: {}}]",
     "t:1:9: rules[0]: matches every plugin, so the rules after it never hold; move it to the end\n"},
    {POLICY, "rules: [{memory_max_byte: 1}]",
     "t:1:10: rules[0]: unknown field \"memory_max_byte\"; did you mean \"memory_max_bytes\"?\n"},
    {POLICY, "rules: [{memory_max_bytes: 1}]",
     "t:1:28: rules[0].memory_max_bytes: must be at least 65536, is 1\n"},
    {POLICY, "rules: [{memory_max_bytes: 4294967297}]",
     "t:1:28: rules[0].memory_max_bytes: must be at most 4294967296, is 4294967297\n"},
    {POLICY, "rules: [{callback_time_max: 20ms}]",
     "t:1:29: rules[0].callback_time_max: expects a duration in seconds, such as \"1.5s\", found \"20ms\"\n"},
    {POLICY, "rules: [{callback_time_max: 0.0005s}]",
     "t:1:29: rules[0].callback_time_max: must be at least 0.001s, is 0.000500s\n"},
    {POLICY, "rules: [{callback_time_max: 61s}]",
     "t:1:29: rules[0].callback_time_max: must be at most 60s, is 61s\n"},
    {POLICY, "rules: [{sharing: steam}]",
     "t:1:19: rules[0].sharing: no such value \"steam\"; did you mean \"STREAM\"?\n"},
    {POLICY, "rules: [{match: {module_sha256: abc}}, {}]",
     "t:1:33: rules[0].match.module_sha256: must have at least 64 characters, has 3\n"},
    {POLICY,
     "rules: [{match: {module_sha256: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}}, "
     "{}]",
     "t:1:33: rules[0].match.module_sha256: must match ^[0-9a-f]+$\n"},
    {POLICY, "rules: [{worker_time_percent_max: 101}]",
     "t:1:35: rules[0].worker_time_percent_max: must be at most 100, is 101\n"},
    {POLICY, "rules: [{crash_budget: {failures: 3}}]",
     "t:1:24: rules[0].crash_budget.window: is required; set it\n"},
    {POLICY, "rules: [{caps: {log_lines_per_sec: 0}}]",
     "t:1:36: rules[0].caps.log_lines_per_sec: must be at least 1, is 0\n"},
    {POLICY, "rules: [{hidden_headers: [\"\"]}]", "t:1:27: rules[0].hidden_headers[0]: must not be empty\n"},
    {POLICY, "rules: [{mode: LOG_ONLY}]",
     "t:1:10: rules[0]: unknown field \"mode\"; weir.policy.v1.Rule has name, match, sharing, "
     "memory_max_bytes, callback_time_max, start_time_max, worker_time_percent_max, pause_time_max, "
     "time_check, "
     "fallback, crash_budget, hidden_headers, hidden_properties, hidden_clusters, done_time_max, caps\n"},
};

static void test_bad_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        load_case_run(&bad[i]);
}

static const char *decide(const struct config_doc *doc, const char *plugin, const char *sha256,
                          const char *listener)
{
    struct policy_subject who = {slice_str(plugin), slice_str(sha256), slice_str(listener)};
    return policy_find(config_policy(doc), &who)->name;
}

static void test_first_match_decides(void **state)
{
    (void)state;
    const char *digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct strbuf text;
    strbuf_init(&text, 4096);
    strbuf_printf(&text,
                  "rules:\n"
                  "- {name: pinned, match: {module_sha256: %s}, memory_max_bytes: 1048576}\n"
                  "- {name: both, match: {plugin: 'auth*', listener: public}}\n"
                  "- {name: auth, match: {plugin: 'auth*'}, callback_time_max: 0.005s, sharing: SHARED}\n"
                  "- {name: rest}\n",
                  digest);
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    assert_int_equal(config_load_text(load_case_desc(POLICY), "t", strbuf_slice(&text), &diag, &doc),
                     CONFIG_OK);
    assert_string_equal(decide(doc, "auth-x", digest, "public"), "pinned");
    assert_string_equal(decide(doc, "auth-x", "", "public"), "both");
    assert_string_equal(decide(doc, "auth-x", "", "private"), "auth");
    assert_string_equal(decide(doc, "other", "", "public"), "rest");
    assert_string_equal(decide(doc, "", "", ""), "rest");
    strbuf_fini(&text);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static bool hides(const struct wasm_policy *policy, const char *dotted)
{
    char path[64];
    size_t len = strlen(dotted);
    assert_true(len < sizeof(path));
    for (size_t i = 0; i < len; i++)
        path[i] = dotted[i] == '/' ? '\0' : dotted[i];
    return wasm_policy_hides_property(policy, slice_of(path, len));
}

/* '/' stands for the NUL between segments. */
static void test_hidden_properties(void **state)
{
    (void)state;
    char *patterns[] = {"connection.id", "metadata.*", "xds.node", "note"};
    struct wasm_policy *policy = wasm_policy_create(SLICE_EMPTY);
    assert_non_null(policy);
    assert_false(hides(policy, "connection/id"));
    assert_true(wasm_policy_hide(policy, &policy->hidden_properties, patterns, 4));
    const char *hidden[] = {"connection/id",
                            "connection.id",
                            "connection",
                            "connection/id/x",
                            "metadata/a/b",
                            "metadata",
                            "xds/node",
                            "node",
                            "xds",
                            "note",
                            "note/x",
                            "filter_state/wasm.note",
                            "filter_state/wasm/note"};
    const char *shown[] = {"connection/idx", "source/address", "xds/route_name",
                           "notes",          "a/note",         "filter_state/note"};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        assert_true(hides(policy, hidden[i]));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        assert_false(hides(policy, shown[i]));
    assert_true(wasm_policy_hides_state(policy, SLICE_LIT("wasm.note")));
    assert_false(wasm_policy_hides_state(policy, SLICE_LIT("envoy.string")));
    wasm_policy_unref(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_policies),
        cmocka_unit_test(test_first_match_decides),
        cmocka_unit_test(test_hidden_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
