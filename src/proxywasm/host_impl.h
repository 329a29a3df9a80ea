/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of the host object: the embedder's callbacks and what all VMs share. Constant after the first VM,
 * apart from the stores, which lock for themselves.
 */
#ifndef PROXYWASM_HOST_IMPL_H
#define PROXYWASM_HOST_IMPL_H

#include "base/map.h"
#include "proxywasm/budget.h"
#include "proxywasm/metric_store.h"
#include "proxywasm/queue_store.h"
#include "proxywasm/shared_store.h"

#include <proxywasm/host.h>

struct foreign_function {
    pw_foreign_fn fn;
    void *ctx;
};

struct pw_host {
    struct pw_host_ops ops;
    void *ctx;
    struct shared_store shared;
    struct queue_store queues;
    struct metric_store metrics;
    struct budget budget;
    struct map foreign; /* name -> struct foreign_function */
    /* Both clocks at creation: cycles become nanoseconds by comparing with now. */
    uint64_t start_cycles;
    uint64_t start_ns;
};

uint64_t host_cycles_to_ns(const struct pw_host *host, uint64_t cycles);
/* NULL when there is none of that name. */
const struct foreign_function *host_foreign(const struct pw_host *host, struct slice name);

/* A counter that costs a few nanoseconds; its unit is only known through host_cycles_to_ns. */
static inline uint64_t host_cycles(const struct pw_host *host)
{
#if defined(__x86_64__)
    (void)host;
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    (void)host;
    uint64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
    return host->ops.monotonic_ns(host->ctx);
#endif
}

#endif
