/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What overload does to bytes that have just come and to requests that begin: a connection that ends at once
 * or after the next answer, an answer without filters. As Envoy, no filter is made for what is refused:
 * memory may be what runs short.
 */
#include "proxy/downstream.h"
#include "proxy/overload/overload.h"
#include "proxy/stream_private.h"

static void refuse(struct stream *s, uint16_t status, struct slice body)
{
    struct local_reply reply = {
        .status = status, .body = body, .details = SLICE_LIT("overload"), .grpc_status = -1};
    stat_inc(s->hcm->stats.downstream_rq_overload_close);
    stream_direct_reply(s, &reply);
}

/* Details as Envoy's. */
static void end_connection(struct downstream *d)
{
    struct list *node, *next;
    list_for_each(node, next, &d->streams)
    {
        struct stream *s = list_entry(node, struct stream_private, node)->stream;
        s->priv->codec_reset = true; /* the codec goes with the connection */
        stream_reset(s, "forced_goaway", 0);
    }
    downstream_shed(d);
}

/* HTTP/2 is told by GOAWAY and goes on for as long as a drain lasts; an answer of HTTP/1 is its connection's
 * last. */
static void ask_to_go(struct downstream *d)
{
    if (d->close_wanted)
        return;
    d->close_wanted = true;
    if (downstream_is_h2(d))
        downstream_h2_drain(d, d->hcm->drain_timeout_ms);
}

bool overload_dispatch(struct downstream *d)
{
    if (overload_bits() == 0 || d->listener->config->bypass_overload || d->closing)
        return true;
    /* Envoy makes its codec with the first bytes. */
    bool first = d->requests == 0 && d->conn->bytes_in == d->conn->in.bytes;
    if (first && OVERLOAD_SHEDS(SHED_CODEC, d->worker)) {
        stat_inc(d->hcm->stats.downstream_rq_overload_close);
        downstream_close_now(d);
        return false;
    }
    if (OVERLOAD_SHEDS(SHED_GO_AWAY, d->worker))
        ask_to_go(d);
    if (OVERLOAD_SHEDS(SHED_GO_AWAY_CLOSE, d->worker)) {
        end_connection(d);
        return false;
    }
    return true;
}

bool overload_request(struct stream *s)
{
    struct downstream *d = s->downstream;
    if (overload_bits() == 0 || d->listener->config->bypass_overload)
        return false;
    if (!downstream_is_h2(d) && OVERLOAD_SHEDS(SHED_HTTP1, s->worker)) {
        stream_info_flag(&s->info, RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR));
        d->close_wanted = true;
        refuse(s, 500, SLICE_LIT("Internal Server Error"));
        return true;
    }
    if (!d->close_wanted && OVERLOAD_SHEDS(DISABLE_HTTP_KEEPALIVE, s->worker)) {
        stat_inc(s->hcm->stats.downstream_cx_overload_disable_keepalive);
        downstream_drain(d);
    }
    bool stop = OVERLOAD_SHEDS(STOP_ACCEPTING_REQUESTS, s->worker) || OVERLOAD_SHEDS(SHED_HEADERS, s->worker);
    if (stop)
        refuse(s, 503, SLICE_LIT("envoy overloaded"));
    return stop;
}
