/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one stream, for access logs, statistics and plugin properties. Times are monotonic
 * nanoseconds, 0 when the event did not happen; start_realtime_ns is since the Unix epoch.
 */
#ifndef WEIR_PROXY_STREAM_INFO_H
#define WEIR_PROXY_STREAM_INFO_H

#include "base/slice.h"
#include "base/strbuf.h"
#include "http/codec.h"
#include "net/address.h"

/* Envoy's response flags, in the order of their numbers: X(NAME, short, long). Some are never set here. */
#define RESPONSE_FLAGS(X)                                                                                    \
    X(FAILED_LOCAL_HEALTH_CHECK, "LH", "FailedLocalHealthCheck")                                             \
    X(NO_HEALTHY_UPSTREAM, "UH", "NoHealthyUpstream")                                                        \
    X(UPSTREAM_REQUEST_TIMEOUT, "UT", "UpstreamRequestTimeout")                                              \
    X(LOCAL_RESET, "LR", "LocalReset")                                                                       \
    X(UPSTREAM_REMOTE_RESET, "UR", "UpstreamRemoteReset")                                                    \
    X(UPSTREAM_CONNECTION_FAILURE, "UF", "UpstreamConnectionFailure")                                        \
    X(UPSTREAM_CONNECTION_TERMINATION, "UC", "UpstreamConnectionTermination")                                \
    X(UPSTREAM_OVERFLOW, "UO", "UpstreamOverflow")                                                           \
    X(NO_ROUTE_FOUND, "NR", "NoRouteFound")                                                                  \
    X(DELAY_INJECTED, "DI", "DelayInjected")                                                                 \
    X(FAULT_INJECTED, "FI", "FaultInjected")                                                                 \
    X(RATE_LIMITED, "RL", "RateLimited")                                                                     \
    X(UNAUTHORIZED_EXTERNAL_SERVICE, "UAEX", "UnauthorizedExternalService")                                  \
    X(RATE_LIMIT_SERVICE_ERROR, "RLSE", "RateLimitServiceError")                                             \
    X(DOWNSTREAM_CONNECTION_TERMINATION, "DC", "DownstreamConnectionTermination")                            \
    X(UPSTREAM_RETRY_LIMIT_EXCEEDED, "URX", "UpstreamRetryLimitExceeded")                                    \
    X(STREAM_IDLE_TIMEOUT, "SI", "StreamIdleTimeout")                                                        \
    X(INVALID_ENVOY_REQUEST_HEADERS, "IH", "InvalidEnvoyRequestHeaders")                                     \
    X(DOWNSTREAM_PROTOCOL_ERROR, "DPE", "DownstreamProtocolError")                                           \
    X(UPSTREAM_MAX_STREAM_DURATION_REACHED, "UMSDR", "UpstreamMaxStreamDurationReached")                     \
    X(RESPONSE_FROM_CACHE_FILTER, "RFCF", "ResponseFromCacheFilter")                                         \
    X(NO_FILTER_CONFIG_FOUND, "NFCF", "NoFilterConfigFound")                                                 \
    X(DURATION_TIMEOUT, "DT", "DurationTimeout")                                                             \
    X(UPSTREAM_PROTOCOL_ERROR, "UPE", "UpstreamProtocolError")                                               \
    X(NO_CLUSTER_FOUND, "NC", "NoClusterFound")                                                              \
    X(OVERLOAD_MANAGER, "OM", "OverloadManagerTerminated")                                                   \
    X(DNS_RESOLUTION_FAILED, "DF", "DnsResolutionFailed")                                                    \
    X(DROP_OVERLOAD, "DO", "DropOverload")                                                                   \
    X(DOWNSTREAM_REMOTE_RESET, "DR", "DownstreamRemoteReset")                                                \
    X(UNCONDITIONAL_DROP_OVERLOAD, "UDO", "UnconditionalDropOverload")

enum response_flag_bit {
#define FLAG_X(name, s, l) RESPONSE_FLAG_BIT_##name,
    RESPONSE_FLAGS(FLAG_X)
#undef FLAG_X
        RESPONSE_FLAG_COUNT
};
#define RESPONSE_FLAG(name) (UINT64_C(1) << RESPONSE_FLAG_BIT_##name)

/* When an access log is written: X(NAME, Envoy's text, Envoy's number). The first is what ends of requests
 * have, who never set it. */
