/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the HTTP/1 codec. The first byte chooses settings, the second how the rest is cut, the third the
 * side. What must hold for any bytes: no crash; the same events whole or cut; every head valid; and a request
 * that was accepted, written out again by the client side and read by a second server, is the same one
 * request with the same body, so nothing can be smuggled through.
 */
#include "base/assert.h"
#include "base/strbuf.h"
#include "http/h1.h"

#include <stdlib.h>

#define INPUT_BYTES_MAX 65536
#define LOG_BYTES_MAX   (1u << 20)

struct run {
    struct http_codec *codec;
    struct h1_settings settings;
    struct block_pool pool;
    struct chain in;
    struct chain out;
    struct arena arena;
    struct strbuf log;  /* heads, ends and errors */
    struct strbuf body; /* all data */
    struct chain request_body;
    struct header_map *request;
    struct codec_stream *stream;
    uint32_t exchanges;
    uint8_t answer; /* chooses answers */
    bool forward;   /* write requests out again and read them back */
    bool open;
    bool head;
    bool ended;
    bool tunnel;
};

static void check_map(struct run *r, const char *what, const struct header_map *m, struct strbuf *log)
{
    uint32_t cursor = 0, count = 0;
    size_t bytes = 0;
    (void)r;
    strbuf_append_str(log, what);
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;) {
        bool pseudo = h->name.len > 0 && h->name.ptr[0] == ':';
        WEIR_ASSERT(h->id == header_id_of(h->name));
        WEIR_ASSERT(pseudo ? h->id != HDR_OTHER : header_name_valid(h->name));
        WEIR_ASSERT(header_value_valid(h->value));
        WEIR_ASSERT(h->value.len == 0 || (h->value.ptr[0] != ' ' && h->value.ptr[h->value.len - 1] != ' '));
        for (size_t i = 0; i < h->name.len; i++)
            WEIR_ASSERT(h->name.ptr[i] < 'A' || h->name.ptr[i] > 'Z');
        count++;
        bytes += h->name.len + h->value.len;
        strbuf_append(log, h->name);
        strbuf_append_str(log, "=");
        strbuf_append(log, h->value);
        strbuf_append_str(log, "\n");
    }
    WEIR_ASSERT(count == m->count && bytes == m->bytes && count <= m->count_max);
}

static void run_init(struct run *r, const struct h1_settings *settings, bool client);
static void run_fini(struct run *r);
static void read_back(struct run *r, struct slice wire);

/* Writes the request that just ended as a client would, and reads it back. */
static void forward_request(struct run *r, const struct header_map *trailers)
{
    struct run up;
    run_init(&up, &r->settings, true);
    struct codec_stream *s = codec_stream_open(up.codec, &up, &up.arena);
    WEIR_ASSERT(s);
    bool empty = r->request_body.bytes == 0 && !trailers;
    const struct http_error *e = codec_send_headers(s, r->request, empty);
    /* A host may be empty towards us, never towards an upstream; CONNECT needs one. */
    WEIR_ASSERT(!e || e == &http_error_bad_outgoing_head);
    if (!e && !empty) {
        struct chain copy;
        chain_init(&copy);
        WEIR_ASSERT(chain_append_shared(&copy, &r->request_body));
        WEIR_ASSERT(!codec_send_data(s, &copy, trailers == NULL));
        if (trailers)
            WEIR_ASSERT(!codec_send_trailers(s, trailers));
        chain_fini(&copy);
    }
    if (!e) {
        size_t n = up.out.bytes;
        char *wire = malloc(n + 1);
        WEIR_ASSERT(wire && chain_copy_out(&up.out, 0, wire, n) == n);
        read_back(r, slice_of(wire, n));
        free(wire);
    }
    run_fini(&up);
}

static void answer(struct run *r)
{
    static const char *const statuses[] = {"200", "204", "304", "404", "500", "101", "999", "200"};
    struct header_map m;
    struct chain data;
    bool body = r->answer & 8;
    header_map_init(&m, &r->arena, 200, 200000);
    WEIR_ASSERT(header_map_set_id(&m, HDR_STATUS, slice_str(statuses[r->answer & 7])) == HEADER_OK);
    if (r->answer & 16)
        header_map_set_id(&m, HDR_CONTENT_LENGTH, SLICE_LIT("3"));
    const struct http_error *e = codec_send_headers(r->stream, &m, !body);
    if (e && e == &http_error_bad_outgoing_head) {
        header_map_set_id(&m, HDR_STATUS, SLICE_LIT("500"));
        e = codec_send_headers(r->stream, &m, !body);
    }
    if (e || !body)
        return;
    chain_init(&data);
    WEIR_ASSERT(chain_append_copy(&data, &r->pool, r->answer & 32 ? SLICE_LIT("abc") : SLICE_LIT("abcd")));
    codec_send_data(r->stream, &data, true);
    WEIR_ASSERT(data.bytes == 0);
    chain_fini(&data);
}

