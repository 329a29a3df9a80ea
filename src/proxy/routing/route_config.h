/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route table: an Envoy RouteConfiguration as plain C data, immutable once finished and
 * reference-counted. The configuration room fills the structs from an arena of the table and calls
 * route_table_finish, which checks what only the whole can tell and builds the indexes. All slices lie in the
 * table's arena.
 *
 * Filling:
 *     struct route_table *t = route_table_create();
 *     t->virtual_hosts = ARENA_NEW_N(&t->arena, struct virtual_host, n); ... // zeroed; then the defaults:
 *     route_action_init(&route->action) for a cluster action, route_match_init(&route->match)
 *     if (!route_table_finish(t, &errors)) route_table_unref(&t);
 */
#ifndef WEIR_PROXY_ROUTE_CONFIG_H
#define WEIR_PROXY_ROUTE_CONFIG_H

#include "base/arena.h"
#include "net/proxy_header.h"
#include "proxy/matching/match_tree.h"
#include "proxy/mirror.h"
#include "proxy/routing/hash_policy.h"
#include "proxy/routing/header_mutation.h"
#include "proxy/routing/internal_redirect.h"
#include "proxy/routing/matcher.h"
#include "proxy/routing/rate_limit.h"
#include "proxy/routing/retry_policy.h"
#include "proxy/routing/route_stats.h"
#include "proxy/routing/state_matcher.h"
#include "upstream/lb_match.h"
#include "upstream/typed_value.h"

#include <stdatomic.h>

struct host_index;  /* private to route_index.c */
struct route_index; /* private to route_index.c */

/* One entry of a typed_per_filter_config map. */
struct filter_override {
    struct slice filter_name; /* the filter's name in the chain, or its type URL is resolved by the caller */
    bool disabled;            /* FilterConfig.disabled */
    bool enabled;             /* FilterConfig with disabled: false, or a config: turns a disabled filter on */
    const void *config;       /* the filter's own per-route resource; NULL: none */
    void (*destroy)(void *config); /* called with the table; may be NULL */
};

struct filter_overrides {
    struct filter_override *items;
    uint32_t count;
};

enum path_match_kind {
    PATH_MATCH_PREFIX,
    PATH_MATCH_EXACT,
    PATH_MATCH_SEPARATED_PREFIX, /* "/api" matches "/api" and "/api/x", not "/apix" */
    PATH_MATCH_REGEX,
    PATH_MATCH_TEMPLATE, /* "/a/{b}/c" */
    PATH_MATCH_CONNECT,  /* connect_matcher */
};

struct route_match {
    enum path_match_kind kind;
    struct slice path;    /* prefix, path, pattern or template */
    bool case_sensitive;  /* default true */
    bool grpc;            /* only requests with content-type application/grpc... */
    struct slice pattern; /* by finish: the template's expression */
    struct regex *regex;  /* by finish */
    /* Only this part of the requests; denominator 0: all. */
    uint32_t fraction_numerator;
    uint32_t fraction_denominator;
    struct header_matcher *headers;
    struct query_matcher *query;
    struct cookie_matcher *cookies;
    struct state_matcher *state; /* NULL: none */
    uint32_t headers_count;
    uint32_t query_count;
    uint32_t cookies_count;
};

struct regex_rewrite {
    struct slice pattern; /* ptr NULL: no rewrite */
    struct slice substitution;
    struct regex *regex; /* by finish */
};

struct weighted_cluster {
    const struct lb_match *match; /* the route's and its own */
    struct slice name;            /* or: */
    struct slice cluster_header;  /* name of the header that holds the cluster */
    uint32_t weight;
    struct slice host_rewrite_literal;
    struct header_mutation request_headers;
    struct header_mutation response_headers;
    struct filter_overrides overrides;
    uint64_t name_hash; /* by finish */
};

struct route_upgrade {
    struct slice type; /* "websocket" */
    bool enabled;
};

/* CONNECT ends here: the payload goes to the cluster as it is. */
struct route_connect {
    bool allow_post;                  /* POST does the same */
    enum proxy_version proxy_version; /* of the PROXY header before the payload */
};

/* A MatcherClusterSpecifier; its actions are weighted_clusters that only have a name. Routes share it. */
struct cluster_matcher {
    struct match_tree tree; /* root NULL: no request has a cluster */
    struct cluster_matcher *next;
};

