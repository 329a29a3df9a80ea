/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths, queries and authorities, bad ones first; and that normalising twice is normalising once.
 */
#include "base/assert.h"
#include "http/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum option { N = 1, M = 2, REJECT = 4, REDIRECT = 8, FORWARD = 16, FRAGMENT = 32 };

struct path_case {
    unsigned options;
    const char *in;
    const char *out;
    enum url_path_result result;
};

static const struct path_case paths[] = {
    {N, "/a%00b", NULL, URL_PATH_REJECT},
    {N, "/%00", NULL, URL_PATH_REJECT},
    {0, "/a#b", NULL, URL_PATH_REJECT},
    {N, "/a?b#c", NULL, URL_PATH_REJECT},
    {REJECT, "/a%2fb", NULL, URL_PATH_REJECT},
    {REJECT, "/a%5Cb", NULL, URL_PATH_REJECT},
    {REJECT, "/a?b=%2f", "/a?b=%2f", URL_PATH_OK},
    {FRAGMENT, "/a#b", "/a", URL_PATH_OK},
    {FRAGMENT, "/a?b#c?d", "/a?b", URL_PATH_OK},
    {FRAGMENT, "/a#b?c", "/a", URL_PATH_OK},
    {0, "/a/../b//c%41", "/a/../b//c%41", URL_PATH_OK},
    {N, "/", "/", URL_PATH_OK},
    {N, "*", "*", URL_PATH_OK},
    {N, "/a/b", "/a/b", URL_PATH_OK},
    {N, "/a/../b", "/b", URL_PATH_OK},
    {N, "/../../etc/passwd", "/etc/passwd", URL_PATH_OK},
    /* Parameters of a dot segment hide it from us, and not from servers that drop them. */
    {N, "/a/..;/b", "/b", URL_PATH_OK},
    {N, "/a/b/..;x=1/c", "/a/c", URL_PATH_OK},
    {N, "/a/.;x/b", "/a/b", URL_PATH_OK},
    {N, "/a/b/..;", "/a/", URL_PATH_OK},
    {N, "/a/%2e%2e;/b", "/b", URL_PATH_OK},
    {N, "/a/..;\\b", "/b", URL_PATH_OK},
    {N, "/a/..;%2fc/b", "/b", URL_PATH_OK},
    {N, "/a;x/..%3b/;../...;/..a;", "/a;x/..%3b/;../...;/..a;", URL_PATH_OK},
    {N, "/a/./b/.", "/a/b/", URL_PATH_OK},
    {N, "/a/b/..", "/a/", URL_PATH_OK},
    {N, "/..", "/", URL_PATH_OK},
    {N, "/a/..b/.c/...", "/a/..b/.c/...", URL_PATH_OK},
    {N, "/a/%2e%2E/b", "/b", URL_PATH_OK},
    {N, "/a/.%2e/b/%2e", "/b/", URL_PATH_OK},
    {N, "/%61%7E%2d%5f%30", "/a~-_0", URL_PATH_OK},
    {N, "/a\\..\\b", "/b", URL_PATH_OK},
    {N, "/a%2fb%5c", "/a%2fb%5c", URL_PATH_OK},
    {N, "/a%zz%4", "/a%zz%4", URL_PATH_OK},
    {N, "/%%30%30", "/%%300", URL_PATH_OK},
    {N, "/%2%35%41", "/%2%35A", URL_PATH_OK},
    {N, "/%252e%252e/", "/%252e%252e/", URL_PATH_OK},
    {N, "/a b\"<>`{}\x7f\xc3\xa9", "/a%20b%22%3C%3E%60%7B%7D%7F%C3%A9", URL_PATH_OK},
    {N, "/a//b//../c", "/a//b/c", URL_PATH_OK},
    {N, "/a/../b?x=/../%41", "/b?x=/../%41", URL_PATH_OK},
    {N, "/a?", "/a?", URL_PATH_OK},
    {N, "/./?", "/?", URL_PATH_OK},
    {M, "//a///b/?x=//", "/a/b/?x=//", URL_PATH_OK},
    {N | M, "/a/..//../b//c", "/b/c", URL_PATH_OK},
    {N | M, "//../x", "/x", URL_PATH_OK},
    {FORWARD, "/a%2Fb%5cc", "/a/b\\c", URL_PATH_OK},
    {FORWARD | N, "/a%2F..%5cc", "/c", URL_PATH_OK},
    {REDIRECT, "/a%2Fb?c", "/a/b?c", URL_PATH_REDIRECT},
    {REDIRECT | N | M, "/a%2F%2F..%2fb", "/a/b", URL_PATH_REDIRECT},
    {REDIRECT | N, "/a/../b", "/b", URL_PATH_OK},
};

static struct url_path_options options_of(unsigned flags)
{
    return (struct url_path_options){
        .normalize = flags & N,
        .merge_slashes = flags & M,
        .strip_fragment = flags & FRAGMENT,
        .escaped_slashes = flags & REJECT     ? URL_SLASHES_REJECT
                           : flags & REDIRECT ? URL_SLASHES_REDIRECT
                           : flags & FORWARD  ? URL_SLASHES_FORWARD
                                              : URL_SLASHES_KEEP,
    };
}

