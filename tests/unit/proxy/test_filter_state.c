/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter state: levels, prototypes, replacing, read-only values, a full arena.
 */
#include "proxy/filter_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct levels {
    struct arena arenas[2];
    struct filter_state connection;
    struct filter_state stream;
};

static int setup(void **state)
{
    struct levels *l = calloc(1, sizeof(*l));
    for (int i = 0; i < 2; i++)
        arena_init(&l->arenas[i], 64 << 10, NULL);
    l->connection.arena = &l->arenas[0];
    l->stream = (struct filter_state){.arena = &l->arenas[1], .parent = &l->connection};
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct levels *l = *state;
    for (int i = 0; i < 2; i++)
        arena_fini(&l->arenas[i]);
    free(l);
    return 0;
}

static void is(const struct filter_state *fs, const char *key, const char *value)
{
    const struct filter_state_entry *e = filter_state_get(fs, slice_str(key));
    if (!value) {
        assert_null(e);
        return;
    }
    assert_non_null(e);
    assert_true(slice_eq(e->value, slice_str(value)));
}

static enum filter_state_result set(struct filter_state *fs, const char *key, const char *value,
                                    const struct filter_state_prototype *p)
{
    return filter_state_set(fs, slice_str(key), slice_str(value), p);
}

static void plain_values(void **state)
{
    struct levels *l = *state;
    is(&l->stream, "a", NULL);
    assert_int_equal(set(&l->stream, "a", "long value", NULL), FILTER_STATE_OK);
    is(&l->stream, "a", "long value");
    is(&l->connection, "a", NULL);
    assert_int_equal(set(&l->stream, "a", "short", NULL), FILTER_STATE_OK);
    is(&l->stream, "a", "short");
    assert_int_equal(set(&l->stream, "a", "", NULL), FILTER_STATE_OK);
    is(&l->stream, "a", "");
    assert_int_equal(set(&l->stream, "", "empty key", NULL), FILTER_STATE_OK);
    is(&l->stream, "", "empty key");
    is(&l->stream, "aa", NULL);
}

static void prototypes(void **state)
{
    struct levels *l = *state;
    struct filter_state_prototype once = {
        .type = FILTER_STATE_STRING, .schema = SLICE_LIT("s"), .read_only = true};
    assert_int_equal(set(&l->stream, "once", "1", &once), FILTER_STATE_OK);
    assert_int_equal(set(&l->stream, "once", "2", &once), FILTER_STATE_READ_ONLY);
    assert_int_equal(set(&l->stream, "once", "2", NULL), FILTER_STATE_READ_ONLY);
    is(&l->stream, "once", "1");
    assert_int_equal(filter_state_get(&l->stream, SLICE_LIT("once"))->type, FILTER_STATE_STRING);

    struct filter_state_prototype wide = {.type = FILTER_STATE_BYTES, .span = FILTER_STATE_CONNECTION};
    assert_int_equal(set(&l->stream, "wide", "1", &wide), FILTER_STATE_OK);
    is(&l->connection, "wide", "1");
    /* A value that exists keeps its level, however it is set again. */
    assert_int_equal(set(&l->stream, "wide", "grown", NULL), FILTER_STATE_OK);
    is(&l->connection, "wide", "grown");
    arena_fini(&l->arenas[1]);
    l->stream.first = NULL;
    is(&l->stream, "wide", "grown");
}

static void full(void **state)
{
    struct levels *l = *state;
    char *big = calloc(1, 128 << 10);
    struct slice value = slice_of(big, 128 << 10);
    assert_int_equal(filter_state_set(&l->stream, SLICE_LIT("k"), value, NULL), FILTER_STATE_FULL);
    is(&l->stream, "k", NULL);
    assert_int_equal(set(&l->stream, "k", "fits", NULL), FILTER_STATE_OK);
    assert_int_equal(filter_state_set(&l->stream, SLICE_LIT("k"), value, NULL), FILTER_STATE_FULL);
    is(&l->stream, "k", "fits");
    free(big);
}

/* The same value over and over takes no more memory. */
static void no_growth(void **state)
{
    struct levels *l = *state;
    for (int i = 0; i < 100000; i++)
        assert_int_equal(set(&l->stream, "k", i % 2 ? "0123456789" : "012345678", NULL), FILTER_STATE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_values, setup, teardown),
        cmocka_unit_test_setup_teardown(prototypes, setup, teardown),
        cmocka_unit_test_setup_teardown(full, setup, teardown),
        cmocka_unit_test_setup_teardown(no_growth, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
