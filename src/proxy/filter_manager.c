/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Iterating over the filters of a stream, with Envoy's semantics (its filter_manager.cc is the model): where
 * a filter stops, the parts of the message that it holds stay in one buffer per direction, and continuing
 * picks up behind it. After every callback the stream may have been answered or reset: each loop looks.
 */
#include "proxy/filter_manager.h"

#include "proxy/limits.h"

static void side_data(struct http_chain *c, struct fm_side *side, unsigned start, struct chain *data,
                      bool end);
static void side_trailers(struct http_chain *c, struct fm_side *side, unsigned start);

static void hold_for(struct http_chain *c, const struct fm_side *side, enum stream_hold why, bool on)
{
    if (side->response)
        filters_hold_response(c, why, on);
    else
        filters_hold_request(c, why, on);
}

static void hold(struct http_chain *c, const struct fm_side *side, bool on)
{
    hold_for(c, side, HOLD_FILTER_BUFFER, on);
}

/* More than the limit is in the buffer of a filter that wants it whole. */
static void buffer_too_large(struct http_chain *c, const struct fm_side *side)
{
    const struct hcm_stats *stats = &c->stream->hcm->stats;
    static const struct local_reply request = {.status = 413,
                                               .body = {"Payload Too Large", 17},
                                               .details = {"request_payload_too_large", 25},
                                               .grpc_status = -1};
    static const struct local_reply response = {.status = 500,
                                                .body = {"Internal Server Error", 21},
                                                .details = {"response_payload_too_large", 26},
                                                .grpc_status = -1};
    if (WEIR_LIKELY(!c->ends))
        stat_inc(side->response ? stats->rs_too_large : stats->downstream_rq_too_large);
    (void)fm_reply(c, side->response ? &response : &request); /* false: reset, as good */
}

/* Moves `data` behind the buffer. Small pieces are copied together. */
static bool buffer_take(struct http_chain *c, struct fm_side *side, struct chain *data)
{
    while (!chain_empty(data)) {
        struct slice front = chain_front(data);
        if (front.len > FILTER_BUFFER_COPY_MAX) {
            if (!chain_move(&side->buffer, data, front.len))
                return false;
            continue;
        }
        if (!chain_append_copy(&side->buffer, &c->stream->worker->loop.blocks, front))
            return false;
        chain_drain(data, front.len);
    }
    return true;
}

static void side_buffer(struct http_chain *c, struct fm_side *side, struct chain *data, bool streaming)
{
    side->has_buffer = true;
    side->streaming = streaming;
    if (!buffer_take(c, side, data)) {
        stream_reset(c->stream, "filter_buffer_out_of_memory", RESPONSE_FLAG(LOCAL_RESET));
        return;
    }
    uint32_t limit = c->stream->priv->buffer_limit;
    if (limit == 0 || side->buffer.bytes <= limit)
        return;
    if (streaming)
        hold(c, side, true);
    else
        buffer_too_large(c, side);
}

static void headers_stop(struct filter *f, const struct fm_side *side, enum filter_headers_status status)
{
    uint8_t *state = fm_state(f, side);
    if (status == FILTER_HEADERS_STOP)
        *state |= FM_STOP_SINGLE;
    else
        *state |= FM_STOP_ALL | (status == FILTER_HEADERS_STOP_ALL_WATERMARK ? FM_STOP_ALL_WATERMARK : 0);
}

/* A continue that was asked for inside the callback takes effect now. */
static void pending_continue(struct filter *f, const struct fm_side *side)
{
    uint8_t *state = fm_state(f, side);
    bool pending = *state & FM_PENDING_CONTINUE;
    *state &= (uint8_t)~FM_PENDING_CONTINUE;
    if (pending && !fm_dead(f->chain, side))
        fm_continue(f, side->response);
}

/* A body that a filter made for a message that had none: goes on behind that filter. */
static void added_body(struct http_chain *c, struct fm_side *side, unsigned pos)
{
    struct filter *f = fm_at(c, side, pos);
    if (fm_dead(c, side))
        return;
    *fm_state(f, side) |= FM_STOP_SINGLE;
    fm_continue(f, side->response);
}

static void headers_emit(struct http_chain *c, const struct fm_side *side, bool end)
{
    fm_laps(c->stream, false);
    if (!side->response)
        return;
    if (WEIR_UNLIKELY(c->ends != NULL))
        c->ends->headers(c, end);
    else
        stream_emit_headers(c->stream, end);
}

