/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upstream side of a callout: cluster, host, connection, time, failure; as Envoy's asynchronous client.
 * Never calls the guest from inside the call that started the callout, and never after it was cancelled.
 */
#include "filters/wasm/wasm_callout.h"

#include "base/clock.h"
#include "filters/wasm/wasm_service_impl.h"
#include "proxy/overload/overload.h"
#include "upstream/host_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of one callout's headers, both ways, with their items. */
#define CALLOUT_ARENA_BYTES_MAX ((size_t)16 << 20)
/* Fields and bytes of a plugin's request: what the ABI's pairs can hold. */
#define CALLOUT_HEADERS_MAX       1024u
#define CALLOUT_HEADERS_BYTES_MAX ((size_t)1 << 20)

static struct cluster_stats *stats_of(const struct wasm_callout *c)
{
    return &c->cluster->cluster->stats;
}

/* --- the end --- */

static void free_now(struct turn_task *task)
{
    struct wasm_callout *c = WEIR_CONTAINER_OF(task, struct wasm_callout, destroy);
    chain_fini(&c->out);
    chain_fini(&c->later);
    strbuf_fini(&c->body);
    strbuf_fini(&c->frame.bytes);
    strbuf_fini(&c->grpc_message);
    wasm_policy_unref(&c->policy);
    arena_fini(&c->arena);
    free(c);
}

void wasm_callout_stop(struct wasm_callout *c)
{
    c->over = true;
    c->ready = false;
    if (c->later_headers)
        c->headers = NULL; /* the plugin never learns of an answer */
    c->later_headers = c->later_end = c->later_trailers = false;
    chain_clear(&c->later);
    upstream_stream_reset(&c->stream);
    timer_stop(&c->worker->loop, &c->timer);
    list_remove(&c->flush.node);
    list_init(&c->flush.node);
    chain_clear(&c->out);
    if (c->cluster)
        worker_cluster_unref(&c->cluster);
}

void wasm_callout_destroy(struct wasm_callout *c)
{
    WEIR_ASSERT(!c->pw);
    wasm_callout_stop(c);
    timer_stop(&c->worker->loop, &c->share_timer);
    list_remove(&c->done.node);
    list_init(&c->done.node);
    if (list_empty(&c->destroy.node))
        loop_defer_destroy(&c->worker->loop, &c->destroy);
}

static void deliver(struct turn_task *task)
{
    struct wasm_callout *c = WEIR_CONTAINER_OF(task, struct wasm_callout, done);
    WEIR_ASSERT(c->pw && c->over);
    if (wasm_callout_must_wait(c)) {
        c->later_done = true;
        return;
    }
    c->kind->deliver(c);
    WEIR_ASSERT(!c->pw);
    wasm_callout_destroy(c);
}

void wasm_callout_done(struct wasm_callout *c)
{
    WEIR_ASSERT(c->pw && c->over);
    loop_at_turn_end(&c->worker->loop, &c->done);
}

/* --- the share of time of the plugin --- */

static bool waits(const struct wasm_callout *c)
{
    return c->later_headers || !chain_empty(&c->later) || c->later_end || c->later_trailers || c->later_done;
}

bool wasm_callout_must_wait(struct wasm_callout *c)
{
    uint64_t now_ms = c->worker->loop.now_ms;
    if (WEIR_LIKELY(wasm_seat_may_run(c->seat, now_ms)))
        return false;
    if (!timer_active(&c->share_timer))
        timer_set(&c->worker->loop, &c->share_timer, wasm_seat_wait_ms(c->seat, now_ms));
    return true;
}

/* Before something that enters the guest: whether it comes behind others that wait, or has to wait itself. */
static bool held_up(struct wasm_callout *c)
{
    return c->kind->tells_all && (waits(c) || wasm_callout_must_wait(c));
}

static void pause_upstream(struct wasm_callout *c, bool on)
{
    if (upstream_stream_active(&c->stream) && !c->over)
        upstream_stream_pause(&c->stream, on);
}

