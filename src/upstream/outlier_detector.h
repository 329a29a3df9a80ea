/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlier detection of one cluster: ejects hosts that fail much more than the others, and takes them back.
 * Main thread only; what workers count reaches it through outlier.h.
 */
#ifndef WEIR_UPSTREAM_OUTLIER_DETECTOR_H
#define WEIR_UPSTREAM_OUTLIER_DETECTOR_H

#include "upstream/outlier.h"

struct log_file;
struct outlier_detector;

struct outlier_settings {
    struct loop *loop;
    const struct outlier_config *config; /* outlives the detector */
    struct slice cluster_name;           /* so does this */
    struct slice stat_name;
    struct log_file *events; /* borrowed; NULL: no log */
    uint64_t (*random)(void *arg, uint64_t bound);
    void *random_arg;
    /* A host's FAILED_OUTLIER_CHECK changed. */
    void (*changed)(void *arg, struct host *h);
    void *changed_arg;
};

/* NULL when memory is out. */
struct outlier_detector *outlier_detector_create(const struct outlier_settings *settings);
/* Hosts stay as they are. */
void outlier_detector_destroy(struct outlier_detector **d);
/* Gives a new host what workers count in; before any worker sees it. false when memory is out. */
bool outlier_detector_watch(struct outlier_detector *d, struct host *h);
/* These are the cluster's hosts now. */
void outlier_detector_update(struct outlier_detector *d, struct host *const *hosts, uint32_t count);
/* An active health check of the host has passed, and it is healthy by that. */
void outlier_detector_healthy(struct outlier_detector *d, struct host *h);

/* A worker has seen so many failures in a row; for outlier.c. */
void outlier_detector_suspect(struct outlier_detector *d, struct host *h, enum outlier_kind kind);

/* Mean of the rates, and what lies `factor` standard deviations below it. */
double outlier_threshold(const double *rates, size_t count, double factor, double *mean);

#endif
