/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laying priorities end to end, and picking among them as Envoy's aggregate cluster does: by what each can
 * bear and the aggregate's own panic threshold; whether a member's priority panics is the member's affair.
 */
#include "upstream/worker_aggregate.h"

#include "base/assert.h"
#include "net/worker.h"
#include "upstream/lb.h"
#include "upstream/limits.h"
#include "upstream/worker_cluster.h"

#include <stdlib.h>

/* Where a priority comes from. */
struct origin {
    struct worker_cluster *cluster; /* borrowed: nothing changes without worker_aggregates_stale */
    uint32_t priority;              /* there */
};

struct worker_aggregate {
    struct list node; /* of all aggregates */
    struct worker *worker;
    const struct cluster_config *config; /* borrowed: its cluster's */
    bool stale;
    const struct origin *picked;
    struct host_shares all_to_one; /* for the member's balancer; zero between picks */
    struct origin origins[HOST_PRIORITIES_MAX];
    struct host_level levels[HOST_PRIORITIES_MAX]; /* copies of the members', whose hosts they borrow */
    uint32_t looked_at;                            /* members, in this look */
    struct host_set set;                           /* of the levels; levels_count 0: there is no host */
};

/* From the outermost aggregate inwards. */
struct path {
    const struct path *outer;
    const struct cluster_config *config;
};

struct worker_aggregate *worker_aggregate_create(struct worker *w, const struct cluster_config *config,
                                                 struct list *aggregates)
{
    struct worker_aggregate *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->worker = w;
    a->config = config;
    a->stale = true;
    a->set.levels = a->levels;
    list_push_back(aggregates, &a->node);
    return a;
}

void worker_aggregate_destroy(struct worker_aggregate **aggregate)
{
    struct worker_aggregate *a = *aggregate;
    *aggregate = NULL;
    if (a)
        list_remove(&a->node);
    free(a);
}

void worker_aggregates_stale(struct list *aggregates)
{
    struct list *node, *next;
    list_for_each(node, next, aggregates)
    {
        list_entry(node, struct worker_aggregate, node)->stale = true;
    }
}

static bool on_path(const struct path *p, const struct cluster_config *config)
{
    for (; p; p = p->outer) {
        if (p->config == config)
            return true;
    }
    return false;
}

/* Priorities without hosts do not count. */
static void append_priorities(struct worker_aggregate *a, struct worker_cluster *wc)
{
    for (uint32_t i = 0; i < wc->hosts->levels_count && a->set.levels_count < HOST_PRIORITIES_MAX; i++) {
        const struct host_level *level = &wc->hosts->levels[i];
        if (level->all.count == 0)
            continue;
        a->origins[a->set.levels_count] = (struct origin){wc, i};
        a->levels[a->set.levels_count++] = *level;
        a->set.count += level->all.count;
    }
}

/* A member that is not there has no priorities; nor has one that would contain itself. */
static void append_members(struct worker_aggregate *a, const struct path *p)
{
    const struct aggregate_config *config = &p->config->aggregate;
    for (uint32_t i = 0; i < config->count && a->looked_at < AGGREGATE_MEMBERS_MAX; i++) {
        const struct aggregate_member *m = &config->members[i];
        struct worker_cluster *wc = worker_cluster_find(a->worker, m->name, m->hash);
        a->looked_at++;
        if (wc && wc->aggregate) {
            const struct path inner = {p, wc->cluster->config};
            if (!on_path(p, inner.config))
                append_members(a, &inner);
        } else if (wc) {
            append_priorities(a, wc);
        }
    }
}

static void look_again(struct worker_aggregate *a)
{
    const struct path path = {NULL, a->config};
    a->stale = false;
    a->looked_at = 0;
    a->set.levels_count = 0;
    a->set.count = 0;
    append_members(a, &path);
    if (a->set.levels_count > 0)
        host_set_share(&a->set, a->config->healthy_panic_threshold);
}

/* What the request asks for, but for the priority, which is chosen already. */
struct directed {
    const struct lb_request *request;
    const struct host_shares *shares;
};

static bool refuse(void *arg, const struct host *h)
{
    const struct directed *d = arg;
    return d->request->refuse(d->request->arg, h);
}

static const struct host_shares *shares(void *arg, const struct host_set *hosts)
{
    (void)hosts;
    return ((const struct directed *)arg)->shares;
}

struct host *worker_aggregate_pick(struct worker_aggregate *a, const struct lb_request *rq)
{
    bool degraded;
    if (WEIR_UNLIKELY(a->stale))
        look_again(a);
    if (a->set.levels_count == 0)
        return NULL;
    uint32_t number = lb_choose_level(&a->set, rq, (uint32_t)worker_random(a->worker, 100) + 1, &degraded);
    a->picked = &a->origins[number];
    struct directed directed = {rq, &a->all_to_one};
    struct lb_request there = rq ? *rq : (struct lb_request){0};
    there.refuse = rq && rq->refuse ? refuse : NULL;
    there.shares = shares;
    there.arg = &directed;
    uint8_t *share = &(degraded ? a->all_to_one.degraded : a->all_to_one.healthy)[a->picked->priority];
    *share = 100;
    struct host *h = worker_cluster_pick_for(a->picked->cluster, &there);
    *share = 0;
    return h;
}

struct worker_cluster *worker_aggregate_picked(const struct worker_aggregate *a)
{
    return a->picked->cluster;
}

uint32_t worker_aggregate_picked_priority(const struct worker_aggregate *a)
{
    return (uint32_t)(a->picked - a->origins);
}
