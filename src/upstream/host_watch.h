/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What whoever sends requests tells of how they ended at a host, for those who watch over its health: outlier
 * detection and active health checks. Without either a test of two pointers and nothing more.
 */
#ifndef WEIR_UPSTREAM_HOST_WATCH_H
#define WEIR_UPSTREAM_HOST_WATCH_H

#include "http/headers.h"
#include "upstream/outlier.h"
#include "upstream/upstream_stream.h"

/* The slow part of the next one. */
void host_watch_headers(struct host *h, uint32_t worker, unsigned status, const struct header_map *headers,
                        bool grpc, uint64_t now_ms);

/* The head of an answer has come. `grpc`: the request was gRPC, so that grpc-status in the head counts. */
static inline void host_watch_answer(struct host *h, uint32_t worker, unsigned status,
                                     const struct header_map *headers, bool grpc, uint64_t now_ms)
{
    if (WEIR_UNLIKELY(h->outlier || h->checks))
        host_watch_headers(h, worker, status, headers, grpc, now_ms);
}
/* There was no connection, or the stream was lost. */
static inline void host_watch_failed(struct host *h, uint32_t worker, enum upstream_reset why)
{
    if (why != UPSTREAM_OVERFLOW) /* which is none of the host's doing */
        outlier_event(h, worker, OUTLIER_CONNECT_FAILED);
}

#endif
