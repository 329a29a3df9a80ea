/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client gets when an upstream fails: Envoy's status, text, flags and details for each case. Once an
 * answer has begun, only a reset is left. After any of these functions the request is finished.
 */
#include "base/assert.h"
#include "proxy/hcm_config.h"
#include "proxy/local_reply.h"
#include "proxy/route.h"
#include "proxy/stream.h"
#include "proxy/upstream_request.h"

#include <stdio.h>

static uint64_t reset_flag(enum upstream_reset why)
{
    static const uint64_t flags[] = {
#define UPSTREAM_RESET_X(name, text, flag) RESPONSE_FLAG(flag),
        UPSTREAM_RESETS(UPSTREAM_RESET_X)
#undef UPSTREAM_RESET_X
    };
    WEIR_ASSERT(why < UPSTREAM_RESET_COUNT);
    return flags[why];
}

static struct stream *stream_of(const struct upstream_request *r)
{
    return r->filter->stream;
}

void upstream_request_answer(struct upstream_request *r, const struct local_reply *reply)
{
    struct stream *s = stream_of(r);
    WEIR_ASSERT(!r->finished && !upstream_stream_active(&r->stream));
    upstream_request_finish(r);
    s->info.flags |= reply->flags;
    if (r->response_started) {
        stat_inc(s->hcm->stats.rq_reset_after_downstream_response_started);
        /* The text must outlive the call: it lies in the stream's arena or is constant. */
        filter_reset_stream(r->filter, reply->details.ptr);
        return;
    }
    upstream_request_count(r, reply->status);
    struct local_reply_header headers[2];
    struct local_reply full = *reply;
    full.headers = headers;
    full.headers_count = 0;
    if (reply->headers_count)
        headers[full.headers_count++] = reply->headers[0];
    if (r->route->virtual_host->include_attempt_count_in_response)
        headers[full.headers_count++] =
            (struct local_reply_header){header_id_name(HDR_X_ENVOY_ATTEMPT_COUNT), SLICE_LIT("1")};
    filter_local_reply(r->filter, &full);
}

/* "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_...}" */
static struct slice reset_details(struct upstream_request *r, enum upstream_reset why, const char *transport)
{
    char *text = arena_printf(&stream_of(r)->arena, "upstream_reset_%s_response_started{%s%s%s}",
                              r->response_started ? "after" : "before", upstream_reset_text(why),
                              transport[0] ? "|" : "", transport);
    if (!text)
        return SLICE_LIT("upstream_reset_before_response_started");
    for (char *p = text; *p; p++) {
        if (*p == ' ')
            *p = '_';
    }
    return slice_str(text);
}

void upstream_request_failed(struct upstream_request *r, enum upstream_reset why, const char *transport)
{
    static const struct local_reply_header overloaded[] = {
        {{"x-envoy-overloaded", 18}, {"true", 4}},
    };
    struct stream *s = stream_of(r);
    char body[160];
    bool dropped = why == UPSTREAM_OVERFLOW;
    struct slice details = reset_details(r, why, transport);
    snprintf(body, sizeof(body),
             "upstream connect error or disconnect/reset before headers. reset reason: %s",
             upstream_reset_text(why));
    if (transport[0])
        s->info.upstream_failure_reason = arena_dup(&s->arena, slice_str(transport));
    if (!dropped && !r->response_started && r->shard)
        host_count(&r->shard->rq_error, 1);
    upstream_request_answer(r, &(struct local_reply){
                                   .status = why == UPSTREAM_PROTOCOL_ERROR ? 502 : 503,
                                   .body = slice_str(body),
                                   .details = details,
                                   .flags = reset_flag(why),
                                   .grpc_status = -1,
                                   .headers = overloaded,
                                   .headers_count = dropped && !r->suppress_envoy_headers ? 1 : 0,
                               });
}

void upstream_request_head_refused(struct upstream_request *r)
{
    struct stream *s = stream_of(r);
    const char *missing = NULL;
    if (!header_map_has_id(r->headers, HDR_METHOD))
        missing = ":method";
    else if (!header_map_has_id(r->headers, HDR_PATH))
        missing = ":path";
    else if (!header_map_has_id(r->headers, HDR_AUTHORITY))
        missing = ":authority";
    upstream_stream_reset(&r->stream);
    const char *body = missing ? arena_printf(&s->arena, "missing required header: %s", missing)
                               : "a filter wrote a header that cannot be sent";
    const char *details =
        missing
            ? arena_printf(&s->arena, "filter_removed_required_request_headers{missing_required_header:_%s}",
                           missing)
            : "filter_wrote_invalid_request_headers";
    upstream_request_answer(r, &(struct local_reply){
                                   .status = 503,
                                   .body = slice_str(body),
                                   .details = slice_str(details),
                                   .flags = RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR),
                                   .grpc_status = -1,
                               });
}

void upstream_request_no_connection(struct upstream_request *r, int error)
{
    char text[160], message[120];
    snprintf(text, sizeof(text), "immediate connect error: %s", strerror_r(error, message, sizeof(message)));
    upstream_request_failed(r, UPSTREAM_LOCAL_CONNECTION_FAILURE, text);
}
