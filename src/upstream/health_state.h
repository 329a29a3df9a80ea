/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of one endpoint's health by the results of its checks: thresholds, the first check, time
 * between checks. No clock, no socket, no host: health_check.c carries out what it says.
 */
#ifndef WEIR_UPSTREAM_HEALTH_STATE_H
#define WEIR_UPSTREAM_HEALTH_STATE_H

#include "upstream/health_config.h"

/* X(NAME): data.core.v3.HealthCheckFailureType, as event logs name them. */
#define HEALTH_FAILURES(X)                                                                                   \
    X(ACTIVE)          /* the endpoint answered, and badly */                                                \
    X(PASSIVE)         /* it said x-envoy-immediate-health-check-fail in an answer to a request */           \
    X(NETWORK)         /* no connection, or it broke */                                                      \
    X(NETWORK_TIMEOUT) /* nothing came in time */

enum health_failure {
#define HEALTH_FAILURE_X(name) HEALTH_FAILURE_##name,
    HEALTH_FAILURES(HEALTH_FAILURE_X)
#undef HEALTH_FAILURE_X
};
const char *health_failure_name(enum health_failure failure);

enum health_change {
    HEALTH_SAME,
    HEALTH_CHANGED,
    HEALTH_PENDING, /* counted, but not yet often enough */
};

struct health_state {
    bool failed;   /* Envoy's /failed_active_hc */
    bool timeout;  /* /active_hc_timeout */
    bool degraded; /* /degraded_active_hc */
    bool pending;  /* /pending_active_hc: not counted at all before the first check */
    bool first;    /* no check has ended yet */
    uint32_t healthy_count;
    uint32_t unhealthy_count;
};

/* What one result did, for events and whoever waits. */
struct health_outcome {
    enum health_change change;
    bool first;         /* it was the first check */
    bool added;         /* became healthy */
    bool ejected;       /* became unhealthy */
    bool degraded;      /* became degraded */
    bool degraded_over; /* no longer is */
};

struct health_outcome health_state_passed(struct health_state *s, const struct health_config *config,
                                          bool degraded);
/* `retriable`: counted against the threshold although the endpoint answered. */
struct health_outcome health_state_failed(struct health_state *s, const struct health_config *config,
                                          enum health_failure failure, bool retriable);

/* Time until the next check, by the last one's result. `used`: the cluster has had a connection or bytes;
 * `draw(arg, n)` is below n. At least 1. */
uint64_t health_interval_ms(const struct health_config *config, bool passed, enum health_change change,
                            bool used, uint64_t (*draw)(void *arg, uint64_t bound), void *arg);

#endif