static void data_emit(struct http_chain *c, struct chain *data, bool end)
{
    if (WEIR_UNLIKELY(c->ends != NULL))
        c->ends->data(c, data, end);
    else
        stream_emit_data(c->stream, data, end);
}

static void trailers_emit(struct http_chain *c, const struct fm_side *side)
{
    if (WEIR_UNLIKELY(c->ends != NULL))
        c->ends->trailers(c);
    else
        stream_emit_trailers(c->stream, *side->trailers);
}

static WEIR_HOT void visit_headers(struct http_chain *c, struct fm_side *side, unsigned start, bool end)
{
    unsigned n = c->count, body_from = UINT32_MAX;
    for (unsigned pos = start; pos < n; pos++) {
        struct filter *f = fm_at(c, side, pos);
        uint8_t *state = fm_state(f, side);
        bool filter_end = end && body_from == UINT32_MAX;
        *state = filter_end ? FM_END_SEEN : 0;
        enum filter_headers_status status =
            filter_call_headers(f, side->response, *side->headers, filter_end);
        if (fm_dead(c, side))
            return;
        if (end && body_from == UINT32_MAX && !chain_empty(&side->buffer)) {
            side->has_buffer = true;
            body_from = pos;
        }
        if (status == FILTER_HEADERS_CONTINUE_AND_END) {
            *state |= FM_END_SEEN;
            side->cut = side->cut && side->cut <= pos ? side->cut : (uint16_t)(pos + 1);
            end = true;
        } else if (status != FILTER_HEADERS_CONTINUE) {
            headers_stop(f, side, status);
            if (body_from != UINT32_MAX && body_from != pos)
                added_body(c, side, body_from);
            pending_continue(f, side);
            return;
        }
        *state = (uint8_t)((*state | FM_HEADERS_PASSED) & ~FM_PENDING_CONTINUE);
    }
    headers_emit(c, side, end && body_from == UINT32_MAX);
    if (body_from != UINT32_MAX)
        added_body(c, side, body_from);
}

static void side_headers(struct http_chain *c, struct fm_side *side, unsigned start, bool end)
{
    fm_laps(c->stream, true);
    visit_headers(c, side, start, end);
    fm_laps(c->stream, false);
}

/* The filter keeps a part that it has not looked at. Filters behind must not take what they have for all. */
static void keep_for_later(struct filter *f, struct fm_side *side, bool end)
{
    *fm_state(f, side) &= (uint8_t) ~(FM_END_SEEN | FM_PENDING_CONTINUE);
    side->ended = side->ended && !end;
    hold_for(f->chain, side, HOLD_FILTER_LATER, true);
}

/* What a data status means. False: the loop ends here. */
static bool data_goes_on(struct filter *f, struct fm_side *side, enum filter_data_status status,
                         struct chain *data)
{
    struct http_chain *c = f->chain;
    uint8_t *state = fm_state(f, side);
    if (status == FILTER_DATA_CONTINUE) {
        if (!(*state & FM_STOPPED)) {
            *state &= (uint8_t)~FM_PENDING_CONTINUE;
            return true;
        }
        *state &= (uint8_t)~FM_PENDING_CONTINUE;
        side_buffer(c, side, data, true);
        if (!fm_dead(c, side))
            fm_continue(f, side->response);
        return false;
    }
    *state |= FM_STOP_SINGLE;
    if (status == FILTER_DATA_STOP_NO_BUFFER) {
        chain_clear(data);
        /* So that continuing hands on the end, if not data. */
        if ((*state & FM_END_SEEN) && !*side->trailers)
            side->has_buffer = true;
    } else {
        side_buffer(c, side, data, status == FILTER_DATA_STOP_WATERMARK);
    }
    if (!fm_dead(c, side))
        pending_continue(f, side);
    return false;
}

/* Whether the data may go to the filter; otherwise it is kept or dropped. */
static bool data_wanted(struct filter *f, struct fm_side *side, struct chain *data)
{
    uint8_t state = *fm_state(f, side);
    if (state & FM_STOP_ALL) {
        side_buffer(f->chain, side, data, state & FM_STOP_ALL_WATERMARK);
        return false;
    }
    if (state & FM_END_SEEN) {
        chain_clear(data);
        return false;
    }
    return true;
}

