/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of requests to other clusters (request_mirror_policies): sent beside the request, their answers are
 * read and dropped. A mirror never holds the request back: what its upstream does not take in time is kept up
 * to a limit, and beyond it the mirror is given up.
 */
#ifndef WEIR_PROXY_MIRROR_H
#define WEIR_PROXY_MIRROR_H

#include "base/chain.h"
#include "base/list.h"
#include "proxy/routing/header_steps.h"

struct stream;

/* route.v3.RouteAction.RequestMirrorPolicy. */
struct mirror_policy {
    struct slice cluster; /* or: */
    uint64_t cluster_hash;
    struct slice cluster_header; /* name of the header that holds the cluster */
    struct slice host;           /* empty: the request's own with "-shadow" */
    bool plain_host;             /* the request's own as it is */
    struct header_steps headers; /* what is changed in the copy */
    uint32_t numerator;          /* of the requests that are mirrored */
    uint32_t denominator;
};

struct mirror_policies {
    const struct mirror_policy *items;
    uint32_t count;
};

void mirror_policies_fini(const struct mirror_policies *policies);
/* Begins the mirrors of a request with these headers and adds those whose request is not whole yet to
 * `open`. `timeout_ms` counts from the request's end, 0: none. */
void mirror_start(struct stream *s, const struct mirror_policies *policies, const struct header_map *headers,
                  uint64_t timeout_ms, uint64_t bytes_max, bool end_of_stream, struct list *open);
/* The body goes on. Returns how many were given up. */
uint32_t mirror_data(struct list *open, const struct chain *data, bool end_of_stream);
void mirror_trailers(struct list *open, const struct header_map *trailers);
/* The request will not become whole. */
void mirror_cancel(struct list *open);

#endif
