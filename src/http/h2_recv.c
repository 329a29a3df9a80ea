/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input of the HTTP/2 codec: bytes to the library, then the events that are due, stream by stream and in the
 * order of each one's message. Window is given back as an owner takes bytes, never before.
 */
#include "http/h2_codec.h"

#include "base/assert.h"

/* Bytes that the owner has taken; while the stream is paused they count as held. */
static void consume(struct h2_codec *c, struct h2_stream *st, size_t n)
{
    if (st->paused && !st->over) {
        st->unconsumed += n;
        return;
    }
    n += st->unconsumed;
    st->unconsumed = 0;
    if (n > 0)
        (void)nghttp2_session_consume(c->session, st->id, n);
}

static bool alive(const struct h2_stream *st)
{
    return !st->abandoned && !st->error;
}

static void tell_headers(struct h2_codec *c, struct h2_stream *st)
{
    bool end = st->recv_ended && chain_empty(&st->recv) && !st->trailers;
    st->headers_due = false;
    st->end_told = end;
    c->base.events->headers(&st->base, st->headers, end);
}

static void tell_data(struct h2_codec *c, struct h2_stream *st)
{
    size_t n = st->recv.bytes;
    bool end = st->recv_ended && !st->trailers;
    if (n == 0 && !end)
        return;
    st->end_told = end;
    c->base.events->data(&st->base, &st->recv, end);
    chain_clear(&st->recv);
    consume(c, st, n);
}

static void tell_body(struct h2_codec *c, struct h2_stream *st)
{
    if (alive(st) && st->headers_due)
        tell_headers(c, st);
    if (alive(st) && !st->paused && st->final_received && !st->end_told)
        tell_data(c, st);
    if (alive(st) && !st->paused && st->recv_ended && !st->end_told && chain_empty(&st->recv)) {
        st->end_told = true;
        c->base.events->trailers(&st->base, st->trailers);
    }
    if (alive(st) && st->drained_due) {
        st->drained_due = false;
        if (!st->base.blocked)
            c->base.events->drained(&st->base);
    }
}

/* The last event, and the end of the object. */
static void tell_end(struct h2_codec *c, struct h2_stream *st)
{
    bool told = st->abandoned;
    if (!told && !st->error && !st->end_told)
        return; /* paused: its last bytes come first */
    /* Nothing that the owner does now may find it on the list. */
    list_remove(&st->due);
    if (!told) {
        st->abandoned = true;
        if (st->error)
            c->base.events->reset(&st->base, st->error);
        else
            c->base.events->closed(&st->base);
    }
    st->paused = false;
    consume(c, st, st->recv.bytes);
    h2_stream_free(c, st);
}

static void tell(struct h2_codec *c)
{
    c->due_now = false;
    while (!list_empty(&c->due)) {
        struct h2_stream *st = list_first(&c->due, struct h2_stream, due);
        list_remove(&st->due);
        if (st->unconsumed && !st->paused)
            consume(c, st, 0);
        tell_body(c, st);
        if (st->error && !st->over && !st->abandoned) {
            /* We have refused it; the library closes it once it has said so. */
            st->abandoned = true;
            c->base.events->reset(&st->base, st->error);
        }
        if (st->over)
            tell_end(c, st);
    }
}

/* Every stream ends; the connection takes no more. The library must not come back to a stream object: it may
 * send nothing of streams any more, and it knows no object of theirs. */
static const struct http_error *fail(struct h2_codec *c, const struct http_error *error)
{
    c->dead = true;
    c->current = NULL;
    (void)nghttp2_session_terminate_session(c->session,
                                            c->error_code ? c->error_code : NGHTTP2_INTERNAL_ERROR);
    while (!list_empty(&c->streams)) {
        struct h2_stream *st = list_first(&c->streams, struct h2_stream, node);
        bool told = st->abandoned;
        st->over = true;
        st->abandoned = true;
        if (!told)
            c->base.events->reset(&st->base, st->error ? st->error : error);
        (void)nghttp2_session_set_stream_user_data(c->session, st->id, NULL);
        h2_stream_free(c, st);
    }
    return error;
}

static const struct http_error *library_error(const struct h2_codec *c, ssize_t rc)
{
    if (rc == NGHTTP2_ERR_FLOODED) { /* answers to PING and SETTINGS */
        stat_inc(c->settings.stats->outbound_control_flood);
        return &http_error_h2_control_frames;
    }
    return rc == NGHTTP2_ERR_NOMEM || rc == NGHTTP2_ERR_CALLBACK_FAILURE ? &http_error_out_of_memory
                                                                         : &http_error_h2_protocol;
}

/* One part of the input. */
static void feed(struct h2_codec *c, struct chain *in)
{
    struct slice front = chain_front(in);
    size_t n = h2_scan(c, front);
    c->feed = chain_front_block(in);
    c->in_library = true;
    ssize_t rc =
        c->error ? NGHTTP2_ERR_PROTO : nghttp2_session_mem_recv(c->session, (const uint8_t *)front.ptr, n);
    if (rc < 0 && !c->error)
        c->error = library_error(c, rc);
    if (rc < 0)
        (void)nghttp2_session_terminate_session(c->session,
                                                c->error_code ? c->error_code : NGHTTP2_PROTOCOL_ERROR);
    c->in_library = false;
    c->feed = NULL;
    chain_drain(in, n);
}

const struct http_error *h2_recv(struct http_codec *codec, struct chain *in)
{
    struct h2_codec *c = h2_of(codec);
    WEIR_ASSERT(!c->receiving && !c->in_library);
    c->receiving = true;
    tell(c); /* what pausing held back */
    while (!chain_empty(in) && !c->error && !c->dead && !(c->server && codec->hold)) {
        feed(c, in);
        if (c->due_now) /* the frames of one body in all this input are one event */
            tell(c);
    }
    tell(c);
    for (;;) {
        h2_pump(c);
        if (list_empty(&c->due))
            break;
        tell(c);
    }
    const struct http_error *error = NULL;
    if (c->error && !c->dead) {
        error = fail(c, c->error);
        h2_pump(c);
    }
    if (c->dead)
        chain_clear(in);
    c->receiving = false;
    return error;
}

const struct http_error *h2_recv_eof(struct http_codec *codec)
{
    struct h2_codec *c = h2_of(codec);
    const struct http_error *error = NULL;
    WEIR_ASSERT(!c->receiving && !c->in_library);
    c->receiving = true;
    tell(c);
    if (!c->dead)
        error = fail(c, c->server ? &http_error_peer_closed : &http_error_server_closed);
    c->receiving = false;
    return error;
}