/* The filter has no function for data, and no other reason to look at it. */
static inline bool passes_data(const struct filter *f, const struct fm_side *side, uint8_t state)
{
    const uint8_t looks = FM_STOPPED | FM_END_SEEN | FM_PENDING_CONTINUE;
    return !(side->response ? f->ops->response_data : f->ops->request_data) && !(state & looks);
}

static WEIR_HOT void visit_data(struct http_chain *c, struct fm_side *side, unsigned start,
                                struct chain *data, bool end)
{
    unsigned n = c->count, pos, added_by = UINT32_MAX;
    bool had_trailers = *side->trailers != NULL;
    for (pos = start; pos < n; pos++) {
        struct filter *f = fm_at(c, side, pos);
        bool filter_end = end && !*side->trailers;
        if (passes_data(f, side, *fm_state(f, side))) {
            *fm_state(f, side) |= filter_end ? FM_END_SEEN : 0;
            continue;
        }
        if (!data_wanted(f, side, data))
            return;
        if (filter_end)
            *fm_state(f, side) |= FM_END_SEEN;
        enum filter_data_status status = filter_call_data(f, side->response, data, filter_end);
        if (fm_dead(c, side))
            return;
        if (!had_trailers && added_by == UINT32_MAX && *side->trailers) {
            end = false;
            added_by = pos;
            *fm_state(f, side) &= (uint8_t)~FM_END_SEEN;
        }
        if (status == FILTER_DATA_LATER) {
            WEIR_ASSERT(chain_empty(data));
            keep_for_later(f, side, filter_end);
            break;
        }
        if (!data_goes_on(f, side, status, data))
            break;
    }
    fm_laps(c->stream, false);
    if (fm_dead(c, side))
        return;
    if (pos == n && side->response)
        data_emit(c, data, end);
    /* Trailers that a filter made go on behind it; one that stopped here brings them when it continues. */
    if (added_by != UINT32_MAX && pos != added_by)
        side_trailers(c, side, added_by + 1);
}

static void side_data(struct http_chain *c, struct fm_side *side, unsigned start, struct chain *data,
                      bool end)
{
    fm_laps(c->stream, true);
    visit_data(c, side, start, data, end);
    fm_laps(c->stream, false);
}

static void visit_trailers(struct http_chain *c, struct fm_side *side, unsigned start)
{
    for (unsigned pos = start; pos < c->count; pos++) {
        struct filter *f = fm_at(c, side, pos);
        uint8_t *state = fm_state(f, side);
        if (fm_dead(c, side) || (*state & (FM_STOP_ALL | FM_END_SEEN)))
            return;
        *state |= FM_END_SEEN;
        enum filter_trailers_status status = filter_call_trailers(f, side->response, *side->trailers);
        if (fm_dead(c, side))
            return;
        if (status == FILTER_TRAILERS_LATER) {
            *side->trailers = NULL;
            keep_for_later(f, side, true);
            return;
        }
        if (status == FILTER_TRAILERS_STOP) {
            *state |= FM_STOP_SINGLE;
            pending_continue(f, side);
            return;
        }
        *state &= (uint8_t)~FM_PENDING_CONTINUE;
        if (*state & FM_STOPPED) { /* it held headers or data and lets all of it go now */
            fm_continue(f, side->response);
            return;
        }
    }
    fm_laps(c->stream, false);
    if (!fm_dead(c, side) && side->response)
        trailers_emit(c, side);
}

static void side_trailers(struct http_chain *c, struct fm_side *side, unsigned start)
{
    fm_laps(c->stream, true);
    visit_trailers(c, side, start);
    fm_laps(c->stream, false);
}

void fm_hold_release(struct http_chain *c, const struct fm_side *side)
{
    if (side->holds & HOLD_FILTER_BUFFER && side->buffer.bytes <= c->stream->priv->buffer_limit / 2)
        hold(c, side, false);
}

/* Whether the message has ended for the filter at `pos`: a filter before one that cut it short still gets the
 * rest. */
static bool ended_for(const struct fm_side *side, unsigned pos)
{
    return side->ended || (side->cut && pos >= side->cut);
}

