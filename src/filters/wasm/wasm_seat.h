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
    uint64_t pauses_ended;      /* streams that it held up for too long */
};

struct wasm_seat {
    struct pw_costs costs __attribute__((aligned(64)));
    struct wasm_policy *policy; /* a reference */
    struct pw_host *host;
    uint64_t mark;      /* costs.cycles up to which the plugin may run in this window; UINT64_MAX: no share */
    uint64_t last_mark; /* ... with what it is at already: half as much again */
    uint64_t window_ms;
    bool begun; /* the window */
    bool spent; /* ... its share */
    struct wasm_seat_counts counts;
};

/* NULL when memory is out. Takes the caller's reference to the policy over. */
struct wasm_seat *wasm_seat_create(struct pw_host *host, struct wasm_policy *policy);
void wasm_seat_destroy(struct wasm_seat **seat);
/* From now on; takes the caller's reference over. */
void wasm_seat_set_policy(struct wasm_seat *seat, struct wasm_policy *policy);

/* The mark was reached: the next second, or no more in this one. */
bool wasm_seat_next_window(struct wasm_seat *seat, uint64_t now_ms);

/* Whether the plugin may be given work. `now_ms` is the loop's. */
static inline bool wasm_seat_may_run(struct wasm_seat *seat, uint64_t now_ms)
{
    return WEIR_LIKELY(seat->costs.cycles < seat->mark) || wasm_seat_next_window(seat, now_ms);
}
/* Whether a stream under way may go on: cutting one costs its client more than refusing it. */
static inline bool wasm_seat_may_go_on(struct wasm_seat *seat, uint64_t now_ms)
{
    return WEIR_LIKELY(seat->costs.cycles < seat->last_mark) || wasm_seat_next_window(seat, now_ms);
}
/* When it may again; only after wasm_seat_may_run said no. */
static inline uint64_t wasm_seat_wait_ms(const struct wasm_seat *seat, uint64_t now_ms)
{
    uint64_t end = seat->window_ms + 1000;
    return end > now_ms ? end - now_ms : 1;
}

#endif
