/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on its way to an upstream: its first try, its body, its end, the time limit for all of it.
 * What comes back is upstream_attempt.c's; another try is upstream_retry.c's.
 */
#include "proxy/upstream_request.h"

#include "base/assert.h"
#include "base/clock.h"
#include "net/worker.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"
#include "proxy/upstream_filters.h"

void upstream_request_count(struct upstream_request *r, unsigned status)
{
    worker_cluster_count_status(r->cluster, status);
    if (WEIR_UNLIKELY(request_scopes_any(&r->scopes)))
        request_scopes_answer(&r->scopes, status);
}

void upstream_request_push_back(struct upstream_request *r, bool on)
{
    if (r->pushed_back == on)
        return;
    r->pushed_back = on;
    filter_request_backpressure(r->filter, on);
}

void upstream_request_init(struct upstream_request *r, struct filter *f)
{
    r->filter = f;
    r->first.request = r;
    list_init(&r->attempts);
    list_init(&r->first.node);
    list_init(&r->first.stream.node);
    chain_init(&r->first.body);
}

/* Ends what is in flight. */
static void end_attempts(struct upstream_request *r)
{
    struct list *node, *next;
    list_for_each(node, next, &r->attempts)
    {
        struct upstream_attempt *a = list_entry(node, struct upstream_attempt, node);
        upstream_attempt_end(a, a != r->winner);
    }
}

void upstream_request_finish(struct upstream_request *r)
{
    r->finished = true;
    timer_stop(&upstream_request_stream(r)->worker->loop, &r->timer);
    end_attempts(r);
    if (WEIR_UNLIKELY(r->retry != NULL || r->kept != NULL))
        upstream_retry_drop(r);
    upstream_request_push_back(r, false);
}

void upstream_request_outlier_timeout(struct upstream_attempt *a)
{
    uint32_t worker = upstream_request_stream(a->request)->worker->index;
    bool split = a->host->outlier && a->host->outlier->split_local;
    if (a->request->timeout_alt && !split)
        outlier_status(a->host, worker, 204); /* the client does not see a failure either (Envoy) */
    else
        outlier_event(a->host, worker, OUTLIER_TIMED_OUT);
}

void upstream_request_late(struct upstream_attempt *a)
{
    host_count(&a->shard->rq_error, 1);
    upstream_request_count(a->request, a->request->timeout_alt ? 204 : 504);
}

/* The route's timeout: the whole answer must be there. */
static void on_timeout(struct timer *timer)
{
    struct upstream_request *r = WEIR_CONTAINER_OF(timer, struct upstream_request, timer);
    struct list *node, *next;
    WEIR_ASSERT(!r->finished);
    list_for_each(node, next, &r->attempts)
    {
        struct upstream_attempt *a = list_entry(node, struct upstream_attempt, node);
        stat_inc(upstream_request_stats(r)->upstream_rq_timeout);
        REQUEST_SCOPES_INC(&r->scopes, upstream_rq_timeout);
        host_count(&a->shard->rq_timeout, 1);
        if (a->ready && !r->response_started && !a->retried)
            upstream_request_outlier_timeout(a);
        if (!r->response_started)
            upstream_request_late(a);
        upstream_attempt_end(a, true);
    }
    upstream_request_timed_out(r, "response_timeout");
}

/* The last byte of the request is here: the route's timeout begins. */
static void request_done(struct upstream_request *r)
{
    WEIR_ASSERT(!r->request_done);
    r->request_done = true;
    r->request_done_ns = monotonic_ns();
    if (r->timeout_ms)
        timer_set(&upstream_request_stream(r)->worker->loop, &r->timer, r->timeout_ms);
    if (WEIR_UNLIKELY(r->per_try_ms | r->per_try_idle_ms) && r->current && r->current->ready)
        upstream_attempt_arm(r->current);
}

static const struct mirror_policies *mirrors_of(const struct upstream_request *r)
{
    return WEIR_UNLIKELY(r->policy && r->policy->mirrors.count > 0) ? &r->policy->mirrors
                                                                    : &r->route->action.mirrors;
}

/* Envoy begins them after the request itself; CONNECT has no body that a mirror could take. */
static void start_mirrors(struct upstream_request *r, const struct header_map *headers, bool end_of_stream)
{
    struct stream *s = upstream_request_stream(r);
    if (r->finished || s->is_upgrade ||
        slice_eq(header_map_get_id(r->headers, HDR_METHOD), SLICE_LIT("CONNECT")))
        return;
    struct list *open = ARENA_NEW(&s->arena, struct list);
    if (!open)
        return;
    list_init(open);
    mirror_start(s, mirrors_of(r), headers, r->timeout_ms, upstream_request_body_max(r), end_of_stream, open);
    if (!list_empty(open))
        r->mirrors = open;
}

