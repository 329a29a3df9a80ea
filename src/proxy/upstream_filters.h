/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filters between the router and an upstream: a chain for each try, so that another try runs them
 * again. Their request is the router's, with its header map; their answer is that of the try, which the
 * router sees after them. Once the try is over nothing they do reaches the stream.
 */
#ifndef WEIR_PROXY_UPSTREAM_FILTERS_H
#define WEIR_PROXY_UPSTREAM_FILTERS_H

#include "proxy/http_chain.h"
#include "proxy/upstream_request.h"

/* In the stream's arena. */
struct upstream_filters {
    struct http_chain chain;
    struct upstream_request *request;
    struct upstream_attempt *attempt; /* NULL: it is over */
    struct upstream_filters *next;    /* request->chains */
    struct header_map *request_headers;
    struct header_map *request_trailers;
    struct header_map *response_headers;
    struct header_map *response_trailers;
    struct host *host; /* owned reference: the answer may be held longer than its connection */
    struct turn_task destroy;
    bool waits; /* the request has come to its end before there was a connection */
};

/* envoy.filters.http.upstream_codec: the end of each chain. */
extern const struct filter_ops upstream_codec_filter_ops;

/* Makes the chain of a try. false: it was answered. */
bool upstream_filters_create(struct upstream_attempt *a);
/* Shows them what the request has so far. The try may be over after it. */
void upstream_filters_request(struct upstream_attempt *a);
void upstream_filters_data(struct upstream_attempt *a, struct chain *data, bool end);
void upstream_filters_trailers(struct upstream_attempt *a, struct header_map *trailers);
/* A connection carries it now. */
void upstream_filters_ready(struct upstream_attempt *a);
/* The connection takes no more, or takes more. */
void upstream_filters_backpressure(struct upstream_attempt *a, bool on);
/* The router takes no more of the answer, or takes more. */
void upstream_filters_pause(struct upstream_attempt *a, bool on);
/* What came from the upstream. */
void upstream_filters_answer(struct upstream_attempt *a, struct header_map *headers, bool end);
void upstream_filters_answer_data(struct upstream_attempt *a, struct chain *data, bool end);
void upstream_filters_answer_trailers(struct upstream_attempt *a, struct header_map *trailers);
uint64_t upstream_filters_held(const struct upstream_attempt *a);
/* The try is over; its filters go when none of them is on the stack. */
void upstream_filters_end(struct upstream_attempt *a);
/* All of a request's go now. */
void upstream_filters_destroy(struct upstream_request *r);

#endif
