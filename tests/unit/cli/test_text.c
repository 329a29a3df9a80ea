/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small texts of weirctl: sizes and times for people, strings of JSON from any bytes, templates, names.
 */
#include "cli/cli.h"
#include "cli/project.h"
#include "cli/template.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void sizes_and_times(void **state)
{
    char text[CLI_SIZE_TEXT];
    (void)state;
    assert_string_equal(cli_size_text(0, text), "0 bytes");
    assert_string_equal(cli_size_text(999, text), "999 bytes");
    assert_string_equal(cli_size_text(13200, text), "13.2 kB");
    assert_string_equal(cli_size_text(24500000, text), "24.5 MB");
    assert_string_equal(cli_memory_text(128 << 10, text), "128 KiB");
    assert_string_equal(cli_memory_text(UINT64_C(4) << 30, text), "4.0 GiB");
    assert_true(strlen(cli_size_text(UINT64_MAX, text)) < CLI_SIZE_TEXT);
    assert_string_equal(cli_time_text(300, text), "0.3 us");
    assert_string_equal(cli_time_text(31000000, text), "31.0 ms");
    assert_string_equal(cli_time_text(UINT64_C(1700000000), text), "1.70 s");
}

static void any_bytes_are_a_json_string(void **state)
{
    static const char bytes[] = "a\0b\xff\xc3\xa9";
    (void)state;
    json_t *string = cli_json_string(slice_of(bytes, sizeof(bytes) - 1));
    assert_true(json_is_string(string));
    assert_true(strstr(json_string_value(string) + 2, "b\xef\xbf\xbd\xc3\xa9") != NULL);
    json_decref(string);
    string = cli_json_string(SLICE_EMPTY);
    assert_string_equal(json_string_value(string), "");
    json_decref(string);
}

static void templates_replace_words_only(void **state)
{
    static const struct template_word words[] = {{"NAME", "x-y"}, {"NAME2", "z"}};
    struct strbuf out;
    (void)state;
    strbuf_init(&out, 1000);
    template_expand(&out, SLICE_LIT("@NAME@ @NAME2@ a@b @NAM @@NAME@@ @OTHER@ @"), words, 2);
    assert_string_equal(strbuf_cstr(&out), "x-y z a@b @NAM @x-y@ @OTHER@ @");
    strbuf_fini(&out);
}

static void every_language_has_its_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < languages_count; i++) {
        bool has_source = false;
        for (size_t k = 0; k < template_files_count; k++)
            has_source |= strcmp(template_files[k].set, languages[i].id) == 0 &&
                          strcmp(template_files[k].path, languages[i].source) == 0;
        if (!has_source)
            fail_msg("%s has no %s", languages[i].id, languages[i].source);
        assert_non_null(strstr(language_list(), languages[i].id));
    }
    assert_null(language_find("cobol"));
}

static void names_of_projects(void **state)
{
    (void)state;
    assert_true(project_name_valid("a"));
    assert_true(project_name_valid("Hello-there_2"));
    assert_false(project_name_valid(""));
    assert_false(project_name_valid("2x"));
    assert_false(project_name_valid("-x"));
    assert_false(project_name_valid("a/b"));
    assert_false(project_name_valid("a.b"));
    assert_false(project_name_valid("a b"));
    assert_false(project_name_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_times),
        cmocka_unit_test(any_bytes_are_a_json_string),
        cmocka_unit_test(templates_replace_words_only),
        cmocka_unit_test(every_language_has_its_files),
        cmocka_unit_test(names_of_projects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
