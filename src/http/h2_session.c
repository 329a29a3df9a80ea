/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an HTTP/2 codec and the operations that both sides share: opening, draining, resets, pausing,
 * pings. Never calls an event.
 */
#include "http/h2_codec.h"

#include "base/assert.h"
#include "http/limits.h"

#include <stdlib.h>

#define PREFACE_BYTES 24u

void h2_stats_init(struct h2_stats *stats, struct slice prefix)
{
#define H2_STAT_X(name, kind) stats->name = stat_##kind(SLICE_FMT "http2." #name, SLICE_ARG(prefix));
    H2_STATS(H2_STAT_X)
#undef H2_STAT_X
}

void h2_settings_default(struct h2_settings *settings)
{
    *settings = (struct h2_settings){
        .hpack_table_bytes = 4096,
        .max_concurrent_streams = 1024,
        .stream_window_bytes = 16u << 20,
        .connection_window_bytes = 24u << 20,
        .max_outbound_frames = 10000,
        .max_outbound_control = 1000,
        .max_empty_frames = 1,
        .max_priority_per_stream = 100,
        .max_window_updates_per_data = 10,
    };
}

enum h2_preface h2_preface_detect(const struct chain *in)
{
    char start[PREFACE_BYTES];
    size_t n = chain_copy_out(in, 0, start, sizeof(start));
    if (memcmp(start, NGHTTP2_CLIENT_MAGIC, n) != 0)
        return H2_PREFACE_NO;
    return n == PREFACE_BYTES ? H2_PREFACE_YES : H2_PREFACE_PART;
}

static int option_make(const struct h2_codec *c, nghttp2_option **option)
{
    const struct h2_settings *s = &c->settings;
    int rc = nghttp2_option_new(option);
    if (rc != 0)
        return rc;
    nghttp2_option_set_no_auto_window_update(*option, 1);
    nghttp2_option_set_no_closed_streams(*option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(*option, s->hpack_table_bytes);
    nghttp2_option_set_peer_max_concurrent_streams(
        *option, s->peer_streams_assumed ? s->peer_streams_assumed : s->max_concurrent_streams);
    nghttp2_option_set_max_continuations(*option, s->headers_bytes_max / 16384 + H2_CONTINUATIONS_EXTRA);
    /* Bounded by what may wait in `out`, and by the owner, who knows which resets are premature. */
    nghttp2_option_set_max_outbound_ack(*option, (size_t)s->max_outbound_control + 1);
    nghttp2_option_set_stream_reset_rate_limit(*option, UINT32_MAX, UINT32_MAX);
    return 0;
}

static int session_make(struct h2_codec *c)
{
    nghttp2_option *option = NULL;
    const nghttp2_session_callbacks *callbacks = h2_callbacks();
    if (!callbacks || option_make(c, &option) != 0)
        return NGHTTP2_ERR_NOMEM;
    int rc = c->server ? nghttp2_session_server_new2(&c->session, callbacks, c, option)
                       : nghttp2_session_client_new2(&c->session, callbacks, c, option);
    nghttp2_option_del(option);
    return rc;
}

#define OWN_PARAMETERS 4u

/* SETTINGS as Envoy sends them, and the connection's window. */
static int open_connection(struct h2_codec *c)
{
    const struct h2_settings *s = &c->settings;
    size_t n = 0;
    nghttp2_settings_entry *entries = calloc(OWN_PARAMETERS + s->parameters_count, sizeof(*entries));
    if (!entries)
        return NGHTTP2_ERR_NOMEM;
    entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, s->hpack_table_bytes};
    if (c->server)
        entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, s->allow_connect};
    else
        entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    if (c->server)
        entries[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s->max_concurrent_streams};
    entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, s->stream_window_bytes};
    for (size_t i = 0; i < s->parameters_count; i++)
        entries[n++] = (nghttp2_settings_entry){s->parameters[i].id, s->parameters[i].value};
    int rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, entries, n);
    free(entries);
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)s->connection_window_bytes);
    return rc;
}

static void h2_destroy(struct http_codec **codec)
{
    struct h2_codec *c = h2_of(*codec);
    WEIR_ASSERT(!c->receiving && !c->in_library);
    nghttp2_session *session = c->session;
    c->session = NULL;
    c->current = NULL;
    h2_streams_fini(c);
    nghttp2_session_del(session);
    free(c->own_nva);
    free(c);
    *codec = NULL;
}

static uint32_t reset_code(const struct h2_codec *c, const struct h2_stream *st, const struct http_error *why)
{
    if (why == &http_error_h2_remote_refused)
        return NGHTTP2_REFUSED_STREAM;
    if (why == &http_error_h2_messaging || why == &http_error_h2_bad_header)
        return NGHTTP2_PROTOCOL_ERROR;
    if (!c->server)
        return NGHTTP2_CANCEL;
    if (st->connect && !st->send_ended)
        return NGHTTP2_CONNECT_ERROR; /* RFC 9113 8.5: the other side of the tunnel broke */
    return st->send_ended ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
}

static void h2_stream_reset(struct codec_stream *s, const struct http_error *why)
{
    struct h2_codec *c = h2_of(s->codec);
    struct h2_stream *st = h2_stream_of(s);
    if (st->abandoned)
        return;
    st->abandoned = true;
    s->user = NULL;
    if (st->id < 0)
        st->over = true;
    else if (!st->over)
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, reset_code(c, st, why));
    h2_stream_due(c, st);
}