static bool on_begin(void *conn, struct codec_stream *s)
{
    struct run *r = conn;
    WEIR_ASSERT(!r->open);
    r->open = true;
    r->head = r->ended = r->tunnel = false;
    r->stream = s;
    s->user = r;
    s->arena = &r->arena;
    strbuf_append_str(&r->log, "begin\n");
    return true;
}

static void on_end(struct run *r, const struct header_map *trailers)
{
    WEIR_ASSERT(!r->ended && r->head);
    r->ended = true;
    r->exchanges++;
    strbuf_append_str(&r->log, "end\n");
    if (r->request && r->forward)
        forward_request(r, trailers);
    if (r->request)
        answer(r);
}

static void on_headers(struct codec_stream *s, struct header_map *m, bool end)
{
    struct run *r = s->user;
    WEIR_ASSERT(r->open && !r->head);
    r->head = true;
    check_map(r, "head\n", m, &r->log);
    r->request = header_map_has_id(m, HDR_METHOD) ? m : NULL;
    chain_clear(&r->request_body);
    if (end) {
        on_end(r, NULL);
    } else if (r->request && (header_map_has_id(m, HDR_UPGRADE) || !header_map_has_id(m, HDR_PATH))) {
        r->tunnel = true;
        r->forward = false;
        answer(r);
    }
}

static void on_informational(struct codec_stream *s, struct header_map *m)
{
    struct run *r = s->user;
    WEIR_ASSERT(r->open && !r->head);
    check_map(r, "info\n", m, &r->log);
}

static void on_data(struct codec_stream *s, struct chain *data, bool end)
{
    struct run *r = s->user;
    WEIR_ASSERT(r->open && r->head && !r->ended && (end || data->bytes > 0));
    for (size_t i = 0; i < data->count; i++)
        strbuf_append(&r->body, chain_seg_at(data, i));
    WEIR_ASSERT(chain_move(&r->request_body, data, data->bytes));
    if (end && r->tunnel) {
        r->ended = true;
        return;
    }
    if (end)
        on_end(r, NULL);
}

static void on_trailers(struct codec_stream *s, struct header_map *m)
{
    struct run *r = s->user;
    check_map(r, "trailers\n", m, &r->log);
    on_end(r, m);
}

static void on_reset(struct codec_stream *s, const struct http_error *error)
{
    struct run *r = s->user;
    WEIR_ASSERT(r->open);
    r->open = false;
    strbuf_append_str(&r->log, error->name);
    if (r->request || !r->head)
        answer(r);
}

static void on_closed(struct codec_stream *s)
{
    struct run *r = s->user;
    WEIR_ASSERT(r->open);
    r->open = false;
    strbuf_append_str(&r->log, "closed\n");
}

static const struct codec_events events = {
    .stream_begin = on_begin,
    .headers = on_headers,
    .informational = on_informational,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_closed,
};

static void run_init(struct run *r, const struct h1_settings *settings, bool client)
{
    *r = (struct run){.settings = *settings};
    block_pool_init(&r->pool, 16);
    chain_init(&r->in);
    chain_init(&r->out);
    chain_init(&r->request_body);
    arena_init(&r->arena, 16u << 20, NULL);
    strbuf_init(&r->log, LOG_BYTES_MAX);
    strbuf_init(&r->body, LOG_BYTES_MAX);
    r->codec = client ? h1_client_create(settings, &events, r, &r->pool, &r->out)
                      : h1_server_create(settings, &events, r, &r->pool, &r->out);
    WEIR_ASSERT(r->codec);
}

static void run_fini(struct run *r)
{
    codec_destroy(&r->codec);
    chain_fini(&r->in);
    chain_fini(&r->out);
    chain_fini(&r->request_body);
    arena_fini(&r->arena);
    strbuf_fini(&r->log);
    strbuf_fini(&r->body);
    block_pool_fini(&r->pool);
}

static const struct http_error *feed(struct run *r, struct slice bytes)
{
    WEIR_ASSERT(chain_append_copy(&r->in, &r->pool, bytes));
    const struct http_error *e = codec_recv(r->codec, &r->in);
    WEIR_ASSERT(!e || (codec_wants_close(r->codec) && r->in.bytes == 0 && !r->open));
    return e;
}

