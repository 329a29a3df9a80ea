/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending a request again: what must be kept for it, the limits of one try, the next try. Requests without a
 * retry policy and without steering headers never come here, but for the time limits of their only try.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "net/worker.h"
#include "proxy/grpc.h"
#include "proxy/hcm_config.h"
#include "proxy/limits.h"
#include "proxy/local_reply.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"
#include "proxy/stream_private.h"
#include "proxy/upstream_request.h"

static void again(struct upstream_request *r);

uint64_t upstream_request_body_max(const struct upstream_request *r)
{
    const struct route_action *a = &r->route->action;
    uint64_t connection = upstream_request_stream(r)->priv->buffer_limit;
    if (connection == 0)
        connection = UINT64_MAX;
    if (a->body_buffer.set)
        return a->body_buffer.max;
    return a->request_buffer.set && a->request_buffer.max < connection ? a->request_buffer.max : connection;
}

void upstream_retry_setup(struct upstream_request *r, const struct steering *steering)
{
    struct stream *s = upstream_request_stream(r);
    const struct retry_policy *policy = upstream_request_retry_policy(r);
    r->retry = retry_create(s, policy ? policy : &retry_policy_default, steering, r->cluster,
                            upstream_request_priority(r));
    if (!r->retry && !r->route->action.redirects.enabled)
        return;
    r->kept = ARENA_NEW(&s->arena, struct chain);
    if (!r->kept) {
        r->retry = NULL;
        return;
    }
    chain_init(r->kept);
    r->kept_max = upstream_request_body_max(r);
    if (r->retry) {
        r->retry->request = r;
        r->retry->scopes = &r->scopes;
        r->retry->again = again;
    }
}

void upstream_retry_end(struct upstream_request *r)
{
    if (r->retry)
        retry_end(r->retry);
    r->retry = NULL;
}

void upstream_retry_drop(struct upstream_request *r)
{
    upstream_retry_end(r);
    if (r->kept)
        chain_fini(r->kept);
    r->kept = NULL;
}

bool upstream_retry_keep(struct upstream_request *r, const struct chain *data)
{
    struct block_pool *blocks = &upstream_request_stream(r)->worker->loop.blocks;
    if (data->bytes <= r->kept_max && r->kept->bytes <= r->kept_max - data->bytes &&
        chain_append_kept(r->kept, data, blocks, FILTER_BUFFER_COPY_MAX))
        return true;
    stat_inc(upstream_request_stats(r)->retry_or_shadow_abandoned);
    upstream_retry_drop(r);
    r->body_lost = true;
    if (r->current)
        return true;
    upstream_request_answer(r, &(struct local_reply){
                                   .status = 507,
                                   .body = SLICE_LIT("exceeded request buffer limit while retrying upstream"),
                                   .details = SLICE_LIT("request_payload_exceeded_retry_buffer_limit"),
                                   .grpc_status = -1,
                               });
    return false;
}

/* --- verdicts --- */

/* Whether the verdict means another try; notes why not. */
static bool goes_on(struct upstream_request *r, enum retry_verdict v)
{
    struct stream_info *info = &upstream_request_stream(r)->info;
    if (v == RETRY_LIMIT)
        stream_info_flag(info, RESPONSE_FLAG(UPSTREAM_RETRY_LIMIT_EXCEEDED));
    else if (v == RETRY_OVERFLOW)
        stream_info_flag(info, RESPONSE_FLAG(UPSTREAM_OVERFLOW));
    return v == RETRY_YES;
}

static bool reset_goes_on(struct upstream_attempt *a, enum upstream_reset why)
{
    struct upstream_request *r = a->request;
    if (!r->retry || r->response_started || a->retried)
        return false;
    return goes_on(r, retry_on_reset(r->retry, why, a->ready));
}

bool upstream_retry_reset(struct upstream_attempt *a, enum upstream_reset why)
{
    struct upstream_request *r = a->request;
    bool yes = reset_goes_on(a, why);
    if (!yes && (r->response_started || !(r->retry->pending || r->attempts.next != r->attempts.prev)))
        return false;
    if (why != UPSTREAM_OVERFLOW)
        host_count(&a->shard->rq_error, 1);
    if (!yes) /* another one may still answer */
        upstream_request_count(r, upstream_failure_status(why));
    upstream_attempt_end(a, true);
    upstream_request_push_back(r, false);
    return true;
}

