/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages were written: those and no others, what was only read is not one, and too many are no answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxywasm/engine/written_pages.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 1024 };

static struct written_pages written;
static char *base;
static size_t page;
static int pagemap;

static int start(void **state)
{
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    written = (struct written_pages){.thread = 0};
    pagemap = written_pages_open();
    base = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return base == MAP_FAILED || madvise(base, PAGES * page, MADV_NOHUGEPAGE) != 0;
}

static int stop(void **state)
{
    (void)state;
    if (pagemap >= 0)
        close(pagemap);
    return munmap(base, PAGES * page);
}

static void touch(size_t at)
{
    *(volatile char *)(base + at * page) = 1;
}

static bool look(void)
{
    return written_pages_look(&written, pagemap, base, PAGES * page);
}

static void what_was_written_is_found(void **state)
{
    (void)state;
    if (pagemap < 0)
        skip(); /* this kernel does not tell */
    for (size_t at = 0; at < 64; at++)
        (void)*(volatile char *)(base + at * page);
    assert_true(look());
    assert_int_equal(written.count, 0);
    touch(5);
    touch(6);
    touch(7);
    touch(PAGES - 1);
    assert_true(look());
    assert_int_equal(written.count, 2);
    assert_int_equal(written.runs[0].first, 5);
    assert_int_equal(written.runs[0].count, 3);
    assert_int_equal(written.runs[1].first, PAGES - 1);
    assert_int_equal(written.runs[1].count, 1);
    for (size_t at = 0; at < 100; at++) {
        touch(2 * at + 10); /* one after the other, each seen at once */
        assert_true(look());
        assert_int_equal(written.count, at + 3);
    }
}

static void too_many_are_no_answer(void **state)
{
    (void)state;
    if (pagemap < 0)
        skip();
    for (size_t at = 0; at < WRITTEN_PAGES_MAX; at++)
        touch(at);
    assert_true(look());
    touch(PAGES - 1);
    assert_false(look());
    assert_false(look());
    assert_int_equal(madvise(base, PAGES * page, MADV_DONTNEED), 0);
    touch(1);
    assert_true(look());
    assert_int_equal(written.count, 1);
}

static void no_pagemap_is_no_answer(void **state)
{
    (void)state;
    assert_false(written_pages_look(&written, -1, base, PAGES * page));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_found, start, stop),
        cmocka_unit_test_setup_teardown(too_many_are_no_answer, start, stop),
        cmocka_unit_test_setup_teardown(no_pagemap_is_no_answer, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
