/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolving the names of requests, again and again while somebody wants them. A name that was found once
 * keeps its last address when a resolver fails. When there is no room, names that failed and names that
 * nobody wants any more go, at most so often that a flood of names costs no more than its own answers.
 */
#include "upstream/dynamic_hosts.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "net/address_list.h"
#include "net/dns.h"
#include "net/loop.h"
#include "upstream/cluster.h"
#include "upstream/cluster_dns.h"
#include "upstream/limits.h"

#include <stdio.h>
#include <stdlib.h>

struct entry {
    struct dynamic_table *table;
    struct dynamic_name *name; /* owned reference */
    struct host *host;         /* owned reference; NULL: it was never found */
    struct dns_query *query;
    struct timer timer; /* of the query, or until the next one */
    uint64_t pause_ms;  /* after the last failure; 0: none */
    bool answered;
    char error[DYNAMIC_ERROR_BYTES]; /* of the last failure */
};

struct dynamic_table {
    struct cluster *cluster; /* borrowed */
    struct loop *loop;
    struct dynamic_events events;
    struct dns_resolver *resolver;
    struct map entries; /* the name's text -> struct entry */
    uint64_t swept_ms;  /* when room was made last */
    uint64_t random;
};

static const struct dns_cache_config *config_of(const struct dynamic_table *t)
{
    return &t->cluster->config->dns_cache;
}

static const struct dns_cache_stats *stats_of(const struct dynamic_table *t)
{
    return &t->cluster->dynamic.stats;
}

void dynamic_hosts_init(struct dynamic_hosts *d, const struct cluster_config *config)
{
    struct slice name = config->dns_cache.name;
#define DNS_CACHE_X(field) d->stats.field = stat_counter("dns_cache." SLICE_FMT "." #field, SLICE_ARG(name));
    DNS_CACHE_COUNTERS(DNS_CACHE_X)
#undef DNS_CACHE_X
    d->stats.num_hosts = stat_gauge("dns_cache." SLICE_FMT ".num_hosts", SLICE_ARG(name));
    d->pending.max = config->dns_cache.pending_max;
    d->pending.open =
        stat_shared_gauge("dns_cache." SLICE_FMT ".circuit_breakers.rq_pending_open", SLICE_ARG(name));
    d->pending.remaining =
        stat_shared_gauge("dns_cache." SLICE_FMT ".circuit_breakers.rq_pending_remaining", SLICE_ARG(name));
    stat_set(d->pending.remaining, d->pending.max);
}

bool dynamic_hosts_wait_begin(struct cluster *c)
{
    struct dynamic_hosts *d = &c->dynamic;
    if (!breaker_can(&d->pending)) {
        stat_inc(d->stats.dns_rq_pending_overflow);
        return false;
    }
    breaker_take(&d->pending);
    return true;
}

void dynamic_hosts_wait_end(struct cluster *c)
{
    breaker_give(&c->dynamic.pending);
}

static void tell(const struct entry *e, enum dynamic_state state)
{
    struct dynamic_table *t = e->table;
    struct dynamic_news news = {.name = e->name, .state = state, .host = e->host, .error = e->error};
    if (e->host)
        cluster_host_place(t->cluster, e->host, &news.place);
    t->events.tell(t->events.arg, &news);
    address_list_unref(&news.place.any);
}

static void entry_free(struct entry *e)
{
    timer_stop(e->table->loop, &e->timer);
    dns_cancel(&e->query);
    host_unref(&e->host);
    dynamic_name_unref(&e->name);
    free(e);
}

static void remove_entry(struct entry *e)
{
    struct dynamic_table *t = e->table;
    bool shown = e->host != NULL;
    map_remove(&t->entries, dynamic_key_text(&e->name->key));
    stat_inc(stats_of(t)->host_removed);
    stat_dec(stats_of(t)->num_hosts);
    tell(e, DYNAMIC_GONE);
    entry_free(e);
    if (shown)
        cluster_health_changed(t->cluster);
}

/* Uniform in [1, bound]; xorshift, for spreading load only. */
static uint64_t jittered(struct dynamic_table *t, uint64_t bound)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random % bound + 1;
}

