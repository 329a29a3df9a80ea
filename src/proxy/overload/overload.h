/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process does less of because something runs short: Envoy's overload actions and load shed points.
 * The main thread writes (server/overload.c), workers read: one relaxed load where nothing is short. Only the
 * count of connections is written by workers.
 */
#ifndef WEIR_PROXY_OVERLOAD_H
#define WEIR_PROXY_OVERLOAD_H

#include "net/worker.h"
#include "telemetry/stats.h"
#include "upstream/pool.h"

#include <stdatomic.h>

struct downstream;
struct stream;

/* X(NAME, text): actions first, then load shed points. */
#define OVERLOAD_POINTS(X)                                                                                   \
    X(STOP_ACCEPTING_REQUESTS, "envoy.overload_actions.stop_accepting_requests")                             \
    X(DISABLE_HTTP_KEEPALIVE, "envoy.overload_actions.disable_http_keepalive")                               \
    X(STOP_ACCEPTING_CONNECTIONS, "envoy.overload_actions.stop_accepting_connections")                       \
    X(REJECT_INCOMING_CONNECTIONS, "envoy.overload_actions.reject_incoming_connections")                     \
    X(SHRINK_HEAP, "envoy.overload_actions.shrink_heap")                                                     \
    X(REDUCE_TIMEOUTS, "envoy.overload_actions.reduce_timeouts")                                             \
    X(RESET_STREAMS, "envoy.overload_actions.reset_high_memory_stream")                                      \
    X(SHED_ACCEPT, "envoy.load_shed_points.tcp_listener_accept")                                             \
    X(SHED_HEADERS, "envoy.load_shed_points.http_connection_manager_decode_headers")                         \
    X(SHED_HTTP1, "envoy.load_shed_points.http1_server_abort_dispatch")                                      \
    X(SHED_CODEC, "envoy.load_shed_points.hcm_ondata_creating_codec")                                        \
    X(SHED_GO_AWAY, "envoy.load_shed_points.http2_server_go_away_on_dispatch")                               \
    X(SHED_GO_AWAY_CLOSE, "envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch")               \
    X(SHED_ROUTER, "envoy.load_shed_points.http_downstream_filter_check")                                    \
    X(SHED_POOL, "envoy.load_shed_points.connection_pool_new_connection")                                    \
    X(SHED_TCP_DATA, "envoy.load_shed_points.tcp_proxy_on_data")                                             \
    X(SHED_TCP_CONNECT, "envoy.load_shed_points.tcp_proxy_upstream_connect")

enum overload_point {
#define POINT_X(name, text) OVERLOAD_##name,
    OVERLOAD_POINTS(POINT_X)
#undef POINT_X
        OVERLOAD_POINT_COUNT
};
#define OVERLOAD_FIRST_SHED_POINT OVERLOAD_SHED_ACCEPT
#define OVERLOAD_BIT(name)        (1u << OVERLOAD_##name)
#define OVERLOAD_ACCEPT_BITS      (OVERLOAD_BIT(REJECT_INCOMING_CONNECTIONS) | OVERLOAD_BIT(SHED_ACCEPT))
#define OVERLOAD_DISPATCH_BITS                                                                               \
    (OVERLOAD_BIT(SHED_CODEC) | OVERLOAD_BIT(SHED_GO_AWAY) | OVERLOAD_BIT(SHED_GO_AWAY_CLOSE))

const char *overload_point_name(enum overload_point p);

/* --- the state of points --- */

/* A point's state of 1: it always acts. Between 0 and this it acts with that probability. */
#define OVERLOAD_FULL 65536u

extern _Atomic uint32_t overload_bits_word;
extern _Atomic uint32_t overload_scales[OVERLOAD_POINT_COUNT];

