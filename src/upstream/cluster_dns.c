/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the hosts of a STRICT_DNS or LOGICAL_DNS cluster current. A resolver that fails changes nothing: the
 * last good addresses stay, and the next try comes after a growing pause.
 */
#include "upstream/cluster_dns.h"

#include "base/assert.h"
#include "base/map.h"
#include "net/dns.h"
#include "net/loop.h"
#include "telemetry/log.h"

#include <stdlib.h>

/* One endpoint of the configuration. */
struct target {
    struct cluster_dns *dns;
    const struct locality_config *locality;
    const struct endpoint_config *endpoint;
    struct dns_query *query;
    struct timer timer;
    struct address *addresses; /* the last good ones */
    size_t count;
    uint64_t pause_ms; /* after the last failure; 0: the last answer was good */
    bool answered;
    bool failing; /* said so in the log already */
};

struct cluster_dns {
    struct loop *loop;
    struct cluster *cluster; /* owned reference */
    struct dns_resolver *resolver;
    cluster_dns_fn fn;
    void *arg;
    uint32_t targets_count;
    uint32_t unanswered;
    uint64_t random;
    struct target targets[];
};

enum dns_lookup cluster_dns_lookup(enum dns_family family)
{
    switch (family) {
    case DNS_FAMILY_V4_ONLY:
        return DNS_LOOKUP_V4;
    case DNS_FAMILY_V6_ONLY:
        return DNS_LOOKUP_V6;
    case DNS_FAMILY_V4_PREFERRED:
        return DNS_LOOKUP_V4_THEN_V6;
    case DNS_FAMILY_ALL:
        return DNS_LOOKUP_BOTH;
    case DNS_FAMILY_AUTO:
        break;
    }
    return DNS_LOOKUP_V6_THEN_V4;
}

/* The hosts of one target behind those that are there; an address counts once per cluster. */
static void add_hosts(struct target *t, struct map *seen, struct host **hosts, uint32_t *count)
{
    struct slice name = t->endpoint->hostname.len ? t->endpoint->hostname : t->endpoint->address;
    size_t wanted = t->dns->cluster->config->type == CLUSTER_LOGICAL_DNS && t->count > 1 ? 1 : t->count;
    for (size_t i = 0; i < wanted; i++) {
        struct slice key = slice_of(&t->addresses[i], sizeof(t->addresses[i]));
        if (map_has(seen, key) || !map_put(seen, key, t))
            continue;
        struct host *h =
            host_create(&t->addresses[i], t->endpoint, t->locality, name, t->dns->cluster->workers);
        if (h && wanted < t->count &&
            !host_has_addresses(h, t->addresses, t->count, &t->dns->cluster->config->address_order))
            host_unref(&h);
        if (h)
            hosts[(*count)++] = h;
    }
}

static void report(struct cluster_dns *d)
{
    struct map seen = {0};
    uint32_t count = 0;
    size_t room = 1;
    for (uint32_t i = 0; i < d->targets_count; i++)
        room += d->targets[i].count;
    struct host **hosts = calloc(room, sizeof(struct host *));
    for (uint32_t i = 0; hosts && i < d->targets_count; i++)
        add_hosts(&d->targets[i], &seen, hosts, &count);
    map_fini(&seen);
    d->fn(d->arg, hosts, count, d->unanswered == 0);
    free(hosts);
}

/* Uniform in [0, bound]; xorshift, for spreading load only. */
static uint64_t jitter(struct cluster_dns *d, uint64_t bound)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return bound == UINT64_MAX ? d->random : d->random % (bound + 1);
}

/* Milliseconds until the next question. */
static uint64_t next_pause(struct target *t, const struct dns_answer *answer)
{
    const struct cluster_config *c = t->dns->cluster->config;
    if (answer->failed) {
        uint64_t base = c->dns_failure_refresh_base_ms;
        if (base == 0)
            return c->dns_refresh_rate_ms;
        uint64_t max = c->dns_failure_refresh_max_ms ? c->dns_failure_refresh_max_ms : base * 10;
        t->pause_ms = t->pause_ms == 0 ? base : t->pause_ms * 2;
        if (t->pause_ms > max)
            t->pause_ms = max;
        return jitter(t->dns, t->pause_ms - 1) + 1;
    }
    t->pause_ms = 0;
    uint64_t pause = c->dns_refresh_rate_ms;
    if (c->respect_dns_ttl && answer->count > 0 && answer->ttl_seconds > 0)
        pause = (uint64_t)answer->ttl_seconds * 1000;
    return pause + (c->dns_jitter_ms ? jitter(t->dns, c->dns_jitter_ms) : 0);
}

