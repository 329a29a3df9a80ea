/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts frames against the limits that keep a peer from making us work or hold memory for nothing. The names
 * and the formulas are Envoy's. Looks at frame heads only.
 */
#include "http/h2_codec.h"

#include "http/limits.h"

/* WINDOW_UPDATE frames that any connection may send (Envoy). */
#define WINDOW_UPDATES_FREE 5u

static const struct http_error *crossed(stat_id stat, const struct http_error *error)
{
    stat_inc(stat);
    return error;
}

const struct http_error *h2_flood_data(struct h2_codec *c, bool empty, bool end)
{
    if (!empty || end) {
        c->empty_frames = 0;
        return NULL;
    }
    if (++c->empty_frames <= c->settings.max_empty_frames)
        return NULL;
    return crossed(c->settings.stats->inbound_empty_frames_flood, &http_error_h2_empty_frames);
}

const struct http_error *h2_flood_inbound(struct h2_codec *c, uint8_t type, size_t length)
{
    const struct h2_settings *s = &c->settings;
    switch (type) {
    case NGHTTP2_PRIORITY:
        if (++c->priority_frames > (uint64_t)s->max_priority_per_stream * (1 + c->opened))
            return crossed(s->stats->inbound_priority_frames_flood, &http_error_h2_priority_frames);
        return NULL;
    case NGHTTP2_WINDOW_UPDATE:
        if (++c->window_frames >
            WINDOW_UPDATES_FREE +
                2 * (c->opened + (uint64_t)s->max_window_updates_per_data * c->data_frames_sent))
            return crossed(s->stats->inbound_window_update_frames_flood, &http_error_h2_window_frames);
        return NULL;
    case NGHTTP2_HEADERS:
        return h2_flood_data(c, length == 0, false);
    default:
        return NULL;
    }
}

/* Frames that have left since are forgotten, group by group. */
static void backlog_add(struct h2_backlog *b, uint64_t appended, uint64_t sent, uint32_t group)
{
    while (b->used > 0 && b->end[b->first] <= sent) {
        b->total -= b->count[b->first];
        b->first = (b->first + 1) % H2_BACKLOG_GROUPS;
        b->used--;
    }
    uint32_t last = (b->first + b->used - 1) % H2_BACKLOG_GROUPS;
    if (b->used == 0 || (b->count[last] >= group && b->used < H2_BACKLOG_GROUPS)) {
        last = (b->first + b->used) % H2_BACKLOG_GROUPS;
        b->count[last] = 0;
        b->used++;
    }
    b->end[last] = appended;
    b->count[last]++;
    b->total++;
}

const struct http_error *h2_flood_outbound(struct h2_codec *c, bool control)
{
    const struct h2_settings *s = &c->settings;
    uint64_t sent = c->appended - c->base.out->bytes;
    backlog_add(&c->frames, c->appended, sent, s->max_outbound_frames / (H2_BACKLOG_GROUPS / 2));
    if (c->frames.total > s->max_outbound_frames)
        return crossed(s->stats->outbound_flood, &http_error_h2_outbound_frames);
    if (!control)
        return NULL;
    backlog_add(&c->control, c->appended, sent, s->max_outbound_control / (H2_BACKLOG_GROUPS / 2));
    if (c->control.total > s->max_outbound_control)
        return crossed(s->stats->outbound_control_flood, &http_error_h2_control_frames);
    return NULL;
}

static uint32_t frame_length(const uint8_t *head)
{
    return (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
}

static int32_t frame_stream(const uint8_t *head)
{
    return (int32_t)(((uint32_t)head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 |
                     head[8]);
}

/* RFC 9113 5.1: DATA for a stream that the client has closed. The library would ignore it. */
static uint32_t data_code(const struct h2_codec *c, int32_t id)
{
    if (id == 0 || id > c->last_id || nghttp2_session_get_stream_user_data(c->session, id))
        return NGHTTP2_NO_ERROR;
    return h2_closed_check(c, id);
}

/* The state of streams is known up to the bytes that were fed: a DATA frame behind something that may have
 * closed its stream waits for the next step. */
static bool data_waits(const struct h2_codec *c, int32_t id, bool resets)
{
    return resets || !nghttp2_session_get_stream_user_data(c->session, id);
}

size_t h2_scan(struct h2_codec *c, struct slice bytes)
{
    struct h2_scan *k = &c->scan;
    size_t at = 0, frame_at = 0;
    uint32_t heads = 0;
    bool resets = false;
    while (at < bytes.len) {
        uint32_t *skip = k->skip ? &k->skip : &k->left;
        if (*skip > 0) {
            size_t n = bytes.len - at < *skip ? bytes.len - at : *skip;
            *skip -= (uint32_t)n;
            at += n;
            frame_at = at;
            continue;
        }
        if (heads == H2_HEADS_PER_STEP && k->head_used == 0)
            return at;
        k->head[k->head_used++] = (uint8_t)bytes.ptr[at++];
        if (k->head_used < sizeof(k->head))
            continue;
        k->head_used = 0;
        uint8_t type = k->head[3];
        if (type == NGHTTP2_DATA && c->server) {
            if (frame_at > 0 && data_waits(c, frame_stream(k->head), resets))
                return frame_at;
            c->error_code = data_code(c, frame_stream(k->head));
            if (c->error_code != NGHTTP2_NO_ERROR) {
                c->error = &http_error_h2_protocol;
                return 0;
            }
        }
        k->left = frame_length(k->head);
        frame_at = at;
        heads += type == NGHTTP2_HEADERS;
        resets = resets || type == NGHTTP2_RST_STREAM;
    }
    return at;
}

void h2_closed_add(struct h2_codec *c, int32_t id, bool by_peer)
{
    struct h2_closed *k = &c->closed;
    k->id[k->count % H2_CLOSED_KEPT] = id;
    k->by_peer[k->count % H2_CLOSED_KEPT] = by_peer;
    k->count++;
}

/* RFC 9113 5.1. What the record does not reach back to is ignored. */
uint32_t h2_closed_check(const struct h2_codec *c, int32_t id)
{
    const struct h2_closed *k = &c->closed;
    size_t kept = k->count < H2_CLOSED_KEPT ? (size_t)k->count : H2_CLOSED_KEPT;
    for (size_t i = 0; i < kept; i++) {
        if (k->id[i] == id)
            return k->by_peer[i] ? NGHTTP2_STREAM_CLOSED : NGHTTP2_NO_ERROR;
    }
    return k->count <= H2_CLOSED_KEPT ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_NO_ERROR;
}
