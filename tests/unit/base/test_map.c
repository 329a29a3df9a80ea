/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash map: failing memory leaves it as it was, and a long random walk agrees with an array.
 */
#include "failing.h"

#include "base/map.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int values[1000];

static struct slice key_of(int i, char *text, size_t size)
{
    int n = snprintf(text, size, "key-%d", i);
    return slice_of(text, (size_t)n);
}

static void empty_map(void **state)
{
    struct map m = {0};
    size_t cursor = 0;
    (void)state;
    assert_null(map_get(&m, SLICE_LIT("a")));
    assert_false(map_has(&m, SLICE_LIT("")));
    assert_null(map_remove(&m, SLICE_LIT("a")));
    assert_null(map_next(&m, &cursor));
    map_fini(&m);
    map_fini(&m);
}

static void keys_are_bytes(void **state)
{
    struct map m;
    char key[] = "name";
    (void)state;
    map_init(&m);
    assert_true(map_put(&m, slice_str(key), &values[0]));
    memset(key, 'x', 4);
    assert_ptr_equal(map_get(&m, SLICE_LIT("name")), &values[0]);
    assert_true(map_put(&m, slice_of("a\0b", 3), &values[1]));
    assert_true(map_put(&m, slice_of("a\0c", 3), &values[2]));
    assert_true(map_put(&m, SLICE_EMPTY, NULL));
    assert_ptr_equal(map_get(&m, slice_of("a\0c", 3)), &values[2]);
    assert_null(map_get(&m, slice_of("a", 1)));
    assert_true(map_has(&m, SLICE_LIT("")));
    assert_null(map_get(&m, SLICE_LIT("")));
    assert_int_equal(m.count, 4);
    assert_true(map_put(&m, slice_of("a\0c", 3), &values[3]));
    assert_int_equal(m.count, 4);
    assert_ptr_equal(map_remove(&m, slice_of("a\0c", 3)), &values[3]);
    assert_false(map_has(&m, slice_of("a\0c", 3)));
    map_fini(&m);
}

static void order_of_insertion(void **state)
{
    struct map m;
    char text[16];
    size_t cursor = 0;
    (void)state;
    map_init(&m);
    for (int i = 0; i < 100; i++)
        assert_true(map_put(&m, key_of(i, text, sizeof(text)), &values[i]));
    int i = 0;
    for (struct map_entry *e; (e = map_next(&m, &cursor)) != NULL; i++) {
        assert_ptr_equal(e->value, &values[i]);
        assert_true(slice_eq(map_entry_key(e), key_of(i, text, sizeof(text))));
    }
    assert_int_equal(i, 100);
    /* Removing the current one while stepping. */
    cursor = 0;
    for (struct map_entry *e; (e = map_next(&m, &cursor)) != NULL;)
        assert_non_null(map_remove(&m, map_entry_key(e)));
    assert_int_equal(m.count, 0);
    map_fini(&m);
}

static void memory_runs_out(void **state)
{
    char text[16];
    (void)state;
    for (long n = 0; n < 60; n++) {
        struct map m;
        int in = 0;
        map_init(&m);
        failing_after = n;
        while (in < 100 && map_put(&m, key_of(in, text, sizeof(text)), &values[in]))
            in++;
        failing_after = -1;
        assert_true(in < 100);
        assert_int_equal(m.count, in);
        assert_false(map_has(&m, key_of(in, text, sizeof(text))));
        for (int i = 0; i < in; i++)
            assert_ptr_equal(map_get(&m, key_of(i, text, sizeof(text))), &values[i]);
        assert_true(map_put(&m, key_of(in, text, sizeof(text)), &values[in]));
        assert_int_equal(m.count, in + 1);
        map_fini(&m);
    }
}

static void random_walk(void **state)
{
    static bool present[300];
    struct map m;
    uint32_t random = 7;
    size_t count = 0;
    (void)state;
    map_init(&m);
    for (int step = 0; step < 50000; step++) {
        char text[16];
        random = random * 1664525u + 1013904223u;
        int i = (int)((random >> 8) % 300);
        struct slice key = key_of(i, text, sizeof(text));
        if ((random >> 20) % 5 < 3) {
            assert_true(map_put(&m, key, &values[i]));
            count += !present[i];
            present[i] = true;
        } else {
            assert_ptr_equal(map_remove(&m, key), present[i] ? &values[i] : NULL);
            count -= present[i];
            present[i] = false;
        }
        assert_int_equal(m.count, count);
        key = key_of((int)((random >> 4) % 300), text, sizeof(text));
        assert_int_equal(map_has(&m, key), present[(random >> 4) % 300]);
    }
    /* Holes do not make it grow for ever. */
    assert_true(m.entries_cap < 2048);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_map),          cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(order_of_insertion), cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
