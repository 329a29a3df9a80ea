/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both consistent hashing policies share: which hosts stand in a priority's table, and with which share.
 */
#include "upstream/lb_table.h"

#include "base/assert.h"

struct slice lb_table_key(const struct lb_table *t, uint32_t host, char buffer[ADDRESS_TEXT_MAX])
{
    const struct host *h = t->hosts[host];
    const struct typed_value *key = host_lb_metadata(h, SLICE_LIT("hash_key"));
    if (key && key->kind == TYPED_STRING && key->bytes.len > 0)
        return key->bytes;
    if (t->by_hostname && h->hostname[0])
        return slice_str(h->hostname);
    return slice_str(address_format(&h->address, buffer));
}

/* Adds hosts that share `share` among them by their weights. */
static void add_hosts(struct lb_table *t, const struct host_list *list, double share)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < list->count; i++)
        sum += list->hosts[i]->weight;
    for (uint32_t i = 0; i < list->count; i++) {
        double weight = list->hosts[i]->weight * share / (double)sum;
        t->hosts[t->hosts_count] = list->hosts[i];
        t->weights[t->hosts_count++] = weight;
        t->weight_min = weight < t->weight_min ? weight : t->weight_min;
        t->weight_max = weight > t->weight_max ? weight : t->weight_max;
    }
}

static void add_localities(struct lb_table *t, const struct host_level *level)
{
    uint64_t sum = level->absent_weight;
    for (uint32_t i = 0; i < level->localities_count; i++)
        sum += level->localities[i].weight;
    for (uint32_t i = 0; sum > 0 && i < level->localities_count; i++) {
        const struct host_locality *l = &level->localities[i];
        if (l->weight > 0)
            add_hosts(t, level->panic ? &l->all : &l->healthy, (double)l->weight / (double)sum);
    }
}

static bool make_table(struct host_set *s, struct host_level *level, const struct cluster_config *config)
{
    struct arena *arena = &s->arena;
    struct lb_table *t = ARENA_NEW(arena, struct lb_table);
    const struct host_list *list = level->panic ? &level->all : &level->healthy;
    if (!t)
        return false;
    t->ops = config->lb.policy == LB_RING_HASH ? &lb_ring_hash : &lb_maglev;
    t->by_hostname = config->lb.hash_hostname;
    t->weight_min = 1.0;
    t->hosts = ARENA_NEW_N(arena, struct host *, list->count);
    t->weights = ARENA_NEW_N(arena, double, list->count);
    if (!t->hosts || !t->weights)
        return false;
    if (config->lb.locality_weighted && level->localities_count > 0)
        add_localities(t, level);
    else
        add_hosts(t, list, 1.0);
    if (t->hosts_count == 0)
        return true;
    if (!t->ops->fill(t, arena, config))
        return false;
    level->table = t->size > 0 ? t : NULL; /* a ring of no least size may have no points (Envoy) */
    return true;
}

bool lb_tables_make(struct host_set *s, const struct cluster_config *config)
{
    bool ok = true;
    if (!lb_hashes(config))
        return true;
    for (uint32_t i = 0; ok && i < s->levels_count; i++)
        ok = make_table(s, &s->levels[i], config);
    return ok;
}