bool upstream_retry_headers(struct upstream_attempt *a, const struct header_map *headers, unsigned status,
                            bool end_of_stream)
{
    struct upstream_request *r = a->request;
    bool yes = false, could_not;
    if (a->retried) {
        could_not = retry_wanted(r->retry, headers);
    } else {
        enum retry_verdict v = retry_on_headers(r->retry, headers);
        yes = goes_on(r, v);
        could_not = v == RETRY_LIMIT || v == RETRY_OVERFLOW;
    }
    if (yes) {
        cluster_stats_retried(upstream_request_stats(r), status);
    } else if (!could_not || !(r->retry->pending || r->attempts.next != r->attempts.prev)) {
        upstream_retry_end(r); /* this is the answer */
        return false;
    }
    host_count(&a->shard->rq_error, 1);
    upstream_attempt_end(a, !end_of_stream || !r->request_done);
    upstream_request_push_back(r, false);
    return true;
}

/* --- limits of one try --- */

/* With hedging a late attempt goes on, and another one begins beside it. */
static void late(struct upstream_attempt *a)
{
    struct upstream_request *r = a->request;
    if (r->response_started || !r->retry || a->retried)
        return;
    a->retried = goes_on(r, retry_on_late(r->retry));
}

static void too_late(struct upstream_attempt *a, stat_id stat, const char *details)
{
    struct upstream_request *r = a->request;
    if (!r->response_started && !a->retried)
        upstream_request_outlier_timeout(a);
    if (r->hedge) {
        late(a);
        return;
    }
    stat_inc(stat);
    host_count(&a->shard->rq_timeout, 1);
    bool yes = reset_goes_on(a, UPSTREAM_LOCAL_RESET);
    if (yes)
        host_count(&a->shard->rq_error, 1);
    else if (!r->response_started)
        upstream_request_late(a);
    upstream_attempt_end(a, true);
    if (yes)
        r->retry->timeout = true;
    else
        upstream_request_timed_out(r, details);
}

void upstream_retry_try_timeout(struct timer *timer)
{
    struct upstream_attempt *a = WEIR_CONTAINER_OF(timer, struct upstream_attempt, try_timer);
    too_late(a, upstream_request_stats(a->request)->upstream_rq_per_try_timeout, "upstream_per_try_timeout");
}

void upstream_retry_idle_timeout(struct timer *timer)
{
    struct upstream_attempt *a = WEIR_CONTAINER_OF(timer, struct upstream_attempt, idle_timer);
    too_late(a, upstream_request_stats(a->request)->upstream_rq_per_try_idle_timeout,
             "upstream_per_try_idle_timeout");
}

void upstream_retry_duration_timeout(struct timer *timer)
{
    struct upstream_attempt *a = WEIR_CONTAINER_OF(timer, struct upstream_attempt, duration_timer);
    struct upstream_request *r = a->request;
    stat_inc(a->cluster->cluster->stats.upstream_rq_max_duration_reached);
    bool yes = reset_goes_on(a, UPSTREAM_LOCAL_RESET);
    if (yes)
        host_count(&a->shard->rq_error, 1);
    upstream_attempt_end(a, true);
    upstream_request_push_back(r, false);
    if (yes || upstream_retry_awaits(r))
        return;
    upstream_request_answer(r, &(struct local_reply){
                                   .status = r->request_done ? 504 : 408,
                                   .body = SLICE_LIT("upstream max stream duration reached"),
                                   .details = SLICE_LIT("upstream_max_stream_duration_reached"),
                                   .flags = RESPONSE_FLAG(UPSTREAM_MAX_STREAM_DURATION_REACHED),
                                   .grpc_status = -1,
                               });
}

/* --- the next try --- */

/* One that is not in use; answers of an earlier use go. NULL when there are too many, or memory is out. */
static struct upstream_attempt *attempt_get(struct upstream_request *r)
{
    struct stream *s = upstream_request_stream(r);
    struct upstream_attempt *a;
    unsigned count = 0;
    for (a = r->more; a; a = a->next, count++) {
        if (list_empty(&a->node) && !upstream_stream_active(&a->stream))
            break;
    }
    if (a) {
        arena_fini(&a->arena);
    } else {
        a = count < ATTEMPTS_MAX ? ARENA_NEW(&s->arena, struct upstream_attempt) : NULL;
        if (!a)
            return NULL;
        a->request = r;
        a->next = r->more;
        r->more = a;
        list_init(&a->node);
        list_init(&a->stream.node);
        chain_init(&a->body);
    }
    a->retried = false;
    arena_init(&a->arena, s->arena.cap_bytes, &s->worker->loop.arenas);
    a->stream.arena = &a->arena;
    return a;
}

