/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes callouts in words: "upstream|name=value,|body|name=value,|timeout".
 */
#include "fake_callouts.h"

#include "base/strbuf.h"
#include "guest.h"

#include <stdio.h>

static void pairs(struct strbuf *to, const struct pw_pair *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        strbuf_printf(to, "%.*s=%.*s,", (int)list[i].name.len, list[i].name.ptr, (int)list[i].value.len,
                      list[i].value.ptr);
}

static void note(struct fake_callouts *f, struct strbuf *words)
{
    assert_false(words->failed);
    (void)snprintf(f->asked, sizeof(f->asked), "%s", strbuf_cstr(words));
    strbuf_fini(words);
}

static enum pw_status hold(struct fake_callouts *f, struct pw_callout *callout)
{
    f->started++;
    if (f->answer != PW_STATUS_OK)
        return f->answer;
    assert_true(f->count < FAKE_CALLOUTS);
    f->open[f->count++] = callout;
    pw_callout_set_data(callout, f);
    assert_ptr_equal(pw_callout_data(callout), f);
    return PW_STATUS_OK;
}

static enum pw_status http_call(void *ctx, struct pw_callout *callout, const struct pw_http_call *call)
{
    struct guest *g = ctx;
    struct strbuf words;
    strbuf_init(&words, 1 << 16);
    strbuf_printf(&words, "%.*s|", (int)call->upstream.len, call->upstream.ptr);
    pairs(&words, call->headers, call->headers_count);
    strbuf_printf(&words, "|%.*s|", (int)call->body.len, call->body.ptr);
    pairs(&words, call->trailers, call->trailers_count);
    strbuf_printf(&words, "|%u", call->timeout_ms);
    note(&g->callouts, &words);
    return hold(&g->callouts, callout);
}

static enum pw_status grpc(void *ctx, struct pw_callout *callout, const struct pw_grpc_call *call)
{
    struct guest *g = ctx;
    struct strbuf words;
    strbuf_init(&words, 1 << 16);
    strbuf_printf(&words, "%.*s|/%.*s/%.*s|", (int)call->upstream.len, call->upstream.ptr,
                  (int)call->service.len, call->service.ptr, (int)call->method.len, call->method.ptr);
    pairs(&words, call->metadata, call->metadata_count);
    strbuf_printf(&words, "|%.*s|%u", (int)call->message.len, call->message.ptr, call->timeout_ms);
    note(&g->callouts, &words);
    return hold(&g->callouts, callout);
}

static enum pw_status grpc_send(void *ctx, struct pw_callout *callout, struct pw_slice message, bool end)
{
    struct guest *g = ctx;
    struct strbuf words;
    assert_ptr_equal(pw_callout_data(callout), &g->callouts);
    strbuf_init(&words, 1 << 16);
    if (message.ptr)
        strbuf_printf(&words, "'%.*s'", (int)message.len, message.ptr);
    note(&g->callouts, &words);
    g->callouts.sends++;
    g->callouts.end = end;
    return g->callouts.answer;
}

static void cancel(void *ctx, struct pw_callout *callout)
{
    struct fake_callouts *f = &((struct guest *)ctx)->callouts;
    f->cancels++;
    for (size_t i = 0; i < f->count; i++) {
        if (f->open[i] != callout)
            continue;
        memmove(f->open + i, f->open + i + 1, (f->count - i - 1) * sizeof(f->open[0]));
        f->count--;
        return;
    }
    fail_msg("a callout was cancelled that was not held");
}

const struct pw_callout_ops fake_callout_ops = {
    .size = sizeof(fake_callout_ops),
    .http_call = http_call,
    .grpc_call = grpc,
    .grpc_stream = grpc,
    .grpc_send = grpc_send,
    .cancel = cancel,
};
