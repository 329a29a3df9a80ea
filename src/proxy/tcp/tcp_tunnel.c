/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tunnel: the request, the answer that opens or refuses it, and the bytes in both bodies. A tunnel that
 * was refused or lost is told of at the turn's end, so that its owner hears of it as of a connection. Never
 * used for a second attempt.
 */
#include "proxy/tcp/tcp_tunnel.h"

#include "base/assert.h"
#include "net/worker.h"
#include "proxy/forwarded.h"
#include "proxy/limits.h"
#include "proxy/logging/log_format.h"
#include "proxy/overload/overload.h"
#include "proxy/stream.h"
#include "proxy/tcp/tcp_upstream.h"
#include "upstream/outlier.h"
#include "upstream/pool.h"

#include <stdio.h>
#include <stdlib.h>

struct tcp_tunnel {
    struct tcp_upstream *up;
    struct worker *worker;
    const struct tcp_tunnel_config *config; /* its session keeps it */
    struct stream *owner;                   /* the connection as a stream */
    struct arena arena;                     /* of request and answer */
    struct header_map request;
    struct upstream_stream stream;
    struct turn_task tell_closed;
    struct turn_task destroy;
    bool open;     /* a good answer has come */
    bool ended;    /* our last byte was sent */
    bool answered; /* the answer's last byte has come */
    bool full;     /* the owner knows that the upstream takes no more for now */
    bool given_up;
    bool over;        /* nothing comes any more */
    char failure[64]; /* what the owner is told */
};

void tcp_tunnel_config_fini(struct tcp_tunnel_config *c)
{
    stream_format_destroy(&c->hostname);
    header_mutation_fini(&c->headers);
}

static struct tcp_tunnel *tunnel_of(struct upstream_stream *us)
{
    return WEIR_CONTAINER_OF(us, struct tcp_tunnel, stream);
}

static void destroy(struct turn_task *task)
{
    struct tcp_tunnel *t = WEIR_CONTAINER_OF(task, struct tcp_tunnel, destroy);
    arena_fini(&t->arena);
    free(t);
}

static void tell_closed(struct turn_task *task)
{
    struct tcp_tunnel *t = WEIR_CONTAINER_OF(task, struct tcp_tunnel, tell_closed);
    struct tcp_upstream *u = t->up;
    const struct tcp_upstream_end end = {
        .was_connected = t->open, .given_up = t->given_up, .failure = slice_str(t->failure)};
    loop_defer_destroy(&t->worker->loop, &t->destroy);
    tcp_upstream_tunnel_gone(u);
    u->events->closed(u->owner, &end);
}

static void over(struct tcp_tunnel *t)
{
    if (t->over)
        return;
    t->over = true;
    upstream_stream_reset(&t->stream);
    loop_at_turn_end(&t->worker->loop, &t->tell_closed);
}

static void note_full(struct tcp_tunnel *t, bool on)
{
    if (t->full == on || t->over || !t->open)
        return;
    t->full = on;
    t->up->events->full(t->up->owner, on);
}

/* --- the request --- */

static struct slice hostname(struct tcp_tunnel *t)
{
    struct strbuf text;
    strbuf_init(&text, HEADER_FORMAT_BYTES_MAX);
    t->config->hostname->format(t->config->hostname, t->owner, SLICE_EMPTY, &text);
    struct slice host = text.failed ? SLICE_EMPTY : arena_dup(&t->arena, strbuf_slice(&text));
    strbuf_fini(&text);
    return host;
}

static bool set(struct tcp_tunnel *t, enum header_id id, struct slice value)
{
    return header_map_set_id(&t->request, id, value) == HEADER_OK;
}

static bool add_id(struct tcp_tunnel *t)
{
    char *id = arena_alloc_text(&t->arena, REQUEST_ID_BYTES);
    if (!id)
        return false;
    uint64_t high = worker_random_bits(t->worker), low = worker_random_bits(t->worker);
    request_id_make(high, low, id);
    return header_map_set(&t->request, t->config->id_header, slice_of(id, REQUEST_ID_BYTES)) == HEADER_OK;
}

