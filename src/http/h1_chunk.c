/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunk framing of received bodies (RFC 9112 7.1), byte by byte over the framing, by reference over the
 * data. A size is hexadecimal digits and nothing else; extensions are skipped within a cap.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/chars.h"
#include "http/limits.h"

void h1_chunk_reset(struct h1_chunk *k)
{
    *k = (struct h1_chunk){.state = H1_CHUNK_SIZE};
}

static const struct http_error *size_byte(struct h1_codec *c, char ch)
{
    struct h1_chunk *k = &c->chunk;
    int digit = chars_hex(ch);
    WEIR_ASSERT(k->digits <= H1_CHUNK_DIGITS_MAX);
    if (digit >= 0) {
        if (k->digits == H1_CHUNK_DIGITS_MAX)
            return &http_error_chunk_too_large;
        c->recv_left = (k->digits ? c->recv_left << 4 : 0) | (uint64_t)digit;
        k->digits++;
        return NULL;
    }
    if (k->digits == 0 || (ch != '\r' && ch != ';'))
        return &http_error_bad_chunk_size;
    k->extension_bytes = 0;
    k->state = ch == ';' ? H1_CHUNK_EXTENSION : H1_CHUNK_SIZE_LF;
    return NULL;
}

static const struct http_error *extension_byte(struct h1_codec *c, char ch)
{
    struct h1_chunk *k = &c->chunk;
    if (ch == '\r') {
        k->state = H1_CHUNK_SIZE_LF;
        return NULL;
    }
    if (!chars_is_value(ch))
        return &http_error_bad_chunk_extension;
    k->extension_bytes++;
    k->extension_total++;
    return k->extension_bytes > H1_CHUNK_EXTENSION_BYTES_MAX ||
                   k->extension_total > H1_BODY_EXTENSION_BYTES_MAX
               ? &http_error_chunk_extension_too_long
               : NULL;
}

/* One byte of framing. */
static const struct http_error *framing_byte(struct h1_codec *c, char ch)
{
    struct h1_chunk *k = &c->chunk;
    switch (k->state) {
    case H1_CHUNK_SIZE:
        return size_byte(c, ch);
    case H1_CHUNK_EXTENSION:
        return extension_byte(c, ch);
    case H1_CHUNK_SIZE_LF:
        if (ch != '\n')
            return &http_error_bare_cr;
        k->state = c->recv_left > 0 ? H1_CHUNK_DATA : H1_CHUNK_LAST;
        return NULL;
    case H1_CHUNK_DATA_CR:
        if (ch != '\r')
            return &http_error_bad_chunk_end;
        k->state = H1_CHUNK_DATA_LF;
        return NULL;
    case H1_CHUNK_DATA_LF:
        if (ch != '\n')
            return &http_error_bad_chunk_end;
        k->digits = 0;
        k->state = H1_CHUNK_SIZE;
        return NULL;
    case H1_CHUNK_DATA:
    case H1_CHUNK_LAST:
        break;
    }
    WEIR_UNREACHABLE();
}

static const struct http_error *take_data(struct h1_codec *c, struct chain *in)
{
    WEIR_ASSERT(c->recv_left > 0 && c->chunk.state == H1_CHUNK_DATA);
    size_t n = c->recv_left < in->bytes ? (size_t)c->recv_left : in->bytes;
    if (!chain_move(&c->body, in, n))
        return &http_error_out_of_memory;
    c->recv_left -= n;
    if (c->recv_left == 0)
        c->chunk.state = H1_CHUNK_DATA_CR;
    return NULL;
}

const struct http_error *h1_chunk_recv(struct h1_codec *c, struct chain *in)
{
    struct h1_chunk *k = &c->chunk;
    const struct http_error *e = NULL;
    while (!e && k->state != H1_CHUNK_LAST && !chain_empty(in)) {
        if (k->state == H1_CHUNK_DATA) {
            e = take_data(c, in);
            continue;
        }
        struct slice run = chain_front(in);
        size_t i = 0;
        while (!e && i < run.len && k->state != H1_CHUNK_DATA && k->state != H1_CHUNK_LAST)
            e = framing_byte(c, run.ptr[i++]);
        WEIR_ASSERT(i > 0 && i <= run.len);
        chain_drain(in, i);
    }
    return e;
}
