/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Route tables: domains, paths, headers, query parameters, the order of routes with and without an index,
 * rewriting, redirects, header changes at all levels, and what the finish step refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct route_table *table;
static struct arena arena;
static struct header_map headers;
static char problems[4096];

static void collect(void *arg, const char *path, const char *text)
{
    (void)arg;
    size_t used = strlen(problems);
    snprintf(problems + used, sizeof(problems) - used, "%s: %s\n", path, text);
}

static int setup(void **state)
{
    (void)state;
    table = route_table_create();
    arena_init(&arena, 1 << 20, NULL);
    header_map_init(&headers, &arena, 200, 65536);
    problems[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    const struct route_table *t = table;
    route_table_unref(&t);
    assert_null(t);
    arena_fini(&arena);
    return 0;
}

static bool finish(void)
{
    struct build_errors errors = {collect, NULL, 0};
    return route_table_finish(table, &errors);
}

static void finish_ok(void)
{
    bool ok = finish();
    if (!ok)
        print_error("%s", problems);
    assert_true(ok);
}

static struct slice fmt(const char *format, unsigned n)
{
    return slice_str(arena_printf(&table->arena, format, n));
}

/* Virtual hosts with one domain list each ("a.com,b.com") and room for `routes` routes. */
static void make_hosts(const char *const *domains, uint32_t count, uint32_t routes)
{
    table->virtual_hosts = ARENA_NEW_N(&table->arena, struct virtual_host, count);
    table->virtual_hosts_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct virtual_host *vh = &table->virtual_hosts[i];
        struct slice rest = slice_str(domains[i]), part;
        vh->name = slice_str(domains[i]);
        vh->domains = ARENA_NEW_N(&table->arena, struct slice, 16);
        while (slice_split(&rest, ',', &part))
            vh->domains[vh->domains_count++] = part;
        vh->routes = ARENA_NEW_N(&table->arena, struct route, routes);
    }
}

static struct route *add(uint32_t vh_index, enum path_match_kind kind, struct slice path)
{
    struct virtual_host *vh = &table->virtual_hosts[vh_index];
    struct route *r = &vh->routes[vh->routes_count++];
    route_match_init(&r->match);
    route_action_init(&r->action);
    r->match.kind = kind;
    r->match.path = path;
    r->action.cluster = SLICE_LIT("c");
    r->name = path;
    return r;
}

static void request(const char *host, const char *path)
{
    header_map_clear(&headers);
    header_map_add(&headers, SLICE_LIT(":method"), SLICE_LIT("GET"));
    header_map_add(&headers, SLICE_LIT(":scheme"), SLICE_LIT("http"));
    header_map_add(&headers, SLICE_LIT(":authority"), slice_str(host));
    header_map_add(&headers, SLICE_LIT(":path"), slice_str(path));
    header_map_add(&headers, SLICE_LIT("x-forwarded-proto"), SLICE_LIT("http"));
}

static const struct route *match(void)
{
    return route_table_match(table, &headers, NULL, 0).route;
}

/* The index of the route that matches in its virtual host; -1: none. */
static int matched(const char *path)
{
    request("h", path);
    const struct route *r = match();
    return r ? (int)r->index : -1;
}

static void domains(void **state)
{
    static const char *const hosts[] = {
        "foo.com,FOO.org:8080", "*.foo.com", "*-bar.foo.com", "www.*", "www.foo.*", "*"};
    static const struct {
        const char *host;
        int vh;
    } cases[] = {
        {"foo.com", 0},   {"FOO.COM", 0},   {"foo.org:8080", 0},  {"foo.org", 5},      {"a.foo.com", 1},
        {"A.FOO.com", 1}, {".foo.com", 5},  {"x-bar.foo.com", 2}, {"-bar.foo.com", 1}, {"www.x", 3},
        {"www.", 5},      {"www.foo.x", 4}, {"www.foo.com", 1},   {"a.foo.com:80", 5}, {"", 5},
        {"other", 5},
    };
    (void)state;
    make_hosts(hosts, WEIR_ARRAY_LEN(hosts), 1);
    finish_ok();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        const struct virtual_host *vh = route_table_find_host(table, slice_str(cases[i].host));
        if (vh != &table->virtual_hosts[cases[i].vh])
            print_error("%s\n", cases[i].host);
        assert_ptr_equal(vh, &table->virtual_hosts[cases[i].vh]);
    }
}

static void domains_without_port(void **state)
{
    static const char *const hosts[] = {"foo.com", "[::1]"};
    (void)state;
    make_hosts(hosts, 2, 1);
    table->ignore_port_in_host_matching = true;
    finish_ok();
    assert_ptr_equal(route_table_find_host(table, SLICE_LIT("foo.com:1234")), &table->virtual_hosts[0]);
    assert_ptr_equal(route_table_find_host(table, SLICE_LIT("foo.com")), &table->virtual_hosts[0]);
    assert_ptr_equal(route_table_find_host(table, SLICE_LIT("[::1]:80")), &table->virtual_hosts[1]);
    assert_ptr_equal(route_table_find_host(table, SLICE_LIT("[::1]")), &table->virtual_hosts[1]);
    assert_null(route_table_find_host(table, SLICE_LIT("bar.com:80")));
}

