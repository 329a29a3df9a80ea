/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What watches over the hosts of one cluster: active health checks and outlier detection, as far as they are
 * configured. Main thread.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_HEALTH_H
#define WEIR_UPSTREAM_CLUSTER_HEALTH_H

#include "upstream/cluster.h"

struct cluster_health;

/* What is told to whoever keeps the cluster. */
struct cluster_health_events {
    /* Once, after cluster_health_wait: every host has been checked. */
    void (*warm)(void *arg);
    /* The host became unhealthy: connections to it are of no use. */
    void (*failed)(void *arg, struct host *h);
    void *arg;
};

/* Whether the configuration wants any of it. */
bool cluster_health_wanted(const struct cluster_config *config);
/* `c` outlives it. NULL when memory is out. */
struct cluster_health *cluster_health_create(struct cluster *c, const struct cluster_health_events *events);
void cluster_health_destroy(struct cluster_health **ch);
/*
 * New hosts of the cluster, before anybody else knows them. Healthy ones that are not named any more stay
 * until a check fails (unless ignore_health_on_host_removal): the result is then another array, to be freed,
 * with a reference to each. NULL when memory is out: the references are gone.
 */
struct host **cluster_health_prepare(struct cluster_health *ch, struct host **hosts, uint32_t *count);
/* A host that is made for a request that waits, before anybody else knows it: it is healthy until a check
 * fails (Envoy). false when memory is out. [any thread, while `ch` is there] */
bool cluster_health_watch_made(struct cluster_health *ch, struct host *h);
/* The cluster's current set may be another one. */
void cluster_health_update(struct cluster_health *ch);
/* Hosts that stayed only because they were healthy, and no longer are: the ones that shall stay, with a
 * reference each, for cluster_replace_hosts. NULL: all shall. */
struct host **cluster_health_stayers(struct cluster_health *ch, uint32_t *count);
/* The hosts are known: `warm` follows when all have been checked, or at once (in a later turn). */
void cluster_health_wait(struct cluster_health *ch);

#endif