void fm_retry(struct filter *f, bool response)
{
    struct http_chain *c = f->chain;
    struct fm_side *side = fm_side(c, response);
    unsigned pos = fm_pos(f, side);
    bool trailers = *side->trailers != NULL, ended = ended_for(side, pos), body = side->has_buffer;
    if (fm_dead(c, side) || f->destroyed || !(*fm_state(f, side) & FM_STOP_ALL))
        return;
    /* Out of the common buffer: a filter behind that continues must not take what this one has not seen. */
    struct chain data;
    chain_init(&data);
    side->has_buffer = false;
    if (!chain_move(&data, &side->buffer, side->buffer.bytes))
        stream_reset(c->stream, "filter_buffer_out_of_memory", RESPONSE_FLAG(LOCAL_RESET));
    else
        side_headers(c, side, pos, ended && !body && !trailers);
    if (body && !fm_dead(c, side))
        side_data(c, side, pos, &data, ended && !trailers);
    chain_fini(&data);
    if (trailers && !fm_dead(c, side))
        side_trailers(c, side, pos);
    fm_hold_release(c, side);
}

void fm_offer(struct filter *f, bool response, struct chain *data, struct header_map *trailers, bool end)
{
    struct http_chain *c = f->chain;
    struct fm_side *side = fm_side(c, response);
    unsigned pos = fm_pos(f, side);
    if (fm_dead(c, side) || f->destroyed)
        return;
    hold_for(c, side, HOLD_FILTER_LATER, false); /* the filter may want it later once more */
    if (trailers)
        *side->trailers = trailers;
    side->ended = side->ended || end;
    if (!chain_empty(data) || (end && !trailers))
        side_data(c, side, pos, data, end && !trailers);
    if (trailers && !fm_dead(c, side) && !f->destroyed)
        side_trailers(c, side, pos);
}

void fm_continue(struct filter *f, bool response)
{
    struct http_chain *c = f->chain;
    struct fm_side *side = fm_side(c, response);
    uint8_t *state = fm_state(f, side);
    if (fm_dead(c, side) || f->destroyed || !(*state & FM_STOPPED))
        return;
    unsigned behind = fm_pos(f, side) + 1;
    unsigned from = *state & FM_STOP_ALL ? behind - 1 : behind; /* it has not seen what came meanwhile */
    bool trailers = *side->trailers != NULL, ended = ended_for(side, behind);
    *state &= (uint8_t) ~(FM_STOPPED | FM_STOP_ALL_WATERMARK | FM_PENDING_CONTINUE);
    if (from < behind && (side->has_buffer || trailers))
        *state &= (uint8_t)~FM_END_SEEN;
    if (!(*state & FM_HEADERS_PASSED)) {
        *state |= FM_HEADERS_PASSED;
        side_headers(c, side, behind, ended && !side->has_buffer && !trailers);
    }
    if (!fm_dead(c, side) && side->has_buffer) {
        struct chain data;
        chain_init(&data);
        side->has_buffer = false;
        bool moved = chain_move(&data, &side->buffer, side->buffer.bytes);
        if (moved)
            side_data(c, side, from, &data, ended && !trailers);
        else
            stream_reset(c->stream, "filter_buffer_out_of_memory", RESPONSE_FLAG(LOCAL_RESET));
        chain_fini(&data);
    }
    if (!fm_dead(c, side) && trailers)
        side_trailers(c, side, from);
    fm_hold_release(c, side);
}

void filters_request_headers(struct http_chain *c, bool end)
{
    struct fm_side *side = &c->request;
    side->ended = end;
    side_headers(c, side, 0, end);
}

void filters_request_data(struct http_chain *c, struct chain *data, bool end)
{
    struct fm_side *side = &c->request;
    if (fm_dead(c, side)) {
        chain_clear(data);
        return;
    }
    side->ended = end;
    side_data(c, side, 0, data, end);
    chain_clear(data);
}

void filters_request_trailers(struct http_chain *c)
{
    c->request.ended = true;
    side_trailers(c, &c->request, 0);
}

void filters_response_headers(struct http_chain *c, bool end)
{
    struct fm_side *side = &c->response;
    side->ended = end;
    side_headers(c, side, 0, end);
}

void filters_response_data(struct http_chain *c, struct chain *data, bool end)
{
    struct fm_side *side = &c->response;
    if (!fm_dead(c, side)) {
        side->ended = end;
        side_data(c, side, 0, data, end);
    }
    chain_clear(data);
}

void filters_response_trailers(struct http_chain *c)
{
    c->response.ended = true;
    side_trailers(c, &c->response, 0);
}