static bool keep_answer(struct target *t, const struct dns_answer *answer)
{
    struct address *copy = calloc(answer->count + 1, sizeof(*copy));
    if (!copy)
        return false;
    if (answer->count)
        memcpy(copy, answer->addresses, answer->count * sizeof(*copy));
    free(t->addresses);
    t->addresses = copy;
    t->count = answer->count;
    return true;
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
    struct target *t = arg;
    struct cluster_dns *d = t->dns;
    struct cluster_stats *stats = &d->cluster->stats;
    t->query = NULL;
    if (!t->answered) {
        t->answered = true;
        WEIR_ASSERT(d->unanswered > 0);
        d->unanswered--;
    }
    timer_set(d->loop, &t->timer, next_pause(t, answer));
    /* A logical host without an address is of no use: its last one stays (Envoy). */
    bool unusable = d->cluster->config->type == CLUSTER_LOGICAL_DNS && answer->count == 0;
    if (answer->failed || unusable || !keep_answer(t, answer)) {
        stat_inc(stats->update_failure);
        if (!t->failing)
            log_write(DNS, WARN, "dns resolution for " SLICE_FMT " failed: %s",
                      SLICE_ARG(t->endpoint->address), answer->error);
        t->failing = true;
    } else {
        t->failing = false;
        stat_inc(stats->update_success);
        if (answer->count == 0)
            stat_inc(stats->update_empty);
    }
    report(d);
}

static void ask(struct timer *timer)
{
    struct target *t = WEIR_CONTAINER_OF(timer, struct target, timer);
    struct cluster_dns *d = t->dns;
    WEIR_ASSERT(!t->query);
    stat_inc(d->cluster->stats.update_attempt);
    t->query = dns_resolve(d->resolver, t->endpoint->address, t->endpoint->port,
                           cluster_dns_lookup(d->cluster->config->dns_family), on_answer, t);
    if (!t->query)
        timer_set(d->loop, &t->timer, d->cluster->config->dns_refresh_rate_ms);
}

/* A numeric address is its own answer, for ever. */
static void fixed_answer(struct timer *timer)
{
    struct target *t = WEIR_CONTAINER_OF(timer, struct target, timer);
    const struct dns_answer answer = {.addresses = &t->endpoint->resolved, .count = 1};
    if (!keep_answer(t, &answer))
        return;
    t->answered = true;
    t->dns->unanswered--;
    report(t->dns);
}

/* Without any endpoint the cluster is warm at once. */
static void no_targets(struct timer *timer)
{
    struct target *t = WEIR_CONTAINER_OF(timer, struct target, timer);
    t->dns->fn(t->dns->arg, NULL, 0, true);
}

static void start_targets(struct cluster_dns *d)
{
    const struct cluster_config *c = d->cluster->config;
    uint32_t at = 0;
    for (uint32_t l = 0; l < c->localities_count; l++) {
        for (uint32_t i = 0; i < c->localities[l].endpoints_count; i++) {
            struct target *t = &d->targets[at++];
            t->dns = d;
            t->locality = &c->localities[l];
            t->endpoint = &c->localities[l].endpoints[i];
            timer_init(&t->timer, t->endpoint->resolved.len ? fixed_answer : ask);
            timer_set(d->loop, &t->timer, 1);
        }
    }
    if (at == 0) {
        d->targets[0].dns = d;
        timer_init(&d->targets[0].timer, no_targets);
        timer_set(d->loop, &d->targets[0].timer, 1);
    }
}

struct cluster_dns *cluster_dns_create(struct loop *loop, struct cluster *cluster, cluster_dns_fn fn,
                                       void *arg)
{
    const struct cluster_config *c = cluster->config;
    uint32_t count = 0;
    for (uint32_t l = 0; l < c->localities_count; l++)
        count += c->localities[l].endpoints_count;
    struct cluster_dns *d = calloc(1, sizeof(*d) + (count + 1) * sizeof(struct target));
    if (!d)
        return NULL;
    d->resolver = dns_resolver_create(loop, &c->dns);
    if (!d->resolver) {
        free(d);
        return NULL;
    }
    d->loop = loop;
    d->cluster = cluster_ref(cluster);
    d->fn = fn;
    d->arg = arg;
    d->targets_count = count;
    d->unanswered = count;
    d->random = c->name_hash | 1;
    start_targets(d);
    return d;
}

void cluster_dns_destroy(struct cluster_dns **dns)
{
    struct cluster_dns *d = *dns;
    *dns = NULL;
    if (!d)
        return;
    for (uint32_t i = 0; i <= d->targets_count; i++) {
        struct target *t = &d->targets[i];
        if (!t->dns)
            continue;
        timer_stop(d->loop, &t->timer);
        dns_cancel(&t->query);
        free(t->addresses);
    }
    dns_resolver_destroy(&d->resolver);
    cluster_unref(&d->cluster);
    free(d);
}
