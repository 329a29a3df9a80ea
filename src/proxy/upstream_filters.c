/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a try's chain: the codec filter sends what has passed the others and brings what comes
 * back; behind the first filter the answer goes to the attempt. Requests without such filters never come
 * here.
 */
#include "proxy/upstream_filters.h"

#include "http/status.h"
#include "net/worker.h"
#include "proxy/stream_private.h"
#include "upstream/host.h"

static struct upstream_filters *of(struct http_chain *c)
{
    return WEIR_CONTAINER_OF(c, struct upstream_filters, chain);
}

static struct filter *codec_of(const struct upstream_filters *f)
{
    return &f->chain.filters[f->chain.count - 1];
}

/* --- the codec filter --- */

static enum filter_headers_status codec_request_headers(struct filter *f, struct header_map *headers,
                                                        bool end)
{
    struct upstream_filters *own = of(f->chain);
    struct upstream_attempt *a = own->attempt;
    own->waits = !a->ready;
    if (own->waits)
        return FILTER_HEADERS_STOP_ALL_WATERMARK;
    if (upstream_stream_headers(&a->stream, headers, end))
        upstream_attempt_head_refused(a);
    else
        filter_request_backpressure(f, upstream_stream_blocked(&a->stream) && !end);
    return FILTER_HEADERS_STOP;
}

static enum filter_data_status codec_request_data(struct filter *f, struct chain *data, bool end)
{
    struct upstream_attempt *a = of(f->chain)->attempt;
    if (!upstream_stream_active(&a->stream))
        return FILTER_DATA_STOP_NO_BUFFER; /* HTTP/2 may answer early, and a filter holds the answer */
    if (upstream_stream_data(&a->stream, data, end))
        upstream_attempt_send_failed(a);
    else if (upstream_stream_blocked(&a->stream) && !end)
        filter_request_backpressure(f, true);
    return FILTER_DATA_STOP_NO_BUFFER;
}

static enum filter_trailers_status codec_request_trailers(struct filter *f, struct header_map *trailers)
{
    struct upstream_attempt *a = of(f->chain)->attempt;
    if (upstream_stream_active(&a->stream) && upstream_stream_trailers(&a->stream, trailers))
        upstream_attempt_send_failed(a);
    return FILTER_TRAILERS_STOP;
}

static void codec_response_backpressure(struct filter *f, bool on)
{
    struct upstream_attempt *a = of(f->chain)->attempt;
    if (a)
        upstream_stream_pause(&a->stream, on);
}

const struct filter_ops upstream_codec_filter_ops = {
    .name = "envoy.filters.http.upstream_codec",
    .request_headers = codec_request_headers,
    .request_data = codec_request_data,
    .request_trailers = codec_request_trailers,
    .response_backpressure = codec_response_backpressure,
};

/* --- the end towards the router --- */

static bool answer(struct http_chain *c, const struct local_reply *reply);

/* A filter may have made nonsense of the status. */
static bool final_status(const struct header_map *headers)
{
    unsigned status = status_parse(header_map_get_id(headers, HDR_STATUS));
    return status >= 200 || status == 101;
}

static void emit_headers(struct http_chain *c, bool end)
{
    struct header_map *headers = of(c)->response_headers;
    if (final_status(headers))
        upstream_attempt_answer(of(c)->attempt, headers, end);
    else /* false: reset, as good */
        (void)answer(c, header_map_has_id(headers, HDR_STATUS) ? &stream_reply_bad_head
                                                               : &stream_reply_no_status);
}

static void emit_data(struct http_chain *c, struct chain *data, bool end)
{
    upstream_attempt_answer_data(of(c)->attempt, data, end);
}

static void emit_trailers(struct http_chain *c)
{
    upstream_attempt_answer_trailers(of(c)->attempt, of(c)->response_trailers);
}

static void hold(struct http_chain *c, bool on)
{
    const struct upstream_attempt *a = of(c)->attempt;
    if (a && a == a->request->current)
        upstream_request_push_back(a->request, on);
}

/* Through the filters of the stream; those of the try do not see it (Envoy). */
static bool answer(struct http_chain *c, const struct local_reply *reply)
{
    struct upstream_attempt *a = of(c)->attempt;
    if (!a)
        return false;
    struct upstream_request *r = a->request;
    upstream_request_finish(r);
    return filter_local_reply(r->filter, reply);
}

static const struct http_chain_ends ends = {
    .headers = emit_headers,
    .data = emit_data,
    .trailers = emit_trailers,
    .hold = hold,
    .reply = answer,
};

/* --- life --- */

