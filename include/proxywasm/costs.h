/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: what a plugin costs, per callback. Counted on the VM's thread by plain additions into memory
 * that the embedder may own, so that it outlives VMs and sums up those of a plugin on one thread.
 */
#ifndef PROXYWASM_COSTS_H
#define PROXYWASM_COSTS_H

#include <proxywasm/vm_limits.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_host;
struct pw_root;

/* One callback. Units of time are the counter's; pw_host_cycles_to_ns makes nanoseconds of a sum. */
struct pw_cost {
    uint64_t calls;
    uint64_t cycles; /* wall time inside, host functions included */
    uint64_t host_calls;
    uint64_t bytes; /* copied to and from the guest */
    uint64_t failures;
    uint64_t cpu_samples; /* calls whose CPU time was measured */
    uint64_t cpu_ns;      /* ... theirs; needs pw_host_ops.thread_cpu_ns */
    uint64_t unused;      /* a row is a cache line where the costs begin one */
};

#define PW_CALLBACKS_MAX 32

struct pw_costs {
    uint64_t cycles; /* of all callbacks */
    uint64_t unused[7];
    struct pw_cost callback[PW_CALLBACKS_MAX];
    uint64_t limit_hits[PW_LIMIT_COUNT];
};

/* "on_request_headers" and so on; NULL past the last one. */
const char *pw_callback_name(unsigned callback);
/*
 * Adds what was counted for the root so far to `costs` and counts there from now on. `costs` belongs to the
 * VM's thread and outlives the root. NULL goes back to the root's own.
 */
void pw_root_set_costs(struct pw_root *root, struct pw_costs *costs);
/* [any thread] */
uint64_t pw_host_cycles_to_ns(const struct pw_host *host, uint64_t cycles);
uint64_t pw_host_ns_to_cycles(const struct pw_host *host, uint64_t ns);

#ifdef __cplusplus
}
#endif

#endif
