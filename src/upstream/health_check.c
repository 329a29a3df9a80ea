/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of a checker: timers, results, flags, statistics and events. How a host is asked is
 * health_http.c's and health_tcp.c's business; what a result means is health_state.c's.
 */
#include "upstream/health_check.h"

#include "net/loop.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"
#include "upstream/health_event.h"
#include "upstream/health_host.h"
#include "upstream/health_probe.h"
#include "upstream/host_connect.h"
#include "upstream/upstream_proxy.h"

#include <stdlib.h>

/* "cluster.<name>.health_check.<name>" */
#define HEALTH_STATS(X)                                                                                      \
    X(attempt, counter)                                                                                      \
    X(success, counter)                                                                                      \
    X(failure, counter)                                                                                      \
    X(passive_failure, counter)                                                                              \
    X(network_failure, counter)                                                                              \
    X(verify_cluster, counter)                                                                               \
    X(healthy, gauge)                                                                                        \
    X(degraded, gauge)

struct health_checker {
    struct health_settings settings;
    const struct health_config *config;
    struct health_link *link; /* owned reference */
    struct list sessions;     /* struct health_session */
    uint32_t unchecked;       /* sessions without a result */
    bool waited_for;
    bool warmed;
    struct turn_task warm_task;
#define HEALTH_STAT_X(name, kind) stat_id name;
    HEALTH_STATS(HEALTH_STAT_X)
#undef HEALTH_STAT_X
};

const struct cluster_config *health_session_cluster(const struct health_session *s)
{
    return s->checker->settings.config;
}

const struct cluster_stats *health_session_stats(const struct health_session *s)
{
    return s->checker->settings.stats;
}

const struct health_config *health_session_config(const struct health_session *s)
{
    return s->checker->config;
}

struct loop *health_session_loop(const struct health_session *s)
{
    return s->checker->settings.loop;
}

void health_session_count_verify(struct health_session *s)
{
    stat_inc(s->checker->verify_cluster);
}

struct slice health_session_authority(const struct health_session *s)
{
    const struct health_host *hh = s->host->checks;
    if (hh && hh->hostname[0])
        return slice_str(hh->hostname);
    if (s->checker->config->authority.len)
        return s->checker->config->authority;
    return s->checker->settings.config->name;
}

/* --- warming --- */

static void on_warm(struct turn_task *task)
{
    struct health_checker *hc = WEIR_CONTAINER_OF(task, struct health_checker, warm_task);
    if (hc->settings.warm)
        hc->settings.warm(hc->settings.arg);
}

static void maybe_warm(struct health_checker *hc)
{
    if (hc->warmed || !hc->waited_for || hc->unchecked > 0)
        return;
    hc->warmed = true;
    loop_at_turn_end(hc->settings.loop, &hc->warm_task);
}

/* --- results --- */

static void show_flags(struct health_session *s, bool immediate)
{
    const struct health_state *st = &s->state;
    uint32_t set = (st->failed ? HOST_FAILED_ACTIVE_HC : 0) | (st->timeout ? HOST_ACTIVE_HC_TIMEOUT : 0) |
                   (st->degraded ? HOST_DEGRADED_ACTIVE_HC : 0) | (st->pending ? HOST_PENDING_ACTIVE_HC : 0);
    uint32_t all =
        HOST_FAILED_ACTIVE_HC | HOST_ACTIVE_HC_TIMEOUT | HOST_DEGRADED_ACTIVE_HC | HOST_PENDING_ACTIVE_HC;
    uint32_t clear = all & ~set;
    if (immediate)
        set |= HOST_EXCLUDED_VIA_IMMEDIATE_HC_FAIL;
    else if (!st->failed)
        clear |= HOST_EXCLUDED_VIA_IMMEDIATE_HC_FAIL;
    if (host_change_health(s->host, set, clear, health_session_loop(s)->now_ms))
        s->checker->settings.changed(s->checker->settings.arg, s->host);
}

static void tell(const struct health_session *s, enum health_event_kind kind, const struct health_result *r,
                 bool first)
{
    const struct health_config *config = s->checker->config;
    const struct health_event event = {
        .kind = kind,
        .checker = config->kind,
        .cluster = s->checker->settings.config->name,
        .host = s->host,
        .failure = r->failure,
        .status = r->status,
        .first = first,
    };
    if (config->events)
        health_event_write(config->events, &event);
}

static void count_first(struct health_checker *hc, const struct health_outcome *o)
{
    if (!o->first || hc->unchecked == 0)
        return;
    hc->unchecked--;
    maybe_warm(hc);
}

