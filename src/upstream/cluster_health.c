/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins health checks and outlier detection to their cluster: who is watched, and what a change of flags sets
 * in motion. Decides nothing about health itself.
 */
#include "upstream/cluster_health.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "net/loop.h"
#include "upstream/health_check.h"
#include "upstream/health_host.h"
#include "upstream/outlier_detector.h"

#include <stdlib.h>

struct cluster_health {
    struct cluster *cluster;
    struct cluster_health_events events;
    struct health_checker *checker;    /* NULL: no active checks */
    struct outlier_detector *detector; /* NULL: no outlier detection */
    struct turn_task warm_task;        /* without checks there is nothing to wait for */
    uint64_t random;
    bool leavers_failed; /* a host stays no longer */
};

static uint64_t random_below(void *arg, uint64_t bound)
{
    struct cluster_health *ch = arg;
    ch->random ^= ch->random << 13;
    ch->random ^= ch->random >> 7;
    ch->random ^= ch->random << 17;
    return ch->random % bound;
}

static void on_changed(void *arg, struct host *h)
{
    struct cluster_health *ch = arg;
    uint32_t flags = host_health_flags(h);
    if ((flags & HOST_PENDING_DYNAMIC_REMOVAL) && (flags & HOST_FAILED_ACTIVE_HC))
        ch->leavers_failed = true;
    if (host_standing_of(flags) == HOST_UNHEALTHY)
        ch->events.failed(ch->events.arg, h);
    cluster_health_changed(ch->cluster);
}

static void on_passed(void *arg, struct host *h)
{
    struct cluster_health *ch = arg;
    if (ch->detector)
        outlier_detector_healthy(ch->detector, h);
}

static void on_warm(void *arg)
{
    struct cluster_health *ch = arg;
    ch->events.warm(ch->events.arg);
}

static void on_warm_task(struct turn_task *task)
{
    on_warm(WEIR_CONTAINER_OF(task, struct cluster_health, warm_task));
}

bool cluster_health_wanted(const struct cluster_config *config)
{
    return config->health || config->outlier;
}

static bool make_checker(struct cluster_health *ch)
{
    const struct health_settings settings = {
        .loop = ch->cluster->main,
        .config = ch->cluster->config,
        .stats = &ch->cluster->stats,
        .random = random_below,
        .random_arg = ch,
        .changed = on_changed,
        .passed = on_passed,
        .warm = on_warm,
        .arg = ch,
    };
    ch->checker = health_checker_create(&settings);
    return ch->checker != NULL;
}

static bool make_detector(struct cluster_health *ch)
{
    const struct cluster_config *config = ch->cluster->config;
    const struct outlier_settings settings = {
        .loop = ch->cluster->main,
        .config = config->outlier,
        .cluster_name = config->name,
        .stat_name = config->alt_stat_name,
        .events = config->outlier_events,
        .random = random_below,
        .random_arg = ch,
        .changed = on_changed,
        .changed_arg = ch,
    };
    ch->detector = outlier_detector_create(&settings);
    return ch->detector != NULL;
}

struct cluster_health *cluster_health_create(struct cluster *c, const struct cluster_health_events *events)
{
    struct cluster_health *ch = calloc(1, sizeof(*ch));
    if (!ch)
        return NULL;
    ch->cluster = c;
    ch->events = *events;
    ch->random = (c->config->name_hash ^ monotonic_ns()) | 1;
    turn_task_init(&ch->warm_task, on_warm_task);
    if ((c->config->health && !make_checker(ch)) || (c->config->outlier && !make_detector(ch)))
        cluster_health_destroy(&ch);
    return ch;
}

void cluster_health_destroy(struct cluster_health **health)
{
    struct cluster_health *ch = *health;
    *health = NULL;
    if (!ch)
        return;
    health_checker_destroy(&ch->checker);
    outlier_detector_destroy(&ch->detector);
    list_remove(&ch->warm_task.node);
    free(ch);
}

