/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nghttp2 tells about received and sent frames. It is noted on the streams; events to the owner follow
 * when the library is off the stack, so that an owner may do anything from inside them. The one exception are
 * 1xx heads, whose events cause nothing on this connection but submissions.
 */
#include "http/h2_codec.h"

#include "base/assert.h"
#include "http/limits.h"
#include "http/status.h"

#include <pthread.h>

static struct slice text_of(nghttp2_rcbuf *buf)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(buf);
    return slice_of(v.base, v.len);
}

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* The first reason is the one that is reported. */
static void end_connection(struct h2_codec *c, const struct http_error *error, uint32_t code)
{
    if (!c->error)
        c->error = error;
    (void)nghttp2_session_terminate_session(c->session, code);
}

/* A message that is no HTTP message. */
static void bad_message(struct h2_codec *c, struct h2_stream *st, const struct http_error *error)
{
    if (c->error || (st && st->error))
        return; /* the same one, reported again */
    stat_inc(c->settings.stats->rx_messaging_error);
    if (st)
        st->error = error;
    if (!c->settings.stream_error_on_bad_message)
        end_connection(c, error, NGHTTP2_PROTOCOL_ERROR);
    else if (st)
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_PROTOCOL_ERROR);
}

/* --- Before a frame is looked at --- */

static int refuse_frame(struct h2_codec *c, const struct http_error *error, uint32_t code)
{
    if (!c->error)
        c->error = error;
    c->error_code = code;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct h2_codec *c = user;
    const struct http_error *error = h2_flood_inbound(c, hd->type, hd->length);
    if (error)
        return refuse_frame(c, error, NGHTTP2_ENHANCE_YOUR_CALM);
    if (!c->server || hd->type != NGHTTP2_HEADERS || hd->stream_id > c->last_id ||
        find(session, hd->stream_id))
        return 0;
    uint32_t code = hd->stream_id & 1 ? h2_closed_check(c, hd->stream_id) : NGHTTP2_PROTOCOL_ERROR;
    return code == NGHTTP2_NO_ERROR ? 0 : refuse_frame(c, &http_error_h2_protocol, code);
}

/* --- Heads --- */

