/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving the callbacks of one connection (ABI 3.17): what the two sides send, step by step, their ends and
 * the closing. It must never show the plugin a byte twice as new, nor one after its side has ended.
 */
#include "cli/exchange.h"

#include "base/assert.h"

static bool over(const struct exchange *x)
{
    return x->failed || x->closed;
}

static void show(struct exchange *x, enum exchange_way way, struct slice bytes, bool end)
{
    struct exchange_half *half = &x->halves[way];
    enum pw_action action = PW_ACTION_CONTINUE;
    strbuf_append(&half->view, bytes);
    strbuf_append(way == EXCHANGE_REQUEST ? &half->message.body : &x->answer.body, bytes);
    half->viewing = true;
    SANDBOX_STEP(x->box, action = way == EXCHANGE_REQUEST
                                      ? pw_stream_downstream_data(x->stream, half->view.len, end)
                                      : pw_stream_upstream_data(x->stream, half->view.len, end));
    half->held = action != PW_ACTION_CONTINUE;
    x->failed |= action == PW_ACTION_VM_FAILED;
    if (!half->held)
        exchange_release(half);
    /* The end of what the upstream sends is all that is told of its closing. */
    if (end && way == EXCHANGE_RESPONSE && !over(x) && !x->upstream_ended)
        SANDBOX_STEP(x->box, pw_stream_upstream_close(x->stream, PW_PEER_UNKNOWN));
    x->upstream_ended |= end && way == EXCHANGE_RESPONSE;
}

static bool held(const struct exchange *x)
{
    return x->halves[EXCHANGE_REQUEST].held || x->halves[EXCHANGE_RESPONSE].held;
}

/* Answers to the plugin's calls come as soon as they can, and a tick when nothing else comes any more. */
static void wait(struct exchange *x, bool last)
{
    while (!over(x) && held(x) && (last || x->box->calls_count > 0) && sandbox_progress(x->box))
        continue;
}

/* In the pieces that were asked for. */
static void send(struct exchange *x, enum exchange_way way, struct slice bytes, bool end, bool last)
{
    do {
        size_t len = x->chunk_bytes && x->chunk_bytes < bytes.len ? x->chunk_bytes : bytes.len;
        bool whole = len == bytes.len;
        show(x, way, slice_take(bytes, len), end && whole);
        wait(x, last && whole);
        bytes = slice_skip(bytes, len);
    } while (!over(x) && bytes.len > 0);
}

/* An upstream that says nothing of its own sends back what it gets. */
static void echo(struct exchange *x)
{
    const struct strbuf *got = &x->halves[EXCHANGE_REQUEST].out;
    struct strbuf copy;
    strbuf_init(&copy, got->max_bytes);
    strbuf_append(&copy, strbuf_slice(got));
    send(x, EXCHANGE_RESPONSE, strbuf_slice(&copy), true, true);
    strbuf_fini(&copy);
}

static void run_steps(struct exchange *x)
{
    const struct test_case *test = x->test;
    bool answered = cases_tcp_is_answered(test), closed = false;
    for (size_t i = 0; !over(x) && i < test->steps_count; i++) {
        const struct tcp_step *step = &test->steps[i];
        enum exchange_way way = step->from_upstream ? EXCHANGE_RESPONSE : EXCHANGE_REQUEST;
        bool last = i + 1 == test->steps_count || step->end;
        /* Nobody is told of an end that comes with the client's going. */
        bool end = step->end && (step->from_upstream || !step->close);
        if (step->bytes.len > 0 || end)
            send(x, way, strbuf_slice(&step->bytes), end, last);
        closed |= step->close;
    }
    if (!answered && !closed && !over(x) && !held(x))
        echo(x);
}

static void finish(struct exchange *x)
{
    enum pw_peer closer = x->upstream_ended || x->closed ? PW_PEER_LOCAL : PW_PEER_REMOTE;
    x->outcome = x->failed   ? EXCHANGE_FAILED
                 : x->closed ? EXCHANGE_RESET
                 : held(x)   ? EXCHANGE_PAUSED
                             : EXCHANGE_CLOSED;
    if (x->stream && !x->failed)
        SANDBOX_STEP(x->box, pw_stream_downstream_close(x->stream, closer));
    if (x->stream && !x->failed)
        SANDBOX_STEP(x->box, pw_stream_destroy_logged(&x->stream));
    else if (x->stream)
        SANDBOX_STEP(x->box, pw_stream_destroy(&x->stream));
    if (x->failed || pw_vm_failed(x->box->vm))
        x->outcome = EXCHANGE_FAILED;
}

void exchange_run_tcp(struct exchange *x)
{
    enum pw_action action = PW_ACTION_CONTINUE;
    if (exchange_begin(x)) {
        SANDBOX_STEP(x->box, action = pw_stream_new_connection(x->stream));
        x->failed |= action == PW_ACTION_VM_FAILED;
        x->halves[EXCHANGE_REQUEST].held = action != PW_ACTION_CONTINUE;
        wait(x, false);
        if (!over(x))
            run_steps(x);
    }
    finish(x);
}
