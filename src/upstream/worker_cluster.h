/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's view of the clusters: by name, with a balancer and pools each. Everything here belongs to one
 * worker's thread.
 */
#ifndef WEIR_UPSTREAM_WORKER_CLUSTER_H
#define WEIR_UPSTREAM_WORKER_CLUSTER_H

#include "upstream/cluster.h"
#include "upstream/lb.h"
#include "upstream/pool.h"
#include "upstream/worker_aggregate.h"
#include "upstream/worker_dynamic.h"
#include "upstream/worker_original.h"

struct worker;

/* A connection to a host that is in no pool; embedded in whatever keeps it. */
struct worker_cluster_conn {
    struct list node; /* worker_cluster->conns */
    struct host *host;
    struct conn *conn;
};

struct worker_cluster {
    struct worker_cluster *next; /* in the bucket */
    struct cluster *cluster;     /* owned reference */
    struct host_set *hosts;      /* owned reference */
    struct lb lb;
    struct pool_context pools;
    struct worker_original *original;   /* of an ORIGINAL_DST cluster. Owned */
    struct worker_aggregate *aggregate; /* of an aggregate cluster. Owned */
    struct worker_dynamic *dynamic;     /* of a dynamic forward proxy cluster. Owned */
    bool provided;                      /* it is one of these: `lb` picks no hosts (CLUSTER_PROVIDED) */
    struct list conns;                  /* struct worker_cluster_conn */
    uint64_t generation;                /* of host updates */
    uint32_t refs;                      /* streams, and the table */
};

/* Makes the worker's slot CLUSTERS. 0 or -ENOMEM. */
int worker_clusters_init(struct worker *w);
/* Closes all upstream connections, then the table is empty once the loop has turned. */
void worker_clusters_drain(struct worker *w);
void worker_clusters_fini(struct worker *w);

/* Adds the cluster or replaces the one of its name. Takes a reference of its own. */
bool worker_clusters_put(struct worker *w, struct cluster *cluster, struct host_set *hosts);
/* Streams that use it run on. */
void worker_clusters_remove(struct worker *w, struct slice name);
/* Gives `cluster` new hosts, unless it has been replaced meanwhile. */
void worker_clusters_update(struct worker *w, struct cluster *cluster, struct host_set *hosts);

/* The only host of `hosts` has moved: new connections of this worker go to `place`. */
void worker_clusters_move(struct worker *w, struct host_set *hosts, const struct host_place *place);
/* A dynamic forward proxy cluster: what became of a name. */
void worker_clusters_hear(struct worker *w, const struct cluster *cluster, const struct dynamic_news *news);
/* The host became unhealthy: its pools' idle connections close, the others with their last stream; those in
 * no pool close now with close_connections_on_host_health_failure. */
void worker_clusters_host_failed(struct worker *w, const struct cluster *cluster, struct host *h);

/* NULL when there is none. `hash` is slice_hash(name). Borrowed until the turn ends: take a reference. */
struct worker_cluster *worker_cluster_find(struct worker *w, struct slice name, uint64_t hash);
struct worker_cluster *worker_cluster_ref(struct worker_cluster *wc);
void worker_cluster_unref(struct worker_cluster **wc);

/* Counts an answer's status, or the one that stands for a failure, under the cluster's name. */
static inline void worker_cluster_count_status(const struct worker_cluster *wc, unsigned status)
{
    code_stats_count(&wc->cluster->stats.answers, status);
}

/* Whether a host depends on more than the balancer: worker_cluster_pick finds none. */
static inline bool worker_cluster_provided(const struct worker_cluster *wc)
{
    return WEIR_UNLIKELY(wc->provided);
}
/* Picks a host. NULL: no healthy one, or the cluster is one that provides its own way. */
static inline struct host *worker_cluster_pick(struct worker_cluster *wc)
{
    return lb_pick(&wc->lb, NULL);
}
/* For worker_cluster_pick_for. */
struct host *worker_cluster_pick_provided(struct worker_cluster *wc, const struct lb_request *request);
/* For a request that has something to say about it (struct lb_request). NULL: no host for it. */
static inline struct host *worker_cluster_pick_for(struct worker_cluster *wc,
                                                   const struct lb_request *request)
{
    if (worker_cluster_provided(wc))
        return worker_cluster_pick_provided(wc, request);
    return lb_pick(&wc->lb, request);
}
/* After a pick from `wc` that gave a host: the cluster it is one of, whose pools, breakers and options serve
 * it. It is another one when `wc` is an aggregate. Borrowed until the turn ends. */
static inline struct worker_cluster *worker_cluster_of_pick(struct worker_cluster *wc)
{
    return WEIR_UNLIKELY(wc->aggregate != NULL) ? worker_aggregate_picked(wc->aggregate) : wc;
}
/* The same for the priority of the host, among those that `wc` picks from. */
static inline uint32_t worker_cluster_priority_of_pick(const struct worker_cluster *wc, const struct host *h)
{
    return WEIR_UNLIKELY(wc->aggregate != NULL) ? worker_aggregate_picked_priority(wc->aggregate)
                                                : h->priority;
}
/* For a request that comes from nowhere downstream. */
static inline struct host *worker_cluster_pick_alone(struct worker_cluster *wc,
                                                     const struct header_map *headers)
{
    const struct lb_request request = {.headers = headers};
    return worker_cluster_pick_for(wc, worker_cluster_provided(wc) ? &request : NULL);
}

#endif