static void destroy_now(struct upstream_filters *f)
{
    filters_destroy(&f->chain);
    chain_fini(&f->chain.request.buffer);
    chain_fini(&f->chain.response.buffer);
    host_unref(&f->host);
}

static void destroy(struct turn_task *task)
{
    struct upstream_filters *f = WEIR_CONTAINER_OF(task, struct upstream_filters, destroy);
    struct upstream_filters **at = &f->request->chains;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    destroy_now(f);
}

static void init(struct upstream_filters *f, struct upstream_attempt *a)
{
    struct http_chain *c = &f->chain;
    *f = (struct upstream_filters){.request = a->request,
                                   .attempt = a,
                                   .request_headers = a->request->headers,
                                   .host = host_ref(a->host)};
    c->stream = upstream_request_stream(a->request);
    c->ends = &ends;
    c->request.headers = &f->request_headers;
    c->request.trailers = &f->request_trailers;
    c->response.headers = &f->response_headers;
    c->response.trailers = &f->response_trailers;
    c->response.response = true;
    chain_init(&c->request.buffer);
    chain_init(&c->response.buffer);
    turn_task_init(&f->destroy, destroy);
}

bool upstream_filters_create(struct upstream_attempt *a)
{
    static const struct local_reply failed = {
        .status = 500, .details = {"filter_chain_not_available", 26}, .grpc_status = -1};
    struct upstream_request *r = a->request;
    struct upstream_filters *f = ARENA_NEW(&upstream_request_stream(r)->arena, struct upstream_filters);
    if (f) {
        init(f, a);
        f->next = r->chains;
        r->chains = f;
        a->filters = f;
        if (http_chain_create(&f->chain, r->filters, false))
            return true;
    }
    upstream_attempt_end(a, true);
    if (!upstream_retry_awaits(r))
        upstream_request_answer(r, &failed);
    return false;
}

void upstream_filters_end(struct upstream_attempt *a)
{
    struct upstream_filters *f = a->filters;
    a->filters = NULL;
    f->attempt = NULL;
    f->chain.request.aborted = true;
    f->chain.response.aborted = true;
    loop_at_event_end(&f->chain.stream->worker->loop, &f->destroy);
}

void upstream_filters_destroy(struct upstream_request *r)
{
    for (struct upstream_filters *f = r->chains; f; f = f->next) {
        list_remove(&f->destroy.node);
        destroy_now(f);
    }
    r->chains = NULL;
}

uint64_t upstream_filters_held(const struct upstream_attempt *a)
{
    const struct http_chain *c = &a->filters->chain;
    return c->request.buffer.bytes + c->response.buffer.bytes;
}

/* --- the request --- */

void upstream_filters_request(struct upstream_attempt *a)
{
    const struct upstream_request *r = a->request;
    struct upstream_filters *f = a->filters; /* the try may be over after each step */
    struct http_chain *c = &f->chain;
    bool body = !chain_empty(&a->body), trailers = r->trailers != NULL, done = r->request_done;
    filters_request_headers(c, done && !body && !trailers);
    if (body)
        filters_request_data(c, &a->body, done && !trailers);
    if (!trailers)
        return;
    f->request_trailers = r->trailers; /* not before: a filter that goes on would let them pass the body */
    filters_request_trailers(c);
}

void upstream_filters_data(struct upstream_attempt *a, struct chain *data, bool end)
{
    filters_request_data(&a->filters->chain, data, end);
}

void upstream_filters_trailers(struct upstream_attempt *a, struct header_map *trailers)
{
    a->filters->request_trailers = trailers;
    filters_request_trailers(&a->filters->chain);
}

void upstream_filters_ready(struct upstream_attempt *a)
{
    if (a->filters->waits)
        filter_retry_request(codec_of(a->filters));
}

void upstream_filters_backpressure(struct upstream_attempt *a, bool on)
{
    filter_request_backpressure(codec_of(a->filters), on);
}

/* --- the answer --- */

void upstream_filters_pause(struct upstream_attempt *a, bool on)
{
    filters_hold_response(&a->filters->chain, HOLD_ROUTER, on);
}

void upstream_filters_answer(struct upstream_attempt *a, struct header_map *headers, bool end)
{
    struct stream *s = a->filters->chain.stream;
    if (!s->local_reply_sent)
        s->info.details = SLICE_LIT("via_upstream");
    filter_encode_headers(codec_of(a->filters), headers, end);
}

void upstream_filters_answer_data(struct upstream_attempt *a, struct chain *data, bool end)
{
    filter_encode_data(codec_of(a->filters), data, end);
}

void upstream_filters_answer_trailers(struct upstream_attempt *a, struct header_map *trailers)
{
    filter_encode_trailers(codec_of(a->filters), trailers);
}
