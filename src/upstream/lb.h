/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load balancing: one object per cluster and worker picks a host of the current set. First a priority by its
 * share of the load, then (if so configured) a locality by weight, then a host by the cluster's algorithm, a
 * const table of functions in a file of its own. Picking allocates nothing.
 */
#ifndef WEIR_UPSTREAM_LB_H
#define WEIR_UPSTREAM_LB_H

#include "telemetry/stats.h"
#include "upstream/cluster_stats.h"
#include "upstream/host_set.h"
#include "upstream/lb_edf.h"

struct header_map;
struct lb;
struct lb_table;

/* The host that a request wants before all others, wherever it stands (sticky sessions). */
struct lb_override {
    struct slice address; /* as address_format gives it */
    bool strict;          /* nobody else will do */
};

/* What a request may say about where it goes. A plain one says nothing (NULL). */
struct lb_request {
    bool has_hash; /* for consistent hashing; without one the host is random */
    uint64_t hash;
    /* Another host is looked for while this says no, `attempts` times at most; the last one found is taken
     * then. NULL: every host is fine. */
    bool (*refuse)(void *arg, const struct host *h);
    void *arg;
    uint32_t attempts;
    const struct lb_override *override; /* NULL: none; this host comes first */
    const struct lb_match *match; /* the labels of the subset that it asks for; NULL: it asks for none */
    /* Shares of the priorities other than the set's own; NULL, or when it gives NULL: the set's. */
    const struct host_shares *(*shares)(void *arg, const struct host_set *hosts);
    /* For ORIGINAL_DST clusters, whose hosts are the places that requests want to go to. */
    const struct address *destination; /* where its connection wanted to go; NULL: to this proxy */
    const struct header_map *headers;  /* NULL: it has none */
};

/* Hosts that are picked among, and how far the picking has come. */
struct lb_group {
    const struct lb *lb;
    const struct host_list *list;
    uint32_t next;  /* of round robin */
    bool scheduled; /* `edf` is used: weights differ */
    struct lb_edf edf;
};

struct lb_ops {
    const char *name;
    /* Of one host now, for the schedule of weighted groups; NULL: weights do not count. */
    double (*weight)(const struct lb *lb, const struct host *h);
    /* At least two hosts, no schedule. A number in the list. */
    uint32_t (*pick)(struct lb *lb, struct lb_group *g);
};

extern const struct lb_ops lb_round_robin;
extern const struct lb_ops lb_least_request;
extern const struct lb_ops lb_random;

/* One priority. */
struct lb_level {
    struct lb_group healthy, degraded, all;
    struct lb_group *places; /* the healthy hosts of each locality, then the degraded ones of each */
    struct lb_edf healthy_schedule, degraded_schedule; /* of localities; count 0: none */
};

/* Zone-aware routing within the first priority, as it was reckoned when hosts changed last. */
struct lb_zone {
    enum { LB_ZONE_OFF, LB_ZONE_DIRECT, LB_ZONE_SHARED } kind;
    int32_t place;  /* this proxy's, among the level's localities; -1: no upstream is there */
    uint64_t stays; /* in it, of 10,000 */
    uint64_t *room; /* of the others, summed up to each place; owned */
};

struct lb {
    const struct lb_ops *ops;     /* NULL: consistent hashing */
    const struct host_set *hosts; /* borrowed from the worker's cluster */
    struct lb_group *only;        /* every plain request is served from here; NULL: it depends */
    struct lb_level *levels;      /* as many as hosts->levels_count */
    const struct lb_config *config;
    uint64_t (*random)(void *arg, uint64_t bound);
    void *random_arg;
    struct lb *subsets;     /* as many as hosts->subsets has; NULL: there are none */
    uint64_t slow_until_ms; /* until then weights of new hosts grow */
    uint32_t *scratch;      /* of bounded hashing: a number for each host */
    struct lb_zone zone;
    struct lb_index *index; /* of hosts by address; NULL: nobody has asked yet. lb_override.c */
    /* The owner sets these after lb_init. */
    const uint64_t *now_ms;               /* of its loop; NULL: time stands still at 0 */
    const _Atomic uint32_t *in_flight[2]; /* the cluster's requests, to be added up; NULL: 0 */
    const struct cluster_stats *stats;    /* NULL: nothing is counted */
    struct host_set *const *local;        /* the hosts of this proxy's own cluster now; NULL: there is none */
};

void lb_init(struct lb *lb, const struct cluster_config *config,
             uint64_t (*random)(void *arg, uint64_t bound), void *random_arg);
void lb_fini(struct lb *lb);
/* The set must live until the next update or fini. false when memory is out: the old one stays. */
bool lb_update(struct lb *lb, const struct host_set *hosts);
/* The hosts of this proxy's own cluster are others now. */
void lb_local_changed(struct lb *lb);
/* lb_zone.c: after the hosts of either cluster changed; and in which place a request of the first priority is
 * served, when zone.kind is not LB_ZONE_OFF. */
void lb_zone_update(struct lb *lb);
void lb_zone_fini(struct lb *lb);
enum lb_zone_choice { LB_ZONE_ANYWHERE, LB_ZONE_NOWHERE, LB_ZONE_PLACE };
enum lb_zone_choice lb_zone_choose(struct lb *lb, uint32_t *place);
/* The priority that takes the request: `percent` is 1 to 100, `request` may be NULL. */
uint32_t lb_choose_level(const struct host_set *hosts, const struct lb_request *request, uint32_t percent,
                         bool *degraded);
/* For lb_pick. */
struct host *lb_pick_among(struct lb *lb, const struct lb_request *request);
/* The same without a look at subsets. */
struct host *lb_pick_plain(struct lb *lb, const struct lb_request *request);
/* lb_subset.c: by request->match. */
struct host *lb_pick_subset(struct lb *lb, const struct lb_request *request);
/* NULL when memory is out. */
struct lb *lb_subsets_make(const struct lb *lb, const struct host_set *hosts);
void lb_subsets_free(struct lb *subsets, uint32_t count);
/* lb_override.c. The host of this address, whatever its health; NULL: there is none. */
struct host *lb_find_host(struct lb *lb, struct slice address);
/* false: the others may be asked. */
bool lb_pick_override(struct lb *lb, const struct lb_override *o, struct host **out);
void lb_index_drop(struct lb *lb);
/* lb_bounded.c: a hash's host, or another one when that has more than its share in flight. */
struct host *lb_pick_bounded(struct lb *lb, const struct lb_table *t, uint64_t hash, uint32_t attempt);
/* The part of a host's weight that holds by now; for the weight functions. */
double lb_slow_start(const struct lb *lb, const struct host *h, double weight);

double lb_group_weight(const void *group, uint32_t index);

/* The list is not empty. */
static inline struct host *lb_group_pick(struct lb *lb, struct lb_group *g)
{
    uint32_t n = 0;
    if (g->scheduled)
        n = lb_edf_pick(&g->edf, lb_group_weight, g);
    else if (g->list->count > 1)
        n = lb->ops->pick(lb, g);
    return g->list->hosts[n];
}

/* NULL when there is none. `request` NULL: a plain one. */
static inline struct host *lb_pick(struct lb *lb, const struct lb_request *request)
{
    if (lb->only && !request)
        return lb_group_pick(lb, lb->only);
    return lb_pick_among(lb, request);
}

#endif
