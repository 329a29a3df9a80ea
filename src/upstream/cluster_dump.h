/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One cluster and its hosts for the admin page, as text fields and as JSON.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_DUMP_H
#define WEIR_UPSTREAM_CLUSTER_DUMP_H

#include "upstream/cluster.h"
#include "upstream/cluster_manager.h"

/* [any thread] */
void cluster_dump(struct cluster *c, cluster_field_fn fn, void *arg);
/* cluster_json.c: the cluster as one ClusterStatus message of Envoy's admin API, indented by two. [any
 * thread] */
void cluster_json(struct cluster *c, struct strbuf *out);

#endif
