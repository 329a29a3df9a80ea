/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the codec of a downstream connection tells, turned into what its streams do. Called only from inside
 * codec_recv; a stream that is over has left the codec (`user` is NULL) and hears nothing more.
 */
#include "base/clock.h"
#include "http/status.h"
#include "proxy/downstream.h"
#include "proxy/stream_private.h"

static bool on_stream_begin(void *conn, struct codec_stream *cs)
{
    struct downstream *d = conn;
    if (!stream_create(d, cs))
        return false;
    d->codec_streams++;
    d->unreleased++;
    downstream_update_hold(d);
    return true;
}

static void on_headers(struct codec_stream *cs, struct header_map *headers, bool end)
{
    struct stream *s = cs->user;
    if (s)
        stream_request_headers(s, headers, end);
}

static void request_ended(struct stream *s)
{
    s->request_complete = true;
    s->info.request_end_ns = monotonic_ns();
    stream_timers_request_end(s);
}

static void on_data(struct codec_stream *cs, struct chain *data, bool end)
{
    struct stream *s = cs->user;
    if (!s)
        return;
    s->priv->active_ms = s->worker->loop.now_ms;
    s->info.request_body_bytes += data->bytes;
    if (end)
        request_ended(s);
    filters_request_data(&s->priv->chain, data, end);
}

static void on_trailers(struct codec_stream *cs, struct header_map *trailers)
{
    struct stream *s = cs->user;
    if (!s)
        return;
    s->priv->active_ms = s->worker->loop.now_ms;
    request_ended(s);
    if (s->priv->chain.request.aborted)
        return;
    s->request_trailers = trailers;
    filters_request_trailers(&s->priv->chain);
}

/* The peer broke the protocol: it is told, if no answer has begun. */
static void answer_error(struct stream *s, const struct http_error *error)
{
    struct slice body = status_reason(error->status);
    if (error == &http_error_low_version)
        body = SLICE_EMPTY; /* as Envoy */
    struct local_reply reply = {.status = error->status,
                                .body = body,
                                .details = slice_str(error->details),
                                .flags = RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR),
                                .grpc_status = -1};
    s->downstream->early_answer = true;
    stream_direct_reply(s, &reply);
}

/* HTTP/2: nothing can be answered any more. Flags and details are Envoy's. */
static void h2_reset(struct stream *s, const struct http_error *error)
{
    uint64_t flag = RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR);
    s->priv->codec_reset = true;
    if (error == &http_error_peer_closed)
        flag = RESPONSE_FLAG(DOWNSTREAM_CONNECTION_TERMINATION);
    else if (error == &http_error_h2_remote_reset || error == &http_error_h2_remote_refused)
        flag = RESPONSE_FLAG(DOWNSTREAM_REMOTE_RESET);
    if (!(flag & RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR)))
        stat_inc(s->hcm->stats.downstream_rq_rx_reset);
    stream_reset(s, error->details, flag);
}

static void on_reset(struct codec_stream *cs, const struct http_error *error)
{
    struct stream *s = cs->user;
    if (!s)
        return;
    if (cs->codec->multiplexed) {
        h2_reset(s, error);
        return;
    }
    bool peer_gone = error->status == 0;
    s->priv->codec_reset = true;
    if (!peer_gone && !s->response_started)
        answer_error(s, error);
    if (peer_gone)
        stat_inc(s->hcm->stats.downstream_rq_rx_reset);
    stream_reset(s, error->details,
                 peer_gone ? RESPONSE_FLAG(DOWNSTREAM_CONNECTION_TERMINATION)
                           : RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR));
}

static void on_stream_closed(struct codec_stream *cs)
{
    WEIR_ASSERT(cs->user == NULL); /* the answer's end took the stream away from the codec */
}

static void on_drained(struct codec_stream *cs)
{
    struct stream *s = cs->user;
    if (s)
        filters_hold_response(&s->priv->chain, HOLD_WINDOW, false);
}

static void on_pong(void *conn)
{
    struct downstream *d = conn;
    h2_keepalive_pong(&d->keepalive);
}

const struct codec_events downstream_codec_events = {
    .stream_begin = on_stream_begin,
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_stream_closed,
    .drained = on_drained,
    .pong = on_pong,
};
