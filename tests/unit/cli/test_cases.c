/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases: their JSON form, properties and callouts of the command line, and hostile files.
 */
#include "cli/case_json.h"
#include "cli/run_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct cases cases;
static struct cases_error error;

static int setup(void **state)
{
    (void)state;
    cases_init(&cases);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cases_fini(&cases);
    return 0;
}

static bool read_text(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    bool done = case_json_read(&cases, value, NULL, &error);
    json_decref(value);
    return done;
}

static void a_test_file_is_read(void **state)
{
    (void)state;
    assert_true(
        read_text("{\"config\": {\"a\": 1}, \"vm_config\": \"text\", \"root_id\": \"r\", \"ticks\": 3,"
                  " \"callouts\": {\"up\": {\"status\": 401}, \"down\": null},"
                  " \"properties\": {\"a.b\": 5},"
                  " \"requests\": [{\"name\": \"one\", \"request\": {\"url\": \"https://h/p\"}},"
                  " {\"path\": \"/alone\", \"headers\": [[\"a\", \"1\"], [\"a\", \"2\"]]}]}"));
    assert_string_equal(cases.config, "{\"a\":1}");
    assert_string_equal(cases.vm_config, "text");
    assert_string_equal(cases.root_id, "r");
    assert_int_equal(cases.ticks, 3);
    assert_int_equal(cases.count, 2);
    assert_string_equal(cases.items[0].name, "one");
    assert_null(cases.items[1].name);
    assert_int_equal(cases.items[1].request.headers.count, 6);
    assert_int_equal(message_status(&cases_find_callout(&cases, SLICE_LIT("up"))->answer), 401);
    assert_true(cases_find_callout(&cases, SLICE_LIT("down"))->fails);
    assert_null(cases_find_callout(&cases, SLICE_LIT("other")));
}

static void what_the_command_line_said_wins(void **state)
{
    (void)state;
    cases.config = strdup("mine");
    assert_true(cases_add_property(&cases, "a=mine", &error));
    assert_true(read_text("{\"config\": \"theirs\", \"properties\": {\"a\": \"theirs\", \"b\": 1}, "
                          "\"requests\": []}"));
    assert_string_equal(cases.config, "mine");
    assert_string_equal(json_string_value(json_object_get(cases.properties, "a")), "mine");
    assert_int_equal(json_integer_value(json_object_get(cases.properties, "b")), 1);
}

static void wrong_types_are_errors(void **state)
{
    static const char *const texts[] = {
        "5",
        "\"x\"",
        "null",
        "{\"requests\": {}}",
        "[5]",
        "[[]]",
        "[null]",
        "{\"request\": 5}",
        "{\"request\": {\"method\": 5}}",
        "{\"request\": {\"method\": \"a b\"}}",
        "{\"request\": {\"url\": 5}}",
        "{\"request\": {\"headers\": 5}}",
        "{\"request\": {\"headers\": {\"a\": 5}}}",
        "{\"request\": {\"headers\": [5]}}",
        "{\"request\": {\"headers\": [[\"a\"]]}}",
        "{\"request\": {\"headers\": {\"a\": [5]}}}",
        "{\"request\": {\"headers\": {\"a b\": \"c\"}}}",
        "{\"request\": {\"trailers\": {\"a b\": \"c\"}}}",
        "{\"request\": {\"body\": 5}}",
        "{\"request\": {}, \"response\": 5}",
        "{\"request\": {}, \"response\": {\"status\": 1000}}",
        "{\"request\": {}, \"response\": {\"status\": \"200\"}}",
        "{\"request\": {}, \"expect\": 5}",
        "{\"request\": {}, \"expect\": {\"response\": 5}}",
        "{\"request\": {}, \"expect\": {\"response\": {\"status\": \"x\"}}}",
        "{\"request\": {}, \"expect\": {\"response\": {\"headers\": 5}}}",
        "{\"request\": {}, \"expect\": {\"response\": {\"headers\": {\"a\": 5}}}}",
        "{\"request\": {}, \"expect\": {\"logs\": 5}}",
        "{\"request\": {}, \"expect\": {\"logs\": [5]}}",
        "{\"request\": {}, \"expect\": {\"metrics\": 5}}",
        "{\"request\": {}, \"expect\": {\"outcome\": 5}}",
        "{\"request\": {}, \"expect\": {\"nonsense\": 5}}",
        "{\"requests\": [], \"nonsense\": 1}",
        "{\"requests\": [], \"ticks\": -1}",
        "{\"requests\": [], \"root_id\": 5}",
        "{\"requests\": [], \"properties\": 5}",
        "{\"requests\": [], \"callouts\": 5}",
        "{\"requests\": [], \"callouts\": {\"a\": 5}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        error.text[0] = '\0';
        if (read_text(texts[i]))
            fail_msg("accepted: %s", texts[i]);
        assert_true(strlen(error.text) > 10);
    }
}