static void domains_twice(void **state)
{
    static const char *const hosts[] = {"a.com,A.com", "*", "*", "*.x,*.X", ""};
    (void)state;
    make_hosts(hosts, WEIR_ARRAY_LEN(hosts), 1);
    assert_false(finish());
    assert_non_null(strstr(problems, "virtual_hosts[0].domains[1]: only unique values"));
    assert_non_null(strstr(problems, "virtual_hosts[2].domains[0]: only a single wildcard"));
    assert_non_null(strstr(problems, "virtual_hosts[3].domains[1]: only unique values"));
    assert_non_null(strstr(problems, "virtual_hosts[4].domains[0]: a domain has"));
}

static const char *const one_host[] = {"*"};

static void paths(void **state)
{
    static const struct {
        const char *path;
        int route;
    } cases[] = {
        {"/exact", 0},     {"/exact?x=1", 0}, {"/exact#f", 0},  {"/exact/", -1}, {"/Exact", -1},
        {"/PRE/x", -1},    {"/pre", 1},       {"/prefix/y", 1}, {"/sep", 2},     {"/sep/a", 2},
        {"/separate", -1}, {"/sep?q", 2},     {"/re/12", 3},    {"/re/12/", -1}, {"/re/12?a", 3},
        {"/IgNoRe/x", 4},  {"/EXACT2", 5},    {"*", -1},
    };
    (void)state;
    make_hosts(one_host, 1, 8);
    add(0, PATH_MATCH_EXACT, SLICE_LIT("/exact"));
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/pre"));
    add(0, PATH_MATCH_SEPARATED_PREFIX, SLICE_LIT("/sep"));
    add(0, PATH_MATCH_REGEX, SLICE_LIT("/re/\\d+"));
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/ignore"))->match.case_sensitive = false;
    add(0, PATH_MATCH_EXACT, SLICE_LIT("/exact2"))->match.case_sensitive = false;
    finish_ok();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        if (matched(cases[i].path) != cases[i].route)
            print_error("%s: %d\n", cases[i].path, matched(cases[i].path));
        assert_int_equal(matched(cases[i].path), cases[i].route);
    }
}

static void connect_needs_its_matcher(void **state)
{
    (void)state;
    make_hosts(one_host, 1, 4);
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    add(0, PATH_MATCH_CONNECT, SLICE_EMPTY);
    finish_ok();
    assert_int_equal(matched("/x"), 0);
    header_map_clear(&headers);
    header_map_add(&headers, SLICE_LIT(":method"), SLICE_LIT("CONNECT"));
    header_map_add(&headers, SLICE_LIT(":authority"), SLICE_LIT("a:443"));
    assert_int_equal(match()->index, 1);
}

/* With an index the answer must be that of a walk from the first route to the last. */
static void index_keeps_the_order(void **state)
{
    unsigned seed = 7;
    (void)state;
    make_hosts(one_host, 1, 2000);
    for (unsigned i = 0; i < 2000; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned n = (seed >> 16) % 400;
        static const enum path_match_kind kinds[] = {PATH_MATCH_EXACT, PATH_MATCH_PREFIX,
                                                     PATH_MATCH_SEPARATED_PREFIX, PATH_MATCH_EXACT};
        struct route *r = add(0, kinds[i % 4], fmt(n % 3 ? "/p/%u/q" : "/p/%u", n));
        if (i % 5 == 0) {
            r->match.headers = ARENA_NEW(&table->arena, struct header_matcher);
            r->match.headers_count = 1;
            r->match.headers[0].name = SLICE_LIT("x-pass");
            r->match.headers[0].present = true;
        }
        if (i % 31 == 0)
            r->match.case_sensitive = false;
    }
    finish_ok();
    struct virtual_host *vh = table->virtual_hosts;
    assert_non_null(vh->index);
    struct route_index *index = vh->index;
    unsigned hits = 0;
    for (unsigned n = 0; n < 400; n++) {
        static const char *const forms[] = {"/p/%u", "/p/%u/q", "/p/%u/q/r", "/p/%ux", "/P/%u"};
        for (size_t form = 0; form < WEIR_ARRAY_LEN(forms); form++) {
            char path[64];
            snprintf(path, sizeof(path), forms[form], n);
            request("h", path);
            if (n % 2)
                header_map_add(&headers, SLICE_LIT("x-pass"), SLICE_LIT("1"));
            const struct route *fast = match();
            vh->index = NULL;
            const struct route *slow = match();
            vh->index = index;
            assert_ptr_equal(fast, slow);
            hits += fast != NULL;
        }
    }
    assert_true(hits > 400);
}

