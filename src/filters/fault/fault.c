/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults per request. A delay comes first, then an abort; an answer is slowed down beside both. What counts
 * as one active fault of the filter is a request, however many faults it has.
 */
#include "filters/fault/fault.h"

#include "filters/fault/fault_rate.h"
#include "net/worker.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/local_reply.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdlib.h>

/* Names, matchers and texts of one filter. */
#define FAULT_BYTES_MAX ((size_t)1 << 20)

struct fault_tally {
    stat_id aborts; /* 0: not yet */
    stat_id delays;
};

struct fault_state {
    struct filter *filter;
    const struct fault_settings *settings;
    struct slice caller;              /* x-envoy-downstream-service-cluster, lies in the headers */
    bool named;                       /* that header is there */
    const struct fault_caller *knows; /* what runtime keys say about it; NULL: nothing */
    bool active;                      /* is counted as an active fault */
    bool delayed;                     /* the timer runs */
    struct timer delay;
    struct fault_rate rate;
};

static const struct fault_filter *config_of(const struct filter *f)
{
    return f->config->config;
}

static struct slice value_of(const struct header_map *headers, const char *name)
{
    const struct header *h = header_map_find(headers, slice_str(name));
    return h ? h->value : SLICE_EMPTY;
}

/* As Envoy reads a number of a header: a sign is fine. */
static bool number_in(const struct header_map *headers, const char *name, uint64_t *out)
{
    struct slice text = value_of(headers, name);
    return slice_parse_u64(text.len && text.ptr[0] == '+' ? slice_skip(text, 1) : text, out);
}

/* --- whom it concerns --- */

static const struct fault_settings *settings_of(const struct filter *f)
{
    const struct fault_settings *own = filter_route_config(f);
    return own ? own : &config_of(f)->own;
}

static bool cluster_matches(const struct fault_settings *s, struct filter *f)
{
    const struct route *route = s->upstream_cluster.len ? stream_route(f->stream) : NULL;
    if (s->upstream_cluster.len == 0)
        return true;
    return route && route->kind == ROUTE_FORWARD &&
           slice_eq(route_cluster(route, f->stream->weighted_cluster, f->stream->request_headers).name,
                    s->upstream_cluster);
}

static bool node_matches(const struct fault_settings *s, const struct header_map *headers)
{
    const struct header *node =
        s->nodes_count ? header_map_find(headers, SLICE_LIT("x-envoy-downstream-service-node")) : NULL;
    for (uint32_t i = 0; node && i < s->nodes_count; i++) {
        if (slice_eq(s->nodes[i], node->value))
            return true;
    }
    return s->nodes_count == 0;
}

static bool concerns(const struct fault_settings *s, struct filter *f, const struct header_map *headers)
{
    if (!s->delay.on && !s->abort.on && !s->rate.on)
        return false;
    if (!cluster_matches(s, f) || !node_matches(s, headers))
        return false;
    for (uint32_t i = 0; i < s->headers_count; i++) {
        if (!header_matcher_match(&s->headers[i], headers))
            return false;
    }
    return true;
}

static void find_caller(struct fault_state *st, const struct header_map *headers)
{
    const struct fault_filter *c = config_of(st->filter);
    const struct header *h = header_map_find(headers, SLICE_LIT("x-envoy-downstream-service-cluster"));
    if (!h)
        return;
    st->named = true;
    st->caller = h->value;
    for (uint32_t i = 0; i < c->callers_count && !st->knows; i++) {
        if (slice_eq(c->callers[i].name, h->value))
            st->knows = &c->callers[i];
    }
}

/* --- chance --- */

/* What a header asks for is never more often than configured. */
static struct fault_percent wanted(const struct fault_part *part, const struct header_map *headers,
                                   const char *name)
{
    struct fault_percent p = part->percent;
    uint64_t asked;
    if (part->by_header && number_in(headers, name, &asked) && asked < p.numerator)
        p.numerator = (uint32_t)asked;
    return p;
}

/* Of runtime keys, those of the caller count for a request that names one, else those of all. */
static bool chance(const struct fault_state *st, const struct fault_part *part,
                   const struct fault_runtime_percent *caller, const struct header_map *headers,
                   const char *name)
{
    const struct fault_runtime_percent *runtime = st->named ? caller : &part->runtime;
    if (!part->on)
        return false;
    struct fault_percent p = runtime && runtime->set ? runtime->percent : wanted(part, headers, name);
    return p.numerator >= p.denominator ||
           (p.numerator > 0 && worker_random(st->filter->stream->worker, p.denominator) < p.numerator);
}

/* --- counting --- */

static bool begin_fault(struct fault_state *st)
{
    const struct fault_filter *c = config_of(st->filter);
    if (st->active)
        return true;
    if (st->settings->active_max != UINT64_MAX && stat_value(c->active_faults) >= st->settings->active_max) {
        stat_inc(c->faults_overflow);
        return false;
    }
    stat_inc(c->active_faults);
    st->active = true;
    return true;
}

static void end_fault(struct fault_state *st)
{
    if (st->active)
        stat_dec(config_of(st->filter)->active_faults);
    st->active = false;
}

