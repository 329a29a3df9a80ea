/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the HTTP/2 codec with frames of a peer. The first byte chooses the side and the owner's habits, the
 * second how the rest is cut. What must hold for any bytes: no crash; every map valid; each stream gets its
 * events in order and exactly one end; after an error nothing more.
 */
#include "base/assert.h"
#include "http/chars.h"
#include "http/h2.h"

#include <stdlib.h>

#define INPUT_BYTES_MAX 65536
#define OUT_BYTES_MAX   ((size_t)64 << 20)

enum habit { ANSWER = 2, PAUSE = 4, RESET = 8, BODY = 16, STREAM_ERRORS = 32, DRAIN = 64, HOLD = 128 };

struct owner {
    struct arena arena;
    bool head;
    bool ended;
    bool paused;
    bool upgraded;
};

struct run {
    struct http_codec *codec;
    struct block_pool pool;
    struct chain in;
    struct chain out;
    uint8_t habits;
    uint32_t open;
    uint32_t paused;
    bool failed;
};

static void check_map(const struct header_map *m, bool request, bool head)
{
    uint32_t cursor = 0, count = 0;
    size_t bytes = 0;
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL;) {
        bool pseudo = h->name.len > 0 && h->name.ptr[0] == ':';
        WEIR_ASSERT(h->id == header_id_of(h->name));
        WEIR_ASSERT(pseudo ? h->id != HDR_OTHER && head : header_name_valid(h->name));
        WEIR_ASSERT(header_value_valid(h->value));
        WEIR_ASSERT(h->id != HDR_TRANSFER_ENCODING && h->id != HDR_KEEP_ALIVE &&
                    h->id != HDR_PROXY_CONNECTION);
        WEIR_ASSERT(!request || h->id != HDR_HOST || !head);
        count++;
        bytes += h->name.len + h->value.len;
    }
    WEIR_ASSERT(count == m->count && bytes == m->bytes && count <= m->count_max && bytes <= m->bytes_max);
    if (request && head) {
        WEIR_ASSERT(header_map_has_id(m, HDR_METHOD) && header_map_has_id(m, HDR_AUTHORITY));
        WEIR_ASSERT(chars_host_valid(header_map_get_id(m, HDR_AUTHORITY)));
    }
}

static struct run *run_of(struct codec_stream *s)
{
    return s->codec->conn;
}

static void owner_free(struct run *r, struct codec_stream *s)
{
    struct owner *o = s->user;
    WEIR_ASSERT(o && r->open > 0);
    r->open--;
    r->paused -= o->paused;
    arena_fini(&o->arena);
    free(o);
    s->user = NULL;
}

static struct owner *owner_new(struct run *r)
{
    struct owner *o = calloc(1, sizeof(*o));
    WEIR_ASSERT(o);
    arena_init(&o->arena, 1u << 20, NULL);
    r->open++;
    return o;
}

static bool on_begin(void *conn, struct codec_stream *s)
{
    struct run *r = conn;
    struct owner *o;
    if (r->open == 200)
        return false;
    o = owner_new(r);
    s->user = o;
    s->arena = &o->arena;
    return true;
}

static void answer(struct run *r, struct codec_stream *s)
{
    struct header_map m;
    struct owner *o = s->user;
    header_map_init(&m, &o->arena, 16, 1024);
    header_map_set_id(&m, HDR_STATUS, o->upgraded ? SLICE_LIT("101") : SLICE_LIT("200"));
    bool body = r->habits & BODY;
    if (codec_send_headers(s, &m, !body) != NULL || !body)
        return;
    struct chain data;
    chain_init(&data);
    (void)chain_append_copy(&data, &r->pool, slice_of("0123456789", 10));
    (void)codec_send_data(s, &data, false);
    chain_fini(&data);
    header_map_clear(&m);
    header_map_set_id(&m, HDR_GRPC_STATUS, SLICE_LIT("0"));
    (void)codec_send_trailers(s, &m);
}

static void on_headers(struct codec_stream *s, struct header_map *m, bool end)
{
    struct run *r = run_of(s);
    struct owner *o = s->user;
    WEIR_ASSERT(o && !o->head && !r->failed);
    check_map(m, !(r->habits & 1), true);
    o->head = true;
    o->ended = end;
    o->upgraded = header_map_has_id(m, HDR_UPGRADE);
    if (r->habits & 1)
        return;
    if (r->habits & RESET) {
        owner_free(r, s);
        codec_stream_reset(s, NULL);
    } else if (r->habits & ANSWER) {
        answer(r, s);
    }
}

