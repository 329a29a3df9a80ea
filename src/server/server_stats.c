/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.* and the totals of listener_manager.* and cluster_manager.*, refreshed as often as Envoy flushes.
 */
#include "base/clock.h"
#include "server/server_impl.h"
#include "server/small_file.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REFRESH_MS 5000u /* Envoy's stats_flush_interval */

/* What a static configuration never moves; dashboards and alerts ask for them all the same. */
static const char *const counters[] = {
    "listener_manager.listener_create_failure",
    "listener_manager.listener_in_place_updated",
    "listener_manager.listener_modified",
    "listener_manager.listener_removed",
    "listener_manager.listener_stopped",
    "server.dynamic_unknown_fields",
    "server.static_unknown_fields", /* they are errors */
};
static const char *const gauges[] = {
    "listener_manager.total_filter_chains_draining",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_listeners_warming",
};

/* 0: the kernel does not say. */
static uint64_t resident_bytes(void)
{
    char text[128];
    if (!small_file_read("", "/proc/self/statm", text, sizeof(text)))
        return 0;
    char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void refresh(struct timer *timer)
{
    struct server *s = WEIR_CONTAINER_OF(timer, struct server, stats_timer);
    struct mallinfo2 m = mallinfo2();
    stat_set(stat_shared_gauge("server.uptime"), (monotonic_ns() - s->start_ns) / 1000000000u);
    stat_set(stat_shared_gauge("server.memory_allocated"), m.uordblks + m.hblkhd);
    stat_set(stat_shared_gauge("server.memory_heap_size"), m.arena + m.hblkhd);
    stat_set(stat_shared_gauge("server.live"), atomic_load(&s->state) == ADMIN_LIVE);
    /* Envoy's numbers: 0 live, 1 draining, 2 pre-initializing, 3 initializing. */
    static const uint64_t numbers[] = {
        [ADMIN_PRE_INITIALIZING] = 2, [ADMIN_INITIALIZING] = 3, [ADMIN_LIVE] = 0, [ADMIN_DRAINING] = 1};
    stat_set(stat_shared_gauge("server.state"), numbers[atomic_load(&s->state)]);
    stat_set(stat_shared_gauge("server.log_bytes_dropped"), log_dropped());
    stat_set(stat_shared_gauge("server.memory_physical_size"), resident_bytes());
    timer_set(&s->loop, timer, REFRESH_MS);
}

void server_stats_start(struct server *s)
{
    stat_set(stat_shared_gauge("server.concurrency"), s->concurrency);
    stat_set(stat_shared_gauge("server.hot_restart_epoch"), s->options->restart_epoch);
    stat_add(stat_counter("listener_manager.listener_added"), s->resources->listeners_count);
    stat_add(stat_counter("listener_manager.listener_create_success"),
             s->resources->listeners_count * s->concurrency);
    stat_set(stat_shared_gauge("listener_manager.total_listeners_active"), s->resources->listeners_count);
    stat_set(stat_shared_gauge("listener_manager.workers_started"), 1);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(counters); i++)
        stat_counter("%s", counters[i]);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(gauges); i++)
        stat_set(stat_shared_gauge("%s", gauges[i]), 0);
    stat_record(stat_histogram("server.initialization_time_ms"), (monotonic_ns() - s->start_ns) / 1000000u);
    timer_init(&s->stats_timer, refresh);
    refresh(&s->stats_timer);
}
