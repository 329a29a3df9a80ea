/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load balancing: one object per cluster and worker picks an index into the usable hosts of the current set.
 * An algorithm is a const table of functions in a file of its own. Picking allocates nothing.
 */
#ifndef WEIR_UPSTREAM_LB_H
#define WEIR_UPSTREAM_LB_H

#include "upstream/host.h"
#include "upstream/lb_edf.h"

struct lb;

struct lb_ops {
    const char *name;
    /* After lb->hosts changed. false when memory is out. */
    bool (*rebuild)(struct lb *lb);
    /* lb->hosts->usable_count > 0. */
    uint32_t (*pick)(struct lb *lb);
};

extern const struct lb_ops lb_round_robin;
extern const struct lb_ops lb_least_request;
extern const struct lb_ops lb_random;

struct lb {
    const struct lb_ops *ops;
    const struct host_set *hosts; /* borrowed from the worker's cluster */
    uint64_t (*random)(void *arg, uint64_t bound);
    void *random_arg;
    uint32_t choices;  /* of least request */
    uint32_t next;     /* of round robin */
    struct lb_edf edf; /* when weights differ */
};

void lb_init(struct lb *lb, const struct cluster_config *config,
             uint64_t (*random)(void *arg, uint64_t bound), void *random_arg);
void lb_fini(struct lb *lb);
/* The set must live until the next update or fini. false when memory is out: the old one stays. */
bool lb_update(struct lb *lb, const struct host_set *hosts);
/* NULL when there is none. */
static inline struct host *lb_pick(struct lb *lb)
{
    if (lb->hosts->usable_count == 0)
        return NULL;
    return lb->hosts->usable[lb->ops->pick(lb)];
}

#endif
