/* SPDX-License-Identifier: Apache-2.0 */
/*
 * then.c: calls whose answer has a function. It keeps a call's context by id only, so an answer never reaches
 * a context that is gone.
 */
#include "vm.h"
#include <stdlib.h>
#include <wsdk/host.h>

/* Entered before the call is made: the host may answer as soon as this callback has returned. */
static struct wsdk_wait *wait_add(struct wsdk_context *ctx, void *data)
{
    struct wsdk_wait *wait = calloc(1, sizeof(*wait));
    if (wait == NULL)
        return NULL;
    wait->context = ctx->id;
    wait->data = data;
    return wait;
}

/* Keeps it when the call was made. */
static enum wsdk_status wait_end(struct wsdk_context *ctx, struct wsdk_wait *wait, enum wsdk_status status)
{
    if (status != WSDK_OK) {
        free(wait);
        return status;
    }
    wait->next = ctx->vm->waits;
    ctx->vm->waits = wait;
    return WSDK_OK;
}

static struct wsdk_wait *wait_take(struct wsdk_vm *vm, uint32_t call)
{
    for (struct wsdk_wait **link = &vm->waits; *link != NULL; link = &(*link)->next) {
        struct wsdk_wait *wait = *link;
        if (wait->call == call) {
            *link = wait->next;
            return wait;
        }
    }
    return NULL;
}

/* The context that asked, made the effective one; NULL: it is gone. */
static struct wsdk_context *wait_context(struct wsdk_context *root, const struct wsdk_wait *wait)
{
    struct wsdk_context *ctx = wsdk_find(root, wait->context);
    if (ctx != NULL && ctx != root && wsdk_effective(root, ctx) != WSDK_OK)
        return NULL;
    return ctx;
}

enum wsdk_status wsdk_http_call_then(struct wsdk_context *ctx, const struct wsdk_http_request *request,
                                     wsdk_http_answer_fn then, void *data)
{
    struct wsdk_wait *wait = wait_add(ctx, data);
    if (wait == NULL)
        return WSDK_INTERNAL_FAILURE;
    wait->then.http = then;
    return wait_end(ctx, wait, wsdk_http_call(ctx, request, &wait->call));
}

static uint32_t answer_status(struct wsdk_context *root)
{
    struct wsdk_bytes text;
    uint32_t status = 0;
    if (wsdk_header_get(root, WSDK_CALL_RESPONSE_HEADERS, WSDK_STR(":status"), &text) != WSDK_OK)
        return 0;
    for (size_t i = 0; i < text.len && i < 3; i++)
        status = status * 10 + (uint32_t)(text.data[i] - '0');
    return status;
}

bool wsdk_http_take(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                    size_t trailer_count)
{
    struct wsdk_wait *wait = wait_take(root->vm, call);
    if (wait == NULL)
        return false;
    const struct wsdk_http_answer answer = {.call = call,
                                            .status = header_count == 0 ? 0 : answer_status(root),
                                            .header_count = header_count,
                                            .bytes = bytes,
                                            .trailer_count = trailer_count};
    struct wsdk_context *ctx = wait_context(root, wait);
    if (ctx != NULL)
        wait->then.http(ctx, &answer, wait->data);
    free(wait);
    return true;
}

void wsdk_on_http_call_response(struct wsdk_context *root, uint32_t call, size_t header_count, size_t bytes,
                                size_t trailer_count)
{
    wsdk_http_take(root, call, header_count, bytes, trailer_count);
}

enum wsdk_status wsdk_grpc_call_then(struct wsdk_context *ctx, const struct wsdk_grpc_request *request,
                                     wsdk_grpc_answer_fn then, void *data)
{
    struct wsdk_wait *wait = wait_add(ctx, data);
    if (wait == NULL)
        return WSDK_INTERNAL_FAILURE;
    wait->then.grpc = then;
    return wait_end(ctx, wait, wsdk_grpc_call(ctx, request, &wait->call));
}

bool wsdk_grpc_take(struct wsdk_context *root, uint32_t call, uint32_t grpc_status, size_t bytes)
{
    struct wsdk_wait *wait = wait_take(root->vm, call);
    if (wait == NULL)
        return false;
    const struct wsdk_grpc_answer answer = {.call = call, .status = grpc_status, .bytes = bytes};
    struct wsdk_context *ctx = wait_context(root, wait);
    if (ctx != NULL)
        wait->then.grpc(ctx, &answer, wait->data);
    free(wait);
    return true;
}

void wsdk_on_grpc_receive(struct wsdk_context *root, uint32_t call, size_t bytes)
{
    wsdk_grpc_take(root, call, 0, bytes);
}

void wsdk_on_grpc_close(struct wsdk_context *root, uint32_t call, uint32_t grpc_status)
{
    wsdk_grpc_take(root, call, grpc_status, 0);
}
