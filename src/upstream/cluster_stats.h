/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics of one cluster, under Envoy's names. Registered when the cluster is made; counting is a
 * plain store.
 */
#ifndef WEIR_UPSTREAM_CLUSTER_STATS_H
#define WEIR_UPSTREAM_CLUSTER_STATS_H

#include "http/h2.h"
#include "telemetry/code_stats.h"

/* X(name, kind): "cluster.<alt_stat_name or name>.<name>". */
#define CLUSTER_STATS(X)                                                                                     \
    X(upstream_cx_total, counter)                                                                            \
    X(upstream_cx_http1_total, counter)                                                                      \
    X(upstream_cx_http2_active, gauge)                                                                       \
    X(upstream_cx_http2_total, counter)                                                                      \
    X(upstream_cx_active, gauge)                                                                             \
    X(upstream_cx_connect_fail, counter)                                                                     \
    X(upstream_cx_connect_timeout, counter)                                                                  \
    X(bind_errors, counter)                                                                                  \
    X(upstream_cx_connect_ms, histogram)                                                                     \
    X(upstream_cx_length_ms, histogram)                                                                      \
    X(upstream_cx_connect_attempts_exceeded, counter)                                                        \
    X(upstream_cx_idle_timeout, counter)                                                                     \
    X(upstream_cx_max_requests, counter)                                                                     \
    X(upstream_cx_max_duration_reached, counter)                                                             \
    X(upstream_cx_overflow, counter)                                                                         \
    X(upstream_cx_pool_overflow, counter)                                                                    \
    X(upstream_cx_none_healthy, counter)                                                                     \
    X(upstream_cx_protocol_error, counter)                                                                   \
    X(upstream_cx_destroy, counter)                                                                          \
    X(upstream_cx_destroy_local, counter)                                                                    \
    X(upstream_cx_destroy_remote, counter)                                                                   \
    X(upstream_cx_destroy_with_active_rq, counter)                                                           \
    X(upstream_cx_destroy_local_with_active_rq, counter)                                                     \
    X(upstream_cx_destroy_remote_with_active_rq, counter)                                                    \
    X(upstream_cx_rx_bytes_total, counter)                                                                   \
    X(upstream_cx_tx_bytes_total, counter)                                                                   \
    X(upstream_rq_per_cx, histogram)                                                                         \
    X(upstream_rq_total, counter)                                                                            \
    X(upstream_rq_active, gauge)                                                                             \
    X(upstream_rq_active_overflow, counter)                                                                  \
    X(upstream_rq_time, histogram)                                                                           \
    X(upstream_rq_pending_total, counter)                                                                    \
    X(upstream_rq_pending_active, gauge)                                                                     \
    X(upstream_rq_pending_overflow, counter)                                                                 \
    X(upstream_rq_pending_failure_eject, counter)                                                            \
    X(upstream_rq_cancelled, counter)                                                                        \
    X(upstream_rq_timeout, counter)                                                                          \
    X(upstream_rq_per_try_timeout, counter)                                                                  \
    X(upstream_rq_per_try_idle_timeout, counter)                                                             \
    X(upstream_rq_maintenance_mode, counter)                                                                 \
    X(upstream_rq_retry, counter)                                                                            \
    X(upstream_rq_retry_backoff_exponential, counter)                                                        \
    X(upstream_rq_retry_backoff_ratelimited, counter)                                                        \
    X(upstream_rq_retry_limit_exceeded, counter)                                                             \
    X(upstream_rq_retry_overflow, counter)                                                                   \
    X(upstream_rq_retry_success, counter)                                                                    \
    X(upstream_internal_redirect_failed_total, counter)                                                      \
    X(upstream_internal_redirect_succeeded_total, counter)                                                   \
    X(retry_or_shadow_abandoned, counter)                                                                    \
    X(upstream_rq_max_duration_reached, counter)                                                             \
    X(upstream_rq_rx_reset, counter)                                                                         \
    X(upstream_rq_tx_reset, counter)                                                                         \
    X(upstream_flow_control_paused_reading_total, counter)                                                   \
    X(upstream_flow_control_resumed_reading_total, counter)                                                  \
    X(upstream_flow_control_backed_up_total, counter)                                                        \
    X(upstream_flow_control_drained_total, counter)                                                          \
    X(assignment_stale, counter)                                                                             \
    X(assignment_timeout_received, counter)                                                                  \
    X(assignment_use_cached, counter)                                                                        \
    X(lb_healthy_panic, counter)                                                                             \
    X(lb_local_cluster_not_ok, counter)                                                                      \
    X(lb_recalculate_zone_structures, counter)                                                               \
    X(lb_subsets_created, counter)                                                                           \
    X(lb_subsets_fallback, counter)                                                                          \
    X(lb_subsets_fallback_panic, counter)                                                                    \
    X(lb_subsets_removed, counter)                                                                           \
    X(lb_subsets_selected, counter)                                                                          \
    X(lb_zone_cluster_too_small, counter)                                                                    \
    X(lb_zone_no_capacity_left, counter)                                                                     \
    X(lb_zone_routing_all_directly, counter)                                                                 \
    X(lb_zone_routing_cross_zone, counter)                                                                   \
    X(lb_zone_routing_sampled, counter)                                                                      \
    X(lb_subsets_active, shared_gauge)                                                                       \
    X(max_host_weight, shared_gauge)                                                                         \
    X(version, shared_gauge)                                                                                 \
    X(warming_state, shared_gauge)                                                                           \
    X(original_dst_host_invalid, counter)                                                                    \
    X(membership_change, counter)                                                                            \
    X(membership_total, shared_gauge)                                                                        \
    X(membership_healthy, shared_gauge)                                                                      \
    X(membership_degraded, shared_gauge)                                                                     \
    X(membership_excluded, shared_gauge)                                                                     \
    X(update_attempt, counter)                                                                               \
    X(update_success, counter)                                                                               \
    X(update_failure, counter)                                                                               \
    X(update_empty, counter)                                                                                 \
    X(update_no_rebuild, counter)

