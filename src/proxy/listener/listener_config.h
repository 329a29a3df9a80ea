/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener's configuration as the data path reads it: address, socket options, filter chains. Plain C,
 * reference counted, immutable once sealed; strings live in its own arena.
 */
#ifndef WEIR_PROXY_LISTENER_CONFIG_H
#define WEIR_PROXY_LISTENER_CONFIG_H

#include "base/arena.h"
#include "net/acceptor.h"
#include "net/tls_config.h"
#include "proxy/hcm_config.h"
#include "proxy/listener/filter_chain_match.h"
#include "proxy/listener/listener_filter.h"
#include "proxy/listener/network_filter.h"
#include "proxy/matching/match_tree.h"
#include "proxy/tcp/tcp_proxy_config.h"

/* Statistics under "listener.<address or stat_prefix>."; X(name, kind). */
#define LISTENER_STATS(X)                                                                                    \
    X(downstream_cx_total, counter)                                                                          \
    X(downstream_cx_active, gauge)                                                                           \
    X(downstream_cx_destroy, counter)                                                                        \
    X(downstream_cx_transport_socket_connect_timeout, counter)                                               \
    X(downstream_cx_overflow, counter)                                                                       \
    X(downstream_cx_length_ms, histogram)                                                                    \
    X(downstream_cx_overload_reject, counter)                                                                \
    X(downstream_global_cx_overflow, counter)                                                                \
    X(downstream_pre_cx_active, gauge)                                                                       \
    X(downstream_pre_cx_timeout, counter)                                                                    \
    X(downstream_listener_filter_error, counter)                                                             \
    X(downstream_listener_filter_remote_close, counter)                                                      \
    X(no_filter_chain_match, counter)

struct listener_stats {
#define LISTENER_STAT_X(name, kind) stat_id name;
    LISTENER_STATS(LISTENER_STAT_X)
#undef LISTENER_STAT_X
};

struct filter_chain {
    struct slice name;
    struct filter_chain_match match;
    const struct tls_config *tls;          /* owned reference; NULL: clear text */
    uint64_t transport_connect_timeout_ms; /* of the TLS handshake; 0: none */
    /* In front of the terminal filter, in the arena; mostly none. Each one's destroy is called at the end. */
    const struct network_filter_config *network;
    size_t network_count;
    /* The terminal filter: one of these. Owned references */
    const struct hcm_config *hcm;
    const struct tcp_proxy_config *tcp;
};

/* Where a listener listens. */
struct listener_address {
    struct address where;
    bool ipv4_compat;
    uint32_t pipe_mode; /* of a Unix socket; 0: as the umask has it */
    struct socket_options socket_options;
};

/* What a matcher leads to when it names a chain that is not there. */
extern const struct filter_chain filter_chain_unknown;

struct listener_config {
    atomic_uint refs;
    struct arena arena;
    struct listener_stats stats; /* filled by listener_config_seal */

    struct slice name;
    struct listener_address main;
    const struct listener_address *more; /* besides `main` */
    size_t more_count;
    struct slice stat_prefix;                   /* empty: the main address is used */
    uint32_t per_connection_buffer_limit_bytes; /* default 1 MiB */
    bool bind_to_port;                          /* default true */
    bool reuse_port;                            /* default true */
    bool freebind;
    bool transparent;
    bool use_original_dst; /* another listener has a connection whose destination was restored to its address
                            */
    uint32_t backlog;      /* default 4096 */
    uint32_t accepts_per_event_max; /* default 64: fairness between listeners and connections */
    uint64_t connections_max;       /* of all workers together; counts when `open` is there */
    _Atomic uint64_t *open;         /* owned; NULL: no limit. The one thing here that changes */
    bool ignore_global_limit;       /* its connections do not count for the whole process */
    bool bypass_overload;           /* no overload action concerns it */
    uint64_t traffic_direction;     /* core.TrafficDirection: 0 unspecified, 1 inbound, 2 outbound */

    const struct typed_value *metadata; /* NULL: none */

    struct access_log **access_logs; /* owned; of connections */
    size_t access_logs_count;

    /* In the arena. */
    struct filter_chain *chains;
    size_t chains_count;
    struct filter_chain *default_chain;   /* NULL: none */
    const struct chain_node *chain_index; /* NULL with a matcher */
    struct match_tree matcher;            /* its actions are chains; root NULL: there is none */
    const struct listener_filter_config *filters;
    size_t filters_count;
    uint64_t filters_timeout_ms; /* default 15 s; 0: none */
    bool continue_on_filters_timeout;
};

#define LISTENER_CONFIG_BYTES_MAX (16u << 20) /* 16 MiB of strings and chains */

/* Defaults are set; NULL when memory is out. One reference. */
struct listener_config *listener_config_create(void);
/* Its addresses: 0 is the main one. */
static inline size_t listener_config_addresses(const struct listener_config *l)
{
    return 1 + l->more_count;
}
const struct listener_address *listener_config_address(const struct listener_config *l, size_t i);
/* "listener.127.0.0.1_8080.", into dst; returns its length. */
size_t listener_config_stat_prefix(const struct listener_config *l, char *dst, size_t size);
/* Makes chain_index of the chains' matches. */
enum filter_chain_index_result listener_config_index(struct listener_config *l);
/* At most `max` connections, 0 too. False: memory is out. */
bool listener_config_limit(struct listener_config *l, uint64_t max);
/* Registers the statistics; indexes the chains if that was not done. Immutable from here. */
void listener_config_seal(struct listener_config *l);
const struct listener_config *listener_config_ref(const struct listener_config *l);
void listener_config_unref(const struct listener_config **l);

#endif
