/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_probe.c: a plugin without streams, for the places where a root context works alone: it logs what it
 * sees as an access logger, as a service and as a stat sink. Its configuration is a list of words: trap-log,
 * loop-log, tick, trap-tick, queue, push, late-done, never-done, refuse, trap-stats. Tests only.
 */
#include <wsdk.h>

#define TICK_MS 20

struct root_state {
    bool trap_log, loop_log, tick, trap_tick, queue, push, late_done, never_done, refuse, trap_stats;
    bool ending;
    uint32_t ticks, queue_id, counter;
};

static struct root_state *state_of(struct wsdk_context *root)
{
    return wsdk_root_state(root);
}

static bool has(struct wsdk_bytes text, const char *word)
{
    while (text.len > 0) {
        struct wsdk_bytes first = wsdk_before(text, " ");
        if (wsdk_equal(first, wsdk_cstr(word)))
            return true;
        size_t used = first.len < text.len ? first.len + 1 : first.len;
        text = (struct wsdk_bytes){text.data + used, text.len - used};
    }
    return false;
}

static bool on_configure(struct wsdk_context *root, size_t bytes)
{
    struct root_state *r = state_of(root);
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    r->trap_log = has(text, "trap-log");
    r->loop_log = has(text, "loop-log");
    r->tick = has(text, "tick");
    r->trap_tick = has(text, "trap-tick");
    r->queue = has(text, "queue");
    r->push = has(text, "push");
    r->late_done = has(text, "late-done");
    r->never_done = has(text, "never-done");
    r->refuse = has(text, "refuse");
    r->trap_stats = has(text, "trap-stats");
    wsdk_metric_define(root, WSDK_COUNTER, WSDK_STR("host_probe"), &r->counter);
    if (r->queue)
        wsdk_queue_register(root, WSDK_STR("work"), &r->queue_id);
    wsdk_log(root, WSDK_INFO, "configured");
    return !r->refuse && wsdk_tick_ms(root, TICK_MS) == WSDK_OK;
}

static void on_tick(struct wsdk_context *root)
{
    struct root_state *r = state_of(root);
    uint32_t queue;
    r->ticks++;
    wsdk_metric_add(root, r->counter, 1);
    if (r->tick && r->ticks <= 3)
        wsdk_log(root, WSDK_INFO, "tick %u", (unsigned)r->ticks);
    if (r->trap_tick && r->ticks == 3)
        wsdk_trap(root, "asked to");
    if (r->push && wsdk_queue_resolve(root, WSDK_NONE, WSDK_STR("work"), &queue) == WSDK_OK) {
        wsdk_queue_push(root, queue, WSDK_STR("parcel"));
        r->push = false;
    }
    if (r->ending && r->late_done) {
        wsdk_log(root, WSDK_INFO, "done now");
        wsdk_done(root);
    }
}

static void on_queue_ready(struct wsdk_context *root, uint32_t queue)
{
    struct wsdk_bytes value = WSDK_NONE;
    if (wsdk_queue_pop(root, queue, &value) == WSDK_OK)
        wsdk_log(root, WSDK_INFO, "got %.*s", WSDK_FMT(value));
}

static void loop_for_ever(void)
{
    volatile uint32_t n = 0;
    for (;;)
        n++;
}

static void on_log(struct wsdk_context *ctx)
{
    struct root_state *r = state_of(ctx);
    struct wsdk_bytes method = WSDK_NONE, status = WSDK_NONE, trailer = WSDK_NONE, source = WSDK_NONE,
                      cluster = WSDK_NONE;
    uint64_t code = 0;
    int statuses[4];
    struct wsdk_headers headers;
    if (r->trap_log)
        wsdk_trap(ctx, "asked to");
    if (r->loop_log)
        loop_for_ever();
    statuses[0] = (int)wsdk_header_get(ctx, WSDK_REQUEST_HEADERS, WSDK_STR(":method"), &method);
    statuses[1] = (int)wsdk_header_get(ctx, WSDK_RESPONSE_HEADERS, WSDK_STR(":status"), &status);
    statuses[2] = (int)wsdk_header_get(ctx, WSDK_RESPONSE_TRAILERS, WSDK_STR("x-trailer"), &trailer);
    statuses[3] = (int)wsdk_header_add(ctx, WSDK_REQUEST_HEADERS, WSDK_STR("a"), WSDK_STR("b"));
    size_t count = wsdk_headers_get(ctx, WSDK_REQUEST_HEADERS, &headers) == WSDK_OK ? headers.count : 0;
    wsdk_property_u64(ctx, WSDK_STR("response\0code"), &code);
    wsdk_property_get(ctx, WSDK_STR("source\0address"), &source);
    wsdk_property_get(ctx, WSDK_STR("xds\0cluster_name"), &cluster);
    int stored = (int)wsdk_property_set(ctx, WSDK_STR("k"), WSDK_STR("v"));
    wsdk_log(ctx, WSDK_INFO,
             "log root=%d method=%.*s/%d status=%.*s/%d trailer=%.*s/%d add=%d headers=%d code=%u source=%d "
             "cluster=%.*s set=%d",
             wsdk_is_root(ctx), WSDK_FMT(method), statuses[0], WSDK_FMT(status), statuses[1],
             WSDK_FMT(trailer), statuses[2], statuses[3], count > 3, (unsigned)code, source.len > 0,
             WSDK_FMT(cluster), stored);
}

/* Logs those that a test asks about, and how many there are of each kind. */
static void on_stats_update(struct wsdk_context *root, size_t bytes)
{
    struct wsdk_stats stats = {.at = 0};
    struct wsdk_stat stat;
    uint32_t counters = 0, gauges = 0;
    if (state_of(root)->trap_stats)
        wsdk_trap(root, "asked to");
    int status = (int)wsdk_buffer_get(root, WSDK_FOREIGN_ARGUMENTS, 0, bytes, &stats.data);
    if (status != WSDK_OK || stats.data.len != bytes) {
        wsdk_log(root, WSDK_ERROR, "no stats: %d, %zu of %zu bytes", status, stats.data.len, bytes);
        return;
    }
    while (wsdk_stats_next(&stats, &stat)) {
        counters += stat.is_counter;
        gauges += !stat.is_counter;
        if (wsdk_ends_with(stat.name, WSDK_STR("front.downstream_rq_total")) ||
            wsdk_equal(stat.name, WSDK_STR("server.live")))
            wsdk_log(root, WSDK_INFO, "stat %.*s %llu +%llu", WSDK_FMT(stat.name),
                     (unsigned long long)stat.value, (unsigned long long)stat.delta);
    }
    wsdk_log(root, WSDK_INFO, "stats %s: counters=%d gauges=%d", stats.at == bytes ? "whole" : "torn",
             counters > 5, gauges > 5);
}

static bool on_done(struct wsdk_context *ctx)
{
    struct root_state *r = state_of(ctx);
    wsdk_log(ctx, WSDK_INFO, "on_done");
    r->ending = true;
    return !r->late_done && !r->never_done;
}

static void on_delete(struct wsdk_context *ctx)
{
    wsdk_log(ctx, WSDK_INFO, "on_delete");
}

#define CALLBACKS(X)                                                                                         \
    X(on_configure, on_configure)                                                                            \
    X(on_tick, on_tick)                                                                                      \
    X(on_queue_ready, on_queue_ready)                                                                        \
    X(on_log, on_log)                                                                                        \
    X(on_stats_update, on_stats_update)                                                                      \
    X(on_done, on_done)                                                                                      \
    X(on_delete, on_delete)

WSDK_PLUGIN("host_probe", sizeof(struct root_state), 1, CALLBACKS);
