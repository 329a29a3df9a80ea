/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reset_high_memory_stream: which streams of a worker keep the most bytes waiting, and their end. Bytes are
 * counted when the action acts, by looking at every stream; requests never keep an account.
 */
#include "proxy/downstream.h"
#include "proxy/overload/overload.h"
#include "proxy/stream_private.h"
#include "telemetry/log.h"

static uint32_t minimum_power; /* 0: off */
static stat_id reset_count;

struct candidate {
    struct stream *stream;
    uint64_t bytes;
};

struct search {
    uint64_t bytes_min;
    uint32_t count;
    struct candidate found[OVERLOAD_STREAMS_RESET_MAX];
};

void overload_track_streams(uint32_t power, stat_id count)
{
    minimum_power = power;
    reset_count = count;
}

/* All that waits on behalf of the stream: in its filters, in the codecs, in the router. Over HTTP/1 a stream
 * has its connection for itself. */
static uint64_t held_bytes(const struct stream *s)
{
    const struct downstream *d = s->downstream;
    uint64_t bytes = s->priv->chain.request.buffer.bytes + s->priv->chain.response.buffer.bytes;
    if (s->codec)
        bytes += codec_stream_held(s->codec);
    if (!downstream_is_h2(d) && d->conn)
        bytes += d->conn->in.bytes + d->conn->out.bytes + d->conn->sealed_bytes;
    for (uint16_t i = 0; i < s->priv->chain.count; i++) {
        const struct filter *f = &s->priv->chain.filters[i];
        if (f->ops->held_bytes && !f->destroyed)
            bytes += f->ops->held_bytes(f);
    }
    return bytes;
}

/* Keeps the largest that were seen. */
static void consider(struct search *at, struct stream *s)
{
    struct candidate one = {.stream = s, .bytes = held_bytes(s)};
    if (one.bytes < at->bytes_min)
        return;
    if (at->count < OVERLOAD_STREAMS_RESET_MAX) {
        at->found[at->count++] = one;
        return;
    }
    struct candidate *least = &at->found[0];
    for (uint32_t i = 1; i < at->count; i++)
        least = at->found[i].bytes < least->bytes ? &at->found[i] : least;
    if (one.bytes > least->bytes)
        *least = one;
}

static void search_connection(struct search *at, struct downstream *d)
{
    struct list *node, *next;
    list_for_each(node, next, &d->streams)
    {
        struct stream *s = list_entry(node, struct stream_private, node)->stream;
        if (!s->destroyed && s->codec)
            consider(at, s);
    }
}

/* Envoy's: how many of the classes, from the highest on. */
static uint64_t bytes_from(uint32_t scale)
{
    uint32_t classes = scale * OVERLOAD_STREAM_CLASSES / OVERLOAD_FULL + 1;
    uint32_t lowest = classes < OVERLOAD_STREAM_CLASSES ? OVERLOAD_STREAM_CLASSES - classes : 0;
    return UINT64_C(1) << (minimum_power - 1 + lowest);
}

void overload_reset_streams(struct worker *w)
{
    uint32_t scale = atomic_load_explicit(&overload_scales[OVERLOAD_RESET_STREAMS], memory_order_relaxed);
    if (scale == 0 || minimum_power == 0)
        return;
    struct search at = {.bytes_min = bytes_from(scale)};
    struct list *listener_at, *listener_next, *node, *next;
    list_for_each(listener_at, listener_next, &w->listeners)
    {
        struct listener *l =
            list_entry(list_entry(listener_at, struct worker_listener, node), struct listener, base);
        if (l->config->bypass_overload)
            continue;
        list_for_each(node, next, &l->connections)
            search_connection(&at, list_entry(node, struct downstream, node));
    }
    /* Streams and connections are freed at the turn's end: ending one of them takes no other away. */
    for (uint32_t i = 0; i < at.count; i++) {
        struct stream *s = at.found[i].stream;
        codec_stream_reset(s->codec, NULL);
        s->priv->codec_reset = true;
        stat_inc(s->hcm->stats.downstream_rq_rx_reset); /* as Envoy */
        stream_reset(s, "overload", RESPONSE_FLAG(OVERLOAD_MANAGER));
        downstream_flush(s->downstream);
    }
    stat_add(reset_count, at.count);
    if (at.count)
        log_write(HTTP, WARN, "overload: worker %u reset %u streams that held %llu bytes or more", w->index,
                  at.count, (unsigned long long)at.bytes_min);
}
