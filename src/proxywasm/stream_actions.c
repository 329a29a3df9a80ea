/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of what a guest asked for and what must wait until its call has returned: continue, close, local
 * reply; first in, first out per stream. Never runs an action from inside a guest call.
 */
#include "proxywasm/stream_impl.h"

#include "proxywasm/context.h"
#include "proxywasm/guest.h"

#include <stdlib.h>

static void queue_push(struct pw_stream *stream, uint8_t entry)
{
    for (uint8_t i = 0; i < stream->actions_count; i++) {
        if (stream->actions[i] == entry)
            return;
    }
    WEIR_ASSERT(stream->actions_count < STREAM_ACTIONS_MAX);
    stream->actions[stream->actions_count++] = entry;
    if (stream->actions_count == 1)
        list_push_back(&stream->base.vm->pending, &stream->pending);
}

void stream_queue(struct pw_stream *stream, enum stream_action action, enum pw_stream_type type)
{
    WEIR_ASSERT(action != ACTION_REPLY && type <= PW_STREAM_MAX);
    if (stream->closing)
        return;
    queue_push(stream, (uint8_t)(action << 2 | type));
}

static uint8_t queue_pop(struct pw_stream *stream)
{
    WEIR_ASSERT(stream->actions_count > 0);
    uint8_t entry = stream->actions[0];
    stream->actions_count--;
    memmove(stream->actions, stream->actions + 1, stream->actions_count);
    if (stream->actions_count == 0)
        list_remove(&stream->pending);
    return entry;
}

/* Moves the bytes behind `s` to *at, which advances. */
static void pack(struct pw_slice *s, char **at)
{
    if (s->len)
        memcpy(*at, s->ptr, s->len);
    s->ptr = *at;
    *at += s->len;
}

static size_t reply_bytes(const struct pw_local_reply *reply)
{
    size_t bytes = sizeof(struct queued_reply) + reply->headers_count * sizeof(struct pw_pair);
    bytes += reply->details.len + reply->body.len;
    for (size_t i = 0; i < reply->headers_count; i++)
        bytes += reply->headers[i].name.len + reply->headers[i].value.len;
    return bytes;
}

static struct queued_reply *reply_copy(const struct pw_local_reply *reply, size_t bytes)
{
    struct queued_reply *copy = malloc(bytes);
    if (!copy)
        return NULL;
    struct pw_pair *headers = (struct pw_pair *)(copy + 1);
    char *at = (char *)(headers + reply->headers_count);
    copy->bytes = bytes;
    copy->reply = *reply;
    copy->reply.headers = headers;
    pack(&copy->reply.details, &at);
    pack(&copy->reply.body, &at);
    for (size_t i = 0; i < reply->headers_count; i++) {
        headers[i] = reply->headers[i];
        pack(&headers[i].name, &at);
        pack(&headers[i].value, &at);
    }
    WEIR_ASSERT(at == (char *)copy + bytes);
    return copy;
}

enum pw_status stream_queue_reply(struct pw_stream *stream, const struct pw_local_reply *reply)
{
    struct pw_vm *vm = stream->base.vm;
    if (stream->reply_taken || stream->closing)
        return PW_STATUS_OK;
    size_t bytes = reply_bytes(reply);
    if (!vm_charge(vm, bytes))
        return PW_STATUS_INTERNAL_FAILURE;
    stream->reply = reply_copy(reply, bytes);
    if (!stream->reply) {
        vm_uncharge(vm, bytes);
        return PW_STATUS_INTERNAL_FAILURE;
    }
    stream->reply_taken = true;
    stream->reply_in_call = true;
    queue_push(stream, ACTION_REPLY << 2);
    return PW_STATUS_OK;
}

static void reply_free(struct pw_vm *vm, struct queued_reply **reply)
{
    if (*reply)
        vm_uncharge(vm, (*reply)->bytes);
    free(*reply);
    *reply = NULL;
}

void stream_run_action(struct pw_stream *stream)
{
    struct pw_vm *vm = stream->base.vm;
    uint8_t entry = queue_pop(stream);
    enum pw_stream_type type = entry & 3;
    context_hold(&stream->base);
    switch ((enum stream_action)(entry >> 2)) {
    case ACTION_CONTINUE:
        stream->ops->continue_stream(stream->ctx, type);
        break;
    case ACTION_CLOSE:
        stream->ops->close_stream(stream->ctx, type);
        break;
    case ACTION_REPLY: {
        struct queued_reply *reply = stream->reply;
        stream->reply = NULL;
        stream->ops->local_reply(stream->ctx, &reply->reply);
        reply_free(vm, &reply);
        break;
    }
    }
    context_release(&stream->base);
}

void stream_uncharge_body(struct pw_stream *stream, enum pw_buffer buffer)
{
    vm_uncharge(stream->base.vm, stream->body_bytes[buffer]);
    stream->body_bytes[buffer] = 0;
}

WEIR_HOT void stream_uncharge_all(struct pw_stream *stream)
{
    uint64_t bytes = stream->header_bytes;
    for (unsigned i = 0; stream->bodies_written && i < WEIR_ARRAY_LEN(stream->body_bytes); i++) {
        bytes += stream->body_bytes[i];
        stream->body_bytes[i] = 0;
    }
    stream->bodies_written = false;
    stream->header_bytes = 0;
    vm_uncharge(stream->base.vm, bytes);
}

void stream_drop_queued(struct pw_stream *stream)
{
    if (stream->actions_count > 0 || stream->retired)
        list_remove(&stream->pending);
    stream->actions_count = 0;
    stream->retired = false;
    reply_free(stream->base.vm, &stream->reply);
}
