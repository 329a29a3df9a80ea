/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Did you mean": the known name nearest to what was written. Only for messages; nothing is ever accepted
 * because it is near.
 */
#ifndef WEIR_CONFIG_SUGGEST_H
#define WEIR_CONFIG_SUGGEST_H

#include "base/slice.h"

struct suggest {
    struct slice wanted;
    const char *best; /* NULL when none is near */
    unsigned best_distance;
};

/* Names at most a third of the wanted length away count as near. */
void suggest_init(struct suggest *s, struct slice wanted);
void suggest_try(struct suggest *s, const char *name);

#endif
