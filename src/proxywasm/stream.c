/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream contexts: the callbacks of one HTTP request or TCP connection, the conversion of what they return
 * (ABI 3.4) and what is reachable meanwhile (ABI 3.5). Knows no protocol.
 */
#include "proxywasm/stream_impl.h"

#include "proxywasm/context.h"
#include "proxywasm/vm_call.h"

#include <stdlib.h>

static bool ops_complete(const struct pw_stream_ops *ops)
{
    return ops && ops->size >= sizeof(*ops) && ops->map_exists && ops->map_count && ops->map_bytes &&
           ops->map_next && ops->map_get && ops->map_add && ops->map_replace && ops->map_remove &&
           ops->map_set && ops->buffer_size && ops->buffer_copy && ops->buffer_splice && ops->property_get &&
           ops->property_set && ops->clear_route_cache && ops->continue_stream && ops->close_stream &&
           ops->local_reply && ops->vm_failed;
}

static struct pw_stream *stream_take(struct pw_vm *vm)
{
    struct context *spare = vm->spare_streams;
    if (WEIR_UNLIKELY(!spare)) {
        struct pw_stream *fresh = aligned_alloc(64, (sizeof(*fresh) + 63) / 64 * 64);
        if (fresh)
            memset(fresh, 0, sizeof(*fresh));
        return fresh;
    }
    vm->spare_streams = spare->id_next;
    vm->spare_streams_count--;
    return context_stream(spare);
}

/* It becomes what calloc gives, except what context_init and pw_stream_create set. What was charged and
 * queued is gone since stream_discard. */
static void stream_blank(struct pw_stream *stream)
{
    WEIR_ASSERT(stream->base.holds == 0 && stream->header_bytes == 0 && stream->actions_count == 0);
    stream->base.destroyed = false;
    stream->base.created = false;
    stream->headers_written = 0;
    stream->maps_open = 0;
    stream->buffers_open = 0;
    stream->eos = 0;
    stream->in_log = false;
    stream->reply_taken = false;
    stream->reply_in_call = false;
    stream->closing = false;
    stream->retired = false;
}

WEIR_HOT void stream_give_back(struct pw_vm *vm, struct pw_stream *stream)
{
    if (WEIR_UNLIKELY(vm->destroyed || vm->spare_streams_count >= SPARE_STREAMS_MAX)) {
        free(stream);
        return;
    }
    stream_blank(stream);
    stream->base.kind = CONTEXT_STREAM;
    stream->base.id_next = vm->spare_streams;
    vm->spare_streams = &stream->base;
    vm->spare_streams_count++;
}

/* What proxy_on_context_create asked for runs, after *out was set. PW_OK or the VM's failure. */
static __attribute__((noinline)) int create_settle(struct pw_stream *stream, struct pw_stream **out)
{
    struct pw_vm *vm = stream->base.vm;
    int error = PW_OK;
    vm_hold(vm);
    context_hold(&stream->base);
    vm_settle_slow(vm);
    if (stream->base.destroyed) {
        *out = NULL; /* by an action of its own, or with the VM */
        error = vm->failed ? PW_ERR_VM_FAILED : PW_OK;
    }
    context_release(&stream->base);
    vm_release(vm);
    return error;
}

/* The VM failed in proxy_on_context_create. */
static __attribute__((noinline)) int create_failed(struct pw_vm *vm, struct pw_stream *stream, int error)
{
    vm_hold(vm);
    stream_discard(stream);
    vm_settle(vm);
    vm_release(vm);
    return error;
}

WEIR_HOT int pw_stream_create(struct pw_root *root, const struct pw_stream_ops *ops, void *ctx,
                              struct pw_stream **out)
{
    struct pw_vm *vm = root->base.vm;
    WEIR_ASSERT(ops == vm->checked_ops || ops_complete(ops));
    vm->checked_ops = ops;
    WEIR_ASSERT(vm->depth == 0 && !vm->destroyed);
    *out = NULL;
    if (WEIR_UNLIKELY(vm->failed))
        return PW_ERR_VM_FAILED;
    struct pw_stream *stream = stream_take(vm);
    if (!stream)
        return PW_ERR_NOMEM;
    int error = context_init(&stream->base, vm, CONTEXT_STREAM, root);
    if (WEIR_UNLIKELY(error)) {
        stream_give_back(vm, stream);
        return error;
    }
    stream->ops = ops;
    stream->ctx = ctx;

