/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its response, between a downstream codec stream and the filter chain. Lives in its own
 * arena; dies through the loop's deferred destruction after the access log was written. The struct is visible
 * to filters that need more than filter.h offers (router, wasm, access log); they change nothing in it but
 * through functions.
 */
#ifndef WEIR_PROXY_STREAM_H
#define WEIR_PROXY_STREAM_H

#include "proxy/filter.h"
#include "proxy/filter_state.h"
#include "proxy/stream_info.h"

struct downstream; /* the connection: downstream.h */
struct hcm_config;
struct route_table;
struct virtual_host;
struct route;
struct weighted_cluster;
struct worker;

struct stream {
    struct downstream *downstream;
    struct worker *worker;
    const struct hcm_config *hcm;          /* held by the connection, which outlives its streams */
    const struct route_table *route_table; /* held by `hcm` */
    struct codec_stream *codec;            /* NULL once dead */
    struct arena arena;
    struct stream_info info;

    struct header_map *request_headers;
    struct header_map *request_trailers;
    struct header_map *response_headers;
    struct header_map *response_trailers;

    /* The route, matched when request headers have come; stream_route() matches again after it was cleared.
     */
    const struct virtual_host *virtual_host;
    const struct route *route;
    const struct weighted_cluster *weighted_cluster; /* the pick among a route's weighted clusters, or NULL */
    const struct lb_override *override; /* the endpoint that a filter wants, in the arena; NULL: any */
    bool route_matched : 1;

    bool request_complete : 1;  /* the whole request has arrived */
    bool response_started : 1;  /* response headers went to the codec */
    bool response_complete : 1; /* so did the end */
    bool is_head : 1;
    bool is_grpc : 1;
    bool is_upgrade : 1;
    bool local_reply_sent : 1;
    bool destroyed : 1;
    bool healthcheck : 1;

    /* Named values for later filters and access logs (proxy_set_property, %FILTER_STATE%). */
    struct filter_state filter_state;

    /* Private to stream.c, filter_manager.c and downstream.c. */
    struct stream_private *priv;
};

/* Matches if needed; NULL when no route matches. */
const struct route *stream_route(struct stream *s);

#endif
