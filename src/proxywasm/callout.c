/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The callouts of a VM. A callout belongs to a root: it is cancelled when the root goes and by nothing else
 * but the guest; the stream that asked may be long gone when the answer comes.
 */
#include "proxywasm/callout_impl.h"

#include "proxywasm/callout_record.h"
#include "proxywasm/context.h"
#include "proxywasm/guest.h"
#include "proxywasm/mailbox.h"
#include "proxywasm/vm_call.h"

#include <stdlib.h>

/* gRPC UNAVAILABLE, as for an upstream that cannot be reached. */
#define GRPC_UNAVAILABLE 14u

/* What the running callback brought; on the stack of its delivery. */
struct callout_view {
    struct {
        const struct pw_pair *pairs;
        size_t count;
    } maps[PW_MAP_MAX + 1];
    uint8_t maps_open;    /* bit per map */
    uint8_t buffers_open; /* bit per buffer */
    struct slice buffers[PW_BUFFER_GRPC_MESSAGE + 1];
};

static enum callout_kind kind_of(const struct pw_callout *c)
{
    return (enum callout_kind)(c->id & CALLOUT_KIND_BITS);
}

static struct pw_vm *vm_of(const struct pw_callout *c)
{
    return c->root->base.vm;
}

static const struct pw_callout_ops *ops_of(const struct pw_vm *vm)
{
    return vm->vm_ops ? vm->vm_ops->callouts : NULL;
}

static struct pw_callout **bucket_of(const struct pw_vm *vm, uint32_t id)
{
    return &vm->callouts.buckets[(id / CALLOUT_ID_STEP) % CALLOUT_BUCKETS];
}

struct pw_callout *callout_find(const struct pw_root *root, uint32_t id)
{
    const struct pw_vm *vm = root->base.vm;
    if (!vm->callouts.buckets)
        return NULL;
    for (struct pw_callout *c = *bucket_of(vm, id); c; c = c->id_next) {
        if (c->id == id)
            return c->root == root ? c : NULL;
    }
    return NULL;
}

/* --- caps and numbers --- */

bool pw_callout_charge(struct pw_callout *callout, uint64_t bytes)
{
    struct pw_vm *vm = vm_of(callout);
    uint64_t max = vm->limits.callout_bytes_max;
    if (callout->ended || bytes > max || vm->callouts.bytes > max - bytes) {
        vm->callouts.refused++;
        return false;
    }
    vm->callouts.bytes += bytes;
    callout->bytes += bytes;
    return true;
}

void pw_callout_uncharge(struct pw_callout *callout, uint64_t bytes)
{
    WEIR_ASSERT(callout->bytes >= bytes && vm_of(callout)->callouts.bytes >= bytes);
    callout->bytes -= bytes;
    vm_of(callout)->callouts.bytes -= bytes;
}

/* Nothing of it is under way any more: its place and its bytes are free. */
static void callout_end(struct pw_callout *c)
{
    struct vm_callouts *all = &vm_of(c)->callouts;
    if (c->ended)
        return;
    pw_callout_uncharge(c, c->bytes);
    c->ended = true;
    WEIR_ASSERT(all->count > 0);
    all->count--;
    if (kind_of(c) == CALLOUT_GRPC_STREAM)
        all->streams--;
}

static void records_drop(struct pw_callout *c)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &vm_of(c)->callouts.recorded)
    {
        struct callout_record *r = list_entry(node, struct callout_record, node);
        if (r->callout != c)
            continue;
        list_remove(&r->node);
        free(r);
    }
}

static void callout_free(struct pw_callout *c)
{
    struct vm_callouts *all = &vm_of(c)->callouts;
    callout_end(c);
    if (!list_empty(&all->recorded))
        records_drop(c);
    struct pw_callout **link = bucket_of(vm_of(c), c->id);
    while (*link != c) {
        WEIR_ASSERT(*link);
        link = &(*link)->id_next;
    }
    *link = c->id_next;
    list_remove(&c->node);
    if (!list_empty(&c->linger)) {
        list_remove(&c->linger);
        all->lingering_count--;
    }
    c->dead = true;
    if (c->holds == 0)
        free(c);
}

