/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedder's callbacks: plugin logs go to the component "wasm" in Envoy's form, custom metrics to the
 * statistics under "wasmcustom.". All may be called from any thread.
 */
#include "filters/wasm/wasm_host.h"

#include "base/assert.h"
#include "filters/wasm/foreign.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"

#include <stdio.h>

/* "wasm log NAME ROOT VM: ", each part only when there (Envoy's Context::log). */
static size_t format_origin(char *dst, size_t size, const struct pw_log_record *r)
{
    const struct pw_slice parts[] = {r->plugin, r->root_id, r->vm_id};
    size_t n = (size_t)snprintf(dst, size, "wasm log");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++) {
        if (parts[i].len == 0 || n >= size)
            continue;
        int len = parts[i].len < 256 ? (int)parts[i].len : 256;
        n += (size_t)snprintf(dst + n, size - n, " %.*s", len, parts[i].ptr);
    }
    return n < size ? n : size - 1;
}

static void host_log(void *ctx, const struct pw_log_record *r)
{
    (void)ctx;
    /* The ABI's numbers are the log's. */
    enum log_level level = (enum log_level)r->level;
    if (!log_enabled(LOG_C_WASM, level))
        return;
    char origin[1024];
    char text[LOG_LINE_MAX];
    format_origin(origin, sizeof(origin), r);
    size_t len = r->text.len < sizeof(text) - 1 ? r->text.len : sizeof(text) - 1;
    for (size_t i = 0; i < len; i++)
        text[i] = r->text.ptr[i] ? r->text.ptr[i] : '?';
    text[len] = '\0';
    log_emit(LOG_C_WASM, level, __FILE__, __LINE__, "%s: %s", origin, text);
}

static uint32_t host_log_level(void *ctx)
{
    (void)ctx;
    return atomic_load_explicit(&log_levels[LOG_C_WASM], memory_order_relaxed);
}

/* A metric's handle is its number and type, never NULL since number 0 does not exist. */
static void *metric_handle(stat_id id, enum pw_metric_type type)
{
    return id ? (void *)((uintptr_t)id << 2 | (uintptr_t)type) : NULL;
}

static stat_id metric_id(void *metric)
{
    return (stat_id)((uintptr_t)metric >> 2);
}

static enum pw_metric_type metric_type(void *metric)
{
    return (enum pw_metric_type)((uintptr_t)metric & 3);
}

static void *host_metric_define(void *ctx, enum pw_metric_type type, struct pw_slice name)
{
    (void)ctx;
    struct slice n = slice_of(name.ptr, name.len);
    if (n.len > STATS_NAME_MAX - 16)
        return NULL;
    switch (type) {
    case PW_METRIC_COUNTER:
        return metric_handle(stat_counter("wasmcustom.%.*s", SLICE_ARG(n)), type);
    case PW_METRIC_GAUGE:
        return metric_handle(stat_shared_gauge("wasmcustom.%.*s", SLICE_ARG(n)), type);
    case PW_METRIC_HISTOGRAM:
        return metric_handle(stat_histogram("wasmcustom.%.*s", SLICE_ARG(n)), type);
    }
    return NULL;
}

static void host_metric_add(void *ctx, void *metric, int64_t delta)
{
    (void)ctx;
    if (metric_type(metric) == PW_METRIC_COUNTER)
        stat_add(metric_id(metric), (uint64_t)delta);
    else
        stat_shared_add(metric_id(metric), delta);
}

static void host_metric_record(void *ctx, void *metric, uint64_t value)
{
    (void)ctx;
    if (metric_type(metric) == PW_METRIC_GAUGE)
        stat_set(metric_id(metric), value);
    else
        stat_record(metric_id(metric), value);
}

static uint64_t host_metric_get(void *ctx, void *metric)
{
    (void)ctx;
    return stat_value(metric_id(metric));
}

struct pw_host *wasm_host_create(struct pw_posix *posix)
{
    struct pw_host_ops ops = {
        .size = sizeof(ops),
        .log = host_log,
        .log_level = host_log_level,
        .metric_define = host_metric_define,
        .metric_add = host_metric_add,
        .metric_record = host_metric_record,
        .metric_get = host_metric_get,
    };
    pw_posix_fill(posix, &ops);
    struct pw_host *host = pw_host_create(&ops, posix);
    if (host && wasm_foreign_register(host) != PW_OK)
        pw_host_destroy(&host);
    return host;
}
