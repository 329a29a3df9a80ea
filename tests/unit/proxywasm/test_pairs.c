/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pairs format: what is refused, the limits, and that writing and reading are inverse.
 */
#include "proxywasm/limits.h"
#include "proxywasm/pairs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

static int make_arena(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20, NULL);
    return 0;
}

static int free_arena(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* A copy of exactly these bytes, so that a sanitizer sees one byte too far. */
static size_t parse(const void *bytes, size_t len, struct pw_pair **out)
{
    char *exact = malloc(len ? len : 1);
    if (len)
        memcpy(exact, bytes, len);
    struct slice kept = arena_dup(&arena, slice_of(exact, len));
    size_t count = 99, count_exact = 99;
    struct pw_pair *pairs;
    assert_true(pairs_parse(slice_of(exact, len), &arena, &pairs, &count_exact));
    assert_true(pairs_parse(kept, &arena, out, &count));
    assert_int_equal(count, count_exact);
    free(exact);
    return count;
}

static void broken(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"", 1},
        {"\1\0\0", 3},
        {"\0\0\0\0", 4},
        {"\0\0\0\0\0", 5},
        {"\1\0\0\0", 4},
        {"\1\0\0\0\0\0\0\0\0\0\0\0", 12},
        {"\1\0\0\0\0\0\0\0\0\0\0\0\0", 13},
        {"\1\0\0\0\1\0\0\0\1\0\0\0axb\0", 16},          /* no NUL after the name */
        {"\1\0\0\0\1\0\0\0\1\0\0\0a\0bx", 16},          /* none after the value */
        {"\1\0\0\0\1\0\0\0\1\0\0\0a\0b\0z", 17},        /* bytes left over */
        {"\1\0\0\0\2\0\0\0\1\0\0\0a\0b\0", 16},         /* runs over */
        {"\1\0\0\0\xff\xff\xff\xff\1\0\0\0a\0b\0", 16}, /* 4 GiB */
        {"\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
         "a\0b\0",
         16},
        {"\2\0\0\0\1\0\0\0\1\0\0\0a\0b\0", 16}, /* two announced */
        {"\xff\xff\xff\xff\1\0\0\0\1\0\0\0a\0b\0", 16},
        {"\0\0\0\x80\1\0\0\0\1\0\0\0a\0b\0", 16},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pw_pair *pairs = NULL;
        if (parse(rows[i].bytes, rows[i].len, &pairs) != 0 || pairs)
            fail_msg("row %zu was taken", i);
    }
}

/* Serialises; the caller frees. */
static char *write_pairs(const struct pw_pair *pairs, uint32_t count, size_t *size)
{
    uint64_t text = 0;
    for (uint32_t i = 0; i < count; i++)
        text += pairs[i].name.len + pairs[i].value.len;
    *size = pairs_bytes(count, text);
    char *buffer = malloc(*size);
    struct pairs_writer w;
    pairs_writer_init(&w, buffer, *size, count);
    for (uint32_t i = 0; i < count; i++)
        pairs_writer_add(&w, pairs[i].name, pairs[i].value);
    assert_true(pairs_writer_done(&w));
    return buffer;
}

static void round_trip(void **state)
{
    (void)state;
    static const struct pw_pair in[] = {
        {{"a", 1}, {"", 0}}, {{"", 0}, {"v\0w", 3}}, {{"name", 4}, {"value", 5}}, {{NULL, 0}, {NULL, 0}}};
    struct pw_pair *out;
    size_t size;
    char *bytes = write_pairs(in, 4, &size);
    assert_int_equal(size, 4 + 4 * 10 + 13);
    assert_int_equal(parse(bytes, size, &out), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(out[i].name.len, in[i].name.len);
        assert_int_equal(out[i].value.len, in[i].value.len);
        assert_true(out[i].value.len == 0 || !memcmp(out[i].value.ptr, in[i].value.ptr, in[i].value.len));
    }
    /* every prefix is broken */
    for (size_t len = 0; len < size; len++)
        assert_int_equal(parse(bytes, len, &out), 0);
    free(bytes);
}

static void count_limit(void **state)
{
    (void)state;
    struct pw_pair *in = calloc(PAIRS_COUNT_MAX + 1, sizeof(*in));
    struct pw_pair *out;
    size_t size;
    char *bytes = write_pairs(in, PAIRS_COUNT_MAX, &size);
    assert_int_equal(parse(bytes, size, &out), PAIRS_COUNT_MAX);
    free(bytes);
    bytes = write_pairs(in, PAIRS_COUNT_MAX + 1, &size);
    assert_int_equal(parse(bytes, size, &out), 0);
    free(bytes);
    free(in);
}

static void byte_limit(void **state)
{
    (void)state;
    arena_fini(&arena);
    arena_init(&arena, 8 << 20, NULL);
    char *big = calloc(1, PAIRS_BYTES_MAX);
    struct pw_pair in = {{"n", 1}, {big, PAIRS_BYTES_MAX - 4 - 10 - 1}};
    struct pw_pair *out;
    size_t size;
    char *bytes = write_pairs(&in, 1, &size);
    assert_int_equal(size, PAIRS_BYTES_MAX);
    assert_int_equal(parse(bytes, size, &out), 1);
    free(bytes);
    in.value.len++;
    bytes = write_pairs(&in, 1, &size);
    assert_int_equal(parse(bytes, size, &out), 0);
    free(bytes);
    free(big);
}

static void no_memory(void **state)
{
    (void)state;
    struct arena small;
    struct pw_pair *out;
    size_t count;
    arena_init(&small, 16, NULL);
    assert_false(pairs_parse(slice_of("\1\0\0\0\1\0\0\0\1\0\0\0a\0b\0", 16), &small, &out, &count));
    arena_fini(&small);
}

static void writer_keeps_inside(void **state)
{
    (void)state;
    char buffer[32];
    struct pairs_writer w;
    memset(buffer, 'x', sizeof(buffer));
    pairs_writer_init(&w, buffer, 16, 1);
    pairs_writer_add(&w, (struct pw_slice){"ab", 2}, (struct pw_slice){"c", 1}); /* one byte too long */
    assert_false(pairs_writer_done(&w));
    assert_int_equal(buffer[16], 'x');
    pairs_writer_init(&w, buffer, 16, 1);
    pairs_writer_add(&w, (struct pw_slice){"a", 1}, (struct pw_slice){"c", 1});
    assert_true(pairs_writer_done(&w));
    pairs_writer_add(&w, (struct pw_slice){"", 0}, (struct pw_slice){"", 0}); /* one more than announced */
    assert_false(pairs_writer_done(&w));
    assert_int_equal(buffer[16], 'x');
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(broken, make_arena, free_arena),
        cmocka_unit_test_setup_teardown(round_trip, make_arena, free_arena),
        cmocka_unit_test_setup_teardown(count_limit, make_arena, free_arena),
        cmocka_unit_test_setup_teardown(byte_limit, make_arena, free_arena),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(writer_keeps_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
