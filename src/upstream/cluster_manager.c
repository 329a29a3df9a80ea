/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's clusters. The main thread changes them; workers learn of each change by a post that carries
 * references to immutable objects, in order. Never touches what belongs to a worker.
 */
#include "upstream/cluster_manager.h"

#include "base/assert.h"
#include "base/map.h"
#include "net/address_list.h"
#include "net/loop.h"
#include "net/worker.h"
#include "upstream/cluster.h"
#include "upstream/cluster_dns.h"
#include "upstream/cluster_dump.h"
#include "upstream/cluster_health.h"
#include "upstream/original_dst.h"
#include "upstream/worker_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* One cluster as the main thread keeps it. */
struct managed {
    struct cluster_manager *manager;
    struct cluster *cluster;
    struct cluster_dns *dns;       /* NULL: nothing to resolve */
    struct cluster_health *health; /* NULL: nobody watches */
    struct timer merge;            /* changes of health wait for more of them */
    uint64_t renewed_ms;           /* when workers last heard of such; 0: never */
    bool warm;
};

struct cluster_manager {
    struct loop *main;
    uint32_t concurrency;
    uint32_t workers_count;
    struct worker **workers;
    pthread_mutex_t lock; /* for the map, which other threads read */
    struct map clusters;  /* name -> struct managed */
    uint32_t cold;        /* clusters that wait for their first resolution */
    struct turn_task warm_task;
    void (*warm_fn)(void *arg);
    void *warm_arg;
    stat_id added, modified, removed, active, warming;
};

/* What a worker is told. */
struct update {
    enum { UPDATE_PUT, UPDATE_REMOVE, UPDATE_HOSTS, UPDATE_ADDRESS, UPDATE_HOST_FAILED, UPDATE_NAME } kind;
    struct worker *worker;
    struct cluster *cluster;
    struct host_set *hosts;
    struct host_place place; /* UPDATE_ADDRESS, UPDATE_NAME */
    struct host *host;       /* UPDATE_HOST_FAILED, UPDATE_NAME */
    /* UPDATE_NAME */
    struct dynamic_name *name;
    enum dynamic_state state;
    char error[DYNAMIC_ERROR_BYTES];
};

static void update_drop(void *arg)
{
    struct update *u = arg;
    cluster_unref(&u->cluster);
    host_set_unref(&u->hosts);
    host_unref(&u->host);
    address_list_unref(&u->place.any);
    dynamic_name_unref(&u->name);
    free(u);
}

static void hear_name(const struct update *u)
{
    const struct dynamic_news news = {u->name, u->state, u->host, u->place, u->error};
    worker_clusters_hear(u->worker, u->cluster, &news);
}

static void update_run(void *arg)
{
    struct update *u = arg;
    if (u->worker->slots[WORKER_SLOT_CLUSTERS]) {
        if (u->kind == UPDATE_PUT)
            worker_clusters_put(u->worker, u->cluster, u->hosts);
        else if (u->kind == UPDATE_REMOVE)
            worker_clusters_remove(u->worker, u->cluster->config->name);
        else if (u->kind == UPDATE_HOST_FAILED)
            worker_clusters_host_failed(u->worker, u->cluster, u->host);
        else if (u->kind == UPDATE_ADDRESS)
            worker_clusters_move(u->worker, u->hosts, &u->place);
        else if (u->kind == UPDATE_NAME)
            hear_name(u);
        else
            worker_clusters_update(u->worker, u->cluster, u->hosts);
    }
    update_drop(u);
}