static uint64_t pause_after_failure(struct entry *e)
{
    const struct dns_cache_config *c = config_of(e->table);
    if (c->failure_base_ms == 0)
        return c->refresh_ms;
    uint64_t max = c->failure_max_ms ? c->failure_max_ms : c->failure_base_ms * 10;
    e->pause_ms = e->pause_ms == 0 ? c->failure_base_ms : e->pause_ms * 2;
    if (e->pause_ms > max)
        e->pause_ms = max;
    return jittered(e->table, e->pause_ms);
}

/* NULL when memory is out. */
static struct host *make_host(struct dynamic_table *t, const struct entry *e, const struct address *addresses,
                              size_t count)
{
    static const struct locality_config nowhere;
    const struct cluster_config *c = t->cluster->config;
    struct host *h =
        host_create(&addresses[0], &c->made, &nowhere, dynamic_key_text(&e->name->key), t->cluster->workers);
    if (h && (!host_has_addresses(h, addresses, count, &c->address_order) || !host_make_moving(h) ||
              !t->events.made(t->events.arg, h)))
        host_unref(&h);
    return h;
}

/* Whether its host is elsewhere than it was. */
static bool moved(const struct entry *e, const struct address *addresses, size_t count)
{
    const struct address_order *order = &e->table->cluster->config->address_order;
    struct host_place place = {.address = addresses[0]};
    if (count > 1)
        place.any = address_list_create(addresses, count, order);
    bool changed = cluster_set_host_place(e->table->cluster, e->host, &place);
    address_list_unref(&place.any);
    return changed;
}

static bool found(struct entry *e, const struct address *addresses, size_t count)
{
    struct dynamic_table *t = e->table;
    if (e->host && !moved(e, addresses, count))
        return true;
    if (!e->host)
        e->host = make_host(t, e, addresses, count);
    if (!e->host)
        return false;
    stat_inc(stats_of(t)->host_address_changed);
    cluster_health_changed(t->cluster);
    tell(e, DYNAMIC_KNOWN);
    return true;
}

/* The question is over; without addresses `error` says why. */
static void finish(struct entry *e, const struct address *addresses, size_t count, uint64_t ttl_ms)
{
    struct dynamic_table *t = e->table;
    const struct dns_cache_config *c = config_of(t);
    e->answered = true;
    if (count > 0 && found(e, addresses, count)) {
        e->pause_ms = 0;
        timer_set(t->loop, &e->timer, ttl_ms > c->refresh_min_ms ? ttl_ms : c->refresh_min_ms);
        return;
    }
    timer_set(t->loop, &e->timer, pause_after_failure(e));
    if (e->host)
        return; /* where it was, it may still be */
    tell(e, DYNAMIC_FAILED);
    if (c->forget_failures)
        remove_entry(e);
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
    struct entry *e = arg;
    bool some = !answer->failed && answer->count > 0;
    e->query = NULL;
    stat_inc(answer->failed ? stats_of(e->table)->dns_query_failure : stats_of(e->table)->dns_query_success);
    if (!some)
        snprintf(e->error, sizeof(e->error), "cares_%s:%s", answer->failed ? "failure" : "norecords",
                 answer->error);
    finish(e, answer->addresses, some ? answer->count : 0, (uint64_t)answer->ttl_seconds * 1000);
}

static void ask(struct entry *e)
{
    struct dynamic_table *t = e->table;
    const struct dynamic_key *key = &e->name->key;
    struct address ip;
    stat_inc(stats_of(t)->dns_query_attempt);
    if (dynamic_key_address(key, &ip)) { /* is its own answer */
        stat_inc(stats_of(t)->dns_query_success);
        finish(e, &ip, 1, config_of(t)->refresh_ms);
        return;
    }
    e->query = dns_resolve(t->resolver, dynamic_key_host(key), key->port,
                           cluster_dns_lookup(config_of(t)->family), on_answer, e);
    if (e->query && config_of(t)->query_timeout_ms) {
        timer_set(t->loop, &e->timer, config_of(t)->query_timeout_ms);
    } else if (!e->query) {
        stat_inc(stats_of(t)->dns_query_failure);
        snprintf(e->error, sizeof(e->error), "out_of_memory");
        finish(e, NULL, 0, 0);
    }
}

static uint64_t unused_ms(const struct entry *e)
{
    uint64_t used = atomic_load_explicit(&e->name->used_ms, memory_order_relaxed);
    /* The worker's clock may be ahead. */
    return e->table->loop->now_ms > used ? e->table->loop->now_ms - used : 0;
}

