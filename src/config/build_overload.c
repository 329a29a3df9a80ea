/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OverloadManager to overload_config. Names that do not exist, or exist twice, are errors here as in Envoy.
 */
#include "config/builder.h"

#include "proxy/overload/overload_config.h"

#include <envoy/config/overload/v3/overload.pb-c.h>
#include <envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory.pb-c.h>
#include <envoy/extensions/resource_monitors/cpu_utilization/v3/cpu_utilization.pb-c.h>
#include <envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.pb-c.h>
#include <envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.pb-c.h>
#include <envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.pb-c.h>
#include <stdlib.h>

typedef Envoy__Config__Overload__V3__OverloadManager manager_message;
typedef Envoy__Config__Overload__V3__OverloadAction action_message;
typedef Envoy__Config__Overload__V3__LoadShedPoint point_message;
typedef Envoy__Config__Overload__V3__ResourceMonitor monitor_message;
typedef Envoy__Config__Overload__V3__Trigger trigger_message;
typedef Envoy__Config__Overload__V3__ScaleTimersOverloadActionConfig timers_message;
typedef Envoy__Config__Overload__V3__ScaleTimersOverloadActionConfig__ScaleTimer timer_message;
typedef Envoy__Extensions__ResourceMonitors__FixedHeap__V3__FixedHeapConfig fixed_heap_message;
typedef Envoy__Extensions__ResourceMonitors__DownstreamConnections__V3__DownstreamConnectionsConfig
    connections_message;
typedef Envoy__Extensions__ResourceMonitors__CgroupMemory__V3__CgroupMemoryConfig cgroup_message;
typedef Envoy__Extensions__ResourceMonitors__CpuUtilization__V3__CpuUtilizationConfig cpu_message;
typedef Envoy__Extensions__ResourceMonitors__InjectedResource__V3__InjectedResourceConfig injected_message;

struct overload_build {
    struct builder *b;
    const manager_message *in;
    struct overload_config *out;
};

/* --- resources --- */

static void monitor(struct overload_build *o, const monitor_message *in, struct overload_resource *out)
{
    const ProtobufCMessage *inside = builder_typed(o->b, in, "what is measured");
    out->name = builder_text(o->b, &o->out->arena, in->name);
    if (!inside)
        return;
    const ProtobufCMessageDescriptor *d = inside->descriptor;
    if (d == &envoy__extensions__resource_monitors__fixed_heap__v3__fixed_heap_config__descriptor) {
        out->monitor = OVERLOAD_FIXED_HEAP;
        out->max = ((const fixed_heap_message *)inside)->max_heap_size_bytes;
    } else if (
        d ==
        &envoy__extensions__resource_monitors__downstream_connections__v3__downstream_connections_config__descriptor) {
        out->monitor = OVERLOAD_CONNECTIONS;
        out->max = (uint64_t)((const connections_message *)inside)->max_active_downstream_connections;
    } else if (
        d ==
        &envoy__extensions__resource_monitors__injected_resource__v3__injected_resource_config__descriptor) {
        out->monitor = OVERLOAD_INJECTED;
        out->filename = builder_text(o->b, &o->out->arena, ((const injected_message *)inside)->filename).ptr;
    } else if (d ==
               &envoy__extensions__resource_monitors__cgroup_memory__v3__cgroup_memory_config__descriptor) {
        out->monitor = OVERLOAD_CGROUP_MEMORY;
        out->max = ((const cgroup_message *)inside)->max_memory_bytes;
    } else if (
        d == &envoy__extensions__resource_monitors__cpu_utilization__v3__cpu_utilization_config__descriptor) {
        out->monitor = OVERLOAD_CPU;
        out->container =
            ((const cpu_message *)inside)->mode ==
            ENVOY__EXTENSIONS__RESOURCE_MONITORS__CPU_UTILIZATION__V3__CPU_UTILIZATION_CONFIG__UTILIZATION_COMPUTE_STRATEGY__CONTAINER;
    }
}

static void resources(struct overload_build *o)
{
    size_t count = o->in->n_resource_monitors;
    struct overload_resource *list = builder_array(o->b, &o->out->arena, count, sizeof *list);
    o->out->resources = list;
    o->out->resources_count = list ? count : 0;
    for (size_t i = 0; list && i < count; i++) {
        monitor(o, o->in->resource_monitors[i], &list[i]);
        for (size_t j = 0; j < i; j++) {
            if (slice_eq(list[i].name, list[j].name))
                builder_error(o->b, o->in->resource_monitors[i], "name", "Duplicate resource monitor %s",
                              o->in->resource_monitors[i]->name);
        }
    }
}

/* --- triggers --- */

static void trigger(struct overload_build *o, const trigger_message *in, const char *point,
                    struct overload_trigger *out)
{
    size_t i = 0;
    while (i < o->out->resources_count && !slice_eq(o->out->resources[i].name, slice_str(in->name)))
        i++;
    if (i == o->out->resources_count)
        builder_error(o->b, in, "name", "Unknown trigger resource %s for overload action %s", in->name,
                      point);
    out->resource = i;
    if (in->trigger_oneof_case == ENVOY__CONFIG__OVERLOAD__V3__TRIGGER__TRIGGER_ONEOF_THRESHOLD) {
        out->from = out->to = in->threshold->value;
    } else if (in->trigger_oneof_case == ENVOY__CONFIG__OVERLOAD__V3__TRIGGER__TRIGGER_ONEOF_SCALED) {
        out->from = in->scaled->scaling_threshold;
        out->to = in->scaled->saturation_threshold;
        if (out->from >= out->to)
            builder_error(o->b, in, "scaled", "scaling_threshold must be less than saturation_threshold");
    }
}

