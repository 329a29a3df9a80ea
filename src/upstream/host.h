/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upstream host. It lives as long as some set or pool names it, across updates of its cluster;
 * reference-counted and shared by threads. Everything but its counters and its health is immutable.
 *
 * Health is one word of flags. Whoever finds something out about a host (a health checker on the main thread,
 * outlier detection on a worker) changes its own flags by host_change_health, on any thread, and calls
 * cluster_health_changed (cluster.h) when that says that the host's standing changed. The main thread then
 * makes the cluster's next host_set (host_set.h), which is where balancers see it: nobody reads flags per
 * request.
 */
#ifndef WEIR_UPSTREAM_HOST_H
#define WEIR_UPSTREAM_HOST_H

#include "base/assert.h"
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

/* Why a host is not simply healthy; Envoy's numbers and names. X(NAME, bit, text of /clusters). */
#define HOST_HEALTH_FLAGS(X)                                                                                 \
    X(FAILED_ACTIVE_HC, 0x001, "failed_active_hc")                                                           \
    X(FAILED_OUTLIER_CHECK, 0x002, "failed_outlier_check")                                                   \
    X(FAILED_EDS_HEALTH, 0x004, "failed_eds_health")                                                         \
    X(DEGRADED_ACTIVE_HC, 0x008, "degraded_active_hc")                                                       \
    X(DEGRADED_EDS_HEALTH, 0x010, "degraded_eds_health")                                                     \
    X(PENDING_DYNAMIC_REMOVAL, 0x020, "pending_dynamic_removal")                                             \
    X(PENDING_ACTIVE_HC, 0x040, "pending_active_hc")                                                         \
    X(EXCLUDED_VIA_IMMEDIATE_HC_FAIL, 0x080, "excluded_via_immediate_hc_fail")                               \
    X(ACTIVE_HC_TIMEOUT, 0x100, "active_hc_timeout")                                                         \
    X(EDS_STATUS_DRAINING, 0x200, "eds_status_draining")

enum host_health_flag {
#define HOST_HEALTH_X(name, bit, text) HOST_##name = (bit),
    HOST_HEALTH_FLAGS(HOST_HEALTH_X)
#undef HOST_HEALTH_X
};

#define HOST_UNHEALTHY_FLAGS                                                                                 \
    (HOST_FAILED_ACTIVE_HC | HOST_FAILED_OUTLIER_CHECK | HOST_FAILED_EDS_HEALTH | HOST_EDS_STATUS_DRAINING)
#define HOST_DEGRADED_FLAGS (HOST_DEGRADED_ACTIVE_HC | HOST_DEGRADED_EDS_HEALTH)
/* Not counted at all when the health of its priority is judged. */
#define HOST_EXCLUDED_FLAGS                                                                                  \
    (HOST_PENDING_ACTIVE_HC | HOST_EXCLUDED_VIA_IMMEDIATE_HC_FAIL | HOST_EDS_STATUS_DRAINING)

enum host_standing { HOST_HEALTHY, HOST_DEGRADED, HOST_UNHEALTHY };

struct address_list;
struct address_order;
struct health_host;
struct outlier_host;
struct pool;
struct tls_sessions;
struct upstream_proxy;
struct upstream_tls;
/* A host may be spoken to in two protocols at once (use_downstream_protocol_config). */
enum pool_kind {
    POOL_HTTP1,
    POOL_HTTP2,
    POOL_AUTO, /* what ALPN agrees on, each connection for itself */
    POOL_RAW,  /* bytes, no HTTP: each connection carries one request */
    POOL_KIND_COUNT
};

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
    /* Those for requests that want something else of their connections. Owned; NULL: there never was one */
    struct pool_index *wanted_pools;
    struct tls_sessions *tls_sessions; /* of connections without such wants; NULL: none yet */
#define HOST_COUNTER_X(name) _Atomic uint64_t name;
    HOST_COUNTERS(HOST_COUNTER_X)
#undef HOST_COUNTER_X
} __attribute__((aligned(64)));

/* Where a host is now. */
struct host_place {
    struct address address;
    struct address_list *any; /* owned reference: several, and `address` is one of them; NULL: one */
};

