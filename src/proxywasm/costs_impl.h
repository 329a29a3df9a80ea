/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vm_call needs of accounting beyond additions.
 */
#ifndef PROXYWASM_COSTS_IMPL_H
#define PROXYWASM_COSTS_IMPL_H

#include "proxywasm/host_impl.h"
#include "proxywasm/vm_impl.h"

#include <proxywasm/costs.h>

/* One call in so many has its CPU time measured: two system calls of 300 ns are then under 1 ns a call. A
 * prime, so that the callbacks of a stream take turns. */
#define CPU_SAMPLE_INTERVAL 1021u

/* When the countdown has ended: starts the next one. 0: not measured. */
uint64_t cpu_sample_begin(struct pw_vm *vm);
void cpu_sample_end(struct pw_vm *vm, struct pw_cost *cost, uint64_t began_ns);

/* Something else than guest code ran: a later call is counted from its own beginning. */
static inline void vm_new_lap(const struct pw_vm *vm)
{
    if (*vm->lap != PW_LAP_OFF)
        *vm->lap = PW_LAP_ON;
}

/* Adds `from` to `to`. */
void costs_move(const struct pw_costs *from, struct pw_costs *to);

#endif
