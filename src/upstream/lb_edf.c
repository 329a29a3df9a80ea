/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The earliest-deadline-first heap. Deadlines only grow; a double counts 2^53 picks exactly enough.
 */
#include "upstream/lb_edf.h"

#include "base/assert.h"

#include <stdlib.h>

static bool earlier(const struct lb_edf_entry *a, const struct lb_edf_entry *b)
{
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

static void sift_down(struct lb_edf *edf, uint32_t at)
{
    struct lb_edf_entry moved = edf->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= edf->count)
            break;
        if (child + 1 < edf->count && earlier(&edf->heap[child + 1], &edf->heap[child]))
            child++;
        if (!earlier(&edf->heap[child], &moved))
            break;
        edf->heap[at] = edf->heap[child];
        at = child;
    }
    edf->heap[at] = moved;
}

bool lb_edf_rebuild(struct lb_edf *edf, uint32_t count, double (*weight)(const void *arg, uint32_t index),
                    const void *arg)
{
    struct lb_edf_entry *heap = calloc(count + 1, sizeof(*heap));
    if (!heap)
        return false;
    free(edf->heap);
    *edf = (struct lb_edf){.heap = heap};
    for (uint32_t i = 0; i < count; i++) {
        double w = weight(arg, i);
        WEIR_ASSERT(w >= 0);
        if (w > 0)
            heap[edf->count++] = (struct lb_edf_entry){1.0 / w, edf->orders++, i};
    }
    for (uint32_t i = edf->count / 2; i > 0; i--)
        sift_down(edf, i - 1);
    return true;
}

void lb_edf_fini(struct lb_edf *edf)
{
    free(edf->heap);
    *edf = (struct lb_edf){0};
}

uint32_t lb_edf_pick(struct lb_edf *edf, double (*weight)(const void *arg, uint32_t index), const void *arg)
{
    WEIR_ASSERT(edf->count > 0);
    struct lb_edf_entry *top = &edf->heap[0];
    uint32_t index = top->index;
    double w = weight(arg, index);
    WEIR_ASSERT(w > 0);
    edf->now = top->deadline;
    top->deadline = edf->now + 1.0 / w;
    top->order = edf->orders++;
    sift_down(edf, 0);
    return index;
}
