/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of one worker to one host, for one routing priority and protocol. Hands out streams; reuses
 * connections that can take one, the last used first; opens new ones as far as the breakers let it; queues
 * what must wait. One thread.
 */
#ifndef WEIR_UPSTREAM_POOL_H
#define WEIR_UPSTREAM_POOL_H

#include "upstream/breaker.h"
#include "upstream/cluster_config.h"
#include "upstream/cluster_stats.h"
#include "upstream/host.h"
#include "upstream/pool_index.h"
#include "upstream/upstream_stream.h"
#include "upstream/upstream_wants.h"

struct loop;
struct pool;

/* What a pool needs of its cluster; outlives its pools. */
struct pool_context {
    struct loop *loop;
    const struct cluster_config *config;
    struct cluster_stats *stats;
    struct breakers *breakers; /* of all priorities */
    uint32_t worker;           /* index of the host's shard */
    bool count_active;         /* host->active is wanted (least request) */
    struct list pools;         /* all pools of the worker's cluster */
    /* The last pool of a context without a further use is gone; may be NULL. */
    void (*empty)(struct pool_context *context);
};

struct pool {
    struct list node; /* context->pools */
    struct pool_context *context;
    struct host *host; /* owned reference */
    struct host_shard *shard;
    enum breaker_priority priority;
    enum pool_kind kind;
    uint32_t streams_per_conn; /* that a connection which is still being made is expected to take */
    struct list idle;          /* can take a stream; the last used first */
    struct list busy;
    struct list connecting;
    struct list pending; /* struct upstream_stream, the oldest first */
    uint32_t conns;      /* in all three lists, and those that are closing */
    uint32_t connecting_count;
    uint32_t pending_count;
    uint64_t generation;               /* of the update that last named the host */
    struct upstream_wants wants;       /* of the requests it is for; the text lies behind the object */
    struct pool_place place;           /* in shard->wanted_pools: of a pool with wants */
    struct tls_sessions *tls_sessions; /* of a pool with wants; the others share their host's */
    bool draining;
    bool entered; /* a function of pool.c is on the stack: freeing waits */
};

enum pool_result {
    POOL_READY,    /* send now */
    POOL_PENDING,  /* `ready` or `failed` follows */
    POOL_OVERFLOW, /* a breaker is open */
    POOL_FAILED,   /* no connection can be started; errno says why */
};

/* The worker's pool for the host, made when needed. NULL with errno: ENOMEM, or EDQUOT when
 * max_connection_pools has been reached. */
struct pool *pool_get_kind(struct pool_context *context, struct host *host, enum breaker_priority priority,
                           enum pool_kind kind);
/* The same for requests that want something of their connection; such a pool goes with its last connection.
 */
struct pool *pool_get_wanted(struct pool_context *context, struct host *host, enum breaker_priority priority,
                             enum pool_kind kind, const struct upstream_wants *wants);
/* In which protocol a request goes upstream. */
static inline enum pool_kind pool_kind_of(const struct cluster_config *config, bool downstream_is_http2)
{
    switch (config->protocol) {
    case UPSTREAM_HTTP2:
        return POOL_HTTP2;
    case UPSTREAM_AS_DOWNSTREAM:
        return downstream_is_http2 ? POOL_HTTP2 : POOL_HTTP1;
    case UPSTREAM_AUTO:
        return POOL_AUTO;
    case UPSTREAM_HTTP1:
        break;
    }
    return POOL_HTTP1;
}
/* For a request that comes from nowhere downstream: in the protocol and with the names that the cluster is
 * configured for. */
static inline struct pool *pool_get(struct pool_context *context, struct host *host,
                                    enum breaker_priority priority, const struct header_map *headers)
{
    struct upstream_wants wants = upstream_wants_of(context->config, headers);
    return pool_get_wanted(context, host, priority, pool_kind_of(context->config, false), &wants);
}
/* Whether one more stream would make it open another connection. */
bool pool_would_connect(const struct pool *p);
/* `s` must not be in use. On POOL_OVERFLOW and POOL_FAILED it stays so, and `p` may be gone. */
enum pool_result pool_open_stream(struct pool *p, struct upstream_stream *s);
/* After pool_get_*, in place of pool_open_stream: nothing is opened. `p` may be gone. */
void pool_left(struct pool *p);
/* No new streams; idle connections close, the others when they are done; then the pool frees itself. */
void pool_drain(struct pool *p);
/* At the end of the worker: every connection closes now, streams are reset with events. */
void pool_close_all(struct pool *p);

#endif
