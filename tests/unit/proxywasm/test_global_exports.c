/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports added to a module: what was there stays, bytes that are no module give nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxywasm/engine/global_exports.h"

#include <stdlib.h>
#include <string.h>

#define HEADER    "\0asm\1\0\0\0"
#define TYPES     "\1\4\1\140\0\0" /* () -> () */
#define EXPORTS   "\7\5\1\1f\0\0"  /* f: function 0 */
#define AFTERWARD "\0\3\2xy"       /* a custom section */

static const uint32_t globals[] = {0, 70000};

static char *add(struct slice code, size_t *len)
{
    return global_exports_add(code, globals, 2, len);
}

static void the_rest_stays(void **state)
{
    static const char code[] = HEADER TYPES EXPORTS AFTERWARD;
    static const char wanted[] = HEADER TYPES "\7\271\200\200\200\0"
                                              "\203\200\200\200\0"
                                              "\1f\0\0"
                                              "\17__weir_global_0\3\200\200\200\200\0"
                                              "\23__weir_global_70000\3\360\242\204\200\0" AFTERWARD;
    size_t len;
    char *out;

    (void)state;
    out = add(slice_of(code, sizeof(code) - 1), &len);
    assert_non_null(out);
    assert_int_equal(len, sizeof(wanted) - 1);
    assert_memory_equal(out, wanted, len);
    free(out);
}

static void what_has_no_exports_gets_none(void **state)
{
    static const char code[] = HEADER TYPES AFTERWARD;
    static const char whole[] = HEADER TYPES EXPORTS;
    size_t len;

    (void)state;
    assert_null(add(slice_of(code, sizeof(code) - 1), &len));
    for (size_t cut = 8; cut < sizeof(whole) - 1; cut++)
        assert_null(add(slice_of(whole, cut), &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_stays),
        cmocka_unit_test(what_has_no_exports_gets_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