/* The pointers of `what` are borrowed; most of them are NULL. */
static void tell_workers_all(struct cluster_manager *cm, const struct update *what)
{
    for (uint32_t i = 0; i < cm->workers_count; i++) {
        struct update *u = malloc(sizeof(*u));
        if (!u)
            continue;
        *u = *what;
        u->worker = cm->workers[i];
        u->cluster = cluster_ref(what->cluster);
        u->hosts = what->hosts ? host_set_ref(what->hosts) : NULL;
        u->host = what->host ? host_ref(what->host) : NULL;
        u->place.any = NULL;
        host_place_put(&u->place, &what->place);
        u->name = what->name ? dynamic_name_ref(what->name) : NULL;
        if (!loop_post_owned(&u->worker->loop, update_run, update_drop, u))
            update_drop(u);
    }
}

/* `place` is NULL but for UPDATE_ADDRESS, `host` but for UPDATE_HOST_FAILED. */
static void tell_workers_with(struct cluster_manager *cm, int kind, struct cluster *cluster,
                              struct host_set *hosts, const struct host_place *place, struct host *host)
{
    struct update u = {.kind = kind, .cluster = cluster, .hosts = hosts, .host = host};
    if (place)
        u.place = *place; /* borrowed, as all of it */
    tell_workers_all(cm, &u);
}

static void tell_workers(struct cluster_manager *cm, int kind, struct cluster *cluster,
                         struct host_set *hosts)
{
    tell_workers_with(cm, kind, cluster, hosts, NULL, NULL);
}

static void warm_run(struct turn_task *task)
{
    struct cluster_manager *cm = WEIR_CONTAINER_OF(task, struct cluster_manager, warm_task);
    void (*fn)(void *arg) = cm->warm_fn;
    cm->warm_fn = NULL;
    if (fn)
        fn(cm->warm_arg);
}

/* The cluster has had its first resolution, or needs none. */
static void set_warm(struct managed *m)
{
    struct cluster_manager *cm = m->manager;
    if (m->warm)
        return;
    m->warm = true;
    WEIR_ASSERT(cm->cold > 0);
    cm->cold--;
    stat_set(cm->warming, cm->cold);
    if (cm->cold == 0 && cm->warm_fn)
        loop_at_turn_end(cm->main, &cm->warm_task);
}

struct cluster_manager *cluster_manager_create(struct loop *main, uint32_t concurrency)
{
    WEIR_ASSERT(concurrency > 0);
    struct cluster_manager *cm = calloc(1, sizeof(*cm));
    if (cm)
        cm->workers = calloc(concurrency, sizeof(*cm->workers));
    if (!cm || !cm->workers) {
        free(cm);
        return NULL;
    }
    cm->main = main;
    cm->concurrency = concurrency;
    pthread_mutex_init(&cm->lock, NULL);
    turn_task_init(&cm->warm_task, warm_run);
    cm->added = stat_counter("cluster_manager.cluster_added");
    cm->modified = stat_counter("cluster_manager.cluster_modified");
    cm->removed = stat_counter("cluster_manager.cluster_removed");
    cm->active = stat_shared_gauge("cluster_manager.active_clusters");
    cm->warming = stat_shared_gauge("cluster_manager.warming_clusters");
    return cm;
}

static void managed_destroy(struct managed *m)
{
    if (!m->warm)
        set_warm(m);
    cluster_dns_destroy(&m->dns);
    dynamic_hosts_stop(m->cluster);
    if (m->cluster->original)
        original_dst_watch(m->cluster->original, NULL);
    cluster_health_destroy(&m->health);
    timer_stop(m->manager->main, &m->merge);
    m->cluster->managed = NULL;
    cluster_unref(&m->cluster);
    free(m);
}

void cluster_manager_destroy(struct cluster_manager **manager)
{
    struct cluster_manager *cm = *manager;
    size_t cursor = 0;
    *manager = NULL;
    if (!cm)
        return;
    WEIR_ASSERT(cm->workers_count == 0);
    cm->warm_fn = NULL;
    for (struct map_entry *e; (e = map_next(&cm->clusters, &cursor)) != NULL;)
        managed_destroy(e->value);
    map_fini(&cm->clusters);
    list_remove(&cm->warm_task.node);
    pthread_mutex_destroy(&cm->lock);
    free(cm->workers);
    free(cm);
}