bool wasm_callout_later_data(struct wasm_callout *c, struct chain *data, bool end_of_stream)
{
    pause_upstream(c, true);
    c->later_end = c->later_end || end_of_stream;
    return chain_move(&c->later, data, data->bytes);
}

static void share_data(struct wasm_callout *c)
{
    struct chain data;
    bool end = c->later_end;
    c->later_end = false;
    chain_init(&data);
    if (chain_move(&data, &c->later, c->later.bytes))
        c->kind->data(c, &data, end);
    chain_fini(&data);
}

/* In the order in which it came, for as long as there is time. Each step may end the callout. */
static void share_fired(struct timer *timer)
{
    struct wasm_callout *c = WEIR_CONTAINER_OF(timer, struct wasm_callout, share_timer);
    if (c->pw && c->later_headers && !wasm_callout_must_wait(c)) {
        c->later_headers = false;
        c->kind->headers(c, c->later_headers_end);
    }
    if (c->pw && !c->later_headers && (!chain_empty(&c->later) || c->later_end) && !wasm_callout_must_wait(c))
        share_data(c);
    if (!c->pw || c->later_headers || !chain_empty(&c->later) || c->later_end)
        return;
    if (c->later_trailers) {
        c->later_trailers = false;
        c->kind->trailers(c);
    }
    if (c->pw && c->later_done) {
        c->later_done = false;
        wasm_callout_done(c);
    }
    pause_upstream(c, false);
}

static void cancel(void *ctx, struct pw_callout *pw)
{
    struct wasm_callout *c = pw_callout_data(pw);
    (void)ctx;
    c->pw = NULL;
    wasm_callout_destroy(c);
}

/* --- failure, as the router answers it --- */

static void on_timeout(struct timer *timer)
{
    struct wasm_callout *c = WEIR_CONTAINER_OF(timer, struct wasm_callout, timer);
    unsigned status = c->headers ? 0 : 504;
    WEIR_ASSERT(c->pw && !c->over);
    stat_inc(stats_of(c)->upstream_rq_timeout);
    host_count(&c->shard->rq_timeout, 1);
    if (status) {
        outlier_event(c->host, c->worker->index, OUTLIER_TIMED_OUT);
        host_count(&c->shard->rq_error, 1);
        worker_cluster_count_status(c->cluster, status);
    }
    wasm_callout_stop(c);
    c->kind->failed(c, status, "upstream request timeout", "response_timeout");
}

/* Envoy's response code details: "upstream_reset_before_response_started{remote_connection_failure|..}". */
static void reset_details(enum upstream_reset why, const char *transport, char *to, size_t size)
{
    snprintf(to, size, "upstream_reset_before_response_started{%s%s%s}", upstream_reset_text(why),
             transport[0] ? "|" : "", transport);
    for (; *to; to++) {
        if (*to == ' ')
            *to = '_';
    }
}

static void fail(struct wasm_callout *c, enum upstream_reset why, const char *transport)
{
    char text[160], details[256];
    unsigned status = c->headers ? 0 : why == UPSTREAM_PROTOCOL_ERROR ? 502 : 503;
    host_watch_failed(c->host, c->worker->index, why);
    if (status) {
        if (why != UPSTREAM_OVERFLOW)
            host_count(&c->shard->rq_error, 1);
        worker_cluster_count_status(c->cluster, status);
    }
    snprintf(text, sizeof(text),
             "upstream connect error or disconnect/reset before headers. reset reason: %s",
             upstream_reset_text(why));
    reset_details(why, transport, details, sizeof(details));
    wasm_callout_stop(c);
    c->kind->failed(c, status, text, details);
}

/* --- sending --- */

/* What waits, and the end of it. False: the stream is lost. */
static bool send_waiting(struct wasm_callout *c)
{
    const struct http_error *error = NULL;
    if (!c->ready || c->blocked || c->sent_end || (chain_empty(&c->out) && !c->out_end))
        return true;
    bool trailers = c->request_trailers.count > 0;
    c->sent_end = c->out_end;
    pw_callout_uncharge(c->pw, c->out_charged);
    c->out_charged = 0;
    if (!chain_empty(&c->out) || !trailers)
        error = upstream_stream_data(&c->stream, &c->out, c->out_end && !trailers);
    if (!error && upstream_stream_blocked(&c->stream))
        c->blocked = true; /* until the event that says otherwise */
    if (!error && c->out_end && trailers)
        error = upstream_stream_trailers(&c->stream, &c->request_trailers);
    return !error;
}

