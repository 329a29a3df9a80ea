/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share of time is counted in windows of one second that begin when the plugin has work, so that an idle
 * plugin costs nothing. Never reads a clock on the path of a plugin that keeps its share.
 */
#include "filters/wasm/wasm_seat.h"

#include "telemetry/log.h"

#include <inttypes.h>
#include <stdlib.h>

#define WINDOW_MS UINT64_C(1000)
#define WINDOW_NS UINT64_C(1000000000)
/* One line in this time, per plugin and worker. */
#define TELL_MS UINT64_C(10000)

struct wasm_seat *wasm_seat_create(struct pw_host *host, const char *name, struct wasm_policy *policy)
{
    struct wasm_seat *seat = aligned_alloc(64, (sizeof(*seat) + 63) / 64 * 64);
    if (!seat) {
        wasm_policy_unref(&policy);
        return NULL;
    }
    *seat = (struct wasm_seat){.host = host, .name = name};
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
    seat->window_end_ms = 0; /* the next call begins one */
}

/* The first passing of a window. Operators of a plugin that does much of the work must learn what to change.
 */
static void passed(struct wasm_seat *seat, uint64_t now_ms)
{
    seat->spent = true;
    seat->counts.time_share_passed++;
    if (seat->told_ms != 0 && now_ms - seat->told_ms < TELL_MS)
        return;
    seat->told_ms = now_ms;
    log_write(
        WASM, WARN,
        "plugin \"%s\" used its %" PRIu32
        " %% of a worker's time in less than a second: new streams get its fallback until the second is "
        "over, others wait (worker_time_percent_max in its policy rule; %" PRIu64 " times so far)",
        seat->name, seat->policy->worker_time_percent, seat->counts.time_share_passed);
}

bool wasm_seat_next_window(struct wasm_seat *seat, uint64_t now_ms)
{
    uint32_t percent = seat->policy->worker_time_percent;
    if (percent >= 100) {
        seat->mark = UINT64_MAX;
        seat->window_end_ms = UINT64_MAX;
        return true;
    }
    if (now_ms < seat->window_end_ms) {
        if (!seat->spent)
            passed(seat, now_ms);
        return false;
    }
    seat->spent = false;
    seat->window_end_ms = now_ms + WINDOW_MS;
    seat->mark = seat->costs.cycles + pw_host_ns_to_cycles(seat->host, WINDOW_NS / 100 * percent);
    return true;
}
