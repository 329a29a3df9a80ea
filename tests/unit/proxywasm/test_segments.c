/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joined segments leave the same memory, whatever their order and number; what is no module of a linker, or
 * no module at all, is left alone. And the real engine runs what comes out, with segments named by
 * instructions.
 */
#include "engine_fixture.h"
#include "proxywasm/engine/sections.h"
#include "proxywasm/engine/segments.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES 65536u
#define SPACE_BYTES  (1u << 20)

/* A module under construction: header and data section alone, which is all that is looked at. */
struct binary {
    char bytes[SPACE_BYTES];
    size_t len;
    char data[SPACE_BYTES / 2];
    size_t data_len;
    uint32_t count;
};

static struct binary b;

static void begin(void)
{
    memset(&b, 0, sizeof(b));
    memcpy(b.bytes, "\0asm\1\0\0\0", MODULE_HEADER_BYTES);
    b.len = MODULE_HEADER_BYTES;
}

static void add_active(uint32_t offset, const char *text)
{
    struct writer w = {b.data + b.data_len};

    put_active_segment(&w, offset, (uint32_t)strlen(text));
    put(&w, slice_of(text, strlen(text)));
    b.data_len = (size_t)(w.at - b.data);
    b.count++;
}

static void add_passive(const char *text)
{
    struct writer w = {b.data + b.data_len};

    put_byte(&w, DATA_PASSIVE);
    put_u32(&w, (uint32_t)strlen(text));
    put(&w, slice_of(text, strlen(text)));
    b.data_len = (size_t)(w.at - b.data);
    b.count++;
}

static void add_count(uint32_t count)
{
    struct writer w = {b.bytes + b.len};

    put_byte(&w, SECTION_DATA_COUNT);
    put_byte(&w, VARINT_BYTES);
    put_u32(&w, count);
    b.len = (size_t)(w.at - b.bytes);
}

static void add_data(void)
{
    struct writer w = {b.bytes + b.len};

    put_byte(&w, SECTION_DATA);
    put_u32(&w, (uint32_t)(VARINT_BYTES + b.data_len));
    put_u32(&w, b.count);
    put(&w, slice_of(b.data, b.data_len));
    b.len = (size_t)(w.at - b.bytes);
}

static struct slice module(void)
{
    return slice_of(b.bytes, b.len);
}

/* What an instance's memory begins with; returns the number of segments. *announced: 0 for no such section.
 */
static uint32_t run(struct slice code, char *memory, uint32_t *announced, uint32_t *passive)
{
    struct slice rest = slice_skip(code, MODULE_HEADER_BYTES);
    struct section section;
    uint32_t count = 0;

    memset(memory, 0, MEMORY_BYTES);
    *announced = *passive = 0;
    while (rest.len > 0) {
        assert_true(read_section(&rest, &section));
        if (section.id == SECTION_DATA_COUNT)
            assert_true(read_varint(&section.content, announced));
        if (section.id != SECTION_DATA)
            continue;
        assert_true(read_varint(&section.content, &count));
        for (uint32_t i = 0; i < count; i++) {
            struct active_segment active;
            struct slice whole;

            assert_true(read_segment(&section.content, &whole, &active));
            if (whole.len > 0) {
                ++*passive;
                continue;
            }
            assert_true(active.offset + active.bytes.len <= MEMORY_BYTES);
            memcpy(memory + active.offset, active.bytes.ptr, active.bytes.len);
        }
        assert_int_equal(section.content.len, 0);
    }
    return count;
}

/* Joins the module; returns the segments of the result. */
static uint32_t join(uint32_t *announced, uint32_t *passive)
{
    static char before[MEMORY_BYTES], after[MEMORY_BYTES];
    uint32_t count;
    char *out;
    size_t len;

    assert_true(segments_join(module(), &out, &len));
    run(module(), before, announced, passive);
    count = run(slice_of(out, len), after, announced, passive);
    assert_memory_equal(before, after, MEMORY_BYTES);
    free(out);
    return count;
}

static void must_stay(void)
{
    char *out;
    size_t len;

    assert_false(segments_join(module(), &out, &len));
}

