/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router: decides what happens to a request that passed all filters. It answers redirects, direct
 * responses and requests that cannot be routed; everything else goes to an upstream_request.
 */
#include "proxy/router.h"

#include "base/assert.h"
#include "base/strbuf.h"
#include "net/worker.h"
#include "proxy/connection_facts.h"
#include "proxy/downstream.h"
#include "proxy/grpc.h"
#include "proxy/hcm_config.h"
#include "proxy/limits.h"
#include "proxy/local_reply.h"
#include "proxy/logging/access_log.h"
#include "proxy/overload/overload.h"
#include "proxy/routing/route.h"
#include "proxy/stream_private.h"
#include "proxy/upstream_request.h"

static const struct router_config router_defaults;

static const struct router_config *config_of(const struct filter *f)
{
    return f->config->config ? f->config->config : &router_defaults;
}

static bool router_init(struct filter *f)
{
    struct upstream_request *r = upstream_request_of(f);
    upstream_request_init(r, f);
    r->suppress_envoy_headers = config_of(f)->suppress_envoy_headers;
    return true;
}

/* An answer of the router itself. */
static void reply_with(struct filter *f, struct local_reply reply)
{
    upstream_request_of(f)->finished = true;
    stream_info_flag(&f->stream->info, reply.flags);
    reply.grpc_status = -1;
    filter_local_reply(f, &reply);
}

static void reply(struct filter *f, uint16_t status, struct slice body, struct slice details, uint64_t flags)
{
    reply_with(f, (struct local_reply){.status = status, .body = body, .details = details, .flags = flags});
}

static void reply_redirect(struct filter *f, const struct route *route, const struct header_map *headers)
{
    struct slice location = route_redirect_location(route, headers, &f->stream->arena);
    const struct local_reply_header header = {SLICE_LIT("location"), location};
    stat_inc(f->stream->hcm->stats.rq_redirect);
    reply_with(f, (struct local_reply){
                      .status = route->redirect.status,
                      .details = SLICE_LIT("direct_response"),
                      .headers = &header,
                      .headers_count = location.ptr ? 1 : 0,
                  });
}

static struct slice request_url(struct filter *f)
{
    const struct header_map *m = f->stream->request_headers;
    struct slice scheme = header_map_get_id(m, HDR_SCHEME), host = header_map_get_id(m, HDR_AUTHORITY);
    struct slice path = header_map_get_id(m, HDR_PATH);
    char *text = arena_printf(&f->stream->arena, "%.*s://%.*s%.*s", SLICE_ARG(scheme), SLICE_ARG(host),
                              SLICE_ARG(path));
    return text ? slice_str(text) : SLICE_EMPTY;
}

static void reply_direct(struct filter *f, const struct direct_response *d)
{
    struct local_reply_header headers[2];
    struct local_reply reply = {
        .status = d->status, .body = d->body, .details = SLICE_LIT("direct_response"), .headers = headers};
    if (d->content_type.len > 0)
        headers[reply.headers_count++] =
            (struct local_reply_header){header_id_name(HDR_CONTENT_TYPE), d->content_type};
    /* Envoy: what was created is where it was asked for, and so is what has moved. */
    if (d->status == 201 || d->status / 100 == 3)
        headers[reply.headers_count++] =
            (struct local_reply_header){header_id_name(HDR_LOCATION), request_url(f)};
    struct strbuf text;
    stat_inc(f->stream->hcm->stats.rq_direct_response);
    strbuf_init(&text, LOCAL_REPLY_BODY_BYTES_MAX);
    if (d->format) {
        d->format->format(d->format, f->stream, d->body, &text);
        reply.body = strbuf_slice(&text);
    }
    reply_with(f, reply);
    strbuf_fini(&text);
}

/* Whether the route itself is the answer. */
static bool route_answers(struct filter *f, const struct route *route, const struct header_map *headers)
{
    switch (route->kind) {
    case ROUTE_REDIRECT:
        reply_redirect(f, route, headers);
        return true;
    case ROUTE_DIRECT_RESPONSE:
        reply_direct(f, &route->response);
        return true;
    case ROUTE_NON_FORWARDING:
        stat_inc(f->stream->hcm->stats.no_cluster);
        reply(f, 503, SLICE_EMPTY, SLICE_LIT("cluster_not_found"), RESPONSE_FLAG(NO_CLUSTER_FOUND));
        return true;
    case ROUTE_FORWARD:
        break;
    }
    return false;
}