static void callout_release(struct pw_callout *c)
{
    WEIR_ASSERT(c->holds > 0);
    if (--c->holds == 0 && c->dead)
        free(c);
}

static bool over_cap(struct pw_vm *vm, enum callout_kind kind, uint64_t bytes)
{
    struct vm_callouts *all = &vm->callouts;
    const struct pw_limits *limits = &vm->limits;
    enum pw_limit passed = PW_LIMIT_COUNT;
    if (all->count >= limits->callouts_max)
        passed = PW_LIMIT_callouts_max;
    else if (bytes > limits->callout_bytes_max || all->bytes > limits->callout_bytes_max - bytes)
        passed = PW_LIMIT_callout_bytes_max;
    else if (kind == CALLOUT_GRPC_STREAM && all->streams >= limits->grpc_streams_max)
        passed = PW_LIMIT_grpc_streams_max;
    if (passed == PW_LIMIT_COUNT)
        return false;
    vm_limit_passed(vm, passed);
    return true;
}

/* A new one with its number; NULL: over a cap, or memory is out. */
static struct pw_callout *callout_new(struct pw_root *root, enum callout_kind kind, uint64_t bytes)
{
    struct pw_vm *vm = root->base.vm;
    struct vm_callouts *all = &vm->callouts;
    bytes += sizeof(struct pw_callout);
    if (over_cap(vm, kind, bytes)) {
        all->refused++;
        return NULL;
    }
    if (!all->buckets && !(all->buckets = calloc(CALLOUT_BUCKETS, sizeof(struct pw_callout *))))
        return NULL;
    struct pw_callout *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    list_init(&c->linger);
    c->root = root;
    all->next[kind] += CALLOUT_ID_STEP;
    c->id = all->next[kind] | kind;
    c->id_next = *bucket_of(vm, c->id);
    *bucket_of(vm, c->id) = c;
    list_push_back(&root->callouts, &c->node);
    c->bytes = bytes;
    all->bytes += bytes;
    all->count++;
    all->started++;
    if (kind == CALLOUT_GRPC_STREAM)
        all->streams++;
    return c;
}

/* --- starting --- */

static enum pw_status run_record(struct pw_callout *c, const struct callout_record *r)
{
    const struct pw_callout_ops *ops = ops_of(vm_of(c));
    void *ctx = vm_of(c)->ctx;
    switch (r->kind) {
    case RECORD_HTTP:
        return ops && ops->http_call ? ops->http_call(ctx, c, &r->http) : PW_STATUS_INTERNAL_FAILURE;
    case RECORD_GRPC_CALL:
        return ops && ops->grpc_call ? ops->grpc_call(ctx, c, &r->grpc) : PW_STATUS_INTERNAL_FAILURE;
    case RECORD_GRPC_STREAM:
        return ops && ops->grpc_stream ? ops->grpc_stream(ctx, c, &r->grpc) : PW_STATUS_INTERNAL_FAILURE;
    case RECORD_SEND:
        return ops && ops->grpc_send ? ops->grpc_send(ctx, c, r->message, r->end)
                                     : PW_STATUS_INTERNAL_FAILURE;
    }
    WEIR_UNREACHABLE();
}

/* Keeps it for pw_vm_attach. */
static enum pw_status record_later(struct pw_callout *c, struct callout_record *r)
{
    if (!r)
        return PW_STATUS_INTERNAL_FAILURE;
    r->callout = c;
    list_push_back(&vm_of(c)->callouts.recorded, &r->node);
    return PW_STATUS_OK;
}

/* Ends a start: the number, or a callout that never was. */
static enum pw_status started(struct pw_callout *c, enum pw_status status, uint32_t *id)
{
    if (status != PW_STATUS_OK) {
        if (status == PW_STATUS_BAD_ARGUMENT || status == PW_STATUS_PARSE_FAILURE) {
            /* The reference host finds the upstream before it takes a number. */
            vm_of(c)->callouts.next[kind_of(c)] -= CALLOUT_ID_STEP;
        }
        vm_of(c)->callouts.started--;
        callout_free(c);
        return status;
    }
    c->started = vm_of(c)->vm_ops != NULL;
    *id = c->id;
    return PW_STATUS_OK;
}

