/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least request: of a few hosts drawn at random (two by default), or of all, the one with the fewest requests
 * in flight, over all workers. With different weights, a weighted schedule whose weights shrink with the
 * requests in flight, as Envoy does.
 */
#include "upstream/lb.h"

#include <math.h>

static uint32_t active_of(const struct host *h)
{
    return atomic_load_explicit(&h->active, memory_order_relaxed);
}

static double weight(const struct lb *lb, const struct host *h)
{
    double bias = lb->config->active_request_bias, requests = (double)active_of(h) + 1.0;
    if (bias != 1.0)
        requests = pow(requests, bias);
    return lb_slow_start(lb, h, h->weight / requests);
}

/* Of those that are tied each is as likely: the n-th one found takes over with probability 1/n. */
static uint32_t pick_of_all(struct lb *lb, const struct host_list *list)
{
    uint32_t best = 0, least = active_of(list->hosts[0]), tied = 1;
    for (uint32_t i = 1; i < list->count; i++) {
        uint32_t active = active_of(list->hosts[i]);
        if (active > least)
            continue;
        tied = active < least ? 1 : tied + 1;
        least = active;
        if (tied == 1 || lb->random(lb->random_arg, tied) == 0)
            best = i;
    }
    return best;
}

static uint32_t pick(struct lb *lb, struct lb_group *g)
{
    const struct host_list *list = g->list;
    if (lb->config->least_request_full_scan)
        return pick_of_all(lb, list);
    uint32_t best = (uint32_t)lb->random(lb->random_arg, list->count);
    for (uint32_t i = 1; i < lb->config->least_request_choices; i++) {
        uint32_t other = (uint32_t)lb->random(lb->random_arg, list->count);
        if (active_of(list->hosts[other]) < active_of(list->hosts[best]))
            best = other;
    }
    return best;
}

const struct lb_ops lb_least_request = {"LEAST_REQUEST", weight, pick};