static void header_matchers(void **state)
{
    struct header_case {
        struct header_matcher m;
        const char *value; /* NULL: absent */
        bool hit;
    } cases[] = {
        {{.kind = HEADER_MATCH_PRESENT, .present = true}, "", true},
        {{.kind = HEADER_MATCH_PRESENT, .present = true}, NULL, false},
        {{.kind = HEADER_MATCH_PRESENT, .present = false}, NULL, true},
        {{.kind = HEADER_MATCH_PRESENT, .present = true, .invert = true}, NULL, true},
        {{.kind = HEADER_MATCH_PRESENT, .present = true, .invert = true}, "a", false},
        {{.kind = HEADER_MATCH_STRING, .string = {.kind = STRING_EXACT, .value = SLICE_LIT("ab")}},
         "ab",
         true},
        {{.kind = HEADER_MATCH_STRING, .string = {.kind = STRING_EXACT, .value = SLICE_LIT("ab")}},
         "aB",
         false},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_EXACT, SLICE_LIT("ab"), true, NULL}}, "aB", true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_PREFIX, SLICE_LIT("ab"), false, NULL}}, "abc", true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_SUFFIX, SLICE_LIT("bc"), false, NULL}}, "abc", true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_SUFFIX, SLICE_LIT("BC"), true, NULL}}, "abc", true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_SUFFIX, SLICE_LIT("abcd"), true, NULL}},
         "bcd",
         false},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_CONTAINS, SLICE_LIT("b"), false, NULL}},
         "abc",
         true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_CONTAINS, SLICE_LIT("BC"), true, NULL}},
         "abc",
         true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_CONTAINS, SLICE_LIT("x"), true, NULL}},
         "abc",
         false},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_REGEX, SLICE_LIT("a.c"), false, NULL}}, "abc", true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_REGEX, SLICE_LIT("a.c"), false, NULL}},
         "abcd",
         false},
        /* absent: neither the value nor its inverse */
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_EXACT, SLICE_LIT("a"), false, NULL}}, NULL, false},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_EXACT, SLICE_LIT("a"), false, NULL}, .invert = true},
         NULL,
         false},
        {{.kind = HEADER_MATCH_STRING,
          .string = {STRING_EXACT, SLICE_LIT("a"), false, NULL},
          .invert = true,
          .treat_missing_as_empty = true},
         NULL,
         true},
        {{.kind = HEADER_MATCH_STRING,
          .string = {STRING_EXACT, SLICE_LIT(""), false, NULL},
          .treat_missing_as_empty = true},
         NULL,
         true},
        {{.kind = HEADER_MATCH_STRING, .string = {STRING_EXACT, SLICE_LIT("a"), false, NULL}, .invert = true},
         "b",
         true},
        {{.kind = HEADER_MATCH_RANGE, .range_start = -10, .range_end = 0}, "-1", true},
        {{.kind = HEADER_MATCH_RANGE, .range_start = -10, .range_end = 0}, "0", false},
        {{.kind = HEADER_MATCH_RANGE, .range_start = -10, .range_end = 0}, "-10", true},
        {{.kind = HEADER_MATCH_RANGE, .range_start = -10, .range_end = 0}, "-1x", false},
        {{.kind = HEADER_MATCH_RANGE, .range_start = -10, .range_end = 0}, "", false},
        {{.kind = HEADER_MATCH_RANGE, .range_start = -10, .range_end = 0, .invert = true}, "abc", true},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct build_errors errors = {collect, NULL, 0};
        cases[i].m.name = SLICE_LIT("X-Test");
        assert_true(header_matcher_finish(&cases[i].m, &table->arena, "p", &errors));
        request("h", "/");
        if (cases[i].value)
            header_map_add(&headers, SLICE_LIT("x-test"), slice_str(cases[i].value));
        if (header_matcher_match(&cases[i].m, &headers) != cases[i].hit)
            print_error("case %zu\n", i);
        assert_int_equal(header_matcher_match(&cases[i].m, &headers), cases[i].hit);
        header_matcher_fini(&cases[i].m);
    }
}

static void one_of_several_header_values_is_enough(void **state)
{
    struct build_errors errors = {collect, NULL, 0};
    struct header_matcher m = {.name = SLICE_LIT("a"),
                               .kind = HEADER_MATCH_STRING,
                               .string = {STRING_EXACT, SLICE_LIT("2"), false, NULL}};
    struct header_matcher joined = {.name = SLICE_LIT("a"),
                                    .kind = HEADER_MATCH_STRING,
                                    .string = {STRING_EXACT, SLICE_LIT("1,2"), false, NULL}};
    struct header_matcher host = {.name = SLICE_LIT("Host"),
                                  .kind = HEADER_MATCH_STRING,
                                  .string = {STRING_EXACT, SLICE_LIT("h"), false, NULL}};
    struct header_matcher bad = {.name = SLICE_LIT("a b")};
    (void)state;
    assert_true(header_matcher_finish(&m, &table->arena, "p", &errors));
    assert_true(header_matcher_finish(&joined, &table->arena, "p", &errors));
    assert_true(header_matcher_finish(&host, &table->arena, "p", &errors));
    assert_false(header_matcher_finish(&bad, &table->arena, "p", &errors));
    request("h", "/");
    header_map_add(&headers, SLICE_LIT("a"), SLICE_LIT("1"));
    header_map_add(&headers, SLICE_LIT("a"), SLICE_LIT("2"));
    assert_true(header_matcher_match(&m, &headers));
    assert_false(header_matcher_match(&joined, &headers));
    m.invert = true; /* none of them may match */
    assert_false(header_matcher_match(&m, &headers));
    assert_true(header_matcher_match(&host, &headers)); /* means :authority */
}

