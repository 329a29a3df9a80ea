/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending on an upstream stream, and the names of its ends. Bytes are appended to the connection's output and
 * leave at the turn's end; nothing here calls the stream's owner.
 */
#include "upstream/upstream_stream.h"

#include "base/assert.h"
#include "upstream/upstream_conn.h"

const char *upstream_reset_text(enum upstream_reset why)
{
    static const char *const texts[] = {
#define UPSTREAM_RESET_X(name, text, flag) text,
        UPSTREAM_RESETS(UPSTREAM_RESET_X)
#undef UPSTREAM_RESET_X
    };
    WEIR_ASSERT(why < UPSTREAM_RESET_COUNT);
    return texts[why];
}

const struct address *upstream_stream_local(const struct upstream_stream *s)
{
    return s->conn ? &s->conn->conn->local : NULL;
}

const struct address *upstream_stream_remote(const struct upstream_stream *s)
{
    return s->conn ? &s->conn->conn->remote : NULL;
}

uint64_t upstream_stream_connection_id(const struct upstream_stream *s)
{
    return s->conn ? s->conn->conn->id : 0;
}

struct tls_info *upstream_stream_tls(const struct upstream_stream *s)
{
    return s->conn ? s->conn->tls : NULL;
}

size_t upstream_stream_held(const struct upstream_stream *s)
{
    if (!s->conn || !s->codec)
        return 0;
    const struct conn *conn = s->conn->conn;
    bool alone = !s->codec->codec->multiplexed && conn;
    return codec_stream_held(s->codec) + (alone ? conn->in.bytes + conn->out.bytes + conn->sealed_bytes : 0);
}

/* Bytes are in `out`; they leave at the turn's end. */
static const struct http_error *sent(struct upstream_stream *s, const struct http_error *error)
{
    upstream_conn_flush(s->conn);
    return error;
}

const struct http_error *upstream_stream_headers(struct upstream_stream *s, const struct header_map *headers,
                                                 bool end_of_stream)
{
    WEIR_ASSERT(s->conn && s->codec);
    return sent(s, codec_send_headers(s->codec, headers, end_of_stream));
}

const struct http_error *upstream_stream_data(struct upstream_stream *s, struct chain *data,
                                              bool end_of_stream)
{
    WEIR_ASSERT(s->conn && s->codec);
    return sent(s, codec_send_data(s->codec, data, end_of_stream));
}

const struct http_error *upstream_stream_trailers(struct upstream_stream *s,
                                                  const struct header_map *trailers)
{
    WEIR_ASSERT(s->conn && s->codec);
    return sent(s, codec_send_trailers(s->codec, trailers));
}

void upstream_stream_shut(struct upstream_stream *s)
{
    if (!s->conn || s->codec->codec->multiplexed)
        return;
    s->conn->retiring = true;
    s->codec->codec->shut = true;
    upstream_conn_flush(s->conn);
}

void upstream_stream_pause(struct upstream_stream *s, bool on)
{
    if (!s->conn)
        return;
    struct cluster_stats *stats = s->conn->pool->context->stats;
    codec_stream_pause(s->codec, on);
    stat_inc(on ? stats->upstream_flow_control_paused_reading_total
                : stats->upstream_flow_control_resumed_reading_total);
    if (s->codec->codec->multiplexed) {
        upstream_conn_flush(s->conn); /* others on the connection read on */
        return;
    }
    s->conn->paused = on;
    if (on) {
        conn_pause(s->conn->conn, CONN_PAUSE_WATERMARK);
    } else {
        conn_resume(s->conn->conn, CONN_PAUSE_WATERMARK);
    }
}
