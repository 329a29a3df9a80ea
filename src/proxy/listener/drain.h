/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process-wide states that make connections end with their answers: a failed health check (/healthcheck/fail)
 * and draining. Set from any thread, read per response with a relaxed load.
 */
#ifndef WEIR_PROXY_DRAIN_H
#define WEIR_PROXY_DRAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

extern atomic_bool drain_healthcheck_failed;
extern atomic_bool drain_requested;

/* From now on answers close their connections: all of them (0), or a share that grows to all within so many
 * seconds, so that clients do not come back all at once (Envoy's --drain-strategy gradual). */
void drain_begin(uint32_t gradually_s);
/* For drain_close. */
bool drain_close_now(struct worker *w);

/* Whether this answer shall be its connection's last. */
static inline bool drain_close(struct worker *w)
{
    if (__builtin_expect(atomic_load_explicit(&drain_healthcheck_failed, memory_order_relaxed), 0))
        return true;
    return __builtin_expect(atomic_load_explicit(&drain_requested, memory_order_relaxed), 0) &&
           drain_close_now(w);
}

#endif