/* --- hosts that come and go --- */

static void drop_all(struct host **hosts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        host_unref(&hosts[i]);
}

/* Touches nothing of `ch` that changes. */
static bool watch(struct cluster_health *ch, struct host *h)
{
    return (!ch->checker || health_checker_watch(ch->checker, h)) &&
           (!ch->detector || outlier_detector_watch(ch->detector, h));
}

bool cluster_health_watch_made(struct cluster_health *ch, struct host *h)
{
    if (!watch(ch, h))
        return false;
    host_change_health(h, 0, HOST_FAILED_ACTIVE_HC | HOST_PENDING_ACTIVE_HC, 0);
    return true;
}

static bool watch_all(struct cluster_health *ch, struct host *const *hosts, uint32_t count)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = watch(ch, hosts[i]);
    return ok;
}

/* Active checks speak for it. */
static bool passes(const struct host *h)
{
    return h->checks && h->checks->link && !h->checks->disabled &&
           !(host_health_flags(h) & (HOST_FAILED_ACTIVE_HC | HOST_FAILED_EDS_HEALTH));
}

static struct slice place_of(const struct host *h)
{
    return slice_of(&h->address, sizeof(h->address));
}

/* Behind `hosts`, those of the current set that stay although nobody names them. */
static struct host **with_leavers(struct cluster_health *ch, struct host **hosts, uint32_t *count)
{
    const struct host_set *old = ch->cluster->hosts;
    uint64_t now = ch->cluster->main->now_ms;
    struct map named = {0};
    struct host **all = calloc((size_t)*count + old->count + 1, sizeof(struct host *));
    if (!all)
        return NULL;
    for (uint32_t i = 0; i < *count; i++) {
        map_put(&named, place_of(hosts[i]), hosts[i]);
        all[i] = hosts[i];
    }
    for (uint32_t i = 0; i < old->count; i++) {
        struct host *h = old->hosts[i];
        if (map_has(&named, place_of(h))) {
            host_change_health(h, 0, HOST_PENDING_DYNAMIC_REMOVAL, now);
        } else if (passes(h)) {
            host_change_health(h, HOST_PENDING_DYNAMIC_REMOVAL, 0, now);
            all[(*count)++] = host_ref(h);
        }
    }
    map_fini(&named);
    return all;
}

struct host **cluster_health_prepare(struct cluster_health *ch, struct host **hosts, uint32_t *count)
{
    struct host **all = NULL;
    bool stay = ch->checker && !ch->cluster->config->ignore_health_on_removal;
    if (watch_all(ch, hosts, *count))
        all = stay ? with_leavers(ch, hosts, count) : hosts;
    if (!all)
        drop_all(hosts, *count);
    return all;
}

void cluster_health_update(struct cluster_health *ch)
{
    const struct host_set *set = ch->cluster->hosts;
    if (ch->checker)
        health_checker_update(ch->checker, set->hosts, set->count);
    if (ch->detector)
        outlier_detector_update(ch->detector, set->hosts, set->count);
}

struct host **cluster_health_stayers(struct cluster_health *ch, uint32_t *count)
{
    const uint32_t gone = HOST_PENDING_DYNAMIC_REMOVAL | HOST_FAILED_ACTIVE_HC;
    const struct host_set *set = ch->cluster->hosts;
    if (!ch->leavers_failed)
        return NULL;
    struct host **stayers = calloc(set->count + 1, sizeof(struct host *));
    *count = 0;
    for (uint32_t i = 0; stayers && i < set->count; i++) {
        if ((host_health_flags(set->hosts[i]) & gone) != gone)
            stayers[(*count)++] = host_ref(set->hosts[i]);
    }
    ch->leavers_failed = stayers == NULL;
    return stayers;
}

void cluster_health_wait(struct cluster_health *ch)
{
    if (ch->checker)
        health_checker_wait(ch->checker);
    else
        loop_at_turn_end(ch->cluster->main, &ch->warm_task);
}
