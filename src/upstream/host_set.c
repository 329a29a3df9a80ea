/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making host sets: who stands where is decided here, once per update and never per request.
 */
#include "upstream/host_set.h"

#include "base/assert.h"
#include "base/refs.h"
#include "upstream/host_subsets.h"
#include "upstream/lb_table.h"
#include "upstream/limits.h"

#include <math.h>
#include <stdlib.h>

/* A place within a priority, while hosts are sorted into it. */
static bool same_place(const struct host *a, const struct host *b)
{
    return strcmp(a->locality[0], b->locality[0]) == 0 && strcmp(a->locality[1], b->locality[1]) == 0 &&
           strcmp(a->locality[2], b->locality[2]) == 0;
}

static void append(struct host_list *list, struct host *h)
{
    list->weighted = list->weighted || (list->count > 0 && h->weight != list->hosts[0]->weight);
    list->hosts[list->count++] = h;
}

static bool make_list(struct arena *arena, struct host_list *list, uint32_t room)
{
    list->hosts = ARENA_NEW_N(arena, struct host *, room);
    list->count = 0;
    return list->hosts != NULL;
}

static bool make_lists(struct arena *arena, struct host_list *all, struct host_list *healthy,
                       struct host_list *degraded, uint32_t room)
{
    return make_list(arena, all, room) && make_list(arena, healthy, room) && make_list(arena, degraded, room);
}

/* What the flags said when the set was made, so that all lists agree. */
struct verdict {
    uint32_t flags;
    uint32_t place; /* number of its locality within its priority */
};

static void enlist(struct host *h, uint32_t flags, struct host_list *all, struct host_list *healthy,
                   struct host_list *degraded, uint32_t *excluded)
{
    append(all, h);
    *excluded += (flags & HOST_EXCLUDED_FLAGS) != 0;
    if (host_standing_of(flags) == HOST_HEALTHY)
        append(healthy, h);
    else if (host_standing_of(flags) == HOST_DEGRADED)
        append(degraded, h);
}

static bool make_levels(struct host_set *s, const struct verdict *verdicts)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->count; i++)
        last = s->hosts[i]->priority > last ? s->hosts[i]->priority : last;
    s->levels_count = last + 1;
    s->levels = ARENA_NEW_N(&s->arena, struct host_level, s->levels_count);
    uint32_t *counts = calloc(s->levels_count, sizeof(*counts));
    bool ok = s->levels && counts;
    for (uint32_t i = 0; ok && i < s->count; i++)
        counts[s->hosts[i]->priority]++;
    for (uint32_t i = 0; ok && i < s->levels_count; i++)
        ok = make_lists(&s->arena, &s->levels[i].all, &s->levels[i].healthy, &s->levels[i].degraded,
                        counts[i]);
    for (uint32_t i = 0; ok && i < s->count; i++) {
        struct host_level *level = &s->levels[s->hosts[i]->priority];
        enlist(s->hosts[i], verdicts[i].flags, &level->all, &level->healthy, &level->degraded,
               &level->excluded);
    }
    free(counts);
    for (uint32_t i = 0; ok && i < s->levels_count; i++) {
        s->healthy_count += s->levels[i].healthy.count;
        s->degraded_count += s->levels[i].degraded.count;
        s->excluded_count += s->levels[i].excluded;
    }
    return ok;
}

/* Numbers the places of one priority in order of appearance. Hosts of one place stand together in any
 * configuration, so the last one found is looked at first. */
static uint32_t number_places(const struct host_set *s, uint32_t priority, struct verdict *verdicts,
                              const struct host **of_place)
{
    uint32_t places = 0, last = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct host *h = s->hosts[i];
        if (h->priority != priority)
            continue;
        if (places == 0 || !same_place(of_place[last], h)) {
            for (last = 0; last < places && !same_place(of_place[last], h); last++)
                ;
            if (last == places)
                of_place[places++] = h;
        }
        verdicts[i].place = last;
    }
    return places;
}

static double effective_weight(const struct host_locality *l, uint32_t usable, uint32_t overprovisioning)
{
    uint32_t counted = l->all.count - l->excluded;
    if (counted == 0)
        return 0;
    double available = overprovisioning / 100.0 * usable / counted;
    return l->weight * (available < 1.0 ? available : 1.0);
}

/* The weight of the place that `l` is a part of, which is one whatever its hosts say; scaled: by how many of
 * its hosts are in this part (Envoy). */
static uint32_t weight_in_part(const struct host_level *whole, const struct host *of_place,
                               const struct host_locality *l, bool scaled)
{
    for (uint32_t i = 0; i < whole->localities_count; i++) {
        const struct host_locality *in = &whole->localities[i];
        if (in->all.count > 0 && same_place(in->all.hosts[0], of_place))
            return scaled ? (uint32_t)round((double)in->weight * l->all.count / in->all.count) : in->weight;
    }
    return of_place->locality_weight;
}

static uint64_t weight_of_all(const struct host_level *level)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < level->localities_count; i++)
        sum += level->localities[i].weight;
    return sum;
}

