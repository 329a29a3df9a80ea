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

static bool filter_setup(struct stream *s, struct filter *f, const struct filter_config *fc, uint16_t index)
{
    *f = (struct filter){.ops = fc->ops, .config = fc, .stream = s, .index = index};
    if (fc->ops->state_bytes) {
        f->state = arena_calloc(&s->arena, 1, fc->ops->state_bytes);
        if (!f->state) {
            f->destroyed = true; /* nothing to release */
            return false;
        }
    }
    return true;
}

static bool chain_failed(struct stream *s)
{
    static const struct local_reply reply = {
        .status = 500, .details = {"filter_chain_not_available", 26}, .grpc_status = -1};
    stream_direct_reply(s, &reply);
    return false;
}

WEIR_HOT bool filters_create(struct stream *s, const struct filter_list *list)
{
    struct filter *filters = arena_alloc(&s->arena, (list->count ? list->count : 1) * sizeof(*filters));
    WEIR_ASSERT(s->filter_count == 0);
    if (!filters)
        return chain_failed(s);
    s->filters = filters;
    for (size_t i = 0; i < list->count; i++) {
        const struct filter_config *fc = &list->items[i];
        if (!takes_part(s, fc))
            continue;
        uint16_t index = s->filter_count++;
        struct filter *f = &filters[index];
        if (!filter_setup(s, f, fc, index) || (fc->ops->init && !fc->ops->init(f)))
            return chain_failed(s);
    }
    return true;
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

WEIR_HOT void filters_complete(struct stream *s)
{
    WEIR_ASSERT(s->priv->callbacks == 0);
    fm_laps(s, true);
    for (unsigned i = 0; i < s->filter_count; i++) {
        struct filter *f = &s->filters[i];
        if (f->destroyed)
            continue;
        f->in_callback = true;
        call_last(f, f->ops->complete);
        f->in_callback = false;
    }
    fm_laps(s, false);
}

WEIR_HOT void filters_destroy(struct stream *s)
{
    WEIR_ASSERT(s->priv->callbacks == 0);
    fm_laps(s, true);
    for (unsigned i = 0; i < s->filter_count; i++) {
        struct filter *f = &s->filters[i];
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
    return f->stream->request_headers;
}
struct header_map *filter_request_trailers(struct filter *f)
{
    return f->stream->request_trailers;
}
struct header_map *filter_response_headers(struct filter *f)
{
    return f->stream->response_headers;
}
struct header_map *filter_response_trailers(struct filter *f)
{
    return f->stream->response_trailers;
}
struct chain *filter_request_body(struct filter *f)
{
    return &f->stream->priv->request.buffer;
}
struct chain *filter_response_body(struct filter *f)
{
    return &f->stream->priv->response.buffer;
}

void filter_body_drained(struct filter *f)
{
    fm_hold_release(f->stream, &f->stream->priv->request);
    fm_hold_release(f->stream, &f->stream->priv->response);
}

/* Only in the callback of the last data, which then is not the end. */
static struct header_map *add_trailers(struct filter *f, bool response, struct header_map **slot)
{
    uint8_t state = response ? f->response_state : f->request_state;
    struct fm_side *side = fm_side(f->stream, response);
    if (*slot || !f->in_callback || !(state & FM_END_SEEN) || fm_dead(f->stream, side))
        return NULL;
    struct header_map *map = ARENA_NEW(&f->stream->arena, struct header_map);
    if (map)
        header_map_init(map, &f->stream->arena, RESPONSE_HEADERS_COUNT_MAX, RESPONSE_HEADERS_BYTES_MAX);
    *slot = map;
    return map;
}

struct header_map *filter_add_request_trailers(struct filter *f)
{
    return add_trailers(f, false, &f->stream->request_trailers);
}

struct header_map *filter_add_response_trailers(struct filter *f)
{
    return add_trailers(f, true, &f->stream->response_trailers);
}

bool filter_local_reply(struct filter *f, const struct local_reply *reply)
{
    WEIR_ASSERT(!f->destroyed);
    return stream_local_reply(f->stream, reply);
}

void filter_reset_stream(struct filter *f, const char *details)
{
    /* Who has said why already (the router) is not contradicted. */
    stream_reset(f->stream, details, f->stream->info.flags ? 0 : RESPONSE_FLAG(LOCAL_RESET));
}

void filter_close_stream(struct filter *f, const char *details)
{
    struct stream *s = f->stream;
    uint64_t status;
    if (s->info.response_code == 0 && s->response_headers &&
        slice_parse_u64(header_map_get_id(s->response_headers, HDR_STATUS), &status) && status < 1000)
        s->info.response_code = (uint16_t)status;
    stream_reset(s, s->info.details.len ? NULL : details, 0);
}

void filter_clear_route(struct filter *f)
{
    f->stream->route_matched = false;
}

/* Whether an upstream's answer is still wanted: a local reply that filters hold back is the answer already.
 */
static bool encode_wanted(const struct stream *s)
{
    return !fm_dead(s, &s->priv->response) && !s->local_reply_sent;
}

void filter_encode_informational(struct filter *f, struct header_map *headers)
{
    if (encode_wanted(f->stream))
        stream_emit_informational(f->stream, headers);
}

void filter_encode_headers(struct filter *f, struct header_map *headers, bool end_of_stream)
{
    struct stream *s = f->stream;
    if (!encode_wanted(s) || s->response_headers)
        return;
    s->response_headers = headers;
    if (s->priv->response.holds && f->ops->response_backpressure)
        f->ops->response_backpressure(f, true); /* held before there was an upstream to hold */
    filters_response_headers(s, end_of_stream);
}

void filter_encode_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    if (encode_wanted(f->stream))
        filters_response_data(f->stream, data, end_of_stream);
    else
        chain_clear(data);
}

void filter_encode_trailers(struct filter *f, struct header_map *trailers)
{
    struct stream *s = f->stream;
    if (!encode_wanted(s) || s->response_trailers)
        return;
    s->response_trailers = trailers;
    filters_response_trailers(s);
}

void filter_request_backpressure(struct filter *f, bool on)
{
    filters_hold_request(f->stream, HOLD_ROUTER, on);
}

void filters_hold_request(struct stream *s, enum stream_hold why, bool on)
{
    struct fm_side *side = &s->priv->request;
    uint8_t before = side->holds;
    side->holds = (uint8_t)(on ? before | why : before & ~why);
    if (!s->codec || (before != 0) == (side->holds != 0))
        return;
    const struct hcm_stats *stats = &s->hcm->stats;
    stat_inc(on ? stats->downstream_flow_control_paused_reading_total
                : stats->downstream_flow_control_resumed_reading_total);
    codec_stream_pause(s->codec, on);
    downstream_stream_paused(s->downstream, on);
}

void filters_hold_response(struct stream *s, enum stream_hold why, bool on)
{
    struct fm_side *side = &s->priv->response;
    uint8_t before = side->holds;
    side->holds = (uint8_t)(on ? before | why : before & ~why);
    if (s->filter_count == 0 || (before != 0) == (side->holds != 0) || s->priv->reset)
        return;
    struct filter *router = &s->filters[s->filter_count - 1];
    if (router->ops->response_backpressure && !router->destroyed)
        router->ops->response_backpressure(router, on);
}
