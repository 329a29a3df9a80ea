/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared part of a cluster. Never blocks a worker: the lock is held for a pointer's exchange only.
 */
#include "upstream/cluster.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/refs.h"
#include "net/address_list.h"
#include "upstream/host_subsets.h"
#include "upstream/lb_table.h"
#include "upstream/original_dst.h"

#include <stdlib.h>

static uint64_t now_ms(void)
{
    return monotonic_ns() / 1000000;
}

static void table_stats_init(struct cluster *c)
{
    struct slice name = c->config->alt_stat_name;
    if (c->config->lb.subsets)
        c->subset_duplicates = stat_shared_gauge(
            "cluster." SLICE_FMT ".lb_subsets_single_host_per_subset_duplicate", SLICE_ARG(name));
    if (c->config->lb.policy == LB_RING_HASH) {
        c->table_size = stat_shared_gauge("cluster." SLICE_FMT ".ring_hash_lb.size", SLICE_ARG(name));
        c->table_least =
            stat_shared_gauge("cluster." SLICE_FMT ".ring_hash_lb.min_hashes_per_host", SLICE_ARG(name));
        c->table_most =
            stat_shared_gauge("cluster." SLICE_FMT ".ring_hash_lb.max_hashes_per_host", SLICE_ARG(name));
    } else if (c->config->lb.policy == LB_MAGLEV) {
        c->table_least =
            stat_shared_gauge("cluster." SLICE_FMT ".maglev_lb.min_entries_per_host", SLICE_ARG(name));
        c->table_most =
            stat_shared_gauge("cluster." SLICE_FMT ".maglev_lb.max_entries_per_host", SLICE_ARG(name));
    }
}

