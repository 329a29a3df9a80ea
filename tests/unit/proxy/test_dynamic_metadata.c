/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dynamic metadata of a stream over that of its connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/connection_facts.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/stream_info.h"

static struct typed_member text(const char *name, const char *value)
{
    return (struct typed_member){slice_str(name), {.kind = TYPED_STRING, .bytes = slice_str(value)}};
}

static void assert_field(const struct typed_value *spaces, const char *space, const char *name,
                         const char *value)
{
    const struct typed_value *map = typed_value_member(spaces, slice_str(space));
    const struct typed_value *field = map ? typed_value_member(map, slice_str(name)) : NULL;
    assert_int_equal(field != NULL, value != NULL);
    if (value)
        assert_true(field->kind == TYPED_STRING && slice_eq(field->bytes, slice_str(value)));
}

static void nothing_at_first(void **state)
{
    (void)state;
    struct stream_info info = {0};
    struct arena arena;
    arena_init(&arena, 1 << 16, NULL);
    assert_null(dynamic_metadata(&info));
    const struct typed_member a = text("a", "1");
    assert_true(dynamic_metadata_put(&info, &arena, SLICE_LIT("x"), &a, 1));
    assert_field(dynamic_metadata(&info), "x", "a", "1");
    assert_field(dynamic_metadata(&info), "x", "b", NULL);
    assert_field(dynamic_metadata(&info), "y", "a", NULL);
    arena_fini(&arena);
}

static void over_that_of_the_connection(void **state)
{
    (void)state;
    const struct address nowhere = {.len = 0};
    struct connection_facts *facts = connection_facts_create(&nowhere);
    assert_true(
        connection_facts_put_metadata(facts, SLICE_LIT("x"), SLICE_LIT("a"), SLICE_LIT("1"), SLICE_LIT("1")));
    struct stream_info info = {.facts = facts}, other = {.facts = facts};
    struct arena arena;
    arena_init(&arena, 1 << 16, NULL);
    assert_field(dynamic_metadata(&info), "x", "a", "1");
    const struct typed_member both[] = {text("a", "2"), text("b", "3")};
    assert_true(dynamic_metadata_put(&info, &arena, SLICE_LIT("x"), both, 2));
    assert_true(dynamic_metadata_put(&info, &arena, SLICE_LIT("y"), both, 1));
    assert_field(dynamic_metadata(&info), "x", "a", "2");
    assert_field(dynamic_metadata(&info), "x", "b", "3");
    assert_field(dynamic_metadata(&info), "y", "a", "2");
    assert_field(dynamic_metadata(&other), "x", "a", "1"); /* streams do not see each other */
    assert_field(dynamic_metadata(&other), "x", "b", NULL);
    arena_fini(&arena);
    connection_facts_unref(&facts);
}

/* A filter may say the same again for each piece of a long connection. */
static void again_and_again(void **state)
{
    (void)state;
    struct stream_info info = {0};
    struct arena arena;
    const struct typed_member first[] = {text("a", "1"), text("b", "1")}, more = text("b", "2");
    arena_init(&arena, 1 << 16, NULL);
    assert_true(dynamic_metadata_put(&info, &arena, SLICE_LIT("x"), first, 2));
    const char *at = arena.cursor;
    for (int i = 0; i < 1000; i++)
        assert_true(dynamic_metadata_put(&info, &arena, SLICE_LIT("x"), &more, 1));
    assert_ptr_equal(arena.cursor, at);
    assert_field(dynamic_metadata(&info), "x", "a", "1");
    assert_field(dynamic_metadata(&info), "x", "b", "2");
    arena_fini(&arena);
}

static void no_room(void **state)
{
    (void)state;
    struct stream_info info = {0};
    struct arena arena;
    const struct typed_member a = text("a", "1");
    arena_init(&arena, 8, NULL);
    assert_false(dynamic_metadata_put(&info, &arena, SLICE_LIT("x"), &a, 1));
    assert_null(dynamic_metadata(&info));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_at_first),
        cmocka_unit_test(over_that_of_the_connection),
        cmocka_unit_test(again_and_again),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
