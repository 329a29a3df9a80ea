/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate_limits of routes, virtual hosts and filters: what of a request makes the descriptors that a rate limit
 * filter looks for. Plain data that the configuration fills and rate_limits_finish completes.
 */
#ifndef WEIR_PROXY_RATE_LIMIT_H
#define WEIR_PROXY_RATE_LIMIT_H

#include "proxy/routing/matcher.h"

struct stream;

enum rate_limit_action_kind {
    RATE_LIMIT_SOURCE_CLUSTER,
    RATE_LIMIT_DESTINATION_CLUSTER,
    RATE_LIMIT_REQUEST_HEADER,
    RATE_LIMIT_QUERY_PARAMETER,
    RATE_LIMIT_REMOTE_ADDRESS,
    RATE_LIMIT_MASKED_ADDRESS,
    RATE_LIMIT_GENERIC_KEY,
    RATE_LIMIT_METADATA,
    RATE_LIMIT_HEADERS_MATCH,
    RATE_LIMIT_QUERY_MATCH,
};

struct rate_limit_action {
    enum rate_limit_action_kind kind;
    bool skip_if_absent; /* the entry is left out; else there is no descriptor */
    bool expect_match;   /* HEADERS_MATCH, QUERY_MATCH */
    bool of_route;       /* METADATA: the route's; else dynamic */
    uint8_t v4_bits, v6_bits;
    struct slice key;
    struct slice
        value;         /* GENERIC_KEY, *_MATCH; METADATA: its default; SOURCE_CLUSTER: this proxy's cluster */
    struct slice name; /* of the header or parameter; METADATA: its name space */
    const struct slice *path; /* METADATA */
    uint32_t path_count;
    uint32_t headers_count;
    uint32_t query_count;
    struct header_matcher *headers;
    struct query_matcher *query;
};

struct rate_limit {
    const struct rate_limit_action *actions;
    uint32_t actions_count;
    uint32_t stage;
    uint64_t hits; /* that a request counts for */
    bool off;      /* makes no descriptors */
};

struct rate_limits {
    const struct rate_limit *items;
    uint32_t count;
};

struct rate_limit_entry {
    struct slice key;
    struct slice value;
};

struct rate_limit_descriptor {
    const struct rate_limit_entry *entries;
    uint32_t count;
    uint64_t hits;
    struct slice text; /* all entries: equal for equal descriptors, and for no others */
};

struct rate_limit_descriptors {
    struct rate_limit_descriptor *items;
    uint32_t count;
};

void rate_limits_finish(const struct rate_limits *l, struct arena *arena, const char *path,
                        struct build_errors *errors);
void rate_limits_fini(const struct rate_limits *l);
/* The text of a descriptor; ptr NULL: the arena's cap is reached. */
struct slice rate_limit_text(const struct rate_limit_entry *entries, uint32_t count, struct arena *arena);
/* Adds those that the request has, in the stream's arena. false: its cap is reached. */
bool rate_limits_apply(const struct rate_limits *l, uint32_t stage, const struct header_map *headers,
                       struct stream *s, struct rate_limit_descriptors *out);

#endif