static void neighbours_become_one(void **state)
{
    uint32_t announced, passive;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(1000 + i * 100, "some text");
    add_active(50000, "far away");
    add_active(50136, "and its neighbour, 128 bytes on");
    add_active(50296, "just too far");
    add_data();
    assert_int_equal(join(&announced, &passive), 3);
    assert_int_equal(announced, 0);
}

static void order_does_not_matter(void **state)
{
    uint32_t announced, passive;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 50; i++) {
        add_active(20000 + i * 20, "above, to and fro");
        add_active(1000 - i * 20, "below, backwards");
        add_active(1020 + i, "");
    }
    add_data();
    assert_int_equal(join(&announced, &passive), 2);
}

/* Empty ones at one place, and one where another begins or ends. */
static void empty_segments_count_for_nothing(void **state)
{
    uint32_t announced, passive;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 80; i++)
        add_active(0, "");
    add_active(0, "x");
    add_active(1, "");
    add_data();
    assert_int_equal(join(&announced, &passive), 1);
}

static void numbers_stay_where_they_are_announced(void **state)
{
    uint32_t announced, passive;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 100; i++) {
        add_active(i * 10, "ten bytes.");
        if (i % 50 == 7)
            add_passive("kept");
    }
    add_count(102);
    add_data();
    assert_int_equal(join(&announced, &passive), 103);
    assert_int_equal(announced, 103);
    assert_int_equal(passive, 102);
}

static void without_numbers_passive_ones_are_kept(void **state)
{
    uint32_t announced, passive;

    (void)state;
    begin();
    add_passive("kept");
    for (uint32_t i = 0; i < 100; i++)
        add_active(i * 10, "ten bytes.");
    add_data();
    assert_int_equal(join(&announced, &passive), 2);
    assert_int_equal(passive, 1);
}

static void offsets_are_unsigned(void **state)
{
    char *out;
    size_t len;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(UINT32_C(0xfffffc00) + i * 8, "eight by");
    add_data();
    assert_true(segments_join(module(), &out, &len));
    free(out);
    /* One that ends beyond all addresses is still one that does. */
    add_active(UINT32_MAX, "over");
    b.len = MODULE_HEADER_BYTES;
    add_data();
    assert_true(segments_join(module(), &out, &len));
    free(out);
}

static void what_is_gained_must_be_worth_it(void **state)
{
    (void)state;
    begin();
    must_stay();
    for (uint32_t i = 0; i < 63; i++)
        add_active(i * 10, "ten bytes.");
    add_data();
    must_stay();
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(i * 500, "far apart");
    add_data();
    must_stay();
}

static void what_overlaps_stays(void **state)
{
    (void)state;
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(i * 10, "eleven byte");
    add_data();
    must_stay();
}

static void what_is_not_valid_stays(void **state)
{
    struct slice whole;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(i * 10, "ten bytes.");
    add_count(99);
    add_data();
    must_stay(); /* announced otherwise */
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(i * 10, "ten bytes.");
    add_data();
    add_data();
    must_stay(); /* two data sections */
    b.len = MODULE_HEADER_BYTES;
    b.count = 101;
    add_data();
    must_stay(); /* one is missing */
    b.len = MODULE_HEADER_BYTES;
    b.count = 99;
    add_data();
    must_stay(); /* bytes are left */
    b.count = 100;
    b.data[0] = 2;
    b.len = MODULE_HEADER_BYTES;
    add_data();
    must_stay(); /* of another memory */
    b.data[0] = 0;
    b.data[1] = 0x23;
    b.len = MODULE_HEADER_BYTES;
    add_data();
    must_stay(); /* at a global's value */
    b.data[1] = OP_I32_CONST;
    b.len = MODULE_HEADER_BYTES;
    add_data();
    whole = module();
    for (size_t len = 0; len < whole.len; len++) {
        char *copy = malloc(len + 1); /* a sanitizer sees each byte too many */
        char *out;
        size_t out_len;

        memcpy(copy, whole.ptr, len);
        assert_false(segments_join(slice_of(copy, len), &out, &out_len));
        free(copy);
    }
}

