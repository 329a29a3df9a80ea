/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of a response: from the filters to the codec. Adds what the proxy owes each response (date,
 * server, x-request-id, via, connection: close), counts it, and keeps the stream's books.
 */
#include "base/clock.h"
#include "http/date.h"
#include "http/status.h"
#include "proxy/downstream.h"
#include "proxy/limits.h"
#include "proxy/listener/drain.h"
#include "proxy/stream_private.h"

static stat_id class_stat(const struct hcm_stats *stats, unsigned status)
{
    switch (status / 100) {
    case 1:
        return stats->downstream_rq_1xx;
    case 2:
        return stats->downstream_rq_2xx;
    case 3:
        return stats->downstream_rq_3xx;
    case 4:
        return stats->downstream_rq_4xx;
    case 5:
        return stats->downstream_rq_5xx;
    default:
        return 0;
    }
}

static void touch(struct stream *s)
{
    s->priv->active_ms = s->worker->loop.now_ms;
}

void stream_emit_informational(struct stream *s, struct header_map *headers)
{
    if (!s->codec || s->response_started)
        return;
    touch(s);
    header_map_remove_id(headers, HDR_CONNECTION);
    header_map_remove_id(headers, HDR_TRANSFER_ENCODING);
    if (codec_send_informational(s->codec, headers) == NULL)
        stat_inc(s->hcm->stats.downstream_rq_1xx);
    downstream_flush(s->downstream);
}

static void add_server(const struct hcm_config *hcm, struct header_map *m)
{
    if (hcm->server_header == HCM_SERVER_PASS_THROUGH ||
        (hcm->server_header == HCM_SERVER_APPEND_IF_ABSENT && header_map_has_id(m, HDR_SERVER)))
        return;
    if (header_map_has_id(m, HDR_SERVER))
        header_map_set_id(m, HDR_SERVER, hcm->server_name);
    else /* constant for the life of the resource: no copy */
        header_map_append(m, HDR_SERVER, header_id_name(HDR_SERVER), hcm->server_name, SLICE_EMPTY);
}

/* The date header's value, made once a second. */
static struct slice response_date(struct worker *w)
{
    worker_clock_refresh(w);
    if (w->clock_second != w->date_second) {
        w->date_second = w->clock_second;
        date_format(w->date_second, w->date);
    }
    return slice_of(w->date, DATE_BYTES);
}

/* Envoy's ConnectionManagerUtility::mutateResponseHeaders. */
static void finish_headers(struct stream *s, struct header_map *m, bool upgrade)
{
    const struct hcm_config *hcm = s->hcm;
    if (!header_map_has_id(m, HDR_DATE))
        header_map_append(m, HDR_DATE, header_id_name(HDR_DATE), response_date(s->worker), SLICE_EMPTY);
    add_server(hcm, m);
    if (!upgrade) {
        header_map_remove_id(m, HDR_CONNECTION);
        header_map_remove_id(m, HDR_UPGRADE);
    }
    header_map_remove_id(m, HDR_TRANSFER_ENCODING);
    header_map_remove_id(m, HDR_KEEP_ALIVE);
    header_map_remove_id(m, HDR_PROXY_CONNECTION);
    if (hcm->always_set_request_id_in_response && s->request_headers) {
        struct slice id = header_map_get_id(s->request_headers, HDR_X_REQUEST_ID);
        if (id.len)
            header_map_set_id(m, HDR_X_REQUEST_ID, id);
    }
    if (hcm->via.len)
        header_map_join_id(m, HDR_VIA, hcm->via);
}

/* Envoy: an answer on a connection that should end begins the drain sequence. */
static void h2_decide_close(struct stream *s)
{
    struct downstream *d = s->downstream;
    if (!s->request_complete)
        stat_inc(s->hcm->stats.downstream_rq_response_before_rq_complete);
    if (!d->close_wanted && (drain_close(s->worker) || s->worker->draining)) {
        d->close_wanted = true;
        stat_inc(s->hcm->stats.downstream_cx_drain_close);
    }
    if (WEIR_UNLIKELY(downstream_should_close(d)) && d->drain_stage == 0)
        downstream_h2_drain(d, s->hcm->drain_timeout_ms);
}

