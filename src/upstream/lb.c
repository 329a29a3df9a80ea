/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all balancers share: following the set of hosts, choosing the priority and the locality.
 */
#include "upstream/lb.h"

#include "base/assert.h"
#include "upstream/host_subsets.h"
#include "upstream/lb_table.h"

#include <math.h>
#include <stdlib.h>

void lb_init(struct lb *lb, const struct cluster_config *config,
             uint64_t (*random)(void *arg, uint64_t bound), void *random_arg)
{
    static const struct lb_ops *const by_policy[] = {
        [LB_ROUND_ROBIN] = &lb_round_robin,
        [LB_LEAST_REQUEST] = &lb_least_request,
        [LB_RANDOM] = &lb_random,
        [LB_RING_HASH] = NULL,
        [LB_MAGLEV] = NULL,
    };
    WEIR_ASSERT((size_t)config->lb.policy < WEIR_ARRAY_LEN(by_policy));
    *lb = (struct lb){
        .ops = by_policy[config->lb.policy],
        .config = &config->lb,
        .random = random,
        .random_arg = random_arg,
    };
}

static uint64_t now_of(const struct lb *lb)
{
    return lb->now_ms ? *lb->now_ms : 0;
}

double lb_slow_start(const struct lb *lb, const struct host *h, double weight)
{
    uint64_t now = now_of(lb), window = lb->config->slow_start_window_ms;
    if (now >= lb->slow_until_ms)
        return weight;
    uint64_t since = atomic_load_explicit(&h->healthy_since_ms, memory_order_relaxed);
    uint64_t age = now > since ? now - since : 1;
    if (since == 0 || age >= window || host_standing_of(host_health_flags(h)) != HOST_HEALTHY)
        return weight;
    double part = pow((double)age / (double)window, 1.0 / lb->config->slow_start_aggression);
    return weight * fmax(part, lb->config->slow_start_min_weight);
}

/* A great bias of requests in flight, or a slow start with a small share, comes to 0 in a double. */
#define WEIGHT_LEAST 1e-9

double lb_group_weight(const void *group, uint32_t index)
{
    const struct lb_group *g = group;
    double weight = g->lb->ops->weight(g->lb, g->list->hosts[index]);
    return weight > WEIGHT_LEAST ? weight : WEIGHT_LEAST;
}

/* --- following the hosts --- */

static void levels_free(struct lb_level *levels, const struct host_set *hosts)
{
    for (uint32_t i = 0; levels && i < hosts->levels_count; i++) {
        struct lb_level *l = &levels[i];
        lb_edf_fini(&l->healthy.edf);
        lb_edf_fini(&l->degraded.edf);
        lb_edf_fini(&l->all.edf);
        for (uint32_t n = 0; l->places && n < 2 * hosts->levels[i].localities_count; n++)
            lb_edf_fini(&l->places[n].edf);
        free(l->places);
        lb_edf_fini(&l->healthy_schedule);
        lb_edf_fini(&l->degraded_schedule);
    }
    free(levels);
}

void lb_fini(struct lb *lb)
{
    if (lb->hosts) {
        levels_free(lb->levels, lb->hosts);
        lb_subsets_free(lb->subsets, lb->hosts->subsets ? lb->hosts->subsets->count : 0);
    }
    free(lb->scratch);
    lb_index_drop(lb);
    lb_zone_fini(lb);
    lb->subsets = NULL;
    lb->levels = NULL;
    lb->scratch = NULL;
    lb->only = NULL;
    lb->hosts = NULL;
}

/* `old`: the same group of the last set, whose turn goes on; NULL: there was none. */
static bool group_init(struct lb *lb, struct lb_group *g, const struct host_list *list,
                       const struct lb_group *old)
{
    uint32_t count = list->count;
    uint64_t start = count ? lb->random(lb->random_arg, count) : 0;
    *g = (struct lb_group){.lb = lb, .list = list, .next = old ? old->next : (uint32_t)start};
    if (count < 2 || !lb->ops->weight || !(list->weighted || now_of(lb) < lb->slow_until_ms))
        return true;
    if (!lb_edf_rebuild(&g->edf, count, lb_group_weight, g))
        return false;
    g->scheduled = true;
    /* Every worker begins elsewhere, or all would send their first requests to the same host. */
    for (uint64_t i = 0; i < start; i++)
        lb_edf_pick(&g->edf, lb_group_weight, g);
    return true;
}

static double healthy_place_weight(const void *level, uint32_t index)
{
    return ((const struct host_level *)level)->localities[index].healthy_weight;
}

static double degraded_place_weight(const void *level, uint32_t index)
{
    return ((const struct host_level *)level)->localities[index].degraded_weight;
}