static bool divide_level(struct host_set *s, uint32_t priority, const struct host_set *whole,
                         const struct cluster_config *config, struct verdict *verdicts,
                         const struct host **of_place)
{
    struct host_level *level = &s->levels[priority];
    uint32_t places = number_places(s, priority, verdicts, of_place);
    level->localities = ARENA_NEW_N(&s->arena, struct host_locality, places);
    uint32_t *counts = calloc(places + 1, sizeof(*counts));
    bool ok = level->localities && counts;
    for (uint32_t i = 0; ok && i < s->count; i++)
        counts[verdicts[i].place] += s->hosts[i]->priority == priority;
    for (uint32_t i = 0; ok && i < places; i++) {
        struct host_locality *l = &level->localities[i];
        l->weight = of_place[i]->locality_weight;
        ok = make_lists(&s->arena, &l->all, &l->healthy, &l->degraded, counts[i]);
    }
    free(counts);
    for (uint32_t i = 0; ok && i < s->count; i++) {
        struct host_locality *l = &level->localities[verdicts[i].place];
        if (s->hosts[i]->priority == priority)
            enlist(s->hosts[i], verdicts[i].flags, &l->all, &l->healthy, &l->degraded, &l->excluded);
    }
    level->localities_count = ok ? places : 0;
    bool scaled = whole && config->lb.subsets->scale_locality_weight;
    for (uint32_t i = 0; i < level->localities_count; i++) {
        struct host_locality *l = &level->localities[i];
        if (whole)
            l->weight = weight_in_part(&whole->levels[priority], of_place[i], l, scaled);
        l->healthy_weight = effective_weight(l, l->healthy.count, config->overprovisioning_factor);
        l->degraded_weight = effective_weight(l, l->degraded.count, config->overprovisioning_factor);
    }
    if (whole && !scaled)
        level->absent_weight = weight_of_all(&whole->levels[priority]) - weight_of_all(level);
    return ok;
}

/* `whole`: what the set is a part of; NULL: it is the whole. */
static bool divide_localities(struct host_set *s, const struct host_set *whole,
                              const struct cluster_config *config, struct verdict *verdicts)
{
    if (!config->lb.locality_weighted && !config->lb.zone_divides)
        return true;
    const struct host **of_place = calloc(s->count + 1, sizeof(struct host *));
    bool ok = of_place != NULL;
    for (uint32_t i = 0; ok && i < s->levels_count; i++) {
        /* Numbers of another priority must not count here. */
        for (uint32_t n = 0; n < s->count; n++)
            verdicts[n].place = 0;
        ok = divide_level(s, i, whole, config, verdicts, of_place);
    }
    free(of_place);
    return ok;
}

static bool fill(struct host_set *s, const struct host_set *whole, const struct cluster_config *config,
                 uint64_t now_ms)
{
    struct verdict *verdicts = calloc(s->count + 1, sizeof(*verdicts));
    if (!verdicts)
        return false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct host *h = s->hosts[i];
        uint64_t never = 0;
        verdicts[i].flags = host_health_flags(h);
        if (host_standing_of(verdicts[i].flags) == HOST_HEALTHY)
            atomic_compare_exchange_strong(&h->healthy_since_ms, &never, now_ms);
    }
    bool ok = make_levels(s, verdicts) && divide_localities(s, whole, config, verdicts);
    free(verdicts);
    if (!ok)
        return false;
    host_set_share_load(s, config);
    return lb_tables_make(s, config) && (whole || host_subsets_make(s, config, now_ms));
}

static struct host_set *create(struct host **hosts, uint32_t count, const struct host_set *whole,
                               const struct cluster_config *config, uint64_t now_ms)
{
    struct host_set *s = calloc(1, sizeof(*s) + count * sizeof(s->hosts[0]));
    if (!s) {
        for (uint32_t i = 0; i < count; i++)
            host_unref(&hosts[i]);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    arena_init(&s->arena, HOST_SET_BYTES_MAX, NULL);
    s->count = count;
    for (uint32_t i = 0; i < count; i++)
        s->hosts[i] = hosts[i];
    if (!fill(s, whole, config, now_ms))
        host_set_unref(&s);
    return s;
}

struct host_set *host_set_create(struct host **hosts, uint32_t count, const struct cluster_config *config,
                                 uint64_t now_ms)
{
    return create(hosts, count, NULL, config, now_ms);
}

struct host_set *host_set_create_part(struct host **hosts, uint32_t count, const struct host_set *whole,
                                      const struct cluster_config *config, uint64_t now_ms)
{
    return create(hosts, count, whole, config, now_ms);
}

struct host_set *host_set_ref(struct host_set *s)
{
    refs_take(&s->refs);
    return s;
}

void host_set_unref(struct host_set **set)
{
    struct host_set *s = *set;
    *set = NULL;
    if (!s || !refs_drop(&s->refs))
        return;
    host_subsets_fini(s->subsets);
    for (uint32_t i = 0; i < s->count; i++)
        host_unref(&s->hosts[i]);
    arena_fini(&s->arena);
    free(s);
}