    if (vm_exports(vm, GUEST_proxy_on_context_create)) {
        int64_t outcome = vm_call_export(vm, &stream->base, GUEST_proxy_on_context_create, root->base.id, 0);
        if (WEIR_UNLIKELY(outcome < 0))
            return create_failed(vm, stream, (int)outcome);
    }
    stream->base.created = true;
    *out = stream; /* before actions that context_create asked for run */
    return vm_is_settled(vm) ? PW_OK : create_settle(stream, out);
}

WEIR_HOT void stream_discard(struct pw_stream *stream)
{
    stream_uncharge(stream);
    stream_drop_actions(stream);
    context_fini(&stream->base);
    context_destroy(&stream->base);
}

static void call_last(struct pw_stream *s, enum guest_function fn)
{
    struct pw_vm *vm = s->base.vm;
    if (vm_exports(vm, fn) && !vm->failed)
        vm_call_export(vm, &s->base, fn, 0, 0);
}

/* Others hear of what happened in the last callbacks, and a fresh VM ends. */
static __attribute__((noinline)) void destroy_settle(struct pw_vm *vm)
{
    vm_hold(vm);
    vm_settle(vm);
    if (WEIR_UNLIKELY(vm->fresh != NULL))
        vm->leaving = true;
    vm_release(vm);
}

static WEIR_HOT void destroy(struct pw_stream *s, bool logged)
{
    struct pw_vm *vm = s->base.vm;
    WEIR_ASSERT(vm->depth == 0);
    WEIR_ASSERT(!s->closing);
    s->closing = true; /* what it still asks for is dropped */
    s->maps_open = 0;
    s->buffers_open = 0;
    stream_drop_actions(s);
    call_last(s, GUEST_proxy_on_done);
    if (logged) {
        s->in_log = true;
        call_last(s, GUEST_proxy_on_log);
        s->in_log = false;
    }
    call_last(s, GUEST_proxy_on_delete);
    /* Gone before others hear of a failure in here: the embedder has let go of it. */
    stream_discard(s);
    if (WEIR_UNLIKELY(!vm_is_settled(vm) || vm->fresh))
        destroy_settle(vm);
}

WEIR_HOT void pw_stream_destroy(struct pw_stream **stream)
{
    struct pw_stream *s = *stream;
    *stream = NULL;
    if (s)
        destroy(s, false);
}

void pw_stream_destroy_logged(struct pw_stream **stream)
{
    struct pw_stream *s = *stream;
    *stream = NULL;
    if (s)
        destroy(s, true);
}

/* --- the last callbacks, later --- */

static enum pw_status gone_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    (void)ctx;
    (void)path;
    (void)out;
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status gone_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    (void)ctx;
    (void)path;
    (void)value;
    return PW_STATUS_NOT_FOUND;
}

static void gone(void *ctx)
{
    (void)ctx;
}

/* Of a stream that the embedder has let go of. No map or buffer is open and no action is queued any more, so
 * nothing else of the table is ever called. */
static const struct pw_stream_ops gone_ops = {.size = sizeof(gone_ops),
                                              .property_get = gone_get,
                                              .property_set = gone_set,
                                              .clear_route_cache = gone,
                                              .vm_failed = gone};

void pw_stream_retire(struct pw_stream **stream)
{
    struct pw_stream *s = *stream;
    *stream = NULL;
    if (!s)
        return;
    struct pw_vm *vm = s->base.vm;
    WEIR_ASSERT(vm->depth == 0 && !s->closing);
    vm_hold(vm);
    s->closing = true;
    s->maps_open = 0;
    s->buffers_open = 0;
    stream_drop_actions(s);
    if (vm->fresh || vm->failed) {
        stream_discard(s); /* with its VM: nobody is left to tell */
    } else {
        stream_uncharge(s);
        s->ops = &gone_ops;
        s->ctx = NULL;
        s->retired = true;
        list_push_back(&s->base.root->retired, &s->pending);
    }
    if (vm->fresh)
        vm->leaving = true;
    vm_release(vm);
}

