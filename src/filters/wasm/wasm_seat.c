/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share of time is counted in windows of one second that begin when the plugin has work, so that an idle
 * plugin costs nothing. Never reads a clock on the path of a plugin that keeps its share.
 */
#include "filters/wasm/wasm_seat.h"

#include <stdlib.h>

#define WINDOW_MS UINT64_C(1000)
#define WINDOW_NS UINT64_C(1000000000)

struct wasm_seat *wasm_seat_create(struct pw_host *host, struct wasm_policy *policy)
{
    struct wasm_seat *seat = aligned_alloc(64, (sizeof(*seat) + 63) / 64 * 64);
    if (!seat) {
        wasm_policy_unref(&policy);
        return NULL;
    }
    *seat = (struct wasm_seat){.host = host};
    wasm_seat_set_policy(seat, policy);
    return seat;
}

void wasm_seat_destroy(struct wasm_seat **seat)
{
    struct wasm_seat *dead = *seat;
    *seat = NULL;
    if (!dead)
        return;
    wasm_policy_unref(&dead->policy);
    free(dead);
}

void wasm_seat_set_policy(struct wasm_seat *seat, struct wasm_policy *policy)
{
    wasm_policy_unref(&seat->policy);
    seat->policy = policy;
    seat->begun = false;
    seat->mark = 0; /* the next call sets both */
    seat->last_mark = 0;
}

bool wasm_seat_next_window(struct wasm_seat *seat, uint64_t now_ms)
{
    uint32_t percent = seat->policy->worker_time_percent;
    if (percent >= 100) {
        seat->mark = UINT64_MAX;
        seat->last_mark = UINT64_MAX;
        return true;
    }
    if (seat->begun && now_ms < seat->window_ms + WINDOW_MS) {
        seat->counts.time_share_passed += !seat->spent;
        seat->spent = true;
        return false;
    }
    seat->begun = true;
    seat->spent = false;
    seat->window_ms = now_ms;
    uint64_t share = pw_host_ns_to_cycles(seat->host, WINDOW_NS / 100 * percent);
    seat->mark = seat->costs.cycles + share;
    seat->last_mark = seat->mark + share / 2;
    return true;
}
