/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared immutable bytes: counts, also from several threads, and failing memory.
 */
#include "failing.h"

#include "base/bytes.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void counting(void **state)
{
    char text[] = "a\0b";
    (void)state;
    struct bytes *b = bytes_create(slice_of(text, 3));
    assert_non_null(b);
    memset(text, 'x', 3);
    assert_true(slice_eq(bytes_slice(b), slice_of("a\0b", 3)));
    assert_int_equal(b->data[3], '\0');
    struct bytes *again = bytes_ref(b);
    assert_ptr_equal(again, b);
    bytes_unref(&b);
    assert_null(b);
    assert_int_equal(bytes_slice(again).len, 3);
    bytes_unref(&again);
    bytes_unref(&again);
    assert_null(bytes_ref(NULL));
    assert_null(bytes_slice(NULL).ptr);
    b = bytes_create(SLICE_EMPTY);
    assert_true(b && b->len == 0 && b->data[0] == '\0');
    bytes_unref(&b);
}

static void memory_runs_out(void **state)
{
    (void)state;
    failing_after = 0;
    assert_null(bytes_create(SLICE_LIT("x")));
    failing_after = -1;
    assert_null(bytes_create(slice_of("x", SIZE_MAX)));
}

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        struct bytes *mine = bytes_ref(arg);
        bytes_unref(&mine);
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t ids[4];
    (void)state;
    struct bytes *b = bytes_create(SLICE_LIT("shared"));
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, ref_and_unref, b), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    assert_int_equal(atomic_load(&b->refs), 1);
    bytes_unref(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