static int begin_request(struct h2_codec *c, const nghttp2_frame *frame)
{
    struct h2_stream *st = h2_stream_new(c);
    if (!st)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    st->id = frame->hd.stream_id;
    c->last_id = st->id;
    if (!c->base.events->stream_begin(c->base.conn, &st->base)) {
        stat_inc(c->settings.stats->stream_refused_errors);
        h2_closed_add(c, st->id, false);
        h2_stream_free(c, st);
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    WEIR_ASSERT(st->base.arena);
    nghttp2_session_set_stream_user_data(c->session, st->id, st);
    c->current = st;
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_codec *c = user;
    c->current = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        return begin_request(c, frame);
    c->current = find(session, frame->hd.stream_id);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st = c->current;
    (void)session;
    (void)frame;
    (void)flags;
    if (!st || st->abandoned)
        return 0;
    if (h2_message_field(c, st, text_of(name), text_of(value)) == H2_FIELD_OK)
        return 0;
    stat_inc(c->settings.stats->header_overflow);
    st->error = &http_error_h2_headers_too_large;
    c->current = NULL;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* Fields that the library would leave out silently: what a peer says is either understood or refused. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                             void *user)
{
    struct h2_codec *c = user;
    (void)session;
    (void)frame;
    (void)name;
    (void)name_len;
    (void)value;
    (void)value_len;
    (void)flags;
    bad_message(c, c->current, &http_error_h2_bad_header);
    c->current = NULL;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void got_request(struct h2_codec *c, struct h2_stream *st)
{
    st->final_received = true;
    if (!st->headers || !h2_message_request(c, st)) {
        bad_message(c, st, &http_error_h2_messaging);
        return;
    }
    st->headers_due = true;
}

static void got_response(struct h2_codec *c, struct h2_stream *st)
{
    struct slice text = st->headers ? header_map_get_id(st->headers, HDR_STATUS) : SLICE_EMPTY;
    if (text.len == 3 && text.ptr[0] == '1') {
        struct header_map *map = st->headers;
        st->headers = NULL;
        if (++st->informational > H1_INFORMATIONAL_MAX)
            bad_message(c, st, &http_error_too_many_informational);
        else
            c->base.events->informational(&st->base, map);
        return;
    }
    if (!st->headers || !h2_message_response(st)) {
        bad_message(c, st, &http_error_h2_messaging);
        return;
    }
    st->final_received = true;
    st->headers_due = true;
}

static void got_headers(struct h2_codec *c, struct h2_stream *st, bool end)
{
    if (st->final_received) {
        stat_inc(c->settings.stats->trailers);
        end = true;
    } else if (c->server) {
        got_request(c, st);
    } else {
        got_response(c, st);
    }
    if (end)
        st->recv_ended = true;
    h2_stream_due(c, st);
}

/* --- Frames that were received --- */

static void got_data(struct h2_codec *c, struct h2_stream *st, const nghttp2_frame *frame)
{
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    const struct http_error *error = h2_flood_data(c, frame->hd.length <= frame->data.padlen, end);
    if (error)
        end_connection(c, error, NGHTTP2_ENHANCE_YOUR_CALM);
    if (!st)
        return;
    if (end) {
        st->recv_ended = true;
        h2_stream_due(c, st);
    } else if (WEIR_UNLIKELY(st->end_sent) && c->server) {
        /* RFC 9113 8.1: the rest of a request whose answer is complete is not wanted; but what was under way
         * anyway is taken, so that a client which is about to end hears of no reset. */
        st->late_bytes += frame->hd.length;
        if (st->late_bytes > H2_LATE_BYTES_MAX)
            (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        st = find(session, frame->hd.stream_id);
        got_data(c, st && !st->abandoned ? st : NULL, frame);
        break;
    case NGHTTP2_HEADERS:
        st = c->current;
        c->current = NULL;
        if (st && !st->abandoned)
            got_headers(c, st, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
        break;
    case NGHTTP2_RST_STREAM:
        stat_inc(c->settings.stats->rx_reset);
        st = find(session, frame->hd.stream_id);
        if (st)
            st->reset_received = true;
        break;
    case NGHTTP2_GOAWAY:
        c->goaway_received = true;
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && c->base.events->pong)
            c->base.events->pong(c->base.conn);
        break;
    default:
        break;
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int lib_error, void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st = find(session, frame->hd.stream_id);
    if (lib_error == NGHTTP2_ERR_REFUSED_STREAM) {
        if (frame->hd.stream_id > c->last_id)
            c->last_id = frame->hd.stream_id;
        h2_closed_add(c, frame->hd.stream_id, false);
        stat_inc(c->settings.stats->stream_refused_errors);
    } else if (lib_error == NGHTTP2_ERR_HTTP_HEADER || lib_error == NGHTTP2_ERR_HTTP_MESSAGING) {
        if (c->current == st)
            c->current = NULL;
        bad_message(c, st,
                    lib_error == NGHTTP2_ERR_HTTP_HEADER ? &http_error_h2_bad_header
                                                         : &http_error_h2_messaging);
    }
    return 0;
}

static bool keep_bytes(const struct h2_codec *c, struct h2_stream *st, struct slice bytes)
{
    /* A paused stream's bytes may stay long: they must not pin what else lies in their block. */
    if (st->paused || bytes.len <= H1_COPY_BYTES_MAX || !c->feed)
        return chain_append_copy(&st->recv, c->base.blocks, bytes);
    return chain_append_block(&st->recv, c->feed, bytes);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st = find(session, id);
    (void)flags;
    if (!st || st->abandoned) {
        (void)nghttp2_session_consume(session, id, len);
        return 0;
    }
    if (!keep_bytes(c, st, slice_of(data, len)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h2_stream_due_body(c, st);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st = find(session, id);
    if (!st)
        return 0;
    if (c->current == st)
        c->current = NULL;
    if (c->server)
        h2_closed_add(c, id, st->recv_ended || st->reset_received);
    /* A server may answer before it has the whole request, and then want no more of it: the answer counts
     * (RFC 9113 8.1). gRPC servers end streams so. */
    bool answered = !c->server && st->recv_ended;
    bool complete =
        answered || (st->recv_ended && st->send_ended && code == NGHTTP2_NO_ERROR && st->send.bytes == 0);
    if (!st->error && !complete) {
        if (code == NGHTTP2_REFUSED_STREAM)
            st->error = &http_error_h2_remote_refused;
        else
            st->error = st->reset_received ? &http_error_h2_remote_reset : &http_error_h2_protocol;
    }
    st->over = true;
    h2_stream_due(c, st);
    return 0;
}

/* --- Frames that were sent --- */

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_codec *c = user;
    bool control = false;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
            struct h2_stream *st = find(session, frame->hd.stream_id);
            if (st)
                st->end_sent = true;
        }
        break;
    case NGHTTP2_RST_STREAM:
        stat_inc(c->settings.stats->tx_reset);
        control = true;
        break;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        control = true;
        break;
    case NGHTTP2_GOAWAY:
        stat_inc(c->settings.stats->goaway_sent);
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !c->error)
            c->error = &http_error_h2_protocol;
        break;
    default:
        break;
    }
    const struct http_error *error = h2_flood_outbound(c, control);
    if (error && !c->error)
        c->error = error;
    return 0;
}

/* A request that the peer's GOAWAY was faster than. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int lib_error, void *user)
{
    struct h2_codec *c = user;
    struct list *node, *next;
    (void)session;
    (void)lib_error;
    if (c->server || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    list_for_each(node, next, &c->streams)
    {
        struct h2_stream *st = list_entry(node, struct h2_stream, node);
        if (st->id == frame->hd.stream_id && !st->over) {
            st->error = &http_error_h2_remote_refused;
            st->over = true;
            h2_stream_due(c, st);
        }
    }
    return 0;
}

static nghttp2_session_callbacks *table;

static void make_table(void)
{
    if (nghttp2_session_callbacks_new(&table) != 0)
        return;
    nghttp2_session_callbacks_set_on_begin_frame_callback(table, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(table, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(table, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(table, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(table, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(table, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(table, h2_write_body);
}

const nghttp2_session_callbacks *h2_callbacks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_table);
    return table;
}
