/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cluster's outlier_detection says, with Envoy's defaults. Plain numbers.
 */
#ifndef WEIR_UPSTREAM_OUTLIER_CONFIG_H
#define WEIR_UPSTREAM_OUTLIER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, end of its statistics' names, enforcing by default in percent): kinds of ejection, with the names
 * and in the order of data.cluster.v3.OutlierEjectionType. */
#define OUTLIER_KINDS(X)                                                                                     \
    X(CONSECUTIVE_5XX, consecutive_5xx, 100)                                                                 \
    X(CONSECUTIVE_GATEWAY_FAILURE, consecutive_gateway_failure, 0)                                           \
    X(SUCCESS_RATE, success_rate, 100)                                                                       \
    X(CONSECUTIVE_LOCAL_ORIGIN_FAILURE, consecutive_local_origin_failure, 100)                               \
    X(SUCCESS_RATE_LOCAL_ORIGIN, local_origin_success_rate, 100)                                             \
    X(FAILURE_PERCENTAGE, failure_percentage, 0)                                                             \
    X(FAILURE_PERCENTAGE_LOCAL_ORIGIN, local_origin_failure_percentage, 0)

enum outlier_kind {
#define OUTLIER_KIND_X(id, name, enforcing) OUTLIER_##id,
    OUTLIER_KINDS(OUTLIER_KIND_X)
#undef OUTLIER_KIND_X
        OUTLIER_KIND_COUNT
};

struct outlier_config {
    uint64_t interval_ms;                   /* 10 s */
    uint64_t base_ejection_ms;              /* 30 s */
    uint64_t max_ejection_ms;               /* 300 s, or base_ejection_ms when that is more */
    uint64_t max_ejection_jitter_ms;        /* 0 */
    uint32_t consecutive_5xx;               /* 5 */
    uint32_t consecutive_gateway;           /* 5 */
    uint32_t consecutive_local;             /* 5 */
    uint32_t max_ejection_percent;          /* 10 */
    bool always_eject_one;                  /* false */
    bool split_local;                       /* split_external_local_origin_errors: false */
    bool uneject_on_health;                 /* successful_active_health_check_uneject_host: true */
    uint32_t success_rate_hosts;            /* 5 */
    uint32_t success_rate_volume;           /* 100 */
    uint32_t success_rate_stdev_factor;     /* thousandths: 1900 */
    uint32_t failure_percentage;            /* 85 */
    uint32_t failure_percentage_hosts;      /* 5 */
    uint32_t failure_percentage_volume;     /* 50 */
    uint32_t enforcing[OUTLIER_KIND_COUNT]; /* percent */
};

void outlier_config_defaults(struct outlier_config *c);

#endif
