/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP connection manager's configuration as the data path reads it: plain C, reference counted,
 * immutable once sealed. All strings are slices in its own arena. The configuration room fills it; nothing
 * here knows protobuf.
 */
#ifndef WEIR_PROXY_HCM_CONFIG_H
#define WEIR_PROXY_HCM_CONFIG_H

#include "base/arena.h"
#include "http/h1.h"
#include "http/h2.h"
#include "net/address.h"
#include "proxy/client_cert.h"
#include "proxy/filter.h"
#include "proxy/hcm_stats.h"
#include "proxy/local_reply.h"
#include "proxy/logging/access_log.h"
#include "upstream/h2_keepalive.h"

#include <stdatomic.h>

struct header_steps;
struct route_table;

enum hcm_codec { HCM_CODEC_AUTO, HCM_CODEC_HTTP1, HCM_CODEC_HTTP2 };

enum hcm_server_header {
    HCM_SERVER_OVERWRITE,
    HCM_SERVER_APPEND_IF_ABSENT,
    HCM_SERVER_PASS_THROUGH,
};

enum hcm_escaped_slashes {
    HCM_SLASHES_KEEP_UNCHANGED,
    HCM_SLASHES_REJECT,
    HCM_SLASHES_UNESCAPE_AND_REDIRECT,
    HCM_SLASHES_UNESCAPE_AND_FORWARD,
};

enum hcm_underscores { HCM_UNDERSCORES_ALLOW, HCM_UNDERSCORES_REJECT_REQUEST, HCM_UNDERSCORES_DROP_HEADER };

struct hcm_upgrade {
    struct slice type; /* "websocket", compared without case; "CONNECT" */
    bool enabled;
    struct filter_list filters; /* of such requests; none: the connection manager's */
};

enum hcm_header_action {
    HCM_HEADER_APPEND_OR_ADD,
    HCM_HEADER_ADD_IF_ABSENT,
    HCM_HEADER_OVERWRITE_OR_ADD,
    HCM_HEADER_OVERWRITE_IF_EXISTS,
};

struct hcm_header_add {
    struct slice name;
    struct slice value;           /* used when `format` is NULL */
    struct stream_format *format; /* owned by the hcm_config */
    enum hcm_header_action action;
};

/* LocalReplyConfig.mappers; the first whose filter matches applies. */
struct hcm_reply_mapper {
    struct stream_predicate *filter; /* owned; NULL matches all */
    uint16_t status;                 /* 0: keep */
    bool has_body;
    struct slice body;
    struct stream_format *format; /* owned; NULL: the general one */
    struct slice content_type;    /* of `format`; empty: text/plain */
    const struct hcm_header_add *headers;
    size_t headers_count;
};

struct hcm_config {
    atomic_uint refs;
    struct arena arena;
    struct hcm_stats stats; /* filled by hcm_config_seal */
    struct http1_stats http1_stats;
    stat_id listener_stats[HCM_LISTENER_STATS_COUNT]; /* by hcm_config_seal_listener; 0: not told which */

    struct slice stat_prefix;
    struct slice filter_chain_name; /* of the chain that it stands in */
    enum hcm_codec codec;
    const struct route_table *route_table; /* owned reference */

    struct filter_list filters;             /* the router last */
    const struct header_steps *early_steps; /* before anything else looks at a request's headers */
    size_t early_steps_count;
    struct access_log **access_logs; /* owned */
    size_t access_logs_count;

    /* Milliseconds; 0 is off. */
    uint64_t idle_timeout_ms;             /* of the connection without streams; default 1 h */
    uint64_t stream_idle_timeout_ms;      /* default 5 min; a route's idle_timeout replaces it */
    uint64_t request_timeout_ms;          /* whole request received; default off */
    uint64_t request_headers_timeout_ms;  /* first byte to the end of headers; default off */
    uint64_t max_connection_duration_ms;  /* default off */
    uint64_t max_stream_duration_ms;      /* default off */
    uint64_t drain_timeout_ms;            /* default 5 s */
    uint64_t delayed_close_timeout_ms;    /* default 1 s */
    uint32_t max_requests_per_connection; /* 0: no limit */

    uint32_t max_request_headers_bytes; /* default 60 KiB */
    uint32_t max_headers_count;         /* default 100 */
    enum hcm_underscores underscores;
    bool stream_error_on_invalid_http_message;

    struct slice server_name; /* default "envoy", as Envoy */
    enum hcm_server_header server_header;
    struct slice via; /* empty: none */
    struct slice scheme_overwrite;
    const uint32_t *https_ports; /* forward_proto_config: destinations that a PROXY header names */
    const uint32_t *http_ports;
    size_t https_ports_count;
    size_t http_ports_count;
    bool scheme_by_port;
    bool scheme_as_upstream; /* :scheme is what the connection to the upstream is */
    bool proxy_100_continue; /* else `Expect: 100-continue` is answered here and removed */
    bool add_user_agent; /* names this proxy's cluster to the upstream, and as user-agent if there is none */
    struct slice service_cluster;      /* node.cluster, for that */
    enum client_cert_mode client_cert; /* x-forwarded-client-cert */
    struct client_cert_details client_cert_details;

    bool use_remote_address;
    uint32_t xff_num_trusted_hops;
    bool skip_xff_append;
    bool append_x_forwarded_port;
    bool tells_origin; /* PROXY headers to upstreams say where the client's connection comes from */
    /* internal_address_config; no ranges and no unix sockets: nobody is internal (Envoy since 1.33). */
    const struct cidr *internal_ranges;
    size_t internal_ranges_count;
    bool internal_unix_sockets;

    bool generate_request_id; /* default true */
    bool preserve_external_request_id;
    bool always_set_request_id_in_response;

    bool normalize_path;
    bool merge_slashes;
    enum hcm_escaped_slashes escaped_slashes;
    bool strip_matching_host_port;
    bool strip_any_host_port;
    bool strip_trailing_host_dot;

    const struct hcm_upgrade *upgrades;
    size_t upgrades_count;

    /* limits and allow_upgrade are filled by hcm_config_seal from the fields above */
    struct h1_settings http1;
    struct h2_settings http2;
    struct h2_stats http2_stats; /* "http2.", one for all connection managers */
    struct h2_keepalive_config keepalive;

    const struct hcm_reply_mapper *reply_mappers;
    size_t reply_mappers_count;
    struct stream_format *reply_format; /* owned; NULL: the body as it is */
    struct slice reply_content_type;    /* of reply_format; empty: text/plain */
};

#define HCM_CONFIG_BYTES_MAX (64u << 20) /* 64 MiB of strings: a sane configuration is far below */

/* Envoy's defaults are set; NULL when memory is out. One reference. */
struct hcm_config *hcm_config_create(void);
/* The last step of building: registers the statistics and fills derived fields. Immutable from here. */
void hcm_config_seal(struct hcm_config *hcm);
/* The listener that it is of, by the prefix of its statistics. Before anybody else has the resource. */
void hcm_config_seal_listener(const struct hcm_config *hcm, const char *prefix);
const struct hcm_config *hcm_config_ref(const struct hcm_config *hcm);
/* The last one destroys filters, access logs, formats and the route table's reference. NULL content is fine.
 */
void hcm_config_unref(const struct hcm_config **hcm);

#endif