/* Takes over the references; the array stays the caller's. */
static void replace_hosts(struct managed *m, struct host **hosts, uint32_t count)
{
    struct host_set *set = cluster_replace_hosts(m->cluster, hosts, count);
    if (!set) {
        stat_inc(m->cluster->stats.update_no_rebuild);
        return;
    }
    tell_workers(m->manager, UPDATE_HOSTS, m->cluster, set);
    host_set_unref(&set);
}

/* New hosts from a resolver, or the configured ones. Takes over the references. */
static void set_hosts(struct managed *m, struct host **hosts, uint32_t count)
{
    struct host **all = m->health ? cluster_health_prepare(m->health, hosts, &count) : hosts;
    if (all)
        replace_hosts(m, all, count);
    if (m->health)
        cluster_health_update(m->health);
    if (all != hosts)
        free(all);
}

/* --- changes of health --- */

/* Hosts that stayed because they were healthy, and fail now. */
static void drop_leavers(struct managed *m)
{
    uint32_t count;
    struct host **stayers = m->health ? cluster_health_stayers(m->health, &count) : NULL;
    if (!stayers)
        return;
    replace_hosts(m, stayers, count);
    cluster_health_update(m->health);
    free(stayers);
}

static void renew_hosts(struct timer *timer)
{
    struct managed *m = WEIR_CONTAINER_OF(timer, struct managed, merge);
    if (m->cluster->original || m->cluster->dynamic.table) {
        cluster_show_made(m->cluster);
        if (m->health)
            cluster_health_update(m->health);
        m->renewed_ms = m->manager->main->now_ms;
        return;
    }
    drop_leavers(m);
    struct host_set *set = cluster_renew_hosts(m->cluster);
    m->renewed_ms = m->manager->main->now_ms;
    if (set)
        tell_workers(m->manager, UPDATE_HOSTS, m->cluster, set);
    host_set_unref(&set);
}

static void health_changed_drop(void *arg)
{
    struct cluster *c = arg;
    cluster_unref(&c);
}

/* As Envoy: the first change goes out at once, those that follow within the window together at its end. */
static void health_changed_on_main(void *arg)
{
    struct cluster *c = arg;
    struct managed *m = c->managed;
    if (m) {
        uint64_t window = c->config->update_merge_window_ms, now = m->manager->main->now_ms;
        if (!m->warm || m->renewed_ms == 0 || now - m->renewed_ms >= window)
            renew_hosts(&m->merge);
        else if (!timer_active(&m->merge))
            timer_set(m->manager->main, &m->merge, window - (now - m->renewed_ms));
    }
    health_changed_drop(c);
}

static void health_changed(struct cluster *c)
{
    if (!loop_post_owned(c->main, health_changed_on_main, health_changed_drop, cluster_ref(c)))
        health_changed_drop(c);
}

/* A logical cluster keeps its host, with connections to where it was; new ones go to the new address. */
static void set_logical_host(struct managed *m, struct host *h)
{
    struct host_set *now = cluster_hosts(m->cluster);
    if (now->count == 0) {
        if (host_make_moving(h))
            set_hosts(m, &h, 1);
        else
            host_unref(&h);
    } else {
        const struct host_place place = {h->address, h->any};
        if (cluster_move_host(m->cluster, &place))
            tell_workers_with(m->manager, UPDATE_ADDRESS, m->cluster, now, &place, NULL);
        else
            stat_inc(m->cluster->stats.update_no_rebuild);
        host_unref(&h);
    }
    host_set_unref(&now);
}

/* --- the first hosts --- */

/* All is known of the hosts that is waited for. */
static void on_checked(void *arg)
{
    struct managed *m = arg;
    /* Workers begin with what is known of all hosts, not with what the first result changed. */
    renew_hosts(&m->merge);
    set_warm(m);
}

