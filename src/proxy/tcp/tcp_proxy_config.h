/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP proxy filter's configuration as the data path reads it: plain C, reference-counted, immutable once
 * sealed; strings lie in its own arena.
 */
#ifndef WEIR_PROXY_TCP_PROXY_CONFIG_H
#define WEIR_PROXY_TCP_PROXY_CONFIG_H

#include "base/arena.h"
#include "proxy/logging/access_log.h"
#include "telemetry/stats.h"

#include <stdatomic.h>

/* "tcp.<stat_prefix>.<name>"; X(name, kind). */
#define TCP_PROXY_STATS(X)                                                                                   \
    X(downstream_cx_total, counter)                                                                          \
    X(downstream_cx_no_route, counter)                                                                       \
    X(downstream_cx_overload_close, counter)                                                                 \
    X(downstream_cx_rx_bytes_total, counter)                                                                 \
    X(downstream_cx_tx_bytes_total, counter)                                                                 \
    X(downstream_flow_control_paused_reading_total, counter)                                                 \
    X(downstream_flow_control_resumed_reading_total, counter)                                                \
    X(early_data_received_count_total, counter)                                                              \
    X(idle_timeout, counter)                                                                                 \
    X(max_downstream_connection_duration, counter)                                                           \
    X(upstream_flush_total, counter)                                                                         \
    X(upstream_flush_active, gauge)

struct tcp_proxy_stats {
#define TCP_PROXY_STAT_X(name, kind) stat_id name;
    TCP_PROXY_STATS(TCP_PROXY_STAT_X)
#undef TCP_PROXY_STAT_X
};

struct tcp_proxy_target {
    struct slice cluster;
    uint64_t hash;                /* slice_hash(cluster) */
    uint64_t cumulative_end;      /* of weights up to this one */
    const struct lb_match *match; /* labels of the endpoints; NULL: all */
};

/* When the first attempt begins: tcp_proxy.v3.UpstreamConnectMode, same numbers. */
enum tcp_connect_moment { TCP_CONNECT_AT_ONCE, TCP_CONNECT_ON_DATA, TCP_CONNECT_ON_HANDSHAKE };

struct tcp_tunnel_config;

struct tcp_proxy_config {
    atomic_uint refs;
    struct arena arena;
    struct tcp_proxy_stats stats; /* filled by seal */
    struct slice stat_prefix;
    const struct tcp_proxy_target *targets; /* at least one; weights matter when there are more */
    size_t targets_count;
    struct access_log **access_logs; /* owned */
    size_t access_logs_count;
    const struct lb_match *match;     /* of a target that a filter names; those above have their own */
    struct tcp_tunnel_config *tunnel; /* in the arena; NULL: no tunnels */
    bool hash_source_ip;              /* the hash for the balancer is the client's address, or: */
    struct slice hash_filter_state;   /* that of this filter state; ptr NULL: there is no hash */
    struct slice proxy_tlvs;          /* that upstreams are told of clients without a PROXY header */
    uint32_t connect_attempts_max;    /* default 1 */
    uint64_t idle_timeout_ms;         /* default 1 h; 0: none */
    uint64_t duration_max_ms;         /* 0: none */
    uint64_t duration_jitter_ms;      /* so much more, at most */
    uint64_t back_off_base_ms;        /* 0: the next attempt follows at once */
    uint64_t back_off_max_ms;
    uint64_t log_interval_ms; /* 0: no lines while a connection lasts, but with: */
    bool log_connected;
    enum tcp_connect_moment connect_moment;
    bool early_data;          /* the client is read before there is an upstream */
    uint32_t early_bytes_max; /* so much of it */
};

#define TCP_PROXY_CONFIG_BYTES_MAX (1u << 20)

/* With one reference and Envoy's defaults. NULL when memory is out. */
struct tcp_proxy_config *tcp_proxy_config_create(void);
/* Registers the statistics. Immutable from here. */
void tcp_proxy_config_seal(struct tcp_proxy_config *t);
const struct tcp_proxy_config *tcp_proxy_config_ref(const struct tcp_proxy_config *t);
/* [any thread] NULL content is fine. */
void tcp_proxy_config_unref(const struct tcp_proxy_config **t);

#endif