struct cluster *cluster_create(const struct cluster_config *config, uint32_t workers)
{
    WEIR_ASSERT(config->finished && workers > 0);
    struct cluster *c = NULL;
    if (posix_memalign((void **)&c, 64, sizeof(*c)) != 0)
        return NULL;
    memset(c, 0, sizeof(*c));
    atomic_init(&c->refs, 1);
    c->workers = workers;
    c->hosts = host_set_create(NULL, 0, config, 0);
    if (config->type == CLUSTER_ORIGINAL_DST)
        c->original = original_dst_create(config);
    if (config->type == CLUSTER_DYNAMIC)
        dynamic_hosts_init(&c->dynamic, config);
    if (!c->hosts || (config->type == CLUSTER_ORIGINAL_DST && !c->original)) {
        host_set_unref(&c->hosts);
        original_dst_destroy(&c->original);
        free(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->config = cluster_config_ref(config);
    cluster_stats_init(&c->stats, config->alt_stat_name);
    table_stats_init(c);
    breakers_init(&c->breakers[BREAKER_DEFAULT], &config->breakers[BREAKER_DEFAULT], config->alt_stat_name,
                  "default");
    breakers_init(&c->breakers[BREAKER_HIGH], &config->breakers[BREAKER_HIGH], config->alt_stat_name, "high");
    return c;
}

struct cluster *cluster_ref(struct cluster *c)
{
    refs_take(&c->refs);
    return c;
}

void cluster_unref(struct cluster **cluster)
{
    struct cluster *c = *cluster;
    *cluster = NULL;
    if (!c || !refs_drop(&c->refs))
        return;
    host_set_unref(&c->hosts);
    original_dst_destroy(&c->original);
    cluster_stats_fini(&c->stats);
    cluster_config_unref(&c->config);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct host_set *cluster_hosts(struct cluster *c)
{
    pthread_mutex_lock(&c->lock);
    struct host_set *hosts = host_set_ref(c->hosts);
    pthread_mutex_unlock(&c->lock);
    return hosts;
}

/* Exchanges hosts for the equal ones of the old set. Returns how many there were. Hosts are found by address
 * and then compared whole, so a set of n costs n look-ups. */
static uint32_t keep_old_hosts(const struct host_set *old, struct host **hosts, uint32_t count)
{
    struct map by_address = {0};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < old->count; i++) {
        const struct address *a = &old->hosts[i]->address;
        map_put(&by_address, slice_of(a, sizeof(*a)), old->hosts[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct host *same = map_get(&by_address, slice_of(&hosts[i]->address, sizeof(hosts[i]->address)));
        if (!same || !host_same(same, hosts[i]))
            continue;
        map_remove(&by_address, slice_of(&hosts[i]->address, sizeof(hosts[i]->address)));
        host_unref(&hosts[i]);
        hosts[i] = host_ref(same);
        kept++;
    }
    map_fini(&by_address);
    return kept;
}

static void show_tables(struct cluster *c, const struct host_set *set)
{
    for (uint32_t i = 0; i < set->levels_count; i++) {
        const struct lb_table *t = set->levels[i].table;
        if (!t)
            continue;
        stat_set(c->table_size, t->size_wanted);
        stat_set(c->table_least, t->least_per_host);
        stat_set(c->table_most, t->most_per_host);
    }
}

/* Subsets are the same when their texts are. */
static uint32_t missing_subsets(const struct host_subsets *of, const struct host_subsets *in)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; of && i < of->count; i++)
        missing += i != of->default_subset &&
                   (!in || host_subsets_find(in, of->items[i].text, of->items[i].hash) == UINT32_MAX);
    return missing;
}

static void show_subsets(struct cluster *c, const struct host_set *old, const struct host_set *set)
{
    if (!set->subsets)
        return;
    stat_set(c->stats.lb_subsets_active,
             set->subsets->count - (set->subsets->default_subset != UINT32_MAX)); /* that one is no label's */
    stat_set(c->subset_duplicates, set->subsets->duplicates);
    stat_add(c->stats.lb_subsets_created, missing_subsets(set->subsets, old->subsets));
    stat_add(c->stats.lb_subsets_removed, missing_subsets(old->subsets, set->subsets));
}

/* Makes `set` the current one; the caller keeps its reference. */
static void publish(struct cluster *c, struct host_set *set)
{
    stat_set(c->stats.membership_total, set->count);
    stat_set(c->stats.membership_healthy, set->healthy_count);
    stat_set(c->stats.membership_degraded, set->degraded_count);
    stat_set(c->stats.membership_excluded, set->excluded_count);
    show_tables(c, set);
    show_subsets(c, c->hosts, set);
    pthread_mutex_lock(&c->lock);
    struct host_set *old = c->hosts;
    c->hosts = host_set_ref(set);
    pthread_mutex_unlock(&c->lock);
    host_set_unref(&old);
}

struct host_set *cluster_replace_hosts(struct cluster *c, struct host **hosts, uint32_t count)
{
    uint32_t kept = keep_old_hosts(c->hosts, hosts, count);
    if (kept == count && c->hosts->count == count) {
        for (uint32_t i = 0; i < count; i++)
            host_unref(&hosts[i]);
        return NULL;
    }
    struct host_set *set = host_set_create(hosts, count, c->config, now_ms());
    if (!set)
        return NULL;
    stat_inc(c->stats.membership_change);
    publish(c, set);
    return set;
}

struct host_set *cluster_renew_hosts(struct cluster *c)
{
    atomic_store(&c->health_stale, false);
    struct host **hosts = calloc(c->hosts->count + 1, sizeof(struct host *));
    for (uint32_t i = 0; hosts && i < c->hosts->count; i++)
        hosts[i] = host_ref(c->hosts->hosts[i]);
    struct host_set *set = hosts ? host_set_create(hosts, c->hosts->count, c->config, now_ms()) : NULL;
    free(hosts);
    if (set)
        publish(c, set);
    return set;
}

void cluster_show_made(struct cluster *c)
{
    uint32_t count;
    atomic_store(&c->health_stale, false); /* before the look: what changes from here on is told again */
    struct host **hosts =
        c->original ? original_dst_hosts(c->original, &count) : dynamic_hosts_all(c, &count);
    struct host_set *set = hosts ? host_set_create(hosts, count, c->config, now_ms()) : NULL;
    free(hosts);
    if (!set)
        return;
    stat_inc(c->stats.membership_change);
    publish(c, set);
    host_set_unref(&set);
}

void cluster_health_changed(struct cluster *c)
{
    if (c->health_changed && !atomic_exchange(&c->health_stale, true))
        c->health_changed(c);
}

bool cluster_move_host(struct cluster *c, const struct host_place *place)
{
    return c->hosts->count == 1 && cluster_set_host_place(c, c->hosts->hosts[0], place);
}

bool cluster_set_host_place(struct cluster *c, struct host *h, const struct host_place *place)
{
    const struct host_place *now = h->moving ? &h->moving[c->workers] : NULL;
    if (!now || (address_eq(&now->address, &place->address) && address_list_eq(now->any, place->any)))
        return false;
    pthread_mutex_lock(&c->lock);
    host_place_put(&h->moving[c->workers], place);
    pthread_mutex_unlock(&c->lock);
    return true;
}

void cluster_host_place(struct cluster *c, const struct host *h, struct host_place *out)
{
    out->any = NULL;
    pthread_mutex_lock(&c->lock);
    host_place_put(out, &h->moving[c->workers]);
    pthread_mutex_unlock(&c->lock);
}

struct address cluster_host_address(struct cluster *c, const struct host *h)
{
    if (!h->moving)
        return h->address;
    struct host_place now;
    cluster_host_place(c, h, &now);
    address_list_unref(&now.any);
    return now.address;
}

struct host **cluster_static_hosts(const struct cluster *c, uint32_t *count)
{
    uint32_t total = 0;
    *count = 0;
    for (uint32_t l = 0; l < c->config->localities_count; l++)
        total += c->config->localities[l].endpoints_count;
    struct host **hosts = calloc(total + 1, sizeof(struct host *));
    for (uint32_t l = 0; hosts && l < c->config->localities_count; l++) {
        const struct locality_config *locality = &c->config->localities[l];
        for (uint32_t i = 0; i < locality->endpoints_count; i++) {
            const struct endpoint_config *e = &locality->endpoints[i];
            if (e->resolved.len == 0)
                continue;
            struct host *h = host_create(&e->resolved, e, locality, e->hostname, c->workers);
            if (h && !host_has_addresses(h, e->addresses, e->addresses_count, &c->config->address_order))
                host_unref(&h);
            if (h)
                hosts[(*count)++] = h;
        }
    }
    return hosts;
}
