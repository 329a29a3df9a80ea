/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all balancers share: choosing the algorithm, changing the set of hosts.
 */
#include "upstream/lb.h"

#include "base/assert.h"

void lb_init(struct lb *lb, const struct cluster_config *config,
             uint64_t (*random)(void *arg, uint64_t bound), void *random_arg)
{
    static const struct lb_ops *const by_policy[] = {
        [LB_ROUND_ROBIN] = &lb_round_robin,
        [LB_LEAST_REQUEST] = &lb_least_request,
        [LB_RANDOM] = &lb_random,
    };
    WEIR_ASSERT((size_t)config->lb < WEIR_ARRAY_LEN(by_policy));
    *lb = (struct lb){
        .ops = by_policy[config->lb],
        .random = random,
        .random_arg = random_arg,
        .choices = config->least_request_choices,
    };
}

void lb_fini(struct lb *lb)
{
    lb_edf_fini(&lb->edf);
    lb->hosts = NULL;
}

bool lb_update(struct lb *lb, const struct host_set *hosts)
{
    const struct host_set *old = lb->hosts;
    lb->hosts = hosts;
    if (lb->ops->rebuild(lb))
        return true;
    lb->hosts = old;
    return false;
}
