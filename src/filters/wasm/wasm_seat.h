/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One plugin's place on one worker, whatever becomes of its VMs: the policy that holds there, what the plugin
 * has cost, and whether its share of the worker's time lets it run. Worker's thread only. Private to this
 * folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_SEAT_H
#define WEIR_FILTERS_WASM_WASM_SEAT_H

#include "base/assert.h"
#include "filters/wasm/wasm_policy.h"

#include <proxywasm/proxywasm.h>

struct wasm_seat_counts {
    uint64_t time_share_passed; /* seconds in which the share was used up */
    uint64_t streams_refused;   /* by that, or by quarantine */
    uint64_t streams_delayed;   /* by that: under way, and waiting for the next second */
    uint64_t calls_skipped;     /* by that: on_log, the end of a connection, a flush of statistics */
    uint64_t pauses_ended;      /* streams that it held up for too long */
};

struct wasm_seat {
    /* First what each stream looks at. */
    uint64_t mark; /* costs.cycles up to which the plugin may run in this window; UINT64_MAX: no share */
    uint64_t window_end_ms;
    struct wasm_policy *policy; /* a reference */
    struct pw_host *host;
    const char *name; /* of the plugin, which outlives it */
    uint64_t told_ms; /* loop time of the last log line about the share */
    bool spent;       /* the window's share */
    struct wasm_seat_counts counts;
    struct pw_costs costs __attribute__((aligned(64)));
};

/* NULL when memory is out. Takes the caller's reference to the policy over. `name` is kept. */
struct wasm_seat *wasm_seat_create(struct pw_host *host, const char *name, struct wasm_policy *policy);
void wasm_seat_destroy(struct wasm_seat **seat);
/* From now on; takes the caller's reference over. */
void wasm_seat_set_policy(struct wasm_seat *seat, struct wasm_policy *policy);

/* The mark was reached, or the window is over: the next second, or no more in this one. */
bool wasm_seat_next_window(struct wasm_seat *seat, uint64_t now_ms);

/* Whether the plugin may be called. `now_ms` is the loop's. */
static inline bool wasm_seat_may_run(struct wasm_seat *seat, uint64_t now_ms)
{
    return WEIR_LIKELY(seat->costs.cycles < seat->mark && now_ms < seat->window_end_ms) ||
           wasm_seat_next_window(seat, now_ms);
}
/* When it may again; only after wasm_seat_may_run said no. */
static inline uint64_t wasm_seat_wait_ms(const struct wasm_seat *seat, uint64_t now_ms)
{
    return seat->window_end_ms > now_ms ? seat->window_end_ms - now_ms : 1;
}

#endif