static void check_slice(const char *what, struct slice got, const char *want)
{
    if (!slice_eq(got, slice_str(want)) || (want == NULL) != (got.ptr == NULL))
        fail_msg("%s: \"" SLICE_FMT "\" instead of \"%s\"", what, SLICE_ARG(got), want ? want : "(null)");
}

static void path_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(paths); i++) {
        const struct path_case *t = &paths[i];
        struct url_path_options o = options_of(t->options);
        struct arena arena;
        struct slice out, again;
        arena_init(&arena, 65536, NULL);
        /* A copy of exactly that size, so that a sanitizer sees a read behind it. */
        size_t n = strlen(t->in);
        char *exact = malloc(n);
        memcpy(exact, t->in, n);
        assert_int_equal(url_path_apply(&o, slice_of(exact, n), &arena, &out), t->result);
        if (t->result != URL_PATH_REJECT) {
            check_slice(t->in, out, t->out);
            assert_int_equal(url_path_apply(&o, out, &arena, &again), URL_PATH_OK);
            check_slice(t->in, again, t->out);
        }
        free(exact);
        arena_fini(&arena);
    }
}

static void no_memory(void **state)
{
    struct url_path_options o = options_of(N);
    struct arena arena;
    struct slice out;
    (void)state;
    arena_init(&arena, 0, NULL);
    assert_int_equal(url_path_apply(&o, SLICE_LIT("/a/../b"), &arena, &out), URL_PATH_NO_MEMORY);
    assert_int_equal(url_path_apply(&o, SLICE_LIT("/a/b"), &arena, &out), URL_PATH_OK);
    assert_null(url_encode(SLICE_LIT("a"), false, &arena).ptr);
    assert_null(url_decode(SLICE_LIT("a"), &arena).ptr);
    assert_null(url_strip_trailing_dot(SLICE_LIT("h.:1"), &arena).ptr);
    arena_fini(&arena);
}

static void queries(void **state)
{
    struct slice path, query, name, value;
    (void)state;
    url_split_path(SLICE_LIT("/p?a=1&&b&c=&=d&e=f=g#h"), &path, &query);
    check_slice("path", path, "/p");
    check_slice("query", query, "a=1&&b&c=&=d&e=f=g");
    static const char *const want[][2] = {{"a", "1"}, {"b", NULL}, {"c", ""}, {"", "d"}, {"e", "f=g"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        assert_true(url_query_next(&query, &name, &value));
        check_slice("name", name, want[i][0]);
        check_slice("value", value, want[i][1]);
    }
    assert_false(url_query_next(&query, &name, &value));
    url_split_path(SLICE_LIT("/p"), &path, &query);
    assert_null(query.ptr);
    assert_false(url_query_next(&query, &name, &value));
}

static void hosts(void **state)
{
    static const struct {
        const char *in, *host, *port;
    } table[] = {
        {"h", "h", NULL},
        {"h:80", "h", "80"},
        {"h:", "h", ""},
        {"[::1]:80", "[::1]", "80"},
        {"[::1]", "[::1]", NULL},
        {"::1", "::1", NULL},
        {"h:x", "h:x", NULL},
        {"h:8x", "h:8x", NULL},
        {":80", "", "80"},
        {"", "", NULL},
        {"1.2.3.4:5", "1.2.3.4", "5"},
        {"12345", "12345", NULL},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(table); i++) {
        struct slice host, port;
        url_split_host(slice_str(table[i].in), &host, &port);
        check_slice(table[i].in, host, table[i].host);
        check_slice(table[i].in, port, table[i].port);
        check_slice(table[i].in, url_strip_any_port(slice_str(table[i].in)), table[i].host);
    }
    check_slice("80", url_strip_port(SLICE_LIT("h:80"), 80), "h");
    check_slice("81", url_strip_port(SLICE_LIT("h:80"), 81), "h:80");
    check_slice("080", url_strip_port(SLICE_LIT("[::1]:080"), 80), "[::1]");
    check_slice("none", url_strip_port(SLICE_LIT("h"), 0), "h");
    struct arena arena;
    arena_init(&arena, 65536, NULL);
    check_slice("dot", url_strip_trailing_dot(SLICE_LIT("h."), &arena), "h");
    check_slice("dot and port", url_strip_trailing_dot(SLICE_LIT("h.:80"), &arena), "h:80");
    check_slice("no dot", url_strip_trailing_dot(SLICE_LIT("h:80"), &arena), "h:80");
    check_slice("empty", url_strip_trailing_dot(SLICE_LIT(""), &arena), "");
    arena_fini(&arena);
}

static void encoding(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 65536, NULL);
    check_slice("encode", url_encode(SLICE_LIT("a/b ~\xff"), false, &arena), "a%2Fb%20~%FF");
    check_slice("keep slash", url_encode(SLICE_LIT("a/b?"), true, &arena), "a/b%3F");
    check_slice("decode", url_decode(SLICE_LIT("a%2fb%2"), &arena), "a/b%2");
    check_slice("bad escapes", url_decode(SLICE_LIT("%%41%g1%"), &arena), "%A%g1%");
    assert_true(slice_eq(url_decode(SLICE_LIT("%00"), &arena), slice_of("\0", 1)));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_table), cmocka_unit_test(no_memory), cmocka_unit_test(queries),
        cmocka_unit_test(hosts),      cmocka_unit_test(encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