static void flush(struct turn_task *task)
{
    struct wasm_callout *c = WEIR_CONTAINER_OF(task, struct wasm_callout, flush);
    if (!send_waiting(c))
        fail(c, UPSTREAM_LOCAL_RESET, "");
}

bool wasm_callout_send(struct wasm_callout *c, struct slice bytes)
{
    WEIR_ASSERT(!c->out_end && !c->over);
    if (!chain_append_copy(&c->out, &c->worker->loop.blocks, bytes))
        return false;
    loop_at_turn_end(&c->worker->loop, &c->flush);
    return true;
}

void wasm_callout_send_end(struct wasm_callout *c)
{
    WEIR_ASSERT(!c->out_end && !c->over);
    c->out_end = true;
    loop_at_turn_end(&c->worker->loop, &c->flush);
}

/* A connection is there. The head ends the request when nothing follows it. */
static bool send_head(struct wasm_callout *c)
{
    bool alone = c->out_end && chain_empty(&c->out) && c->request_trailers.count == 0;
    c->ready = true;
    c->sent_end = alone;
    return !upstream_stream_headers(&c->stream, &c->request, alone) && send_waiting(c);
}

/* --- events of the upstream stream --- */

static bool set_number(struct header_map *map, enum header_id id, uint64_t value)
{
    char text[SLICE_U64_BYTES];
    return header_map_set_id(map, id, slice_from_u64(value, text)) == HEADER_OK;
}

static struct wasm_callout *callout_of(struct upstream_stream *us)
{
    return WEIR_CONTAINER_OF(us, struct wasm_callout, stream);
}

static void on_ready(struct upstream_stream *us)
{
    struct wasm_callout *c = callout_of(us);
    if (!send_head(c))
        fail(c, UPSTREAM_LOCAL_RESET, "");
}

static void on_failed(struct upstream_stream *us, enum upstream_reset why, const char *transport)
{
    fail(callout_of(us), why, transport);
}

static void on_informational(struct upstream_stream *us, struct header_map *headers)
{
    (void)us; /* the client that asks is not there to wait for them */
    (void)headers;
}

/* The answer is whole. */
static void answered(struct wasm_callout *c)
{
    stat_record(stats_of(c)->upstream_rq_time, (monotonic_ns() - c->began_ns) / 1000000);
    c->over = true;
    timer_stop(&c->worker->loop, &c->timer);
    if (!c->sent_end)
        upstream_stream_reset(&c->stream);
}

static void on_headers(struct upstream_stream *us, struct header_map *headers, bool end_of_stream)
{
    struct wasm_callout *c = callout_of(us);
    uint64_t status = 0;
    if (c->over)
        return;
    slice_parse_u64(header_map_get_id(headers, HDR_STATUS), &status);
    worker_cluster_count_status(c->cluster, (unsigned)status);
    host_watch_answer(
        c->host, c->worker->index, (unsigned)status, headers,
        slice_starts_with(header_map_get_id(&c->request, HDR_CONTENT_TYPE), SLICE_LIT("application/grpc")),
        c->worker->loop.now_ms);
    host_count(status >= 500 ? &c->shard->rq_error : &c->shard->rq_success, 1);
    c->headers = headers;
    if (c->sent_end)
        set_number(headers, HDR_X_ENVOY_UPSTREAM_SERVICE_TIME, (monotonic_ns() - c->began_ns) / 1000000);
    if (status == 101) {
        fail(c, UPSTREAM_PROTOCOL_ERROR, ""); /* no plugin can speak another protocol */
        return;
    }
    if (end_of_stream)
        answered(c);
    if (!held_up(c)) {
        c->kind->headers(c, end_of_stream);
        return;
    }
    pause_upstream(c, true);
    c->later_headers = true;
    c->later_headers_end = end_of_stream;
}

