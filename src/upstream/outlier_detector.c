/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ejecting and taking back, by Envoy's rules: consecutive failures at once, success rates and failure
 * percentages once per interval; ejections grow longer with each one and shorter with each quiet interval.
 * At most max_ejection_percent of the cluster's hosts are out at a time.
 */
#include "upstream/outlier_detector.h"

#include "net/loop.h"
#include "telemetry/stats.h"
#include "upstream/outlier_event.h"

#include <math.h>
#include <stdlib.h>

/* "cluster.<name>.outlier_detection.<name>"; Envoy keeps the first ones for old dashboards. */
#define OUTLIER_STATS(X)                                                                                     \
    X(ejections_consecutive_5xx, counter)                                                                    \
    X(ejections_success_rate, counter)                                                                       \
    X(ejections_total, counter)                                                                              \
    X(ejections_active, gauge)                                                                               \
    X(ejections_enforced_total, counter)                                                                     \
    X(ejections_overflow, counter)

struct outlier_detector {
    struct outlier_settings settings;
    struct outlier_link *link; /* owned reference */
    struct timer timer;
    struct host **hosts; /* owned references */
    uint32_t hosts_count;
    uint32_t ejected; /* of them */
    struct outlier_rates rates[OUTLIER_ORIGIN_COUNT];
#define OUTLIER_STAT_X(name, kind) stat_id name;
    OUTLIER_STATS(OUTLIER_STAT_X)
#undef OUTLIER_STAT_X
    stat_id detected[OUTLIER_KIND_COUNT];
    stat_id enforced[OUTLIER_KIND_COUNT];
};

static const struct outlier_config *config_of(const struct outlier_detector *d)
{
    return d->settings.config;
}

static uint64_t now_of(const struct outlier_detector *d)
{
    return d->settings.loop->now_ms;
}

static bool is_ejected(const struct host *h)
{
    return (host_health_flags(h) & HOST_FAILED_OUTLIER_CHECK) != 0;
}

static bool is_member(const struct outlier_detector *d, const struct host *h)
{
    for (uint32_t i = 0; i < d->hosts_count; i++) {
        if (d->hosts[i] == h)
            return true;
    }
    return false;
}

/* --- ejecting --- */

static void tell(struct outlier_detector *d, const struct outlier_change *change)
{
    if (d->settings.events)
        outlier_event_write(d->settings.events, d->settings.cluster_name, change, now_of(d));
}

static bool may_eject(const struct outlier_detector *d)
{
    const struct outlier_config *c = config_of(d);
    uint32_t percent = c->max_ejection_percent < 100 ? c->max_ejection_percent : 100;
    if (c->always_eject_one && d->ejected == 0)
        return true;
    return (uint64_t)100 * (d->ejected + 1) <= (uint64_t)percent * d->hosts_count;
}

static void begin_ejection(struct outlier_detector *d, struct host *h)
{
    const struct outlier_config *c = config_of(d);
    struct outlier_host *o = h->outlier;
    d->ejected++;
    stat_inc(d->ejections_active);
    o->ejections++;
    o->ejected_ms = now_of(d);
    o->jitter_ms = d->settings.random(d->settings.random_arg, c->max_ejection_jitter_ms + 1);
    if (o->backoff * c->base_ejection_ms < c->max_ejection_ms + c->base_ejection_ms)
        o->backoff++;
    host_change_health(h, HOST_FAILED_OUTLIER_CHECK, 0, now_of(d));
    d->settings.changed(d->settings.changed_arg, h);
}

static void eject(struct outlier_detector *d, struct host *h, enum outlier_kind kind)
{
    stat_inc(d->detected[kind]);
    if (!may_eject(d)) {
        stat_inc(d->ejections_overflow);
        return;
    }
    if (kind == OUTLIER_CONSECUTIVE_5XX || kind == OUTLIER_SUCCESS_RATE)
        stat_inc(d->ejections_total);
    bool enforced = d->settings.random(d->settings.random_arg, 100) < config_of(d)->enforcing[kind];
    if (enforced) {
        stat_inc(d->ejections_enforced_total);
        stat_inc(d->enforced[kind]);
        begin_ejection(d, h);
    }
    tell(d, &(struct outlier_change){h, kind, true, enforced, d->rates});
}