static void properties_have_types(void **state)
{
    (void)state;
    assert_true(cases_add_property(&cases, "text=a=b", &error));
    assert_true(cases_add_property(&cases, "number:=5", &error));
    assert_true(cases_add_property(&cases, "flag:=true", &error));
    assert_string_equal(json_string_value(json_object_get(cases.properties, "text")), "a=b");
    assert_int_equal(json_integer_value(json_object_get(cases.properties, "number")), 5);
    assert_true(json_is_true(json_object_get(cases.properties, "flag")));
    assert_false(cases_add_property(&cases, "=x", &error));
    assert_false(cases_add_property(&cases, "none", &error));
    assert_false(cases_add_property(&cases, "bad:=[", &error));
}

static void many_cases_keep_their_messages(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/%d", i);
        assert_true(cases_add_request(&cases, path, &error));
    }
    for (int i = 0; i < 100; i++) {
        char path[32];
        struct message *m = &cases.items[i].request;
        snprintf(path, sizeof(path), "/%d", i);
        assert_true(slice_eq(header_map_get_id(&m->headers, HDR_PATH), slice_str(path)));
        assert_true(message_set_status(m, 200)); /* its arena is where its maps think */
    }
}

static json_t *loads(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

static void expectations_are_compared(void **state)
{
    static const struct {
        const char *expect;
        size_t differences;
    } rows[] = {
        {"{}", 0},
        {"{\"outcome\": \"upstream\", \"response\": {\"status\": 200, \"body\": \"b\"}}", 0},
        {"{\"response\": {\"headers\": {\"A\": \"1\", \"none\": null}}}", 0},
        {"{\"response\": {\"headers\": {\"a\": [\"1\", \"2\"]}}}", 0},
        {"{\"response\": {\"headers\": {\"a\": [\"2\", \"1\"]}}}", 1},
        {"{\"response\": {\"headers\": {\"a\": null, \"b\": \"1\", \"c\": {\"contains\": \"x\"}}}}", 3},
        {"{\"response\": {\"body_contains\": \"z\", \"body\": \"z\", \"status\": 1}}", 3},
        {"{\"upstream\": null, \"response\": null}", 1},
        {"{\"upstream\": {}}", 1},
        {"{\"logs\": [\"in\", \"out\"], \"metrics\": {\"m\": 3, \"n\": 1}, \"outcome\": \"reset\"}", 3},
    };
    json_t *report =
        loads("{\"outcome\": \"upstream\", \"upstream\": null, \"response\": {\"status\": 200, "
              "\"headers\": [[\"a\", \"1\"], [\"a\", \"2\"], [\"c\", \"yz\"]], \"body\": \"b\"}, "
              "\"logs\": [{\"text\": \"a line\"}]}");
    json_t *metrics = loads("{\"m\": {\"value\": 3}}");
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *expect = loads(rows[i].expect);
        json_t *differences = expect_compare(expect, report, metrics);
        if (json_array_size(differences) != rows[i].differences)
            fail_msg("%s: %zu differences", rows[i].expect, json_array_size(differences));
        json_decref(differences);
        json_decref(expect);
    }
    json_decref(report);
    json_decref(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_test_file_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_command_line_said_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_types_are_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(properties_have_types, setup, teardown),
        cmocka_unit_test_setup_teardown(many_cases_keep_their_messages, setup, teardown),
        cmocka_unit_test(expectations_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
