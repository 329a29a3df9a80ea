/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that fails at a chosen call. A test includes this, then the .c file that it tests, whose calls
 * of malloc, calloc and realloc then come here; the library's own copy of that file is not linked.
 */
#ifndef WEIR_TEST_FAILING_H
#define WEIR_TEST_FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Calls that still succeed; negative: all do. */
static long failing_after = -1;
static long failing_calls;

static inline bool failing_now(void)
{
    failing_calls++;
    if (failing_after <= 0)
        return failing_after == 0;
    failing_after--;
    return false;
}

static inline void *failing_malloc(size_t n)
{
    return failing_now() ? NULL : malloc(n);
}

static inline void *failing_calloc(size_t n, size_t size)
{
    return failing_now() ? NULL : calloc(n, size);
}

static inline void *failing_realloc(void *p, size_t n)
{
    return failing_now() ? NULL : realloc(p, n);
}

#define malloc(n)       failing_malloc(n)
#define calloc(n, size) failing_calloc(n, size)
#define realloc(p, n)   failing_realloc(p, n)

#endif
