/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How requests are shared among the priorities of a set. A priority takes what it can bear (its healthy
 * hosts, overprovisioned); the rest spills over to the next one, and to degraded hosts last. When all of them
 * together cannot bear everything, those with too few healthy hosts panic and use all their hosts.
 */
#include "base/assert.h"
#include "upstream/host_set.h"

/* Where a share of 100 % goes first to last. */
struct share {
    uint32_t left;
    int32_t first; /* the first priority that can bear something; -1: none */
};

static uint64_t weight_of(const struct host_list *list)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < list->count; i++)
        sum += list->hosts[i]->weight;
    return sum;
}

static uint64_t excluded_weight(const struct host_level *level)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < level->all.count; i++) {
        const struct host *h = level->all.hosts[i];
        if (host_health_flags(h) & HOST_EXCLUDED_FLAGS)
            sum += h->weight;
    }
    return sum;
}

static uint8_t percent_of(uint64_t part, uint64_t whole, uint32_t factor)
{
    uint64_t percent = whole ? (uint64_t)factor * part / whole : 0;
    return percent < 100 ? (uint8_t)percent : 100;
}

static void judge(struct host_level *level, const struct cluster_config *config)
{
    uint64_t healthy = level->healthy.count, degraded = level->degraded.count;
    uint64_t total = level->all.count - level->excluded;
    if (total > 0 && config->weighted_priority_health) {
        uint64_t excluded = excluded_weight(level), all = weight_of(&level->all);
        healthy = weight_of(&level->healthy);
        degraded = weight_of(&level->degraded);
        total = all > excluded ? all - excluded : 0;
    }
    level->healthy_percent = percent_of(healthy, total, config->overprovisioning_factor);
    level->degraded_percent = percent_of(degraded, total, config->overprovisioning_factor);
}

/* How much of everything the priorities can bear, in percent; those that are left out bear nothing. */
static uint32_t available_percent(const struct host_set *s, const bool *without)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < s->levels_count; i++) {
        if (!without || !without[i])
            sum += s->levels[i].healthy_percent + s->levels[i].degraded_percent;
    }
    return sum < 100 ? sum : 100;
}

static struct share spread(const struct host_set *s, const bool *without, bool degraded, uint32_t load,
                           uint32_t available, uint8_t *out)
{
    struct share share = {load, -1};
    for (uint32_t i = 0; i < s->levels_count; i++) {
        const struct host_level *level = &s->levels[i];
        uint32_t percent = degraded ? level->degraded_percent : level->healthy_percent;
        if (without && without[i])
            percent = 0;
        uint32_t part = percent * 100 / available;
        if (part > share.left)
            part = share.left;
        if (share.first < 0 && percent > 0)
            share.first = (int32_t)i;
        out[i] = (uint8_t)part;
        share.left -= part;
    }
    return share;
}

static void share_by_health(const struct host_set *s, const bool *without, uint32_t available,
                            struct host_shares *out)
{
    struct share healthy = spread(s, without, false, 100, available, out->healthy);
    struct share degraded = spread(s, without, true, healthy.left, available, out->degraded);
    /* What rounding left over goes to the first that can bear something. */
    if (degraded.left > 0 && healthy.first >= 0)
        out->healthy[healthy.first] += (uint8_t)degraded.left;
    else if (degraded.left > 0 && degraded.first >= 0)
        out->degraded[degraded.first] += (uint8_t)degraded.left;
}

bool host_set_share_without(const struct host_set *s, const bool *without, struct host_shares *out)
{
    uint32_t available = available_percent(s, without);
    if (available > 0)
        share_by_health(s, without, available, out);
    return available > 0;
}

/* All priorities panic: by the number of their hosts, whatever their health. */
static void share_by_count(struct host_set *s)
{
    uint32_t left = 100;
    struct host_level *first = NULL;
    for (uint32_t i = 0; i < s->levels_count; i++) {
        struct host_level *level = &s->levels[i];
        level->degraded_load = 0;
        level->healthy_load = s->count ? (uint8_t)((uint64_t)100 * level->all.count / s->count) : 0;
        left -= level->healthy_load;
        if (!first && level->all.count > 0)
            first = level;
    }
    (first ? first : &s->levels[0])->healthy_load += (uint8_t)left;
}

static bool in_panic(const struct host_level *level, uint32_t threshold)
{
    uint64_t count = level->all.count - level->excluded;
    double usable = (double)level->healthy.count + level->degraded.count;
    return (count ? 100.0 * usable / (double)count : 0.0) < threshold;
}

void host_set_share_load(struct host_set *s, const struct cluster_config *config)
{
    WEIR_ASSERT(s->levels_count > 0 && s->levels_count <= HOST_PRIORITIES_MAX);
    for (uint32_t i = 0; i < s->levels_count; i++)
        judge(&s->levels[i], config);
    host_set_share(s, config->healthy_panic_threshold);
}

void host_set_share(struct host_set *s, uint32_t threshold)
{
    bool all_panic = true;
    struct host_shares shares;
    uint32_t available = available_percent(s, NULL);
    if (available > 0)
        share_by_health(s, NULL, available, &shares);
    for (uint32_t i = 0; available > 0 && i < s->levels_count; i++) {
        s->levels[i].healthy_load = shares.healthy[i];
        s->levels[i].degraded_load = shares.degraded[i];
    }
    if (available == 0 && threshold == 0) {
        s->levels[0].healthy_load = 100; /* nobody is there to take it */
        return;
    }
    for (uint32_t i = 0; i < s->levels_count; i++) {
        struct host_level *level = &s->levels[i];
        level->panic = available < 100 && in_panic(level, threshold);
        all_panic = all_panic && level->panic;
    }
    if (all_panic)
        share_by_count(s);
}
