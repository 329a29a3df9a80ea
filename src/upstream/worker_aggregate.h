/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's view of an aggregate cluster: the priorities of its members, laid end to end. Picks a member
 * and one of its priorities, then leaves the host to the member's own balancer. Has no hosts, connections or
 * health of its own, and never outlives a change of its members without looking again.
 */
#ifndef WEIR_UPSTREAM_WORKER_AGGREGATE_H
#define WEIR_UPSTREAM_WORKER_AGGREGATE_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct cluster_config;
struct host;
struct lb_request;
struct worker;
struct worker_aggregate;
struct worker_cluster;

/* Put into the list of all aggregates, for worker_aggregates_stale. NULL: memory is out. */
struct worker_aggregate *worker_aggregate_create(struct worker *w, const struct cluster_config *config,
                                                 struct list *aggregates);
void worker_aggregate_destroy(struct worker_aggregate **a);
/* Clusters came, went, or have other hosts: the next pick looks at all members again. */
void worker_aggregates_stale(struct list *aggregates);

/* NULL: no member has a host for it. */
struct host *worker_aggregate_pick(struct worker_aggregate *a, const struct lb_request *request);
/* The member that the last pick gave a host of, and which of all priorities that was. Until the next pick. */
struct worker_cluster *worker_aggregate_picked(const struct worker_aggregate *a);
uint32_t worker_aggregate_picked_priority(const struct worker_aggregate *a);

#endif
