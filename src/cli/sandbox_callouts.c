/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callouts of a plugin in the sandbox, answered from what the user gave. An answer is never delivered from
 * inside the call that asked for it, and no connection is ever made.
 */
#include "cli/limits.h"
#include "cli/sandbox.h"

#include <stdlib.h>
#include <string.h>

static struct slice header_of(const struct pw_http_call *call, const char *name)
{
    for (size_t i = 0; i < call->headers_count; i++)
        if (slice_eq(slice_of(call->headers[i].name.ptr, call->headers[i].name.len), slice_str(name)))
            return slice_of(call->headers[i].value.ptr, call->headers[i].value.len);
    return SLICE_EMPTY;
}

/* Notes a call for the report and, when its cluster has an answer, queues that. */
static enum pw_status call_any(struct sandbox *box, struct pw_callout *callout, enum sandbox_call_kind kind,
                               json_t *row, struct slice cluster)
{
    const struct test_callout *answer = cases_find_callout(box->cases, cluster);
    json_object_set_new(row, "cluster", cli_json_string(cluster));
    json_object_set_new(row, "answer",
                        json_string(!answer         ? "unknown cluster"
                                    : answer->fails ? "failure"
                                                    : "response"));
    if (json_array_size(box->calls_made) >= CLI_LIST_MAX)
        json_decref(row);
    else
        json_array_append_new(box->calls_made, row);
    if (!answer)
        return kind == CALL_HTTP ? PW_STATUS_BAD_ARGUMENT : PW_STATUS_PARSE_FAILURE;
    if (box->calls_count == SANDBOX_CALLS_MAX)
        return PW_STATUS_INTERNAL_FAILURE;
    box->calls[box->calls_count++] = (struct sandbox_call){callout, kind, answer};
    return PW_STATUS_OK;
}

static enum pw_status call_http(void *ctx, struct pw_callout *callout, const struct pw_http_call *call)
{
    json_t *row = json_pack("{s:o, s:o, s:o}", "method", cli_json_string(header_of(call, ":method")), "path",
                            cli_json_string(header_of(call, ":path")), "body",
                            cli_json_string(slice_of(call->body.ptr, call->body.len)));
    return call_any(ctx, callout, CALL_HTTP, row, slice_of(call->upstream.ptr, call->upstream.len));
}

/* The upstream is a name here; a plugin that gives a whole GrpcService calls a cluster of that odd name. */
static enum pw_status call_grpc_kind(struct sandbox *box, struct pw_callout *callout,
                                     const struct pw_grpc_call *call, enum sandbox_call_kind kind)
{
    struct strbuf path;
    strbuf_init(&path, CLI_TEXT_BYTES_MAX);
    strbuf_printf(&path, "/" SLICE_FMT "/" SLICE_FMT, (int)call->service.len, call->service.ptr,
                  (int)call->method.len, call->method.ptr);
    json_t *row = json_pack("{s:s, s:o, s:o}", "method", kind == CALL_GRPC ? "gRPC call" : "gRPC stream",
                            "path", cli_json_string(strbuf_slice(&path)), "body",
                            cli_json_string(slice_of(call->message.ptr, call->message.len)));
    strbuf_fini(&path);
    return call_any(box, callout, kind, row, slice_of(call->upstream.ptr, call->upstream.len));
}

static enum pw_status call_grpc(void *ctx, struct pw_callout *callout, const struct pw_grpc_call *call)
{
    return call_grpc_kind(ctx, callout, call, CALL_GRPC);
}

static enum pw_status call_grpc_stream(void *ctx, struct pw_callout *callout, const struct pw_grpc_call *call)
{
    return call_grpc_kind(ctx, callout, call, CALL_GRPC_STREAM);
}

/* What a stream sends has no influence on its answer. */
static enum pw_status call_grpc_send(void *ctx, struct pw_callout *callout, struct pw_slice message, bool end)
{
    (void)ctx;
    (void)callout;
    (void)message;
    (void)end;
    return PW_STATUS_OK;
}

static void call_cancel(void *ctx, struct pw_callout *callout)
{
    struct sandbox *box = ctx;
    for (size_t i = 0; i < box->calls_count; i++)
        if (box->calls[i].callout == callout)
            box->calls[i].callout = NULL;
}

const struct pw_callout_ops sandbox_callout_ops = {
    .size = sizeof(sandbox_callout_ops),
    .http_call = call_http,
    .grpc_call = call_grpc,
    .grpc_stream = call_grpc_stream,
    .grpc_send = call_grpc_send,
    .cancel = call_cancel,
};

