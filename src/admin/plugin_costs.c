/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Costs as text. CPU time is measured for some calls and shown for all: the mean of the sample times the
 * calls.
 */
#include "admin/plugin_costs.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S 1e9

struct cost_row {
    const char *name;       /* in /plugins */
    const char *prometheus; /* and there */
    bool seconds;           /* shown in seconds there */
    uint64_t (*value)(const struct wasm_service *wasm, const struct pw_cost *cost);
};

static uint64_t calls(const struct wasm_service *wasm, const struct pw_cost *cost)
{
    (void)wasm;
    return cost->calls;
}
static uint64_t host_calls(const struct wasm_service *wasm, const struct pw_cost *cost)
{
    (void)wasm;
    return cost->host_calls;
}
static uint64_t bytes(const struct wasm_service *wasm, const struct pw_cost *cost)
{
    (void)wasm;
    return cost->bytes;
}
static uint64_t failures(const struct wasm_service *wasm, const struct pw_cost *cost)
{
    (void)wasm;
    return cost->failures;
}
static uint64_t time_ns(const struct wasm_service *wasm, const struct pw_cost *cost)
{
    return wasm_service_ns(wasm, cost->cycles);
}
static uint64_t cpu_ns(const struct wasm_service *wasm, const struct pw_cost *cost)
{
    (void)wasm;
    return cost->cpu_samples
               ? (uint64_t)((double)cost->cpu_ns / (double)cost->cpu_samples * (double)cost->calls)
               : 0;
}

static const struct cost_row rows[] = {
    {"calls", "weir_plugin_calls_total", false, calls},
    {"host_calls", "weir_plugin_host_calls_total", false, host_calls},
    {"bytes", "weir_plugin_copied_bytes_total", false, bytes},
    {"failures", "weir_plugin_failures_total", false, failures},
    {"time_ns", "weir_plugin_time_seconds_total", true, time_ns},
    {"cpu_ns", "weir_plugin_cpu_seconds_total", true, cpu_ns},
};

/* --- /plugins --- */

void plugin_costs_text(const struct wasm_service *wasm, const struct wasm_plugin_report *r,
                       const char *plugin, struct strbuf *out)
{
    const char *name;
    for (unsigned c = 0; (name = pw_callback_name(c)) != NULL; c++) {
        for (size_t i = 0; r->costs->callback[c].calls && i < WEIR_ARRAY_LEN(rows); i++)
            strbuf_printf(out, "%s::callback.%s.%s::%" PRIu64 "\n", plugin, name, rows[i].name,
                          rows[i].value(wasm, &r->costs->callback[c]));
    }
    for (unsigned l = 0; l < PW_LIMIT_COUNT; l++)
        strbuf_printf(out, "%s::limit.%s::%" PRIu64 "\n", plugin, pw_limit_name(l), r->costs->limit_hits[l]);
}

