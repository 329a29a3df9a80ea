/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text fields of one cluster and its hosts for the admin page.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_DUMP_H
#define WEIR_UPSTREAM_CLUSTER_DUMP_H

#include "upstream/cluster.h"
#include "upstream/cluster_manager.h"

/* [any thread] */
void cluster_dump(struct cluster *c, cluster_field_fn fn, void *arg);

#endif