static void on_timer(struct timer *timer)
{
    struct entry *e = WEIR_CONTAINER_OF(timer, struct entry, timer);
    if (e->query) {
        dns_cancel(&e->query);
        stat_inc(stats_of(e->table)->dns_query_timeout);
        stat_inc(stats_of(e->table)->dns_query_failure);
        snprintf(e->error, sizeof(e->error), "resolve_timeout");
        finish(e, NULL, 0, 0);
    } else if (unused_ms(e) > config_of(e->table)->host_ttl_ms) {
        remove_entry(e);
    } else {
        ask(e);
    }
}

/* What was never found, and what nobody wanted of late. */
static void make_room(struct dynamic_table *t)
{
    size_t cursor = 0;
    if (t->swept_ms + DYNAMIC_ROOM_INTERVAL_MS > t->loop->now_ms)
        return;
    t->swept_ms = t->loop->now_ms;
    for (struct map_entry *m; (m = map_next(&t->entries, &cursor)) != NULL;) {
        struct entry *e = m->value;
        if (e->answered && unused_ms(e) >= (e->host ? DYNAMIC_IDLE_MS : DYNAMIC_ROOM_INTERVAL_MS))
            remove_entry(e);
    }
}

static bool add(struct dynamic_table *t, struct dynamic_name *name)
{
    struct entry *e;
    if (t->entries.count >= config_of(t)->hosts_max)
        make_room(t);
    if (t->entries.count >= config_of(t)->hosts_max || !(e = calloc(1, sizeof(*e))))
        return false;
    if (!map_put(&t->entries, dynamic_key_text(&name->key), e)) {
        free(e);
        return false;
    }
    e->table = t;
    e->name = dynamic_name_ref(name);
    timer_init(&e->timer, on_timer);
    stat_inc(stats_of(t)->host_added);
    stat_inc(stats_of(t)->num_hosts);
    ask(e);
    return true;
}

void dynamic_hosts_ask(struct cluster *c, struct dynamic_name *name)
{
    struct dynamic_table *t = c->dynamic.table;
    const struct entry *e = map_get(&t->entries, dynamic_key_text(&name->key));
    if (e && e->answered) {
        tell(e, e->host ? DYNAMIC_KNOWN : DYNAMIC_FAILED);
    } else if (!e && !add(t, name)) {
        const struct dynamic_news news = {.name = name, .state = DYNAMIC_FULL, .error = ""};
        t->events.tell(t->events.arg, &news);
    }
}

bool dynamic_hosts_start(struct cluster *c, struct loop *loop, const struct dynamic_events *events)
{
    const struct dns_cache_config *config = &c->config->dns_cache;
    struct dynamic_table *t = calloc(1, sizeof(*t));
    if (t)
        t->resolver = dns_resolver_create(loop, &c->config->dns);
    if (!t || !t->resolver) {
        free(t);
        return false;
    }
    t->cluster = c;
    t->loop = loop;
    t->events = *events;
    t->random = (c->config->name_hash ^ monotonic_ns()) | 1;
    c->dynamic.table = t;
    for (uint32_t i = 0; i < config->first_count; i++) {
        struct dynamic_name *n = dynamic_name_create(&config->first[i], loop->now_ms);
        if (n)
            dynamic_hosts_ask(c, n);
        dynamic_name_unref(&n);
    }
    return true;
}

void dynamic_hosts_stop(struct cluster *c)
{
    struct dynamic_table *t = c->dynamic.table;
    size_t cursor = 0;
    if (!t)
        return;
    c->dynamic.table = NULL;
    for (struct map_entry *m; (m = map_next(&t->entries, &cursor)) != NULL;) {
        stat_dec(c->dynamic.stats.num_hosts);
        entry_free(m->value);
    }
    map_fini(&t->entries);
    dns_resolver_destroy(&t->resolver);
    free(t);
}

struct host **dynamic_hosts_all(struct cluster *c, uint32_t *count)
{
    struct dynamic_table *t = c->dynamic.table;
    size_t cursor = 0;
    *count = 0;
    struct host **hosts = calloc(t->entries.count + 1, sizeof(struct host *));
    for (struct map_entry *m; hosts && (m = map_next(&t->entries, &cursor)) != NULL;) {
        struct entry *e = m->value;
        if (e->host)
            hosts[(*count)++] = host_ref(e->host);
    }
    return hosts;
}