static bool make_request(struct tcp_tunnel *t)
{
    const struct tcp_tunnel_config *c = t->config;
    const struct cluster_config *cluster = t->up->cluster->cluster->config;
    header_map_init(&t->request, &t->arena, cluster->max_headers_count, cluster->max_headers_bytes);
    bool post = c->post_path.ptr != NULL;
    if (!set(t, HDR_METHOD, post ? SLICE_LIT("POST") : SLICE_LIT("CONNECT")) ||
        !set(t, HDR_AUTHORITY, hostname(t)))
        return false;
    if (post && (!set(t, HDR_PATH, c->post_path) ||
                 !set(t, HDR_SCHEME, t->up->host->tls ? SLICE_LIT("https") : SLICE_LIT("http"))))
        return false;
    if (c->request_id && !add_id(t))
        return false;
    header_mutation_apply(&c->headers, &t->request, t->owner);
    return true;
}

/* --- the answer --- */

/* Envoy's: any 2xx opens a tunnel in HTTP/1, only 200 in HTTP/2. */
static bool opens(const struct tcp_tunnel *t, uint64_t status)
{
    return upstream_stream_is_http2(&t->stream) ? status == 200 : status / 100 == 2;
}

/* As filter state of the connection, in the form that Envoy's object has in logs. */
static void propagate(struct tcp_tunnel *t, struct slice key, const struct header_map *headers)
{
    static const struct filter_state_prototype prototype = {.type = FILTER_STATE_MESSAGE,
                                                            .span = FILTER_STATE_CONNECTION};
    struct strbuf text;
    uint32_t cursor = 0;
    const char *before = "";
    strbuf_init(&text, CONNECTION_STATE_BYTES_MAX);
    strbuf_append_str(&text, "{\"headers\":[");
    for (const struct header *h; (h = header_map_next(headers, &cursor)) != NULL; before = ",") {
        strbuf_printf(&text, "%s{\"key\":", before);
        strbuf_append_json(&text, h->name);
        strbuf_append_str(&text, ",\"value\":");
        strbuf_append_json(&text, h->value);
        strbuf_append_char(&text, '}');
    }
    strbuf_append_str(&text, "]}");
    if (!text.failed)
        (void)filter_state_set(&t->owner->filter_state, key, strbuf_slice(&text), &prototype);
    strbuf_fini(&text);
}

static void on_headers(struct upstream_stream *us, struct header_map *headers, bool end_of_stream)
{
    struct tcp_tunnel *t = tunnel_of(us);
    uint64_t status = 0;
    (void)slice_parse_u64(header_map_get_id(headers, HDR_STATUS), &status); /* the codec checked it */
    if (t->config->propagate_headers)
        propagate(t, SLICE_LIT("envoy.tcp_proxy.propagate_response_headers"), headers);
    if (end_of_stream || !opens(t, status)) {
        snprintf(t->failure, sizeof(t->failure), "tunnel response:%u", (unsigned)status);
        outlier_event(t->up->host, t->worker->index, OUTLIER_CONNECT_FAILED);
        over(t);
        return;
    }
    t->open = true;
    outlier_event(t->up->host, t->worker->index, OUTLIER_CONNECTED_FINAL);
    t->up->connected = true;
    t->up->events->connected(t->up->owner);
    note_full(t, upstream_stream_blocked(&t->stream));
}

static void answered(struct tcp_tunnel *t)
{
    t->answered = true;
    if (!t->over)
        t->up->events->eof(t->up->owner);
}

static void on_data(struct upstream_stream *us, struct chain *data, bool end_of_stream)
{
    struct tcp_tunnel *t = tunnel_of(us);
    if (!chain_empty(data))
        t->up->events->data(t->up->owner, data);
    if (end_of_stream)
        answered(t);
}

static void on_trailers(struct upstream_stream *us, struct header_map *trailers)
{
    struct tcp_tunnel *t = tunnel_of(us);
    if (t->config->propagate_trailers)
        propagate(t, SLICE_LIT("envoy.tcp_proxy.propagate_response_trailers"), trailers);
    answered(t);
}

static void on_informational(struct upstream_stream *us, struct header_map *headers)
{
    (void)us;
    (void)headers;
}

/* --- its life --- */

static void send_request(struct tcp_tunnel *t)
{
    if (upstream_stream_headers(&t->stream, &t->request, false))
        over(t);
}

static void on_ready(struct upstream_stream *us)
{
    send_request(tunnel_of(us));
}

static void on_failed(struct upstream_stream *us, enum upstream_reset why, const char *transport)
{
    struct tcp_tunnel *t = tunnel_of(us);
    (void)snprintf(t->failure, sizeof(t->failure), "%s", transport);
    t->given_up = why == UPSTREAM_OVERFLOW;
    over(t);
}

