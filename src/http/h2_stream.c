/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream objects of the HTTP/2 codec, and the list of those for which something is due. An object is freed
 * when the library has closed the stream and its owner has heard of it, never from inside an event.
 */
#include "http/h2_codec.h"

#include "base/assert.h"
#include "http/limits.h"

#include <stdlib.h>

struct h2_stream *h2_stream_new(struct h2_codec *c)
{
    struct h2_stream *st;
    if (c->idle_count > 0) {
        st = list_first(&c->idle, struct h2_stream, node);
        list_remove(&st->node);
        c->idle_count--;
        memset(st, 0, sizeof(*st));
    } else {
        st = calloc(1, sizeof(*st));
        if (!st)
            return NULL;
    }
    st->base.codec = &c->base;
    st->base.protocol = HTTP_2;
    st->id = -1;
    list_init(&st->due);
    chain_init(&st->recv);
    chain_init(&st->send);
    list_push_back(&c->streams, &st->node);
    c->count++;
    c->opened++;
    stat_inc(c->settings.stats->streams_active);
    return st;
}

void h2_stream_free(struct h2_codec *c, struct h2_stream *st)
{
    WEIR_ASSERT(c->count > 0 && c->current != st);
    list_remove(&st->node);
    list_remove(&st->due);
    c->count--;
    c->send_bytes -= st->send.bytes;
    chain_fini(&st->recv);
    chain_fini(&st->send);
    h2_trailers_drop(st);
    stat_dec(c->settings.stats->streams_active);
    if (c->idle_count < H2_STREAMS_IDLE_MAX) {
        list_push_front(&c->idle, &st->node);
        c->idle_count++;
    } else {
        free(st);
    }
}

void h2_stream_due_body(struct h2_codec *c, struct h2_stream *st)
{
    if (list_empty(&st->due))
        list_push_back(&c->due, &st->due);
}

void h2_stream_due(struct h2_codec *c, struct h2_stream *st)
{
    c->due_now = true;
    h2_stream_due_body(c, st);
}

void h2_streams_fini(struct h2_codec *c)
{
    while (!list_empty(&c->streams))
        h2_stream_free(c, list_first(&c->streams, struct h2_stream, node));
    while (!list_empty(&c->idle)) {
        struct h2_stream *st = list_first(&c->idle, struct h2_stream, node);
        list_remove(&st->node);
        free(st);
    }
}
