/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arenas: the cap holds whatever is asked for, memory that fails is an answer and not a crash, marks and the
 * cache give back what they took.
 */
#include "failing.h"

#include <string.h>

static size_t wiped_bytes;

static void wipe_spy(void *p, size_t len)
{
    memset(p, 0, len);
    wiped_bytes += len;
}
#define explicit_bzero wipe_spy

#include "base/arena.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void cap_is_never_passed(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 3 * ARENA_BLOCK_BYTES, NULL);
    size_t got = 0;
    for (char *p; (p = arena_alloc(&a, 100)) != NULL; got += 100)
        memset(p, 1, 100);
    assert_true(got > 2 * ARENA_BLOCK_BYTES && got < 3 * ARENA_BLOCK_BYTES);
    assert_true(a.used_bytes <= a.cap_bytes);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 20));
    assert_null(arena_alloc_text(&a, SIZE_MAX));
    assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    assert_null(arena_dup(&a, slice_of("x", SIZE_MAX)).ptr);
    arena_fini(&a);
    /* Usable again; one allocation larger than the cap fails, one that just fits works. */
    assert_null(arena_alloc(&a, 3 * ARENA_BLOCK_BYTES));
    assert_non_null(arena_alloc(&a, 3 * ARENA_BLOCK_BYTES - 64));
    assert_null(arena_alloc(&a, 100));
    arena_fini(&a);
    arena_init(&a, 0, NULL);
    assert_null(arena_alloc(&a, 0));
    assert_null(arena_printf(&a, "%d", 1));
    arena_fini(&a);
}

static void lent_memory_comes_first(void **state)
{
    struct arena a;
    char memory[64];
    (void)state;
    arena_init(&a, 2 * ARENA_BLOCK_BYTES, NULL);
    arena_lend(&a, memory, sizeof(memory));
    assert_ptr_equal(arena_dup(&a, slice_of("abc", 3)).ptr, memory);
    assert_ptr_equal(arena_alloc_text(&a, 60), memory + 4);
    assert_int_equal(a.used_bytes, 0);
    char *p = arena_alloc_text(&a, 1); /* does not fit any more */
    assert_true(p < memory || p >= memory + sizeof(memory));
    assert_int_equal(a.used_bytes, ARENA_BLOCK_BYTES);
    arena_fini(&a);
    assert_non_null(arena_alloc(&a, 10));
    arena_fini(&a);
}

static void alignment_and_content(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1u << 20, NULL);
    for (size_t n = 0; n < 200; n++) {
        char *text = arena_alloc_text(&a, n);
        memset(text, 'x', n);
        char *p = arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 'y', n);
        unsigned char *zero = arena_calloc(&a, n, 3);
        for (size_t i = 0; i < 3 * n; i++)
            assert_int_equal(zero[i], 0);
        for (size_t i = 0; i < n; i++)
            assert_true(text[i] == 'x' && p[i] == 'y');
    }
    struct slice s = arena_dup(&a, slice_of("a\0b", 3));
    assert_true(slice_eq(s, slice_of("a\0b", 3)) && s.ptr[3] == '\0');
    s = arena_dup(&a, SLICE_EMPTY);
    assert_true(s.ptr && s.len == 0 && s.ptr[0] == '\0');
    assert_string_equal(arena_strdup(&a, SLICE_LIT("text")), "text");
    assert_string_equal(arena_printf(&a, "%s-%05d", "n", 42), "n-00042");
    arena_fini(&a);
}

static void secrets_are_wiped(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1u << 20, NULL);
    assert_non_null(arena_strdup(&a, SLICE_LIT("no secret")));
    wiped_bytes = 0;
    arena_fini(&a);
    assert_int_equal(wiped_bytes, 0);
    arena_init_secret(&a, 1u << 20);
    struct arena_mark empty = arena_mark(&a);
    assert_non_null(arena_strdup(&a, SLICE_LIT("-----BEGIN PRIVATE KEY-----")));
    assert_non_null(arena_alloc(&a, 10000));
    arena_reset_to(&a, empty);
    assert_true(wiped_bytes > ARENA_BLOCK_BYTES - 64 + 10000);
    wiped_bytes = 0;
    assert_non_null(arena_strdup(&a, SLICE_LIT("-----BEGIN PRIVATE KEY-----")));
    arena_fini(&a);
    assert_true(wiped_bytes > ARENA_BLOCK_BYTES - 64);
    assert_null(wiping.free_blocks);
}

static void marks_give_back(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1u << 20, NULL);
    struct arena_mark empty = arena_mark(&a);
    char *first = arena_strdup(&a, SLICE_LIT("first"));
    struct arena_mark mark = arena_mark(&a);
    size_t used = a.used_bytes;
    char *next = arena_alloc_text(&a, 10);
    for (int i = 0; i < 20; i++)
        assert_non_null(arena_alloc(&a, 3000));
    assert_non_null(arena_alloc(&a, 100000));
    assert_true(a.used_bytes > used);
    arena_reset_to(&a, mark);
    assert_int_equal(a.used_bytes, used);
    assert_string_equal(first, "first");
    assert_ptr_equal(arena_alloc_text(&a, 10), next);
    arena_reset_to(&a, empty);
    assert_int_equal(a.used_bytes, 0);
    assert_non_null(arena_alloc(&a, 10));
    arena_fini(&a);
}

/* In the steady state a stream's arena costs no malloc. */
static void cache_saves_malloc(void **state)
{
    struct arena_cache cache = {0};
    struct arena a;
    (void)state;
    arena_init(&a, 1u << 20, &cache);
    for (int round = 0; round < 10; round++) {
        failing_calls = 0;
        for (int i = 0; i < 10; i++)
            memset(arena_alloc(&a, 2000), 1, 2000);
        arena_fini(&a);
        assert_int_equal(failing_calls, round == 0 ? 10 / 2 : 0);
    }
    assert_int_equal(cache.count, 5);
    /* Large blocks and those beyond the cache's cap are freed. */
    assert_non_null(arena_alloc(&a, 100000));
    arena_fini(&a);
    assert_int_equal(cache.count, 5);
    struct arena big;
    arena_init(&big, 4u << 20, &cache);
    for (int i = 0; i < 400; i++)
        assert_non_null(arena_alloc(&big, 4000));
    arena_fini(&big);
    assert_int_equal(cache.count, ARENA_CACHE_MAX);
    arena_cache_fini(&cache);
    assert_int_equal(cache.count, 0);
}

static void memory_runs_out(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1u << 20, NULL);
    for (long n = 0; n < 4; n++) {
        failing_after = n;
        int got = 0;
        while (arena_alloc(&a, 3000))
            got++;
        assert_int_equal(got, n);
        assert_null(arena_calloc(&a, 1, 3000));
        assert_null(arena_dup(&a, slice_of((char[5000]){0}, 5000)).ptr);
        failing_after = -1;
        assert_non_null(arena_alloc(&a, 3000));
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cap_is_never_passed),     cmocka_unit_test(alignment_and_content),
        cmocka_unit_test(lent_memory_comes_first), cmocka_unit_test(marks_give_back),
        cmocka_unit_test(secrets_are_wiped),       cmocka_unit_test(cache_saves_malloc),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
