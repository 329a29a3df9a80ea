/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts of a dynamic forward proxy cluster: names that requests brought, where DNS says they are, and for
 * how long they stay. Kept by the main thread, which resolves; workers ask for names and are told what became
 * of them. However many names strangers think of, there are no more hosts than the configuration allows.
 */
#ifndef WEIR_UPSTREAM_DYNAMIC_HOSTS_H
#define WEIR_UPSTREAM_DYNAMIC_HOSTS_H

#include "telemetry/stats.h"
#include "upstream/breaker.h"
#include "upstream/dynamic_name.h"
#include "upstream/host.h"

struct cluster;
struct loop;

/* "dns_cache.<name>." Envoy's names. */
#define DNS_CACHE_COUNTERS(X)                                                                                \
    X(cache_load)                                                                                            \
    X(dns_address_filter_out)                                                                                \
    X(dns_query_attempt)                                                                                     \
    X(dns_query_failure)                                                                                     \
    X(dns_query_success)                                                                                     \
    X(dns_query_timeout)                                                                                     \
    X(dns_rq_pending_overflow)                                                                               \
    X(host_added)                                                                                            \
    X(host_address_changed)                                                                                  \
    X(host_overflow)                                                                                         \
    X(host_removed)

struct dns_cache_stats {
#define DNS_CACHE_X(name) stat_id name;
    DNS_CACHE_COUNTERS(DNS_CACHE_X)
#undef DNS_CACHE_X
    stat_id num_hosts;
};

enum dynamic_state {
    DYNAMIC_WAITING, /* nothing is known yet */
    DYNAMIC_KNOWN,
    DYNAMIC_FAILED,
    DYNAMIC_FULL, /* there is no room for it */
    DYNAMIC_GONE, /* of one that was there */
};

#define DYNAMIC_ERROR_BYTES 96

/* What all workers hear of a name. */
struct dynamic_news {
    struct dynamic_name *name;
    enum dynamic_state state;
    struct host *host;       /* KNOWN */
    struct host_place place; /* KNOWN: where the host is now; borrowed */
    const char *error;       /* FAILED */
};

/* What is told to whoever keeps the cluster; main thread. */
struct dynamic_events {
    void (*tell)(void *arg, const struct dynamic_news *news);
    /* A host is there that nobody knows yet. false: it cannot be used. */
    bool (*made)(void *arg, struct host *h);
    void *arg;
};

struct dynamic_hosts {
    struct dns_cache_stats stats;
    struct breaker pending;      /* requests that wait, and names that nobody knows; of all workers */
    struct dynamic_table *table; /* main thread; NULL: it does not run */
};

/* Of no use before dynamic_hosts_start. */
void dynamic_hosts_init(struct dynamic_hosts *d, const struct cluster_config *config);
/* Begins with the names of the configuration. false when memory is out. `c` outlives it. */
bool dynamic_hosts_start(struct cluster *c, struct loop *loop, const struct dynamic_events *events);
void dynamic_hosts_stop(struct cluster *c);
/* Some worker wants to know: it will be told. Only while it runs. */
void dynamic_hosts_ask(struct cluster *c, struct dynamic_name *name);
/* All hosts, with references; NULL when memory is out. The caller frees the array. */
struct host **dynamic_hosts_all(struct cluster *c, uint32_t *count);

/* Takes one of max_pending_requests; false, and counted: there is none left. [any thread] */
bool dynamic_hosts_wait_begin(struct cluster *c);
void dynamic_hosts_wait_end(struct cluster *c);

#endif