static void on_data(struct upstream_stream *us, struct chain *data, bool end_of_stream)
{
    struct wasm_callout *c = callout_of(us);
    if (c->over)
        return;
    if (end_of_stream)
        answered(c);
    if (!held_up(c))
        c->kind->data(c, data, end_of_stream);
    else if (!wasm_callout_later_data(c, data, end_of_stream))
        fail(c, UPSTREAM_LOCAL_RESET, "");
}

static void on_trailers(struct upstream_stream *us, struct header_map *trailers)
{
    struct wasm_callout *c = callout_of(us);
    if (c->over)
        return;
    c->trailers = trailers;
    answered(c);
    if (held_up(c))
        c->later_trailers = true;
    else
        c->kind->trailers(c);
}

static void on_reset(struct upstream_stream *us, enum upstream_reset why)
{
    struct wasm_callout *c = callout_of(us);
    if (!c->over)
        fail(c, why, "");
}

static void on_complete(struct upstream_stream *us)
{
    (void)us;
}

static void on_backpressure(struct upstream_stream *us, bool on)
{
    struct wasm_callout *c = callout_of(us);
    c->blocked = on;
    if (!on && !c->over)
        loop_at_turn_end(&c->worker->loop, &c->flush);
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

/* --- the beginning --- */

/* What Envoy's router adds on behalf of its asynchronous client, and what it takes as an order. */
static bool decorate(struct header_map *request, uint64_t *timeout_ms)
{
    uint64_t ms;
    if (slice_parse_u64(header_map_get_id(request, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS), &ms) &&
        ms <= UINT32_MAX)
        *timeout_ms = ms;
    header_map_remove_id(request, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS);
    return header_map_set_id(request, HDR_X_ENVOY_INTERNAL, SLICE_LIT("true")) == HEADER_OK &&
           (*timeout_ms == 0 || set_number(request, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, *timeout_ms));
}

/* Of the plugin that asks, in whichever of its VMs. */
static struct wasm_seat *seat_of(const struct wasm_vm *vm, const struct pw_callout *pw)
{
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        const struct wasm_plugin *plugin = vm->group->plugins[i];
        if (plugin && plugin->pw == pw_root_plugin(pw_callout_root(pw)))
            return vm->seats[i];
    }
    WEIR_UNREACHABLE();
}

struct worker_cluster *wasm_callout_cluster(struct wasm_vm *vm, const struct pw_callout *pw,
                                            struct slice name)
{
    if (wasm_policy_hides_cluster(seat_of(vm, pw)->policy, name))
        return NULL;
    return worker_cluster_find(vm->worker, name, slice_hash(name));
}

struct wasm_callout *wasm_callout_create(struct wasm_vm *vm, struct pw_callout *pw,
                                         const struct wasm_callout_kind *kind, struct slice cluster,
                                         enum pw_status *status)
{
    struct worker_cluster *wc = wasm_callout_cluster(vm, pw, cluster);
    *status = wc ? PW_STATUS_INTERNAL_FAILURE : PW_STATUS_BAD_ARGUMENT;
    struct wasm_callout *c = wc ? calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return NULL;
    struct loop *loop = &vm->worker->loop;
    c->worker = vm->worker;
    c->pw = pw;
    c->kind = kind;
    c->seat = seat_of(vm, pw);
    c->policy = c->seat->policy->hides ? wasm_policy_ref(c->seat->policy) : NULL;
    c->cluster = worker_cluster_ref(wc);
    list_init(&c->stream.node);
    arena_init(&c->arena, CALLOUT_ARENA_BYTES_MAX, &loop->arenas);
    header_map_init(&c->request, &c->arena, CALLOUT_HEADERS_MAX, CALLOUT_HEADERS_BYTES_MAX);
    header_map_init(&c->request_trailers, &c->arena, CALLOUT_HEADERS_MAX, CALLOUT_HEADERS_BYTES_MAX);
    chain_init(&c->out);
    chain_init(&c->later);
    timer_init(&c->timer, on_timeout);
    timer_init(&c->share_timer, share_fired);
    turn_task_init(&c->flush, flush);
    turn_task_init(&c->done, deliver);
    turn_task_init(&c->destroy, free_now);
    strbuf_init(&c->body, pw_callout_answer_bytes_max(pw) + 1);
    strbuf_init(&c->frame.bytes, pw_callout_answer_bytes_max(pw) + 1);
    strbuf_init(&c->grpc_message, CALLOUT_HEADERS_BYTES_MAX);
    c->stream.events = &stream_events;
    c->stream.arena = &c->arena;
    pw_callout_set_data(pw, c);
    return c;
}

