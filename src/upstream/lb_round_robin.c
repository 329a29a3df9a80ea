/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round robin, weighted when weights differ. The turn goes on across updates of the hosts.
 */
#include "upstream/lb.h"

static double weight(const struct lb *lb, const struct host *h)
{
    return lb_slow_start(lb, h, h->weight);
}

static uint32_t pick(struct lb *lb, struct lb_group *g)
{
    (void)lb;
    uint32_t index = g->next < g->list->count ? g->next : 0;
    g->next = index + 1;
    return index;
}

const struct lb_ops lb_round_robin = {"ROUND_ROBIN", weight, pick};
