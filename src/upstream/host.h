/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream hosts and sets of them. A host lives as long as some set or pool names it, across updates of its
 * cluster; a set is immutable and is replaced as a whole. Both are reference-counted and shared by threads.
 */
#ifndef WEIR_UPSTREAM_HOST_H
#define WEIR_UPSTREAM_HOST_H

#include "base/slice.h"
#include "net/address.h"
#include "upstream/cluster_config.h"

#include <stdatomic.h>

/* Numbers of /clusters; X(name). Gauges end in _active. */
#define HOST_COUNTERS(X)                                                                                     \
    X(cx_active)                                                                                             \
    X(cx_connect_fail)                                                                                       \
    X(cx_total)                                                                                              \
    X(rq_active)                                                                                             \
    X(rq_error)                                                                                              \
    X(rq_pending_active)                                                                                     \
    X(rq_success)                                                                                            \
    X(rq_timeout)                                                                                            \
    X(rq_total)

struct pool;
/* A host may be spoken to in two protocols at once (use_downstream_protocol_config). */
enum pool_kind { POOL_HTTP1, POOL_HTTP2, POOL_KIND_COUNT };

/* What attributes and access logs show of a host; only hosts that have some of it carry one. Owned. */
struct host_shown {
    struct arena arena;
    const struct typed_value *metadata; /* each may be NULL */
    const struct typed_value *locality_metadata;
    const struct typed_value *locality;
};

/* What one worker keeps of a host. The counters are written by that worker alone and summed by readers. */
struct host_shard {
    /* NULL: none yet. Touched by the worker only */
    struct pool *pools[BREAKER_PRIORITY_COUNT][POOL_KIND_COUNT];
#define HOST_COUNTER_X(name) _Atomic uint64_t name;
    HOST_COUNTERS(HOST_COUNTER_X)
#undef HOST_COUNTER_X
} __attribute__((aligned(64)));

struct host {
    atomic_uint refs;
    struct address address;
    char *hostname; /* as configured or the DNS name; "" for a bare IP. Owned */
    uint32_t weight;
    uint32_t priority;
    enum endpoint_health health;
    struct host_shown *shown; /* NULL: nothing to show */
    char *locality[3];        /* region, zone, sub_zone; "" if not set. Owned, in `hostname`'s memory */
    /* For least-request balancing, over all workers; kept only for clusters that balance so. */
    _Alignas(64) _Atomic uint32_t active;
    uint32_t shards_count;
    struct host_shard shards[]; /* one per worker */
};

/* NULL when memory is out. One reference. */
struct host *host_create(const struct address *address, const struct endpoint_config *e,
                         const struct locality_config *locality, struct slice hostname, uint32_t workers);
struct host *host_ref(struct host *h);
void host_unref(struct host **h);
static inline bool host_is_healthy(const struct host *h)
{
    return h->health == ENDPOINT_UNKNOWN || h->health == ENDPOINT_HEALTHY;
}
/* Same place and same attributes: an update may keep it. */
bool host_same(const struct host *a, const struct host *b);

static inline void host_count(_Atomic uint64_t *counter, uint64_t delta)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta,
                          memory_order_relaxed);
}

struct host_set {
    atomic_uint refs;
    uint32_t count;
    uint32_t usable_count; /* what balancers pick from: healthy hosts of the first priority that has some, */
    uint32_t healthy_count;
    bool panic;    /* or all of them, when too few are healthy */
    bool weighted; /* the usable ones do not all weigh the same */
    struct host **usable;
    struct host *hosts[]; /* owned references */
};

/* Takes over the references in `hosts`, also on failure (NULL). */
struct host_set *host_set_create(struct host **hosts, uint32_t count, uint32_t panic_threshold);
struct host_set *host_set_ref(struct host_set *s);
void host_set_unref(struct host_set **s);

#endif
