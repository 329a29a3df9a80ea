/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Active health checks of one cluster: asks each host again and again and keeps the health flags that come of
 * it. Runs on the main loop, once for all workers.
 */
#ifndef WEIR_UPSTREAM_HEALTH_CHECK_H
#define WEIR_UPSTREAM_HEALTH_CHECK_H

#include "base/slice.h"
#include "upstream/health_state.h"

struct cluster_config;
struct cluster_stats;
struct health_checker;
struct host;
struct loop;

struct health_settings {
    struct loop *loop;
    const struct cluster_config *config; /* outlives the checker, as the next one */
    const struct cluster_stats *stats;
    uint64_t (*random)(void *arg, uint64_t bound);
    void *random_arg;
    /* The flags that balancing looks at changed. */
    void (*changed)(void *arg, struct host *h);
    /* A check passed and the host is healthy by it. */
    void (*passed)(void *arg, struct host *h);
    /* Once, after health_checker_wait: every host has had a result. */
    void (*warm)(void *arg);
    void *arg;
};

/* NULL when memory is out. */
struct health_checker *health_checker_create(const struct health_settings *settings);
/* Flags stay as they are; checks under way end without a result. */
void health_checker_destroy(struct health_checker **hc);
/* A host that no worker knows yet: it counts as failed until its first check. false when memory is out. */
bool health_checker_watch(struct health_checker *hc, struct host *h);
/* These are the cluster's hosts now: begins checking the new ones, stops checking those that left. */
void health_checker_update(struct health_checker *hc, struct host *const *hosts, uint32_t count);
/* `warm` is wanted: it comes when every host has been checked, or at once (in a later turn). */
void health_checker_wait(struct health_checker *hc);
/* The host itself told a worker; for health_host.c. */
void health_checker_report(struct health_checker *hc, struct host *h);

#endif