enum pw_status callout_http(struct pw_root *root, const struct pw_http_call *call, uint32_t *id)
{
    struct pw_callout *c = callout_new(root, CALLOUT_HTTP, callout_http_bytes(call));
    if (!c)
        return PW_STATUS_INTERNAL_FAILURE;
    struct pw_vm *vm = root->base.vm;
    if (!vm->vm_ops)
        return started(c, record_later(c, callout_record_http(call)), id);
    return started(c, run_record(c, &(struct callout_record){.kind = RECORD_HTTP, .http = *call}), id);
}

enum pw_status callout_grpc(struct pw_root *root, bool stream, const struct pw_grpc_call *call, uint32_t *id)
{
    struct pw_callout *c =
        callout_new(root, stream ? CALLOUT_GRPC_STREAM : CALLOUT_GRPC_CALL, callout_grpc_bytes(call));
    if (!c)
        return PW_STATUS_INTERNAL_FAILURE;
    struct pw_vm *vm = root->base.vm;
    if (!vm->vm_ops)
        return started(c, record_later(c, callout_record_grpc(call, stream)), id);
    enum callout_record_kind kind = stream ? RECORD_GRPC_STREAM : RECORD_GRPC_CALL;
    return started(c, run_record(c, &(struct callout_record){.kind = kind, .grpc = *call}), id);
}

enum pw_status callout_send(struct pw_callout *c, struct pw_slice message, bool end)
{
    WEIR_ASSERT(kind_of(c) == CALLOUT_GRPC_STREAM);
    if (c->ended || c->refused)
        return PW_STATUS_OK; /* nobody is left to read it, and the guest will hear so or has heard */
    if (c->local_closed)
        return PW_STATUS_BAD_ARGUMENT;
    enum pw_status status;
    if (c->started) {
        status = run_record(c, &(struct callout_record){.kind = RECORD_SEND, .message = message, .end = end});
    } else if (!pw_callout_charge(c, message.len)) {
        /* Any failure code here traps a Rust plugin: the stream fails instead, once the VM is attached. */
        c->refused = vm_of(c)->callouts.refusals = true;
        return PW_STATUS_OK;
    } else {
        status = record_later(c, callout_record_send(message, end));
    }
    if (status == PW_STATUS_OK && end)
        c->local_closed = true;
    return status;
}

enum pw_status callout_close(struct pw_callout *c)
{
    if (c->ended) {
        callout_free(c);
        return PW_STATUS_OK;
    }
    return c->local_closed ? PW_STATUS_OK : callout_send(c, (struct pw_slice){NULL, 0}, true);
}

void callout_cancel(struct pw_callout *c)
{
    const struct pw_callout_ops *ops = ops_of(vm_of(c));
    bool held = c->started && !c->ended;
    c->started = false;
    if (held && ops && ops->cancel)
        ops->cancel(vm_of(c)->ctx, c);
    callout_free(c);
}

/* --- the life of the VM --- */

void callouts_attach(struct pw_vm *vm)
{
    struct vm_callouts *all = &vm->callouts;
    bool wake = all->refusals;
    while (!list_empty(&all->recorded)) {
        struct callout_record *r = list_first(&all->recorded, struct callout_record, node);
        struct pw_callout *c = r->callout;
        list_remove(&r->node);
        if (r->kind == RECORD_SEND)
            pw_callout_uncharge(c, r->message.len);
        if (!c->refused) {
            /* One that cannot be started, or whose message cannot be sent, fails in a later turn. */
            bool begun = c->started;
            c->started = true;
            if (run_record(c, r) != PW_STATUS_OK) {
                const struct pw_callout_ops *ops = ops_of(vm);
                if (begun && ops && ops->cancel)
                    ops->cancel(vm->ctx, c);
                c->started = false;
                c->refused = wake = true;
            }
        }
        free(r);
    }
    if (wake)
        mailbox_nudge(vm->mailbox);
    all->refusals = wake;
}

static struct pw_callout *next_refused(struct pw_vm *vm)
{
    struct list *root, *tmp, *node, *tmp2;
    list_for_each(root, tmp, &vm->roots)
    {
        list_for_each(node, tmp2, &context_root(list_entry(root, struct context, node))->callouts)
        {
            struct pw_callout *c = list_entry(node, struct pw_callout, node);
            if (c->refused && !c->ended)
                return c;
        }
    }
    return NULL;
}

