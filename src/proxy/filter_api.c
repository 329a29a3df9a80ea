/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What filters may ask of their stream (filter.h), and the chain's beginning and end: which filters take
 * part, completion, destruction. Back-pressure is counted by reason and direction here.
 */
#include "net/conn.h"
#include "proxy/downstream.h"
#include "proxy/filter_manager.h"
#include "proxy/limits.h"
#include "proxy/routing/route.h"

static bool takes_part(const struct stream *s, const struct filter_config *fc)
{
    bool disabled = fc->disabled;
    if (s->route && s->route->has_overrides) {
        const struct filter_override *o = route_filter_override(s->route, s->weighted_cluster, fc->name);
        if (o)
            disabled = o->disabled || (disabled && !o->enabled);
    }
    return !disabled;
}

const void *filter_route_config(const struct filter *f)
{
    const struct filter_override *levels[ROUTE_LEVELS_MAX];
    unsigned count =
        route_filter_overrides(stream_route(f->stream), f->stream->weighted_cluster, f->config->name, levels);
    for (unsigned i = 0; i < count; i++) {
        if (levels[i]->config)
            return levels[i]->config;
    }
    return NULL;
}

static bool filter_setup(struct http_chain *c, struct filter *f, const struct filter_config *fc,
                         uint16_t index)
{
    struct arena *arena = &c->stream->arena;
    *f = (struct filter){.ops = fc->ops, .config = fc, .stream = c->stream, .chain = c, .index = index};
    if (fc->ops->state_bytes) {
        f->state = arena_calloc(arena, 1, fc->ops->state_bytes);
        if (!f->state) {
            f->destroyed = true; /* nothing to release */
            return false;
        }
    }
    return true;
}

WEIR_HOT bool http_chain_create(struct http_chain *c, const struct filter_list *list, bool by_route)
{
    struct stream *s = c->stream;
    struct filter *filters = arena_alloc(&s->arena, (list->count ? list->count : 1) * sizeof(*filters));
    WEIR_ASSERT(c->count == 0);
    if (!filters)
        return false;
    c->filters = filters;
    for (size_t i = 0; i < list->count; i++) {
        const struct filter_config *fc = &list->items[i];
        if (by_route ? !takes_part(s, fc) : fc->disabled)
            continue;
        uint16_t index = c->count++;
        struct filter *f = &filters[index];
        if (!filter_setup(c, f, fc, index) || (fc->ops->init && !fc->ops->init(f)))
            return false;
    }
    return true;
}

WEIR_HOT bool filters_create(struct stream *s, const struct filter_list *list)
{
    static const struct local_reply failed = {
        .status = 500, .details = {"filter_chain_not_available", 26}, .grpc_status = -1};
    if (WEIR_LIKELY(http_chain_create(&s->priv->chain, list, true)))
        return true;
    stream_direct_reply(s, &failed);
    return false;
}

/* Of a stream that is over: one of the last two callbacks. */
static void call_last(struct filter *f, void (*fn)(struct filter *))
{
    bool takes_laps = f->ops->takes_laps;
    if (!fn)
        return;
    if (!takes_laps)
        fm_laps(f->stream, false);
    fn(f);
    if (!takes_laps)
        fm_laps(f->stream, true);
}

WEIR_HOT void filters_complete(struct http_chain *c)
{
    const struct stream *s = c->stream;
    WEIR_ASSERT(s->priv->callbacks == 0);
    fm_laps(s, true);
    for (unsigned i = 0; i < c->count; i++) {
        struct filter *f = &c->filters[i];
        if (f->destroyed)
            continue;
        f->in_callback = true;
        call_last(f, f->ops->complete);
        f->in_callback = false;
    }
    fm_laps(s, false);
}

WEIR_HOT void filters_destroy(struct http_chain *c)
{
    const struct stream *s = c->stream;
    WEIR_ASSERT(s->priv->callbacks == 0);
    fm_laps(s, true);
    for (unsigned i = 0; i < c->count; i++) {
        struct filter *f = &c->filters[i];
        if (f->destroyed)
            continue;
        f->destroyed = true;
        call_last(f, f->ops->destroy);
    }
    fm_laps(s, false);
}

static void continue_side(struct filter *f, bool response)
{
    uint8_t *state = response ? &f->response_state : &f->request_state;
    if (f->destroyed)
        return;
    if (f->in_callback)
        *state |= FM_PENDING_CONTINUE;
    else
        fm_continue(f, response);
}

void filter_continue_request(struct filter *f)
{
    continue_side(f, false);
}

void filter_continue_response(struct filter *f)
{
    continue_side(f, true);
}

void filter_retry_request(struct filter *f)
{
    WEIR_ASSERT(!f->in_callback);
    fm_retry(f, false);
}

void filter_retry_response(struct filter *f)
{
    WEIR_ASSERT(!f->in_callback);
    fm_retry(f, true);
}

void filter_offer(struct filter *f, bool response, struct chain *data, struct header_map *trailers, bool end)
{
    WEIR_ASSERT(!f->in_callback);
    fm_offer(f, response, data, trailers, end);
}

