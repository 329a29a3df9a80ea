/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least request: of a few hosts drawn at random (two by default) the one with the fewest requests in flight,
 * over all workers. With different weights, a weighted schedule whose weights shrink with the requests in
 * flight, as Envoy does.
 */
#include "upstream/lb.h"

static uint32_t active_of(const struct host_set *hosts, uint32_t index)
{
    return atomic_load_explicit(&hosts->usable[index]->active, memory_order_relaxed);
}

static double weight_of(const void *arg, uint32_t index)
{
    const struct host_set *hosts = arg;
    return (double)hosts->usable[index]->weight / ((double)active_of(hosts, index) + 1.0);
}

static bool rebuild(struct lb *lb)
{
    uint32_t count = lb->hosts->usable_count;
    if (count == 0 || !lb->hosts->weighted)
        return true;
    return lb_edf_rebuild(&lb->edf, count, weight_of, lb->hosts);
}

static uint32_t pick(struct lb *lb)
{
    uint32_t count = lb->hosts->usable_count;
    if (lb->hosts->weighted)
        return lb_edf_pick(&lb->edf, weight_of, lb->hosts);
    uint32_t best = (uint32_t)lb->random(lb->random_arg, count);
    for (uint32_t i = 1; i < lb->choices && count > 1; i++) {
        uint32_t other = (uint32_t)lb->random(lb->random_arg, count);
        if (active_of(lb->hosts, other) < active_of(lb->hosts, best))
            best = other;
    }
    return best;
}

const struct lb_ops lb_least_request = {"LEAST_REQUEST", rebuild, pick};
