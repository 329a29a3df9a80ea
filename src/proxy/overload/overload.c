/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process-wide states of overload. Whoever reads a bit and its scale may see them of two refreshes: they
 * are probabilities.
 */
#include "proxy/overload/overload.h"

_Atomic uint32_t overload_bits_word;
_Atomic uint32_t overload_scales[OVERLOAD_POINT_COUNT];

static stat_id shed_counts[OVERLOAD_POINT_COUNT];
static bool shed_counted[OVERLOAD_POINT_COUNT];

static struct {
    uint64_t min_ms;
    uint32_t min_share;
    bool set;
} floors[OVERLOAD_TIMER_COUNT];

static uint64_t connections_max;
static _Atomic uint64_t connections_open;

const char *overload_point_name(enum overload_point p)
{
    static const char *const names[] = {
#define POINT_X(name, text) text,
        OVERLOAD_POINTS(POINT_X)
#undef POINT_X
    };
    return names[p];
}

void overload_set(enum overload_point p, uint32_t scale)
{
    atomic_store_explicit(&overload_scales[p], scale, memory_order_relaxed);
    if (scale)
        atomic_fetch_or_explicit(&overload_bits_word, 1u << p, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&overload_bits_word, ~(1u << p), memory_order_relaxed);
}

static uint32_t scale_of(enum overload_point p)
{
    return atomic_load_explicit(&overload_scales[p], memory_order_relaxed);
}

bool overload_acts(enum overload_point p, struct worker *w)
{
    uint32_t scale = scale_of(p);
    bool acts = scale >= OVERLOAD_FULL || (scale > 0 && worker_random(w, OVERLOAD_FULL) < scale);
    if (acts && shed_counted[p])
        stat_inc(shed_counts[p]);
    return acts;
}

void overload_count_shed(enum overload_point p, stat_id shed_load_count)
{
    shed_counts[p] = shed_load_count;
    shed_counted[p] = true;
}

void overload_timer_floor(enum overload_timer t, uint64_t min_ms, uint32_t min_share)
{
    floors[t].min_ms = min_ms;
    floors[t].min_share = min_share;
    floors[t].set = true;
}

uint64_t overload_reduced_timeout(enum overload_timer t, uint64_t limit_ms)
{
    if (!floors[t].set)
        return limit_ms;
    uint64_t floor_ms = floors[t].min_share
                            ? (uint64_t)((unsigned __int128)limit_ms * floors[t].min_share / OVERLOAD_FULL)
                            : floors[t].min_ms;
    if (floor_ms >= limit_ms)
        return limit_ms;
    uint64_t range = limit_ms - floor_ms;
    uint64_t cut = (uint64_t)((unsigned __int128)range * scale_of(OVERLOAD_REDUCE_TIMEOUTS) / OVERLOAD_FULL);
    uint64_t left = limit_ms - cut;
    return left ? left : 1; /* 0 would be no limit */
}

void overload_limit_connections(uint64_t max)
{
    connections_max = max;
}

bool overload_limits_connections(void)
{
    return connections_max > 0;
}

bool overload_connection_begins(void)
{
    if (atomic_fetch_add_explicit(&connections_open, 1, memory_order_relaxed) < connections_max)
        return true;
    overload_connection_ends();
    return false;
}

void overload_connection_ends(void)
{
    atomic_fetch_sub_explicit(&connections_open, 1, memory_order_relaxed);
}

double overload_connections_pressure(void)
{
    uint64_t open = atomic_load_explicit(&connections_open, memory_order_relaxed);
    return connections_max ? (double)open / (double)connections_max : 0;
}
