/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internal redirects: an upstream's 3xx is followed by the proxy itself, as a new request through all
 * filters. When anything speaks against it the answer goes to the client as it is.
 */
#ifndef WEIR_PROXY_INTERNAL_REDIRECT_H
#define WEIR_PROXY_INTERNAL_REDIRECT_H

#include "http/headers.h"

struct upstream_request;

/* Says whether a redirect may go to the route that would serve it. */
enum redirect_predicate_kind {
    REDIRECT_PREVIOUS_ROUTES, /* not twice from the same route to the same one */
    REDIRECT_ALLOWED_ROUTES,  /* only to these */
    REDIRECT_SAFE_SCHEME,     /* not from clear text to TLS */
};

struct redirect_predicate {
    enum redirect_predicate_kind kind;
    const struct slice *routes; /* names; ALLOWED_ROUTES */
    uint32_t routes_count;
};

/* A redirect that a request has followed, for REDIRECT_PREVIOUS_ROUTES. */
struct redirect_step {
    struct redirect_step *next;
    struct slice from, to; /* names of routes, which outlive the stream */
};

/* route.v3.InternalRedirectPolicy. */
struct redirect_policy {
    bool enabled;
    uint32_t max;                                                         /* in a row; 1 */
    bool follows_301, follows_302, follows_303, follows_307, follows_308; /* 302 alone */
    bool cross_scheme;
    const struct slice *headers_to_copy; /* of the answer, into the new request */
    uint32_t headers_to_copy_count;
    const struct redirect_predicate *predicates; /* all must agree */
    uint32_t predicates_count;
};

/* true: the stream begins anew at the end of the turn, and nothing more is wanted of `r`. Only where the
 * policy is enabled. */
bool internal_redirect(struct upstream_request *r, const struct header_map *answer, unsigned status);

#endif