void callouts_run(struct pw_vm *vm)
{
    while (!vm->destroyed && !vm->failed && vm->callouts.refusals) {
        struct pw_callout *c = next_refused(vm);
        if (!c)
            vm->callouts.refusals = false;
        else if (kind_of(c) == CALLOUT_HTTP)
            pw_callout_http_response(&c, NULL);
        else
            pw_callout_grpc_close(&c, GRPC_UNAVAILABLE, (struct pw_slice){"", 0});
    }
}

void callouts_drop_root(struct pw_root *root)
{
    while (!list_empty(&root->callouts))
        callout_cancel(list_first(&root->callouts, struct pw_callout, node));
}

void callouts_fini(struct pw_vm *vm)
{
    WEIR_ASSERT(vm->callouts.count == 0 && vm->callouts.bytes == 0);
    free(vm->callouts.buckets);
    vm->callouts.buckets = NULL;
}

uint64_t pw_callout_answer_bytes_max(const struct pw_callout *callout)
{
    return vm_of(callout)->limits.callout_answer_bytes_max;
}

uint32_t pw_callout_id(const struct pw_callout *callout)
{
    return callout->id;
}

struct pw_root *pw_callout_root(const struct pw_callout *callout)
{
    return callout->root;
}

void pw_callout_set_data(struct pw_callout *callout, void *data)
{
    callout->data = data;
}

void *pw_callout_data(const struct pw_callout *callout)
{
    return callout->data;
}

/* --- deliveries --- */

static void view_map(struct callout_view *view, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    view->maps[map].pairs = pairs;
    view->maps[map].count = count;
    view->maps_open |= (uint8_t)(1u << map);
}

static void view_buffer(struct callout_view *view, enum pw_buffer buffer, struct pw_slice bytes)
{
    view->buffers[buffer] = slice_from_pw(bytes);
    view->buffers_open |= (uint8_t)(1u << buffer);
}

/* A stream that the peer has ended keeps its number until the guest closes it; only so many do. */
static void linger(struct pw_callout *c)
{
    struct vm_callouts *all = &vm_of(c)->callouts;
    list_push_back(&all->lingering, &c->linger);
    if (++all->lingering_count > CALLOUT_LINGERING_MAX)
        callout_free(list_first(&all->lingering, struct pw_callout, linger));
}

/* Runs the callback. With `end` the callout is over; its number is still known inside the callback. */
static void deliver(struct pw_callout *c, enum guest_function fn, uint64_t arg, uint64_t arg2, uint64_t arg3,
                    size_t nargs, const struct callout_view *view, bool end)
{
    struct pw_root *root = c->root;
    struct pw_vm *vm = root->base.vm;
    WEIR_ASSERT(vm->depth == 0 && !vm->destroyed && !c->ended);
    uint64_t args[5] = {root->base.id, c->id, arg, arg2, arg3};
    vm_hold(vm);
    context_hold(&root->base);
    c->holds++;
    if (end)
        callout_end(c);
    vm->callouts.view = view;
    vm_call(vm, &root->base, fn, args, nargs, NULL, false);
    vm->callouts.view = NULL;
    root->status_message = SLICE_EMPTY;
    if (end && !c->dead) {
        if (kind_of(c) == CALLOUT_GRPC_STREAM && !c->local_closed && !vm->failed)
            linger(c);
        else
            callout_free(c);
    }
    callout_release(c);
    vm_settle(vm);
    context_release(&root->base);
    vm_release(vm);
}

static struct pw_callout *take(struct pw_callout **callout)
{
    struct pw_callout *c = *callout;
    *callout = NULL;
    return c;
}