/* The headers as filters of the upstream have not changed them yet; NULL: memory is out. */
static const struct header_map *untouched(const struct upstream_request *r)
{
    struct arena *arena = &upstream_request_stream(r)->arena;
    struct header_map *copy = ARENA_NEW(arena, struct header_map);
    if (!copy)
        return NULL;
    header_map_init(copy, arena, r->headers->count_max, r->headers->bytes_max);
    return header_map_copy(copy, r->headers) == HEADER_OK ? copy : NULL;
}

static void mirror_body(struct upstream_request *r, const struct chain *data, bool end_of_stream)
{
    uint32_t given_up = mirror_data(r->mirrors, data, end_of_stream);
    stat_add(upstream_request_stats(r)->retry_or_shadow_abandoned, given_up);
}

void upstream_request_start(struct upstream_request *r, struct host *host, bool end_of_stream)
{
    struct stream *s = upstream_request_stream(r);
    WEIR_ASSERT(r->route && r->cluster && r->headers && list_empty(&r->attempts));
    timer_init(&r->timer, on_timeout);
    r->first.stream.arena = &s->arena;
    s->info.upstream_attempts = 1;
    if (end_of_stream)
        request_done(r);
    bool mirrored = mirrors_of(r)->count > 0;
    const struct header_map *headers = WEIR_UNLIKELY(mirrored && r->filters) ? untouched(r) : r->headers;
    upstream_attempt_begin(&r->first, host);
    if (WEIR_UNLIKELY(mirrored) && headers)
        start_mirrors(r, headers, end_of_stream);
}

void upstream_request_data(struct upstream_request *r, struct chain *data, bool end_of_stream)
{
    if (r->finished) {
        chain_clear(data);
        return;
    }
    if (end_of_stream)
        request_done(r);
    if (WEIR_UNLIKELY(r->mirrors != NULL))
        mirror_body(r, data, end_of_stream);
    struct upstream_attempt *a = r->current;
    if (WEIR_UNLIKELY(r->kept != NULL) && (!upstream_retry_keep(r, data) || !a)) {
        chain_clear(data);
        return;
    }
    WEIR_ASSERT(a);
    if (WEIR_UNLIKELY(a->filters != NULL)) {
        upstream_filters_data(a, data, end_of_stream);
        return;
    }
    if (a->ready) {
        if (upstream_stream_data(&a->stream, data, end_of_stream))
            upstream_attempt_send_failed(a);
        else if (WEIR_UNLIKELY(upstream_stream_blocked(&a->stream)) && !end_of_stream)
            upstream_request_push_back(r, true);
        return;
    }
    if (!chain_move(&a->body, data, data->bytes)) {
        upstream_attempt_send_failed(a);
        return;
    }
    if (!end_of_stream && a->body.bytes > r->cluster->cluster->config->buffer_bytes_max)
        upstream_request_push_back(r, true);
}

void upstream_request_trailers(struct upstream_request *r, struct header_map *trailers)
{
    if (r->finished)
        return;
    request_done(r);
    r->trailers = trailers;
    if (r->mirrors)
        mirror_trailers(r->mirrors, trailers);
    struct upstream_attempt *a = r->current;
    if (WEIR_UNLIKELY(a && a->filters))
        upstream_filters_trailers(a, trailers);
    else if (a && a->ready && upstream_stream_trailers(&a->stream, trailers))
        upstream_attempt_send_failed(a);
}

void upstream_request_pause(struct upstream_request *r, bool on)
{
    /* Without an answer there is nothing to pause; asked again when one begins. */
    if (!r->winner)
        return;
    if (WEIR_UNLIKELY(r->winner->filters != NULL))
        upstream_filters_pause(r->winner, on);
    else
        upstream_stream_pause(&r->winner->stream, on);
}

uint64_t upstream_request_held(const struct upstream_request *r)
{
    uint64_t bytes = r->kept ? r->kept->bytes : 0;
    for (const struct list *node = r->attempts.next; node != &r->attempts; node = node->next) {
        const struct upstream_attempt *a = list_entry(node, struct upstream_attempt, node);
        bytes += a->body.bytes + upstream_stream_held(&a->stream);
        if (a->filters)
            bytes += upstream_filters_held(a);
    }
    return bytes;
}

static void attempt_fini(struct upstream_attempt *a)
{
    upstream_stream_reset(&a->stream);
    chain_fini(&a->body);
}

void upstream_request_cancel(struct upstream_request *r)
{
    r->finished = true;
    if (r->mirrors)
        mirror_cancel(r->mirrors);
    if (r->timer.fire)
        timer_stop(&upstream_request_stream(r)->worker->loop, &r->timer);
    end_attempts(r);
    if (WEIR_UNLIKELY(r->chains != NULL))
        upstream_filters_destroy(r);
    attempt_fini(&r->first);
    if (r->retry || r->kept)
        upstream_retry_drop(r);
    for (struct upstream_attempt *a = r->more; a; a = a->next) {
        attempt_fini(a);
        arena_fini(&a->arena);
    }
    worker_cluster_unref(&r->cluster);
    if (WEIR_UNLIKELY(r->policy_owner != NULL))
        cluster_config_unref(&r->policy_owner);
}