/* The cluster as it is now: it may have been replaced since the last try. */
static bool find_cluster(struct upstream_request *r)
{
    const struct cluster_config *config = r->cluster->cluster->config;
    struct worker_cluster *wc =
        worker_cluster_find(upstream_request_stream(r)->worker, config->name, config->name_hash);
    if (!wc || wc == r->cluster)
        return wc != NULL;
    retry_move(r->retry, wc);
    if (r->policy && !r->policy_owner)
        r->policy_owner = cluster_config_ref(config);
    worker_cluster_unref(&r->cluster);
    r->cluster = worker_cluster_ref(wc);
    return true;
}

static bool refuse_host(void *arg, const struct host *host)
{
    return retry_host_unwanted(arg, host);
}

static const struct host_shares *priority_shares(void *arg, const struct host_set *hosts)
{
    return retry_priority_shares(arg, hosts);
}

static struct host *pick_host(struct upstream_request *r)
{
    const struct lb_request request = {
        .has_hash = r->has_hash,
        .hash = r->hash,
        .match = r->match,
        .refuse = retry_policy_chooses_hosts(r->retry->policy) ? refuse_host : NULL,
        .shares = r->retry->priorities ? priority_shares : NULL,
        .arg = r->retry,
        .attempts = r->retry->policy->host_attempts,
        .destination = stream_info_destination(&upstream_request_stream(r)->info),
        .headers = r->headers,
    };
    return worker_cluster_pick_for(r->cluster, &request);
}

static void update_headers(struct upstream_request *r, const struct host *host)
{
    char text[SLICE_U64_BYTES];
    struct stream *s = upstream_request_stream(r);
    const struct virtual_host *vh = r->route->virtual_host;
    if (vh->include_request_attempt_count)
        header_map_set_id(r->headers, HDR_X_ENVOY_ATTEMPT_COUNT,
                          slice_from_u64(s->info.upstream_attempts, text));
    if (vh->include_is_timeout_retry_header)
        header_map_set(r->headers, SLICE_LIT("x-envoy-is-timeout-retry"),
                       r->retry->timeout ? SLICE_LIT("true") : SLICE_LIT("false"));
    upstream_request_expect(r);
    route_rewrite_auto_host(r->route, r->headers, slice_str(host->hostname), !r->suppress_envoy_headers);
}

static void again(struct upstream_request *r)
{
    struct stream *s = upstream_request_stream(r);
    WEIR_ASSERT(!r->finished && !r->response_started && r->kept);
    r->is_retry = true;
    s->info.upstream_attempts++;
    struct host *host = find_cluster(r) ? pick_host(r) : NULL;
    struct upstream_attempt *a = host ? attempt_get(r) : NULL;
    if (!host) {
        upstream_request_no_host(r);
    } else if (!a || !chain_append_shared(&a->body, r->kept)) {
        if (list_empty(&r->attempts)) /* else one of them answers */
            upstream_request_no_memory(r);
    } else {
        retry_note_host(r->retry, host, worker_cluster_priority_of_pick(r->cluster, host));
        if (!r->duration_given)
            r->duration_ms = worker_cluster_of_pick(r->cluster)->cluster->config->max_stream_duration_ms;
        update_headers(r, host);
        upstream_attempt_begin(a, host);
    }
}

void upstream_request_expect(struct upstream_request *r)
{
    struct stream *s = upstream_request_stream(r);
    uint64_t expected = r->hedge || !r->per_try_ms ? r->timeout_ms : r->per_try_ms;
    char text[GRPC_TIMEOUT_BYTES];
    if (!expected)
        return;
    if (r->timeout_ms && r->request_done) {
        uint64_t elapsed = (monotonic_ns() - r->request_done_ns) / 1000000;
        uint64_t left = elapsed < r->timeout_ms ? r->timeout_ms - elapsed : 1; /* 0 would be no limit */
        expected = left < expected ? left : expected;
    }
    if (!r->suppress_envoy_headers)
        header_map_set_id(r->headers, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, slice_from_u64(expected, text));
    if (r->route->action.max_grpc_timeout_ms != ROUTE_TIMEOUT_UNSET && s->is_grpc)
        header_map_set_id(r->headers, HDR_GRPC_TIMEOUT, grpc_timeout_format(expected, text));
}