/* Envoy's http_downstream_filter_check, which only its router asks. */
static void reply_overloaded(struct filter *f)
{
    stat_inc(f->stream->hcm->stats.rq_overload_local_reply);
    reply(f, 503, SLICE_LIT("envoy overloaded"), SLICE_LIT("overload"), 0);
}

/* Part of a cluster's requests, or all of them, are dropped (drop_overloads). */
static bool drops(const struct upstream_request *r)
{
    const struct cluster_config *c = r->cluster->cluster->config;
    return worker_random(upstream_request_stream(r)->worker, c->drop_denominator) < c->drop_numerator;
}

static void reply_dropped(struct upstream_request *r)
{
    static const struct local_reply_header headers[] = {
        {{"x-envoy-drop-overload", 21}, {"true", 4}},
        {{"x-envoy-unconditional-drop-overload", 35}, {"true", 4}},
    };
    const struct cluster_config *c = r->cluster->cluster->config;
    bool all = c->drop_numerator >= c->drop_denominator;
    upstream_request_count(r, 503);
    reply_with(r->filter,
               (struct local_reply){
                   .status = 503,
                   .body = all ? SLICE_LIT("unconditional drop overload") : SLICE_LIT("drop overload"),
                   .details = all ? SLICE_LIT("unconditional_drop_overload") : SLICE_LIT("drop_overload"),
                   .flags = all ? RESPONSE_FLAG(UNCONDITIONAL_DROP_OVERLOAD) : RESPONSE_FLAG(DROP_OVERLOAD),
                   .headers = &headers[all],
                   .headers_count = !r->suppress_envoy_headers,
               });
}

/* The cluster of the route, or NULL after the answer. */
static struct worker_cluster *find_cluster(struct filter *f, const struct route *route,
                                           const struct header_map *headers)
{
    struct stream *s = f->stream;
    struct cluster_ref ref = route_cluster(route, s->weighted_cluster, headers);
    struct worker_cluster *wc = ref.name.ptr ? worker_cluster_find(s->worker, ref.name, ref.hash) : NULL;
    if (wc)
        return wc;
    stat_inc(s->hcm->stats.no_cluster);
    reply(f, route->action.cluster_not_found_status, SLICE_EMPTY, SLICE_LIT("cluster_not_found"),
          RESPONSE_FLAG(NO_CLUSTER_FOUND));
    return NULL;
}

static bool header_ms(const struct header_map *headers, enum header_id id, uint64_t *ms)
{
    uint64_t value;
    if (!slice_parse_u64(header_map_get_id(headers, id), &value) || value > TIMEOUT_HEADER_MS_MAX)
        return false;
    *ms = value;
    return true;
}

/* What a gRPC client asks for, within what the route allows (Envoy's finalTimeout). */
static uint64_t grpc_timeout_of(const struct route_action *a, const struct header_map *headers)
{
    uint64_t ms = 0;
    (void)grpc_timeout_parse(header_map_get_id(headers, HDR_GRPC_TIMEOUT), &ms);
    if (a->grpc_timeout_offset_ms < ms)
        ms -= a->grpc_timeout_offset_ms;
    if (a->max_grpc_timeout_ms && (ms == 0 || ms > a->max_grpc_timeout_ms))
        ms = a->max_grpc_timeout_ms;
    return ms;
}

/* The time for the whole answer: the route's, unless a header says otherwise. A route with a stream duration
 * leaves it to that one (Envoy). */
static uint64_t timeout_of(struct filter *f, const struct route_action *a, struct header_map *headers)
{
    bool by_duration = a->max_stream_duration_ms != ROUTE_TIMEOUT_UNSET ||
                       a->grpc_timeout_header_max_ms != ROUTE_TIMEOUT_UNSET;
    uint64_t ms = by_duration ? 0 : a->timeout_ms;
    if (WEIR_UNLIKELY(a->max_grpc_timeout_ms != ROUTE_TIMEOUT_UNSET) && !by_duration && f->stream->is_grpc)
        ms = grpc_timeout_of(a, headers);
    bool expected = config_of(f)->respect_expected_rq_timeout;
    if (!expected || !header_ms(headers, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, &ms))
        header_ms(headers, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, &ms);
    header_map_remove_id(headers, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS);
    return ms;
}

