/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending bodies and trailers: the state behind a head. A sender that does not keep to its content-length
 * never spills into the next message: its message is cut and the connection ends.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/limits.h"

/* "ffffffffffffffff" CRLF */
#define CHUNK_HEAD_BYTES 18u
/* CRLF "0" CRLF CRLF */
#define CHUNK_END_BYTES 7u

char *h1_room(struct h1_codec *c, size_t len)
{
    struct block *b = c->frames;
    size_t room;
    if (b && b->cap - b->used >= len)
        return b->data + b->used;
    block_unref(&c->frames);
    /* Answers to pipelined requests share a block. */
    char *tail = chain_tail_space(c->base.out, &room);
    if (room >= len)
        return tail;
    b = len <= BLOCK_BYTES ? block_get(c->base.blocks) : block_create(len);
    c->frames = b;
    return b ? b->data : NULL;
}

bool h1_room_put(struct h1_codec *c, size_t n)
{
    struct block *b = c->frames;
    if (!b) {
        chain_tail_commit(c->base.out, n);
        return true;
    }
    WEIR_ASSERT(b->cap - b->used >= n);
    char *start = b->data + b->used;
    b->used += (uint32_t)n;
    return chain_append_block(c->base.out, b, slice_of(start, n));
}

void h1_send_finish(struct h1_codec *c)
{
    c->send = H1_SEND_DONE;
    block_unref(&c->frames);
}

const struct http_error *h1_send_fail(struct h1_codec *c, const struct http_error *error)
{
    WEIR_ASSERT(error && c->open && c->send != H1_SEND_DONE);
    c->close_after = true;
    c->send_error = error;
    h1_send_finish(c);
    return error;
}

void h1_send_begin(struct h1_codec *c, enum h1_send_state body, uint64_t length, bool end)
{
    WEIR_ASSERT(c->send == H1_SEND_HEAD && body > H1_SEND_HEAD && body < H1_SEND_DONE);
    c->send = body;
    c->send_left = length;
    if (end)
        h1_send_finish(c);
}

static char *put_hex(char *p, uint64_t n)
{
    int shift = 60;
    while (shift > 0 && (n >> shift) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *p++ = "0123456789abcdef"[(n >> shift) & 15];
    return p;
}

static char *put_text(char *p, struct slice s)
{
    memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static char *put_chunk_head(char *p, uint64_t n)
{
    return put_text(put_hex(p, n), SLICE_LIT("\r\n"));
}

/* What follows a chunk, or the body. */
static char *put_chunk_end(char *p, bool data, bool end)
{
    if (data)
        p = put_text(p, SLICE_LIT("\r\n"));
    return end ? put_text(p, SLICE_LIT("0\r\n\r\n")) : p;
}

/* Moves the bytes to the output; few are copied behind what was written last. */
static bool put_plain(struct h1_codec *c, struct chain *data)
{
    if (data->bytes > H1_COPY_BYTES_MAX)
        return chain_move(c->base.out, data, data->bytes);
    size_t n = data->bytes;
    char *p = n ? h1_room(c, n) : NULL;
    if (!p)
        return n == 0;
    chain_copy_out(data, 0, p, n);
    chain_drain(data, n);
    return h1_room_put(c, n);
}

static bool put_chunk_copied(struct h1_codec *c, struct chain *data, bool end)
{
    size_t n = data->bytes;
    char *start = h1_room(c, CHUNK_HEAD_BYTES + n + CHUNK_END_BYTES);
    if (!start)
        return false;
    char *p = start;
    if (n) {
        p = put_chunk_head(p, n);
        p += chain_copy_out(data, 0, p, n);
        chain_drain(data, n);
    }
    p = put_chunk_end(p, n > 0, end);
    WEIR_ASSERT((size_t)(p - start) <= CHUNK_HEAD_BYTES + n + CHUNK_END_BYTES);
    return p == start || h1_room_put(c, (size_t)(p - start));
}

static bool put_chunk(struct h1_codec *c, struct chain *data, bool end)
{
    if (data->bytes <= H1_COPY_BYTES_MAX)
        return put_chunk_copied(c, data, end);
    char *start = h1_room(c, CHUNK_HEAD_BYTES);
    if (!start || !h1_room_put(c, (size_t)(put_chunk_head(start, data->bytes) - start)) ||
        !chain_move(c->base.out, data, data->bytes))
        return false;
    start = h1_room(c, CHUNK_END_BYTES);
    return start && h1_room_put(c, (size_t)(put_chunk_end(start, true, end) - start));
}

static const struct http_error *send_length(struct h1_codec *c, struct chain *data, bool end)
{
    if (data->bytes > c->send_left) {
        /* None of it is sent: the peer must see a cut body, not one that looks whole. */
        return h1_send_fail(c, &http_error_body_too_long);
    }
    c->send_left -= data->bytes;
    WEIR_ASSERT(c->send == H1_SEND_LENGTH);
    if (!put_plain(c, data))
        return h1_send_fail(c, &http_error_out_of_memory);
    if (end && c->send_left > 0)
        return h1_send_fail(c, &http_error_body_too_short);
    return NULL;
}

const struct http_error *h1_send_data(struct codec_stream *s, struct chain *data, bool end)
{
    struct h1_codec *c = h1_of_stream(s);
    const struct http_error *e = NULL;
    if (!c->open)
        e = &http_error_send_out_of_order;
    else if (c->send == H1_SEND_LENGTH)
        e = send_length(c, data, end);
    else if (c->send == H1_SEND_CHUNKED)
        e = put_chunk(c, data, end) ? NULL : h1_send_fail(c, &http_error_out_of_memory);
    else if (c->send == H1_SEND_RAW)
        e = put_plain(c, data) ? NULL : h1_send_fail(c, &http_error_out_of_memory);
    else if (c->send != H1_SEND_NO_BODY)
        e = &http_error_send_out_of_order;
    chain_clear(data);
    if (!e && end)
        h1_send_finish(c);
    return e;
}

const struct http_error *h1_send_trailers(struct codec_stream *s, const struct header_map *trailers)
{
    struct h1_codec *c = h1_of_stream(s);
    const struct http_error *e = NULL;
    if (!c->open || c->send == H1_SEND_HEAD || c->send == H1_SEND_DONE)
        return &http_error_send_out_of_order;
    if (c->send == H1_SEND_LENGTH && c->send_left > 0)
        return h1_send_fail(c, &http_error_body_too_short);
    if (c->send == H1_SEND_CHUNKED)
        e = h1_write_trailers(c, trailers);
    if (e)
        return h1_send_fail(c, e);
    h1_send_finish(c);
    return NULL;
}