static void signed_numbers_are_read(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t value;
    } cases[] = {{"\x3f", 63},
                 {"\x40", UINT32_MAX - 63},
                 {"\x7f", UINT32_MAX},
                 {"\xff\x00", 127},
                 {"\x80\x7f", UINT32_MAX - 127},
                 {"\x80\x80\x80\x80\x78", 0x80000000u},
                 {"\xff\xff\xff\xff\x07", 0x7fffffffu}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice rest = slice_of(cases[i].bytes, i == 3 ? 2 : strlen(cases[i].bytes));
        uint32_t value;

        assert_true(read_signed_varint(&rest, &value));
        assert_int_equal(value, cases[i].value);
        assert_int_equal(rest.len, 0);
    }
}

/* Bits beyond 32 are errors (5.2.2): who reads over them makes a valid module of an invalid one. */
static void numbers_of_too_many_bits_are_refused(void **state)
{
    static const char *const unsigned_ones[] = {"\x80\x80\x80\x80\x10", "\xff\xff\xff\xff\x7f",
                                                "\x80\x80\x80\x80\x80"};
    static const char *const signed_ones[] = {"\x80\x80\x80\x80\x08", "\xff\xff\xff\xff\x70",
                                              "\x80\x80\x80\x80\xf8"};
    uint32_t value;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct slice one = slice_of(unsigned_ones[i], 5), other = slice_of(signed_ones[i], 5);
        assert_false(read_varint(&one, &value));
        assert_false(read_signed_varint(&other, &value));
    }
    begin();
    for (uint32_t i = 0; i < 100; i++)
        add_active(i * 10, "ten bytes.");
    b.data[ACTIVE_SEGMENT_BYTES - 1] |= 0x10; /* the last byte of the first segment's length */
    add_data();
    must_stay();
}

/* Looks at the 200 segments, and at some by their numbers: active ones are empty by then. */
static const char checking_tick[] =
    "(func (export \"proxy_on_tick\") (param i32) (local $i i32) "
    " (loop $next "
    "  (if (i32.ne (i32.load8_u (i32.add (i32.const 4000) (i32.mul (local.get $i) (i32.const 3)))) "
    "              (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26)))) (then unreachable)) "
    "  (if (i32.load8_u (i32.add (i32.const 4002) (i32.mul (local.get $i) (i32.const 3)))) "
    "   (then unreachable)) "
    "  (local.set $i (i32.add (local.get $i) (i32.const 1))) "
    "  (br_if $next (i32.lt_u (local.get $i) (i32.const 200)))) "
    " (memory.init 0 (i32.const 100) (i32.const 0) (i32.const 7)) "
    " (if (i32.ne (i32.load8_u (i32.const 106)) (i32.const 101)) (then unreachable)) "
    " (memory.init 1 (i32.const 100) (i32.const 0) (i32.const 0)) (data.drop 200))" WAT_TAIL;

static void the_engine_runs_what_comes_out(void **state)
{
    static char text[SPACE_BYTES];
    size_t at = (size_t)snprintf(text, sizeof(text), "%s", WAT_HEAD WAT_BODY "(data \"passive\") ");
    struct pw_module *loaded;
    struct vm_fixture v;

    (void)state;
    for (int i = 0; i < 200; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "(data (i32.const %d) \"%c%c\") ", 4000 + i * 3,
                               'a' + i % 26, 'A' + i % 26);
    (void)snprintf(text + at, sizeof(text) - at, "%s", checking_tick);
    fixture_start(NULL);
    loaded = must_load(text);
    assert_int_equal(vm_open(&v, loaded, NULL), PW_OK);
    pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    vm_close(&v);
    pw_module_unref(&loaded);
    fixture_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_become_one),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(empty_segments_count_for_nothing),
        cmocka_unit_test(numbers_stay_where_they_are_announced),
        cmocka_unit_test(without_numbers_passive_ones_are_kept),
        cmocka_unit_test(offsets_are_unsigned),
        cmocka_unit_test(what_is_gained_must_be_worth_it),
        cmocka_unit_test(what_overlaps_stays),
        cmocka_unit_test(what_is_not_valid_stays),
        cmocka_unit_test(signed_numbers_are_read),
        cmocka_unit_test(numbers_of_too_many_bits_are_refused),
        cmocka_unit_test(the_engine_runs_what_comes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