/* All time limits of the request, and whether a late try goes on. */
static void set_limits(struct upstream_request *r, const struct steering *steering,
                       struct header_map *headers)
{
    const struct route_action *a = &r->route->action;
    r->timeout_ms = timeout_of(r->filter, a, headers);
    r->hedge = steering->hedge_given ? steering->hedge : a->hedge_on_per_try_timeout;
    r->timeout_alt = steering->timeout_alt_response;
    if (a->retry) { /* not the cluster's, which limits no try (Envoy) */
        r->per_try_ms = a->retry->per_try_timeout_ms;
        r->per_try_idle_ms = a->retry->per_try_idle_timeout_ms;
    }
    if (steering->has_per_try)
        r->per_try_ms = steering->per_try_ms;
    r->duration_given = steering->has_stream_duration;
    r->duration_ms = steering->has_stream_duration
                         ? steering->stream_duration_ms
                         : worker_cluster_of_pick(r->cluster)->cluster->config->max_stream_duration_ms;
    if (r->timeout_ms && r->per_try_ms >= r->timeout_ms)
        r->per_try_ms = 0;
    upstream_request_expect(r);
}

static void set_number(struct header_map *headers, enum header_id id, uint64_t value)
{
    char text[SLICE_U64_BYTES];
    header_map_set_id(headers, id, slice_from_u64(value, text));
}

/* Makes the request what the upstream shall see. */
static void prepare_request(struct upstream_request *r, struct host *host)
{
    struct stream *s = r->filter->stream;
    const struct route *route = r->route;
    struct steering steering;
    bool envoy_headers = !r->suppress_envoy_headers;
    steering_take(r->headers, &steering);
    set_limits(r, &steering, r->headers);
    if (route->virtual_host->include_request_attempt_count)
        set_number(r->headers, HDR_X_ENVOY_ATTEMPT_COUNT, 1);
    route_finalize_request(route, r->weighted, r->headers, s, envoy_headers);
    route_rewrite_auto_host(route, r->headers, slice_str(host->hostname), envoy_headers);
    if (WEIR_UNLIKELY(upstream_request_retry_policy(r) || steering.retry_on ||
                      route->action.redirects.enabled)) {
        upstream_retry_setup(r, &steering);
        if (r->retry)
            retry_note_host(r->retry, host, worker_cluster_priority_of_pick(r->cluster, host));
    }
}

/* Keeps the cluster's name where the access log finds it when the cluster may be gone. */
static void note_cluster(struct stream *s, const struct worker_cluster *wc)
{
    s->info.cluster_name = arena_dup(&s->arena, wc->cluster->config->name);
}

static struct host *pick_first(struct upstream_request *r)
{
    const struct route_action *a = &r->route->action;
    const struct hash_policies *own = r->cluster->cluster->config->lb.hash_policies;
    const struct hash_policies *routed = WEIR_UNLIKELY(r->policy && r->policy->hash_policies.count > 0)
                                             ? &r->policy->hash_policies
                                             : &a->hash_policies;
    struct stream *s = upstream_request_stream(r);
    r->match = connection_facts_labels(s->info.facts, &s->arena, route_match_labels(r->route, r->weighted));
    if (WEIR_LIKELY(!a->steers && !own && !r->match && !s->override && routed->count == 0) &&
        !worker_cluster_provided(r->cluster))
        return worker_cluster_pick(r->cluster);
    if (own) /* the cluster's count instead of the route's, and make no cookies */
        r->has_hash = hash_policies_apply(own, s, r->headers, &r->hash, NULL);
    else if (routed->count > 0)
        r->has_hash = hash_policies_apply(routed, s, r->headers, &r->hash, &r->cookies);
    const struct lb_request request = {
        .has_hash = r->has_hash,
        .hash = r->hash,
        .override = s->override,
        .match = r->match,
        .destination = stream_info_destination(&s->info),
        .headers = r->headers,
    };
    return worker_cluster_pick_for(r->cluster, &request);
}

