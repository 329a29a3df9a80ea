/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts of a cluster as balancers see them at one moment: divided by priority, standing and locality,
 * with each priority's share of the load. Immutable, reference-counted, shared by threads; an update of hosts
 * or of their health makes the next one (on the main thread) and hands it to every worker.
 */
#ifndef WEIR_UPSTREAM_HOST_SET_H
#define WEIR_UPSTREAM_HOST_SET_H

#include "upstream/host.h"

/* Some hosts of a set; the pointers are borrowed from it. */
struct host_list {
    struct host **hosts;
    uint32_t count;
    bool weighted; /* they do not all weigh the same */
};

/* The part of a priority that lies in one place; only with locality-weighted balancing. */
struct host_locality {
    struct host_list all;
    struct host_list healthy;
    struct host_list degraded;
    uint32_t excluded;
    uint32_t weight;
    /* `weight` by how much of it is there: 0 means that nothing is sent to it. */
    double healthy_weight;
    double degraded_weight;
};

struct host_subsets;
struct lb_table;

/* One priority. The first has number 0; one without hosts may stand between others. */
struct host_level {
    struct host_list all;
    struct host_list healthy;
    struct host_list degraded;
    uint32_t excluded;     /* hosts that do not count when health is judged */
    uint8_t healthy_load;  /* percent of all requests that go to its healthy hosts */
    uint8_t degraded_load; /* and to its degraded ones */
    uint8_t
        healthy_percent; /* how healthy it counts: share of healthy hosts x overprovisioning, at most 100 */
    uint8_t degraded_percent;
    bool panic; /* so few are healthy that all are used */
    struct host_locality *localities;
    uint32_t localities_count; /* 0: balancing does not look at them */
    uint64_t absent_weight; /* of localities of which a subset has no host; tables leave it unused (Envoy) */
    const struct lb_table *table; /* of consistent hashing; NULL: none, or no hosts */
};

struct host_set {
    atomic_uint refs;
    struct arena arena; /* holds the lists */
    uint32_t count;
    uint32_t healthy_count;
    uint32_t degraded_count;
    uint32_t excluded_count;
    uint32_t levels_count; /* at least 1 */
    struct host_level *levels;
    struct host_subsets *subsets; /* NULL: the cluster has none */
    struct host *hosts[];         /* owned references */
};

/*
 * Divides the hosts by what their flags say now. Takes over the references in `hosts`, also on failure (NULL:
 * memory is out). `now_ms` is when hosts that are healthy for the first time begin their slow start.
 */
struct host_set *host_set_create(struct host **hosts, uint32_t count, const struct cluster_config *config,
                                 uint64_t now_ms);
/* The same for a subset of `whole`: without subsets of its own, and localities have no weights unless the
 * configuration says so. */
struct host_set *host_set_create_part(struct host **hosts, uint32_t count, const struct host_set *whole,
                                      const struct cluster_config *config, uint64_t now_ms);
struct host_set *host_set_ref(struct host_set *s);
void host_set_unref(struct host_set **s);

/* How requests are shared among priorities, in percent. The API has priorities 0 to 128. */
#define HOST_PRIORITIES_MAX 129u
struct host_shares {
    uint8_t healthy[HOST_PRIORITIES_MAX];
    uint8_t degraded[HOST_PRIORITIES_MAX];
};
/* The shares as if the priorities with `without` were not there; false: nobody else can bear anything. */
bool host_set_share_without(const struct host_set *s, const bool *without, struct host_shares *out);

/* Each priority's share: Envoy's rules of overprovisioning, spill-over and panic (host_load.c). */
void host_set_share_load(struct host_set *s, const struct cluster_config *config);
/* The same when each priority says already what it can bear. */
void host_set_share(struct host_set *s, uint32_t panic_threshold);

#endif