bool pw_root_end_retired(struct pw_root *root)
{
    if (list_empty(&root->retired))
        return false;
    struct pw_stream *s = list_first(&root->retired, struct pw_stream, pending);
    list_remove(&s->pending);
    s->retired = false;
    s->closing = false;
    destroy(s, false);
    return true;
}

void stream_drop_retired(struct pw_root *root)
{
    while (!list_empty(&root->retired))
        stream_discard(list_first(&root->retired, struct pw_stream, pending));
}

bool stream_gone(const struct pw_stream *stream)
{
    return stream->ops == &gone_ops;
}

uint32_t pw_stream_id(const struct pw_stream *stream)
{
    return stream->base.id;
}

void *pw_stream_ctx(const struct pw_stream *stream)
{
    return stream->ctx;
}

struct pw_root *pw_stream_root(const struct pw_stream *stream)
{
    return stream->base.root;
}

bool stream_map_readable(const struct pw_stream *stream, enum pw_map map)
{
    WEIR_ASSERT(map <= PW_MAP_RESPONSE_TRAILERS);
    if (stream->in_log)
        return map != PW_MAP_REQUEST_TRAILERS && stream->ops->map_exists(stream->ctx, map);
    return stream->maps_open & (1u << map);
}

/* Trailers may be made by a write in the last body callback. */
static bool trailers_makeable(const struct pw_stream *stream, enum pw_map map)
{
    uint8_t body;
    if (map == PW_MAP_REQUEST_TRAILERS)
        body = 1u << PW_BUFFER_REQUEST_BODY;
    else if (map == PW_MAP_RESPONSE_TRAILERS)
        body = 1u << PW_BUFFER_RESPONSE_BODY;
    else
        return false;
    return (stream->buffers_open & body) && (stream->eos & body);
}

bool stream_map_writable(const struct pw_stream *stream, enum pw_map map)
{
    WEIR_ASSERT(map <= PW_MAP_RESPONSE_TRAILERS);
    if (stream->in_log)
        return false;
    return (stream->maps_open & (1u << map)) || trailers_makeable(stream, map);
}

void stream_map_written(struct pw_stream *stream, enum pw_map map)
{
    stream->maps_open |= (uint8_t)(1u << map);
}

/* The kinds of callbacks that share a conversion of return values. */
enum callback_kind { KIND_HEADERS, KIND_BODY, KIND_TRAILERS, KIND_TCP };

struct callback {
    enum guest_function fn;
    enum callback_kind kind;
    uint8_t map;    /* bit that is reachable meanwhile, or 0 */
    uint8_t buffer; /* the same for buffers */
};

static enum pw_action convert_headers(const struct pw_stream *stream, uint32_t value)
{
    switch (value) {
    case 0:
        return PW_ACTION_CONTINUE;
    case 1:
        return stream->base.root->plugin->allow_on_headers_stop_iteration ? PW_ACTION_STOP_ITERATION
                                                                          : PW_ACTION_STOP_ALL_WATERMARK;
    case 2:
        return PW_ACTION_CONTINUE_AND_END;
    case 3:
        return PW_ACTION_STOP_ALL_BUFFER;
    default:
        return PW_ACTION_STOP_ALL_WATERMARK;
    }
}