/* By the headers as they came: what the route rewrites does not count (Envoy). */
static void set_scopes(struct upstream_request *r)
{
    const struct virtual_cluster *c =
        virtual_clusters_find(&r->route->virtual_host->virtual_clusters, r->headers);
    if (c) {
        upstream_request_stream(r)->info.virtual_cluster_name = c->name;
        request_scopes_add(&r->scopes, c->stats);
    }
    if (r->route->stats)
        request_scopes_add(&r->scopes, r->route->stats);
}

/* The runtime key upstream.maintenance_mode.CLUSTER. */
static bool in_maintenance(struct upstream_request *r)
{
    uint32_t percent = r->cluster->cluster->config->maintenance_percent;
    return percent > 0 && worker_random(upstream_request_stream(r)->worker, 100) < percent;
}

static void forward(struct filter *f, const struct route *route, struct header_map *headers,
                    bool end_of_stream)
{
    struct stream *s = f->stream;
    struct upstream_request *r = upstream_request_of(f);
    struct worker_cluster *wc = find_cluster(f, route, headers);
    if (!wc)
        return;
    note_cluster(s, wc);
    r->cluster = worker_cluster_ref(wc);
    r->policy = wc->cluster->config->policy;
    if (WEIR_UNLIKELY(r->policy && r->policy->filters.count > 0))
        r->filters = &r->policy->filters;
    else if (WEIR_UNLIKELY(config_of(f)->upstream_filters.count > 0))
        r->filters = &config_of(f)->upstream_filters;
    r->route = route;
    r->weighted = s->weighted_cluster;
    r->headers = headers;
    r->high_priority = route->action.high_priority;
    if (WEIR_UNLIKELY(route->counted))
        set_scopes(r);
    if (WEIR_UNLIKELY(in_maintenance(r))) {
        upstream_request_maintenance(r);
        return;
    }
    if (WEIR_UNLIKELY(wc->cluster->config->drop_denominator != 0) && drops(r)) {
        reply_dropped(r);
        return;
    }
    struct host *host = pick_first(r);
    if (!host) {
        upstream_request_no_host(r);
        return;
    }
    prepare_request(r, host);
    upstream_request_start(r, host, end_of_stream);
}

static enum filter_headers_status router_request_headers(struct filter *f, struct header_map *headers,
                                                         bool end_of_stream)
{
    const struct route *route = stream_route(f->stream);
    /* The clock of request_timeout goes on while a filter holds a request without a body, as in Envoy. */
    if (end_of_stream)
        stream_timers_request_end(f->stream);
    stat_inc(f->stream->hcm->stats.rq_total);
    if (!route) {
        stat_inc(f->stream->hcm->stats.no_route);
        reply(f, 404, SLICE_EMPTY, SLICE_LIT("route_not_found"), RESPONSE_FLAG(NO_ROUTE_FOUND));
    } else if (!route_answers(f, route, headers)) {
        if (LISTENER_SHEDS(SHED_ROUTER, f->stream->downstream->listener))
            reply_overloaded(f);
        else
            forward(f, route, headers, end_of_stream);
    }
    return FILTER_HEADERS_STOP;
}

static enum filter_data_status router_request_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    upstream_request_data(upstream_request_of(f), data, end_of_stream);
    return FILTER_DATA_STOP_NO_BUFFER;
}

static enum filter_trailers_status router_request_trailers(struct filter *f, struct header_map *trailers)
{
    upstream_request_trailers(upstream_request_of(f), trailers);
    return FILTER_TRAILERS_STOP;
}

static void router_response_backpressure(struct filter *f, bool on)
{
    upstream_request_pause(upstream_request_of(f), on);
}

static uint64_t router_held_bytes(const struct filter *f)
{
    return upstream_request_held(f->state);
}

static void router_destroy(struct filter *f)
{
    upstream_request_cancel(upstream_request_of(f));
}

const struct filter_ops router_filter_ops = {
    .name = "envoy.filters.http.router",
    .state_bytes = sizeof(struct upstream_request),
    .init = router_init,
    .request_headers = router_request_headers,
    .request_data = router_request_data,
    .request_trailers = router_request_trailers,
    .destroy = router_destroy,
    .response_backpressure = router_response_backpressure,
    .held_bytes = router_held_bytes,
};