enum route_cluster_kind {
    ROUTE_CLUSTER_NAME,
    ROUTE_CLUSTER_HEADER,
    ROUTE_CLUSTER_WEIGHTED,
    ROUTE_CLUSTER_MATCHER,
};

enum host_rewrite_kind {
    HOST_REWRITE_NONE,
    HOST_REWRITE_LITERAL,
    HOST_REWRITE_HEADER,
    HOST_REWRITE_AUTO,
    HOST_REWRITE_PATH_REGEX
};

/* "Not set": the listener's own value holds. 0 would mean off. */
#define ROUTE_TIMEOUT_UNSET UINT64_MAX

struct byte_limit {
    bool set;
    uint64_t max;
};

/* route.v3.RouteAction. */
struct route_action {
    enum route_cluster_kind cluster_kind;
    struct slice cluster;                  /* ROUTE_CLUSTER_NAME */
    struct slice cluster_header;           /* ROUTE_CLUSTER_HEADER: the header's name */
    const struct cluster_matcher *matcher; /* ROUTE_CLUSTER_MATCHER, of the table */
    struct weighted_cluster *weighted;
    uint32_t weighted_count;
    struct slice weighted_header;      /* its value picks, instead of chance; empty: none */
    bool weighted_by_hash;             /* the hash policies pick, as far as they give a hash */
    uint64_t weighted_total;           /* by finish */
    uint64_t cluster_hash;             /* by finish: slice_hash(cluster) */
    uint16_t cluster_not_found_status; /* default 503; 404, 500 */

    uint64_t timeout_ms;                 /* default 15000; 0: none */
    uint64_t idle_timeout_ms;            /* default ROUTE_TIMEOUT_UNSET; 0: none */
    uint64_t max_stream_duration_ms;     /* default ROUTE_TIMEOUT_UNSET; 0: none */
    uint64_t grpc_timeout_header_max_ms; /* default ROUTE_TIMEOUT_UNSET (grpc-timeout ignored); 0: no limit */
    uint64_t grpc_timeout_header_offset_ms;
    uint64_t max_grpc_timeout_ms; /* older than the above; default ROUTE_TIMEOUT_UNSET; 0: no limit */
    uint64_t grpc_timeout_offset_ms;

    struct slice prefix_rewrite; /* ptr NULL: none; needs a prefix or path match */
    struct regex_rewrite regex_rewrite;
    struct slice template_rewrite; /* "/c/{b}", of a template's match; finish makes regex_rewrite of it */

    enum host_rewrite_kind host_rewrite;
    struct slice host_rewrite_value; /* literal, or the header's name */
    struct regex_rewrite host_rewrite_regex;
    bool append_x_forwarded_host;

    struct route_upgrade *upgrades; /* override the listener's, by type */
    uint32_t upgrades_count;
    const struct route_connect *connect; /* NULL: CONNECT goes on */
    struct hash_policies hash_policies;
    struct rate_limits rate_limits;
    bool includes_vhost_rate_limits;
    const struct lb_match *match; /* labels of the endpoints that may serve it; NULL: all */
    bool steers;        /* by finish: requests say something about their endpoint (hash_policies, match) */
    bool high_priority; /* RoutingPriority HIGH: the breakers of that priority */

    /* Those of the virtual host where the route has none (done by finish). */
    struct retry_policy *retry; /* NULL: none */
    struct mirror_policies mirrors;
    struct redirect_policy redirects;
    bool has_hedge_policy;
    bool hedge_on_per_try_timeout;
    struct byte_limit request_buffer; /* per_request_buffer_limit_bytes */
    struct byte_limit body_buffer;    /* request_body_buffer_limit */
};

enum redirect_scheme { REDIRECT_SCHEME_KEEP, REDIRECT_SCHEME_HTTPS, REDIRECT_SCHEME_LITERAL };

/* route.v3.RedirectAction. */
struct redirect_action {
    enum redirect_scheme scheme_kind;
    struct slice scheme;
    struct slice host;           /* ptr NULL: keep */
    struct slice path;           /* path_redirect; ptr NULL: none */
    struct slice prefix_rewrite; /* ptr NULL: none */
    struct regex_rewrite regex_rewrite;
    uint32_t port;   /* 0: keep */
    uint16_t status; /* 301, 302, 303, 307, 308; default 301 (0 is taken as that) */
    bool strip_query;
};

