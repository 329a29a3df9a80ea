/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the health check event log: data.core.v3.HealthCheckEvent as JSON, as Envoy writes them.
 */
#ifndef WEIR_UPSTREAM_HEALTH_EVENT_H
#define WEIR_UPSTREAM_HEALTH_EVENT_H

#include "upstream/health_state.h"

struct host;

enum health_event_kind {
    HEALTH_EVENT_ADDED,
    HEALTH_EVENT_PASSED,
    HEALTH_EVENT_EJECTED,
    HEALTH_EVENT_FAILED,
    HEALTH_EVENT_DEGRADED,
    HEALTH_EVENT_NO_LONGER_DEGRADED,
};

struct health_event {
    enum health_event_kind kind;
    enum health_kind checker;
    struct slice cluster;
    const struct host *host;
    enum health_failure failure; /* of EJECTED and FAILED */
    unsigned status;
    bool first; /* of ADDED and FAILED: it was the first check */
};

void health_event_write(struct log_file *file, const struct health_event *event);

#endif
