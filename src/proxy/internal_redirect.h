/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internal redirects: an upstream's 3xx is followed by the proxy itself, as a new request through all
 * filters. When anything speaks against it the answer goes to the client as it is.
 */
#ifndef WEIR_PROXY_INTERNAL_REDIRECT_H
#define WEIR_PROXY_INTERNAL_REDIRECT_H

#include "http/headers.h"

struct upstream_request;

/* route.v3.InternalRedirectPolicy. */
struct redirect_policy {
    bool enabled;
    uint32_t max;                                                         /* in a row; 1 */
    bool follows_301, follows_302, follows_303, follows_307, follows_308; /* 302 alone */
    bool cross_scheme;
    const struct slice *headers_to_copy; /* of the answer, into the new request */
    uint32_t headers_to_copy_count;
};

/* true: the stream begins anew at the end of the turn, and nothing more is wanted of `r`. Only where the
 * policy is enabled. */
bool internal_redirect(struct upstream_request *r, const struct header_map *answer, unsigned status);

#endif