static void on_host_failed(void *arg, struct host *h)
{
    struct managed *m = arg;
    tell_workers_with(m->manager, UPDATE_HOST_FAILED, m->cluster, NULL, NULL, h);
}

/* The hosts are known; now they are checked. */
static void hosts_known(struct managed *m)
{
    if (m->health && !m->cluster->config->no_warm_wait)
        cluster_health_wait(m->health);
    else
        set_warm(m);
}

static void resolved(void *arg, struct host **hosts, uint32_t count, bool warm)
{
    struct managed *m = arg;
    if (hosts && m->cluster->config->type != CLUSTER_LOGICAL_DNS)
        set_hosts(m, hosts, count);
    else if (hosts && count > 0)
        set_logical_host(m, hosts[0]);
    if (warm)
        hosts_known(m);
}

/* --- names of requests --- */

static void tell_name(void *arg, const struct dynamic_news *news)
{
    struct managed *m = arg;
    struct update u = {.kind = UPDATE_NAME,
                       .cluster = m->cluster,
                       .host = news->host,
                       .place = news->place,
                       .name = news->name,
                       .state = news->state};
    snprintf(u.error, sizeof(u.error), "%s", news->error);
    tell_workers_all(m->manager, &u);
}

static bool host_made(void *arg, struct host *h)
{
    struct managed *m = arg;
    return !m->health || cluster_health_watch_made(m->health, h);
}

/* Clusters whose hosts are not known before requests come. */
static int start_provided(struct managed *m)
{
    const struct dynamic_events events = {tell_name, host_made, m};
    set_warm(m);
    if (m->cluster->original)
        original_dst_watch(m->cluster->original, m->health);
    if (m->cluster->config->type != CLUSTER_DYNAMIC)
        return 0;
    return dynamic_hosts_start(m->cluster, m->manager->main, &events) ? 0 : -ENOMEM;
}

static int managed_start(struct managed *m)
{
    const struct cluster_config *config = m->cluster->config;
    if (cluster_health_wanted(config)) {
        const struct cluster_health_events events = {on_checked, on_host_failed, m};
        m->health = cluster_health_create(m->cluster, &events);
        if (!m->health)
            return -ENOMEM;
    }
    if (cluster_type_provides(config->type))
        return start_provided(m);
    if (config->type != CLUSTER_STATIC) {
        m->dns = cluster_dns_create(m->manager->main, m->cluster, resolved, m);
        if (config->no_warm_wait)
            set_warm(m);
        return m->dns ? 0 : -ENOMEM;
    }
    uint32_t count;
    struct host **hosts = cluster_static_hosts(m->cluster, &count);
    if (!hosts)
        return -ENOMEM;
    if (count > 0)
        set_hosts(m, hosts, count);
    free(hosts);
    hosts_known(m);
    return 0;
}

int cluster_manager_put(struct cluster_manager *cm, const struct cluster_config *config)
{
    struct managed *m = calloc(1, sizeof(*m));
    if (m)
        m->cluster = cluster_create(config, cm->concurrency);
    if (!m || !m->cluster) {
        free(m);
        return -ENOMEM;
    }
    m->manager = cm;
    m->cluster->managed = m;
    m->cluster->main = cm->main;
    m->cluster->health_changed = health_changed;
    timer_init(&m->merge, renew_hosts);
    cm->cold++;
    stat_set(cm->warming, cm->cold);
    pthread_mutex_lock(&cm->lock);
    struct managed *old = map_get(&cm->clusters, config->name);
    bool stored = map_put(&cm->clusters, config->name, m);
    stat_set(cm->active, cm->clusters.count);
    pthread_mutex_unlock(&cm->lock);
    if (!stored) {
        managed_destroy(m);
        return -ENOMEM;
    }
    stat_inc(old ? cm->modified : cm->added);
    if (old)
        managed_destroy(old);
    struct host_set *none = cluster_hosts(m->cluster);
    tell_workers(cm, UPDATE_PUT, m->cluster, none);
    host_set_unref(&none);
    return managed_start(m);
}