void outlier_detector_suspect(struct outlier_detector *d, struct host *h, enum outlier_kind kind)
{
    struct outlier_host *o = h->outlier;
    if (is_ejected(h) || !is_member(d, h))
        return;
    eject(d, h, kind);
    if (kind == OUTLIER_CONSECUTIVE_5XX) {
        stat_inc(d->ejections_consecutive_5xx);
        atomic_store_explicit(&o->consecutive_5xx, 0, memory_order_relaxed);
    } else if (kind == OUTLIER_CONSECUTIVE_GATEWAY_FAILURE) {
        atomic_store_explicit(&o->consecutive_gateway, 0, memory_order_relaxed);
    } else {
        atomic_store_explicit(&o->consecutive_local, 0, memory_order_relaxed);
    }
}

/* --- taking back --- */

static void uneject(struct outlier_detector *d, struct host *h)
{
    struct outlier_host *o = h->outlier;
    WEIR_ASSERT(d->ejected > 0);
    d->ejected--;
    stat_dec(d->ejections_active);
    host_change_health(h, 0, HOST_FAILED_OUTLIER_CHECK, now_of(d));
    /* Or a few new errors would be enough to eject it again. */
    atomic_store_explicit(&o->consecutive_5xx, 0, memory_order_relaxed);
    atomic_store_explicit(&o->consecutive_gateway, 0, memory_order_relaxed);
    atomic_store_explicit(&o->consecutive_local, 0, memory_order_relaxed);
    o->unejected_ms = now_of(d);
    d->settings.changed(d->settings.changed_arg, h);
    tell(d, &(struct outlier_change){.host = h});
}

static void uneject_when_due(struct outlier_detector *d, struct host *h)
{
    const struct outlier_config *c = config_of(d);
    const struct outlier_host *o = h->outlier;
    if (!is_ejected(h))
        return;
    uint64_t time_ms = c->base_ejection_ms * o->backoff;
    if (time_ms > c->max_ejection_ms)
        time_ms = c->max_ejection_ms;
    if (now_of(d) - o->ejected_ms >= time_ms + o->jitter_ms)
        uneject(d, h);
}

void outlier_detector_healthy(struct outlier_detector *d, struct host *h)
{
    if (config_of(d)->uneject_on_health && is_ejected(h) && is_member(d, h))
        uneject(d, h);
}

/* --- once per interval --- */

double outlier_threshold(const double *rates, size_t count, double factor, double *mean)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += rates[i];
    *mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (rates[i] - *mean) * (rates[i] - *mean);
    return *mean - factor * sqrt(squares / (double)count);
}

/* What the workers counted since the last interval. */
static void read_interval(struct outlier_host *o)
{
    for (int origin = 0; origin < OUTLIER_ORIGIN_COUNT; origin++) {
        uint64_t total = 0, success = 0;
        for (uint32_t i = 0; i < o->shards_count; i++) {
            /* Success first: one that comes between would make a rate above 100 %. */
            success += atomic_load_explicit(&o->shards[i].success[origin], memory_order_relaxed);
            total += atomic_load_explicit(&o->shards[i].total[origin], memory_order_relaxed);
        }
        o->interval_total[origin] = total - o->total_before[origin];
        o->interval_success[origin] = success - o->success_before[origin];
        if (o->interval_success[origin] > o->interval_total[origin])
            o->interval_success[origin] = o->interval_total[origin];
        o->total_before[origin] = total;
        o->success_before[origin] = success;
        atomic_store_explicit(&o->success_rate[origin], -1, memory_order_relaxed);
    }
}

struct candidates {
    struct host **hosts;
    double *rates;
    uint32_t count;
};