static void query_parameters(void **state)
{
    static const struct {
        const char *query;
        bool present, exact, absent;
    } cases[] = {
        {"/", false, false, true},      {"/?a", true, false, false},      {"/?a=", true, false, false},
        {"/?a=1", true, true, false},   {"/?b=2&a=1", true, true, false}, {"/?a=2&a=1", true, false, false},
        {"/?aa=1", false, false, true}, {"/?x=a", false, false, true},    {"/?a=1#a=2", true, true, false},
        {"/#?a=1", false, false, true}, {"/?&&a=1&", true, true, false},
    };
    struct query_matcher present = {.name = SLICE_LIT("a"), .kind = QUERY_MATCH_PRESENT, .present = true};
    struct query_matcher absent = {.name = SLICE_LIT("a"), .kind = QUERY_MATCH_PRESENT, .present = false};
    struct query_matcher exact = {.name = SLICE_LIT("a"),
                                  .kind = QUERY_MATCH_STRING,
                                  .string = {STRING_EXACT, SLICE_LIT("1"), false, NULL}};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct slice query = path_query(slice_str(cases[i].query));
        assert_int_equal(query_matcher_match(&present, query), cases[i].present);
        assert_int_equal(query_matcher_match(&exact, query), cases[i].exact);
        assert_int_equal(query_matcher_match(&absent, query), cases[i].absent);
    }
}

static void grpc_only(void **state)
{
    (void)state;
    make_hosts(one_host, 1, 2);
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"))->match.grpc = true;
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    finish_ok();
    static const struct {
        const char *type;
        int route;
    } cases[] = {{"application/grpc", 0},
                 {"application/grpc+proto", 0},
                 {"application/grpc-web", 1},
                 {"application/json", 1}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        request("h", "/");
        header_map_add(&headers, SLICE_LIT("content-type"), slice_str(cases[i].type));
        assert_int_equal(match()->index, cases[i].route);
    }
}

static void weighted_clusters(void **state)
{
    unsigned counts[3] = {0};
    (void)state;
    make_hosts(one_host, 1, 1);
    struct route_action *a = &add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"))->action;
    a->cluster_kind = ROUTE_CLUSTER_WEIGHTED;
    a->weighted = ARENA_NEW_N(&table->arena, struct weighted_cluster, 3);
    a->weighted_count = 3;
    a->weighted[0] = (struct weighted_cluster){.name = SLICE_LIT("a"), .weight = 1};
    a->weighted[1] = (struct weighted_cluster){.name = SLICE_LIT("b"), .weight = 0};
    a->weighted[2] = (struct weighted_cluster){.cluster_header = SLICE_LIT("x-c"), .weight = 3};
    finish_ok();
    request("h", "/");
    for (uint64_t random = 0; random < 400; random++) {
        struct route_result result = route_table_match(table, &headers, NULL, random);
        counts[result.weighted - a->weighted]++;
    }
    assert_int_equal(counts[0], 100);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[2], 300);
    assert_null(route_cluster(table->virtual_hosts->routes, &a->weighted[2], &headers).name.ptr);
    header_map_add(&headers, SLICE_LIT("x-c"), SLICE_LIT("zz"));
    struct cluster_ref ref = route_cluster(table->virtual_hosts->routes, &a->weighted[2], &headers);
    assert_true(slice_eq(ref.name, SLICE_LIT("zz")));
    assert_true(ref.hash == slice_hash(ref.name));
}

static void tls_required(void **state)
{
    (void)state;
    make_hosts(one_host, 1, 1);
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    table->virtual_hosts->require_tls = REQUIRE_TLS_EXTERNAL_ONLY;
    finish_ok();
    request("a.com:80", "/p?q=1");
    const struct route *r = match();
    assert_int_equal(r->kind, ROUTE_REDIRECT);
    assert_int_equal(r->redirect.status, 301);
    assert_true(slice_eq(route_redirect_location(r, &headers, &arena), SLICE_LIT("https://a.com/p?q=1")));
    header_map_add(&headers, SLICE_LIT("x-envoy-internal"), SLICE_LIT("true"));
    assert_int_equal(match()->kind, ROUTE_FORWARD);
    request("a", "/");
    header_map_set(&headers, SLICE_LIT("x-forwarded-proto"), SLICE_LIT("https"));
    assert_int_equal(match()->kind, ROUTE_FORWARD);
}

