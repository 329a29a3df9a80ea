/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's hosts of an ORIGINAL_DST cluster: finds the one that a request wants to go to, and forgets
 * those that have no connections. Belongs to the worker's thread; what is shared is original_dst.h's.
 */
#ifndef WEIR_UPSTREAM_WORKER_ORIGINAL_H
#define WEIR_UPSTREAM_WORKER_ORIGINAL_H

struct cluster;
struct host;
struct lb_request;
struct worker;
struct worker_original;

/* `forget` is called with each host that goes, from the loop, never from inside a pick. NULL: memory is out.
 */
struct worker_original *worker_original_create(struct worker *w, struct cluster *cluster,
                                               void (*forget)(void *arg, struct host *h), void *arg);
/* Gives all hosts back, without `forget`. NULL is fine. */
void worker_original_clear(struct worker_original *o);
void worker_original_destroy(struct worker_original **o);

/* The host that the request wants to go to: the one that its header names, if the cluster asks for one and it
 * holds an address, or else where its connection wanted to go. NULL: nowhere, or there is no room for another
 * host. Borrowed until the turn ends. */
struct host *worker_original_pick(struct worker_original *o, const struct lb_request *request);

#endif
