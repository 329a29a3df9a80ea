/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers counted by their status below one prefix, under Envoy's names: upstream_rq_<code>, of its class,
 * and as completed. Counting takes no lock but for the first answer of a status.
 */
#ifndef WEIR_TELEMETRY_CODE_STATS_H
#define WEIR_TELEMETRY_CODE_STATS_H

#include "telemetry/stats.h"

#define CODE_STATS_MIN     100u
#define CODE_STATS_COUNT   500u
#define CODE_STATS_CLASSES 5u

struct code_stats {
    char *prefix; /* owned, with the last dot; NULL: memory was out, nothing is counted */
    stat_id completed;
    stat_id classes[CODE_STATS_CLASSES];
    /* Registered when a code is first seen; 0: not yet. */
    _Atomic stat_id codes[CODE_STATS_COUNT];
};

void code_stats_init(struct code_stats *s, const char *prefix);
/* The numbers stay. */
void code_stats_fini(struct code_stats *s);
/* [any thread] What is no status is not counted. */
void code_stats_count(struct code_stats *s, unsigned status);

#endif