struct direct_response {
    uint16_t status; /* 200..599 */
    struct slice body;
    struct stream_format *format; /* owned; makes the text of `body`; NULL: the body as it is */
    struct slice content_type;    /* with `format`; empty: text/plain */
};

enum route_kind { ROUTE_FORWARD, ROUTE_REDIRECT, ROUTE_DIRECT_RESPONSE, ROUTE_NON_FORWARDING };

struct route {
    struct slice name;
    struct slice stat_prefix; /* empty: no statistics of its own */
    struct route_match match;
    enum route_kind kind;
    struct route_action action;         /* ROUTE_FORWARD */
    struct redirect_action redirect;    /* ROUTE_REDIRECT */
    struct direct_response response;    /* ROUTE_DIRECT_RESPONSE */
    const struct typed_value *metadata; /* NULL: none */
    struct header_mutation request_headers;
    struct header_mutation response_headers;
    struct filter_overrides overrides;

    /* By finish. */
    const struct virtual_host *virtual_host; /* NULL: the built-in redirect to TLS */
    uint32_t index;                          /* in its virtual host */
    uint32_t next_same_key;                  /* index + 1 of the next route under the same index key */
    bool mutates_request;                    /* some level adds or removes request headers */
    bool mutates_response;
    bool has_overrides;        /* some level has a typed_per_filter_config entry */
    bool counted;              /* by `stats`, or by a virtual cluster */
    struct route_stats *stats; /* NULL: no stat_prefix */
};

/* An action of a virtual host's tree: some of its routes, of which the first that matches is taken. */
struct route_group {
    uint32_t first;
    uint32_t count;
};

enum require_tls { REQUIRE_TLS_NONE, REQUIRE_TLS_EXTERNAL_ONLY, REQUIRE_TLS_ALL };

struct virtual_host {
    struct slice name;
    struct slice *domains;
    struct route *routes;
    uint32_t domains_count;
    uint32_t routes_count;
    enum require_tls require_tls;
    bool include_request_attempt_count;
    bool include_attempt_count_in_response;
    bool include_is_timeout_retry_header;
    bool hedge_on_per_try_timeout;
    struct retry_policy *retry; /* NULL: none */
    struct mirror_policies mirrors;
    struct byte_limit request_buffer;
    struct byte_limit body_buffer;
    struct header_mutation request_headers;
    struct header_mutation response_headers;
    struct filter_overrides overrides;
    const struct typed_value *metadata; /* NULL: none */
    struct virtual_clusters virtual_clusters;
    struct rate_limits rate_limits;
    struct match_tree matcher; /* its actions are route_groups of `routes`; root NULL: all, in order */

    /* By finish. */
    const struct route_table *table;
    struct route_index *index; /* NULL: few routes, scanned in order */
};

struct route_table {
    atomic_uint refs;
    struct arena arena; /* everything of the table */
    struct slice name;
    struct virtual_host *virtual_hosts;
    uint32_t virtual_hosts_count;
    uint32_t max_direct_response_bytes; /* default DIRECT_RESPONSE_BYTES_DEFAULT */
    bool most_specific_header_mutations_wins;
    bool ignore_port_in_host_matching;
    bool ignore_path_parameters; /* of each segment of the path, what stands behind a ";" does not count */
    struct slice vhost_header;   /* lower case; its value chooses the virtual host; empty: the authority */
    struct slice *internal_only_headers;
    uint32_t internal_only_headers_count;
    struct header_mutation request_headers;
    struct header_mutation response_headers;
    struct filter_overrides overrides;
    struct mirror_policies mirrors;
    struct cluster_matcher *cluster_matchers; /* all of its routes' */

    struct host_index *hosts; /* by finish */
    bool finished;
};

/* With one reference, empty, defaults set. NULL when memory is out. */
struct route_table *route_table_create(void);
void route_match_init(struct route_match *m);
void route_action_init(struct route_action *a);
/* Checks everything, reports every error, builds the indexes. After true the table never changes. */
bool route_table_finish(struct route_table *t, struct build_errors *errors);
const struct route_table *route_table_ref(const struct route_table *t);
/* [any thread] NULL content is fine. */
void route_table_unref(const struct route_table **t);

#endif
