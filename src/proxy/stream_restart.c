/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream that begins anew with another request (an internal redirect): what the filters made of the first
 * one ends as if it had been answered, and a new chain gets the second. Only at the turn's end, when nobody
 * who asked for it is on the stack.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "proxy/routing/route.h"
#include "proxy/stream_private.h"
#include "upstream/host.h"

struct stream_restart {
    struct turn_task task;
    struct stream *stream;
    struct header_map *headers;
    struct header_map *trailers;
    struct chain body;
    unsigned status;
};

/* What one pass through the filters left behind. The response side may still be held back by the client. */
static void clear_side(struct fm_side *side)
{
    chain_clear(&side->buffer);
    side->has_buffer = false;
    side->streaming = false;
    side->ended = false;
    side->aborted = false;
    side->cut = 0;
}

static void clear_upstream_info(struct stream_info *info)
{
    host_unref(&info->upstream_host);
    info->upstream_remote = (struct address){0};
    info->upstream_local = (struct address){0};
    info->upstream_peer = NULL;
    info->upstream_connection_id = 0;
    info->upstream_attempts = 0;
    info->upstream_request_start_ns = 0;
    info->upstream_response_start_ns = 0;
    info->upstream_failure_reason = SLICE_EMPTY;
    info->cluster_name = SLICE_EMPTY;
    info->response_code = 0;
    info->details = SLICE_EMPTY;
    info->flags = 0;
}

static void end_pass(struct stream *s, unsigned status)
{
    const struct hcm_config *hcm = s->hcm;
    s->info.response_code = (uint16_t)status;
    s->info.details = SLICE_LIT("internal_redirect");
    s->info.end_ns = monotonic_ns();
    filters_complete(&s->priv->chain);
    for (size_t i = 0; i < hcm->access_logs_count; i++)
        hcm->access_logs[i]->write(hcm->access_logs[i], s);
    filters_destroy(&s->priv->chain);
    filter_state_end_pass(&s->filter_state);
    s->info.metadata = NULL;
    s->override = NULL;
    s->priv->chain.filters = NULL;
    s->priv->chain.count = 0;
    filters_hold_request(&s->priv->chain, HOLD_FILTER_BUFFER, false);
    filters_hold_request(&s->priv->chain, HOLD_ROUTER, false);
    filters_hold_response(&s->priv->chain, HOLD_FILTER_BUFFER, false);
    clear_side(&s->priv->chain.request);
    clear_side(&s->priv->chain.response);
    clear_upstream_info(&s->info);
    s->info.end_ns = 0;
}

static void restart_now(struct stream *s, struct stream_restart *r)
{
    s->request_headers = r->headers; /* Envoy's first log line has the new ones already */
    end_pass(s, r->status);
    s->request_trailers = NULL;
    s->response_headers = NULL;
    s->response_trailers = NULL;
    s->route_matched = false;
    s->is_head = slice_eq(header_map_get_id(r->headers, HDR_METHOD), SLICE_LIT("HEAD"));
    if (!stream_request_path(s))
        return;
    if (!stream_request_filters(s))
        return;
    filters_request_headers(&s->priv->chain, chain_empty(&r->body) && !r->trailers);
    if (!chain_empty(&r->body) && !s->destroyed)
        filters_request_data(&s->priv->chain, &r->body, !r->trailers);
    s->request_trailers = r->trailers;
    if (r->trailers && !s->destroyed)
        filters_request_trailers(&s->priv->chain);
}

static void run(struct turn_task *task)
{
    struct stream_restart *r = WEIR_CONTAINER_OF(task, struct stream_restart, task);
    struct stream *s = r->stream;
    WEIR_ASSERT(s->priv->restart == r && s->request_complete && !s->destroyed && s->priv->callbacks == 0);
    s->priv->restart = NULL;
    if (!s->response_started && !s->local_reply_sent) /* a time limit may have answered meanwhile */
        restart_now(s, r);
    chain_fini(&r->body);
}

bool stream_restart(struct stream *s, struct header_map *headers, struct header_map *trailers,
                    struct chain *body, unsigned status)
{
    struct stream_restart *r = s->priv->restart ? NULL : ARENA_NEW(&s->arena, struct stream_restart);
    if (!r)
        return false;
    *r = (struct stream_restart){.stream = s, .headers = headers, .trailers = trailers, .status = status};
    chain_init(&r->body);
    if (!chain_move(&r->body, body, body->bytes)) {
        chain_fini(&r->body);
        return false;
    }
    turn_task_init(&r->task, run);
    s->priv->restart = r;
    loop_at_turn_end(&s->worker->loop, &r->task);
    return true;
}

void stream_restart_cancel(struct stream *s)
{
    struct stream_restart *r = s->priv->restart;
    s->priv->restart = NULL;
    list_remove(&r->task.node);
    chain_fini(&r->body);
}