static void redirects(void **state)
{
    static const struct {
        struct redirect_action action;
        const char *host, *path, *location;
    } cases[] = {
        {{.scheme_kind = REDIRECT_SCHEME_HTTPS}, "a.com", "/x?y=1", "https://a.com/x?y=1"},
        {{.scheme_kind = REDIRECT_SCHEME_HTTPS}, "a.com:80", "/x", "https://a.com/x"},
        {{.scheme_kind = REDIRECT_SCHEME_HTTPS}, "a.com:8080", "/x", "https://a.com:8080/x"},
        {{.scheme_kind = REDIRECT_SCHEME_HTTPS, .port = 8443}, "a.com:8080", "/x", "https://a.com:8443/x"},
        {{.scheme_kind = REDIRECT_SCHEME_HTTPS}, "[::1]:80", "/x", "https://[::1]/x"},
        {{.scheme_kind = REDIRECT_SCHEME_HTTPS}, "[::1]", "/x", "https://[::1]/x"},
        {{.scheme_kind = REDIRECT_SCHEME_LITERAL, .scheme = SLICE_LIT("ws")}, "a", "/x", "ws://a/x"},
        {{.host = SLICE_LIT("b.org")}, "a.com:81", "/x", "http://b.org/x"},
        {{.path = SLICE_LIT("/new")}, "a", "/x?y=1", "http://a/new?y=1"},
        {{.path = SLICE_LIT("/new?z=2")}, "a", "/x?y=1", "http://a/new?z=2"},
        {{.path = SLICE_LIT("/new"), .strip_query = true}, "a", "/x?y=1", "http://a/new"},
        {{.strip_query = true}, "a", "/x?y=1", "http://a/x"},
        {{.prefix_rewrite = SLICE_LIT("/n/")}, "a", "/x/q?y=1", "http://a/n//q?y=1"},
        {{.regex_rewrite = {SLICE_LIT("^/x/(\\d+)"), SLICE_LIT("/y/\\1"), NULL}},
         "a",
         "/x/12?y=1",
         "http://a/y/12?y=1"},
    };
    (void)state;
    make_hosts(one_host, 1, WEIR_ARRAY_LEN(cases));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct route *r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/x"));
        r->kind = ROUTE_REDIRECT;
        r->redirect = cases[i].action;
    }
    finish_ok();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        request(cases[i].host, cases[i].path);
        struct slice got = route_redirect_location(&table->virtual_hosts->routes[i], &headers, &arena);
        if (!slice_eq(got, slice_str(cases[i].location)))
            print_error("%zu: " SLICE_FMT "\n", i, SLICE_ARG(got));
        assert_true(slice_eq(got, slice_str(cases[i].location)));
    }
}

static void assert_header(const char *name, const char *value)
{
    const struct header *h = header_map_find(&headers, slice_str(name));
    if (!value) {
        assert_null(h);
        return;
    }
    assert_non_null(h);
    if (!slice_eq(h->value, slice_str(value)))
        print_error("%s: " SLICE_FMT "\n", name, SLICE_ARG(h->value));
    assert_true(slice_eq(h->value, slice_str(value)));
}

static void finalize(const struct route *r)
{
    route_finalize_request(r, NULL, &headers, NULL, true);
}

static void rewriting(void **state)
{
    (void)state;
    make_hosts(one_host, 1, 6);
    struct route *prefix = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/a/"));
    prefix->action.prefix_rewrite = SLICE_LIT("/b/");
    prefix->action.host_rewrite = HOST_REWRITE_LITERAL;
    prefix->action.host_rewrite_value = SLICE_LIT("new");
    prefix->action.append_x_forwarded_host = true;
    struct route *exact = add(0, PATH_MATCH_EXACT, SLICE_LIT("/e"));
    exact->action.prefix_rewrite = SLICE_LIT("/");
    exact->action.host_rewrite = HOST_REWRITE_HEADER;
    exact->action.host_rewrite_value = SLICE_LIT("x-host");
    struct route *regex = add(0, PATH_MATCH_REGEX, SLICE_LIT("/r/.*"));
    regex->action.regex_rewrite = (struct regex_rewrite){SLICE_LIT("/r/(.)"), SLICE_LIT("/\\1/"), NULL};
    regex->action.host_rewrite = HOST_REWRITE_PATH_REGEX;
    regex->action.host_rewrite_regex =
        (struct regex_rewrite){SLICE_LIT("^/r/(.+)$"), SLICE_LIT("\\1.local"), NULL};
    struct route *automatic = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/auto"));
    automatic->action.host_rewrite = HOST_REWRITE_AUTO;
    finish_ok();

    request("old", "/a/x?q=1");
    header_map_add(&headers, SLICE_LIT("x-forwarded-host"), SLICE_LIT("first"));
    finalize(prefix);
    assert_header(":path", "/b/x?q=1");
    assert_header("x-envoy-original-path", "/a/x?q=1");
    assert_header(":authority", "new");
    assert_header("x-envoy-original-host", "old");
    assert_header("x-forwarded-host", "first,old");

    request("old", "/a/");
    header_map_add(&headers, SLICE_LIT("x-forwarded-host"), SLICE_LIT("first,old"));
    finalize(prefix);
    assert_header("x-forwarded-host", "first,old"); /* it ends with the host already */

    request("old", "/e?z");
    finalize(exact);
    assert_header(":path", "/?z");
    assert_header(":authority", "old");
    header_map_add(&headers, SLICE_LIT("x-host"), SLICE_LIT("fromheader"));
    header_map_set(&headers, SLICE_LIT(":path"), SLICE_LIT("/e"));
    finalize(exact);
    assert_header(":authority", "fromheader");

    request("old", "/r/svc?x");
    finalize(regex);
    assert_header(":path", "/s/vc?x");
    assert_header(":authority", "svc.local");

    request("old", "/auto");
    finalize(automatic);
    assert_header(":authority", "old");
    route_rewrite_auto_host(automatic, &headers, SLICE_LIT("dns.name"), true);
    assert_header(":authority", "dns.name");
    route_rewrite_auto_host(automatic, &headers, SLICE_LIT(""), true);
    assert_header(":authority", "dns.name");

    /* A filter has made the path shorter than what was matched: nothing is read behind it. */
    request("old", "/");
    finalize(prefix);
    assert_header(":path", "/b/");
}

