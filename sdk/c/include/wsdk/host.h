/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/host.h: host calls that any context may make: log, time, properties, timers, metrics, shared data and
 * queues, foreign functions. Each one returns the host's status; strings that it returns live until the
 * running callback returns. What depends on a stream acts on the effective context (wsdk_effective), by
 * default the one that is called.
 */
#ifndef WSDK_HOST_H
#define WSDK_HOST_H

#include <wsdk/types.h>

struct wsdk_context;

/*
 * Log one line, cut at 2,000 bytes. `format` is printf's with %s %.*s %c %d %i %u %x %p %% and the sizes l,
 * ll, z; field width and zero padding for numbers; no floating point. Nothing is formatted below the host's
 * level.
 */
enum wsdk_status wsdk_log(struct wsdk_context *ctx, enum wsdk_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Log bytes as they are, of any length. */
enum wsdk_status wsdk_log_bytes(struct wsdk_context *ctx, enum wsdk_level level, struct wsdk_bytes text);

/* The level from which on the host logs. */
enum wsdk_status wsdk_log_level(struct wsdk_context *ctx, enum wsdk_level *level);

/* Wall clock, nanoseconds since 1970. */
enum wsdk_status wsdk_now_ns(struct wsdk_context *ctx, uint64_t *now_ns);

/* Call on_tick of the root context every `period_ms`; 0 stops. */
enum wsdk_status wsdk_tick_ms(struct wsdk_context *ctx, uint32_t period_ms);

/* A property by its path, segments divided by NUL: WSDK_STR("request\0path"). Typed values are little-endian.
 */
enum wsdk_status wsdk_property_get(struct wsdk_context *ctx, struct wsdk_bytes path,
                                   struct wsdk_bytes *value);

/* The same for a property that is a number or a time: WSDK_BAD_ARGUMENT unless it is 8 bytes long. */
enum wsdk_status wsdk_property_u64(struct wsdk_context *ctx, struct wsdk_bytes path, uint64_t *value);

/* Set a property of the stream; other plugins and the access log can read it. */
enum wsdk_status wsdk_property_set(struct wsdk_context *ctx, struct wsdk_bytes path, struct wsdk_bytes value);

/* Metrics: define once (in on_configure), keep the id. A counter takes deltas > 0, a gauge any. */
enum wsdk_status wsdk_metric_define(struct wsdk_context *ctx, enum wsdk_metric_kind kind,
                                    struct wsdk_bytes name, uint32_t *metric);
enum wsdk_status wsdk_metric_add(struct wsdk_context *ctx, uint32_t metric, int64_t delta);
enum wsdk_status wsdk_metric_record(struct wsdk_context *ctx, uint32_t metric, uint64_t value);
enum wsdk_status wsdk_metric_get(struct wsdk_context *ctx, uint32_t metric, uint64_t *value);

/*
 * Data shared by all VMs with the same vm_id. `cas` counts changes: pass the one that get returned and set
 * fails with WSDK_CAS_MISMATCH when another VM was faster; 0 sets in any case.
 */
enum wsdk_status wsdk_shared_get(struct wsdk_context *ctx, struct wsdk_bytes key, struct wsdk_bytes *value,
                                 uint32_t *cas);
enum wsdk_status wsdk_shared_set(struct wsdk_context *ctx, struct wsdk_bytes key, struct wsdk_bytes value,
                                 uint32_t cas);

/* Queues: register makes one and has on_queue_ready called; resolve finds one of another vm_id ("" = own). */
enum wsdk_status wsdk_queue_register(struct wsdk_context *ctx, struct wsdk_bytes name, uint32_t *queue);
enum wsdk_status wsdk_queue_resolve(struct wsdk_context *ctx, struct wsdk_bytes vm_id, struct wsdk_bytes name,
                                    uint32_t *queue);
enum wsdk_status wsdk_queue_push(struct wsdk_context *ctx, uint32_t queue, struct wsdk_bytes value);
enum wsdk_status wsdk_queue_pop(struct wsdk_context *ctx, uint32_t queue, struct wsdk_bytes *value);

/* Make the host calls of this callback act on `other`, a context of the same VM, until the callback returns.
 */
enum wsdk_status wsdk_effective(struct wsdk_context *ctx, struct wsdk_context *other);

/* Say that a root whose on_done returned false may go now. */
enum wsdk_status wsdk_done(struct wsdk_context *root);

/* One counter or gauge of a stat sink's on_stats_update. `delta`: of a counter, since the last update. */
struct wsdk_stat {
    struct wsdk_bytes name;
    bool is_counter;
    uint64_t value, delta;
};

/* Where the reading stands: begin with the whole of WSDK_FOREIGN_ARGUMENTS in `data` and the rest 0. */
struct wsdk_stats {
    struct wsdk_bytes data;
    size_t at;
    uint32_t type, left;
};

/* False at the end, and when the data are not what they should be. */
bool wsdk_stats_next(struct wsdk_stats *stats, struct wsdk_stat *stat);

/* Call a function that only this host knows. `result` may be NULL. */
enum wsdk_status wsdk_foreign(struct wsdk_context *ctx, struct wsdk_bytes name, struct wsdk_bytes arguments,
                              struct wsdk_bytes *result);

#endif
