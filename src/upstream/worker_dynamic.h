/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's view of the hosts of a dynamic forward proxy cluster: what the main thread has told of names,
 * and who waits for that. Belongs to the worker's thread; asks the main thread, never a resolver.
 */
#ifndef WEIR_UPSTREAM_WORKER_DYNAMIC_H
#define WEIR_UPSTREAM_WORKER_DYNAMIC_H

#include "base/list.h"
#include "upstream/dynamic_hosts.h"

struct lb_request;
struct worker;
struct worker_dynamic;

/* One who waits; embedded in it. */
struct dynamic_wait {
    struct list node; /* empty: it does not wait */
    struct worker_dynamic *in;
    bool counted; /* one of max_pending_requests is its own; the first one has the name's */
    /* From the loop. `error`: of FAILED, until the turn ends. */
    void (*done)(struct dynamic_wait *w, enum dynamic_state state, const char *error);
};

/* `forget` is called with each host that goes, from the loop, never from inside a pick. NULL: memory is out.
 */
struct worker_dynamic *worker_dynamic_create(struct worker *w, struct cluster *cluster,
                                             void (*forget)(void *arg, struct host *h), void *arg);
/* Forgets everything; those who wait are told that it failed. NULL is fine. */
void worker_dynamic_clear(struct worker_dynamic *d);
void worker_dynamic_destroy(struct worker_dynamic **d);

/* What is known of the place that the authority (or server name) says, in `error` why it failed. WAITING: the
 * answer comes to `wait`, or there was no room to wait (`wait` is in no list then, and that was counted). The
 * port of names without one is the cluster's. */
enum dynamic_state worker_dynamic_find(struct worker_dynamic *d, struct slice authority,
                                       struct dynamic_wait *wait, const char **error);
/* Waits no more. Not waiting is fine. */
void dynamic_wait_cancel(struct dynamic_wait *wait);
/* What the main thread tells. */
void worker_dynamic_hear(struct worker_dynamic *d, const struct dynamic_news *news);

/* NULL: the request names no host that is known and healthy. Borrowed until the turn ends. */
struct host *worker_dynamic_pick(struct worker_dynamic *d, const struct lb_request *request);

#endif