static bool same_field(const struct header_map *a, const struct header_map *b, enum header_id id)
{
    return header_map_has_id(a, id) == header_map_has_id(b, id) &&
           slice_eq(header_map_get_id(a, id), header_map_get_id(b, id));
}

static void read_back(struct run *r, struct slice wire)
{
    struct run down;
    struct h1_settings settings = r->settings;
    /* What is written may be longer, by a space behind a colon or a framing field. */
    settings.headers_bytes_max = 0;
    settings.headers_count_max = 200;
    run_init(&down, &settings, false);
    down.answer = 0;
    const struct http_error *e = feed(&down, wire);
    WEIR_ASSERT(!e && down.exchanges == 1 && down.in.bytes == 0);
    WEIR_ASSERT(down.request && same_field(r->request, down.request, HDR_METHOD) &&
                same_field(r->request, down.request, HDR_PATH) &&
                same_field(r->request, down.request, HDR_AUTHORITY));
    size_t n = r->request_body.bytes;
    char *body = malloc(n + 1);
    WEIR_ASSERT(body && chain_copy_out(&r->request_body, 0, body, n) == n);
    WEIR_ASSERT(slice_eq(slice_of(body, n), strbuf_slice(&down.body)));
    free(body);
    run_fini(&down);
}

/* Feeds all input, cut by `cuts`; 0: whole. Returns the error. */
static const struct http_error *run_input(struct run *r, struct slice input, uint8_t cuts)
{
    const struct http_error *e = NULL;
    uint32_t random = cuts;
    while (!e && input.len > 0) {
        random = random * 1103515245u + 12345u;
        size_t n = cuts == 0 ? input.len : cuts == 1 ? 1 : (random >> 16) % 61 + 1;
        struct slice piece = slice_take(input, n);
        e = feed(r, piece);
        input = slice_skip(input, piece.len);
    }
    return e;
}

static void open_request(struct run *r, uint8_t how)
{
    static const char *const methods[] = {"GET", "HEAD", "CONNECT", "POST"};
    struct header_map m;
    struct codec_stream *s = codec_stream_open(r->codec, r, &r->arena);
    WEIR_ASSERT(s);
    header_map_init(&m, &r->arena, 100, 100000);
    header_map_set_id(&m, HDR_METHOD, slice_str(methods[how & 3]));
    header_map_set_id(&m, HDR_PATH, SLICE_LIT("/"));
    header_map_set_id(&m, HDR_AUTHORITY, SLICE_LIT("h:1"));
    if (how & 4) {
        header_map_set_id(&m, HDR_UPGRADE, SLICE_LIT("websocket"));
        header_map_set_id(&m, HDR_CONNECTION, SLICE_LIT("upgrade"));
    }
    r->stream = s;
    r->open = true;
    WEIR_ASSERT(!codec_send_headers(s, &m, (how & 3) != 2 && !(how & 4)));
}

static void run_once(struct run *r, const struct h1_settings *settings, uint8_t side, uint8_t cuts,
                     struct slice input, const struct http_error **error)
{
    bool client = side & 1;
    run_init(r, settings, client);
    r->answer = side >> 1;
    r->forward = cuts == 0;
    if (client)
        open_request(r, side >> 1);
    *error = run_input(r, input, cuts);
    if (!*error)
        codec_recv_eof(r->codec);
    WEIR_ASSERT(!r->log.failed && !r->body.failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > INPUT_BYTES_MAX)
        return 0;
    struct h1_settings settings = {
        .accept_http_10 = data[0] & 1,
        .allow_absolute_url = !(data[0] & 2),
        .allow_chunked_length = data[0] & 4,
        .enable_trailers = data[0] & 8,
        .allow_upgrade = data[0] & 16,
        .allow_connect = data[0] & 32,
        .keys = {.preserve_case = data[0] & 64, .preserve_reason = data[0] & 64},
        .headers_bytes_max = data[0] & 128 ? 200 : 0,
    };
    struct slice input = slice_of(data + 3, size - 3);
    struct run whole, cut;
    const struct http_error *e_whole, *e_cut;
    run_once(&whole, &settings, data[2], 0, input, &e_whole);
    run_once(&cut, &settings, data[2], data[1] ? data[1] : 1, input, &e_cut);
    WEIR_ASSERT(e_whole == e_cut);
    WEIR_ASSERT(slice_eq(strbuf_slice(&whole.log), strbuf_slice(&cut.log)));
    /* Data in front of an error may or may not have been seen; without one all of it is. */
    if (!e_whole)
        WEIR_ASSERT(slice_eq(strbuf_slice(&whole.body), strbuf_slice(&cut.body)));
    run_fini(&whole);
    run_fini(&cut);
    return 0;
}