/* The hosts with enough requests in the interval. */
static void collect(const struct outlier_detector *d, enum outlier_origin origin, uint64_t volume,
                    struct candidates *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < d->hosts_count; i++) {
        struct outlier_host *o = d->hosts[i]->outlier;
        uint64_t total = o->interval_total[origin];
        if (is_ejected(d->hosts[i]) || total == 0 || total < volume)
            continue;
        double rate = (double)o->interval_success[origin] * 100.0 / (double)total;
        atomic_store_explicit(&o->success_rate[origin], rate, memory_order_relaxed);
        out->hosts[out->count] = d->hosts[i];
        out->rates[out->count++] = rate;
    }
}

static void judge_success(struct outlier_detector *d, enum outlier_origin origin, const struct candidates *c)
{
    struct outlier_rates *r = &d->rates[origin];
    double factor = config_of(d)->success_rate_stdev_factor / 1000.0;
    if (c->count == 0 || c->count < config_of(d)->success_rate_hosts)
        return;
    r->threshold = outlier_threshold(c->rates, c->count, factor, &r->average);
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->rates[i] >= r->threshold)
            continue;
        stat_inc(d->ejections_success_rate);
        eject(d, c->hosts[i],
              origin == OUTLIER_EXTERNAL ? OUTLIER_SUCCESS_RATE : OUTLIER_SUCCESS_RATE_LOCAL_ORIGIN);
    }
}

static void judge_failures(struct outlier_detector *d, enum outlier_origin origin, const struct candidates *c)
{
    if (c->count == 0 || c->count < config_of(d)->failure_percentage_hosts)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        if (100.0 - c->rates[i] >= config_of(d)->failure_percentage)
            eject(d, c->hosts[i],
                  origin == OUTLIER_EXTERNAL ? OUTLIER_FAILURE_PERCENTAGE
                                             : OUTLIER_FAILURE_PERCENTAGE_LOCAL_ORIGIN);
    }
}

/* Both lists are made before either ejects, as in Envoy; but nobody is ejected twice. */
static void judge(struct outlier_detector *d, enum outlier_origin origin)
{
    const struct outlier_config *c = config_of(d);
    d->rates[origin] = (struct outlier_rates){-1, -1};
    if (d->hosts_count == 0 ||
        (d->hosts_count < c->success_rate_hosts && d->hosts_count < c->failure_percentage_hosts))
        return;
    struct candidates list = {
        .hosts = calloc(d->hosts_count, sizeof(struct host *)),
        .rates = calloc(d->hosts_count, sizeof(double)),
    };
    if (list.hosts && list.rates) {
        collect(d, origin, c->success_rate_volume, &list);
        judge_success(d, origin, &list);
        collect(d, origin, c->failure_percentage_volume, &list);
        judge_failures(d, origin, &list);
    }
    free(list.hosts);
    free(list.rates);
}

static void shorten_backoff(const struct outlier_detector *d, const struct host *h)
{
    struct outlier_host *o = h->outlier;
    if (!is_ejected(h) && o->unejected_ms && o->backoff > 0 &&
        now_of(d) - o->unejected_ms >= config_of(d)->interval_ms)
        o->backoff--;
}

static void on_interval(struct timer *timer)
{
    struct outlier_detector *d = WEIR_CONTAINER_OF(timer, struct outlier_detector, timer);
    for (uint32_t i = 0; i < d->hosts_count; i++) {
        uneject_when_due(d, d->hosts[i]);
        read_interval(d->hosts[i]->outlier);
    }
    judge(d, OUTLIER_EXTERNAL);
    judge(d, OUTLIER_LOCAL);
    for (uint32_t i = 0; i < d->hosts_count; i++)
        shorten_backoff(d, d->hosts[i]);
    timer_set(d->settings.loop, &d->timer, config_of(d)->interval_ms);
}

/* --- making and ending --- */

