/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monotonic clock in nanoseconds, for durations. Not for the Proxy-Wasm library, whose clock is a
 * callback.
 */
#ifndef WEIR_BASE_MONOTONIC_H
#define WEIR_BASE_MONOTONIC_H

#include <stdint.h>
#include <time.h>

static inline uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
