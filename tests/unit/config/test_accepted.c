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

static void test_all_files(void **state)
{
    (void)state;
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
        accept_file(path);
        files++;
    }
    closedir(dir);
    assert_true(files >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
