/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's own metrics, for embedders that bring none. Same type and name give the same handle for the
 * life of the host object. Values are atomic; defining takes a lock.
 */
#ifndef PROXYWASM_METRIC_STORE_H
#define PROXYWASM_METRIC_STORE_H

#include "base/map.h"

#include <proxywasm/types.h>
#include <pthread.h>

struct metric_store {
    pthread_mutex_t lock;
    struct map metrics; /* type digit and name -> struct metric */
};

void metric_store_init(struct metric_store *store);
void metric_store_fini(struct metric_store *store);
uint64_t metric_store_count(struct metric_store *store);

/* NULL when memory or METRICS_HOST_MAX is out. The rest: [any thread], `metric` from here. */
void *metric_store_define(struct metric_store *store, enum pw_metric_type type, struct slice name);
void metric_store_add(void *metric, int64_t delta);
void metric_store_record(void *metric, uint64_t value);
uint64_t metric_store_get(void *metric);

#endif
