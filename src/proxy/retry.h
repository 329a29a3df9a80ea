/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retries of one request: whether an answer or a failure is reason for another try, how many are left,
 * and when the next one begins. Lies in the stream's arena; exists only for requests that may be sent again.
 * It sends nothing: it calls back when the time has come.
 */
#ifndef WEIR_PROXY_RETRY_H
#define WEIR_PROXY_RETRY_H

#include "net/timer.h"
#include "proxy/routing/retry_policy.h"
#include "proxy/routing/route_stats.h"
#include "proxy/steering.h"
#include "upstream/host_set.h"
#include "upstream/upstream_stream.h"
#include "upstream/worker_cluster.h"

struct stream;
struct upstream_request;

enum retry_verdict {
    RETRY_NO,       /* no reason for another try */
    RETRY_YES,      /* `again` is called later */
    RETRY_LIMIT,    /* there would be reason, but all tries are used up */
    RETRY_OVERFLOW, /* the cluster has too many retries under way */
};

struct retry {
    const struct retry_policy *policy;
    struct stream *stream;
    struct upstream_request *request;
    struct worker_cluster *cluster;      /* borrowed: of the request */
    const struct request_scopes *scopes; /* the same */
    enum breaker_priority priority;
    uint32_t retry_on;
    uint32_t remaining;
    uint64_t back_off_ms;      /* the bound of the next wait */
    struct slice status_codes; /* of the request's header, comma-separated */
    struct slice header_names; /* the same */
    struct host **tried;       /* owned references; only when the policy looks at them */
    uint32_t tried_count;
    struct retry_priorities *priorities; /* NULL: the policy does not look at them */
    bool pending;                        /* `again` will be called */
    bool asked;                          /* the wait is the one that the answer named */
    bool counted;                        /* one of the breaker's retries is ours, until the next verdict */
    bool timeout;                        /* the last verdict came from a timeout of one try */
    struct timer timer;
    void (*again)(struct upstream_request *request);
};

/* NULL when this request is never sent again: neither the policy nor the headers give a reason, or the
 * arena's cap is reached. */
struct retry *retry_create(struct stream *s, const struct retry_policy *policy,
                           const struct steering *steering, struct worker_cluster *cluster,
                           enum breaker_priority priority);
/* Nothing will be sent again: stops waiting, gives everything back. Twice is fine. */
void retry_end(struct retry *r);

/* Whether an answer is one to retry; changes nothing. */
bool retry_wanted(const struct retry *r, const struct header_map *response);
enum retry_verdict retry_on_headers(struct retry *r, const struct header_map *response);
/* `sent`: bytes of the request went out. */
enum retry_verdict retry_on_reset(struct retry *r, enum upstream_reset why, bool sent);
/* A try is late, and goes on while another begins. */
enum retry_verdict retry_on_late(struct retry *r);

/* The cluster was replaced meanwhile. */
void retry_move(struct retry *r, struct worker_cluster *cluster);
/* The shares of priorities for the next pick; NULL: the cluster's own. */
const struct host_shares *retry_priority_shares(struct retry *r, const struct host_set *hosts);
/* Remembers a host, and knows those that the policy does not want again. `priority`: among those that it was
 * picked from. */
void retry_note_host(struct retry *r, struct host *host, uint32_t priority);
bool retry_host_unwanted(const struct retry *r, const struct host *host);

#endif
