/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All clusters of the process, by name: their configuration, their current hosts, their shared counters, and
 * DNS resolution on the main thread. Each worker has its own view (worker slot CLUSTERS) with balancers and
 * pools; changes reach workers as posted, immutable objects. Functions are for the main thread unless marked.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_MANAGER_H
#define WEIR_UPSTREAM_CLUSTER_MANAGER_H

#include "upstream/cluster_config.h"

struct cluster_manager;
struct loop;
struct worker;

/* `main` is the loop on which resolving runs; it outlives the manager. `concurrency` is the number of
 * workers. NULL when memory is out. */
struct cluster_manager *cluster_manager_create(struct loop *main, uint32_t concurrency);
/* After all workers have stopped and called cluster_manager_worker_fini. */
void cluster_manager_destroy(struct cluster_manager **cm);

/* Adds the cluster or replaces the one of that name. Takes a reference. STRICT_DNS begins to resolve. 0 or a
 * negative errno. */
int cluster_manager_put(struct cluster_manager *cm, const struct cluster_config *config);
/* Streams on it run to their end. false when there was none. */
bool cluster_manager_remove(struct cluster_manager *cm, struct slice name);
/* [any thread] */
bool cluster_manager_has(struct cluster_manager *cm, struct slice name);

/* Whether every cluster has had its first resolution (or failure): listeners wait for that. */
bool cluster_manager_warm(const struct cluster_manager *cm);
/* Called once on the main loop when warm; at once (in a later turn) if it is already. */
void cluster_manager_on_warm(struct cluster_manager *cm, void (*fn)(void *arg), void *arg);

/* Before the worker's thread starts: gives it its view. 0 or a negative errno. */
int cluster_manager_worker_init(struct cluster_manager *cm, struct worker *w);
/* On the worker's thread, after its streams are gone: closes all upstream connections. */
void cluster_manager_worker_drain(struct cluster_manager *cm, struct worker *w);
/* After the worker's loop has ended. */
void cluster_manager_worker_fini(struct cluster_manager *cm, struct worker *w);

/* For the admin page. A key is Envoy's text after the cluster's name: "default_priority::max_connections",
 * "10.0.0.1:80::cx_active". [any thread] */
typedef void (*cluster_field_fn)(void *arg, struct slice cluster, const char *key, const char *value);
void cluster_manager_dump(struct cluster_manager *cm, cluster_field_fn fn, void *arg);
/* The same as Envoy's Clusters message in JSON. [any thread] */
struct strbuf;
void cluster_manager_json(struct cluster_manager *cm, struct strbuf *out);

#endif