static bool places_init(struct lb *lb, struct lb_level *l, const struct host_level *hosts)
{
    uint32_t count = hosts->localities_count;
    if (count == 0)
        return true;
    l->places = calloc((size_t)count * 2, sizeof(*l->places));
    bool ok = l->places != NULL;
    if (lb->config->locality_weighted)
        ok = ok && lb_edf_rebuild(&l->healthy_schedule, count, healthy_place_weight, hosts) &&
             lb_edf_rebuild(&l->degraded_schedule, count, degraded_place_weight, hosts);
    for (uint32_t i = 0; ok && i < count; i++)
        ok = group_init(lb, &l->places[i], &hosts->localities[i].healthy, NULL) &&
             group_init(lb, &l->places[count + i], &hosts->localities[i].degraded, NULL);
    for (uint64_t i = ok ? lb->random(lb->random_arg, count) : 0; i > 0; i--) {
        if (l->healthy_schedule.count > 0)
            lb_edf_pick(&l->healthy_schedule, healthy_place_weight, hosts);
    }
    return ok;
}

static bool level_init(struct lb *lb, struct lb_level *l, const struct host_level *hosts,
                       const struct lb_level *old)
{
    return group_init(lb, &l->healthy, &hosts->healthy, old ? &old->healthy : NULL) &&
           group_init(lb, &l->degraded, &hosts->degraded, old ? &old->degraded : NULL) &&
           group_init(lb, &l->all, &hosts->all, old ? &old->all : NULL) && places_init(lb, l, hosts);
}

/* Until when some healthy host's weight grows. */
static uint64_t slow_until(const struct lb *lb, const struct host_set *hosts)
{
    uint64_t last = 0;
    for (uint32_t i = 0; lb->config->slow_start_window_ms && i < hosts->count; i++) {
        const struct host *h = hosts->hosts[i];
        uint64_t since = atomic_load_explicit(&h->healthy_since_ms, memory_order_relaxed);
        if (since > last && host_standing_of(host_health_flags(h)) == HOST_HEALTHY)
            last = since;
    }
    return last ? last + lb->config->slow_start_window_ms : 0;
}

/* The group that all plain requests are picked from, if there is such a one. */
static struct lb_group *only_group(const struct lb *lb)
{
    for (uint32_t i = 0; i < lb->hosts->levels_count; i++) {
        const struct host_level *level = &lb->hosts->levels[i];
        bool by_place = lb->config->locality_weighted ? level->localities_count > 0
                                                      : i == 0 && lb->zone.kind != LB_ZONE_OFF;
        if (level->panic || by_place)
            continue;
        if (level->healthy_load == 100 && level->healthy.count > 0)
            return &lb->levels[i].healthy;
        if (level->degraded_load == 100 && level->degraded.count > 0)
            return &lb->levels[i].degraded;
    }
    return NULL;
}

static struct lb_level *levels_make(struct lb *lb, const struct host_set *hosts)
{
    const struct host_set *old = lb->hosts;
    struct lb_level *levels = calloc(hosts->levels_count, sizeof(*levels));
    for (uint32_t i = 0; levels && i < hosts->levels_count; i++) {
        const struct lb_level *before = old && i < old->levels_count ? &lb->levels[i] : NULL;
        if (level_init(lb, &levels[i], &hosts->levels[i], before))
            continue;
        levels_free(levels, hosts);
        return NULL;
    }
    return levels;
}

bool lb_update(struct lb *lb, const struct host_set *hosts)
{
    uint64_t slow = lb->slow_until_ms;
    struct lb_level *levels = NULL;
    uint32_t *scratch = NULL;
    lb->slow_until_ms = slow_until(lb, hosts);
    if (lb->ops)
        levels = levels_make(lb, hosts);
    else if (lb->config->hash_balance_factor > 0)
        scratch = calloc(hosts->count + 1, sizeof(*scratch));
    struct lb *subsets = hosts->subsets ? lb_subsets_make(lb, hosts) : NULL;
    if ((lb->ops ? !levels : lb->config->hash_balance_factor > 0 && !scratch) ||
        (hosts->subsets && !subsets)) {
        levels_free(levels, hosts);
        lb_subsets_free(subsets, hosts->subsets ? hosts->subsets->count : 0);
        free(scratch);
        lb->slow_until_ms = slow;
        return false;
    }
    lb_fini(lb);
    lb->hosts = hosts;
    lb->levels = levels;
    lb->scratch = scratch;
    lb->subsets = subsets;
    lb_zone_update(lb);
    lb->only = levels && !subsets ? only_group(lb) : NULL;
    return true;
}

