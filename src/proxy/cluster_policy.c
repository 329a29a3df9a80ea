/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a cluster's policy for one answer, and its end. Nothing here runs for clusters without one.
 */
#include "proxy/cluster_policy.h"

unsigned cluster_policy_judge(const struct cluster_policy *p, const struct header_map *headers,
                              unsigned status, bool *grpc)
{
    if (!p->errors)
        return status;
    *grpc = false;
    if (!answer_matcher_match(p->errors, headers))
        return 200;
    return status >= 500 ? status : 500;
}

void cluster_policy_fini(const struct cluster_policy *p)
{
    if (p->retry)
        retry_policy_fini(p->retry);
    hash_policies_fini(&p->hash_policies);
    if (p->errors)
        answer_matcher_fini(p->errors);
    mirror_policies_fini(&p->mirrors);
    filter_list_fini(&p->filters);
}
