/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations as people write them for Envoy, in accepted/: each must load and build without an error, and
 * what is printed of it must load again and print the same.
 */
#include "config/build.h"
#include "load_case.h"

#include <dirent.h>
#include <stdlib.h>

static void dump(const struct config_doc *doc, struct strbuf *out)
{
    strbuf_init(out, 1 << 20);
    assert_true(config_dump(doc, doc->root, 0, out));
}

static void accept_file(const char *path)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    struct config_resources *resources = NULL;
    config_diag_init(&diag);
    config_load_bootstrap(&(struct config_source){path, NULL}, &diag, &doc);
    if (doc)
        config_build(doc, &(struct config_build_options){0}, &diag, &resources);
    struct strbuf said;
    strbuf_init(&said, 1 << 20);
    config_diag_print_errors(&diag, &said);
    assert_string_equal(strbuf_cstr(&said), "");
    assert_non_null(resources);
    config_diag_fini(&diag);

    struct strbuf first;
    struct strbuf second;
    struct config_doc *again = NULL;
    config_diag_init(&diag);
    dump(doc, &first);
    config_load_text(doc->root->descriptor, "dump.json", strbuf_slice(&first), &diag, &again);
    strbuf_reset(&said);
    config_diag_print_errors(&diag, &said);
    assert_string_equal(strbuf_cstr(&said), "");
    dump(again, &second);
    assert_string_equal(strbuf_cstr(&first), strbuf_cstr(&second));

    strbuf_fini(&said);
    strbuf_fini(&first);
    strbuf_fini(&second);
    config_resources_destroy(&resources);
    config_doc_destroy(&doc);
    config_doc_destroy(&again);
    config_diag_fini(&diag);
}

/* --- damaged copies --- */

static void load_damaged(struct slice before, const char *instead, struct slice after)
{
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    strbuf_append(&text, before);
    strbuf_append_str(&text, instead);
    strbuf_append(&text, after);
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    enum config_result result = config_load_text(load_case_desc(NULL), "t", strbuf_slice(&text), &diag, &doc);
    assert_int_equal(result == CONFIG_OK, !config_diag_failed(&diag));
    assert_int_equal(result == CONFIG_OK, doc != NULL);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
    strbuf_fini(&text);
}

/* Whatever is missing or wrong, the search for more errors must survive it. */
static void damage_file(const char *path)
{
    static char content[1 << 16];
    static const char *const junk[] = {"{}", "[]", "99999999999", "\"\"", "null", "[{}]"};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct slice text = slice_of(content, fread(content, 1, sizeof content, f));
    fclose(f);
    for (size_t start = 0; start < text.len;) {
        ptrdiff_t n = slice_find_char(slice_skip(text, start), '\n');
        size_t end = n < 0 ? text.len : start + (size_t)n;
        struct slice line = slice_take(slice_skip(text, start), end - start);
        ptrdiff_t colon = slice_find(line, SLICE_LIT(": "));
        load_damaged(slice_take(text, start), "", slice_skip(text, end));
        for (size_t i = 0; colon >= 0 && i < sizeof junk / sizeof junk[0]; i++)
            load_damaged(slice_take(text, start + (size_t)colon + 2), junk[i], slice_skip(text, end));
        start = end + 1;
    }
}

static void each_file(void (*fn)(const char *path))
{
    const char *source = getenv("WEIR_SOURCE_DIR");
    char dir_path[1024];
    snprintf(dir_path, sizeof dir_path, "%s/tests/unit/config/accepted", source ? source : ".");
    DIR *dir = opendir(dir_path);
    assert_non_null(dir);
    unsigned files = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[2048];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir_path, e->d_name);
        fn(path);
        files++;
    }
    closedir(dir);
    assert_true(files >= 4);
}

static void test_all_files(void **state)
{
    (void)state;
    each_file(accept_file);
}

static void test_damaged_copies(void **state)
{
    (void)state;
    each_file(damage_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_files),
                                       cmocka_unit_test(test_damaged_copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
