/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping parts of a message until their plugin has time again. It must never let a part pass that a plugin
 * which may not be left out has not seen, nor show one after a later one.
 */
#include "filters/wasm/wasm_share.h"

#include "base/assert.h"
#include "proxy/stream.h"

static struct wasm_seat *seat_of(const struct wasm_stream *st)
{
    return st->vm->seats[st->plugin->index_in_group];
}

static void offer(struct wasm_stream *st, enum wasm_direction d)
{
    struct wasm_later_part *part = &st->later->part[d];
    if (part->headers) {
        WEIR_ASSERT(d == WASM_RESPONSE);
        part->headers = false;
        filter_retry_response(st->filter);
    } else if (part->waits) {
        struct header_map *trailers = part->trailers;
        struct chain data;
        chain_init(&data);
        part->waits = false;
        part->trailers = NULL;
        if (chain_move(&data, &part->data, part->data.bytes))
            filter_offer(st->filter, d == WASM_RESPONSE, &data, trailers, part->end);
        else
            filter_reset_stream(st->filter, "filter_buffer_out_of_memory");
        chain_fini(&data);
    }
}

static bool anything_waits(const struct wasm_later *l)
{
    return l->part[WASM_REQUEST].waits || l->part[WASM_RESPONSE].waits || l->part[WASM_RESPONSE].headers;
}

static void arm(struct wasm_later *l)
{
    struct loop *loop = &l->st->vm->worker->loop;
    timer_set(loop, &l->timer, l->st->bypass ? 1 : wasm_seat_wait_ms(seat_of(l->st), loop->now_ms));
}

/* Whether it waited for as long as a plugin may hold a stream up. */
static bool waited_enough(const struct wasm_later *l)
{
    uint64_t max_ms = seat_of(l->st)->policy->pause_max_ms;
    return max_ms > 0 && l->st->vm->worker->loop.now_ms - l->since_ms >= max_ms;
}

static void fired(struct timer *timer)
{
    struct wasm_later *l = WEIR_CONTAINER_OF(timer, struct wasm_later, timer);
    struct wasm_stream *st = l->st;
    if (!st->failed && waited_enough(l)) {
        seat_of(st)->counts.pauses_ended++;
        wasm_stream_give_up(st);
    } else if (!st->failed && !wasm_seat_may_run(seat_of(st), st->vm->worker->loop.now_ms)) {
        arm(l);
        return;
    }
    if (st->failed && !st->bypass)
        return; /* answered with the failure */
    l->since_ms = st->vm->worker->loop.now_ms;
    if (!st->filter->destroyed)
        offer(st, WASM_REQUEST);
    if (!st->filter->destroyed)
        offer(st, WASM_RESPONSE);
}

/* Whether leaving the plugin out at this point leaves a whole message behind. */
static bool may_go_without(const struct wasm_stream *st, enum wasm_direction d)
{
    return wasm_vm_fails_open(st->vm, st->plugin) && !st->passed[d];
}

static struct wasm_later *later_of(struct wasm_stream *st)
{
    struct wasm_later *l = st->later;
    if (!l) {
        l = arena_calloc(&st->filter->stream->arena, 1, sizeof(*l));
        if (!l)
            return NULL;
        l->st = st;
        timer_init(&l->timer, fired);
        chain_init(&l->part[WASM_REQUEST].data);
        chain_init(&l->part[WASM_RESPONSE].data);
        st->later = l;
        seat_of(st)->counts.streams_delayed++;
    }
    if (!anything_waits(l))
        l->since_ms = st->vm->worker->loop.now_ms;
    return l;
}

/* NULL: the fallback is due. */
static struct wasm_later_part *wait_for(struct wasm_stream *st, enum wasm_direction d)
{
    if (st->later && st->later->part[d].waits)
        return &st->later->part[d];
    struct wasm_later *l = may_go_without(st, d) ? NULL : later_of(st);
    if (!l)
        return NULL;
    if (!timer_active(&l->timer))
        arm(l);
    return &l->part[d];
}

bool wasm_share_later_headers(struct wasm_stream *st)
{
    struct wasm_later_part *part = wait_for(st, WASM_RESPONSE);
    if (part)
        part->headers = true;
    return part;
}

bool wasm_share_later_data(struct wasm_stream *st, enum wasm_direction d, struct chain *data, bool end)
{
    struct wasm_later_part *part = wait_for(st, d);
    if (!part || !chain_move(&part->data, data, data->bytes))
        return false;
    part->waits = true;
    part->end = end;
    return true;
}

bool wasm_share_later_trailers(struct wasm_stream *st, enum wasm_direction d, struct header_map *map)
{
    struct wasm_later_part *part = wait_for(st, d);
    if (!part)
        return false;
    part->waits = true;
    part->end = true;
    part->trailers = map;
    return true;
}

void wasm_share_bypass(struct wasm_stream *st)
{
    if (st->later && anything_waits(st->later))
        arm(st->later);
}

void wasm_share_drop(struct wasm_stream *st)
{
    if (!st->later)
        return;
    timer_stop(&st->vm->worker->loop, &st->later->timer);
    chain_fini(&st->later->part[WASM_REQUEST].data);
    chain_fini(&st->later->part[WASM_RESPONSE].data);
}
