/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done with a route table per request: find the route, pick its cluster, rewrite the request, mutate
 * headers, build a redirect. Reads tables, never changes them; allocates only from the stream's arena.
 */
#ifndef WEIR_PROXY_ROUTE_H
#define WEIR_PROXY_ROUTE_H

#include "proxy/routing/route_config.h"

struct stream;

struct route_result {
    const struct virtual_host *virtual_host; /* NULL: no domain matches */
    const struct route *route;               /* NULL: no route matches */
    /* The pick, for ROUTE_CLUSTER_WEIGHTED and _MATCHER, where it may be NULL: there is none; else NULL. */
    const struct weighted_cluster *weighted;
};

/* `stream` is for what routes ask beside the headers (NULL: nothing is known); `random` picks among weighted
 * clusters. */
struct route_result route_table_match(const struct route_table *t, const struct header_map *headers,
                                      struct stream *stream, uint64_t random);
/* The domain part alone; NULL when none matches. `host` in any case, with or without port. */
const struct virtual_host *route_table_find_host(const struct route_table *t, struct slice host);

struct cluster_ref {
    struct slice name; /* ptr NULL: the route names none (its header is missing) */
    uint64_t hash;     /* slice_hash(name) */
};
/* The labels that the request's endpoint must have; NULL: it asks for none. */
static inline const struct lb_match *route_match_labels(const struct route *r,
                                                        const struct weighted_cluster *weighted)
{
    return weighted && weighted->match ? weighted->match : r->action.match;
}

/* For ROUTE_FORWARD. */
struct cluster_ref route_cluster(const struct route *r, const struct weighted_cluster *weighted,
                                 const struct header_map *headers);

/* The most specific entry for the filter: weighted cluster, route, virtual host, table. NULL: none. Cheap
 * when !route->has_overrides. `r` may be NULL. */
const struct filter_override *route_filter_override(const struct route *r,
                                                    const struct weighted_cluster *weighted,
                                                    struct slice filter_name);

/* The entries of all levels, in that order. Returns how many. */
#define ROUTE_LEVELS_MAX 4u
unsigned route_filter_overrides(const struct route *r, const struct weighted_cluster *weighted,
                                struct slice filter_name,
                                const struct filter_override *out[ROUTE_LEVELS_MAX]);

/* Path, host and header changes of a forwarded request, in Envoy's order. `envoy_headers`: the original path
 * and host are kept in x-envoy-original-*. */
void route_finalize_request(const struct route *r, const struct weighted_cluster *weighted,
                            struct header_map *headers, struct stream *stream, bool envoy_headers);
/* Once the endpoint is chosen: its host name (empty: none) replaces the authority if the route says so. */
void route_rewrite_auto_host(const struct route *r, struct header_map *headers, struct slice auto_host,
                             bool envoy_headers);
/* Header changes of a response of this route, also of direct responses and redirects. */
void route_finalize_response(const struct route *r, const struct weighted_cluster *weighted,
                             struct header_map *headers, struct stream *stream);
/* The location of a redirect; ptr NULL when the arena's cap is reached. */
struct slice route_redirect_location(const struct route *r, const struct header_map *headers,
                                     struct arena *arena);

/* The :path as routes of the table compare it: without query and fragment, and where the table says so
 * without parameters. ptr NULL: there is none, or the arena of the headers has no room for it. */
struct slice route_table_path(const struct route_table *t, const struct header_map *headers);

/* The :path without query and fragment, and the query (after "?", without fragment). */
struct slice path_without_query(struct slice path);
struct slice path_query(struct slice path);

#endif