/* The points whose state is not 0, as OVERLOAD_BIT. */
static inline uint32_t overload_bits(void)
{
    return atomic_load_explicit(&overload_bits_word, memory_order_relaxed);
}
/* By the main thread. `scale` up to OVERLOAD_FULL. */
void overload_set(enum overload_point p, uint32_t scale);
/* Whether the point acts this time; counts what load shed points shed. */
bool overload_acts(enum overload_point p, struct worker *w);
/* The same for a point that nearly always is off: one relaxed load then. */
#define OVERLOAD_SHEDS(name, worker)                                                                         \
    (WEIR_UNLIKELY(overload_bits() & OVERLOAD_BIT(name)) && overload_acts(OVERLOAD_##name, worker))
/* The same for connections of a listener, which may be exempt. */
#define LISTENER_SHEDS(name, listener)                                                                       \
    (OVERLOAD_SHEDS(name, (listener)->worker) && !(listener)->config->bypass_overload)
/* Before workers start: where a load shed point counts. */
void overload_count_shed(enum overload_point p, stat_id shed_load_count);

/* --- reduce_timeouts --- */

enum overload_timer {
    OVERLOAD_TIMER_CONNECTION_IDLE,
    OVERLOAD_TIMER_STREAM_IDLE,
    OVERLOAD_TIMER_HANDSHAKE,
    OVERLOAD_TIMER_CONNECTION_MAX,
    OVERLOAD_TIMER_STREAM_FLUSH,
    OVERLOAD_TIMER_COUNT
};

/* Before workers start. How far the timer shrinks in full overload: to min_ms, or to a share of 65536. */
void overload_timer_floor(enum overload_timer t, uint64_t min_ms, uint32_t min_share);
uint64_t overload_reduced_timeout(enum overload_timer t, uint64_t limit_ms);
/* The limit for now; 0 (no limit) stays 0. */
static inline uint64_t overload_timeout(enum overload_timer t, uint64_t limit_ms)
{
    bool reduced = overload_bits() & OVERLOAD_BIT(REDUCE_TIMEOUTS);
    return WEIR_UNLIKELY(reduced) ? overload_reduced_timeout(t, limit_ms) : limit_ms;
}

/* --- the count of downstream connections --- */

/* Before workers start; 0: no limit, nothing is counted. */
void overload_limit_connections(uint64_t max);
bool overload_limits_connections(void);
/* False: there are as many as may be; nothing is counted then. */
bool overload_connection_begins(void);
void overload_connection_ends(void);
/* Open ones as a share of the limit. */
double overload_connections_pressure(void);

/* --- reset_high_memory_stream: overload_streams.c --- */

/* Classes of streams by the bytes that wait for them: the first one's have half of 2^minimum, each other's
 * twice those of the one before, the last one's all above. */
#define OVERLOAD_STREAM_CLASSES 8u
/* Of a worker, each time (Envoy). */
#define OVERLOAD_STREAMS_RESET_MAX 50u

/* Before workers start. Power of two of the bytes from which on streams are looked at; 0: none is. */
void overload_track_streams(uint32_t minimum_power, stat_id reset_count);
/* Resets the largest streams of the worker: of the highest class alone, or the more the higher the action's
 * scale. */
void overload_reset_streams(struct worker *w);

/* --- for connections and requests: overload_request.c --- */

/* Bytes have come and one of OVERLOAD_DISPATCH_BITS is not 0. False: the connection is closing, they are of
 * no use. */
bool overload_dispatch(struct downstream *d);
/* A request's headers are here and some point is not 0. True: it was answered. */
bool overload_request(struct stream *s);
/* pool_open_stream, unless that would need another connection and there shall be none. */
static inline enum pool_result overload_open_stream(struct pool *p, struct upstream_stream *s,
                                                    struct worker *w)
{
    if (WEIR_LIKELY(!(overload_bits() & OVERLOAD_BIT(SHED_POOL))) || !pool_would_connect(p) ||
        !overload_acts(OVERLOAD_SHED_POOL, w))
        return pool_open_stream(p, s);
    pool_left(p);
    return POOL_OVERFLOW;
}

#endif
