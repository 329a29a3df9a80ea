/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sticky sessions (envoy.filters.http.stateful_session): the endpoint that answered is written into a cookie
 * or a header of the answer, and asked for when the client sends that again. What a client sends chooses
 * among the endpoints of the route's cluster only, and never makes one.
 */
#ifndef WEIR_FILTERS_STATEFUL_SESSION_STATEFUL_SESSION_H
#define WEIR_FILTERS_STATEFUL_SESSION_STATEFUL_SESSION_H

#include "proxy/filter.h"
#include "telemetry/stats.h"

/* "http.<HCM>.stateful_session.<stat_prefix>.<name>"; only with a stat_prefix. */
#define SESSION_STATS(X)                                                                                     \
    X(routed)                                                                                                \
    X(failed_open)                                                                                           \
    X(failed_closed)                                                                                         \
    X(no_session)

enum session_kind {
    SESSION_NONE, /* nothing is kept */
    SESSION_COOKIE,
    SESSION_HEADER,
    SESSION_ENVELOPE, /* around the value of a header that the upstream sets */
};

/* Of the filter, and of routes. */
struct session_config {
    enum session_kind kind;
    bool disabled; /* of a route: as if the filter were not there */
    bool strict;   /* a request goes to its endpoint or nowhere */
    struct slice name;
    struct slice path;   /* cookie: of requests that it is for; empty: all */
    struct slice suffix; /* cookie: "; Path=/; HttpOnly", behind Max-Age */
    uint64_t ttl_seconds;
};

/* The filter's entry in a chain; filter_config.config. */
struct session_filter {
    struct arena arena; /* of the texts */
    struct session_config session;
#define SESSION_STAT_X(name) stat_id name;
    SESSION_STATS(SESSION_STAT_X)
#undef SESSION_STAT_X
};

extern const struct filter_ops session_filter_ops;

/* `prefix`: of its statistics; empty: it has none. NULL when memory is out. */
struct session_filter *session_filter_create(struct slice hcm_prefix, struct slice prefix);
/* For struct filter_config. */
void session_filter_destroy(void *filter);

#endif
