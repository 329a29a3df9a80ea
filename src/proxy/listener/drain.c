/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process-wide drain states.
 */
#include "proxy/listener/drain.h"

#include "base/clock.h"
#include "net/worker.h"

atomic_bool drain_healthcheck_failed;
atomic_bool drain_requested;
static _Atomic uint64_t begin_ms;
static _Atomic uint64_t gradually_ms;

void drain_begin(uint32_t gradually_s)
{
    atomic_store(&begin_ms, monotonic_ns() / 1000000u);
    atomic_store(&gradually_ms, (uint64_t)gradually_s * 1000);
    atomic_store(&drain_requested, true);
}

bool drain_close_now(struct worker *w)
{
    uint64_t whole = atomic_load(&gradually_ms), now = monotonic_ns() / 1000000u;
    uint64_t since = now - atomic_load(&begin_ms);
    return since >= whole || worker_random(w, whole) < since;
}
