/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 codec (RFC 9113) over nghttp2: frames, header compression and flow control are the library's,
 * the contract of codec.h, the limits against abuse and the common message model are ours. Extended CONNECT
 * (RFC 8441) appears to the owner as the HTTP/1 upgrade that it stands for, on both sides.
 */
#ifndef WEIR_HTTP_H2_H
#define WEIR_HTTP_H2_H

#include "http/codec.h"
#include "telemetry/stats.h"

/* X(name, kind): Envoy's statistics "http2.<name>" and "cluster.<cluster>.http2.<name>". */
#define H2_STATS(X)                                                                                          \
    X(goaway_sent, counter)                                                                                  \
    X(header_overflow, counter)                                                                              \
    X(inbound_empty_frames_flood, counter)                                                                   \
    X(inbound_priority_frames_flood, counter)                                                                \
    X(inbound_window_update_frames_flood, counter)                                                           \
    X(keepalive_timeout, counter)                                                                            \
    X(outbound_control_flood, counter)                                                                       \
    X(outbound_flood, counter)                                                                               \
    X(requests_rejected_with_underscores_in_headers, counter)                                                \
    X(dropped_headers_with_underscores, counter)                                                             \
    X(rx_messaging_error, counter)                                                                           \
    X(rx_reset, counter)                                                                                     \
    X(stream_refused_errors, counter)                                                                        \
    X(streams_active, gauge)                                                                                 \
    X(trailers, counter)                                                                                     \
    X(tx_flush_timeout, counter)                                                                             \
    X(tx_reset, counter)

struct h2_stats {
#define H2_STAT_X(name, kind) stat_id name;
    H2_STATS(H2_STAT_X)
#undef H2_STAT_X
};

/* `prefix` goes before "http2.": empty, or "cluster.<name>.". */
void h2_stats_init(struct h2_stats *stats, struct slice prefix);

/* A SETTINGS parameter beyond those below (custom_settings_parameters). */
struct h2_parameter {
    uint16_t id;
    uint32_t value;
};

/* Http2ProtocolOptions, with Envoy's defaults by h2_settings_default. */
struct h2_settings {
    uint32_t hpack_table_bytes;            /* 4096: what the peer may use, and what we use at most */
    uint32_t peer_streams_assumed;         /* client, until the server says it; 0: max_concurrent_streams */
    uint32_t max_concurrent_streams;       /* 1024: announced by a server; what a client opens at most */
    uint32_t stream_window_bytes;          /* 16 MiB */
    uint32_t connection_window_bytes;      /* 24 MiB */
    bool allow_connect;                    /* RFC 8441 */
    bool stream_error_on_bad_message;      /* a bad message costs its stream, not the connection */
    uint32_t max_outbound_frames;          /* 10000 */
    uint32_t max_outbound_control;         /* 1000: PING, SETTINGS, RST_STREAM */
    uint32_t max_empty_frames;             /* 1, consecutive */
    uint32_t max_priority_per_stream;      /* 100 */
    uint32_t max_window_updates_per_data;  /* 10 */
    const struct h2_parameter *parameters; /* live as long as the settings */
    size_t parameters_count;

    /* Not in the message. */
    uint32_t headers_count_max; /* 0: HEADERS_COUNT_MAX; at most 8192 */
    size_t headers_bytes_max;   /* 0: HEADERS_BYTES_MAX */
    const struct h2_stats *stats;
};

void h2_settings_default(struct h2_settings *settings);

/* `settings` (which is copied), `blocks` and `out` outlive the codec. The connection's opening is in `out`
 * afterwards. NULL when memory is out. */
struct http_codec *h2_server_create(const struct h2_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out);
struct http_codec *h2_client_create(const struct h2_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out);

enum h2_preface { H2_PREFACE_NO, H2_PREFACE_PART, H2_PREFACE_YES };
/* Whether a connection's first bytes are a client's HTTP/2 preface (RFC 9113 3.4). */
enum h2_preface h2_preface_detect(const struct chain *in);

#endif
