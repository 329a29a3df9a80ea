/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Earliest deadline first: the weighted schedule of Envoy. Each entry's next deadline lies 1/weight behind
 * its last one; the earliest is picked. A binary heap in one array.
 */
#ifndef WEIR_UPSTREAM_LB_EDF_H
#define WEIR_UPSTREAM_LB_EDF_H

#include <stdbool.h>
#include <stdint.h>

struct lb_edf_entry {
    double deadline;
    uint64_t order; /* breaks ties: first in, first out */
    uint32_t index;
};

struct lb_edf {
    struct lb_edf_entry *heap;
    uint32_t count;
    double now;
    uint64_t orders;
};

/* For entries 0 .. count-1 with these weights; one of weight 0 is left out. false when memory is out; the old
 * schedule stays. */
bool lb_edf_rebuild(struct lb_edf *edf, uint32_t count, double (*weight)(const void *arg, uint32_t index),
                    const void *arg);
void lb_edf_fini(struct lb_edf *edf);
/* The entry to use now; it is put back with the weight that it has now. */
uint32_t lb_edf_pick(struct lb_edf *edf, double (*weight)(const void *arg, uint32_t index), const void *arg);

#endif