static void on_reset(struct upstream_stream *us, enum upstream_reset why)
{
    (void)why;
    over(tunnel_of(us));
}

static void on_complete(struct upstream_stream *us)
{
    over(tunnel_of(us));
}

static void on_backpressure(struct upstream_stream *us, bool on)
{
    note_full(tunnel_of(us), on);
}

static const struct upstream_stream_events stream_events = {
    .ready = on_ready,
    .failed = on_failed,
    .informational = on_informational,
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .complete = on_complete,
    .backpressure = on_backpressure,
};

static enum pool_result open_stream(struct tcp_tunnel *t, const struct upstream_origin *origin)
{
    struct worker_cluster *wc = t->up->cluster;
    const struct cluster_config *cluster = wc->cluster->config;
    struct upstream_wants wants = upstream_wants_of(cluster, &t->request);
    if (cluster->pool_per_downstream)
        wants.downstream = t->owner->info.connection_id;
    if (t->up->host->proxy)
        wants.origin = origin;
    struct pool *pool =
        pool_get_wanted(&wc->pools, t->up->host, BREAKER_DEFAULT, pool_kind_of(cluster, false), &wants);
    return pool ? overload_open_stream(pool, &t->stream, t->worker) : POOL_FAILED;
}

struct tcp_tunnel *tcp_tunnel_open(struct tcp_upstream *u, struct worker *w,
                                   const struct tcp_upstream_wish *wish, bool *overflow)
{
    const struct cluster_config *cluster = u->cluster->cluster->config;
    struct tcp_tunnel *t = calloc(1, sizeof(*t));
    *overflow = false;
    if (!t)
        return NULL;
    t->up = u;
    t->worker = w;
    t->config = wish->tunnel;
    t->owner = wish->stream;
    arena_init(&t->arena, STREAM_ARENA_BYTES_EXTRA + STREAM_ARENA_HEADER_FACTOR * cluster->max_headers_bytes,
               &w->loop.arenas);
    turn_task_init(&t->tell_closed, tell_closed);
    turn_task_init(&t->destroy, destroy);
    list_init(&t->stream.node);
    t->stream.events = &stream_events;
    t->stream.arena = &t->arena;
    enum pool_result result = make_request(t) ? open_stream(t, wish->origin) : POOL_FAILED;
    if (result == POOL_READY)
        send_request(t);
    if (result == POOL_READY || result == POOL_PENDING)
        return t;
    *overflow = result == POOL_OVERFLOW;
    destroy(&t->destroy);
    return NULL;
}

bool tcp_tunnel_send(struct tcp_tunnel *t, struct chain *data)
{
    if (t->over || t->ended)
        return false;
    if (upstream_stream_data(&t->stream, data, false))
        return false;
    note_full(t, upstream_stream_blocked(&t->stream));
    return true;
}

void tcp_tunnel_end(struct tcp_tunnel *t)
{
    struct chain nothing;
    if (t->over || t->ended)
        return;
    t->ended = true;
    chain_init(&nothing);
    if (upstream_stream_data(&t->stream, &nothing, true))
        over(t);
    else if (!t->config->post_path.ptr)
        upstream_stream_shut(&t->stream);
    chain_fini(&nothing);
}

void tcp_tunnel_pause(struct tcp_tunnel *t, bool on)
{
    if (!t->over)
        upstream_stream_pause(&t->stream, on);
}

void tcp_tunnel_close(struct tcp_tunnel *t, enum conn_close_mode mode)
{
    t->given_up = !t->open;
    /* Both sides have said their last: `complete` follows, or in HTTP/1 the end of the connection. */
    if (mode == CONN_CLOSE_FLUSH && t->answered && !t->over) {
        tcp_tunnel_end(t);
        upstream_stream_shut(&t->stream);
        return;
    }
    over(t);
}

const struct address *tcp_tunnel_local(const struct tcp_tunnel *t)
{
    return upstream_stream_local(&t->stream);
}

const struct address *tcp_tunnel_remote(const struct tcp_tunnel *t)
{
    return upstream_stream_remote(&t->stream);
}

uint64_t tcp_tunnel_connection_id(const struct tcp_tunnel *t)
{
    return upstream_stream_connection_id(&t->stream);
}

struct tls_info *tcp_tunnel_tls(const struct tcp_tunnel *t)
{
    return upstream_stream_tls(&t->stream);
}