static void h2_stream_pause(struct codec_stream *s, bool paused)
{
    struct h2_stream *st = h2_stream_of(s);
    st->paused = paused;
    if (!paused)
        h2_stream_due(h2_of(s->codec), st);
}

static void h2_ping(struct http_codec *codec)
{
    struct h2_codec *c = h2_of(codec);
    uint8_t opaque[8];
    c->pings++;
    memcpy(opaque, &c->pings, sizeof(opaque));
    (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, opaque);
}

static size_t h2_sweep(struct http_codec *codec)
{
    struct h2_codec *c = h2_of(codec);
    struct list *node, *next;
    size_t waiting = 0;
    list_for_each(node, next, &c->streams)
    {
        struct h2_stream *st = list_entry(node, struct h2_stream, node);
        if (st->base.user || !st->send_ended || st->over || st->abandoned)
            continue;
        if (st->swept && st->swept_bytes == st->send.bytes) {
            if (!st->end_sent)
                stat_inc(c->settings.stats->tx_flush_timeout);
            h2_stream_reset(&st->base, &http_error_h2_flush_timeout);
            continue;
        }
        st->swept = true;
        st->swept_bytes = st->send.bytes;
        waiting++;
    }
    return waiting;
}

/* RFC 9113 6.8: first "open no more", then, when the peer has had time to hear it, the last stream's number.
 */
static void h2_drain(struct http_codec *codec)
{
    struct h2_codec *c = h2_of(codec);
    if (c->dead || c->drain_stage == 2)
        return;
    if (!c->server) {
        c->drain_stage = 2;
        return;
    }
    if (c->drain_stage++ == 0)
        (void)nghttp2_submit_shutdown_notice(c->session);
    else
        (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                                    NULL, 0);
}

static bool h2_wants_close(const struct http_codec *codec)
{
    const struct h2_codec *c = h2_of(codec);
    return c->dead || c->error || (c->count == 0 && (c->drain_stage == 2 || c->goaway_received));
}

static struct codec_stream *h2_stream_open(struct http_codec *codec, void *user, struct arena *arena);

static size_t h2_streams_available(const struct http_codec *codec)
{
    const struct h2_codec *c = h2_of(codec);
    if (c->server || c->dead || c->error || c->drain_stage || c->goaway_received ||
        !nghttp2_session_check_request_allowed(c->session))
        return 0;
    uint32_t peer = nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    uint32_t max = c->settings.max_concurrent_streams < peer ? c->settings.max_concurrent_streams : peer;
    return c->count < max ? max - c->count : 0;
}

static struct codec_stream *h2_stream_open(struct http_codec *codec, void *user, struct arena *arena)
{
    struct h2_codec *c = h2_of(codec);
    if (h2_streams_available(codec) == 0)
        return NULL;
    struct h2_stream *st = h2_stream_new(c);
    if (!st)
        return NULL;
    st->base.user = user;
    st->base.arena = arena;
    return &st->base;
}

static size_t h2_stream_held(const struct codec_stream *s)
{
    const struct h2_stream *st = (const struct h2_stream *)s;
    return st->recv.bytes + st->send.bytes;
}

static const struct codec_ops h2_ops = {
    .name = "h2",
    .recv = h2_recv,
    .recv_eof = h2_recv_eof,
    .send_headers = h2_send_headers,
    .send_informational = h2_send_informational,
    .send_data = h2_send_data,
    .send_trailers = h2_send_trailers,
    .stream_reset = h2_stream_reset,
    .stream_pause = h2_stream_pause,
    .stream_open = h2_stream_open,
    .streams_available = h2_streams_available,
    .drain = h2_drain,
    .ping = h2_ping,
    .sweep = h2_sweep,
    .stream_held = h2_stream_held,
    .wants_close = h2_wants_close,
    .destroy = h2_destroy,
};

static struct http_codec *h2_create(const struct h2_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out, bool server)
{
    WEIR_ASSERT(settings && settings->stats && events && out);
    struct h2_codec *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->base = (struct http_codec){
        .ops = &h2_ops, .events = events, .conn = conn, .blocks = blocks, .out = out, .multiplexed = true};
    c->settings = *settings;
    c->server = server;
    c->scan.skip = server ? PREFACE_BYTES : 0;
    if (c->settings.headers_count_max == 0)
        c->settings.headers_count_max = HEADERS_COUNT_MAX;
    if (c->settings.headers_count_max > H1_HEADERS_COUNT_LIMIT)
        c->settings.headers_count_max = H1_HEADERS_COUNT_LIMIT;
    if (c->settings.headers_bytes_max == 0)
        c->settings.headers_bytes_max = HEADERS_BYTES_MAX;
    list_init(&c->streams);
    list_init(&c->due);
    list_init(&c->idle);
    c->appended = out->bytes;
    if (session_make(c) != 0 || open_connection(c) != 0) {
        struct http_codec *codec = &c->base;
        h2_destroy(&codec);
        return NULL;
    }
    h2_pump(c);
    return &c->base;
}

struct http_codec *h2_server_create(const struct h2_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out)
{
    return h2_create(settings, events, conn, blocks, out, true);
}

struct http_codec *h2_client_create(const struct h2_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out)
{
    return h2_create(settings, events, conn, blocks, out, false);
}
