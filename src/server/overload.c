/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overload manager: measures resources on the main loop every refresh interval, turns pressures into the
 * states that workers read, and tells workers of what they must do at once.
 */
#include "server/overload.h"

#include "proxy/listener/listener.h"
#include "proxy/overload/overload_config.h"
#include "server/overload_meter.h"
#include "server/server_impl.h"
#include "telemetry/log.h"

#include <malloc.h>
#include <stdlib.h>

#define TRIM_INTERVAL_MS 10000u /* Envoy's: giving memory back takes a lock of the allocator */

struct resource_state {
    struct overload_meter meter;
    double pressure;
    stat_id pressure_stat;
    stat_id failed_updates;
};

struct action_state {
    uint32_t scale;
    stat_id active; /* actions only */
    stat_id scale_percent;
};

struct server_overload {
    struct server *server;
    const struct overload_config *config;
    struct timer timer;
    struct resource_state *resources;
    struct action_state *actions;
    stat_id shrink_count;
    uint64_t trimmed_ms;
};

/* --- measuring --- */

static void refresh_resources(struct server_overload *o)
{
    for (size_t i = 0; i < o->config->resources_count; i++) {
        struct resource_state *r = &o->resources[i];
        if (!overload_meter_read(&r->meter, &r->pressure))
            stat_inc(r->failed_updates);
        stat_set(r->pressure_stat, (uint64_t)(r->pressure * 100 + 1e-6));
    }
}

/* --- acting --- */

static uint32_t trigger_scale(const struct overload_trigger *t, double pressure)
{
    if (pressure >= t->to)
        return OVERLOAD_FULL;
    if (pressure <= t->from)
        return 0;
    return (uint32_t)((pressure - t->from) / (t->to - t->from) * OVERLOAD_FULL);
}

static uint32_t action_scale(const struct server_overload *o, const struct overload_action *a)
{
    uint32_t most = 0;
    for (size_t i = 0; i < a->triggers_count; i++) {
        uint32_t scale = trigger_scale(&a->triggers[i], o->resources[a->triggers[i].resource].pressure);
        most = scale > most ? scale : most;
    }
    return most;
}

static void tell_worker(void *arg)
{
    listener_overload_changed(arg);
}

static void tell_workers(struct server *s)
{
    for (uint32_t i = 0; i < s->workers_started; i++) {
        if (!loop_post(&s->workers[i]->loop, tell_worker, s->workers[i]))
            log_write(MAIN, WARN, "worker %u hears of overload only with the next change", i);
    }
}

static void give_back_memory(struct server_overload *o)
{
    uint64_t now = o->server->loop.now_ms;
    if (o->trimmed_ms && now - o->trimmed_ms < TRIM_INTERVAL_MS)
        return;
    o->trimmed_ms = now;
    malloc_trim(0);
    stat_inc(o->shrink_count);
}

static void apply(struct server_overload *o, size_t i)
{
    const struct overload_action *a = &o->config->actions[i];
    struct action_state *state = &o->actions[i];
    uint32_t scale = action_scale(o, a), before = state->scale;
    if (a->point == OVERLOAD_SHRINK_HEAP && scale >= OVERLOAD_FULL)
        give_back_memory(o);
    bool again = a->point == OVERLOAD_RESET_STREAMS && scale > 0; /* others have grown meanwhile */
    if (scale == before) {
        if (again)
            tell_workers(o->server);
        return;
    }
    state->scale = scale;
    stat_set(state->scale_percent, (uint64_t)scale * 100 / OVERLOAD_FULL);
    if (a->point < OVERLOAD_FIRST_SHED_POINT)
        stat_set(state->active, scale >= OVERLOAD_FULL);
    if ((scale > 0) != (before > 0))
        log_write(MAIN, WARN, "overload: %s %s", overload_point_name(a->point), scale ? "begins" : "is over");
    overload_set(a->point, scale);
    if (again || a->point == OVERLOAD_STOP_ACCEPTING_CONNECTIONS || a->point == OVERLOAD_REDUCE_TIMEOUTS)
        tell_workers(o->server);
}

static void refresh(struct timer *timer)
{
    struct server_overload *o = WEIR_CONTAINER_OF(timer, struct server_overload, timer);
    refresh_resources(o);
    for (size_t i = 0; i < o->config->actions_count; i++)
        apply(o, i);
    timer_set(&o->server->loop, timer, o->config->refresh_ms ? o->config->refresh_ms : 1);
}

/* --- set up --- */

static void register_stats(struct server_overload *o)
{
    for (size_t i = 0; i < o->config->resources_count; i++) {
        struct slice name = o->config->resources[i].name;
        o->resources[i].pressure_stat = stat_shared_gauge("overload." SLICE_FMT ".pressure", SLICE_ARG(name));
        o->resources[i].failed_updates =
            stat_counter("overload." SLICE_FMT ".failed_updates", SLICE_ARG(name));
    }
    for (size_t i = 0; i < o->config->actions_count; i++) {
        enum overload_point p = o->config->actions[i].point;
        const char *name = overload_point_name(p);
        o->actions[i].scale_percent = stat_shared_gauge("overload.%s.scale_percent", name);
        if (p >= OVERLOAD_FIRST_SHED_POINT)
            overload_count_shed(p, stat_counter("overload.%s.shed_load_count", name));
        else
            o->actions[i].active = stat_shared_gauge("overload.%s.active", name);
        if (p == OVERLOAD_SHRINK_HEAP)
            o->shrink_count = stat_counter("overload.%s.shrink_count", name);
        if (p == OVERLOAD_RESET_STREAMS)
            overload_track_streams(o->config->track_streams_from, stat_counter("%s.count", name));
    }
}

struct server_overload *server_overload_create(struct server *s)
{
    const struct overload_config *config = s->resources->overload;
    struct server_overload *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    o->server = s;
    o->config = config;
    o->resources = calloc(config->resources_count + 1, sizeof(*o->resources));
    o->actions = calloc(config->actions_count + 1, sizeof(*o->actions));
    if (!o->resources || !o->actions) {
        free(o->resources);
        free(o->actions);
        free(o);
        return NULL;
    }
    for (size_t i = 0; i < config->resources_count; i++) {
        if (config->resources[i].monitor == OVERLOAD_CONNECTIONS)
            overload_limit_connections(config->resources[i].max);
    }
    for (size_t i = 0; i < config->resources_count; i++)
        overload_meter_init(&o->resources[i].meter, &config->resources[i], "");
    for (size_t i = 0; i < config->floors_count; i++)
        overload_timer_floor(config->floors[i].timer, config->floors[i].min_ms, config->floors[i].min_share);
    register_stats(o);
    timer_init(&o->timer, refresh);
    return o;
}

void server_overload_start(struct server_overload *o)
{
    refresh(&o->timer);
}

void server_overload_destroy(struct server_overload **overload)
{
    struct server_overload *o = *overload;
    *overload = NULL;
    if (!o)
        return;
    timer_stop(&o->server->loop, &o->timer);
    free(o->resources);
    free(o->actions);
    free(o);
}