/* ABI 3.4. A local reply asked for in this callback beats what it returned. */
static inline enum pw_action convert(const struct pw_stream *stream, enum callback_kind kind, uint32_t value)
{
    bool replied = stream->reply_in_call;
    if (WEIR_LIKELY(value == 0 && !replied))
        return PW_ACTION_CONTINUE; /* whatever the callback */
    switch (kind) {
    case KIND_HEADERS:
        return replied ? PW_ACTION_STOP_ALL_WATERMARK : convert_headers(stream, value);
    case KIND_BODY:
        if (replied || value > 2)
            return PW_ACTION_STOP_NO_BUFFER;
        return value == 0   ? PW_ACTION_CONTINUE
               : value == 1 ? PW_ACTION_STOP_BUFFER
                            : PW_ACTION_STOP_WATERMARK;
    case KIND_TRAILERS:
        return replied || value != 0 ? PW_ACTION_STOP_ITERATION : PW_ACTION_CONTINUE;
    case KIND_TCP:
        return value != 0 ? PW_ACTION_STOP_ITERATION : PW_ACTION_CONTINUE;
    }
    WEIR_UNREACHABLE();
}

/* Nothing is there to call. */
static enum pw_action no_callback(struct pw_stream *stream, const struct callback *cb)
{
    stream->maps_open &= (uint8_t)~cb->map;
    stream->buffers_open &= (uint8_t)~cb->buffer;
    return WEIR_UNLIKELY(stream->base.vm->failed) ? PW_ACTION_VM_FAILED : PW_ACTION_CONTINUE;
}

/* What the callback asked for runs, which may destroy the stream, or the VM has failed in it. */
static __attribute__((noinline)) enum pw_action callback_settle(struct pw_stream *stream,
                                                                enum pw_action action)
{
    struct pw_vm *vm = stream->base.vm;
    vm_hold(vm);
    context_hold(&stream->base);
    vm_settle_slow(vm);
    if (vm->failed)
        action = PW_ACTION_VM_FAILED;
    context_release(&stream->base);
    vm_release(vm);
    return action;
}

static inline __attribute__((always_inline)) enum pw_action
run_callback(struct pw_stream *stream, const struct callback *cb, uint32_t arg, uint32_t arg2)
{
    struct pw_vm *vm = stream->base.vm;
    WEIR_ASSERT(!stream->closing);
    if (!vm_exports(vm, cb->fn) || WEIR_UNLIKELY(vm->failed))
        return no_callback(stream, cb);
    stream->maps_open |= cb->map;
    stream->buffers_open |= cb->buffer;
    stream->reply_in_call = false; /* one that another stream's callback asked for does not count here */
    int64_t outcome = vm_call_export(vm, &stream->base, cb->fn, arg, arg2);
    /* No value is 0; after an error nothing counts. */
    enum pw_action action = convert(stream, cb->kind, (uint32_t)outcome);
    if (action == PW_ACTION_CONTINUE || action == PW_ACTION_CONTINUE_AND_END) {
        stream->maps_open &= (uint8_t)~cb->map;
        stream->buffers_open &= (uint8_t)~cb->buffer;
    }
    return vm_is_settled(vm) ? action : callback_settle(stream, action);
}

static inline enum pw_action run_headers(struct pw_stream *stream, enum guest_function fn, enum pw_map map,
                                         size_t count, bool end_of_stream)
{
    const struct callback cb = {fn, KIND_HEADERS, (uint8_t)(1u << map), 0};
    return run_callback(stream, &cb, (uint32_t)count, end_of_stream);
}

static enum pw_action run_data(struct pw_stream *stream, enum guest_function fn, enum callback_kind kind,
                               enum pw_buffer buffer, size_t bytes, bool end_of_stream)
{
    const uint8_t bit = (uint8_t)(1u << buffer);
    const struct callback cb = {fn, kind, 0, bit};
    uint32_t shown = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
    stream->eos = (uint8_t)(end_of_stream ? stream->eos | bit : stream->eos & ~bit);
    struct pw_vm *vm = stream->base.vm;
    vm_hold(vm);
    context_hold(&stream->base);
    enum pw_action action = run_callback(stream, &cb, shown, end_of_stream);
    if (action == PW_ACTION_CONTINUE && WEIR_UNLIKELY(stream->body_bytes[buffer] != 0))
        stream_uncharge_body(stream, buffer);
    context_release(&stream->base);
    vm_release(vm);
    return action;
}

