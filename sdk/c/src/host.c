/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c: the calls of wsdk/host.h, one host call each. It keeps no state and copies nothing.
 */
#include "import.h"
#include <wsdk/host.h>
#include <wsdk/text.h>

enum wsdk_status wsdk_log_bytes(struct wsdk_context *ctx, enum wsdk_level level, struct wsdk_bytes text)
{
    return WSDK_HOST(ctx, proxy_log, WSDK_ARG(level), WSDK_ARG(text.data), WSDK_ARG(text.len));
}

enum wsdk_status wsdk_log_level(struct wsdk_context *ctx, enum wsdk_level *level)
{
    wsdk_slot slot = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_get_log_level, WSDK_ARG(&slot));
    *level = (enum wsdk_level)slot;
    return status;
}

enum wsdk_status wsdk_log(struct wsdk_context *ctx, enum wsdk_level level, const char *format, ...)
{
    char line[WSDK_LOG_LINE_BYTES];
    enum wsdk_level from = WSDK_TRACE;
    va_list list;
    /* Warnings and errors nearly always pass; for the rest asking is cheaper than formatting. */
    if (level < WSDK_WARN && wsdk_log_level(ctx, &from) == WSDK_OK && level < from)
        return WSDK_OK;
    va_start(list, format);
    size_t len = wsdk_format_list(line, sizeof(line), format, list);
    va_end(list);
    return wsdk_log_bytes(ctx, level, (struct wsdk_bytes){line, len});
}

enum wsdk_status wsdk_now_ns(struct wsdk_context *ctx, uint64_t *now_ns)
{
    *now_ns = 0;
    return WSDK_HOST(ctx, proxy_get_current_time_nanoseconds, WSDK_ARG(now_ns));
}

enum wsdk_status wsdk_tick_ms(struct wsdk_context *ctx, uint32_t period_ms)
{
    return WSDK_HOST(ctx, proxy_set_tick_period_milliseconds, WSDK_ARG(period_ms));
}

enum wsdk_status wsdk_property_get(struct wsdk_context *ctx, struct wsdk_bytes path, struct wsdk_bytes *value)
{
    wsdk_slot data = 0, len = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_get_property, WSDK_ARG(path.data), WSDK_ARG(path.len),
                                        WSDK_ARG(&data), WSDK_ARG(&len));
    *value = wsdk_slots_bytes(data, len);
    return status;
}

enum wsdk_status wsdk_property_u64(struct wsdk_context *ctx, struct wsdk_bytes path, uint64_t *value)
{
    struct wsdk_bytes raw;
    enum wsdk_status status = wsdk_property_get(ctx, path, &raw);
    *value = 0;
    if (status != WSDK_OK)
        return status;
    if (raw.len != sizeof(*value))
        return WSDK_BAD_ARGUMENT;
    memcpy(value, raw.data, sizeof(*value));
    return WSDK_OK;
}

enum wsdk_status wsdk_property_set(struct wsdk_context *ctx, struct wsdk_bytes path, struct wsdk_bytes value)
{
    return WSDK_HOST(ctx, proxy_set_property, WSDK_ARG(path.data), WSDK_ARG(path.len), WSDK_ARG(value.data),
                     WSDK_ARG(value.len));
}

enum wsdk_status wsdk_metric_define(struct wsdk_context *ctx, enum wsdk_metric_kind kind,
                                    struct wsdk_bytes name, uint32_t *metric)
{
    wsdk_slot slot = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_define_metric, WSDK_ARG(kind), WSDK_ARG(name.data),
                                        WSDK_ARG(name.len), WSDK_ARG(&slot));
    *metric = (uint32_t)slot;
    return status;
}

enum wsdk_status wsdk_metric_add(struct wsdk_context *ctx, uint32_t metric, int64_t delta)
{
    return WSDK_HOST_I64(ctx, proxy_increment_metric, WSDK_ARG(metric), (uint64_t)delta);
}

enum wsdk_status wsdk_metric_record(struct wsdk_context *ctx, uint32_t metric, uint64_t value)
{
    return WSDK_HOST_I64(ctx, proxy_record_metric, WSDK_ARG(metric), value);
}

enum wsdk_status wsdk_metric_get(struct wsdk_context *ctx, uint32_t metric, uint64_t *value)
{
    *value = 0;
    return WSDK_HOST(ctx, proxy_get_metric, WSDK_ARG(metric), WSDK_ARG(value));
}