static void on_data(struct codec_stream *s, struct chain *data, bool end)
{
    struct run *r = run_of(s);
    struct owner *o = s->user;
    WEIR_ASSERT(o && o->head && !o->ended && !o->paused && (end || !chain_empty(data)));
    o->ended = end;
    if ((r->habits & PAUSE) && !end) {
        o->paused = true;
        r->paused++;
        codec_stream_pause(s, true);
    }
}

static void on_trailers(struct codec_stream *s, struct header_map *m)
{
    struct owner *o = s->user;
    WEIR_ASSERT(o && o->head && !o->ended);
    check_map(m, !(run_of(s)->habits & 1), false);
    o->ended = true;
}

static void on_informational(struct codec_stream *s, struct header_map *m)
{
    WEIR_ASSERT(s->user);
    check_map(m, false, true);
}

static void on_reset(struct codec_stream *s, const struct http_error *error)
{
    WEIR_ASSERT(error);
    owner_free(run_of(s), s);
}

static void on_closed(struct codec_stream *s)
{
    struct owner *o = s->user;
    WEIR_ASSERT(o && o->head && o->ended);
    owner_free(run_of(s), s);
}

static void on_drained(struct codec_stream *s)
{
    WEIR_ASSERT(s->user && !s->blocked);
}

static const struct codec_events events = {
    .stream_begin = on_begin,
    .headers = on_headers,
    .informational = on_informational,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_closed,
    .drained = on_drained,
};

static void feed(struct run *r)
{
    bool over = r->failed;
    const struct http_error *error = codec_recv(r->codec, &r->in);
    WEIR_ASSERT(!over || !error);
    if (error) {
        r->failed = true;
        WEIR_ASSERT(r->open == 0 && chain_empty(&r->in) && codec_wants_close(r->codec));
    }
    WEIR_ASSERT(r->out.bytes < OUT_BYTES_MAX);
    chain_clear(&r->out);
}

static void ask(struct run *r)
{
    struct header_map m;
    for (int i = 0; i < 3; i++) {
        struct owner *o = owner_new(r);
        struct codec_stream *s = codec_stream_open(r->codec, o, &o->arena);
        WEIR_ASSERT(s);
        header_map_init(&m, &o->arena, 16, 1024);
        header_map_set_id(&m, HDR_METHOD, i == 1 ? SLICE_LIT("HEAD") : SLICE_LIT("GET"));
        header_map_set_id(&m, HDR_AUTHORITY, SLICE_LIT("a"));
        header_map_set_id(&m, HDR_PATH, SLICE_LIT("/"));
        if (i == 2) {
            header_map_set_id(&m, HDR_UPGRADE, SLICE_LIT("websocket"));
            header_map_set_id(&m, HDR_CONNECTION, SLICE_LIT("upgrade"));
        }
        WEIR_ASSERT(codec_send_headers(s, &m, i != 2) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct h2_stats stats;
    struct h2_settings settings;
    if (len < 2 || len > INPUT_BYTES_MAX)
        return 0;
    struct run r = {.habits = bytes[0]};
    size_t step = bytes[1] ? bytes[1] : len;
    bool client = r.habits & 1;
    h2_settings_default(&settings);
    settings.stats = &stats;
    settings.allow_connect = true;
    settings.stream_error_on_bad_message = r.habits & STREAM_ERRORS;
    block_pool_init(&r.pool, 8);
    chain_init(&r.in);
    chain_init(&r.out);
    r.codec = client ? h2_client_create(&settings, &events, &r, &r.pool, &r.out)
                     : h2_server_create(&settings, &events, &r, &r.pool, &r.out);
    WEIR_ASSERT(r.codec);
    if (client)
        ask(&r);
    else
        (void)chain_append_copy(&r.in, &r.pool, SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    for (size_t at = 2; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        (void)chain_append_copy(&r.in, &r.pool, slice_of(bytes + at, n));
        r.codec->hold = (r.habits & HOLD) && (at & 1);
        feed(&r);
    }
    if (r.habits & DRAIN) {
        codec_drain(r.codec);
        codec_drain(r.codec);
    }
    r.codec->hold = false;
    feed(&r);
    (void)codec_sweep(r.codec);
    (void)codec_recv_eof(r.codec);
    WEIR_ASSERT(r.open == 0);
    codec_destroy(&r.codec);
    chain_fini(&r.in);
    chain_fini(&r.out);
    block_pool_fini(&r.pool);
    return 0;
}
