/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Immutable bytes shared between threads: module code, configurations, certificate text. The reference count
 * is atomic; the content never changes after creation.
 */
#ifndef WEIR_BASE_BYTES_H
#define WEIR_BASE_BYTES_H

#include "base/slice.h"

#include <stdatomic.h>

struct bytes {
    atomic_uint refs;
    size_t len;
    char data[]; /* len bytes and a NUL that is not counted */
};

/* A copy with one reference, or NULL when memory is out. */
struct bytes *bytes_create(struct slice content);
/* NULL passes through. */
struct bytes *bytes_ref(struct bytes *b);
/* Drops the caller's reference and clears its pointer. NULL content is fine. */
void bytes_unref(struct bytes **b);

static inline struct slice bytes_slice(const struct bytes *b)
{
    return b ? slice_of(b->data, b->len) : SLICE_EMPTY;
}

#endif
