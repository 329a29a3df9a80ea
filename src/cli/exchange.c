/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving the callbacks of one stream. What a returned value means is ABI 3.4; what the plugin asked for
 * meanwhile (reply, continue, close) is noted by exchange_ops.c and done here.
 */
#include "cli/exchange.h"

#include "base/assert.h"
#include "cli/limits.h"

#include <stdlib.h>

const char *exchange_outcome_str(enum exchange_outcome outcome)
{
    static const char *const texts[] = {"upstream", "local_reply", "paused", "reset", "failed", "closed"};
    return texts[outcome];
}

static void half_init(struct exchange_half *half)
{
    *half = (struct exchange_half){.place = AT_HEADERS};
    message_init(&half->message);
    strbuf_init(&half->view, CLI_BODY_BYTES_MAX);
    strbuf_init(&half->out, CLI_BODY_BYTES_MAX);
}

static void half_fini(struct exchange_half *half)
{
    message_fini(&half->message);
    strbuf_fini(&half->view);
    strbuf_fini(&half->out);
}

void exchange_init(struct exchange *x, struct sandbox *box, const struct test_case *test, size_t chunk_bytes)
{
    *x = (struct exchange){.box = box, .test = test, .chunk_bytes = chunk_bytes};
    half_init(&x->halves[EXCHANGE_REQUEST]);
    half_init(&x->halves[EXCHANGE_RESPONSE]);
    message_init(&x->reply);
    message_init(&x->answer);
    message_copy(&x->halves[EXCHANGE_REQUEST].message, &test->request);
    x->properties = json_object();
}

void exchange_fini(struct exchange *x)
{
    WEIR_ASSERT(!x->stream);
    half_fini(&x->halves[EXCHANGE_REQUEST]);
    half_fini(&x->halves[EXCHANGE_RESPONSE]);
    message_fini(&x->reply);
    message_fini(&x->answer);
    free(x->reply_details);
    json_decref(x->properties);
}

/* Nothing of this stream may go on. */
static bool over(const struct exchange *x)
{
    return x->failed || x->closed || x->reply_waits;
}

void exchange_release(struct exchange_half *half)
{
    strbuf_append(&half->out, strbuf_slice(&half->view));
    strbuf_reset(&half->view);
    half->viewing = false;
}

static void show_headers(struct exchange *x, enum exchange_way way)
{
    struct exchange_half *half = &x->halves[way];
    const struct message *m = &half->message;
    bool end = m->body.len == 0 && !m->has_trailers;
    enum pw_action action = PW_ACTION_CONTINUE;
    half->place = end ? AT_END : m->body.len > 0 ? AT_BODY : AT_TRAILERS;
    SANDBOX_STEP(x->box, action = way == EXCHANGE_REQUEST
                                      ? pw_stream_request_headers(x->stream, m->headers.count, end)
                                      : pw_stream_response_headers(x->stream, m->headers.count, end));
    switch (action) {
    case PW_ACTION_CONTINUE:
        break;
    case PW_ACTION_CONTINUE_AND_END:
        half->place = AT_END;
        half->message.has_trailers = false;
        break;
    case PW_ACTION_STOP_ITERATION:
        half->held = true;
        break;
    case PW_ACTION_VM_FAILED:
        x->failed = true;
        break;
    default:
        half->blocked = true;
        break;
    }
}

static void show_body(struct exchange *x, enum exchange_way way)
{
    struct exchange_half *half = &x->halves[way];
    size_t left = half->message.body.len - half->taken;
    size_t chunk = x->chunk_bytes && x->chunk_bytes < left ? x->chunk_bytes : left;
    enum pw_action action = PW_ACTION_CONTINUE;
    strbuf_append(&half->view, slice_of(half->message.body.ptr + half->taken, chunk));
    half->taken += chunk;
    bool last = half->taken == half->message.body.len;
    bool end = last && !half->message.has_trailers;
    half->viewing = true;
    half->last_chunk = end;
    if (last)
        half->place = half->message.has_trailers ? AT_TRAILERS : AT_END;
    SANDBOX_STEP(x->box, action = way == EXCHANGE_REQUEST
                                      ? pw_stream_request_body(x->stream, half->view.len, end)
                                      : pw_stream_response_body(x->stream, half->view.len, end));
    half->held = action != PW_ACTION_CONTINUE;
    half->last_chunk = end && half->held;
    x->failed |= action == PW_ACTION_VM_FAILED;
    if (action == PW_ACTION_CONTINUE) {
        exchange_release(half);
    } else if (action == PW_ACTION_STOP_NO_BUFFER) {
        strbuf_reset(&half->view); /* the plugin took the bytes */
        half->viewing = false;
    }
}