/* Whether this answer is the connection's last; Envoy's encodeHeaders. */
static bool decide_close(struct stream *s, bool upgrade)
{
    struct downstream *d = s->downstream;
    if (downstream_is_h2(d)) {
        h2_decide_close(s);
        return false;
    }
    if (!s->request_complete) {
        if (!upgrade)
            d->early_answer = true;
        stat_inc(s->hcm->stats.downstream_rq_response_before_rq_complete);
        return !upgrade;
    }
    if (!d->close_wanted && (drain_close(s->worker) || s->worker->draining)) {
        d->close_wanted = true;
        stat_inc(s->hcm->stats.downstream_cx_drain_close);
    }
    return downstream_should_close(d);
}

static void count_response(struct stream *s, unsigned status)
{
    const struct hcm_stats *stats = &s->hcm->stats;
    s->info.response_code = (uint16_t)status;
    stat_inc(stats->downstream_rq_completed);
    stat_inc(class_stat(stats, status));
    stat_inc(s->hcm->listener_stats[0]);
    if (status >= 100 && status < 600)
        stat_inc(s->hcm->listener_stats[status / 100]);
}

static void response_done(struct stream *s)
{
    if (s->response_complete)
        return;
    s->response_complete = true;
    stream_over(s);
}

const struct local_reply stream_reply_bad_head = {.status = 502,
                                                  .body = {"Bad Gateway", 11},
                                                  .details = {"filter_removed_required_response_headers", 40},
                                                  .grpc_status = -1};
const struct local_reply stream_reply_no_status = {
    .status = 502,
    .body = {"missing required header: :status", 32},
    .details = {"filter_removed_required_response_headers{missing_required_header:_:status}", 74},
    .grpc_status = -1};

/* A filter or the upstream made headers that cannot be sent. */
static void headers_refused(struct stream *s, const struct http_error *error)
{
    if (error != &http_error_bad_outgoing_head || s->priv->chain.response.aborted)
        stream_reset(s, error->details, RESPONSE_FLAG(LOCAL_RESET));
    else if (!header_map_has_id(s->response_headers, HDR_STATUS))
        stream_direct_reply(s, &stream_reply_no_status);
    else
        stream_direct_reply(s, &stream_reply_bad_head);
}

void stream_emit_headers(struct stream *s, bool end)
{
    struct header_map *m = s->response_headers;
    if (!s->codec || s->response_started)
        return;
    unsigned status = status_parse(header_map_get_id(m, HDR_STATUS));
    bool upgrade = s->is_upgrade && (status == 101 || (status >= 200 && status < 300));
    finish_headers(s, m, upgrade && status == 101);
    if (decide_close(s, upgrade))
        codec_drain(s->codec->codec); /* says so in the head, even when the map is full */
    touch(s);
    stream_timers_request_end(s); /* Envoy: an answer ends the wait for the request */
    s->info.response_start_ns = monotonic_ns();
    if (!s->info.details.len)
        s->info.details = SLICE_LIT("via_upstream");
    const struct http_error *error = codec_send_headers(s->codec, m, end);
    if (error) {
        headers_refused(s, error);
        return;
    }
    s->response_started = true;
    s->info.response_headers_bytes = m->bytes;
    count_response(s, status);
    if (s->codec->upgraded) {
        /* bytes behind the request may wait in the input already */
        loop_at_turn_end(&s->worker->loop, &s->downstream->recv_task);
    }
    downstream_flush(s->downstream);
    if (end)
        response_done(s);
}

void stream_emit_data(struct stream *s, struct chain *data, bool end)
{
    if (!s->codec || !s->response_started || s->response_complete)
        return;
    touch(s);
    size_t n = data->bytes;
    s->info.response_body_bytes += n;
    const struct http_error *error = codec_send_data(s->codec, data, end);
    if (error) {
        stream_reset(s, error->details, RESPONSE_FLAG(LOCAL_RESET));
        return;
    }
    downstream_flush_body(s->downstream, n);
    if (end)
        response_done(s);
    else if (WEIR_UNLIKELY(s->codec->blocked))
        filters_hold_response(&s->priv->chain, HOLD_WINDOW, true);
}

void stream_emit_trailers(struct stream *s, struct header_map *trailers)
{
    if (!s->codec || !s->response_started || s->response_complete)
        return;
    touch(s);
    const struct http_error *error = codec_send_trailers(s->codec, trailers);
    if (error) {
        stream_reset(s, error->details, RESPONSE_FLAG(LOCAL_RESET));
        return;
    }
    downstream_flush(s->downstream);
    response_done(s);
}
