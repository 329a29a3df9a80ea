/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules of access control say of a request and of a connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filters/rbac/rbac_rules.h"
#include "proxy/routing/route_config.h"
#include "proxy/stream.h"

#define POLICIES 3000u
#define DEPTH    90u

static const struct rbac_rule any = {.kind = RBAC_ANY};

struct request {
    struct stream stream;
    struct arena arena;
    struct header_map headers;
    struct route_table table;
};

static void begin(struct request *r, size_t arena_bytes, const char *path)
{
    *r = (struct request){.stream.route_table = &r->table};
    arena_init(&r->arena, arena_bytes, NULL);
    header_map_init(&r->headers, &r->arena, 100, 1 << 20);
    assert_int_equal(header_map_add(&r->headers, SLICE_LIT(":path"), slice_str(path)), HEADER_OK);
}

static void end(struct request *r)
{
    arena_fini(&r->arena);
}

static struct rbac_policy policy(const char *name, const struct rbac_rule *permission)
{
    const struct rbac_rule all = {
        .kind = RBAC_OR, .items = (struct rbac_rule *)(uintptr_t)&any, .items_count = 1};
    return (struct rbac_policy){
        .name = slice_str(name),
        .permissions = {.kind = RBAC_OR,
                        .items = (struct rbac_rule *)(uintptr_t)permission,
                        .items_count = 1},
        .principals = all,
    };
}

static bool allowed(enum rbac_action action, const struct rbac_rule *permission, struct request *r,
                    const struct header_map *headers)
{
    struct rbac_policy p = policy("p", permission);
    const struct rbac_rules rules = {.action = action, .policies = &p, .policies_count = 1};
    return rbac_rules_ask(&rules, &r->stream, headers).allowed;
}

static void actions(void **state)
{
    (void)state;
    struct request r;
    const struct rbac_rule none = {.kind = RBAC_OR};
    begin(&r, 1 << 16, "/");
    assert_true(allowed(RBAC_ALLOW, &any, &r, &r.headers));
    assert_false(allowed(RBAC_DENY, &any, &r, &r.headers));
    assert_true(allowed(RBAC_LOG, &any, &r, &r.headers));
    assert_false(allowed(RBAC_ALLOW, &none, &r, &r.headers));
    assert_true(allowed(RBAC_DENY, &none, &r, &r.headers));
    assert_true(allowed(RBAC_LOG, &none, &r, &r.headers));
    end(&r);
}

/* What a connection does not have matches nothing, and its opposite matches. */
static void a_connection(void **state)
{
    (void)state;
    struct request r;
    struct string_matcher root = {.kind = STRING_EXACT, .value = {"/", 1}};
    struct header_matcher header = {.name = {"x", 1}, .kind = HEADER_MATCH_PRESENT, .present = false};
    struct rbac_rule path = {.kind = RBAC_PATH, .text = &root},
                     fields = {.kind = RBAC_HEADER, .header = &header},
                     ports = {.kind = RBAC_DESTINATION_PORTS, .from = 0, .to = 65536};
    struct rbac_rule rules[] = {
        path, fields, ports, {.kind = RBAC_AUTHENTICATED}, {.kind = RBAC_MTLS},
    };
    begin(&r, 1 << 16, "/");
    assert_true(allowed(RBAC_ALLOW, &path, &r, &r.headers));
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        const struct rbac_rule opposite = {.kind = RBAC_NOT, .items = &rules[i], .items_count = 1};
        assert_false(allowed(RBAC_ALLOW, &rules[i], &r, NULL));
        assert_true(allowed(RBAC_ALLOW, &opposite, &r, NULL));
    }
    end(&r);
}

/* A path that cannot be had without its parameters must not slip past a rule that denies it. */
static void no_memory_for_the_path(void **state)
{
    (void)state;
    struct request r;
    struct string_matcher secret = {.kind = STRING_EXACT, .value = {"/secret", 7}};
    const struct rbac_rule path = {.kind = RBAC_PATH, .text = &secret};
    const struct rbac_rule other = {
        .kind = RBAC_NOT, .items = (struct rbac_rule *)(uintptr_t)&path, .items_count = 1};
    begin(&r, 1 << 16, "/secret;a=b");
    assert_true(allowed(RBAC_DENY, &path, &r, &r.headers));
    r.table.ignore_path_parameters = true;
    assert_false(allowed(RBAC_DENY, &path, &r, &r.headers));
    assert_true(allowed(RBAC_ALLOW, &path, &r, &r.headers));
    while (arena_alloc_text(&r.arena, 1))
        ;
    assert_false(allowed(RBAC_DENY, &path, &r, &r.headers));
    assert_false(allowed(RBAC_ALLOW, &path, &r, &r.headers));
    assert_false(allowed(RBAC_ALLOW, &other, &r, &r.headers));
    assert_true(allowed(RBAC_LOG, &path, &r, &r.headers));
    end(&r);
}

/* The first that matches is named; asking takes no memory, however many and however deep the rules are. */
static void many_and_deep(void **state)
{
    (void)state;
    static struct rbac_policy policies[POLICIES];
    static struct rbac_rule nested[DEPTH];
    struct request r;
    struct string_matcher last = {.kind = STRING_EXACT, .value = {"/last", 5}},
                          prefix = {.kind = STRING_PREFIX, .value = {"/l", 2}};
    const struct rbac_rule no = {.kind = RBAC_OR}, path = {.kind = RBAC_PATH, .text = &last};
    nested[DEPTH - 1] = (struct rbac_rule){.kind = RBAC_PATH, .text = &prefix};
    for (unsigned i = DEPTH - 1; i-- > 0;)
        nested[i] = (struct rbac_rule){.kind = RBAC_NOT, .items = &nested[i + 1], .items_count = 1};
    for (unsigned i = 0; i < POLICIES; i++)
        policies[i] = policy("no", &no);
    policies[POLICIES - 3] = policy("deep", &nested[1]);
    policies[POLICIES - 2] = policy("flat", &path);
    policies[POLICIES - 1] = policy("late", &path);
    const struct rbac_rules rules = {.policies = policies, .policies_count = POLICIES};
    begin(&r, 1 << 16, "/last?x");
    const char *at = r.arena.cursor;
    assert_string_equal(rbac_rules_ask(&rules, &r.stream, &r.headers).policy->name.ptr, "deep");
    policies[POLICIES - 3] = policy("no", &nested[0]);
    assert_string_equal(rbac_rules_ask(&rules, &r.stream, &r.headers).policy->name.ptr, "flat");
    assert_ptr_equal(r.arena.cursor, at);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions),
        cmocka_unit_test(a_connection),
        cmocka_unit_test(no_memory_for_the_path),
        cmocka_unit_test(many_and_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
