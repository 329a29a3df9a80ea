/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zone-aware routing (Envoy): as much of the first priority's load as the own zone's upstreams can bear stays
 * in it, by the shares that zones have of this proxy's cluster and of the upstream; the rest goes to zones
 * that have room. Reckoned when hosts change, never per request.
 */
#include "upstream/lb.h"

#include "base/assert.h"

#include <stdlib.h>

/* Shares are parts of this (Envoy). */
#define WHOLE 10000u

static const struct host_level *own_level(const struct lb *lb)
{
    const struct host_set *own = lb->local ? *lb->local : NULL;
    return own ? &own->levels[0] : NULL;
}

static bool here(const struct lb_config *c, const struct host_list *list)
{
    if (list->count == 0)
        return false;
    const struct host *h = list->hosts[0];
    for (int i = 0; i < 3; i++) {
        if (!slice_eq(c->node_locality[i], slice_str(h->locality[i])))
            return false;
    }
    return true;
}

/* The place of this proxy; -1: no host is there. */
static int32_t own_place(const struct lb_config *c, const struct host_level *level)
{
    for (uint32_t i = 0; i < level->localities_count; i++) {
        if (here(c, &level->localities[i].all))
            return (int32_t)i;
    }
    return -1;
}

static uint64_t bears(const struct lb_config *c, const struct host_list *healthy)
{
    uint64_t sum = 0;
    if (!c->zone_by_weight)
        return healthy->count;
    for (uint32_t i = 0; i < healthy->count; i++)
        sum += healthy->hosts[i]->weight;
    return sum;
}

static uint64_t bears_all(const struct lb_config *c, const struct host_level *level)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < level->localities_count; i++)
        sum += bears(c, &level->localities[i].healthy);
    return sum;
}

static bool same_locality(const struct host *a, const struct host *b)
{
    return strcmp(a->locality[0], b->locality[0]) == 0 && strcmp(a->locality[1], b->locality[1]) == 0 &&
           strcmp(a->locality[2], b->locality[2]) == 0;
}

/* What of this proxy's cluster is where the upstream's place is. A place without healthy hosts has no share.
 */
static uint64_t own_part(const struct lb_config *c, const struct host_level *own,
                         const struct host_list *upstream)
{
    for (uint32_t i = 0; i < own->localities_count; i++) {
        const struct host_list *healthy = &own->localities[i].healthy;
        if (healthy->count > 0 && same_locality(healthy->hosts[0], upstream->hosts[0]))
            return bears(c, healthy);
    }
    return 0;
}

struct share {
    uint64_t own;
    uint64_t upstream;
};

/* `all`: what all places bear. */
static struct share share_of(const struct lb *lb, const struct host_level *own, const struct share *all,
                             uint32_t place)
{
    const struct lb_config *c = lb->config;
    const struct host_list *healthy = &lb->hosts->levels[0].localities[place].healthy;
    if (healthy->count == 0)
        return (struct share){0};
    return (struct share){.own = all->own ? WHOLE * own_part(c, own, healthy) / all->own : 0,
                          .upstream = all->upstream ? WHOLE * bears(c, healthy) / all->upstream : 0};
}

static void count_at(const struct lb *lb, size_t offset)
{
    if (lb->stats)
        stat_inc(*(const stat_id *)((const char *)lb->stats + offset));
}
#define COUNT(lb, name) count_at(lb, offsetof(struct cluster_stats, name))

/* Whether zones mean anything; counts why not. */
static bool applies(const struct lb *lb, const struct host_level *own)
{
    const struct lb_config *c = lb->config;
    const struct host_level *level = &lb->hosts->levels[0];
    if (level->localities_count < 2)
        return false;
    if ((!own || own->localities_count < 2) && c->zone_direct_min == 0)
        return false;
    if (!own || own_place(c, own) < 0) {
        COUNT(lb, lb_local_cluster_not_ok);
        return false;
    }
    if (level->healthy.count >= c->zone_min_size)
        return true;
    COUNT(lb, lb_zone_cluster_too_small);
    return false;
}

