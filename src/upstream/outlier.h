/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlier detection as workers see it: each says how its requests to a host ended. Counting is one or two
 * plain stores into the worker's own shard; consecutive failures are counted over all workers and told to the
 * main thread (outlier_detector.h), which alone decides. Without outlier_detection a host has no outlier_host
 * and nothing here costs more than that test.
 */
#ifndef WEIR_UPSTREAM_OUTLIER_H
#define WEIR_UPSTREAM_OUTLIER_H

#include "base/assert.h"
#include "upstream/host.h"
#include "upstream/outlier_config.h"

struct loop;
struct outlier_detector;

/* Which errors a success rate is made of: those of the server; those of reaching it, when these are split. */
enum outlier_origin { OUTLIER_EXTERNAL, OUTLIER_LOCAL, OUTLIER_ORIGIN_COUNT };

/* Written by one worker, summed by the main thread. */
struct outlier_shard {
    _Atomic uint64_t total[OUTLIER_ORIGIN_COUNT];
    _Atomic uint64_t success[OUTLIER_ORIGIN_COUNT];
} __attribute__((aligned(64)));

/* How workers reach the detector, whichever of the two lives longer. */
struct outlier_link {
    atomic_uint refs;
    struct loop *loop;
    struct outlier_detector *detector; /* main thread; NULL: it is gone */
};

/* Made by the detector, owned by its host. */
struct outlier_host {
    struct outlier_link *link; /* owned reference */
    uint32_t limit_5xx;
    uint32_t limit_gateway;
    uint32_t limit_local;
    bool split_local;
    /* Over all workers. */
    _Alignas(64) _Atomic uint32_t consecutive_5xx;
    _Atomic uint32_t consecutive_gateway;
    _Atomic uint32_t consecutive_local;
    /* Percent of the last interval, for /clusters; -1: not known. Written by the main thread. */
    _Alignas(64) _Atomic double success_rate[OUTLIER_ORIGIN_COUNT];
    /* Main thread only. */
    uint64_t total_before[OUTLIER_ORIGIN_COUNT];
    uint64_t success_before[OUTLIER_ORIGIN_COUNT];
    uint64_t interval_total[OUTLIER_ORIGIN_COUNT];
    uint64_t interval_success[OUTLIER_ORIGIN_COUNT];
    uint64_t ejected_ms;   /* 0: never */
    uint64_t unejected_ms; /* 0: never */
    uint64_t jitter_ms;
    uint32_t ejections;
    uint32_t backoff; /* the next ejection takes so many times the base time */
    uint32_t shards_count;
    struct outlier_shard shards[];
};

void outlier_host_destroy(struct outlier_host **o);
struct outlier_link *outlier_link_ref(struct outlier_link *l);
void outlier_link_unref(struct outlier_link **l);

/* What happened besides an HTTP answer. */
enum outlier_event {
    OUTLIER_CONNECTED,       /* more follows: the answer tells */
    OUTLIER_CONNECTED_FINAL, /* nothing above TCP is looked at */
    OUTLIER_CONNECT_FAILED,
    OUTLIER_TIMED_OUT,
};

/* The slow parts. */
void outlier_count_status(struct host *h, uint32_t worker, unsigned status);
void outlier_count_event(struct host *h, uint32_t worker, enum outlier_event event);

/* The host answered. gRPC: the HTTP status that stands for its grpc-status. [the worker's thread] */
static inline void outlier_status(struct host *h, uint32_t worker, unsigned status)
{
    if (WEIR_UNLIKELY(h->outlier != NULL))
        outlier_count_status(h, worker, status);
}
static inline void outlier_event(struct host *h, uint32_t worker, enum outlier_event event)
{
    if (WEIR_UNLIKELY(h->outlier != NULL))
        outlier_count_event(h, worker, event);
}

#endif
