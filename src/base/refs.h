/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting the owners of something shared between threads. A count begins at 1; who holds a
 * reference may take another one, and whoever drops the last one frees. Never brings a count back from 0.
 */
#ifndef WEIR_BASE_REFS_H
#define WEIR_BASE_REFS_H

#include "base/assert.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>

static inline void refs_take(atomic_uint *refs)
{
    unsigned before = atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
    WEIR_ASSERT(before > 0 && before < UINT_MAX / 2); /* a leak must not wrap */
}

/* True: that was the last one, and what the other owners did is visible here. */
static inline bool refs_drop(atomic_uint *refs)
{
    unsigned before = atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel);
    WEIR_ASSERT(before > 0);
    return before == 1;
}

#endif