static struct header_mutation mutation(struct header_add *adds, uint32_t count)
{
    struct header_add *copy = ARENA_NEW_N(&table->arena, struct header_add, count);
    memcpy(copy, adds, count * sizeof(*adds));
    return (struct header_mutation){.add = copy, .add_count = count};
}

static void four_levels(bool most_specific_wins, const char *winner)
{
    make_hosts(one_host, 1, 1);
    table->most_specific_header_mutations_wins = most_specific_wins;
    struct route *r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    r->action.cluster_kind = ROUTE_CLUSTER_WEIGHTED;
    r->action.weighted = ARENA_NEW(&table->arena, struct weighted_cluster);
    r->action.weighted_count = 1;
    r->action.weighted->name = SLICE_LIT("c");
    r->action.weighted->weight = 1;
    struct header_mutation *levels[] = {&r->action.weighted->request_headers, &r->request_headers,
                                        &table->virtual_hosts->request_headers, &table->request_headers};
    static const char *const names[] = {"weighted", "route", "vhost", "table"};
    for (size_t i = 0; i < 4; i++) {
        struct header_add adds[] = {
            {.name = SLICE_LIT("x-set"), .value = slice_str(names[i]), .action = HEADER_OVERWRITE_OR_ADD},
            {.name = SLICE_LIT("x-all"), .value = slice_str(names[i])},
        };
        *levels[i] = mutation(adds, 2);
    }
    finish_ok();
    request("h", "/");
    route_finalize_request(r, r->action.weighted, &headers, NULL, true);
    assert_header("x-set", winner);
    const struct header *first = header_map_find(&headers, SLICE_LIT("x-all"));
    assert_true(slice_eq(first->value, SLICE_LIT("weighted")));
    unsigned count = 0;
    for (const struct header *h = first; h; h = header_map_find_next(&headers, SLICE_LIT("x-all"), h))
        count++;
    assert_int_equal(count, 4);
}

static void least_specific_level_wins(void **state)
{
    (void)state;
    four_levels(false, "table");
}

static void most_specific_level_wins(void **state)
{
    (void)state;
    four_levels(true, "route"); /* the weighted cluster is always the first */
}

static void append_actions(void **state)
{
    struct header_add adds[] = {
        {.name = SLICE_LIT("A"), .value = SLICE_LIT("new"), .action = HEADER_APPEND_OR_ADD},
        {.name = SLICE_LIT("b"), .value = SLICE_LIT("new"), .action = HEADER_ADD_IF_ABSENT},
        {.name = SLICE_LIT("b2"), .value = SLICE_LIT("new"), .action = HEADER_ADD_IF_ABSENT},
        {.name = SLICE_LIT("c"), .value = SLICE_LIT("new"), .action = HEADER_OVERWRITE_OR_ADD},
        {.name = SLICE_LIT("c2"), .value = SLICE_LIT("new"), .action = HEADER_OVERWRITE_OR_ADD},
        {.name = SLICE_LIT("d"), .value = SLICE_LIT("new"), .action = HEADER_OVERWRITE_IF_EXISTS},
        {.name = SLICE_LIT("d2"), .value = SLICE_LIT("new"), .action = HEADER_OVERWRITE_IF_EXISTS},
        {.name = SLICE_LIT("e"), .value = SLICE_LIT("")},
        {.name = SLICE_LIT("e2"), .value = SLICE_LIT(""), .keep_empty = true},
        {.name = SLICE_LIT("p"), .value = SLICE_LIT("100%%")},
        {.name = SLICE_LIT("gone"), .value = SLICE_LIT("back")},
    };
    struct slice remove[] = {SLICE_LIT("Gone")};
    struct build_errors errors = {collect, NULL, 0};
    (void)state;
    struct header_mutation m = mutation(adds, WEIR_ARRAY_LEN(adds));
    m.remove = remove;
    m.remove_count = 1;
    assert_true(header_mutation_finish(&m, &table->arena, "add", "remove", &errors));
    request("h", "/");
    static const char *const old[] = {"a", "b", "c", "d", "gone"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(old); i++)
        header_map_add(&headers, slice_str(old[i]), SLICE_LIT("old"));
    header_mutation_apply(&m, &headers, NULL);
    assert_header("a", "old");
    assert_non_null(
        header_map_find_next(&headers, SLICE_LIT("a"), header_map_find(&headers, SLICE_LIT("a"))));
    assert_header("b", "old");
    assert_header("b2", "new");
    assert_header("c", "new");
    assert_header("c2", "new");
    assert_header("d", "new");
    assert_header("d2", NULL);
    assert_header("e", NULL);
    assert_header("e2", "");
    assert_header("p", "100%");
    assert_header("gone", "back");
}

