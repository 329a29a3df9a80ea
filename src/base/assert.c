/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the road for a broken invariant. It must not allocate or take a lock: the heap may be the thing
 * that is broken.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void weir_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    char text[512];
    int n =
        snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s\n", file, line, function, condition);
    if (n > 0) {
        size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
        ssize_t ignored = write(STDERR_FILENO, text, len);
        (void)ignored;
    }
    abort();
}
