/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule of the policy to the resource that enforces it. The rule was validated; blanks become defaults.
 */
#include "config/policy.h"

#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/wrappers.pb-c.h>

static uint64_t nanoseconds(const Google__Protobuf__Duration *d)
{
    return d ? (uint64_t)d->seconds * 1000000000u + (uint64_t)d->nanos : 0;
}

/* The fields of Caps have the names of the limits that they set. */
#define CAPS(X)                                                                                              \
    X(log_lines_per_sec)                                                                                     \
    X(header_count_max)                                                                                      \
    X(header_bytes_max)                                                                                      \
    X(body_bytes_max)                                                                                        \
    X(host_bytes_max)                                                                                        \
    X(contexts_max)                                                                                          \
    X(shared_keys_max)                                                                                       \
    X(shared_bytes_max)                                                                                      \
    X(shared_key_bytes_max)                                                                                  \
    X(shared_value_bytes_max)                                                                                \
    X(queues_max)                                                                                            \
    X(queue_items_max)                                                                                       \
    X(queue_bytes_max)                                                                                       \
    X(queue_item_bytes_max)                                                                                  \
    X(queue_name_bytes_max)                                                                                  \
    X(metrics_max)                                                                                           \
    X(metric_name_bytes_max)                                                                                 \
    X(callouts_max)                                                                                          \
    X(grpc_streams_max)                                                                                      \
    X(callout_bytes_max)                                                                                     \
    X(callout_answer_bytes_max)                                                                              \
    X(uncompressed_bytes_max)

static void make_limits(const Weir__Policy__V1__Rule *rule, struct pw_limits *out)
{
    *out = (struct pw_limits){
        .memory_max_bytes = rule->memory_max_bytes ? rule->memory_max_bytes->value : 0,
        .callback_time_max_ns = nanoseconds(rule->callback_time_max),
        .start_time_max_ns = nanoseconds(rule->start_time_max),
    };
    const Weir__Policy__V1__Caps *caps = rule->caps;
#define CAP_X(field)                                                                                         \
    if (caps && caps->field)                                                                                 \
        out->field = caps->field->value;
    CAPS(CAP_X)
#undef CAP_X
    pw_limits_fill(out);
}

static enum wasm_fallback make_fallback(const Weir__Policy__V1__Rule *rule)
{
    switch (rule->fallback) {
    case WEIR__POLICY__V1__FALLBACK__FAIL_OPEN:
        return WASM_FALLBACK_OPEN;
    case WEIR__POLICY__V1__FALLBACK__FAIL_CLOSED:
        return WASM_FALLBACK_CLOSED;
    default:
        return WASM_FALLBACK_AS_PLUGIN;
    }
}

struct wasm_policy *policy_make(const Weir__Policy__V1__Rule *rule)
{
    struct wasm_policy *p = wasm_policy_create(slice_str(rule->name));
    if (!p)
        return NULL;
    make_limits(rule, &p->limits);
    if (rule->worker_time_percent_max)
        p->worker_time_percent = rule->worker_time_percent_max->value;
    if (rule->pause_time_max)
        p->pause_max_ms = (nanoseconds(rule->pause_time_max) + 999999u) / 1000000u;
    if (rule->done_time_max)
        p->done_max_ms = (nanoseconds(rule->done_time_max) + 999999u) / 1000000u;
    p->fallback = make_fallback(rule);
    p->sharing = (int)rule->sharing;
    p->time_check_off = rule->time_check && !rule->time_check->value;
    if (rule->crash_budget) {
        p->crash_failures = rule->crash_budget->failures->value;
        p->crash_window_ms = nanoseconds(rule->crash_budget->window) / 1000000u;
    }
    if (!wasm_policy_hide(p, &p->hidden_headers, rule->hidden_headers, rule->n_hidden_headers) ||
        !wasm_policy_hide(p, &p->hidden_properties, rule->hidden_properties, rule->n_hidden_properties) ||
        !wasm_policy_hide(p, &p->hidden_clusters, rule->hidden_clusters, rule->n_hidden_clusters))
        wasm_policy_unref(&p);
    return p;
}