static void reckon(struct lb *lb, const struct host_level *own)
{
    struct lb_zone *z = &lb->zone;
    const struct host_level *level = &lb->hosts->levels[0];
    const struct share all = {.own = bears_all(lb->config, own), .upstream = bears_all(lb->config, level)};
    z->place = own_place(lb->config, level);
    if (z->place >= 0) {
        struct share s = share_of(lb, own, &all, (uint32_t)z->place);
        uint32_t healthy = level->localities[z->place].healthy.count;
        z->stays = s.own ? WHOLE * s.upstream / s.own : 0;
        if ((s.upstream > 0 && s.upstream >= s.own) ||
            (lb->config->zone_direct_min > 0 && healthy >= lb->config->zone_direct_min)) {
            z->kind = LB_ZONE_DIRECT;
            return;
        }
    }
    uint64_t *room = calloc(level->localities_count, sizeof(*room));
    uint64_t sum = 0;
    for (uint32_t i = 0; room && i < level->localities_count; i++) {
        struct share s = share_of(lb, own, &all, i);
        if ((int32_t)i != z->place && s.upstream > s.own)
            sum += s.upstream - s.own;
        room[i] = sum;
    }
    z->room = room;
    z->kind = room ? LB_ZONE_SHARED : LB_ZONE_OFF;
}

void lb_zone_update(struct lb *lb)
{
    lb_zone_fini(lb);
    if (!lb->config->zone_aware || !lb->levels)
        return;
    COUNT(lb, lb_recalculate_zone_structures);
    const struct host_level *own = own_level(lb);
    if (applies(lb, own))
        reckon(lb, own);
}

void lb_zone_fini(struct lb *lb)
{
    free(lb->zone.room);
    lb->zone = (struct lb_zone){.kind = LB_ZONE_OFF};
}

static bool own_in_panic(const struct lb *lb, const struct host_level *own)
{
    uint32_t counted = own->all.count - own->excluded;
    double good = counted ? 100.0 * (own->healthy.count + own->degraded.count) / counted : 0;
    return good < lb->config->zone_panic_threshold;
}

static uint32_t choose_place(struct lb *lb)
{
    const struct lb_zone *z = &lb->zone;
    uint32_t count = lb->hosts->levels[0].localities_count;
    if (z->kind == LB_ZONE_DIRECT) {
        COUNT(lb, lb_zone_routing_all_directly);
        return (uint32_t)z->place;
    }
    if (lb->random(lb->random_arg, WHOLE) < (z->place >= 0 ? z->stays : 0)) {
        COUNT(lb, lb_zone_routing_sampled);
        return (uint32_t)z->place;
    }
    COUNT(lb, lb_zone_routing_cross_zone);
    if (z->room[count - 1] == 0) { /* by rounding only */
        COUNT(lb, lb_zone_no_capacity_left);
        return (uint32_t)lb->random(lb->random_arg, count);
    }
    uint64_t at = lb->random(lb->random_arg, z->room[count - 1]);
    uint32_t i = 0;
    while (at >= z->room[i])
        i++;
    return i;
}

enum lb_zone_choice lb_zone_choose(struct lb *lb, uint32_t *place)
{
    const struct lb_config *c = lb->config;
    const struct host_level *own = own_level(lb);
    if (c->zone_routing_percent < 100 && lb->random(lb->random_arg, 100) >= c->zone_routing_percent)
        return LB_ZONE_ANYWHERE;
    if (!own || own_in_panic(lb, own)) {
        COUNT(lb, lb_local_cluster_not_ok);
        return c->fail_traffic_on_panic ? LB_ZONE_NOWHERE : LB_ZONE_ANYWHERE;
    }
    *place = choose_place(lb);
    return LB_ZONE_PLACE;
}
