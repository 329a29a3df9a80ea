/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cluster says in place of the routes that lead to it (upstreams.http.v3.HttpProtocolOptions): nothing
 * is merged, each part is the cluster's or the route's as a whole. Part of the cluster's configuration, and
 * as immutable.
 */
#ifndef WEIR_PROXY_CLUSTER_POLICY_H
#define WEIR_PROXY_CLUSTER_POLICY_H

#include "proxy/filter.h"
#include "proxy/mirror.h"
#include "proxy/routing/answer_matcher.h"
#include "proxy/routing/hash_policy.h"
#include "proxy/routing/retry_policy.h"

struct cluster_policy {
    struct retry_policy *retry;         /* NULL: the route's */
    struct hash_policies hash_policies; /* none: the route's */
    struct mirror_policies mirrors;     /* none: the route's */
    struct answer_matcher *errors;      /* what outlier detection takes for one; NULL: as the status says */
    struct filter_list filters;         /* of what is sent to it; none: the router's */
};

/* The status that outlier detection gets to know: of an answer that does not match a good one, of one that
 * does a bad one. *grpc is cleared when grpc-status does not count any more. */
unsigned cluster_policy_judge(const struct cluster_policy *p, const struct header_map *headers,
                              unsigned status, bool *grpc);
/* Frees what is not in the cluster's arena. */
void cluster_policy_fini(const struct cluster_policy *p);

#endif
