/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolving a cluster's names: every one on its own, again and again. STRICT_DNS: the hosts of all of them
 * together are the cluster's; LOGICAL_DNS: there is one name, and its first address is the cluster's host. On
 * the main thread.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_DNS_H
#define WEIR_UPSTREAM_CLUSTER_DNS_H

#include "upstream/cluster.h"

struct cluster_dns;
struct loop;

/* How the resolver is asked for addresses of the family. */
enum dns_lookup cluster_dns_lookup(enum dns_family family);

/* Called when the hosts may have changed. The callee takes over the references in `hosts`, not the array;
 * NULL: nothing is known, keep what is there. `warm`: every name has had its first answer or failure. */
typedef void (*cluster_dns_fn)(void *arg, struct host **hosts, uint32_t count, bool warm);

/* Begins to resolve; `fn` comes later, never inline. NULL when memory is out. */
struct cluster_dns *cluster_dns_create(struct loop *loop, struct cluster *cluster, cluster_dns_fn fn,
                                       void *arg);
/* Nothing is called any more. NULL content is fine. */
void cluster_dns_destroy(struct cluster_dns **dns);

#endif
