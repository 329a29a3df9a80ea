/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router's state for one stream: what is sent, its tries, its timers. Shared by router.c (what happens to
 * the request), upstream_request.c (sending), upstream_attempt.c (what comes back), upstream_retry.c (another
 * try) and upstream_failure.c (answers in place of an upstream).
 */
#ifndef WEIR_PROXY_UPSTREAM_REQUEST_H
#define WEIR_PROXY_UPSTREAM_REQUEST_H

#include "net/timer.h"
#include "proxy/cluster_policy.h"
#include "proxy/filter.h"
#include "proxy/retry.h"
#include "proxy/router.h"
#include "proxy/routing/route_config.h"
#include "proxy/routing/route_stats.h"
#include "upstream/host_watch.h"
#include "upstream/upstream_stream.h"
#include "upstream/worker_cluster.h"

struct upstream_filters;
struct upstream_request;
struct weighted_cluster;

/* One try at one host. The first lies inside the request, later ones in the stream's arena. */
struct upstream_attempt {
    struct upstream_request *request;
    struct list node;              /* request->attempts, while something is expected of it */
    struct upstream_attempt *next; /* request->more */
    struct upstream_stream stream;
    enum pool_kind kind;
    struct upstream_wants wants;    /* lies in the request's headers */
    struct worker_cluster *cluster; /* whose host it is: the request's, or a member of it; kept as `host` */
    struct host *host;              /* kept by the pool, while `stream` is active */
    struct host_shard *shard;       /* of the host */
    struct chain body;              /* waits for the connection */
    struct timer try_timer;
    struct timer idle_timer;
    struct timer duration_timer;
    struct upstream_filters *filters; /* NULL: none, or it is over */
    struct arena arena;               /* of the answers of later tries; the first one uses the stream's */
    bool ready : 1;                   /* a connection carries it, the head is sent */
    bool retried : 1;                 /* another try was begun because of it, and it goes on */
};

struct upstream_request {
    struct filter *filter;
    /* As matched when the request was sent; filters may clear the stream's own. */
    const struct route *route;
    const struct weighted_cluster *weighted;
    struct worker_cluster *cluster;      /* owned reference */
    const struct cluster_policy *policy; /* what the cluster says in place of the route; NULL: nothing */
    const struct cluster_config
        *policy_owner;                 /* owned reference, when that is no longer `cluster`; else NULL */
    const struct filter_list *filters; /* between the router and the upstream; NULL: none */
    struct upstream_filters *chains;   /* of its tries, until they are destroyed */
    struct header_map *headers;
    struct header_map *trailers;
    struct list attempts;             /* in flight; more than one only with hedging */
    struct upstream_attempt *current; /* the last begun, while in flight */
    struct upstream_attempt *winner;  /* its answer is handed on */
    struct upstream_attempt *more;    /* those that were made later than the first */
    struct retry *retry;              /* NULL: it is sent once */
    struct chain *kept;               /* the body so far, by reference, for another try; NULL: not kept */
    uint64_t kept_max;                /* bytes */
    struct list *mirrors;             /* whose request is not whole; NULL: none */
    struct request_scopes scopes;     /* count what happens to it, beside its cluster; most have none */
    struct timer timer;               /* the route's timeout, from the end of the request on */
    uint64_t timeout_ms;              /* 0: none; so the next two */
    uint64_t per_try_ms;
    uint64_t per_try_idle_ms;
    uint64_t duration_ms;         /* of one try, from when it is sent; 0: none */
    uint64_t request_done_ns;     /* 0: the request goes on */
    uint64_t hash;                /* of the route's hash policies, for all tries */
    struct hash_cookie *cookies;  /* that the answer shall set */
    const struct lb_match *match; /* labels of its endpoints; NULL: any */
    bool has_hash : 1;
    bool high_priority : 1;
    bool suppress_envoy_headers : 1;
    bool request_done : 1;     /* everything has come from downstream */
    bool response_started : 1; /* the final head went into the chain */
    bool finished : 1;         /* answered or failed: what still comes is dropped */
    bool pushed_back : 1;      /* downstream was told to stop */
    bool is_retry : 1;         /* not the first try any more */
    bool hedge : 1;            /* a late try goes on beside the next one */
    bool body_lost : 1;        /* too long to be kept */
    bool timeout_alt : 1;      /* timeouts are answered with 204 */
    bool duration_given : 1;   /* duration_ms is the request's own, not the cluster's */
    struct upstream_attempt first;
};

static inline struct upstream_request *upstream_request_of(struct filter *f)
{
    return f->state;
}
static inline struct stream *upstream_request_stream(const struct upstream_request *r)
{
    return r->filter->stream;
}
static inline struct cluster_stats *upstream_request_stats(const struct upstream_request *r)
{
    return &r->cluster->cluster->stats;
}
static inline enum breaker_priority upstream_request_priority(const struct upstream_request *r)
{
    return r->high_priority ? BREAKER_HIGH : BREAKER_DEFAULT;
}

/* NULL: none. */
static inline const struct retry_policy *upstream_request_retry_policy(const struct upstream_request *r)
{
    return WEIR_UNLIKELY(r->policy && r->policy->retry) ? r->policy->retry : r->route->action.retry;
}

/* upstream_request.c */

