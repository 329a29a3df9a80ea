/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster of the process: its configuration, statistics, breakers and current hosts. Shared by all workers;
 * only the set of hosts changes, and only as a whole.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_H
#define WEIR_UPSTREAM_CLUSTER_H

#include "upstream/breaker.h"
#include "upstream/cluster_config.h"
#include "upstream/cluster_stats.h"
#include "upstream/dynamic_hosts.h"
#include "upstream/host_set.h"

#include <pthread.h>

struct host_place;
struct loop;
struct original_dst;

struct cluster {
    atomic_uint refs;
    const struct cluster_config *config; /* owned reference */
    struct cluster_stats stats;
    struct breakers breakers[BREAKER_PRIORITY_COUNT];
    uint32_t workers;
    pthread_mutex_t lock;
    struct host_set *hosts;        /* owned reference, under `lock`; never NULL */
    struct original_dst *original; /* the hosts of an ORIGINAL_DST cluster; NULL: it is another. Owned */
    struct dynamic_hosts dynamic;  /* of a dynamic forward proxy cluster */
    stat_id table_size, table_least, table_most; /* of consistent hashing; 0: the policy is another */
    stat_id subset_duplicates;                   /* 0: there are no subsets */
    /* Set by the manager before anybody else knows the cluster. Called by cluster_health_changed. */
    void (*health_changed)(struct cluster *c);
    struct loop *main;
    void *managed;            /* the manager's record; main thread only. NULL: it has left */
    atomic_bool health_stale; /* health_changed was called, cluster_renew_hosts not yet */
};

/* With no hosts. NULL when memory is out. */
struct cluster *cluster_create(const struct cluster_config *config, uint32_t workers);
struct cluster *cluster_ref(struct cluster *c);
void cluster_unref(struct cluster **c);
/* A reference to the current set. [any thread] */
struct host_set *cluster_hosts(struct cluster *c);
/*
 * Replaces the hosts; those that are the same as before keep their object, with its counters and pools. Takes
 * over the references in `hosts`. Returns the new set with a reference for the caller, or NULL when nothing
 * changed or memory is out. Main thread.
 */
struct host_set *cluster_replace_hosts(struct cluster *c, struct host **hosts, uint32_t count);
/*
 * The health of some host changed (host_change_health said true): the main thread will make the next set of
 * hosts and tell the workers, at once or after the cluster's update_merge_window. Cheap to call again. [any
 * thread]
 */
void cluster_health_changed(struct cluster *c);
/* Divides the same hosts anew. As cluster_replace_hosts, but NULL only when memory is out. Main thread. */
struct host_set *cluster_renew_hosts(struct cluster *c);
/* Shows and counts the hosts that requests have brought by now; workers pick from elsewhere. Main thread. */
void cluster_show_made(struct cluster *c);
/* LOGICAL_DNS: gives the cluster's only host its place for whoever asks from no worker. false: it is there
 * already, or there is no host. Main thread. */
bool cluster_move_host(struct cluster *c, const struct host_place *place);
/* The same for any host that may move. */
bool cluster_set_host_place(struct cluster *c, struct host *h, const struct host_place *place);
/* Its place of now, of a host that may move; `out` gets a reference of its own. [any thread] */
void cluster_host_place(struct cluster *c, const struct host *h, struct host_place *out);
/* Where a host is now, for people. [any thread] */
struct address cluster_host_address(struct cluster *c, const struct host *h);
/* The hosts whose address needs no resolver. NULL when memory is out (or when *count is 0). Owned references.
 */
struct host **cluster_static_hosts(const struct cluster *c, uint32_t *count);

#endif
