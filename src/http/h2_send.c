/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending: heads are given to the library at once (which copies them), bodies wait in the stream until the
 * library asks for what the peer's window allows. Body bytes are moved to the output by reference.
 */
#include "http/h2_codec.h"

#include "base/assert.h"
#include "http/limits.h"
#include "http/status.h"

#include <stdlib.h>

#define FRAME_HEAD_BYTES 9u

/* --- To the output --- */

/* The head of a DATA frame often stands between pieces that are passed by reference: a block for each would
 * be a thousand times what the head takes. Such heads of one pump lie in a block together. */
static bool append_head(struct h2_codec *c, const uint8_t *head, size_t length)
{
    struct block *b = c->heads;
    size_t room;
    (void)chain_tail_space(c->base.out, &room);
    if (length <= H1_COPY_BYTES_MAX || room >= FRAME_HEAD_BYTES)
        return chain_append_copy(c->base.out, c->base.blocks, slice_of(head, FRAME_HEAD_BYTES));
    if (!b || b->cap - b->used < FRAME_HEAD_BYTES) {
        block_unref(&c->heads);
        b = c->heads = block_get(c->base.blocks);
        if (!b)
            return false;
    }
    char *at = b->data + b->used;
    memcpy(at, head, FRAME_HEAD_BYTES);
    b->used += FRAME_HEAD_BYTES;
    return chain_append_block(c->base.out, b, slice_of(at, FRAME_HEAD_BYTES));
}

void h2_pump(struct h2_codec *c)
{
    if (c->in_library || !c->session)
        return;
    c->in_library = true;
    for (;;) {
        const uint8_t *bytes = NULL;
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        if (n <= 0) {
            if (n < 0 && !c->error)
                c->error = &http_error_out_of_memory;
            break;
        }
        if (!chain_append_copy(c->base.out, c->base.blocks, slice_of(bytes, (size_t)n))) {
            c->error = &http_error_out_of_memory;
            break;
        }
        c->appended += (size_t)n;
    }
    block_unref(&c->heads);
    c->in_library = false;
}

/* How many bytes of a stream may wait. */
static size_t room_of(const struct h2_codec *c)
{
    return c->send_bytes > H2_SEND_TOTAL_BYTES ? H2_SEND_SMALL_BYTES : H2_SEND_STREAM_BYTES;
}

void h2_trailers_drop(struct h2_stream *st)
{
    if (st->trailers_copied)
        free((void *)(uintptr_t)st->trailers_out);
    st->trailers_out = NULL;
    st->trailers_copied = false;
}

/* False: none of them goes on, the body's end is the message's. */
static bool submit_trailers(struct h2_codec *c, struct h2_stream *st)
{
    size_t n = h2_message_fields(c, st, st->trailers_out, false);
    if (n > 0 && nghttp2_submit_trailer(c->session, st->id, c->nva, n) != 0)
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_INTERNAL_ERROR);
    st->trailers_submitted = true;
    h2_trailers_drop(st);
    return n > 0;
}

ssize_t h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                     nghttp2_data_source *source, void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st = source->ptr;
    (void)session;
    (void)id;
    (void)buf;
    size_t n = st->send.bytes < length ? st->send.bytes : length;
    if (n == 0 && !st->send_ended) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < st->send.bytes || !st->send_ended)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->trailers_out && submit_trailers(c, st))
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return (ssize_t)n;
}

