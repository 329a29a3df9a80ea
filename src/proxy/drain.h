/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process-wide states that make connections end with their answers: a failed health check (/healthcheck/fail)
 * and draining listeners. Set from any thread, read per response with a relaxed load.
 */
#ifndef WEIR_PROXY_DRAIN_H
#define WEIR_PROXY_DRAIN_H

#include <stdatomic.h>
#include <stdbool.h>

extern atomic_bool drain_healthcheck_failed;
extern atomic_bool drain_requested;

static inline bool drain_close(void)
{
    return atomic_load_explicit(&drain_healthcheck_failed, memory_order_relaxed) ||
           atomic_load_explicit(&drain_requested, memory_order_relaxed);
}

#endif
