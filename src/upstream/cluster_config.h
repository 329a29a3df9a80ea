/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster as Envoy's Cluster message says it: plain C data, immutable once finished, reference-counted.
 * Filled as a route table is (route_config.h). Says nothing of the cluster's state.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_CONFIG_H
#define WEIR_UPSTREAM_CLUSTER_CONFIG_H

#include "base/arena.h"
#include "base/build_error.h"
#include "http/h1.h"
#include "http/h2.h"
#include "net/address_list.h"
#include "net/conn_options.h"
#include "net/dns.h"
#include "upstream/dynamic_name.h"
#include "upstream/h2_keepalive.h"
#include "upstream/lb_match.h"
#include "upstream/typed_value.h"

#include <stdatomic.h>

struct cluster_policy; /* proxy/cluster_policy.h */
struct health_config;
struct log_file;
struct outlier_config;
struct upstream_proxy;
struct upstream_tls;

enum cluster_type {
    CLUSTER_STATIC,
    CLUSTER_STRICT_DNS,
    CLUSTER_LOGICAL_DNS,
    CLUSTER_ORIGINAL_DST,
    CLUSTER_AGGREGATE,
    CLUSTER_DYNAMIC /* dynamic forward proxy */
};
enum lb_policy { LB_ROUND_ROBIN, LB_LEAST_REQUEST, LB_RANDOM, LB_RING_HASH, LB_MAGLEV };
/* Same numbers as Envoy's DnsLookupFamily. */
enum dns_family {
    DNS_FAMILY_AUTO,
    DNS_FAMILY_V4_ONLY,
    DNS_FAMILY_V6_ONLY,
    DNS_FAMILY_V4_PREFERRED,
    DNS_FAMILY_ALL
};
/* Same numbers as Envoy's core.v3.HealthStatus. */
enum endpoint_health {
    ENDPOINT_UNKNOWN,
    ENDPOINT_HEALTHY,
    ENDPOINT_UNHEALTHY,
    ENDPOINT_DRAINING,
    ENDPOINT_TIMEOUT,
    ENDPOINT_DEGRADED
};

struct endpoint_config {
    struct slice hostname; /* Endpoint.hostname; used by auto_host_rewrite before `address` */
    struct slice address;  /* socket_address.address: an IP for STATIC, a DNS name or IP for STRICT_DNS; a
                              path when is_pipe */
    uint16_t port;
    bool is_pipe;
    uint32_t weight; /* default 1 */
    enum endpoint_health health;
    const struct typed_value *metadata; /* NULL: none */
    const struct upstream_tls *tls;     /* borrowed from the cluster; NULL: clear text */
    const struct upstream_proxy *proxy; /* the same; NULL: no PROXY header */
    struct slice health_hostname;       /* Endpoint.health_check_config: empty, 0 and len 0: not given */
    uint16_t health_port;
    bool health_disabled;
    struct address health_address;
    struct address resolved; /* by finish when `address` is an IP or a path; len 0: a name */
    /* With additional_addresses: these behind a place for `resolved`, which finish fills; else 0. */
    struct address *addresses;
    size_t addresses_count;
};

struct locality_config {
    struct slice region;
    struct slice zone;
    struct slice sub_zone;
    const struct typed_value *metadata; /* NULL: none */
    const struct typed_value *message;  /* region, zone and sub_zone as the API has them; NULL: none set */
    uint32_t weight;                    /* 0: not set; used only with locality_weighted balancing */
    uint32_t priority;                  /* 0 is tried first */
    struct endpoint_config *endpoints;
    uint32_t endpoints_count;
};

/* Of an ORIGINAL_DST cluster. */
struct original_dst_config {
    struct slice header;          /* lower case; says where a request goes; ptr NULL: none is asked */
    uint32_t port;                /* in place of every destination's own; ORIGINAL_DST_PORT_OWN: none */
    uint64_t cleanup_interval_ms; /* 5000 */
};
#define ORIGINAL_DST_PORT_OWN UINT32_MAX

/* Of a dynamic forward proxy cluster, whose hosts are names that requests bring. */
struct dns_cache_config {
    struct slice name; /* of its statistics */
    enum dns_family family;
    uint64_t refresh_ms;             /* after a failure, unless failure_base_ms; 60,000 */
    uint64_t refresh_min_ms;         /* at least, whatever the records say; 5000 */
    uint64_t failure_base_ms;        /* 0: refresh_ms */
    uint64_t failure_max_ms;         /* 0: 10 x base */
    uint64_t host_ttl_ms;            /* since a host was wanted last; 300,000 */
    uint64_t query_timeout_ms;       /* 5000; 0: the resolver's own */
    uint32_t hosts_max;              /* 1024 */
    uint32_t pending_max;            /* requests that wait; 1024 */
    bool forget_failures;            /* the next request asks again */
    bool insecure;                   /* auto_sni and auto_san_validation may be off */
    const struct dynamic_key *first; /* that are known from the start */
    uint32_t first_count;
};

