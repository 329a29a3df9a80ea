/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runtime keys change about a cluster that is built already: Envoy's own keys, which no field names. The
 * value that a field gave, or its default, is what counts without the key.
 */
#include "config/builder.h"

#include "upstream/health_config.h"
#include "upstream/outlier_config.h"

static void breaker(struct builder *b, const char *cluster, const char *priority, struct breaker_config *out)
{
#define KEY(name) arena_printf(&b->scratch, "circuit_breakers.%s.%s.%s", cluster, priority, name)
    builder_runtime_limit(b, &out->max_connections, KEY("max_connections"));
    builder_runtime_limit(b, &out->max_pending_requests, KEY("max_pending_requests"));
    builder_runtime_limit(b, &out->max_requests, KEY("max_requests"));
    builder_runtime_limit(b, &out->max_retries, KEY("max_retries"));
    builder_runtime_limit(b, &out->max_connection_pools, KEY("max_connection_pools"));
    /* Each of these two makes a budget of its own. */
    if (builder_runtime_number(b, KEY("retry_budget.budget_percent"), &out->retry_budget_percent))
        out->retry_budget = true;
    if (builder_runtime_limit(b, &out->retry_budget_min, KEY("retry_budget.min_retry_concurrency")))
        out->retry_budget = true;
#undef KEY
}

static void outlier(struct builder *b, struct outlier_config *o)
{
    const struct {
        const char *key;
        uint32_t *value;
    } numbers[] = {
        {"outlier_detection.consecutive_5xx", &o->consecutive_5xx},
        {"outlier_detection.consecutive_gateway_failure", &o->consecutive_gateway},
        {"outlier_detection.consecutive_local_origin_failure", &o->consecutive_local},
        {"outlier_detection.success_rate_minimum_hosts", &o->success_rate_hosts},
        {"outlier_detection.success_rate_request_volume", &o->success_rate_volume},
        {"outlier_detection.success_rate_stdev_factor", &o->success_rate_stdev_factor},
        {"outlier_detection.failure_percentage_minimum_hosts", &o->failure_percentage_hosts},
        {"outlier_detection.failure_percentage_request_volume", &o->failure_percentage_volume},
        {"outlier_detection.failure_percentage_threshold", &o->failure_percentage},
    };
    const struct {
        const char *key;
        uint64_t *value;
    } times[] = {
        {"outlier_detection.interval_ms", &o->interval_ms},
        {"outlier_detection.base_ejection_time_ms", &o->base_ejection_ms},
        {"outlier_detection.max_ejection_time_ms", &o->max_ejection_ms},
        {"outlier_detection.max_ejection_time_jitter_ms", &o->max_ejection_jitter_ms},
    };
    static const char *const enforcing[OUTLIER_KIND_COUNT] = {
        [OUTLIER_CONSECUTIVE_5XX] = "outlier_detection.enforcing_consecutive_5xx",
        [OUTLIER_CONSECUTIVE_GATEWAY_FAILURE] = "outlier_detection.enforcing_consecutive_gateway_failure",
        [OUTLIER_SUCCESS_RATE] = "outlier_detection.enforcing_success_rate",
        [OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE] =
            "outlier_detection.enforcing_consecutive_local_origin_failure",
        [OUTLIER_SUCCESS_RATE_LOCAL_ORIGIN] = "outlier_detection.enforcing_local_origin_success_rate",
        [OUTLIER_FAILURE_PERCENTAGE] = "outlier_detection.enforcing_failure_percentage",
        [OUTLIER_FAILURE_PERCENTAGE_LOCAL_ORIGIN] =
            "outlier_detection.enforcing_failure_percentage_local_origin",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(numbers); i++)
        builder_runtime_limit(b, numbers[i].value, numbers[i].key);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(times); i++)
        builder_runtime_u64(b, times[i].key, times[i].value);
    for (int i = 0; i < OUTLIER_KIND_COUNT; i++)
        builder_runtime_percent(b, &o->enforcing[i], enforcing[i]);
    builder_runtime_percent(b, &o->max_ejection_percent, "outlier_detection.max_ejection_percent");
    if (o->interval_ms == 0)
        o->interval_ms = 1;
}

void builder_cluster_runtime(struct builder *b, struct cluster_config *c)
{
    const char *name = c->name.ptr;
    breaker(b, name, "default", &c->breakers[BREAKER_DEFAULT]);
    breaker(b, name, "high", &c->breakers[BREAKER_HIGH]);
    builder_runtime_percent(b, &c->healthy_panic_threshold, "upstream.healthy_panic_threshold");
    builder_runtime_percent(b, &c->maintenance_percent,
                            arena_printf(&b->scratch, "upstream.maintenance_mode.%s", name));
    if (c->outlier)
        outlier(b, c->outlier);
    if (c->health) {
        builder_runtime_u64(b, "health_check.min_interval", &c->health->interval_least_ms);
        builder_runtime_u64(b, "health_check.max_interval", &c->health->interval_most_ms);
    }
}