static void register_stats(struct outlier_detector *d)
{
    static const char *const names[] = {
#define OUTLIER_KIND_X(id, name, enforcing) #name,
        OUTLIER_KINDS(OUTLIER_KIND_X)
#undef OUTLIER_KIND_X
    };
    struct slice cluster = d->settings.stat_name;
#define OUTLIER_STAT_X(name, kind)                                                                           \
    d->name = stat_##kind("cluster." SLICE_FMT ".outlier_detection." #name, SLICE_ARG(cluster));
    OUTLIER_STATS(OUTLIER_STAT_X)
#undef OUTLIER_STAT_X
    for (int i = 0; i < OUTLIER_KIND_COUNT; i++) {
        d->detected[i] = stat_counter("cluster." SLICE_FMT ".outlier_detection.ejections_detected_%s",
                                      SLICE_ARG(cluster), names[i]);
        d->enforced[i] = stat_counter("cluster." SLICE_FMT ".outlier_detection.ejections_enforced_%s",
                                      SLICE_ARG(cluster), names[i]);
    }
}

struct outlier_detector *outlier_detector_create(const struct outlier_settings *settings)
{
    struct outlier_detector *d = calloc(1, sizeof(*d));
    if (d)
        d->link = calloc(1, sizeof(*d->link));
    if (!d || !d->link) {
        free(d);
        return NULL;
    }
    d->settings = *settings;
    atomic_init(&d->link->refs, 1);
    d->link->loop = settings->loop;
    d->link->detector = d;
    for (int origin = 0; origin < OUTLIER_ORIGIN_COUNT; origin++)
        d->rates[origin] = (struct outlier_rates){-1, -1};
    register_stats(d);
    timer_init(&d->timer, on_interval);
    timer_set(settings->loop, &d->timer, settings->config->interval_ms);
    return d;
}

static void forget_hosts(struct outlier_detector *d)
{
    for (uint32_t i = 0; i < d->hosts_count; i++) {
        if (is_ejected(d->hosts[i]))
            stat_dec(d->ejections_active);
        host_unref(&d->hosts[i]);
    }
    free(d->hosts);
    d->hosts = NULL;
    d->hosts_count = d->ejected = 0;
}

void outlier_detector_destroy(struct outlier_detector **detector)
{
    struct outlier_detector *d = *detector;
    *detector = NULL;
    if (!d)
        return;
    d->link->detector = NULL;
    outlier_link_unref(&d->link);
    timer_stop(d->settings.loop, &d->timer);
    forget_hosts(d);
    free(d);
}

bool outlier_detector_watch(struct outlier_detector *d, struct host *h)
{
    const struct outlier_config *c = config_of(d);
    struct outlier_host *o = NULL;
    size_t size = sizeof(*o) + h->shards_count * sizeof(struct outlier_shard);
    if (h->outlier)
        return true;
    if (posix_memalign((void **)&o, 64, size) != 0)
        return false;
    memset(o, 0, size);
    o->link = outlier_link_ref(d->link);
    o->limit_5xx = c->consecutive_5xx;
    o->limit_gateway = c->consecutive_gateway;
    o->limit_local = c->consecutive_local;
    o->split_local = c->split_local;
    o->shards_count = h->shards_count;
    for (int origin = 0; origin < OUTLIER_ORIGIN_COUNT; origin++)
        atomic_init(&o->success_rate[origin], -1);
    h->outlier = o;
    return true;
}

void outlier_detector_update(struct outlier_detector *d, struct host *const *hosts, uint32_t count)
{
    struct host **list = calloc(count ? count : 1, sizeof(struct host *));
    uint32_t ejected = 0, kept = 0;
    if (!list)
        return; /* the old ones are watched on */
    for (uint32_t i = 0; i < count; i++) {
        if (!hosts[i]->outlier) /* there was no memory for it */
            continue;
        list[kept++] = host_ref(hosts[i]);
        if (is_ejected(hosts[i])) {
            ejected++;
            stat_inc(d->ejections_active);
        }
    }
    forget_hosts(d);
    d->hosts = list;
    d->hosts_count = kept;
    d->ejected = ejected;
}