struct header_map *filter_request_headers(struct filter *f)
{
    return *f->chain->request.headers;
}
struct header_map *filter_request_trailers(struct filter *f)
{
    return *f->chain->request.trailers;
}
struct header_map *filter_response_headers(struct filter *f)
{
    return *f->chain->response.headers;
}
struct header_map *filter_response_trailers(struct filter *f)
{
    return *f->chain->response.trailers;
}
struct chain *filter_request_body(struct filter *f)
{
    return &f->chain->request.buffer;
}
struct chain *filter_response_body(struct filter *f)
{
    return &f->chain->response.buffer;
}

void filter_body_drained(struct filter *f)
{
    fm_hold_release(f->chain, &f->chain->request);
    fm_hold_release(f->chain, &f->chain->response);
}

/* Only in the callback of the last data, which then is not the end. */
static struct header_map *add_trailers(struct filter *f, bool response)
{
    uint8_t state = response ? f->response_state : f->request_state;
    struct fm_side *side = fm_side(f->chain, response);
    if (*side->trailers || !f->in_callback || !(state & FM_END_SEEN) || fm_dead(f->chain, side))
        return NULL;
    struct header_map *map = ARENA_NEW(&f->stream->arena, struct header_map);
    if (map)
        header_map_init(map, &f->stream->arena, RESPONSE_HEADERS_COUNT_MAX, RESPONSE_HEADERS_BYTES_MAX);
    *side->trailers = map;
    return map;
}

struct header_map *filter_add_request_trailers(struct filter *f)
{
    return add_trailers(f, false);
}

struct header_map *filter_add_response_trailers(struct filter *f)
{
    return add_trailers(f, true);
}

bool filter_local_reply(struct filter *f, const struct local_reply *reply)
{
    WEIR_ASSERT(!f->destroyed);
    return fm_reply(f->chain, reply);
}

/* The stream goes on without it. */
static bool of_past_try(const struct filter *f)
{
    return WEIR_UNLIKELY(f->chain->ends && f->chain->response.aborted);
}

void filter_reset_stream(struct filter *f, const char *details)
{
    if (of_past_try(f))
        return;
    /* Who has said why already (the router) is not contradicted. */
    stream_reset(f->stream, details, f->stream->info.flags ? 0 : RESPONSE_FLAG(LOCAL_RESET));
}

void filter_close_stream(struct filter *f, const char *details)
{
    struct stream *s = f->stream;
    uint64_t status;
    if (of_past_try(f))
        return;
    if (s->info.response_code == 0 && s->response_headers &&
        slice_parse_u64(header_map_get_id(s->response_headers, HDR_STATUS), &status) && status < 1000)
        s->info.response_code = (uint16_t)status;
    stream_reset(s, s->info.details.len ? NULL : details, 0);
}

void filter_clear_route(struct filter *f)
{
    if (WEIR_LIKELY(!f->chain->ends)) /* else the request is on its way already (Envoy) */
        f->stream->route_matched = false;
}

/* Whether an upstream's answer is still wanted: a local reply that filters hold back is the answer already.
 */
static bool encode_wanted(const struct filter *f)
{
    return !fm_dead(f->chain, &f->chain->response) && !f->stream->local_reply_sent;
}

void filter_encode_informational(struct filter *f, struct header_map *headers)
{
    if (encode_wanted(f))
        stream_emit_informational(f->stream, headers);
}

void filter_encode_headers(struct filter *f, struct header_map *headers, bool end_of_stream)
{
    struct fm_side *side = &f->chain->response;
    if (!encode_wanted(f) || *side->headers)
        return;
    *side->headers = headers;
    if (side->holds && f->ops->response_backpressure)
        f->ops->response_backpressure(f, true); /* held before there was an upstream to hold */
    filters_response_headers(f->chain, end_of_stream);
}

void filter_encode_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    if (encode_wanted(f))
        filters_response_data(f->chain, data, end_of_stream);
    else
        chain_clear(data);
}

void filter_encode_trailers(struct filter *f, struct header_map *trailers)
{
    struct fm_side *side = &f->chain->response;
    if (!encode_wanted(f) || *side->trailers)
        return;
    *side->trailers = trailers;
    filters_response_trailers(f->chain);
}

void filter_request_backpressure(struct filter *f, bool on)
{
    filters_hold_request(f->chain, HOLD_ROUTER, on);
}

void filters_hold_request(struct http_chain *c, enum stream_hold why, bool on)
{
    struct stream *s = c->stream;
    struct fm_side *side = &c->request;
    uint8_t before = side->holds;
    side->holds = (uint8_t)(on ? before | why : before & ~why);
    if ((before != 0) == (side->holds != 0))
        return;
    if (WEIR_UNLIKELY(c->ends != NULL)) {
        c->ends->hold(c, on);
        return;
    }
    if (!s->codec)
        return;
    const struct hcm_stats *stats = &s->hcm->stats;
    stat_inc(on ? stats->downstream_flow_control_paused_reading_total
                : stats->downstream_flow_control_resumed_reading_total);
    codec_stream_pause(s->codec, on);
    downstream_stream_paused(s->downstream, on);
}

void filters_hold_response(struct http_chain *c, enum stream_hold why, bool on)
{
    struct fm_side *side = &c->response;
    uint8_t before = side->holds;
    side->holds = (uint8_t)(on ? before | why : before & ~why);
    if (c->count == 0 || (before != 0) == (side->holds != 0) || c->stream->priv->reset)
        return;
    struct filter *last = &c->filters[c->count - 1];
    if (last->ops->response_backpressure && !last->destroyed)
        last->ops->response_backpressure(last, on);
}