bool wasm_callout_copy(struct header_map *map, const struct pw_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice name = slice_of(pairs[i].name.ptr, pairs[i].name.len);
        struct slice value = slice_of(pairs[i].value.ptr, pairs[i].value.len);
        if (header_map_add(map, name, value) != HEADER_OK)
            return false;
    }
    return true;
}

static enum pw_status give_up(struct wasm_callout *c)
{
    c->pw = NULL;
    wasm_callout_destroy(c);
    return PW_STATUS_INTERNAL_FAILURE;
}

enum pw_status wasm_callout_start(struct wasm_callout *c, uint64_t timeout_ms)
{
    if (!decorate(&c->request, &timeout_ms))
        return give_up(c);
    struct host *host = worker_cluster_pick_alone(c->cluster, &c->request);
    if (!host) {
        stat_inc(stats_of(c)->upstream_cx_none_healthy);
        worker_cluster_count_status(c->cluster, 503);
        return give_up(c);
    }
    struct pool *pool =
        pool_get(&worker_cluster_of_pick(c->cluster)->pools, host, BREAKER_DEFAULT, &c->request);
    if (!pool)
        return give_up(c);
    c->host = host;
    c->shard = &host->shards[c->worker->index];
    c->began_ns = monotonic_ns();
    enum pool_result result = overload_open_stream(pool, &c->stream, c->worker);
    if (result == POOL_OVERFLOW || result == POOL_FAILED) {
        worker_cluster_count_status(c->cluster, 503);
        return give_up(c);
    }
    if (result == POOL_READY && !send_head(c))
        return give_up(c);
    if (timeout_ms)
        timer_set(&c->worker->loop, &c->timer, timeout_ms);
    return PW_STATUS_OK;
}

bool wasm_callout_keep(struct wasm_callout *c, struct strbuf *to, struct chain *data, size_t bytes)
{
    if (bytes > pw_callout_answer_bytes_max(c->pw) - to->len || !pw_callout_charge(c->pw, bytes))
        return false;
    while (bytes > 0) {
        struct slice front = chain_front(data);
        if (front.len > bytes)
            front.len = bytes;
        if (!strbuf_append(to, front))
            return false;
        chain_drain(data, front.len);
        bytes -= front.len;
    }
    return true;
}

struct pw_pair *wasm_callout_pairs(struct wasm_callout *c, const struct header_map *map, size_t *count)
{
    struct pw_pair *pairs = ARENA_NEW_N(&c->arena, struct pw_pair, map->count + 1);
    uint32_t cursor = 0;
    *count = 0;
    if (!pairs)
        return NULL;
    for (const struct header *h; (h = header_map_next(map, &cursor)) != NULL;) {
        if (c->policy && wasm_policy_hides_header(c->policy, h->name))
            continue;
        pairs[*count].name = (struct pw_slice){h->name.ptr, h->name.len};
        pairs[(*count)++].value = (struct pw_slice){h->value.ptr, h->value.len};
    }
    return pairs;
}

const struct pw_callout_ops wasm_callout_ops = {
    .size = sizeof(wasm_callout_ops),
    .http_call = wasm_callout_http,
    .grpc_call = wasm_callout_grpc_call,
    .grpc_stream = wasm_callout_grpc_stream,
    .grpc_send = wasm_callout_grpc_send,
    .cancel = cancel,
};