enum wsdk_status wsdk_shared_get(struct wsdk_context *ctx, struct wsdk_bytes key, struct wsdk_bytes *value,
                                 uint32_t *cas)
{
    wsdk_slot data = 0, len = 0, version = 0;
    enum wsdk_status status = WSDK_HOST(ctx, proxy_get_shared_data, WSDK_ARG(key.data), WSDK_ARG(key.len),
                                        WSDK_ARG(&data), WSDK_ARG(&len), WSDK_ARG(&version));
    *value = wsdk_slots_bytes(data, len);
    *cas = (uint32_t)version;
    return status;
}

enum wsdk_status wsdk_shared_set(struct wsdk_context *ctx, struct wsdk_bytes key, struct wsdk_bytes value,
                                 uint32_t cas)
{
    return WSDK_HOST(ctx, proxy_set_shared_data, WSDK_ARG(key.data), WSDK_ARG(key.len), WSDK_ARG(value.data),
                     WSDK_ARG(value.len), WSDK_ARG(cas));
}

enum wsdk_status wsdk_queue_register(struct wsdk_context *ctx, struct wsdk_bytes name, uint32_t *queue)
{
    wsdk_slot slot = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_register_shared_queue, WSDK_ARG(name.data), WSDK_ARG(name.len), WSDK_ARG(&slot));
    *queue = (uint32_t)slot;
    return status;
}

enum wsdk_status wsdk_queue_resolve(struct wsdk_context *ctx, struct wsdk_bytes vm_id, struct wsdk_bytes name,
                                    uint32_t *queue)
{
    wsdk_slot slot = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_resolve_shared_queue, WSDK_ARG(vm_id.data), WSDK_ARG(vm_id.len),
                  WSDK_ARG(name.data), WSDK_ARG(name.len), WSDK_ARG(&slot));
    *queue = (uint32_t)slot;
    return status;
}

enum wsdk_status wsdk_queue_push(struct wsdk_context *ctx, uint32_t queue, struct wsdk_bytes value)
{
    return WSDK_HOST(ctx, proxy_enqueue_shared_queue, WSDK_ARG(queue), WSDK_ARG(value.data),
                     WSDK_ARG(value.len));
}

enum wsdk_status wsdk_queue_pop(struct wsdk_context *ctx, uint32_t queue, struct wsdk_bytes *value)
{
    wsdk_slot data = 0, len = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_dequeue_shared_queue, WSDK_ARG(queue), WSDK_ARG(&data), WSDK_ARG(&len));
    *value = wsdk_slots_bytes(data, len);
    return status;
}

enum wsdk_status wsdk_effective(struct wsdk_context *ctx, struct wsdk_context *other)
{
    return WSDK_HOST(ctx, proxy_set_effective_context, WSDK_ARG(other->id));
}

enum wsdk_status wsdk_done(struct wsdk_context *root)
{
    return WSDK_HOST0(root, proxy_done);
}

enum wsdk_status wsdk_foreign(struct wsdk_context *ctx, struct wsdk_bytes name, struct wsdk_bytes arguments,
                              struct wsdk_bytes *result)
{
    wsdk_slot data = 0, len = 0;
    enum wsdk_status status =
        WSDK_HOST(ctx, proxy_call_foreign_function, WSDK_ARG(name.data), WSDK_ARG(name.len),
                  WSDK_ARG(arguments.data), WSDK_ARG(arguments.len), WSDK_ARG(result == NULL ? NULL : &data),
                  WSDK_ARG(result == NULL ? NULL : &len));
    if (result != NULL)
        *result = wsdk_slots_bytes(data, len);
    return status;
}

static bool take(struct wsdk_stats *s, void *to, size_t bytes)
{
    if (bytes > s->data.len - s->at)
        return false;
    memcpy(to, s->data.data + s->at, bytes);
    s->at += bytes;
    return true;
}

/* The header of a block: its size, which the items repeat, its type and how many items there are. */
static bool take_block(struct wsdk_stats *s)
{
    uint32_t size;
    return take(s, &size, sizeof(size)) && take(s, &s->type, sizeof(s->type)) &&
           take(s, &s->left, sizeof(s->left));
}

bool wsdk_stats_next(struct wsdk_stats *s, struct wsdk_stat *stat)
{
    uint32_t len;
    if (s->at > s->data.len)
        return false;
    while (s->left == 0) {
        if (!take_block(s))
            return false;
    }
    if (!take(s, &len, sizeof(len)) || len > s->data.len - s->at)
        return false;
    *stat = (struct wsdk_stat){.name = {s->data.data + s->at, len}, .is_counter = s->type == 1};
    s->at = (s->at + len + 7) & ~(size_t)7;
    s->left--;
    return s->at <= s->data.len && take(s, &stat->value, sizeof(stat->value)) &&
           (!stat->is_counter || take(s, &stat->delta, sizeof(stat->delta)));
}
