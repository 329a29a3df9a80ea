/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot holds beside the guest's memory: the numbers that the host gave to the model, which must
 * mean the same in every copy.
 */
#ifndef PROXYWASM_SNAPSHOT_H
#define PROXYWASM_SNAPSHOT_H

#include "proxywasm/vm_impl.h"

#include <proxywasm/fresh.h>

struct snapshot_root {
    uint32_t id;
    struct pw_plugin *plugin; /* a reference */
};

/* Constant once made. */
struct pw_snapshot {
    atomic_uint refs;
    struct pw_module *module;    /* begins with the model's state; on the engine of the pool */
    struct snapshot_root *roots; /* in the order of their making */
    uint32_t roots_count;
    uint32_t next_id;
    uint32_t next_callouts[3];
    struct vm_metrics metrics; /* handles are the host's; the arrays are ours */
    uint32_t metrics_count;
};

#endif
