/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forced into every file of the library for tests/nomem: its allocations go through functions that can be
 * told to fail. The engine archive's do not: it aborts when memory is out.
 */
#ifndef TESTS_FAILING_ALLOC_H
#define TESTS_FAILING_ALLOC_H

#include <stdlib.h>
#include <string.h>

void *failing_malloc(size_t len);
void *failing_calloc(size_t count, size_t size);
void *failing_realloc(void *old, size_t len);
char *failing_strdup(const char *s);

#undef strdup
#define malloc(len)        failing_malloc(len)
#define calloc(count, len) failing_calloc(count, len)
#define realloc(old, len)  failing_realloc(old, len)
#define strdup(s)          failing_strdup(s)

#endif