bool cluster_manager_remove(struct cluster_manager *cm, struct slice name)
{
    pthread_mutex_lock(&cm->lock);
    struct managed *m = map_remove(&cm->clusters, name);
    stat_set(cm->active, cm->clusters.count);
    pthread_mutex_unlock(&cm->lock);
    if (!m)
        return false;
    stat_inc(cm->removed);
    tell_workers(cm, UPDATE_REMOVE, m->cluster, NULL);
    managed_destroy(m);
    return true;
}

bool cluster_manager_has(struct cluster_manager *cm, struct slice name)
{
    pthread_mutex_lock(&cm->lock);
    bool found = map_has(&cm->clusters, name);
    pthread_mutex_unlock(&cm->lock);
    return found;
}

bool cluster_manager_warm(const struct cluster_manager *cm)
{
    return cm->cold == 0;
}

void cluster_manager_on_warm(struct cluster_manager *cm, void (*fn)(void *arg), void *arg)
{
    WEIR_ASSERT(!cm->warm_fn);
    cm->warm_fn = fn;
    cm->warm_arg = arg;
    if (cm->cold == 0)
        loop_at_turn_end(cm->main, &cm->warm_task);
}

int cluster_manager_worker_init(struct cluster_manager *cm, struct worker *w)
{
    WEIR_ASSERT(cm->workers_count < cm->concurrency && w->index < cm->concurrency);
    int rc = worker_clusters_init(w);
    if (rc < 0)
        return rc;
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&cm->clusters, &cursor)) != NULL;) {
        struct managed *m = e->value;
        struct host_set *hosts = cluster_hosts(m->cluster);
        bool ok = worker_clusters_put(w, m->cluster, hosts);
        if (ok && hosts->count == 1 && hosts->hosts[0]->moving) {
            struct host_place now;
            cluster_host_place(m->cluster, hosts->hosts[0], &now);
            worker_clusters_move(w, hosts, &now);
            address_list_unref(&now.any);
        }
        host_set_unref(&hosts);
        if (!ok) {
            worker_clusters_fini(w);
            return -ENOMEM;
        }
    }
    cm->workers[cm->workers_count++] = w;
    return 0;
}

void cluster_manager_worker_drain(struct cluster_manager *cm, struct worker *w)
{
    (void)cm;
    worker_clusters_drain(w);
}

void cluster_manager_worker_fini(struct cluster_manager *cm, struct worker *w)
{
    worker_clusters_fini(w);
    for (uint32_t i = 0; i < cm->workers_count; i++) {
        if (cm->workers[i] == w) {
            cm->workers[i] = cm->workers[--cm->workers_count];
            return;
        }
    }
}

void cluster_manager_json(struct cluster_manager *cm, struct strbuf *out)
{
    size_t cursor = 0;
    const char *before = "";
    strbuf_append_str(out, "{\n \"cluster_statuses\": [");
    pthread_mutex_lock(&cm->lock);
    for (struct map_entry *e; (e = map_next(&cm->clusters, &cursor)) != NULL; before = ",") {
        strbuf_append_str(out, before);
        cluster_json(((struct managed *)e->value)->cluster, out);
    }
    pthread_mutex_unlock(&cm->lock);
    strbuf_append_str(out, "\n ]\n}\n");
}

void cluster_manager_dump(struct cluster_manager *cm, cluster_field_fn fn, void *arg)
{
    size_t cursor = 0;
    pthread_mutex_lock(&cm->lock);
    for (struct map_entry *e; (e = map_next(&cm->clusters, &cursor)) != NULL;)
        cluster_dump(((struct managed *)e->value)->cluster, fn, arg);
    pthread_mutex_unlock(&cm->lock);
}