int h2_write_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
                  nghttp2_data_source *source, void *user)
{
    struct h2_codec *c = user;
    struct h2_stream *st = source->ptr;
    (void)session;
    (void)frame;
    WEIR_ASSERT(length > 0 && length <= st->send.bytes);
    bool ok = append_head(c, head, length);
    size_t left = length;
    while (ok && left > 0) {
        struct slice front = chain_front(&st->send);
        if (front.len > left)
            front.len = left;
        if (front.len <= H1_COPY_BYTES_MAX) {
            ok = chain_append_copy(c->base.out, c->base.blocks, front);
            chain_drain(&st->send, front.len);
        } else {
            ok = chain_move(c->base.out, &st->send, front.len);
        }
        left -= front.len;
    }
    c->appended += FRAME_HEAD_BYTES + length;
    c->send_bytes -= length - left;
    c->data_frames_sent++;
    if (st->base.blocked && st->send.bytes <= room_of(c) / 2) {
        st->base.blocked = false;
        st->drained_due = true;
        h2_stream_due(c, st);
    }
    return ok ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* --- Heads --- */

bool h2_submit_fields(struct h2_codec *c, struct h2_stream *st, size_t n, bool end)
{
    nghttp2_data_provider body = {.source = {.ptr = st}, .read_callback = h2_read_body};
    nghttp2_data_provider *provider = end ? NULL : &body;
    if (c->server)
        return nghttp2_submit_response(c->session, st->id, c->nva, n, provider) == 0;
    st->id = nghttp2_submit_request(c->session, NULL, c->nva, n, provider, st);
    return st->id > 0;
}

/* content-length is sent only when it is one number, the same for all of them, and then holds the sender. */
static bool one_length(const struct header_map *m, uint64_t *length)
{
    uint32_t cursor = 0;
    uint64_t other;
    if (!slice_parse_u64(header_map_get_id(m, HDR_CONTENT_LENGTH), length))
        return false;
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;) {
        if (h->id == HDR_CONTENT_LENGTH && (!slice_parse_u64(h->value, &other) || other != *length))
            return false;
    }
    return true;
}

static void decide_length(struct h2_stream *st, const struct header_map *m, unsigned status, bool end)
{
    uint64_t length = 0;
    st->no_body = status != 0 && !st->base.upgraded && (st->head_request || status_bodiless(status));
    st->passes_length = false;
    st->holds_length = false;
    if (!header_map_has_id(m, HDR_CONTENT_LENGTH) || !one_length(m, &length) || st->base.upgraded)
        return;
    if (st->no_body) {
        st->passes_length = status != 204;
        return;
    }
    st->passes_length = !end || length == 0;
    st->holds_length = st->passes_length && !st->connect;
    st->send_left = length;
}

/* A sender that broke its word: the peer must not take what it has for the whole. */
static const struct http_error *send_fail(struct h2_codec *c, struct h2_stream *st,
                                          const struct http_error *error)
{
    st->send_ended = true;
    st->error = error;
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_INTERNAL_ERROR);
    return error;
}

const struct http_error *h2_send_headers(struct codec_stream *s, const struct header_map *m, bool end)
{
    struct h2_codec *c = h2_of(s->codec);
    struct h2_stream *st = h2_stream_of(s);
    if (st->over || st->head_sent || st->abandoned)
        return &http_error_send_out_of_order;
    unsigned status = 0;
    if (c->server) {
        status = status_parse(header_map_get_id(m, HDR_STATUS));
        if (status < 200 && !(status == 101 && st->extended))
            return &http_error_bad_outgoing_head;
        s->upgraded = st->connect && (status == 101 || (status >= 200 && status < 300));
    }
    decide_length(st, m, status, end);
    size_t n = h2_message_fields(c, st, m, true);
    if (n == 0)
        return &http_error_bad_outgoing_head;
    if (!h2_submit_fields(c, st, n, end))
        return &http_error_send_out_of_order;
    st->head_sent = true;
    if (end)
        st->send_ended = true;
    return NULL;
}

const struct http_error *h2_send_informational(struct codec_stream *s, const struct header_map *m)
{
    struct h2_codec *c = h2_of(s->codec);
    struct h2_stream *st = h2_stream_of(s);
    unsigned status = status_parse(header_map_get_id(m, HDR_STATUS));
    if (!c->server || st->over || st->head_sent || st->abandoned)
        return &http_error_send_out_of_order;
    if (status < 100 || status > 199 || status == 101)
        return &http_error_bad_outgoing_head;
    st->passes_length = false;
    size_t n = h2_message_fields(c, st, m, true);
    if (n == 0)
        return &http_error_bad_outgoing_head;
    if (nghttp2_submit_headers(c->session, NGHTTP2_FLAG_NONE, st->id, NULL, c->nva, n, NULL) != 0)
        return &http_error_send_out_of_order;
    return NULL;
}