static void refused_mutations(void **state)
{
    struct header_add adds[] = {
        {.name = SLICE_LIT(":path"), .value = SLICE_LIT("x")},
        {.name = SLICE_LIT("Host"), .value = SLICE_LIT("x")},
        {.name = SLICE_LIT("a b"), .value = SLICE_LIT("x")},
        {.name = SLICE_LIT("a"), .value = SLICE_LIT("x\ny")},
        {.name = SLICE_LIT("a"), .value = SLICE_LIT("%X")},
    };
    struct slice remove[] = {SLICE_LIT(":status"), SLICE_LIT("host")};
    struct build_errors errors = {collect, NULL, 0};
    (void)state;
    struct header_mutation m = mutation(adds, WEIR_ARRAY_LEN(adds));
    m.remove = remove;
    m.remove_count = 2;
    assert_false(header_mutation_finish(&m, &table->arena, "add", "remove", &errors));
    assert_int_equal(errors.count, 7);
    assert_non_null(strstr(problems, "add[0]: :-prefixed or host headers may not be modified"));
    assert_non_null(strstr(problems, "remove[1]: :-prefixed or host headers may not be removed"));
}

static void finish_names_every_problem(void **state)
{
    (void)state;
    make_hosts(one_host, 1, 12);
    add(0, PATH_MATCH_REGEX, SLICE_LIT("(")); /* 0 */
    add(0, PATH_MATCH_SEPARATED_PREFIX, SLICE_LIT("/a/"));
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"))->action.cluster = SLICE_EMPTY;
    struct route *r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/")); /* 3 */
    r->action.prefix_rewrite = SLICE_LIT("/x");
    r->action.regex_rewrite = (struct regex_rewrite){SLICE_LIT("a"), SLICE_LIT("\\1"), NULL};
    r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/")); /* 4 */
    r->kind = ROUTE_DIRECT_RESPONSE;
    r->response.status = 99;
    char *big = arena_alloc_text(&table->arena, 5000);
    memset(big, 'x', 5000);
    r->response.body = slice_of(big, 5000);
    r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/")); /* 5 */
    r->kind = ROUTE_REDIRECT;
    r->redirect.status = 300;
    r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/")); /* 6 */
    r->action.cluster_kind = ROUTE_CLUSTER_WEIGHTED;
    add(0, PATH_MATCH_TEMPLATE, SLICE_LIT("/a*b"));     /* 7 */
    r = add(0, PATH_MATCH_TEMPLATE, SLICE_LIT("/{a}")); /* 8 */
    r->action.template_rewrite = SLICE_LIT("/{b}");
    char *dots = arena_alloc_text(&table->arena, 40000);
    memset(dots, '.', 40000);
    dots[0] = '/';
    add(0, PATH_MATCH_TEMPLATE, slice_of(dots, 40000)); /* 9 */
    assert_false(finish());
    static const char *const expected[] = {
        "virtual_hosts[0].routes[0].match.safe_regex: ",
        "virtual_hosts[0].routes[1].match.path_separated_prefix: ",
        "virtual_hosts[0].routes[2].route.cluster: must not be empty",
        "virtual_hosts[0].routes[3].route.regex_rewrite: group \\1 is not in the pattern",
        "virtual_hosts[0].routes[3].route.regex_rewrite: cannot be combined",
        "virtual_hosts[0].routes[4].direct_response.status: ",
        "virtual_hosts[0].routes[4].direct_response.body: response body size is 5000 bytes; maximum is 4096",
        "virtual_hosts[0].routes[5].redirect.response_code: ",
        "virtual_hosts[0].routes[6].route.weighted_clusters: ",
        "virtual_hosts[0].routes[7].match.path_match_policy: a * stands alone",
        "virtual_hosts[0].routes[8].route.path_rewrite_policy: names a variable that",
        "virtual_hosts[0].routes[9].match.path_match_policy: is too long",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(expected); i++) {
        if (!strstr(problems, expected[i]))
            print_error("missing: %s\nin\n%s", expected[i], problems);
        assert_non_null(strstr(problems, expected[i]));
    }
}

static unsigned destroyed;

static void count_destroy(void *config)
{
    (void)config;
    destroyed++;
}

