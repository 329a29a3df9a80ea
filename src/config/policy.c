/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy rules: ordered, first match wins, the last is the default.
 */
#include "config/policy.h"

#include "base/assert.h"

#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/wrappers.pb-c.h>

static bool matches_all(const Weir__Policy__V1__Rule *rule)
{
    const Weir__Policy__V1__Match *m = rule->match;
    return !m || (m->plugin[0] == '\0' && m->module_sha256[0] == '\0' && m->listener[0] == '\0');
}

void policy_check(const struct config_doc *doc, struct config_diag *diag)
{
    const Weir__Policy__V1__Policy *policy = (const Weir__Policy__V1__Policy *)doc->root;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const Weir__Policy__V1__Rule *rule = policy->rules[i];
        bool last = i + 1 == policy->n_rules;
        if (last && !matches_all(rule))
            config_error_at(
                doc, diag, &rule->base, rule->match ? "match" : NULL, -1,
                "the last rule is the default for every other plugin and must have no match; add one");
        if (!last && matches_all(rule))
            config_error_at(doc, diag, &rule->base, NULL, -1,
                            "matches every plugin, so the rules after it never hold; move it to the end");
    }
}

bool policy_glob(struct slice pattern, struct slice text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* where to go on when the literal part after the last star does not fit */
    size_t star_text = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            star_text = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static bool part_holds(const char *pattern, struct slice text)
{
    return pattern[0] == '\0' || policy_glob(slice_str(pattern), text);
}

const Weir__Policy__V1__Rule *policy_find(const Weir__Policy__V1__Policy *policy,
                                          const struct policy_subject *who)
{
    for (size_t i = 0; i < policy->n_rules; i++) {
        const Weir__Policy__V1__Match *m = policy->rules[i]->match;
        if (!m ||
            (part_holds(m->plugin, who->plugin) && part_holds(m->listener, who->listener) &&
             (m->module_sha256[0] == '\0' || slice_eq(slice_str(m->module_sha256), who->module_sha256))))
            return policy->rules[i];
    }
    WEIR_UNREACHABLE();
}

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

void policy_limits(const Weir__Policy__V1__Rule *rule, struct pw_limits *out)
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
