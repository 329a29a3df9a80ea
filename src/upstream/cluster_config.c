/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building and releasing cluster configurations. The finish step resolves what needs no resolver and refuses
 * what could never be connected to.
 */
#include "upstream/cluster_config.h"

#include "base/assert.h"
#include "base/refs.h"
#include "telemetry/log.h"
#include "upstream/health_config.h"
#include "upstream/limits.h"
#include "upstream/upstream_proxy.h"
#include "upstream/upstream_tls.h"

#include <stdlib.h>

/* Envoy's defaults (cluster.proto, protocol.proto). */
#define CONNECT_TIMEOUT_DEFAULT_MS      5000u
#define CLUSTER_BUFFER_DEFAULT          (1u << 20)
#define UPSTREAM_IDLE_DEFAULT_MS        3600000u
#define DNS_REFRESH_DEFAULT_MS          5000u
#define UPSTREAM_HEADERS_COUNT_MAX      100u
#define UPSTREAM_HEADERS_BYTES_MAX      81920u
#define PANIC_THRESHOLD_DEFAULT         50u
#define OVERPROVISIONING_DEFAULT        140u
#define LEAST_REQUEST_CHOICES           2u
#define ZONE_MIN_SIZE                   6u
#define ENDPOINT_PRIORITY_MAX           128u
#define RING_SIZE_MIN                   1024u
#define RING_SIZE_MAX                   (8u << 20)
#define MAGLEV_SIZE                     65537u
#define MAGLEV_SIZE_MAX                 5000011u
#define UPDATE_MERGE_DEFAULT_MS         1000u
#define ORIGINAL_DST_CLEANUP_DEFAULT_MS 5000u
#define DNS_CACHE_REFRESH_MS            60000u
#define DNS_CACHE_REFRESH_MIN_MS        5000u
#define DNS_CACHE_HOST_TTL_MS           300000u
#define DNS_CACHE_QUERY_MS              5000u
#define DNS_CACHE_HOSTS                 1024u
#define DNS_CACHE_PENDING               1024u

struct cluster_config *cluster_config_create(void)
{
    struct cluster_config *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, CLUSTER_CONFIG_BYTES_MAX, NULL);
    c->lb = (struct lb_config){
        .least_request_choices = LEAST_REQUEST_CHOICES,
        .zone_routing_percent = 100,
        .override_statuses = 1u << ENDPOINT_UNKNOWN | 1u << ENDPOINT_HEALTHY | 1u << ENDPOINT_DEGRADED,
        .zone_min_size = ZONE_MIN_SIZE,
        .active_request_bias = 1.0,
        .slow_start_aggression = 1.0,
        .slow_start_min_weight = 0.1,
        .ring_size_min = RING_SIZE_MIN,
        .ring_size_max = RING_SIZE_MAX,
        .maglev_size = MAGLEV_SIZE,
    };
    c->update_merge_window_ms = UPDATE_MERGE_DEFAULT_MS;
    c->connect_timeout_ms = CONNECT_TIMEOUT_DEFAULT_MS;
    c->buffer_bytes_max = CLUSTER_BUFFER_DEFAULT;
    c->idle_timeout_ms = UPSTREAM_IDLE_DEFAULT_MS;
    c->max_headers_count = UPSTREAM_HEADERS_COUNT_MAX;
    c->max_headers_bytes = UPSTREAM_HEADERS_BYTES_MAX;
    c->healthy_panic_threshold = PANIC_THRESHOLD_DEFAULT;
    c->overprovisioning_factor = OVERPROVISIONING_DEFAULT;
    c->dns_refresh_rate_ms = DNS_REFRESH_DEFAULT_MS;
    h2_settings_default(&c->http2);
    c->original_dst.port = ORIGINAL_DST_PORT_OWN;
    c->original_dst.cleanup_interval_ms = ORIGINAL_DST_CLEANUP_DEFAULT_MS;
    endpoint_config_init(&c->made);
    c->dns_cache = (struct dns_cache_config){
        .refresh_ms = DNS_CACHE_REFRESH_MS,
        .refresh_min_ms = DNS_CACHE_REFRESH_MIN_MS,
        .host_ttl_ms = DNS_CACHE_HOST_TTL_MS,
        .query_timeout_ms = DNS_CACHE_QUERY_MS,
        .hosts_max = DNS_CACHE_HOSTS,
        .pending_max = DNS_CACHE_PENDING,
    };
    c->preconnect_ratio = 1;
    for (int i = 0; i < BREAKER_PRIORITY_COUNT; i++)
        c->breakers[i] = (struct breaker_config){
            .max_connections = 1024,
            .max_pending_requests = 1024,
            .max_requests = 1024,
            .max_retries = 3,
            .max_connection_pools = UINT32_MAX,
            .retry_budget_percent = 20,
            .retry_budget_min = 3,
            .host_connections_max = UINT32_MAX,
        };
    return c;
}

void endpoint_config_init(struct endpoint_config *e)
{
    *e = (struct endpoint_config){.weight = 1};
}

static bool pipe_address(struct slice path, struct address *out)
{
    if (path.len == 0 || path.len >= sizeof(out->un.sun_path))
        return false;
    *out = (struct address){.len = sizeof(out->un)};
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path.ptr, path.len);
    return true;
}

