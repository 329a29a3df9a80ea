/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URI templates: what is refused, and the expressions and substitutions that good ones become. What they
 * match is held against Envoy by tests/integration/test_routing_envoy.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "proxy/routing/path_template.h"
#include "proxy/routing/regex.h"

static struct strbuf out;
static struct path_template_variables variables;

static int setup(void **state)
{
    (void)state;
    strbuf_init(&out, 1 << 16);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    strbuf_fini(&out);
    return 0;
}

static const char *read_template(const char *text)
{
    strbuf_reset(&out);
    return path_template_pattern(slice_str(text), &out, &variables);
}

static void bad_templates(void **state)
{
    static const char *const bad[] = {
        "",
        "a",
        "a/b",
        "//",
        "/a//b",
        "/{",
        "/{a",
        "/{}",
        "/{1a}",
        "/{a b}",
        "/{a=}",
        "/{a=/b}",
        "/{a=b/}",
        "/{a}{b}",
        "/a b",
        "/a?b",
        "/a#b",
        "/[a",
        "/a*",
        "/a*b",
        "/*.a/b",
        "/***",
        "/**/*",
        "/**/{a}",
        "/{a=**}/{b}",
        "/{a}/{a}",
        "/x{a=*/b}",
        "/*{a}",
        "/x{}",
        "/x{a}*",
        "/{a}/x}",
        "/{a-b}",
        "/\x80",
        "/{abcdefghijklmnopq}",
        "/{a}/{b}/{c}/{d}/{e}/{f}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *wrong = read_template(bad[i]);
        if (!wrong)
            print_error("accepted: number %zu\n", i);
        assert_non_null(wrong);
    }
}

static void good_templates(void **state)
{
    static const struct {
        const char *text, *path;
        bool hit;
        const char *rewrite, *result;
    } cases[] = {
        {"/", "/", true, NULL, NULL},
        {"/", "/a", false, NULL, NULL},
        {"/a.b", "/axb", false, NULL, NULL},
        {"/a/", "/a", false, NULL, NULL},
        {"/$x(1)+", "/$x(1)+", true, NULL, NULL},
        {"/{a}", "/x/y", false, NULL, NULL},
        {"/{a}", "/", false, NULL, NULL},
        {"/{a_1}/{b=**}", "/x/y/z", true, "/{b}/{a_1}", "/y/z/x"},
        {"/v{n}.json", "/v7.json", true, "/{n}", "/7"},
        {"/{a=x/*}/y", "/x/1/y", true, "/{a}", "/x/1"},
        {"/**.m3u8", "/a/b.m3u8", true, "/same", "/same"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char error[REGEX_ERROR_MAX];
        struct arena arena;
        arena_init(&arena, 1 << 16, NULL);
        assert_null(read_template(cases[i].text));
        struct regex *re = regex_create(strbuf_slice(&out), error);
        assert_non_null(re);
        assert_int_equal(regex_full_match(re, slice_str(cases[i].path)), cases[i].hit);
        if (cases[i].rewrite) {
            strbuf_reset(&out);
            assert_null(path_template_substitution(slice_str(cases[i].rewrite), &variables, &out));
            struct slice got = regex_replace_all(re, slice_str(cases[i].path), strbuf_slice(&out), &arena);
            assert_true(slice_eq(got, slice_str(cases[i].result)));
        }
        regex_destroy(&re);
        arena_fini(&arena);
    }
}

static void bad_rewrites(void **state)
{
    static const char *const bad[] = {"",     "a",    "/a//b", "/{b}", "/{a", "/{}",
                                      "/a b", "/a?b", "/\\1",  "/a*",  "/}"};
    (void)state;
    assert_null(read_template("/{a}"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        strbuf_reset(&out);
        assert_non_null(path_template_substitution(slice_str(bad[i]), &variables, &out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_templates, setup, teardown),
        cmocka_unit_test_setup_teardown(good_templates, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_rewrites, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