static void overrides_and_references(void **state)
{
    (void)state;
    make_hosts(one_host, 1, 2);
    struct route *r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/a"));
    add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    struct filter_override on_route = {
        .filter_name = SLICE_LIT("f"), .disabled = true, .config = &arena, .destroy = count_destroy};
    struct filter_override on_table = {
        .filter_name = SLICE_LIT("f"), .config = &headers, .destroy = count_destroy};
    r->overrides = (struct filter_overrides){&on_route, 1};
    table->overrides = (struct filter_overrides){&on_table, 1};
    finish_ok();
    const struct route *second = &table->virtual_hosts->routes[1];
    assert_ptr_equal(route_filter_override(r, NULL, SLICE_LIT("f")), &on_route);
    assert_ptr_equal(route_filter_override(second, NULL, SLICE_LIT("f")), &on_table);
    assert_null(route_filter_override(second, NULL, SLICE_LIT("g")));
    assert_null(route_filter_override(NULL, NULL, SLICE_LIT("f")));
    const struct route_table *extra = route_table_ref(table);
    destroyed = 0;
    route_table_unref(&extra);
    assert_int_equal(destroyed, 0);
    extra = table;
    route_table_unref(&extra);
    assert_int_equal(destroyed, 2);
    table = route_table_create(); /* for the teardown */
}

/* --- statistics --- */

static void condition(struct virtual_cluster *c, uint32_t i, const char *name, const char *value)
{
    c->headers[i] = (struct header_matcher){
        .name = slice_str(name),
        .kind = HEADER_MATCH_STRING,
        .string = {.kind = STRING_EXACT, .value = slice_str(value)},
    };
}

static void make_virtual_clusters(struct virtual_host *vh)
{
    struct virtual_clusters *v = &vh->virtual_clusters;
    v->count = 2;
    v->items = ARENA_NEW_N(&table->arena, struct virtual_cluster, 2);
    for (uint32_t i = 0; i < 2; i++) {
        v->items[i].name = i == 0 ? SLICE_LIT("both") : SLICE_LIT("one");
        v->items[i].headers = ARENA_NEW_N(&table->arena, struct header_matcher, 2);
        v->items[i].headers_count = 2 - i;
        condition(&v->items[i], 0, ":method", "GET");
        condition(&v->items[i], 1, ":path", "/a");
    }
}

static void first_virtual_cluster_that_matches(void **state)
{
    (void)state;
    make_hosts((const char *const[]){"h", "none"}, 2, 2);
    make_virtual_clusters(&table->virtual_hosts[0]);
    struct route *plain = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    struct route *other = add(1, PATH_MATCH_EXACT, SLICE_LIT("/p"));
    struct route *uncounted = add(1, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    other->stat_prefix = SLICE_LIT("p");
    finish_ok();
    const struct virtual_clusters *v = &table->virtual_hosts[0].virtual_clusters;
    request("h", "/a");
    assert_ptr_equal(virtual_clusters_find(v, &headers), &v->items[0]);
    request("h", "/b");
    assert_ptr_equal(virtual_clusters_find(v, &headers), &v->items[1]);
    header_map_set_id(&headers, HDR_METHOD, SLICE_LIT("PUT"));
    assert_ptr_equal(virtual_clusters_find(v, &headers), &v->other);
    assert_null(virtual_clusters_find(&table->virtual_hosts[1].virtual_clusters, &headers));
    assert_true(plain->counted && !plain->stats);
    assert_true(other->counted && other->stats);
    assert_true(!uncounted->counted && !uncounted->stats);
}

static void counts_by_name(void **state)
{
    (void)state;
    struct request_scopes scopes = {{NULL}};
    make_hosts((const char *const[]){"h.com"}, 1, 1);
    make_virtual_clusters(&table->virtual_hosts[0]);
    struct route *r = add(0, PATH_MATCH_PREFIX, SLICE_LIT("/"));
    r->stat_prefix = SLICE_LIT("p");
    finish_ok();
    request_scopes_answer(&scopes, 200); /* none: nothing happens */
    request_scopes_add(&scopes, table->virtual_hosts[0].virtual_clusters.other.stats);
    request_scopes_answer(&scopes, 404);
    request_scopes_add(&scopes, r->stats);
    request_scopes_answer(&scopes, 404);
    request_scopes_answer(&scopes, 99);
    request_scopes_answer(&scopes, 600);
    request_scopes_time(&scopes, 7);
    REQUEST_SCOPES_INC(&scopes, upstream_rq_retry);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.vcluster.other.upstream_rq_404")), 2);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.vcluster.other.upstream_rq_4xx")), 2);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.route.p.upstream_rq_404")), 1);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.route.p.upstream_rq_completed")), 1);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.route.p.upstream_rq_retry")), 1);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.vcluster.other.upstream_rq_retry")), 1);
    assert_int_equal(stat_value(stat_counter("vhost.h.com.vcluster.one.upstream_rq_completed")), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(domains_twice),
        T(finish_names_every_problem),
        T(refused_mutations),
        T(domains),
        T(domains_without_port),
        T(paths),
        T(connect_needs_its_matcher),
        T(index_keeps_the_order),
        T(header_matchers),
        T(one_of_several_header_values_is_enough),
        T(query_parameters),
        T(grpc_only),
        T(weighted_clusters),
        T(tls_required),
        T(redirects),
        T(rewriting),
        T(least_specific_level_wins),
        T(most_specific_level_wins),
        T(append_actions),
        T(overrides_and_references),
        T(first_virtual_cluster_that_matches),
        T(counts_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
