/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of raw bytes: what it tells and in which order, what waits, and that it never serves a second
 * stream.
 */
#include "http/raw.h"

#include "h1_peer.h"

static void setup_peer(struct peer *p)
{
    const struct h1_settings settings = {0};
    peer_init(p, &settings, true);
    codec_destroy(&p->codec);
    p->codec = raw_client_create(&peer_events, p, &p->pool, &p->out);
    assert_non_null(p->codec);
}

static void send_head(struct peer *p, bool end)
{
    struct header_map *m = peer_map(&p->arena, ":method: CONNECT;:authority: h:1", true);
    assert_null(codec_send_headers(p->stream, m, end));
    assert_int_equal(p->out.bytes, 0);
    assert_true(p->codec->due);
}

static void arrive(struct peer *p, const char *bytes)
{
    assert_true(chain_append_copy(&p->in, &p->pool, slice_str(bytes)));
    assert_null(codec_recv(p->codec, &p->in));
}

static void told(struct peer *p, const char *text)
{
    assert_string_equal(peer_log(p), text);
}

static void both_ends(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    peer_open(&p);
    send_head(&p, false);
    told(&p, "");
    assert_null(codec_recv(p.codec, &p.in));
    told(&p, "head-upgraded [:status=200]\n");
    assert_false(p.codec->due);
    assert_null(peer_send_body(&p, "abc", 3, false));
    assert_false(p.codec->shut);
    arrive(&p, "xyz");
    assert_null(peer_send_body(&p, "def", 3, true));
    assert_true(p.codec->shut);
    assert_true(slice_eq(peer_bytes(&p.out, &p.arena), SLICE_LIT("abcdef")));
    assert_false(codec_wants_close(p.codec));
    assert_null(codec_recv_eof(p.codec));
    told(&p, "head-upgraded [:status=200]\ndata xyz\nend\nclosed\n");
    assert_true(codec_wants_close(p.codec));
    assert_null(codec_stream_open(p.codec, &p, &p.arena));
    assert_int_equal(codec_streams_available(p.codec), 0);
    peer_fini(&p);
}

/* The server speaks before anybody wants to hear it, and again while its reader is busy. */
static void bytes_wait(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    arrive(&p, "hello");
    assert_int_equal(p.in.bytes, 5);
    peer_open(&p);
    arrive(&p, " you");
    assert_int_equal(p.in.bytes, 9);
    send_head(&p, false);
    codec_stream_pause(p.stream, true);
    assert_null(codec_recv(p.codec, &p.in));
    told(&p, "head-upgraded [:status=200]\n");
    codec_stream_pause(p.stream, false);
    assert_null(codec_recv(p.codec, &p.in));
    told(&p, "head-upgraded [:status=200]\ndata hello you\n");
    assert_int_equal(p.in.bytes, 0);
    peer_fini(&p);
}

/* The peer's end comes right behind the connection: the answer is told first, the stream lives on. */
static void early_end(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    peer_open(&p);
    send_head(&p, false);
    assert_null(codec_recv_eof(p.codec));
    told(&p, "head-upgraded [:status=200]\nend\n");
    assert_false(codec_wants_close(p.codec));
    peer_fini(&p);
}

static void head_is_all(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    peer_open(&p);
    send_head(&p, true);
    assert_true(p.codec->shut);
    assert_null(codec_recv_eof(p.codec));
    told(&p, "head-upgraded [:status=200]\nend\nclosed\n");
    peer_fini(&p);
}

static void trailers_only_end(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    peer_open(&p);
    send_head(&p, false);
    assert_null(codec_send_trailers(p.stream, peer_map(&p.arena, "x: y", true)));
    assert_true(p.codec->shut);
    assert_int_equal(p.out.bytes, 0);
    peer_fini(&p);
}

/* Nothing is told of a stream that was given up, also from inside its first event. */
static void given_up(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    peer_open(&p);
    send_head(&p, false);
    p.reset_in_headers = true;
    arrive(&p, "xyz");
    told(&p, "head-upgraded [:status=200]\n");
    arrive(&p, "more");
    assert_int_equal(p.in.bytes, 0);
    assert_null(codec_recv_eof(p.codec));
    told(&p, "head-upgraded [:status=200]\n");
    assert_true(codec_wants_close(p.codec));
    peer_fini(&p);
}

static void drained_before_use(void **state)
{
    struct peer p;
    (void)state;
    setup_peer(&p);
    codec_drain(p.codec);
    assert_null(codec_stream_open(p.codec, &p, &p.arena));
    assert_true(codec_wants_close(p.codec));
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends),          cmocka_unit_test(bytes_wait),
        cmocka_unit_test(early_end),          cmocka_unit_test(head_is_all),
        cmocka_unit_test(trailers_only_end),  cmocka_unit_test(given_up),
        cmocka_unit_test(drained_before_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
