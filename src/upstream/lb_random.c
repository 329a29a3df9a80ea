/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host at random. Weights do not count, as in Envoy.
 */
#include "upstream/lb.h"

static uint32_t pick(struct lb *lb, struct lb_group *g)
{
    return (uint32_t)lb->random(lb->random_arg, g->list->count);
}

const struct lb_ops lb_random = {"RANDOM", NULL, pick};