static void triggers(struct overload_build *o, trigger_message *const *in, size_t count, const char *point,
                     struct overload_action *out)
{
    struct overload_trigger *list = builder_array(o->b, &o->out->arena, count, sizeof *list);
    out->triggers = list;
    out->triggers_count = list ? count : 0;
    for (size_t i = 0; list && i < count; i++) {
        trigger(o, in[i], point, &list[i]);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(in[i]->name, in[j]->name) == 0)
                builder_error(o->b, in[i], "name", "Duplicate trigger resource for overload action %s",
                              point);
        }
    }
}

/* --- actions and load shed points --- */

static bool find_point(const char *name, unsigned from, unsigned to, enum overload_point *out)
{
    for (unsigned i = from; i < to; i++) {
        if (strcmp(name, overload_point_name((enum overload_point)i)) == 0) {
            *out = (enum overload_point)i;
            return true;
        }
    }
    return false;
}

static void one_timer(struct overload_build *o, const timer_message *in, struct overload_floor *out)
{
    static const enum overload_timer timers[] = {
#define TIMER_OF(name) ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__TIMER_TYPE__##name
        [TIMER_OF(HTTP_DOWNSTREAM_CONNECTION_IDLE)] = OVERLOAD_TIMER_CONNECTION_IDLE,
        [TIMER_OF(HTTP_DOWNSTREAM_STREAM_IDLE)] = OVERLOAD_TIMER_STREAM_IDLE,
        [TIMER_OF(TRANSPORT_SOCKET_CONNECT)] = OVERLOAD_TIMER_HANDSHAKE,
        [TIMER_OF(HTTP_DOWNSTREAM_CONNECTION_MAX)] = OVERLOAD_TIMER_CONNECTION_MAX,
        [TIMER_OF(HTTP_DOWNSTREAM_STREAM_FLUSH)] = OVERLOAD_TIMER_STREAM_FLUSH,
#undef TIMER_OF
    };
    /* Others, and UNSPECIFIED, are refused by validation. */
    out->timer =
        (size_t)in->timer < WEIR_ARRAY_LEN(timers) ? timers[in->timer] : OVERLOAD_TIMER_CONNECTION_IDLE;
    if (in->overload_adjust_case ==
        ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__SCALE_TIMER__OVERLOAD_ADJUST_MIN_TIMEOUT)
        out->min_ms = builder_ms(in->min_timeout, 0);
    else if (
        in->overload_adjust_case ==
        ENVOY__CONFIG__OVERLOAD__V3__SCALE_TIMERS_OVERLOAD_ACTION_CONFIG__SCALE_TIMER__OVERLOAD_ADJUST_MIN_SCALE)
        out->min_share = (uint32_t)(in->min_scale->value / 100 * OVERLOAD_FULL);
    else
        builder_error(o->b, in, NULL, "needs min_timeout or min_scale");
}

static void timers(struct overload_build *o, const action_message *in)
{
    const timers_message *t = (const timers_message *)builder_typed(
        o->b, in, "which timeouts are reduced (ScaleTimersOverloadActionConfig)");
    if (!t)
        return;
    struct overload_floor *floors =
        builder_array(o->b, &o->out->arena, t->n_timer_scale_factors, sizeof *floors);
    o->out->floors = floors;
    o->out->floors_count = floors ? t->n_timer_scale_factors : 0;
    for (size_t i = 0; floors && i < t->n_timer_scale_factors; i++)
        one_timer(o, t->timer_scale_factors[i], &floors[i]);
}

static void actions(struct overload_build *o)
{
    size_t count = o->in->n_actions + o->in->n_loadshed_points;
    struct overload_action *list = builder_array(o->b, &o->out->arena, count, sizeof *list);
    o->out->actions = list;
    uint32_t seen = 0;
    for (size_t i = 0; list && i < count; i++) {
        bool action = i < o->in->n_actions;
        const action_message *a = action ? o->in->actions[i] : NULL;
        const point_message *p = action ? NULL : o->in->loadshed_points[i - o->in->n_actions];
        const ProtobufCMessage *at = action ? &a->base : &p->base;
        const char *name = action ? a->name : p->name;
        struct overload_action *out = &list[o->out->actions_count];
        if (!find_point(name, action ? 0 : OVERLOAD_FIRST_SHED_POINT,
                        action ? OVERLOAD_FIRST_SHED_POINT : OVERLOAD_POINT_COUNT, &out->point)) {
            config_error_at(o->b->doc, o->b->diag, at, "name", -1,
                            "\"%s\" is not there; docs/overload.md lists %s", name,
                            action ? "the actions" : "the load shed points");
            continue;
        }
        if (seen & 1u << out->point)
            config_error_at(o->b->doc, o->b->diag, at, "name", -1, "Duplicate overload action %s", name);
        seen |= 1u << out->point;
        if (action)
            triggers(o, a->triggers, a->n_triggers, name, out);
        else
            triggers(o, p->triggers, p->n_triggers, name, out);
        if (out->point == OVERLOAD_REDUCE_TIMEOUTS)
            timers(o, a);
        o->out->actions_count++;
    }
}

void builder_overload(struct builder *b, const manager_message *in)
{
    struct overload_build o = {.b = b, .in = in};
    if (!in)
        return;
    o.out = b->out->overload = calloc(1, sizeof(*o.out));
    if (!o.out) {
        builder_error(b, in, NULL, "out of memory");
        return;
    }
    arena_init(&o.out->arena, OVERLOAD_CONFIG_BYTES_MAX, NULL);
    o.out->refresh_ms = builder_ms(in->refresh_interval, 1000);
    if (in->buffer_factory_config)
        o.out->track_streams_from = in->buffer_factory_config->minimum_account_to_track_power_of_two;
    resources(&o);
    actions(&o);
}
