/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round robin, weighted when weights differ. Every worker starts at a random place, so that they do not all
 * send their first request to the same host.
 */
#include "upstream/lb.h"

static double weight_of(const void *arg, uint32_t index)
{
    const struct host_set *hosts = arg;
    return hosts->usable[index]->weight;
}

static bool rebuild(struct lb *lb)
{
    uint32_t count = lb->hosts->usable_count;
    if (count == 0)
        return true;
    uint64_t start = lb->random(lb->random_arg, count);
    lb->next = (uint32_t)start;
    if (!lb->hosts->weighted)
        return true;
    if (!lb_edf_rebuild(&lb->edf, count, weight_of, lb->hosts))
        return false;
    for (uint64_t i = 0; i < start; i++)
        lb_edf_pick(&lb->edf, weight_of, lb->hosts);
    return true;
}

static uint32_t pick(struct lb *lb)
{
    if (lb->hosts->weighted)
        return lb_edf_pick(&lb->edf, weight_of, lb->hosts);
    uint32_t index = lb->next;
    lb->next = index + 1 < lb->hosts->usable_count ? index + 1 : 0;
    return index;
}

const struct lb_ops lb_round_robin = {"ROUND_ROBIN", rebuild, pick};
