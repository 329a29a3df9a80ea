/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router's state for one stream: the upstream stream, what waits for it, its timer. Shared by router.c
 * (the request side) and upstream_request.c (what comes back).
 */
#ifndef WEIR_PROXY_UPSTREAM_REQUEST_H
#define WEIR_PROXY_UPSTREAM_REQUEST_H

#include "net/timer.h"
#include "proxy/filter.h"
#include "proxy/router.h"
#include "upstream/upstream_stream.h"
#include "upstream/worker_cluster.h"

struct route;
struct weighted_cluster;

struct upstream_request {
    struct filter *filter;
    /* As matched when the request was sent; filters may clear the stream's own. */
    const struct route *route;
    const struct weighted_cluster *weighted;
    struct worker_cluster *cluster; /* owned reference */
    struct host_shard *shard;       /* of the host, while `stream` is active */
    struct upstream_stream stream;
    struct header_map *headers;  /* to send, until sent */
    struct chain body;           /* waits for the connection */
    struct header_map *trailers; /* waits for the connection */
    struct timer timer;          /* the route's timeout, from the end of the request on */
    uint64_t timeout_ms;         /* 0: none */
    uint64_t request_done_ns;    /* 0: the request goes on */
    uint8_t refusals;            /* streams that the upstream did not look at */
    bool high_priority : 1;
    bool http2 : 1;
    bool body_sent : 1; /* and is not there any more */
    bool suppress_envoy_headers : 1;
    bool ready : 1;            /* a connection carries it, the head is sent */
    bool request_done : 1;     /* everything has come from downstream */
    bool response_started : 1; /* the final head went into the chain */
    bool finished : 1;         /* answered or failed: what still comes is dropped */
    bool pushed_back : 1;      /* downstream was told to stop */
};

static inline struct upstream_request *upstream_request_of(struct filter *f)
{
    return f->state;
}

/* Sends the request to the host. Answers itself when that is impossible. */
void upstream_request_start(struct upstream_request *r, struct host *host, enum breaker_priority priority,
                            bool end_of_stream);
/* Moves all bytes out of `data`. */
void upstream_request_data(struct upstream_request *r, struct chain *data, bool end_of_stream);
void upstream_request_trailers(struct upstream_request *r, struct header_map *trailers);
/* Gives everything up without an answer. */
void upstream_request_cancel(struct upstream_request *r);

/* For upstream_failure.c and upstream_request.c. */
struct local_reply;
/* Counts the status that the client gets on behalf of this cluster. */
void upstream_request_count(struct upstream_request *r, unsigned status);
/* Nothing is wanted from upstream any more; what still comes is dropped. */
void upstream_request_finish(struct upstream_request *r);
/* Answers in place of the upstream, or resets when the answer has begun. */
void upstream_request_answer(struct upstream_request *r, const struct local_reply *reply);
/* The upstream stream ended so, or could not begin. `transport`: "" or what the socket said. */
void upstream_request_failed(struct upstream_request *r, enum upstream_reset why, const char *transport);
/* The codec took no head: a filter has removed something that must be there. Gives the stream up: it is
 * begun, though nothing was sent. */
void upstream_request_head_refused(struct upstream_request *r);
/* Not even the socket could be made. */
void upstream_request_no_connection(struct upstream_request *r, int error);

#endif