/* --- Bodies --- */

static void resume(struct h2_codec *c, struct h2_stream *st)
{
    if (!st->deferred)
        return;
    st->deferred = false;
    (void)nghttp2_session_resume_data(c->session, st->id);
}

const struct http_error *h2_send_data(struct codec_stream *s, struct chain *data, bool end)
{
    struct h2_codec *c = h2_of(s->codec);
    struct h2_stream *st = h2_stream_of(s);
    size_t n = data->bytes;
    if (st->over || !st->head_sent || st->send_ended || st->abandoned) {
        chain_clear(data);
        return &http_error_send_out_of_order;
    }
    if (st->no_body) {
        chain_clear(data);
        n = 0;
    }
    if (st->holds_length && (n > st->send_left || (end && n < st->send_left))) {
        chain_clear(data);
        return send_fail(c, st, n > st->send_left ? &http_error_body_too_long : &http_error_body_too_short);
    }
    st->send_left -= st->holds_length ? n : 0;
    size_t before = st->send.bytes;
    bool moved = chain_move(&st->send, data, n);
    c->send_bytes += st->send.bytes - before;
    if (!moved) {
        chain_clear(data);
        return send_fail(c, st, &http_error_out_of_memory);
    }
    if (end)
        st->send_ended = true;
    if (n > 0 || end)
        resume(c, st);
    if (WEIR_UNLIKELY(st->send.bytes > room_of(c)) && !end) {
        h2_pump(c);
        s->blocked = st->send.bytes > room_of(c);
    }
    return NULL;
}

/* The map lives only as long as its owner's stream. */
static bool keep_trailers(struct h2_stream *st)
{
    const struct header_map *from = st->trailers_out;
    size_t text = from->bytes, items = (size_t)from->count * sizeof(struct header);
    char *memory = malloc(sizeof(struct header_map) + items + text);
    if (!memory)
        return false;
    struct header_map *m = (struct header_map *)memory;
    *m = *from;
    m->arena = NULL;
    m->items = (struct header *)(memory + sizeof(*m));
    m->used = m->cap = m->count = 0;
    char *p = memory + sizeof(*m) + items;
    uint32_t cursor = 0;
    for (const struct header *h; (h = header_map_next(from, &cursor)) != NULL;) {
        struct header *to = &m->items[m->used++];
        *to = *h;
        memcpy(p, h->name.ptr, h->name.len);
        to->name.ptr = p;
        p += h->name.len;
        if (h->value.len)
            memcpy(p, h->value.ptr, h->value.len);
        to->value.ptr = p;
        p += h->value.len;
    }
    m->count = m->used;
    st->trailers_out = m;
    st->trailers_copied = true;
    return true;
}

const struct http_error *h2_send_trailers(struct codec_stream *s, const struct header_map *m)
{
    struct h2_codec *c = h2_of(s->codec);
    struct h2_stream *st = h2_stream_of(s);
    if (st->over || !st->head_sent || st->send_ended || st->abandoned)
        return &http_error_send_out_of_order;
    if (st->holds_length && st->send_left > 0)
        return send_fail(c, st, &http_error_body_too_short);
    if (m->count == 0) {
        struct chain none;
        chain_init(&none);
        return h2_send_data(s, &none, true);
    }
    st->trailers_out = m;
    st->send_ended = true;
    resume(c, st);
    h2_pump(c);
    if (!st->trailers_submitted && !keep_trailers(st)) {
        st->trailers_out = NULL;
        return send_fail(c, st, &http_error_out_of_memory);
    }
    return NULL;
}
