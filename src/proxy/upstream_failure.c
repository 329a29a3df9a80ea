/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client gets when an upstream fails: Envoy's status, text, flags and details for each case. Once an
 * answer has begun, only a reset is left. After any of these functions the request is finished.
 */
#include "base/assert.h"
#include "net/worker.h"
#include "proxy/hcm_config.h"
#include "proxy/local_reply.h"
#include "proxy/routing/route.h"
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

/* The router's own headers of an answer; `text` is room for a number. */
static size_t add_headers(const struct upstream_request *r, const struct local_reply *reply,
                          struct local_reply_header headers[2], char text[SLICE_U64_BYTES])
{
    size_t count = 0;
    if (reply->headers_count)
        headers[count++] = reply->headers[0];
    if (r->route->virtual_host->include_attempt_count_in_response)
        headers[count++] =
            (struct local_reply_header){header_id_name(HDR_X_ENVOY_ATTEMPT_COUNT),
                                        slice_from_u64(stream_of(r)->info.upstream_attempts, text)};
    return count;
}

void upstream_request_answer(struct upstream_request *r, const struct local_reply *reply)
{
    struct stream *s = stream_of(r);
    WEIR_ASSERT(!r->finished && list_empty(&r->attempts));
    upstream_request_finish(r);
    stream_info_flag(&s->info, reply->flags);
    if (r->response_started) {
        stat_inc(s->hcm->stats.rq_reset_after_downstream_response_started);
        /* The text must outlive the call: it lies in the stream's arena or is constant. */
        filter_reset_stream(r->filter, reply->details.ptr);
        return;
    }
    struct local_reply_header headers[2];
    char text[SLICE_U64_BYTES];
    struct local_reply full = *reply;
    full.headers = headers;
    full.headers_count = add_headers(r, reply, headers, text);
    filter_local_reply(r->filter, &full);
}

void upstream_request_timed_out(struct upstream_request *r, const char *details)
{
    upstream_request_answer(r,
                            &(struct local_reply){
                                .status = r->timeout_alt ? 204 : 504,
                                .body = r->timeout_alt ? SLICE_EMPTY : SLICE_LIT("upstream request timeout"),
                                .details = slice_str(details),
                                .flags = RESPONSE_FLAG(UPSTREAM_REQUEST_TIMEOUT),
                                .grpc_status = -1,
                            });
}

static void answer_no_host(struct upstream_request *r)
{
    if (!list_empty(&r->attempts))
        return; /* one of them may still answer */
    if (stream_of(r)->info.upstream_attempts == 0)
        stream_of(r)->info.upstream_attempts = 1;
    upstream_request_count(r, 503);
    upstream_request_answer(r, &(struct local_reply){
                                   .status = 503,
                                   .body = SLICE_LIT("no healthy upstream"),
                                   .details = SLICE_LIT("no_healthy_upstream"),
                                   .flags = RESPONSE_FLAG(NO_HEALTHY_UPSTREAM),
                                   .grpc_status = -1,
                               });
}

void upstream_attempt_no_pool(struct upstream_attempt *a)
{
    upstream_attempt_end(a, true);
    answer_no_host(a->request);
}

void upstream_request_no_host(struct upstream_request *r)
{
    stat_inc(upstream_request_stats(r)->upstream_cx_none_healthy);
    answer_no_host(r);
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

static const struct local_reply_header overloaded[] = {
    {{"x-envoy-overloaded", 18}, {"true", 4}},
};

void upstream_request_maintenance(struct upstream_request *r)
{
    stat_inc(upstream_request_stats(r)->upstream_rq_maintenance_mode);
    upstream_request_count(r, 503);
    upstream_request_answer(r, &(struct local_reply){
                                   .status = 503,
                                   .body = SLICE_LIT("maintenance mode"),
                                   .details = SLICE_LIT("maintenance_mode"),
                                   .flags = RESPONSE_FLAG(UPSTREAM_OVERFLOW),
                                   .grpc_status = -1,
                                   .headers = overloaded,
                                   .headers_count = r->suppress_envoy_headers ? 0 : 1,
                               });
}

/* The client's answer to a failure. */
static void answer_failure(struct upstream_request *r, enum upstream_reset why, const char *transport)
{
    char body[160];
    struct slice details = reset_details(r, why, transport);
    unsigned status = upstream_failure_status(why);
    if (!r->response_started)
        upstream_request_count(r, status);
    snprintf(body, sizeof(body),
             "upstream connect error or disconnect/reset before headers. %sreset reason: %s",
             r->is_retry ? "retried and the latest " : "", upstream_reset_text(why));
    upstream_request_answer(
        r, &(struct local_reply){
               .status = (uint16_t)status,
               .body = slice_str(body),
               .details = details,
               .flags = reset_flag(why),
               .grpc_status = -1,
               .headers = overloaded,
               .headers_count = why == UPSTREAM_OVERFLOW && !r->suppress_envoy_headers ? 1 : 0,
           });
}

void upstream_attempt_failed(struct upstream_attempt *a, enum upstream_reset why, const char *transport)
{
    struct upstream_request *r = a->request;
    struct stream *s = stream_of(r);
    if (transport[0])
        s->info.upstream_failure_reason = arena_dup(&s->arena, slice_str(transport));
    host_watch_failed(a->host, s->worker->index, why);
    if (r->retry && upstream_retry_reset(a, why))
        return;
    if (why != UPSTREAM_OVERFLOW && !r->response_started)
        host_count(&a->shard->rq_error, 1);
    upstream_attempt_end(a, true);
    answer_failure(r, why, transport);
}

void upstream_request_no_memory(struct upstream_request *r)
{
    answer_failure(r, UPSTREAM_OVERFLOW, "");
}

void upstream_attempt_head_refused(struct upstream_attempt *a)
{
    struct upstream_request *r = a->request;
    struct stream *s = stream_of(r);
    const char *missing = NULL;
    if (!header_map_has_id(r->headers, HDR_METHOD))
        missing = ":method";
    else if (!header_map_has_id(r->headers, HDR_PATH))
        missing = ":path";
    else if (!header_map_has_id(r->headers, HDR_AUTHORITY))
        missing = ":authority";
    upstream_attempt_end(a, true);
    upstream_request_count(r, 503);
    if (upstream_retry_awaits(r))
        return;
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

void upstream_attempt_no_connection(struct upstream_attempt *a, int error)
{
    char text[160], message[120];
    snprintf(text, sizeof(text), "immediate connect error: %s", strerror_r(error, message, sizeof(message)));
    upstream_attempt_failed(a, UPSTREAM_LOCAL_CONNECTION_FAILURE, text);
}
