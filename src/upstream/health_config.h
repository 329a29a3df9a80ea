/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cluster's health_checks say: plain data in the cluster configuration's arena, with Envoy's defaults.
 * Knows nothing of checks under way.
 */
#ifndef WEIR_UPSTREAM_HEALTH_CONFIG_H
#define WEIR_UPSTREAM_HEALTH_CONFIG_H

#include "base/arena.h"
#include "base/build_error.h"
#include "base/chain.h"
#include "net/proxy_header.h"

struct log_file;

enum health_kind { HEALTH_HTTP, HEALTH_TCP, HEALTH_GRPC };

/* Statuses from start to below end. */
struct health_range {
    uint32_t start;
    uint32_t end;
};

/* core.v3.HeaderValueOption, same numbers as its HeaderAppendAction. */
enum health_field_action {
    HEALTH_FIELD_APPEND,
    HEALTH_FIELD_ADD_IF_ABSENT,
    HEALTH_FIELD_OVERWRITE,
    HEALTH_FIELD_OVERWRITE_IF_EXISTS,
};

struct health_field {
    struct slice name;
    struct slice value; /* as it is sent: no operators */
    enum health_field_action action;
};

/* A test of a text, of a kind that this room does not know. */
struct health_text_test {
    bool (*match)(const void *matcher, struct slice text); /* NULL: none is wanted */
    void (*fini)(void *matcher);
    void *matcher;
};

struct health_config {
    enum health_kind kind;
    uint64_t timeout_ms;
    uint64_t interval_ms;
    uint64_t initial_jitter_ms;
    uint64_t interval_jitter_ms;
    uint32_t interval_jitter_percent;
    uint64_t interval_least_ms; /* whatever the others say; 0: 1 ms */
    uint64_t interval_most_ms;  /* 0: no limit */
    uint32_t unhealthy_threshold;
    uint32_t healthy_threshold;
    uint64_t no_traffic_interval_ms;         /* 60 s; while the cluster has had no connection */
    uint64_t no_traffic_healthy_interval_ms; /* no_traffic_interval_ms */
    uint64_t unhealthy_interval_ms;          /* interval_ms */
    uint64_t unhealthy_edge_interval_ms;     /* unhealthy_interval_ms */
    uint64_t healthy_edge_interval_ms;       /* interval_ms */
    uint16_t alt_port;                       /* 0: the endpoint's */
    bool reuse_connection;                   /* true */
    bool log_failures;                       /* also those that change nothing */
    bool log_successes;
    struct log_file *events;  /* owned reference; NULL: no log */
    const struct slice *alpn; /* tls_options; none: the transport socket's own */
    size_t alpn_count;

    /* HTTP and TCP: bytes to send, and pieces that must come back in this order. */
    struct slice send;
    enum proxy_version tcp_proxy;
    const struct slice *receive;
    size_t receive_count;

    /* HTTP; `authority`, `add` and `remove` for gRPC too */
    bool http2;
    struct slice method;
    struct slice path;
    struct slice authority;    /* host; empty: the cluster's name */
    uint64_t response_max;     /* bytes of a body that are looked at: 1024; 0: HEALTH_RESPONSE_MAX */
    struct health_range *pass; /* expected_statuses; none: 200 */
    size_t pass_count;
    struct health_range *retriable;
    size_t retriable_count;
    const struct health_field *add;
    size_t add_count;
    const struct slice *remove;
    size_t remove_count;
    struct health_text_test service_name;

    struct slice grpc_service;
};

/* Envoy's defaults for what is left out; interval_ms must be set already. */
void health_config_defaults(struct health_config *h);
/* Completes and checks; paths are relative to `path`. */
bool health_config_finish(struct health_config *h, const char *path, struct build_errors *errors);
void health_config_fini(struct health_config *h);

bool health_config_passes(const struct health_config *h, unsigned status);
bool health_config_retriable(const struct health_config *h, unsigned status);
/* Whether the pieces of `receive` are in `bytes`, one behind the other. */
bool health_receive_match(const struct health_config *h, struct slice bytes);
/* "0a1B" to bytes; false when it is no even number of hexadecimal digits. */
bool health_hex(struct arena *arena, const char *text, struct slice *out);

#endif