static enum health_change passed(struct health_session *s, const struct health_result *r)
{
    struct health_checker *hc = s->checker;
    struct health_outcome o = health_state_passed(&s->state, hc->config, r->degraded);
    stat_inc(hc->success);
    if (o.added) {
        stat_inc(hc->healthy);
        tell(s, HEALTH_EVENT_ADDED, r, o.first);
    } else if (hc->config->log_successes) {
        tell(s, HEALTH_EVENT_PASSED, r, o.first);
    }
    if (o.degraded) {
        stat_inc(hc->degraded);
        tell(s, HEALTH_EVENT_DEGRADED, r, o.first);
    } else if (o.degraded_over) {
        stat_dec(hc->degraded);
        tell(s, HEALTH_EVENT_NO_LONGER_DEGRADED, r, o.first);
    }
    show_flags(s, false);
    if (!s->state.failed)
        hc->settings.passed(hc->settings.arg, s->host);
    count_first(hc, &o);
    return o.change;
}

static enum health_change failed(struct health_session *s, const struct health_result *r)
{
    struct health_checker *hc = s->checker;
    struct health_outcome o = health_state_failed(&s->state, hc->config, r->failure, r->retriable);
    stat_inc(hc->failure);
    if (r->failure == HEALTH_FAILURE_PASSIVE)
        stat_inc(hc->passive_failure);
    else if (r->failure != HEALTH_FAILURE_ACTIVE)
        stat_inc(hc->network_failure);
    if (o.ejected) {
        stat_dec(hc->healthy);
        tell(s, HEALTH_EVENT_EJECTED, r, o.first);
    }
    if (o.first || hc->config->log_failures)
        tell(s, HEALTH_EVENT_FAILED, r, o.first);
    show_flags(s, r->immediate);
    count_first(hc, &o);
    return o.change;
}

static bool was_used(const struct health_checker *hc)
{
    const struct cluster_stats *stats = hc->settings.stats;
    return stat_value(stats->upstream_cx_total) || stat_value(stats->upstream_cx_tx_bytes_total) ||
           stat_value(stats->upstream_cx_rx_bytes_total);
}

void health_session_result(struct health_session *s, const struct health_result *r)
{
    struct health_checker *hc = s->checker;
    if (!s->checking)
        return;
    s->checking = false;
    timer_stop(hc->settings.loop, &s->timeout);
    enum health_change change = r->passed ? passed(s, r) : failed(s, r);
    timer_set(hc->settings.loop, &s->interval,
              health_interval_ms(hc->config, r->passed, change, was_used(hc), hc->settings.random,
                                 hc->settings.random_arg));
}

void health_session_lost(struct health_session *s)
{
    s->probe = NULL;
    health_session_result(s, &(struct health_result){.failure = HEALTH_FAILURE_NETWORK});
}

void health_checker_report(struct health_checker *hc, struct host *h)
{
    struct health_session *s = h->checks ? h->checks->session : NULL;
    if (!s || s->checker != hc)
        return;
    /* The flag that keeps it out of balancing may be the only change. */
    if (s->state.failed)
        hc->settings.changed(hc->settings.arg, h);
    failed(s, &(struct health_result){.failure = HEALTH_FAILURE_PASSIVE, .immediate = true});
}

/* --- checking --- */

bool health_probe_connect(struct health_probe *p, const struct conn_events *events, void *owner,
                          enum upstream_alpn alpn)
{
    const struct health_session *s = p->session;
    const struct cluster_config *cluster = health_session_cluster(s);
    const struct health_config *config = s->checker->config;
    const struct upstream_wants wants = {.alpn = config->alpn, .alpn_count = config->alpn_count};
    const struct host_connect wanted = {
        .loop = health_session_loop(s), .config = cluster, .host = s->host, .address = &s->address};
    p->conn = host_connect(&wanted, events, owner);
    if (!p->conn)
        return false;
    /* A failure is told by `closed`, as all others. */
    if (s->host->tls && !upstream_tls_start(p->conn, s->host, &wants, alpn, NULL, &p->tls))
        conn_close(p->conn, CONN_CLOSE_NOW, 0);
    return true;
}

void health_probe_drop(struct health_probe *p)
{
    p->session = NULL;
    conn_close(p->conn, CONN_CLOSE_NOW, 0);
}

static struct address address_of(const struct health_checker *hc, const struct host *h)
{
    const struct health_host *hh = h->checks;
    struct address a = hh && hh->address.len ? hh->address : *host_address(h, h->shards_count);
    uint16_t port = hh && hh->port ? hh->port : hc->config->alt_port;
    if (port && a.sa.sa_family != AF_UNIX)
        address_set_port(&a, port);
    return a;
}

static void check(struct health_session *s)
{
    struct health_checker *hc = s->checker;
    s->checking = true;
    stat_inc(hc->attempt);
    timer_set(hc->settings.loop, &s->timeout, hc->config->timeout_ms);
    if (s->probe) {
        s->probe->begin(s->probe);
        return;
    }
    s->address = address_of(hc, s->host);
    s->probe = hc->config->kind == HEALTH_TCP ? health_tcp_open(s) : health_http_open(s);
    if (!s->probe)
        health_session_lost(s);
}

static void on_interval(struct timer *timer)
{
    check(WEIR_CONTAINER_OF(timer, struct health_session, interval));
}