struct aggregate_member {
    struct slice name;
    uint64_t hash; /* slice_hash(name) */
};

/* Of an aggregate cluster: whose hosts are its own, the first ones first. They need not exist. */
struct aggregate_config {
    struct aggregate_member *members;
    uint32_t count;
};

/* CircuitBreakers.Thresholds of one priority. */
struct breaker_config {
    uint32_t max_connections;      /* 1024 */
    uint32_t max_pending_requests; /* 1024 */
    uint32_t max_requests;         /* 1024 */
    uint32_t max_retries;          /* 3 */
    uint32_t max_connection_pools; /* UINT32_MAX */
    bool track_remaining;
    bool retry_budget;             /* in place of max_retries */
    double retry_budget_percent;   /* 20 */
    uint32_t retry_budget_min;     /* min_retry_concurrency: 3 */
    uint32_t host_connections_max; /* per_host_thresholds.max_connections; UINT32_MAX */
};

enum breaker_priority { BREAKER_DEFAULT, BREAKER_HIGH, BREAKER_PRIORITY_COUNT };

/* What is spoken to the upstream. AUTO is what ALPN agrees on, which needs TLS. */
enum upstream_protocol { UPSTREAM_HTTP1, UPSTREAM_HTTP2, UPSTREAM_AS_DOWNSTREAM, UPSTREAM_AUTO };

/* Who is picked when there is no subset as the request wants it. */
enum lb_subset_fallback {
    LB_FALLBACK_NONE, /* nobody */
    LB_FALLBACK_ANY,
    LB_FALLBACK_DEFAULT,
    LB_FALLBACK_KEYS,  /* of a selector: fewer of its keys */
    LB_FALLBACK_UNSET, /* of a selector: as the cluster says */
};

struct lb_selector {
    struct slice *keys; /* in order */
    uint32_t keys_count;
    enum lb_subset_fallback fallback;
    struct slice *fallback_keys;
    uint32_t fallback_keys_count;
    bool single_host; /* its subsets have one host each, whatever its health */
};

struct lb_subset_config {
    enum lb_subset_fallback fallback;
    const struct lb_match *default_subset; /* NULL: all hosts */
    bool wants_default;                    /* some fallback is the default subset */
    bool panic_mode_any;
    bool list_as_any;
    bool fallback_list;         /* a request may say in which order it asks for what (lb_match.h) */
    bool redundant_keys;        /* labels that no selector names do not count; selectors: most keys first */
    bool locality_weight_aware; /* localities have weights within subsets too */
    bool scale_locality_weight; /* by how many of a locality's hosts are in the subset */
    struct lb_selector *selectors;
    uint32_t selectors_count;
};

struct hash_policies; /* proxy/routing/hash_policy.h */

/* How hosts are picked. */
struct lb_config {
    enum lb_policy policy;
    uint32_t least_request_choices; /* 2 */
    bool least_request_full_scan;   /* look at all hosts, not at a few */
    double active_request_bias;     /* exponent; 1.0 */
    uint64_t slow_start_window_ms;  /* 0: none */
    double slow_start_aggression;   /* 1.0 */
    double slow_start_min_weight;   /* part of the weight; 0.1 */
    uint32_t ring_size_min;         /* 1024 */
    uint32_t ring_size_max;         /* 8 Mi */
    bool ring_murmur;               /* MURMUR_HASH_2 instead of XX_HASH */
    uint32_t maglev_size;           /* a prime; 65537 */
    bool hash_hostname;             /* use_hostname_for_hashing */
    uint32_t hash_balance_factor;   /* percent; 0: hosts are not bounded */
    /* What requests are hashed by, instead of what their routes say; NULL: that. Owned; only src/proxy looks
     * inside. */
    const struct hash_policies *hash_policies;
    void (*hash_policies_fini)(const struct hash_policies *policies);
    bool locality_weighted;                 /* first a locality by weight, then a host in it */
    const struct lb_subset_config *subsets; /* NULL: requests do not ask for subsets */
    uint32_t override_statuses; /* bits by endpoint_health: hosts that a request may ask for by address */
    bool fail_traffic_on_panic; /* nobody instead of everybody */
    /* There is a cluster of proxies like this one, and this is another one: zones count. */
    bool zone_aware;
    bool zone_divides;   /* hosts are sorted by locality: zone_aware, and the proxies' own cluster */
    bool zone_by_weight; /* shares are of weights, not of numbers of hosts */
    uint32_t zone_routing_percent; /* of requests; 100 */
    uint64_t zone_min_size;        /* healthy hosts; 6 */
    uint32_t zone_direct_min;      /* so many in the own zone serve all of its requests; 0: by their share */
    uint32_t zone_panic_threshold; /* percent of the proxies' own cluster; by finish */
    struct slice node_locality[3]; /* region, zone, sub_zone of this proxy */
};

