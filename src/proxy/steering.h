/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x-envoy-... headers by which an internal client steers the router: read once, and taken away, so that
 * no upstream sees them. External clients lose them earlier (forwarded.c).
 */
#ifndef WEIR_PROXY_STEERING_H
#define WEIR_PROXY_STEERING_H

#include "http/headers.h"

struct steering {
    uint32_t retry_on; /* RETRY_ON bits of x-envoy-retry-on and x-envoy-retry-grpc-on */
    uint32_t max_retries;
    uint64_t per_try_ms;
    uint64_t stream_duration_ms;
    struct slice status_codes; /* comma-separated; ptr NULL: not given */
    struct slice header_names;
    bool has_max_retries;
    bool has_per_try;
    bool has_stream_duration;
    bool hedge_given; /* x-envoy-hedge-on-per-try-timeout says true or false */
    bool hedge;
    bool timeout_alt_response; /* a timeout is answered with 204 */
};

/* The slices lie in the map's arena. */
void steering_take(struct header_map *headers, struct steering *out);

#endif