static void on_timeout(struct timer *timer)
{
    struct health_session *s = WEIR_CONTAINER_OF(timer, struct health_session, timeout);
    if (s->probe)
        health_probe_drop(s->probe);
    s->probe = NULL;
    health_session_result(s, &(struct health_result){.failure = HEALTH_FAILURE_NETWORK_TIMEOUT});
}

/* --- hosts --- */

bool health_checker_watch(struct health_checker *hc, struct host *h)
{
    if (!h->checks)
        h->checks = health_host_create(NULL);
    if (!h->checks)
        return false;
    if (h->checks->link)
        return true;
    h->checks->link = health_link_ref(hc->link);
    if (h->checks->disabled)
        return true;
    uint32_t pending = hc->settings.config->ignore_new_hosts_until_first_hc ? HOST_PENDING_ACTIVE_HC : 0;
    host_change_health(h, HOST_FAILED_ACTIVE_HC | pending, 0, 0); /* when it began does not count yet */
    return true;
}

static bool session_start(struct health_checker *hc, struct host *h)
{
    struct health_session *s = calloc(1, sizeof(*s));
    uint32_t flags = host_health_flags(h);
    if (!s)
        return false;
    s->checker = hc;
    s->host = host_ref(h);
    s->listed = true;
    s->state = (struct health_state){
        .failed = (flags & HOST_FAILED_ACTIVE_HC) != 0,
        .timeout = (flags & HOST_ACTIVE_HC_TIMEOUT) != 0,
        .degraded = (flags & HOST_DEGRADED_ACTIVE_HC) != 0,
        .pending = (flags & HOST_PENDING_ACTIVE_HC) != 0,
        .first = true,
    };
    if (!s->state.failed)
        stat_inc(hc->healthy);
    if (s->state.degraded)
        stat_inc(hc->degraded);
    timer_init(&s->interval, on_interval);
    timer_init(&s->timeout, on_timeout);
    list_push_back(&hc->sessions, &s->node);
    h->checks->session = s;
    hc->unchecked++;
    uint64_t jitter = hc->config->initial_jitter_ms;
    timer_set(hc->settings.loop, &s->interval,
              jitter ? hc->settings.random(hc->settings.random_arg, jitter) : 0);
    return true;
}

static void session_end(struct health_session *s)
{
    struct health_checker *hc = s->checker;
    if (!s->state.failed)
        stat_dec(hc->healthy);
    if (s->state.degraded)
        stat_dec(hc->degraded);
    if (s->state.first && hc->unchecked > 0)
        hc->unchecked--;
    timer_stop(hc->settings.loop, &s->interval);
    timer_stop(hc->settings.loop, &s->timeout);
    if (s->probe)
        health_probe_drop(s->probe);
    s->host->checks->session = NULL;
    list_remove(&s->node);
    host_unref(&s->host);
    free(s);
}

void health_checker_update(struct health_checker *hc, struct host *const *hosts, uint32_t count)
{
    struct list *node, *next;
    list_for_each(node, next, &hc->sessions)
    {
        list_entry(node, struct health_session, node)->listed = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct health_host *hh = hosts[i]->checks;
        if (!hh || hh->disabled)
            continue;
        if (hh->session)
            hh->session->listed = true;
        else if (!session_start(hc, hosts[i]))
            log_write(UPSTREAM, ERROR, "out of memory: a host of " SLICE_FMT " is not checked",
                      SLICE_ARG(hc->settings.config->name));
    }
    list_for_each(node, next, &hc->sessions)
    {
        struct health_session *s = list_entry(node, struct health_session, node);
        if (!s->listed)
            session_end(s);
    }
    maybe_warm(hc);
}

void health_checker_wait(struct health_checker *hc)
{
    hc->waited_for = true;
    maybe_warm(hc);
}

/* --- making and ending --- */

struct health_checker *health_checker_create(const struct health_settings *settings)
{
    struct health_checker *hc = calloc(1, sizeof(*hc));
    if (hc)
        hc->link = calloc(1, sizeof(*hc->link));
    if (!hc || !hc->link) {
        free(hc);
        return NULL;
    }
    hc->settings = *settings;
    hc->config = settings->config->health;
    WEIR_ASSERT(hc->config);
    atomic_init(&hc->link->refs, 1);
    hc->link->loop = settings->loop;
    hc->link->checker = hc;
    list_init(&hc->sessions);
    turn_task_init(&hc->warm_task, on_warm);
    struct slice name = settings->config->alt_stat_name;
#define HEALTH_STAT_X(field, kind)                                                                           \
    hc->field = stat_##kind("cluster." SLICE_FMT ".health_check." #field, SLICE_ARG(name));
    HEALTH_STATS(HEALTH_STAT_X)
#undef HEALTH_STAT_X
    return hc;
}

void health_checker_destroy(struct health_checker **checker)
{
    struct health_checker *hc = *checker;
    *checker = NULL;
    if (!hc)
        return;
    hc->warmed = true;
    list_remove(&hc->warm_task.node);
    while (!list_empty(&hc->sessions))
        session_end(list_first(&hc->sessions, struct health_session, node));
    hc->link->checker = NULL;
    health_link_unref(&hc->link);
    free(hc);
}