static void policy_json(const struct wasm_policy *p, struct strbuf *out)
{
    static const char *const fallbacks[] = {"AS_PLUGIN", "FAIL_OPEN", "FAIL_CLOSED"};
    strbuf_append_str(out, ",\n   \"policy\": {\n    \"rule\": ");
    strbuf_append_json(out, p->rule);
    strbuf_printf(out,
                  ",\n    \"fallback\": \"%s\",\n    \"worker_time_percent_max\": %" PRIu32
                  ",\n    \"pause_time_max_ms\": %" PRIu64 ",\n    \"done_time_max_ms\": %" PRIu64
                  ",\n    \"time_check\": %s,\n    \"crash_failures\": %" PRIu32
                  ",\n    \"crash_window_ms\": %" PRIu64
                  ",\n    \"hidden_headers\": %zu,\n    \"hidden_properties\": %zu"
                  ",\n    \"hidden_clusters\": %zu",
                  fallbacks[p->fallback], p->worker_time_percent, p->pause_max_ms, p->done_max_ms,
                  p->time_check_off ? "false" : "true", p->crash_failures, p->crash_window_ms,
                  p->hidden_headers.count, p->hidden_properties.count, p->hidden_clusters.count);
#define LIMIT_X(type, field, value, what)                                                                    \
    strbuf_printf(out, ",\n    \"" #field "\": %" PRIu64, (uint64_t)p->limits.field);
    PW_LIMITS(LIMIT_X)
#undef LIMIT_X
    strbuf_append_str(out, "\n   }");
}

void plugin_costs_json(const struct wasm_service *wasm, const struct wasm_plugin_report *r,
                       struct strbuf *out)
{
    const char *name;
    bool any = false;
    policy_json(r->policy, out);
    strbuf_append_str(out, ",\n   \"callbacks\": {");
    for (unsigned c = 0; (name = pw_callback_name(c)) != NULL; c++) {
        const struct pw_cost *cost = &r->costs->callback[c];
        if (cost->calls == 0)
            continue;
        strbuf_printf(out, "%s\n    \"%s\": {", any ? "," : "", name);
        for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
            strbuf_printf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", rows[i].name, rows[i].value(wasm, cost));
        strbuf_append_char(out, '}');
        any = true;
    }
    strbuf_append_str(out, any ? "\n   }" : "}");
    strbuf_append_str(out, ",\n   \"limits_passed\": {");
    for (unsigned l = 0; l < PW_LIMIT_COUNT; l++)
        strbuf_printf(out, "%s\"%s\": %" PRIu64, l ? ", " : "", pw_limit_name(l), r->costs->limit_hits[l]);
    strbuf_append_char(out, '}');
}

/* --- /stats/prometheus --- */

struct series {
    char name[256];
    struct pw_costs costs;
    struct wasm_seat_counts seats;
    uint64_t memory_bytes, host_bytes, streams, callouts_active, callout_bytes, callouts_started, vms,
        respawns, quarantines;
};

struct all {
    struct series *items;
    size_t count, cap;
    bool failed;
};

static void add_counters(void *to, const void *from, size_t size)
{
    uint64_t *sum = to;
    const uint64_t *more = from;
    for (size_t i = 0; i < size / sizeof(*sum); i++)
        sum[i] += more[i];
}

static struct series *series_of(struct all *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strncmp(all->items[i].name, name, sizeof(all->items[i].name) - 1) == 0)
            return &all->items[i];
    }
    if (all->count == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 8;
        struct series *items = realloc(all->items, cap * sizeof(*items));
        if (!items)
            return NULL;
        all->items = items;
        all->cap = cap;
    }
    struct series *s = &all->items[all->count++];
    *s = (struct series){0};
    snprintf(s->name, sizeof(s->name), "%s", name);
    return s;
}

static void collect(void *arg, const struct wasm_plugin_report *r)
{
    struct all *all = arg;
    struct series *s = series_of(all, r->name);
    all->failed |= !s;
    if (!s)
        return;
    add_counters(&s->costs, r->costs, sizeof(s->costs));
    add_counters(&s->seats, &r->seats, sizeof(s->seats));
    s->memory_bytes += r->memory_bytes;
    s->host_bytes += r->host_bytes;
    s->streams += r->streams;
    s->callouts_active += r->callouts_active;
    s->callout_bytes += r->callout_bytes;
    s->callouts_started += r->callouts_started;
    s->vms += r->vms;
    s->respawns += r->respawns;
    s->quarantines += r->quarantines;
}

static bool wanted(const struct stats_filter *f, const char *name)
{
    return !f->regex || regex_search(f->regex, slice_str(name));
}

static void append_labels(struct strbuf *out, const char *name, const char *plugin, const char *key,
                          const char *value)
{
    strbuf_printf(out, "%s{plugin=\"", name);
    for (const char *c = plugin; *c; c++) {
        if (*c == '\\' || *c == '"')
            strbuf_append_char(out, '\\');
        if (*c == '\n')
            strbuf_append_str(out, "\\n");
        else
            strbuf_append_char(out, *c);
    }
    if (key)
        strbuf_printf(out, "\",%s=\"%s\"} ", key, value);
    else
        strbuf_append_str(out, "\"} ");
}

