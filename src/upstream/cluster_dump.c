/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster in the words of Envoy's /clusters page. Reads shared state only.
 */
#include "upstream/cluster_dump.h"

#include "base/assert.h"
#include "upstream/outlier.h"

#include <stdio.h>

/* The caller's function, with formatting. */
struct dump {
    cluster_field_fn fn;
    void *arg;
    struct slice cluster;
    struct cluster *shared;
};

static void put_number(const struct dump *d, const char *prefix, const char *name, uint64_t value)
{
    char key[ADDRESS_TEXT_MAX + 64], text[24];
    snprintf(key, sizeof(key), "%s::%s", prefix, name);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    d->fn(d->arg, d->cluster, key, text);
}

static void put_text(const struct dump *d, const char *prefix, const char *name, const char *value)
{
    char key[ADDRESS_TEXT_MAX + 64];
    snprintf(key, sizeof(key), "%s::%s", prefix, name);
    d->fn(d->arg, d->cluster, key, value);
}

/* Percent of the last interval; -1: too few requests, or nobody counts. */
static void put_rate(const struct dump *d, const char *address, const char *name, const struct host *h,
                     enum outlier_origin origin)
{
    char text[32];
    double rate =
        h->outlier ? atomic_load_explicit(&h->outlier->success_rate[origin], memory_order_relaxed) : -1;
    snprintf(text, sizeof(text), "%.16g", rate);
    put_text(d, address, name, text);
}

static void dump_host(const struct dump *d, const struct host *h)
{
    static const char *const places[] = {"region", "zone", "sub_zone"};
    char address[ADDRESS_TEXT_MAX], health[HOST_HEALTH_TEXT_MAX];
    struct address now = cluster_host_address(d->shared, h);
    address_format(&now, address);
#define HOST_COUNTER_X(name)                                                                                 \
    do {                                                                                                     \
        uint64_t sum = 0;                                                                                    \
        for (uint32_t i = 0; i < h->shards_count; i++)                                                       \
            sum += atomic_load_explicit(&h->shards[i].name, memory_order_relaxed);                           \
        put_number(d, address, #name, sum);                                                                  \
    } while (0);
    HOST_COUNTERS(HOST_COUNTER_X)
#undef HOST_COUNTER_X
    put_text(d, address, "hostname", h->hostname);
    put_text(d, address, "health_flags", host_health_text(host_health_flags(h), health));
    put_number(d, address, "weight", h->weight);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(places); i++)
        put_text(d, address, places[i], h->locality[i]);
    put_text(d, address, "canary", host_is_canary(h) ? "true" : "false");
    put_number(d, address, "priority", h->priority);
    put_rate(d, address, "success_rate", h, OUTLIER_EXTERNAL);
    put_rate(d, address, "local_origin_success_rate", h, OUTLIER_LOCAL);
}

void cluster_dump(struct cluster *c, cluster_field_fn fn, void *arg)
{
    static const char *const priorities[] = {"default_priority", "high_priority"};
    const struct dump dump = {fn, arg, c->config->name, c};
    const struct dump *d = &dump;
    char name[256];
    snprintf(name, sizeof(name), SLICE_FMT, SLICE_ARG(c->config->alt_stat_name));
    d->fn(d->arg, d->cluster, "observability_name", name);
    for (int i = 0; i < BREAKER_PRIORITY_COUNT; i++) {
        const struct breaker_config *b = &c->config->breakers[i];
        put_number(d, priorities[i], "max_connections", b->max_connections);
        put_number(d, priorities[i], "max_pending_requests", b->max_pending_requests);
        put_number(d, priorities[i], "max_requests", b->max_requests);
        put_number(d, priorities[i], "max_retries", b->max_retries);
    }
    d->fn(d->arg, d->cluster, "added_via_api", "false");
    struct host_set *hosts = cluster_hosts(c);
    for (uint32_t i = 0; i < hosts->count; i++)
        dump_host(d, hosts->hosts[i]);
    host_set_unref(&hosts);
}