static void show_trailers(struct exchange *x, enum exchange_way way)
{
    struct exchange_half *half = &x->halves[way];
    uint32_t count = half->message.trailers.count;
    enum pw_action action = PW_ACTION_CONTINUE;
    half->place = AT_END;
    SANDBOX_STEP(x->box, action = way == EXCHANGE_REQUEST ? pw_stream_request_trailers(x->stream, count)
                                                          : pw_stream_response_trailers(x->stream, count));
    half->held = action != PW_ACTION_CONTINUE;
    x->failed |= action == PW_ACTION_VM_FAILED;
    if (!half->held)
        exchange_release(half);
}

/* Delivers what can be delivered. True: the message went through. */
static bool pump(struct exchange *x, enum exchange_way way)
{
    struct exchange_half *half = &x->halves[way];
    while (!over(x) && !half->blocked && half->place != AT_END) {
        if (half->place == AT_HEADERS)
            show_headers(x, way);
        else if (half->place == AT_BODY)
            show_body(x, way);
        else
            show_trailers(x, way);
    }
    return !over(x) && !half->blocked && !half->held;
}

/* pump, and what the plugin waits for, until the message went through or nothing comes any more. */
static bool pass(struct exchange *x, enum exchange_way way)
{
    while (!pump(x, way)) {
        if (over(x))
            return false;
        if (!sandbox_progress(x->box)) {
            x->outcome = x->failed ? EXCHANGE_FAILED : EXCHANGE_PAUSED;
            return false;
        }
    }
    return true;
}

/* The upstream's answer: the given one, or the request's body back. */
static void make_response(struct exchange *x)
{
    struct exchange_half *request = &x->halves[EXCHANGE_REQUEST];
    struct message *m = &x->halves[EXCHANGE_RESPONSE].message;
    if (x->test->has_response) {
        message_copy(m, &x->test->response);
        return;
    }
    struct slice type = header_map_get_id(&request->message.headers, HDR_CONTENT_TYPE);
    char length[32];
    message_set_status(m, 200);
    header_map_set_id(&m->headers, HDR_CONTENT_TYPE, type.ptr ? type : SLICE_LIT("text/plain"));
    snprintf(length, sizeof(length), "%zu", request->out.len);
    header_map_set_id(&m->headers, HDR_CONTENT_LENGTH, slice_str(length));
    strbuf_append(&m->body, strbuf_slice(&request->out));
}

/* The plugin's own answer passes its response callbacks, unless a response is under way already. */
static void take_reply(struct exchange *x)
{
    struct exchange_half *half = &x->halves[EXCHANGE_RESPONSE];
    bool again = x->responding;
    x->reply_waits = false;
    x->answered = true;
    x->outcome = EXCHANGE_LOCAL;
    half_fini(half);
    half_init(half);
    message_copy(&half->message, &x->reply);
    message_copy(&x->answer, &x->reply);
    x->responding = true;
    if (again) {
        strbuf_append(&half->out, strbuf_slice(&x->reply.body));
        half->place = AT_END;
    } else {
        pass(x, EXCHANGE_RESPONSE);
    }
}

static void run_response(struct exchange *x)
{
    x->reached = true;
    make_response(x);
    message_copy(&x->answer, &x->halves[EXCHANGE_RESPONSE].message);
    x->responding = true;
    x->outcome = EXCHANGE_UPSTREAM;
    pass(x, EXCHANGE_RESPONSE);
}

static void finish(struct exchange *x)
{
    if (x->failed)
        x->outcome = EXCHANGE_FAILED;
    else if (x->closed)
        x->outcome = EXCHANGE_RESET;
    if (x->stream && !x->failed)
        SANDBOX_STEP(x->box, pw_stream_log(x->stream));
    if (x->stream)
        SANDBOX_STEP(x->box, pw_stream_destroy(&x->stream));
    if (pw_vm_failed(x->box->vm))
        x->outcome = EXCHANGE_FAILED;
}

bool exchange_begin(struct exchange *x)
{
    int error = PW_OK;
    SANDBOX_STEP(x->box, error = pw_stream_create(x->box->root, &exchange_ops, x, &x->stream));
    x->failed |= error != PW_OK || !x->stream;
    return !x->failed;
}

void exchange_run(struct exchange *x)
{
    if (x->test->is_tcp) {
        exchange_run_tcp(x);
        return;
    }
    if (exchange_begin(x) && pass(x, EXCHANGE_REQUEST))
        run_response(x);
    if (x->reply_waits && !x->failed)
        take_reply(x);
    if (x->reply_waits && !x->failed)
        take_reply(x); /* it answered again from its response callbacks */
    finish(x);
}