void lb_local_changed(struct lb *lb)
{
    if (!lb->hosts || !lb->config->zone_aware)
        return;
    for (uint32_t i = 0; lb->subsets && i < lb->hosts->subsets->count; i++)
        lb_local_changed(&lb->subsets[i]);
    lb_zone_update(lb);
    lb->only = lb->levels && !lb->subsets ? only_group(lb) : NULL;
}

/* --- picking --- */

uint32_t lb_choose_level(const struct host_set *s, const struct lb_request *rq, uint32_t percent,
                         bool *degraded)
{
    const struct host_shares *other = rq && rq->shares ? rq->shares(rq->arg, s) : NULL;
    uint32_t sum = 0;
    *degraded = false;
    for (uint32_t i = 0; i < s->levels_count; i++) {
        sum += other ? other->healthy[i] : s->levels[i].healthy_load;
        if (percent <= sum)
            return i;
    }
    for (uint32_t i = 0; i < s->levels_count; i++) {
        sum += other ? other->degraded[i] : s->levels[i].degraded_load;
        if (percent <= sum) {
            *degraded = true;
            return i;
        }
    }
    return 0;
}

/* The hosts of the level that the request may go to; NULL: none shall serve it. */
static struct lb_group *choose_group(struct lb *lb, uint32_t number, bool degraded)
{
    const struct host_level *hosts = &lb->hosts->levels[number];
    struct lb_level *l = &lb->levels[number];
    if (hosts->panic) {
        stat_inc(lb->stats ? lb->stats->lb_healthy_panic : 0);
        return lb->config->fail_traffic_on_panic ? NULL : &l->all;
    }
    if (degraded && l->degraded_schedule.count > 0)
        return &l->places[hosts->localities_count +
                          lb_edf_pick(&l->degraded_schedule, degraded_place_weight, hosts)];
    if (!degraded && l->healthy_schedule.count > 0)
        return &l->places[lb_edf_pick(&l->healthy_schedule, healthy_place_weight, hosts)];
    if (number == 0 && WEIR_UNLIKELY(lb->zone.kind != LB_ZONE_OFF)) {
        uint32_t place;
        enum lb_zone_choice choice = lb_zone_choose(lb, &place);
        if (choice != LB_ZONE_ANYWHERE)
            return choice == LB_ZONE_NOWHERE ? NULL
                                             : &l->places[degraded ? hosts->localities_count + place : place];
    }
    return degraded ? &l->degraded : &l->healthy;
}

static struct host *pick_once(struct lb *lb, const struct lb_request *rq)
{
    bool degraded;
    uint32_t percent = (uint32_t)lb->random(lb->random_arg, 100) + 1;
    uint32_t number = lb_choose_level(lb->hosts, rq, percent, &degraded);
    struct lb_group *g = choose_group(lb, number, degraded);
    return g && g->list->count > 0 ? lb_group_pick(lb, g) : NULL;
}

static bool fits(const struct lb_request *rq, const struct host *h)
{
    return !h || !rq || !rq->refuse || !rq->refuse(rq->arg, h);
}

static struct host *pick_hashed(struct lb *lb, const struct lb_request *rq)
{
    bool degraded;
    uint64_t hash = rq && rq->has_hash ? rq->hash : lb->random(lb->random_arg, UINT64_MAX);
    /* Envoy: what a request says about priorities does not count here. */
    uint32_t number = lb_choose_level(lb->hosts, NULL, (uint32_t)(hash % 100) + 1, &degraded);
    const struct lb_table *t = lb->hosts->levels[number].table;
    struct host *h = NULL;
    if (lb->hosts->levels[number].panic)
        stat_inc(lb->stats ? lb->stats->lb_healthy_panic : 0);
    for (uint32_t i = 0; t && i <= (rq ? rq->attempts : 0); i++) {
        h = lb->scratch ? lb_pick_bounded(lb, t, hash, i) : t->hosts[t->ops->pick(t, hash, i)];
        if (fits(rq, h))
            break;
    }
    return h;
}

struct host *lb_pick_among(struct lb *lb, const struct lb_request *rq)
{
    struct host *wanted;
    if (rq && rq->override && lb_pick_override(lb, rq->override, &wanted))
        return wanted;
    return lb->subsets ? lb_pick_subset(lb, rq) : lb_pick_plain(lb, rq);
}

struct host *lb_pick_plain(struct lb *lb, const struct lb_request *rq)
{
    if (!lb->ops)
        return pick_hashed(lb, rq);
    struct host *h = pick_once(lb, rq);
    for (uint32_t i = 0; rq && i < rq->attempts && !fits(rq, h); i++)
        h = pick_once(lb, rq);
    return h;
}
