/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts of an ORIGINAL_DST cluster, which are the places that requests wanted to go to: made when a
 * worker first asks for one, gone when the last worker has given it back. All workers and the main thread
 * share them. Knows nothing of who is picked or of connections, and never holds more than its cap.
 */
#ifndef WEIR_UPSTREAM_ORIGINAL_DST_H
#define WEIR_UPSTREAM_ORIGINAL_DST_H

#include "upstream/host.h"

struct cluster;
struct cluster_health;
struct original_dst;

/* NULL when memory is out. */
struct original_dst *original_dst_create(const struct cluster_config *config);
/* Nobody has a host of it any more. */
void original_dst_destroy(struct original_dst **o);

/* Who watches over hosts that are made from now on; NULL: nobody. [any thread] */
void original_dst_watch(struct original_dst *o, struct cluster_health *health);

/* The same address for the same destination, whatever lies in its unused bytes. false: it is no IP address.
 */
bool original_dst_address(const struct address *a, struct address *out);
/* "1.2.3.4:80" or "[::1]:80". */
bool original_dst_parse(struct slice text, struct address *out);
/* What maps know a destination by; `a` is from one of the above. */
static inline struct slice original_dst_key(const struct address *a)
{
    return slice_of(&a->sa, a->len);
}

/* The cluster's host at `a`, a reference. NULL: there is no room, which is counted, or memory is out. A
 * worker takes each once. [any thread] */
struct host *original_dst_take(struct cluster *c, const struct address *a);
/* Ends what original_dst_take began. [any thread] */
void original_dst_give(struct cluster *c, struct host **h);
/* All hosts, with references; NULL when memory is out. The caller frees the array. [any thread] */
struct host **original_dst_hosts(struct original_dst *o, uint32_t *count);

#endif