static void append_row(const struct wasm_service *wasm, const struct all *all, const struct cost_row *row,
                       struct strbuf *out)
{
    strbuf_printf(out, "# TYPE %s counter\n", row->prometheus);
    for (size_t i = 0; i < all->count; i++) {
        const char *callback;
        for (unsigned c = 0; (callback = pw_callback_name(c)) != NULL; c++) {
            const struct pw_cost *cost = &all->items[i].costs.callback[c];
            if (cost->calls == 0)
                continue;
            append_labels(out, row->prometheus, all->items[i].name, "callback", callback);
            uint64_t value = row->value(wasm, cost);
            if (row->seconds)
                strbuf_printf(out, "%.9f\n", (double)value / NS_PER_S);
            else
                strbuf_printf(out, "%" PRIu64 "\n", value);
        }
    }
}

static void append_limits(const struct all *all, struct strbuf *out)
{
    static const char name[] = "weir_plugin_limits_passed_total";
    strbuf_printf(out, "# TYPE %s counter\n", name);
    for (size_t i = 0; i < all->count; i++) {
        for (unsigned l = 0; l < PW_LIMIT_COUNT; l++) {
            append_labels(out, name, all->items[i].name, "limit", pw_limit_name(l));
            strbuf_printf(out, "%" PRIu64 "\n", all->items[i].costs.limit_hits[l]);
        }
    }
}

#define TOTALS(X)                                                                                            \
    X("weir_plugin_memory_bytes", "gauge", memory_bytes)                                                     \
    X("weir_plugin_host_bytes", "gauge", host_bytes)                                                         \
    X("weir_plugin_streams", "gauge", streams)                                                               \
    X("weir_plugin_callouts_active", "gauge", callouts_active)                                               \
    X("weir_plugin_callout_bytes", "gauge", callout_bytes)                                                   \
    X("weir_plugin_callouts_total", "counter", callouts_started)                                             \
    X("weir_plugin_vms", "gauge", vms)                                                                       \
    X("weir_plugin_respawns_total", "counter", respawns)                                                     \
    X("weir_plugin_quarantines_total", "counter", quarantines)                                               \
    X("weir_plugin_time_share_passed_total", "counter", seats.time_share_passed)                             \
    X("weir_plugin_streams_refused_total", "counter", seats.streams_refused)                                 \
    X("weir_plugin_streams_delayed_total", "counter", seats.streams_delayed)                                 \
    X("weir_plugin_calls_skipped_total", "counter", seats.calls_skipped)                                     \
    X("weir_plugin_pauses_ended_total", "counter", seats.pauses_ended)

static void append_totals(const struct all *all, const struct stats_filter *filter, struct strbuf *out)
{
#define TOTAL_X(text, kind, member)                                                                          \
    if (wanted(filter, text)) {                                                                              \
        strbuf_append_str(out, "# TYPE " text " " kind "\n");                                                \
        for (size_t i = 0; i < all->count; i++) {                                                            \
            append_labels(out, text, all->items[i].name, NULL, NULL);                                        \
            strbuf_printf(out, "%" PRIu64 "\n", all->items[i].member);                                       \
        }                                                                                                    \
    }
    TOTALS(TOTAL_X)
#undef TOTAL_X
}

bool plugin_costs_prometheus(struct wasm_service *wasm, const struct stats_filter *filter, struct strbuf *out)
{
    struct all all = {0};
    uint64_t used, max;
    wasm_service_report(wasm, collect, &all);
    for (size_t i = 0; all.count && i < WEIR_ARRAY_LEN(rows); i++) {
        if (wanted(filter, rows[i].prometheus))
            append_row(wasm, &all, &rows[i], out);
    }
    if (all.count && wanted(filter, "weir_plugin_limits_passed_total"))
        append_limits(&all, out);
    if (all.count)
        append_totals(&all, filter, out);
    wasm_service_memory(wasm, &used, &max);
    if (wanted(filter, "weir_plugins_memory_bytes"))
        strbuf_printf(
            out, "# TYPE weir_plugins_memory_bytes gauge\nweir_plugins_memory_bytes{} %" PRIu64 "\n", used);
    free(all.items);
    return !all.failed;
}
