/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consistent hashing: a table per priority that says which host a hash goes to. Made on the main thread with
 * the host set, shared by all workers, never changed.
 */
#ifndef WEIR_UPSTREAM_LB_TABLE_H
#define WEIR_UPSTREAM_LB_TABLE_H

#include "upstream/host_set.h"

struct lb_ring_entry {
    uint64_t hash;
    uint32_t host; /* number in the table's hosts */
};

struct lb_table {
    const struct lb_table_ops *ops;
    struct host **hosts; /* borrowed from the set */
    double *weights;     /* of each host; they sum up to 1 */
    uint32_t hosts_count;
    uint32_t size;
    uint32_t size_wanted; /* what statistics show, as Envoy: rounding may have added a few */
    double weight_min;
    double weight_max;
    struct lb_ring_entry *ring; /* sorted; ring hash */
    uint32_t *slots;            /* numbers in hosts; maglev */
    uint32_t least_per_host;    /* entries of the host that has fewest, and most */
    uint32_t most_per_host;
    bool by_hostname; /* keys are names, not addresses */
};

/* One way of filling a table; the hosts and weights are there. */
struct lb_table_ops {
    /* false when memory is out. */
    bool (*fill)(struct lb_table *t, struct arena *arena, const struct cluster_config *config);
    /* A number in t->hosts. `attempt` > 0: another one, after earlier ones were refused. */
    uint32_t (*pick)(const struct lb_table *t, uint64_t hash, uint32_t attempt);
};

extern const struct lb_table_ops lb_ring_hash;
extern const struct lb_table_ops lb_maglev;

/* The tables of a divided set whose policy hashes. false when memory is out. */
bool lb_tables_make(struct host_set *s, const struct cluster_config *config);

/* What is hashed to place a host: metadata hash_key, its name, or "ip:port". */
struct slice lb_table_key(const struct lb_table *t, uint32_t host, char buffer[ADDRESS_TEXT_MAX]);

#endif
