/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system's clocks in nanoseconds: monotonic for durations, realtime since the Unix epoch. Not for the
 * Proxy-Wasm library, whose clocks are callbacks.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

#endif