static struct fault_tally *new_tally(struct fault_filter *c, struct slice caller)
{
    bool room = c->tallies.count < FAULT_CALLERS_MAX && caller.len <= FAULT_CALLER_BYTES_MAX;
    struct fault_tally *t = room ? calloc(1, sizeof(*t)) : NULL;
    if (t && map_put(&c->tallies, caller, t))
        return t;
    free(t);
    return NULL;
}

/* Of a caller that has a name: registered when it is first counted, as in Envoy. */
static stat_id caller_stat(struct fault_filter *c, struct slice caller, bool abort)
{
    pthread_mutex_lock(&c->lock);
    struct fault_tally *t = map_get(&c->tallies, caller);
    if (!t)
        t = new_tally(c, caller);
    stat_id *id = t ? abort ? &t->aborts : &t->delays : NULL;
    if (id && *id == 0)
        *id = stat_counter(SLICE_FMT "." SLICE_FMT ".%s_injected", SLICE_ARG(c->prefix), SLICE_ARG(caller),
                           abort ? "aborts" : "delays");
    stat_id found = id ? *id : 0;
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void note(struct fault_state *st, bool abort)
{
    struct fault_filter *c = (struct fault_filter *)(uintptr_t)config_of(st->filter);
    const struct typed_value *m = st->settings->metadata;
    struct stream *s = st->filter->stream;
    stat_inc(abort ? c->aborts_injected : c->delays_injected);
    if (st->caller.len > 0 && !st->settings->callers_uncounted)
        stat_inc(caller_stat(c, st->caller, abort));
    dynamic_metadata_put(&s->info, &s->arena, st->filter->config->name, m ? m->members : NULL,
                         m ? m->members_count : 0);
}

/* --- abort --- */

static bool pick_http(const struct fault_state *st, const struct header_map *headers, uint64_t *status)
{
    const struct fault_settings *s = st->settings;
    *status = s->http_status;
    if (s->abort.by_header && !number_in(headers, "x-envoy-fault-abort-request", status))
        *status = 0;
    if (*status < 200 || *status > 599)
        return false;
    if (st->named && st->knows && st->knows->http_status.set)
        *status = st->knows->http_status.value;
    else if (!st->named && s->http_status_runtime.set)
        *status = s->http_status_runtime.value;
    return true;
}

static bool pick_grpc(const struct fault_state *st, const struct header_map *headers, uint64_t *status)
{
    const struct fault_settings *s = st->settings;
    *status = s->grpc_status;
    if (s->abort.by_header && !number_in(headers, "x-envoy-fault-abort-grpc-request", status))
        return false;
    if (st->named && st->knows && st->knows->grpc_status.set)
        *status = st->knows->grpc_status.value;
    else if (!st->named && s->grpc_status_runtime.set)
        *status = s->grpc_status_runtime.value;
    return true;
}

/* true: the request was answered. */
static bool maybe_abort(struct fault_state *st, const struct header_map *headers)
{
    const struct fault_settings *s = st->settings;
    uint64_t http = 200, grpc = 0;
    if (!chance(st, &s->abort, st->knows ? &st->knows->abort : NULL, headers,
                "x-envoy-fault-abort-request-percentage"))
        return false;
    bool by_http = pick_http(st, headers, &http);
    if (!by_http && !pick_grpc(st, headers, &grpc))
        return false;
    if (!begin_fault(st))
        return false;
    note(st, true);
    filter_local_reply(st->filter,
                       &(struct local_reply){
                           .status = by_http ? (uint16_t)http : 200,
                           .body = s->response_body.len ? s->response_body : SLICE_LIT("fault filter abort"),
                           .details = SLICE_LIT("fault_filter_abort"),
                           .flags = RESPONSE_FLAG(FAULT_INJECTED),
                           .grpc_status = by_http            ? -1
                                          : grpc < INT32_MAX ? (int32_t)grpc
                                                             : INT32_MAX,
                       });
    return true;
}

/* --- delay --- */

static void delay_over(struct timer *timer)
{
    struct fault_state *st = WEIR_CONTAINER_OF(timer, struct fault_state, delay);
    st->delayed = false;
    if (maybe_abort(st, st->filter->stream->request_headers))
        return;
    if (!st->settings->rate.on)
        end_fault(st);
    filter_continue_request(st->filter);
}

static bool maybe_delay(struct fault_state *st, const struct header_map *headers)
{
    const struct fault_settings *s = st->settings;
    struct filter *f = st->filter;
    uint64_t ms = s->delay_ms;
    if (!chance(st, &s->delay, st->knows ? &st->knows->delay : NULL, headers,
                "x-envoy-fault-delay-request-percentage"))
        return false;
    if (s->delay.by_header && !number_in(headers, "x-envoy-fault-delay-request", &ms))
        return false;
    if (s->delay_ms_runtime.set)
        ms = s->delay_ms_runtime.value;
    if (st->knows && st->knows->delay_ms.set)
        ms = st->knows->delay_ms.value;
    if (ms == 0 || !begin_fault(st))
        return false;
    note(st, false);
    stream_info_flag(&f->stream->info, RESPONSE_FLAG(DELAY_INJECTED));
    st->delayed = true;
    timer_set(&f->stream->worker->loop, &st->delay, ms < FAULT_DELAY_MS_MAX ? ms : FAULT_DELAY_MS_MAX);
    return true;
}

/* --- slow answers --- */

static void maybe_slow_down(struct fault_state *st, const struct header_map *headers)
{
    const struct fault_settings *s = st->settings;
    uint64_t kbps = s->rate_kbps;
    /* There are no keys of callers. */
    const struct fault_runtime_percent *runtime = st->named ? &s->rate.runtime : NULL;
    if (!chance(st, &s->rate, runtime, headers, "x-envoy-fault-throughput-response-percentage"))
        return;
    if (s->rate.by_header && !number_in(headers, "x-envoy-fault-throughput-response", &kbps))
        return;
    if (kbps == 0 || !begin_fault(st))
        return;
    stat_inc(config_of(st->filter)->response_rl_injected);
    fault_rate_begin(&st->rate, kbps < FAULT_KBPS_MAX ? kbps : FAULT_KBPS_MAX);
}

/* --- callbacks --- */

static bool on_init(struct filter *f)
{
    struct fault_state *st = f->state;
    st->filter = f;
    timer_init(&st->delay, delay_over);
    fault_rate_init(&st->rate, f);
    return true;
}

static enum filter_headers_status on_request_headers(struct filter *f, struct header_map *headers,
                                                     bool end_of_stream)
{
    struct fault_state *st = f->state;
    (void)end_of_stream;
    st->settings = settings_of(f);
    if (!concerns(st->settings, f, headers))
        return FILTER_HEADERS_CONTINUE;
    find_caller(st, headers);
    maybe_slow_down(st, headers);
    return maybe_delay(st, headers) || maybe_abort(st, headers) ? FILTER_HEADERS_STOP
                                                                : FILTER_HEADERS_CONTINUE;
}

static enum filter_data_status on_request_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    const struct fault_state *st = f->state;
    (void)data;
    (void)end_of_stream;
    return st->delayed ? FILTER_DATA_STOP_WATERMARK : FILTER_DATA_CONTINUE;
}