/* Gives the pairs of a map; NULL with none or when memory is out. */
static struct pw_pair *pairs_of(const struct header_map *map, size_t *count)
{
    struct pw_pair *pairs = calloc(map->count + 1, sizeof(*pairs));
    uint32_t cursor = 0;
    *count = 0;
    for (const struct header *h; pairs && (h = header_map_next(map, &cursor));)
        pairs[(*count)++] = (struct pw_pair){{h->name.ptr, h->name.len}, {h->value.ptr, h->value.len}};
    return pairs;
}

static void deliver_http(struct sandbox *box, struct pw_callout *callout, const struct test_callout *answer)
{
    struct pw_http_answer whole = {0};
    if (answer->fails) {
        SANDBOX_STEP(box, pw_callout_http_response(&callout, NULL));
        return;
    }
    struct pw_pair *headers = pairs_of(&answer->answer.headers, &whole.headers_count);
    struct pw_pair *trailers = pairs_of(&answer->answer.trailers, &whole.trailers_count);
    whole.headers = headers;
    whole.trailers = trailers;
    whole.body = (struct pw_slice){answer->answer.body.ptr, answer->answer.body.len};
    SANDBOX_STEP(box, pw_callout_http_response(&callout, &whole));
    free(headers);
    free(trailers);
}

/* grpc-status in the trailers or headers; without it what the HTTP status means: 200 is Ok, else Unavailable.
 */
static uint32_t grpc_status_of(const struct test_callout *answer)
{
    const struct header *h = header_map_find(&answer->answer.trailers, SLICE_LIT("grpc-status"));
    uint64_t status;
    if (!h)
        h = header_map_find(&answer->answer.headers, SLICE_LIT("grpc-status"));
    if (h && slice_parse_u64(h->value, &status) && status <= 16)
        return (uint32_t)status;
    return !answer->fails && message_status(&answer->answer) == 200 ? 0 : 14;
}

static void deliver_grpc(struct sandbox *box, struct pw_callout *callout, const struct test_callout *answer)
{
    struct pw_slice body = {answer->answer.body.ptr, answer->answer.body.len}, none = {NULL, 0};
    uint32_t status = grpc_status_of(answer);
    if (status == 0)
        SANDBOX_STEP(box, pw_callout_grpc_answer(&callout, body));
    else
        SANDBOX_STEP(box, pw_callout_grpc_close(&callout, status, none));
}

/* Whether a delivery left the stream alive; the guest may have cancelled it, or trapped. */
static bool still(const struct sandbox *box, const struct sandbox_call *call)
{
    return call->callout && !pw_vm_failed(box->vm);
}

/* The call stays at the front of the list meanwhile, so that `cancel` finds it; the guest may add others. */
static void deliver_stream(struct sandbox *box, struct sandbox_call *call)
{
    const struct test_callout *answer = call->answer;
    struct pw_slice body = {answer->answer.body.ptr, answer->answer.body.len}, none = {NULL, 0};
    size_t headers_count, trailers_count;
    struct pw_pair *headers = pairs_of(&answer->answer.headers, &headers_count);
    struct pw_pair *trailers = pairs_of(&answer->answer.trailers, &trailers_count);
    if (!answer->fails)
        SANDBOX_STEP(box, pw_callout_grpc_initial_metadata(call->callout, headers, headers_count));
    if (body.len > 0 && still(box, call))
        SANDBOX_STEP(box, pw_callout_grpc_message(call->callout, body));
    if (answer->answer.has_trailers && still(box, call))
        SANDBOX_STEP(box, pw_callout_grpc_trailing_metadata(call->callout, trailers, trailers_count));
    if (still(box, call))
        SANDBOX_STEP(box, pw_callout_grpc_close(&call->callout, grpc_status_of(answer), none));
    free(headers);
    free(trailers);
}

static void drop_first(struct sandbox *box)
{
    box->calls_count--;
    memmove(box->calls, box->calls + 1, box->calls_count * sizeof(box->calls[0]));
}

bool sandbox_deliver(struct sandbox *box)
{
    while (box->calls_count > 0) {
        struct sandbox_call call = box->calls[0];
        if (call.callout && call.kind == CALL_GRPC_STREAM)
            deliver_stream(box, &box->calls[0]);
        drop_first(box);
        if (call.callout && call.kind == CALL_HTTP)
            deliver_http(box, call.callout, call.answer);
        else if (call.callout && call.kind == CALL_GRPC)
            deliver_grpc(box, call.callout, call.answer);
        if (call.callout)
            return true;
    }
    return false;
}

json_t *sandbox_take_calls(struct sandbox *box)
{
    json_t *calls = box->calls_made;
    box->calls_made = json_array();
    return calls;
}