struct cluster_config {
    atomic_uint refs;
    struct arena arena;
    struct slice name;
    struct slice alt_stat_name; /* empty: name */
    enum cluster_type type;
    bool is_local; /* the cluster of proxies like this one: cluster_manager.local_cluster_name */
    struct lb_config lb;
    uint64_t connect_timeout_ms;          /* 5000 */
    uint32_t buffer_bytes_max;            /* per_connection_buffer_limit_bytes: 1 MiB */
    uint32_t max_requests_per_connection; /* 0: no limit */
    uint64_t idle_timeout_ms;             /* 1 h; 0: none */
    uint64_t max_stream_duration_ms;      /* 0: none */
    uint64_t max_connection_duration_ms;  /* 0: none */
    uint32_t max_headers_count;           /* of a response; 100 */
    uint32_t max_headers_bytes;           /* of a response; 80 KiB */
    uint32_t healthy_panic_threshold;     /* percent; 50 */
    uint32_t maintenance_percent;         /* of the requests, answered 503; 0 */
    struct breaker_config breakers[BREAKER_PRIORITY_COUNT];

    const struct typed_value *metadata; /* NULL: none */
    struct locality_config *localities; /* load_assignment.endpoints */
    uint32_t localities_count;
    uint32_t overprovisioning_factor; /* percent; 140 */
    /* So much of the requests is answered by the proxy itself; denominator 0: none is. */
    uint32_t drop_numerator;
    uint32_t drop_denominator;
    bool weighted_priority_health;   /* hosts count by weight when a priority's health is judged */
    uint64_t update_merge_window_ms; /* 1000; 0: each change of health at once */
    bool close_on_host_set_change;   /* connections end when hosts come or go */
    bool ignore_new_hosts_until_first_hc;
    struct address_order address_order; /* happy_eyeballs_config */
    struct conn_options socket;         /* upstream_bind_config, upstream_connection_options */
    bool pool_per_downstream;           /* connection_pool_per_downstream_connection */
    double preconnect_ratio;            /* per_upstream_preconnect_ratio: 1 */
    bool ignore_health_on_removal;      /* hosts go although they pass their checks */
    bool close_on_health_failure;       /* TCP connections to a host end when it fails */
    struct health_config *health;       /* NULL: no active checks */
    struct outlier_config *outlier;     /* NULL: no outlier detection */
    struct log_file *outlier_events;    /* owned reference; NULL: no log */

    /* STRICT_DNS and LOGICAL_DNS */
    uint64_t dns_refresh_rate_ms;         /* 5000 */
    uint64_t dns_failure_refresh_base_ms; /* 0: as dns_refresh_rate_ms */
    uint64_t dns_failure_refresh_max_ms;  /* 0: 10 x base */
    uint64_t dns_jitter_ms;
    bool respect_dns_ttl;
    enum dns_family dns_family;
    struct dns_options dns;
    bool no_warm_wait; /* wait_for_warm_on_init false: listeners do not wait for the first answer */

    struct original_dst_config original_dst;
    struct aggregate_config aggregate;
    struct dns_cache_config dns_cache;
    struct endpoint_config made; /* what hosts are like that requests bring, but for the address */

    enum upstream_protocol protocol;
    struct h2_settings http2; /* without header limits and statistics */
    struct h2_keepalive_config keepalive;
    /* HTTP/1 towards the upstream */
    bool http1_enable_trailers;
    struct h1_key_format http1_keys;

    /* Owned references; endpoints point to them. */
    const struct upstream_tls **tls;
    size_t tls_count;
    const struct upstream_proxy **proxies;
    size_t proxies_count;
    /* upstream_http_protocol_options */
    bool auto_sni;
    bool auto_san_validation;
    struct slice auto_sni_header; /* lower case; empty: the authority */

    /* What the cluster says in place of routes; NULL: nothing. Owned; only src/proxy looks inside. */
    const struct cluster_policy *policy;
    void (*policy_fini)(const struct cluster_policy *policy);

    uint64_t name_hash; /* by finish */
    bool finished;
};

static inline bool lb_hashes(const struct cluster_config *c)
{
    return c->lb.policy == LB_RING_HASH || c->lb.policy == LB_MAGLEV;
}
/* Whether hosts' requests in flight are counted over all workers (host->active). */
static inline bool lb_counts_active(const struct cluster_config *c)
{
    return c->lb.policy == LB_LEAST_REQUEST || (lb_hashes(c) && c->lb.hash_balance_factor > 0);
}

/* Whether clusters of the type pick hosts in a way of their own (CLUSTER_PROVIDED). */
static inline bool cluster_type_provides(enum cluster_type type)
{
    return type == CLUSTER_ORIGINAL_DST || type == CLUSTER_AGGREGATE || type == CLUSTER_DYNAMIC;
}

/* With one reference and Envoy's defaults. NULL when memory is out. */
struct cluster_config *cluster_config_create(void);
/* An endpoint with defaults. */
void endpoint_config_init(struct endpoint_config *e);
bool cluster_config_finish(struct cluster_config *c, struct build_errors *errors);
const struct cluster_config *cluster_config_ref(const struct cluster_config *c);
/* [any thread] */
void cluster_config_unref(const struct cluster_config **c);

#endif
