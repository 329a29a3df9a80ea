/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text fields of one cluster and its hosts for the admin page.
 */
#ifndef WEIR_PROXY_CLUSTER_DUMP_H
#define WEIR_PROXY_CLUSTER_DUMP_H

#include "proxy/cluster.h"
#include "proxy/cluster_manager.h"

/* [any thread] */
void cluster_dump(struct cluster *c, cluster_field_fn fn, void *arg);

#endif