#define LOG_MOMENTS(X)                                                                                       \
    X(DOWNSTREAM_END, "DownstreamEnd", 6)                                                                    \
    X(NOT_SET, "NotSet", 0)                                                                                  \
    X(TCP_UPSTREAM_CONNECTED, "TcpUpstreamConnected", 1)                                                     \
    X(TCP_PERIODIC, "TcpPeriodic", 2)                                                                        \
    X(TCP_CONNECTION_END, "TcpConnectionEnd", 3)                                                             \
    X(DOWNSTREAM_START, "DownstreamStart", 4)                                                                \
    X(DOWNSTREAM_PERIODIC, "DownstreamPeriodic", 5)                                                          \
    X(TUNNEL_ESTABLISHED, "DownstreamTunnelSuccessfullyEstablished", 10)

enum log_moment {
#define LOG_MOMENT_X(name, text, number) LOG_##name,
    LOG_MOMENTS(LOG_MOMENT_X)
#undef LOG_MOMENT_X
        LOG_MOMENT_COUNT
};

struct connection_facts;
struct host;
struct tls_info;
struct typed_value;

struct stream_info {
    uint64_t start_realtime_ns;
    uint64_t start_ns;
    uint64_t request_end_ns;             /* last byte of the request received */
    uint64_t upstream_request_start_ns;  /* first byte sent upstream */
    uint64_t upstream_response_start_ns; /* first byte of the response received */
    uint64_t upstream_response_end_ns;
    uint64_t response_start_ns; /* first byte sent downstream */
    uint64_t end_ns;
    uint64_t flags;       /* RESPONSE_FLAG bits; stream_info_flag sets them */
    uint64_t flags_order; /* the first ten as they came up, 6 bits each */
    struct slice details; /* %RESPONSE_CODE_DETAILS%; constant or in the stream's arena */
    struct slice connection_termination_details;
    struct slice upstream_failure_reason; /* %UPSTREAM_TRANSPORT_FAILURE_REASON% */
    struct slice filter_chain_name;
    struct slice route_name;
    struct slice virtual_host_name;
    struct slice virtual_cluster_name; /* lies in the route table */
    struct slice cluster_name;         /* where the request was sent; empty: nowhere */
    struct slice original_path;
    uint64_t connection_id;
    uint64_t stream_id;
    uint64_t request_body_bytes;
    uint64_t response_body_bytes;
    uint64_t request_headers_bytes;
    uint64_t response_headers_bytes;
    uint32_t upstream_attempts;
    uint16_t response_code; /* 0: none was sent */
    enum http_protocol protocol;
    enum log_moment log_moment;              /* of the log that is being written */
    const struct address *downstream_remote; /* after x-forwarded-for rules */
    const struct address *downstream_direct_remote;
    const struct address *downstream_local;
    struct address upstream_remote; /* that the host goes by; len 0: there is none */
    struct address upstream_local;  /* of the connection to it; len 0: there is none */
    /* Where that went, if not to upstream_remote: a host may have several addresses. In the stream's arena.
     */
    const struct address *upstream_peer;
    const struct connection_facts *facts; /* of listener filters; NULL: there were none */
    /* Of the stream's filters, over that of `facts`: dynamic_metadata.h reads it. NULL: none. */
    const struct typed_value *metadata;
    const struct tls_info *tls;    /* of the downstream connection, which keeps it; NULL: clear text */
    struct tls_info *upstream_tls; /* the same, of the upstream connection; an owned reference */
    /* Only of a host that has metadata or a locality to show: an owned reference. */
    struct host *upstream_host;
    uint64_t upstream_pool_wait_ns; /* began to wait for a connection; 0: one was there at once */
    uint64_t upstream_connected_ns; /* TCP only: the connection stood */
    uint64_t upstream_connection_id;
};

/* What the client asked for by SNI; empty: nothing. */
struct slice stream_info_server_name(const struct stream_info *info);

/* Where the connection wanted to go when a listener filter found out; NULL: to this proxy. */
const struct address *stream_info_destination(const struct stream_info *info);

/* Where the upstream connection went; NULL: there was none. */
const struct address *stream_info_upstream_peer(const struct stream_info *info);
/* The upstream connection stands, at `peer`; NULL: it is gone. Only of a host with several addresses, or one
 * that moves. */
void stream_info_note_peer(struct stream_info *info, struct arena *arena, const struct address *peer);

/* Sets RESPONSE_FLAG bits. */
void stream_info_flag(struct stream_info *info, uint64_t flags);
/* Appends "URX,UF" or "-", in the order in which they came up. */
bool stream_info_append_flags(const struct stream_info *info, bool long_names, struct strbuf *out);

#endif