/* "cluster.<name>.circuit_breakers.<default|high>.<name>"; *_open 1: no more is let through. */
#define BREAKER_STATS(X)                                                                                     \
    X(cx_open)                                                                                               \
    X(cx_pool_open)                                                                                          \
    X(rq_open)                                                                                               \
    X(rq_pending_open)                                                                                       \
    X(rq_retry_open)
/* Only with track_remaining. */
#define BREAKER_REMAINING_STATS(X)                                                                           \
    X(remaining_cx)                                                                                          \
    X(remaining_cx_pools)                                                                                    \
    X(remaining_pending)                                                                                     \
    X(remaining_retries)                                                                                     \
    X(remaining_rq)

struct cluster_stats {
#define CLUSTER_STAT_X(name, kind) stat_id name;
    CLUSTER_STATS(CLUSTER_STAT_X)
#undef CLUSTER_STAT_X
    struct h2_stats http2; /* "cluster.<name>.http2." */
    struct code_stats answers;
    /* Below "retry.": those that were not handed on but led to another try. Made with the first; NULL: none
     * yet. */
    _Atomic(struct code_stats *) retried;
};

struct breaker_stats {
#define BREAKER_STAT_X(name) stat_id name;
    BREAKER_STATS(BREAKER_STAT_X)
    BREAKER_REMAINING_STATS(BREAKER_STAT_X)
#undef BREAKER_STAT_X
};

void cluster_stats_init(struct cluster_stats *s, struct slice name);
/* The numbers stay. */
void cluster_stats_fini(struct cluster_stats *s);
/* Without `remaining` those of what is left are 0, and not shown. */
void breaker_stats_init(struct breaker_stats *s, struct slice name, const char *priority, bool remaining);
/* Counts an answer that leads to another try. */
void cluster_stats_retried(struct cluster_stats *s, unsigned status);

#endif