void upstream_request_init(struct upstream_request *r, struct filter *f);
/* Sends the request to the host that was just picked. Answers itself when that is impossible. */
void upstream_request_start(struct upstream_request *r, struct host *host, bool end_of_stream);
/* Moves all bytes out of `data`. */
void upstream_request_data(struct upstream_request *r, struct chain *data, bool end_of_stream);
void upstream_request_trailers(struct upstream_request *r, struct header_map *trailers);
/* Gives everything up without an answer. */
void upstream_request_cancel(struct upstream_request *r);
/* Body bytes that it keeps: those that wait, and those for another try. */
uint64_t upstream_request_held(const struct upstream_request *r);
/* The response side is held back, or free again. */
void upstream_request_pause(struct upstream_request *r, bool on);

/* Counts a status on behalf of this cluster: that of an answer, or of the failure of an attempt. */
void upstream_request_count(struct upstream_request *r, unsigned status);
/* The same for an attempt that has no answer when a time limit is reached. */
void upstream_request_late(struct upstream_attempt *a);
/* The attempt has waited too long for an answer: outlier detection counts that. */
void upstream_request_outlier_timeout(struct upstream_attempt *a);
/* Nothing is wanted from upstream any more; what still comes is dropped. The winner's connection may be used
 * again when its answer is whole. */
void upstream_request_finish(struct upstream_request *r);
/* Tells downstream to stop or to go on. */
void upstream_request_push_back(struct upstream_request *r, bool on);

/* upstream_attempt.c */

/* Sends what the request has so far to the host that was just picked from the request's cluster. Failures may
 * be answered before it returns. */
void upstream_attempt_begin(struct upstream_attempt *a, struct host *host);
/* The whole request was sent: the limits for one try begin. */
void upstream_attempt_arm(struct upstream_attempt *a);
/* What has come back, through the filters if there are some. */
void upstream_attempt_answer(struct upstream_attempt *a, struct header_map *headers, bool end_of_stream);
void upstream_attempt_answer_data(struct upstream_attempt *a, struct chain *data, bool end_of_stream);
void upstream_attempt_answer_trailers(struct upstream_attempt *a, struct header_map *trailers);
/* The connection did not take what was sent. */
void upstream_attempt_send_failed(struct upstream_attempt *a);
/* Nothing is expected of it any more. `reset`: its stream is given up, or the rest of its answer is read and
 * dropped. */
void upstream_attempt_end(struct upstream_attempt *a, bool reset);

/* upstream_retry.c */

/* After everything else is known of a request: sets up its retries. */
struct steering;
void upstream_retry_setup(struct upstream_request *r, const struct steering *steering);
/* Bytes that may be kept of a body: the route's limit, within the connection's unless it is the newer one. */
uint64_t upstream_request_body_max(const struct upstream_request *r);
/* Whether an attempt's failure or answer leads to another try, or another one may still answer; the attempt
 * is at its end then. False: nothing has happened. Only when the request has retries. */
bool upstream_retry_reset(struct upstream_attempt *a, enum upstream_reset why);
bool upstream_retry_headers(struct upstream_attempt *a, const struct header_map *headers, unsigned status,
                            bool end_of_stream);
/* Keeps a reference to the bytes for another try. False: there is no try to send them to, it was answered. */
bool upstream_retry_keep(struct upstream_request *r, const struct chain *data);
/* Tells the upstream how long it has, from now on: x-envoy-expected-rq-timeout-ms and grpc-timeout. */
void upstream_request_expect(struct upstream_request *r);
/* There will be no other try. */
void upstream_retry_end(struct upstream_request *r);
/* The same, and what was kept for one goes. */
void upstream_retry_drop(struct upstream_request *r);
/* Another one is awaited: a failure is not the answer yet. */
static inline bool upstream_retry_awaits(const struct upstream_request *r)
{
    return !list_empty(&r->attempts) || (r->retry && r->retry->pending);
}
/* Fired timers of an attempt. */
void upstream_retry_try_timeout(struct timer *timer);
void upstream_retry_idle_timeout(struct timer *timer);
void upstream_retry_duration_timeout(struct timer *timer);

/* upstream_failure.c */

struct local_reply;
/* Answers in place of the upstream, or resets when the answer has begun. No attempt is in flight. */
void upstream_request_answer(struct upstream_request *r, const struct local_reply *reply);
static inline unsigned upstream_failure_status(enum upstream_reset why)
{
    return why == UPSTREAM_PROTOCOL_ERROR ? 502 : 503;
}
/* Attempts that a time limit ended were counted already. */
void upstream_request_timed_out(struct upstream_request *r, const char *details);
/* The attempt's stream ended so, or could not begin. `transport`: "" or what the socket said. */
void upstream_attempt_failed(struct upstream_attempt *a, enum upstream_reset why, const char *transport);
/* The codec took no head: a filter has removed something that must be there. Gives the stream up: it is
 * begun, though nothing was sent. */
void upstream_attempt_head_refused(struct upstream_attempt *a);
/* Not even the socket could be made. */
void upstream_attempt_no_connection(struct upstream_attempt *a, int error);
/* max_connection_pools lets it have none: as if the host were not there (Envoy). */
void upstream_attempt_no_pool(struct upstream_attempt *a);
/* The cluster has no host to send to. */
void upstream_request_no_host(struct upstream_request *r);
void upstream_request_maintenance(struct upstream_request *r);
/* Another try cannot even begin: too much was tried already. */
void upstream_request_no_memory(struct upstream_request *r);

#endif