static enum pw_action run_trailers(struct pw_stream *stream, enum guest_function fn, enum pw_map map,
                                   size_t count)
{
    const struct callback cb = {fn, KIND_TRAILERS, (uint8_t)(1u << map), 0};
    return run_callback(stream, &cb, (uint32_t)count, 0);
}

WEIR_HOT enum pw_action pw_stream_request_headers(struct pw_stream *stream, size_t count, bool end_of_stream)
{
    return run_headers(stream, GUEST_proxy_on_request_headers, PW_MAP_REQUEST_HEADERS, count, end_of_stream);
}

enum pw_action pw_stream_request_body(struct pw_stream *stream, size_t body_bytes, bool end_of_stream)
{
    return run_data(stream, GUEST_proxy_on_request_body, KIND_BODY, PW_BUFFER_REQUEST_BODY, body_bytes,
                    end_of_stream);
}

enum pw_action pw_stream_request_trailers(struct pw_stream *stream, size_t count)
{
    return run_trailers(stream, GUEST_proxy_on_request_trailers, PW_MAP_REQUEST_TRAILERS, count);
}

WEIR_HOT enum pw_action pw_stream_response_headers(struct pw_stream *stream, size_t count, bool end_of_stream)
{
    return run_headers(stream, GUEST_proxy_on_response_headers, PW_MAP_RESPONSE_HEADERS, count,
                       end_of_stream);
}

enum pw_action pw_stream_response_body(struct pw_stream *stream, size_t body_bytes, bool end_of_stream)
{
    return run_data(stream, GUEST_proxy_on_response_body, KIND_BODY, PW_BUFFER_RESPONSE_BODY, body_bytes,
                    end_of_stream);
}

enum pw_action pw_stream_response_trailers(struct pw_stream *stream, size_t count)
{
    return run_trailers(stream, GUEST_proxy_on_response_trailers, PW_MAP_RESPONSE_TRAILERS, count);
}

enum pw_action pw_stream_new_connection(struct pw_stream *stream)
{
    static const struct callback cb = {GUEST_proxy_on_new_connection, KIND_TCP, 0, 0};
    return run_callback(stream, &cb, 0, 0);
}

enum pw_action pw_stream_downstream_data(struct pw_stream *stream, size_t bytes, bool end_of_stream)
{
    return run_data(stream, GUEST_proxy_on_downstream_data, KIND_TCP, PW_BUFFER_DOWNSTREAM_DATA, bytes,
                    end_of_stream);
}

enum pw_action pw_stream_upstream_data(struct pw_stream *stream, size_t bytes, bool end_of_stream)
{
    return run_data(stream, GUEST_proxy_on_upstream_data, KIND_TCP, PW_BUFFER_UPSTREAM_DATA, bytes,
                    end_of_stream);
}

static void run_close(struct pw_stream *stream, enum guest_function fn, enum pw_peer peer)
{
    const struct callback cb = {fn, KIND_TCP, 0, 0};
    run_callback(stream, &cb, peer, 0);
}

void pw_stream_downstream_close(struct pw_stream *stream, enum pw_peer peer)
{
    run_close(stream, GUEST_proxy_on_downstream_connection_close, peer);
}

void pw_stream_upstream_close(struct pw_stream *stream, enum pw_peer peer)
{
    run_close(stream, GUEST_proxy_on_upstream_connection_close, peer);
}

bool pw_stream_has_log(const struct pw_stream *stream)
{
    return vm_exports(stream->base.vm, GUEST_proxy_on_log);
}

void pw_stream_log(struct pw_stream *stream)
{
    static const struct callback cb = {GUEST_proxy_on_log, KIND_TCP, 0, 0};
    struct pw_vm *vm = stream->base.vm;
    if (!vm_exports(vm, cb.fn))
        return;
    stream->maps_open = 0;
    stream->buffers_open = 0;
    stream->in_log = true;
    vm_hold(vm); /* releasing the stream looks into it, and a failure may have destroyed it */
    context_hold(&stream->base);
    run_callback(stream, &cb, 0, 0);
    stream->in_log = false;
    context_release(&stream->base);
    vm_release(vm);
}
