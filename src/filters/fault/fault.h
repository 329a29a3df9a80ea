/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that injects faults (envoy.filters.http.fault): delays, answers in place of the upstream's, and
 * slow answers, for a share of the requests that it concerns. It never lets a request wait without a timer.
 */
#ifndef WEIR_FILTERS_FAULT_FAULT_H
#define WEIR_FILTERS_FAULT_FAULT_H

#include "base/map.h"
#include "proxy/filter.h"
#include "proxy/routing/matcher.h"
#include "telemetry/stats.h"
#include "upstream/typed_value.h"

#include <pthread.h>

/* Callers that are counted by name; a name beyond that is only counted in the sum. */
#define FAULT_CALLERS_MAX 1024u
/* Bytes of such a name. */
#define FAULT_CALLER_BYTES_MAX 256u
/* Milliseconds: no delay is longer than a year, whatever a header asks for. */
#define FAULT_DELAY_MS_MAX UINT64_C(31536000000)
/* KiB per second: beyond that nothing is slowed down (a tebibyte per second). */
#define FAULT_KBPS_MAX (UINT64_C(1) << 30)

struct fault_percent {
    uint32_t numerator;
    uint32_t denominator;
};

/* What a runtime key replaces. */
struct fault_runtime_percent {
    bool set;
    struct fault_percent percent;
};
struct fault_runtime_number {
    bool set;
    uint64_t value;
};

/* One fault of a configuration. */
struct fault_part {
    bool on;
    bool by_header;               /* the request says what and, up to `percent`, how often */
    struct fault_percent percent; /* of the requests */
    struct fault_runtime_percent runtime;
};

/* fault.v3.HTTPFault. filter_override.config */
struct fault_settings {
    struct header_matcher *headers; /* all must match */
    uint32_t headers_count;
    struct slice upstream_cluster; /* empty: any */
    struct slice *nodes;           /* x-envoy-downstream-service-node is one of them; none: any */
    uint32_t nodes_count;
    struct fault_part delay, abort, rate;
    uint64_t delay_ms;
    uint32_t http_status; /* 0: grpc_status is answered */
    uint64_t grpc_status;
    uint64_t rate_kbps;
    struct fault_runtime_number delay_ms_runtime, http_status_runtime, grpc_status_runtime;
    struct slice response_body;
    uint64_t active_max; /* UINT64_MAX: no limit */
    bool callers_uncounted;
    const struct typed_value *metadata; /* a map: left in the stream's dynamic metadata */
};

/* Runtime keys for one caller: "fault.http.<caller>...". */
struct fault_caller {
    struct slice name;
    struct fault_runtime_percent delay, abort;
    struct fault_runtime_number delay_ms, http_status, grpc_status;
};

/* "http.<stat_prefix>.fault.<name>" */
#define FAULT_COUNTERS(X)                                                                                    \
    X(aborts_injected)                                                                                       \
    X(delays_injected)                                                                                       \
    X(faults_overflow)                                                                                       \
    X(response_rl_injected)

/* filter_config.config */
struct fault_filter {
    struct arena arena;
    struct slice prefix; /* "http.<stat_prefix>.fault" */
    struct fault_settings own;
    struct fault_caller *callers; /* that runtime keys name */
    uint32_t callers_count;
    stat_id active_faults;
#define FAULT_STAT_X(name) stat_id name;
    FAULT_COUNTERS(FAULT_STAT_X)
#undef FAULT_STAT_X
    pthread_mutex_t lock; /* of `tallies`: only injected faults of named callers come here */
    struct map tallies;   /* caller -> struct fault_tally, owned */
};

extern const struct filter_ops fault_filter_ops;

/* NULL when memory is out. */
struct fault_filter *fault_filter_create(struct slice stat_prefix);
/* For struct filter_config. */
void fault_filter_destroy(void *filter);
/* filter_override.destroy */
void fault_settings_fini(void *settings);

#endif