static void finish_endpoint(const struct cluster_config *c, struct endpoint_config *e, const char *path,
                            struct build_errors *errors)
{
    if (e->weight == 0)
        build_error(errors, path, "load_balancing_weight must be at least 1");
    if (e->is_pipe) {
        if (!pipe_address(e->address, &e->resolved))
            build_error(errors, path, "a socket's path has 1 to %zu bytes",
                        sizeof(e->resolved.un.sun_path) - 1);
        return;
    }
    if (address_parse_ip(e->address, e->port, &e->resolved))
        return;
    e->resolved.len = 0;
    if (c->type == CLUSTER_STATIC)
        build_error(errors, path,
                    "malformed IP address: " SLICE_FMT
                    ". Consider setting resolver_name or setting cluster type to 'STRICT_DNS'",
                    SLICE_ARG(e->address));
    else if (e->address.len == 0 || e->address.len > 253)
        build_error(errors, path, "a DNS name has 1 to 253 bytes");
}

static bool is_prime(uint32_t n)
{
    if (n < 4 || n % 2 == 0)
        return n == 2 || n == 3;
    for (uint32_t i = 3; (uint64_t)i * i <= n; i += 2) {
        if (n % i == 0)
            return false;
    }
    return true;
}

static void finish_lb(const struct lb_config *lb, struct build_errors *errors)
{
    if (lb->least_request_choices < 2)
        build_error(errors, "least_request_lb_config.choice_count", "must be at least 2");
    if (!(lb->active_request_bias >= 0))
        build_error(errors, "least_request_lb_config.active_request_bias", "must be at least 0");
    if (!(lb->slow_start_aggression > 0))
        build_error(errors, "lb_policy", "the aggression of slow_start_config must be greater than 0");
    if (lb->ring_size_max > RING_SIZE_MAX)
        build_error(errors, "ring_hash_lb_config.maximum_ring_size", "must be at most %u", RING_SIZE_MAX);
    if (lb->ring_size_min > lb->ring_size_max)
        build_error(errors, "ring_hash_lb_config.minimum_ring_size",
                    "%u is greater than maximum_ring_size (%u)", lb->ring_size_min, lb->ring_size_max);
    if (!is_prime(lb->maglev_size) || lb->maglev_size > MAGLEV_SIZE_MAX)
        build_error(errors, "maglev_lb_config.table_size", "must be a prime number up to %u, which %u is not",
                    MAGLEV_SIZE_MAX, lb->maglev_size);
    if (lb->hash_balance_factor > 0 && lb->hash_balance_factor < 100)
        build_error(errors, "common_lb_config.consistent_hashing_lb_config.hash_balance_factor",
                    "must be at least 100");
}

bool cluster_config_finish(struct cluster_config *c, struct build_errors *errors)
{
    char path[BUILD_PATH_BYTES_MAX];
    unsigned before = errors->count;
    WEIR_ASSERT(!c->finished);
    if (c->name.len == 0)
        build_error(errors, "name", "must not be empty");
    if (c->connect_timeout_ms == 0)
        build_error(errors, "connect_timeout", "must be greater than 0s");
    finish_lb(&c->lb, errors);
    c->lb.zone_panic_threshold = c->healthy_panic_threshold < 100 ? c->healthy_panic_threshold : 100;
    if ((c->type == CLUSTER_STRICT_DNS || c->type == CLUSTER_LOGICAL_DNS) && c->dns_refresh_rate_ms == 0)
        build_error(errors, "dns_refresh_rate", "must be at least 1ms");
    if (c->type == CLUSTER_LOGICAL_DNS && (c->localities_count != 1 || c->localities->endpoints_count != 1))
        build_error(errors, "load_assignment",
                    "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint");
    for (uint32_t l = 0; l < c->localities_count; l++) {
        struct locality_config *locality = &c->localities[l];
        if (locality->priority > ENDPOINT_PRIORITY_MAX)
            build_error(errors, build_path(path, "", "load_assignment.endpoints[%u].priority", l),
                        "must be at most 128");
        for (uint32_t i = 0; i < locality->endpoints_count; i++) {
            build_path(path, "", "load_assignment.endpoints[%u].lb_endpoints[%u].endpoint.address", l, i);
            finish_endpoint(c, &locality->endpoints[i], path, errors);
            if (locality->endpoints[i].addresses_count > 0)
                locality->endpoints[i].addresses[0] = locality->endpoints[i].resolved;
        }
    }
    if (c->alt_stat_name.len == 0)
        c->alt_stat_name = c->name;
    c->name_hash = slice_hash(c->name);
    c->finished = true;
    return errors->count == before;
}

const struct cluster_config *cluster_config_ref(const struct cluster_config *c)
{
    if (c)
        refs_take(&((struct cluster_config *)(uintptr_t)c)->refs);
    return c;
}

void cluster_config_unref(const struct cluster_config **config)
{
    struct cluster_config *c = (struct cluster_config *)(uintptr_t)*config;
    *config = NULL;
    if (!c || !refs_drop(&c->refs))
        return;
    if (c->health)
        health_config_fini(c->health);
    if (c->lb.hash_policies)
        c->lb.hash_policies_fini(c->lb.hash_policies);
    if (c->policy)
        c->policy_fini(c->policy);
    if (c->outlier_events)
        log_file_unref(&c->outlier_events);
    for (size_t i = 0; i < c->tls_count; i++)
        upstream_tls_unref(&c->tls[i]);
    for (size_t i = 0; i < c->proxies_count; i++)
        upstream_proxy_unref(&c->proxies[i]);
    arena_fini(&c->arena);
    free(c);
}