struct host {
    atomic_uint refs;
    struct address address;   /* as it was made; host_address() is where it is now */
    struct address_list *any; /* the same of host_addresses(); owned reference */
    /* Of a LOGICAL_DNS cluster, whose host moves: a place for each worker, touched by that worker only, and
     * one more under the cluster's lock. NULL: it never moves. */
    struct host_place *moving;
    char *hostname; /* as configured or the DNS name; "" for a bare IP. Owned */
    uint32_t weight;
    uint32_t priority;
    uint32_t locality_weight;      /* of its locality; 0: none given */
    enum endpoint_health health;   /* as configured; health_flags has it too */
    _Atomic uint32_t health_flags; /* host_change_health */
    /* When slow start began, on the loops' clock: when it was first seen healthy, or passed an active check
     * again. 0: not yet. */
    _Atomic uint64_t healthy_since_ms;
    struct host_shown *shown;   /* NULL: nothing to show */
    struct health_host *checks; /* of active health checks; NULL: nothing. Owned */
    struct outlier_host
        *outlier;      /* of outlier detection; NULL: off. Owned; set before workers know the host */
    char *locality[3]; /* region, zone, sub_zone; "" if not set. Owned, in `hostname`'s memory */
    const struct upstream_tls *tls;     /* owned reference; NULL: clear text */
    const struct upstream_proxy *proxy; /* owned reference; NULL: no PROXY header */
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
/* [any thread] */
static inline uint32_t host_health_flags(const struct host *h)
{
    return atomic_load_explicit(&h->health_flags, memory_order_relaxed);
}
static inline enum host_standing host_standing_of(uint32_t flags)
{
    if (flags & HOST_UNHEALTHY_FLAGS)
        return HOST_UNHEALTHY;
    return flags & HOST_DEGRADED_FLAGS ? HOST_DEGRADED : HOST_HEALTHY;
}
/* Sets and clears flags (enum host_health_flag) at once. true: balancing depends on the difference, so the
 * caller calls cluster_health_changed. A host that passes active checks again begins its slow start at
 * `now_ms` (of any loop). [any thread] */
bool host_change_health(struct host *h, uint32_t set, uint32_t clear, uint64_t now_ms);
/* "healthy", or "/failed_active_hc/..." as on /clusters. Cut to fit; returns dst. */
#define HOST_HEALTH_TEXT_MAX 256
char *host_health_text(uint32_t flags, char dst[HOST_HEALTH_TEXT_MAX]);
/* The member of its metadata's filter_metadata["envoy.lb"]; NULL when there is none. */
const struct typed_value *host_lb_metadata(const struct host *h, struct slice name);
/* Its "canary" there is true. */
bool host_is_canary(const struct host *h);
/* Before anybody else knows it: its addresses, the one it was made with among them; false when memory is out.
 */
bool host_has_addresses(struct host *h, const struct address *addresses, size_t count,
                        const struct address_order *order);
/* Before anybody else knows it: it may move from now on. false when memory is out. */
bool host_make_moving(struct host *h);
/* Takes a reference of what is put, gives back that of what was there. */
void host_place_put(struct host_place *place, const struct host_place *now);
/* The address that it goes by, for a worker; `worker` is its index. */
static inline const struct address *host_address(const struct host *h, uint32_t worker)
{
    return WEIR_UNLIKELY(h->moving != NULL) ? &h->moving[worker].address : &h->address;
}
/* A connection may go elsewhere than to host_address. */
static inline bool host_moves(const struct host *h)
{
    return h->moving || h->any;
}
/* Those that a connection may be made to; NULL: that one only. */
static inline struct address_list *host_addresses(const struct host *h, uint32_t worker)
{
    return WEIR_UNLIKELY(h->moving != NULL) ? h->moving[worker].any : h->any;
}
/* Same place and same attributes: an update may keep it. */
bool host_same(const struct host *a, const struct host *b);

static inline void host_count(_Atomic uint64_t *counter, uint64_t delta)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta,
                          memory_order_relaxed);
}

#endif
