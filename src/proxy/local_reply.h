/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer that the proxy itself makes.
 */
#ifndef WEIR_PROXY_LOCAL_REPLY_H
#define WEIR_PROXY_LOCAL_REPLY_H

#include "http/headers.h"

struct header_mutation;

struct local_reply_header {
    struct slice name;
    struct slice value;
};

/* Borrowed during the call. */
struct local_reply {
    uint16_t status;                          /* 200..599 */
    struct slice body;                        /* text/plain unless a header says otherwise */
    struct slice details;                     /* %RESPONSE_CODE_DETAILS%; copied */
    uint64_t flags;                           /* response flags to set, stream_info.h */
    int32_t grpc_status;                      /* -1: derived from the HTTP status for gRPC requests */
    bool as_is;                               /* neither the route's changes nor local_reply_config apply */
    const struct local_reply_header *headers; /* added after the proxy's own; checked like a peer's */
    size_t headers_count;
    const struct header_mutation *changes; /* behind those of the route; NULL: none. Outlives the stream */
};

#endif
