/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host at random. Weights do not count, as in Envoy.
 */
#include "upstream/lb.h"

static bool rebuild(struct lb *lb)
{
    (void)lb;
    return true;
}

static uint32_t pick(struct lb *lb)
{
    return (uint32_t)lb->random(lb->random_arg, lb->hosts->usable_count);
}

const struct lb_ops lb_random = {"RANDOM", rebuild, pick};
