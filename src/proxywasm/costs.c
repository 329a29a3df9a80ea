/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounting around guest calls that is not on every call's path: names, hand-over, sampled CPU time. The
 * counting itself is in vm_call.
 */
#include "proxywasm/costs_impl.h"

#include "proxywasm/vm_call.h"

_Static_assert(GUEST_FUNCTION_COUNT <= PW_CALLBACKS_MAX, "pw_costs has too few rows");

const char *pw_callback_name(unsigned callback)
{
    static const char prefix[] = "proxy_";
    if (callback >= GUEST_FUNCTION_COUNT)
        return NULL;
    return guest_function_name(callback) + sizeof(prefix) - 1;
}

void costs_move(const struct pw_costs *from, struct pw_costs *to)
{
    /* All members are counters. */
    const uint64_t *old = (const uint64_t *)from;
    uint64_t *sum = (uint64_t *)to;
    for (size_t i = 0; i < sizeof(*from) / sizeof(*old); i++)
        sum[i] += old[i];
}

void pw_root_set_costs(struct pw_root *root, struct pw_costs *costs)
{
    struct pw_costs *old = root->costs;
    root->costs = costs ? costs : &root->own_costs;
    if (old == root->costs)
        return;
    costs_move(old, root->costs);
    if (old == &root->own_costs)
        *old = (struct pw_costs){0};
}

uint64_t pw_host_cycles_to_ns(const struct pw_host *host, uint64_t cycles)
{
    return host_cycles_to_ns(host, cycles);
}

uint64_t pw_host_ns_to_cycles(const struct pw_host *host, uint64_t ns)
{
    uint64_t passed_ns = host->ops.monotonic_ns(host->ctx) - host->start_ns;
    uint64_t passed = host_cycles(host) - host->start_cycles;
    return passed_ns ? (uint64_t)((double)ns * ((double)passed / (double)passed_ns)) : ns;
}

uint64_t cpu_sample_begin(struct pw_vm *vm)
{
    vm->cpu_countdown = CPU_SAMPLE_INTERVAL;
    vm_new_lap(vm);
    const struct pw_host *host = vm->host;
    return host->ops.thread_cpu_ns ? host->ops.thread_cpu_ns(host->ctx) : 0;
}

void cpu_sample_end(struct pw_vm *vm, struct pw_cost *cost, uint64_t began_ns)
{
    uint64_t now = vm->host->ops.thread_cpu_ns(vm->host->ctx);
    vm_new_lap(vm);
    cost->cpu_samples++;
    cost->cpu_ns += now > began_ns ? now - began_ns : 0;
}