static enum filter_trailers_status on_request_trailers(struct filter *f, struct header_map *trailers)
{
    const struct fault_state *st = f->state;
    (void)trailers;
    return st->delayed ? FILTER_TRAILERS_STOP : FILTER_TRAILERS_CONTINUE;
}

static enum filter_data_status on_response_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    return fault_rate_data(&((struct fault_state *)f->state)->rate, data, end_of_stream);
}

static enum filter_trailers_status on_response_trailers(struct filter *f, struct header_map *trailers)
{
    return fault_rate_trailers(&((struct fault_state *)f->state)->rate, trailers);
}

static uint64_t held_bytes(const struct filter *f)
{
    return ((const struct fault_state *)f->state)->rate.held.bytes;
}

static void on_destroy(struct filter *f)
{
    struct fault_state *st = f->state;
    timer_stop(&f->stream->worker->loop, &st->delay);
    fault_rate_fini(&st->rate);
    end_fault(st);
}

const struct filter_ops fault_filter_ops = {
    .name = "envoy.filters.http.fault",
    .state_bytes = sizeof(struct fault_state),
    .init = on_init,
    .request_headers = on_request_headers,
    .request_data = on_request_data,
    .request_trailers = on_request_trailers,
    .response_data = on_response_data,
    .response_trailers = on_response_trailers,
    .destroy = on_destroy,
    .held_bytes = held_bytes,
};

/* --- configuration --- */

struct fault_filter *fault_filter_create(struct slice stat_prefix)
{
    struct fault_filter *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    arena_init(&c->arena, FAULT_BYTES_MAX, NULL);
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->tallies);
    const char *prefix = arena_printf(&c->arena, "http." SLICE_FMT ".fault", SLICE_ARG(stat_prefix));
    c->prefix = slice_str(prefix ? prefix : "");
    c->active_faults = stat_gauge(SLICE_FMT ".active_faults", SLICE_ARG(c->prefix));
#define FAULT_STAT_X(name) c->name = stat_counter(SLICE_FMT "." #name, SLICE_ARG(c->prefix));
    FAULT_COUNTERS(FAULT_STAT_X)
#undef FAULT_STAT_X
    return c;
}

void fault_settings_fini(void *settings)
{
    struct fault_settings *s = settings;
    for (uint32_t i = 0; i < s->headers_count; i++)
        header_matcher_fini(&s->headers[i]);
}

void fault_filter_destroy(void *filter)
{
    struct fault_filter *c = filter;
    const struct map_entry *e;
    size_t cursor = 0;
    while ((e = map_next(&c->tallies, &cursor)) != NULL)
        free(e->value);
    map_fini(&c->tallies);
    pthread_mutex_destroy(&c->lock);
    fault_settings_fini(&c->own);
    arena_fini(&c->arena);
    free(c);
}
