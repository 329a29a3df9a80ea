/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers on values, on metadata of listener filters, on filter state and on TLS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "net/tls_info.h"
#include "proxy/connection_facts.h"
#include "proxy/routing/state_matcher.h"
#include "proxy/stream.h"

static struct value_matcher is_text(const char *text)
{
    return (struct value_matcher){.kind = VALUE_MATCH_STRING,
                                  .string = {.kind = STRING_EXACT, .value = slice_str(text)}};
}

static void values(void **state)
{
    struct value_matcher x = is_text("x"), either[] = {x, {.kind = VALUE_MATCH_BOOL, .boolean = true}};
    const struct typed_value text = {.kind = TYPED_STRING, .bytes = {"x", 1}}, none = {.kind = TYPED_NULL},
                             yes = {.kind = TYPED_BOOL, .boolean = true},
                             number = {.kind = TYPED_DOUBLE, .d = 2.5}, whole = {.kind = TYPED_INT, .i = 3};
    const struct typed_member members[] = {{{NULL, 0}, none}, {{NULL, 0}, text}};
    const struct typed_value list = {.kind = TYPED_LIST, .members = members, .members_count = 2},
                             map = {.kind = TYPED_MAP};
    const struct {
        struct value_matcher m;
        const struct typed_value *v;
        bool hit;
    } cases[] = {
        {x, &text, true},
        {x, &yes, false},
        {x, &list, false},
        {x, NULL, false},
        {{.kind = VALUE_MATCH_NULL}, &none, true},
        {{.kind = VALUE_MATCH_NULL}, NULL, false},
        {{.kind = VALUE_MATCH_BOOL, .boolean = true}, &yes, true},
        {{.kind = VALUE_MATCH_BOOL}, &yes, false},
        {{.kind = VALUE_MATCH_DOUBLE, .start = 2.5}, &number, true},
        {{.kind = VALUE_MATCH_DOUBLE, .start = 3}, &whole, true},
        {{.kind = VALUE_MATCH_DOUBLE, .start = 3}, &text, false},
        {{.kind = VALUE_MATCH_RANGE, .start = 2.5, .end = 3}, &number, true},
        {{.kind = VALUE_MATCH_RANGE, .start = 2.5, .end = 3}, &whole, false},
        {{.kind = VALUE_MATCH_PRESENT, .boolean = true}, &map, true},
        {{.kind = VALUE_MATCH_PRESENT, .boolean = true}, NULL, false},
        {{.kind = VALUE_MATCH_PRESENT}, NULL, false},
        {{.kind = VALUE_MATCH_PRESENT}, &map, false},
        {{.kind = VALUE_MATCH_LIST, .items = &x, .items_count = 1}, &list, true},
        {{.kind = VALUE_MATCH_LIST, .items = &x, .items_count = 1}, &text, false},
        {{.kind = VALUE_MATCH_OR, .items = either, .items_count = 2}, &yes, true},
        {{.kind = VALUE_MATCH_OR, .items = either, .items_count = 2}, &number, false},
        {{.kind = VALUE_MATCH_OR, .items = either, .items_count = 2}, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        if (value_matcher_match(&cases[i].m, cases[i].v) != cases[i].hit)
            print_error("case %zu\n", i);
        assert_int_equal(value_matcher_match(&cases[i].m, cases[i].v), cases[i].hit);
    }
}

static void of_a_stream(void **state)
{
    struct address peer = {0};
    struct connection_facts *facts = connection_facts_create(&peer);
    struct arena arena;
    struct stream s = {.info = {.facts = facts}};
    struct slice path[] = {SLICE_LIT("tlv")};
    struct metadata_matcher metadata = {
        .space = SLICE_LIT("proxy"), .path = path, .path_count = 1, .value = is_text("v")};
    struct filter_state_matcher kept = {.key = SLICE_LIT("k"),
                                        .string = {STRING_PREFIX, SLICE_LIT("ab"), false, NULL}};
    struct state_matcher m = {.metadata = &metadata, .metadata_count = 1};
    struct tls_info tls = {.peer_presented = true};
    (void)state;
    arena_init(&arena, 1 << 16, NULL);
    s.filter_state.arena = &arena;
    assert_false(state_matcher_match(&m, &s));
    assert_false(state_matcher_match(&m, NULL));
    assert_true(connection_facts_put_metadata(facts, SLICE_LIT("proxy"), SLICE_LIT("tlv"), SLICE_LIT("v"),
                                              SLICE_LIT("v")));
    assert_true(state_matcher_match(&m, &s));
    metadata.invert = true;
    assert_false(state_matcher_match(&m, &s));
    assert_true(state_matcher_match(&m, NULL));
    m = (struct state_matcher){.filter_state = &kept, .filter_state_count = 1};
    assert_false(state_matcher_match(&m, &s));
    filter_state_set(&s.filter_state, SLICE_LIT("k"), SLICE_LIT("abc"), NULL);
    assert_true(state_matcher_match(&m, &s));
    filter_state_set(&s.filter_state, SLICE_LIT("k"), SLICE_LIT("ba"), NULL);
    assert_false(state_matcher_match(&m, &s));
    m = (struct state_matcher){.presented = TLS_EXPECT_YES};
    assert_false(state_matcher_match(&m, &s));
    s.info.tls = &tls;
    assert_true(state_matcher_match(&m, &s));
    m.validated = TLS_EXPECT_NO;
    assert_true(state_matcher_match(&m, &s));
    m.validated = TLS_EXPECT_YES;
    assert_false(state_matcher_match(&m, &s));
    connection_facts_unref(&facts);
    arena_fini(&arena);
}

/* What a pass through the filters leaves behind when the request goes through others. */
static void end_of_a_pass(void **state)
{
    static const struct filter_state_prototype request = {.span = FILTER_STATE_REQUEST};
    struct arena arena;
    (void)state;
    arena_init(&arena, 1 << 16, NULL);
    struct filter_state connection = {.arena = &arena}, fs = {.arena = &arena, .parent = &connection};
    filter_state_set(&connection, SLICE_LIT("c"), SLICE_LIT("1"), NULL);
    filter_state_set(&fs, SLICE_LIT("a"), SLICE_LIT("1"), NULL);
    filter_state_set(&fs, SLICE_LIT("b"), SLICE_LIT("1"), &request);
    filter_state_set(&fs, SLICE_LIT("d"), SLICE_LIT("1"), NULL);
    filter_state_end_pass(&fs);
    assert_null(filter_state_get(&fs, SLICE_LIT("a")));
    assert_non_null(filter_state_get(&fs, SLICE_LIT("b")));
    assert_non_null(filter_state_get(&fs, SLICE_LIT("c")));
    assert_null(filter_state_get(&fs, SLICE_LIT("d")));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(of_a_stream),
        cmocka_unit_test(end_of_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