void pw_callout_http_response(struct pw_callout **callout, const struct pw_http_answer *answer)
{
    struct pw_callout *c = take(callout);
    struct callout_view view = {0};
    WEIR_ASSERT(kind_of(c) == CALLOUT_HTTP);
    /* A failed one has its maps too, without entries: a plugin that looks for ":status" finds none. */
    view_map(&view, PW_MAP_HTTP_CALL_HEADERS, answer ? answer->headers : NULL,
             answer ? answer->headers_count : 0);
    view_map(&view, PW_MAP_HTTP_CALL_TRAILERS, answer ? answer->trailers : NULL,
             answer ? answer->trailers_count : 0);
    if (answer) {
        view_buffer(&view, PW_BUFFER_HTTP_CALL_BODY, answer->body);
        deliver(c, GUEST_proxy_on_http_call_response, (uint32_t)answer->headers_count,
                (uint32_t)answer->body.len, (uint32_t)answer->trailers_count, 5, &view, true);
        return;
    }
    c->root->status_code = PW_STATUS_BROKEN_CONNECTION;
    c->root->status_message = SLICE_LIT("reset");
    deliver(c, GUEST_proxy_on_http_call_response, 0, 0, 0, 5, &view, true);
}

void pw_callout_grpc_initial_metadata(struct pw_callout *callout, const struct pw_pair *metadata,
                                      size_t count)
{
    struct callout_view view = {0};
    WEIR_ASSERT(kind_of(callout) == CALLOUT_GRPC_STREAM);
    view_map(&view, PW_MAP_GRPC_INITIAL_METADATA, metadata, count);
    deliver(callout, GUEST_proxy_on_grpc_receive_initial_metadata, (uint32_t)count, 0, 0, 3, &view, false);
}

void pw_callout_grpc_message(struct pw_callout *callout, struct pw_slice message)
{
    struct callout_view view = {0};
    WEIR_ASSERT(kind_of(callout) == CALLOUT_GRPC_STREAM);
    view_buffer(&view, PW_BUFFER_GRPC_MESSAGE, message);
    deliver(callout, GUEST_proxy_on_grpc_receive, (uint32_t)message.len, 0, 0, 3, &view, false);
}

void pw_callout_grpc_answer(struct pw_callout **callout, struct pw_slice message)
{
    struct pw_callout *c = take(callout);
    struct callout_view view = {0};
    WEIR_ASSERT(kind_of(c) == CALLOUT_GRPC_CALL);
    view_buffer(&view, PW_BUFFER_GRPC_MESSAGE, message);
    deliver(c, GUEST_proxy_on_grpc_receive, (uint32_t)message.len, 0, 0, 3, &view, true);
}

void pw_callout_grpc_trailing_metadata(struct pw_callout *callout, const struct pw_pair *metadata,
                                       size_t count)
{
    struct callout_view view = {0};
    WEIR_ASSERT(kind_of(callout) == CALLOUT_GRPC_STREAM);
    view_map(&view, PW_MAP_GRPC_TRAILING_METADATA, metadata, count);
    deliver(callout, GUEST_proxy_on_grpc_receive_trailing_metadata, (uint32_t)count, 0, 0, 3, &view, false);
}

void pw_callout_grpc_close(struct pw_callout **callout, uint32_t status, struct pw_slice message)
{
    struct pw_callout *c = take(callout);
    WEIR_ASSERT(kind_of(c) != CALLOUT_HTTP);
    c->root->status_code = status;
    c->root->status_message = slice_from_pw(message);
    deliver(c, GUEST_proxy_on_grpc_close, status, 0, 0, 3, NULL, true);
}

/* --- reading --- */

bool callout_map_open(const struct pw_vm *vm, uint32_t map)
{
    return vm->callouts.view && map <= PW_MAP_MAX && vm->callouts.view->maps_open & (1u << map);
}

const struct pw_pair *callout_map_pairs(const struct pw_vm *vm, enum pw_map map, size_t *count)
{
    WEIR_ASSERT(callout_map_open(vm, map));
    *count = vm->callouts.view->maps[map].count;
    return vm->callouts.view->maps[map].pairs;
}

bool callout_buffer(const struct pw_vm *vm, enum pw_buffer buffer, struct slice *bytes)
{
    const struct callout_view *view = vm->callouts.view;
    WEIR_ASSERT(buffer <= PW_BUFFER_GRPC_MESSAGE);
    if (!view || !(view->buffers_open & (1u << buffer)))
        return false;
    *bytes = view->buffers[buffer];
    return true;
}
