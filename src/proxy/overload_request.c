/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What overload does to a request that has just begun: an answer without filters, and a connection that ends
 * after it. As Envoy, no filter is made for what is refused: memory may be what runs short.
 */
#include "proxy/downstream.h"
#include "proxy/overload.h"
#include "proxy/stream_private.h"

static void refuse(struct stream *s, uint16_t status, struct slice body)
{
    struct local_reply reply = {
        .status = status, .body = body, .details = SLICE_LIT("overload"), .grpc_status = -1};
    stat_inc(s->hcm->stats.downstream_rq_overload_close);
    stream_direct_reply(s, &reply);
}

bool overload_request(struct stream *s)
{
    struct downstream *d = s->downstream;
    uint32_t bits = overload_bits();
    if (d->listener->config->bypass_overload)
        return false;
    if ((bits & OVERLOAD_BIT(SHED_HTTP1)) && !downstream_is_h2(d) &&
        overload_acts(OVERLOAD_SHED_HTTP1, s->worker)) {
        s->info.flags |= RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR);
        d->close_wanted = true;
        refuse(s, 500, SLICE_LIT("Internal Server Error"));
        return true;
    }
    if ((bits & OVERLOAD_BIT(DISABLE_HTTP_KEEPALIVE)) && !d->close_wanted &&
        overload_acts(OVERLOAD_DISABLE_HTTP_KEEPALIVE, s->worker)) {
        stat_inc(s->hcm->stats.downstream_cx_overload_disable_keepalive);
        downstream_drain(d);
    }
    bool stop = ((bits & OVERLOAD_BIT(STOP_ACCEPTING_REQUESTS)) &&
                 overload_acts(OVERLOAD_STOP_ACCEPTING_REQUESTS, s->worker)) ||
                ((bits & OVERLOAD_BIT(SHED_HEADERS)) && overload_acts(OVERLOAD_SHED_HEADERS, s->worker));
    if (stop)
        refuse(s, 503, SLICE_LIT("envoy overloaded"));
    return stop;
}
