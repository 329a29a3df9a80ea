/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the outlier event log: data.cluster.v3.OutlierDetectionEvent as JSON, as Envoy writes them.
 */
#ifndef WEIR_UPSTREAM_OUTLIER_EVENT_H
#define WEIR_UPSTREAM_OUTLIER_EVENT_H

#include "upstream/outlier.h"

struct log_file;

/* Of one interval, in percent; -1: not known. */
struct outlier_rates {
    double average;
    double threshold;
};

struct outlier_change {
    const struct host *host;
    enum outlier_kind kind;
    bool ejected; /* else it was taken back */
    bool enforced;
    const struct outlier_rates *rates; /* per origin; for ejections */
};

void outlier_event_write(struct log_file *file, struct slice cluster, const struct outlier_change *change,
                         uint64_t now_ms);

#endif
