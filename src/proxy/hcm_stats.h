/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics of a connection manager, under "http.<stat_prefix>.". One row makes the field and the name.
 */
#ifndef WEIR_PROXY_HCM_STATS_H
#define WEIR_PROXY_HCM_STATS_H

#include "telemetry/stats.h"

/* X(name, kind): kind is counter, gauge or histogram. */
#define HCM_STATS(X)                                                                                         \
    X(downstream_cx_active, gauge)                                                                           \
    X(downstream_cx_destroy, counter)                                                                        \
    X(downstream_cx_destroy_active_rq, counter)                                                              \
    X(downstream_cx_destroy_local, counter)                                                                  \
    X(downstream_cx_destroy_local_active_rq, counter)                                                        \
    X(downstream_cx_destroy_remote, counter)                                                                 \
    X(downstream_cx_destroy_remote_active_rq, counter)                                                       \
    X(downstream_cx_delayed_close_timeout, counter)                                                          \
    X(downstream_cx_overload_disable_keepalive, counter)                                                     \
    X(downstream_rq_overload_close, counter)                                                                 \
    X(downstream_cx_drain_close, counter)                                                                    \
    X(downstream_cx_ssl_total, counter)                                                                      \
    X(downstream_cx_ssl_active, gauge)                                                                       \
    X(downstream_cx_http1_active, gauge)                                                                     \
    X(downstream_cx_http1_total, counter)                                                                    \
    X(downstream_cx_http2_active, gauge)                                                                     \
    X(downstream_cx_http2_total, counter)                                                                    \
    X(downstream_cx_idle_timeout, counter)                                                                   \
    X(downstream_cx_max_duration_reached, counter)                                                           \
    X(downstream_cx_max_requests_reached, counter)                                                           \
    X(downstream_cx_protocol_error, counter)                                                                 \
    X(downstream_cx_rx_bytes_total, counter)                                                                 \
    X(downstream_cx_tx_bytes_total, counter)                                                                 \
    X(downstream_cx_total, counter)                                                                          \
    X(downstream_cx_upgrades_active, gauge)                                                                  \
    X(downstream_cx_upgrades_total, counter)                                                                 \
    X(downstream_cx_length_ms, histogram)                                                                    \
    X(downstream_flow_control_paused_reading_total, counter)                                                 \
    X(downstream_flow_control_resumed_reading_total, counter)                                                \
    X(downstream_rq_1xx, counter)                                                                            \
    X(downstream_rq_2xx, counter)                                                                            \
    X(downstream_rq_3xx, counter)                                                                            \
    X(downstream_rq_4xx, counter)                                                                            \
    X(downstream_rq_5xx, counter)                                                                            \
    X(downstream_rq_active, gauge)                                                                           \
    X(downstream_rq_completed, counter)                                                                      \
    X(downstream_rq_failed_path_normalization, counter)                                                      \
    X(downstream_rq_header_timeout, counter)                                                                 \
    X(downstream_rq_http1_total, counter)                                                                    \
    X(downstream_rq_http2_total, counter)                                                                    \
    X(downstream_rq_idle_timeout, counter)                                                                   \
    X(downstream_rq_max_duration_reached, counter)                                                           \
    X(downstream_rq_non_relative_path, counter)                                                              \
    X(downstream_rq_redirected_with_normalized_path, counter)                                                \
    X(downstream_rq_response_before_rq_complete, counter)                                                    \
    X(downstream_rq_rx_reset, counter)                                                                       \
    X(downstream_rq_timeout, counter)                                                                        \
    X(downstream_rq_too_large, counter)                                                                      \
    X(downstream_rq_too_many_premature_resets, counter)                                                      \
    X(downstream_rq_total, counter)                                                                          \
    X(downstream_rq_tx_reset, counter)                                                                       \
    X(downstream_rq_ws_on_non_ws_route, counter)                                                             \
    X(downstream_rq_time, histogram)                                                                         \
    X(rs_too_large, counter)                                                                                 \
    X(rq_total, counter)                                                                                     \
    X(rq_direct_response, counter)                                                                           \
    X(rq_overload_local_reply, counter)                                                                      \
    X(rq_redirect, counter)                                                                                  \
    X(rq_reset_after_downstream_response_started, counter)                                                   \
    X(passthrough_internal_redirect_bad_location, counter)                                                   \
    X(passthrough_internal_redirect_unsafe_scheme, counter)                                                  \
    X(passthrough_internal_redirect_too_many_redirects, counter)                                             \
    X(passthrough_internal_redirect_no_route, counter)                                                       \
    X(passthrough_internal_redirect_predicate, counter)                                                      \
    X(no_cluster, counter)                                                                                   \
    X(no_route, counter)

struct hcm_stats {
#define HCM_STAT_X(name, kind) stat_id name;
    HCM_STATS(HCM_STAT_X)
#undef HCM_STAT_X
};

/* The answers of one listener alone, "listener.<address>.http.<stat_prefix>."; X(name, first digit; 0: all).
 */
#define HCM_LISTENER_STATS(X)                                                                                \
    X(downstream_rq_completed, 0)                                                                            \
    X(downstream_rq_1xx, 1)                                                                                  \
    X(downstream_rq_2xx, 2)                                                                                  \
    X(downstream_rq_3xx, 3)                                                                                  \
    X(downstream_rq_4xx, 4)                                                                                  \
    X(downstream_rq_5xx, 5)
#define HCM_LISTENER_STATS_COUNT 6

/* "http1.": of all listeners. */
#define HTTP1_STATS(X)                                                                                       \
    X(dropped_headers_with_underscores)                                                                      \
    X(requests_rejected_with_underscores_in_headers)

struct http1_stats {
#define HTTP1_STAT_X(name) stat_id name;
    HTTP1_STATS(HTTP1_STAT_X)
#undef HTTP1_STAT_X
};

#endif
