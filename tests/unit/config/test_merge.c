/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --config-yaml over -c: what wins, what is appended, and where errors point afterwards.
 */
#include "load_case.h"

#include <stdlib.h>
#include <unistd.h>

/* Writes the file text beside the test's temporary files; the caller unlinks it. */
static char *write_file(const char *text)
{
    static char path[] = "/tmp/weir-merge-XXXXXX";
    snprintf(path, sizeof path, "/tmp/weir-merge-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static void expect(const char *file, const char *over, const char *errors, const char *json)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    char *path = write_file(file);
    config_load_bootstrap(&(struct config_source){path, over}, &diag, &doc);
    unlink(path);
    struct strbuf said;
    strbuf_init(&said, 1 << 20);
    config_diag_print_errors(&diag, &said);
    struct slice text = strbuf_slice(&said);
    size_t prefix = strlen(path);
    /* The name of the temporary file is not what is compared. */
    if (slice_starts_with(text, slice_of(path, prefix)))
        text = slice_skip(text, prefix);
    assert_true(text.ptr == NULL || strcmp(text.ptr, errors) == 0 || (printf("%s\n", text.ptr), false));
    if (json) {
        assert_non_null(doc);
        strbuf_reset(&said);
        assert_true(config_dump(doc, doc->root, -1, &said));
        assert_string_equal(strbuf_cstr(&said), json);
    }
    strbuf_fini(&said);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static void test_errors_in_both(void **state)
{
    (void)state;
    expect("nod: {}", "admn: {}",
           ":1:1: unknown field \"nod\"; did you mean \"node\"?\n--config-yaml:1:1: unknown field \"admn\"; "
           "did you mean "
           "\"admin\"?\n",
           NULL);
}

static void test_rules_hold_for_the_merged_document(void **state)
{
    (void)state;
    /* Each alone lacks something, together they do not. */
    expect(
        "static_resources: {clusters: [{name: a}]}\nadmin: {address: {socket_address: {address: ::1}}}",
        "admin: {address: {socket_address: {port_value: 1}}}", "",
        "{\"static_resources\":{\"clusters\":[{\"name\":\"a\"}]},\"admin\":{\"address\":{\"socket_address\":"
        "{\"address\":\"::1\",\"port_value\":1}}}}");
    /* The index is that of the merged list, the position that of the text. */
    expect("static_resources: {clusters: [{name: a}]}",
           "{static_resources: {clusters: [{connect_timeout: 1s}]}}",
           "--config-yaml:1:32: static_resources.clusters[1].name: must not be empty\n", NULL);
}

static void test_what_wins(void **state)
{
    (void)state;
    expect("node: {id: a, cluster: c, metadata: {x: 1, y: 2}}", "node: {id: b, metadata: {y: 3, z: 4}}", "",
           "{\"node\":{\"id\":\"b\",\"cluster\":\"c\",\"metadata\":{\"x\":1,\"y\":3,\"z\":4}}}");
    /* A oneof changes sides; a duration is replaced, not added to. */
    expect("admin: {address: {socket_address: {address: a, port_value: 1}}}\nstats_flush_interval: 1.5s",
           "admin: {address: {pipe: {path: /x}}}\nstats_flush_interval: 2s", "",
           "{\"stats_flush_interval\":\"2s\",\"admin\":{\"address\":{\"pipe\":{\"path\":\"/x\"}}}}");
}

static void test_one_source_alone(void **state)
{
    (void)state;
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    assert_int_equal(config_load_bootstrap(&(struct config_source){NULL, "node: {id: a}"}, &diag, &doc),
                     CONFIG_OK);
    config_doc_destroy(&doc);
    assert_int_equal(config_load_bootstrap(&(struct config_source){"/nonexistent/x.yaml", NULL}, &diag, &doc),
                     CONFIG_INVALID);
    assert_null(doc);
    struct strbuf said;
    strbuf_init(&said, 4096);
    config_diag_print_errors(&diag, &said);
    assert_string_equal(strbuf_cstr(&said),
                        "/nonexistent/x.yaml: cannot read it: No such file or directory\n");
    strbuf_fini(&said);
    config_diag_fini(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_in_both),
        cmocka_unit_test(test_rules_hold_for_the_merged_document),
        cmocka_unit_test(test_what_wins),
        cmocka_unit_test(test_one_source_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
