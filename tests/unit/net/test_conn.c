/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections over socket pairs and loopback TCP: what is delivered, watermarks, pausing, half-close, the
 * three ways to close, refused and timed-out connects, and accepting without descriptors.
 */
#include "net/acceptor.h"
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

struct peer {
    unsigned connected, data, eof, high, low, closed;
    size_t bytes;
    enum conn_close why;
    int error;
    bool keep; /* leave bytes in `in` */
    bool stop_on_data, stop_on_eof, stop_on_high, stop_on_low;
};

static struct loop loop;
static struct peer peer;
static struct conn *conn;
static int far_end;
static struct timer watchdog;

static void ev_connected(struct conn *c)
{
    assert_ptr_equal(c->owner, &peer);
    peer.connected++;
    loop_stop(&loop);
}
static void ev_data(struct conn *c)
{
    peer.data++;
    peer.bytes += peer.keep ? 0 : c->in.bytes;
    if (!peer.keep)
        chain_clear(&c->in);
    if (peer.stop_on_data)
        loop_stop(&loop);
}
static void ev_eof(struct conn *c)
{
    (void)c;
    peer.eof++;
    if (peer.stop_on_eof)
        loop_stop(&loop);
}
static void ev_high(struct conn *c)
{
    (void)c;
    peer.high++;
    if (peer.stop_on_high)
        loop_stop(&loop);
}
static void ev_low(struct conn *c)
{
    (void)c;
    peer.low++;
    if (peer.stop_on_low)
        loop_stop(&loop);
}
static void ev_closed(struct conn *c, enum conn_close why)
{
    assert_ptr_equal(c, conn);
    peer.closed++;
    peer.why = why;
    peer.error = c->error;
    conn = NULL;
    loop_stop(&loop);
}

static const struct conn_events events = {.connected = ev_connected,
                                          .data = ev_data,
                                          .eof = ev_eof,
                                          .write_high = ev_high,
                                          .write_low = ev_low,
                                          .closed = ev_closed};

static void watchdog_fires(struct timer *t)
{
    (void)t;
    fail_msg("the loop waited for 10 s");
}

static void run(void)
{
    loop.stopping = false;
    loop_run(&loop);
}

static int setup(void **state)
{
    (void)state;
    memset(&peer, 0, sizeof(peer));
    assert_int_equal(loop_init(&loop), 0);
    timer_init(&watchdog, watchdog_fires);
    timer_set(&loop, &watchdog, 10000);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    far_end = fds[1];
    struct address none = {.len = 0};
    conn = conn_accepted(&loop, fds[0], &none, NULL, &events, &peer, 65536);
    assert_non_null(conn);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    timer_stop(&loop, &watchdog);
    if (conn) {
        conn_close(conn, CONN_CLOSE_NOW, 0);
        if (conn)
            run();
    }
    assert_null(conn);
    if (far_end >= 0)
        close(far_end);
    loop_fini(&loop);
    return 0;
}

static void put(size_t bytes)
{
    char block[4096];
    memset(block, 'x', sizeof(block));
    while (bytes > 0) {
        size_t n = bytes < sizeof(block) ? bytes : sizeof(block);
        assert_true(chain_append_copy(&conn->out, &loop.blocks, slice_of(block, n)));
        bytes -= n;
    }
    conn_flush_later(conn);
}

/* Reads what the far end holds now. */
static size_t far_read(void)
{
    char buf[65536];
    size_t total = 0;
    for (;;) {
        ssize_t n = read(far_end, buf, sizeof(buf));
        if (n <= 0)
            return total;
        total += (size_t)n;
    }
}

static void echo(void **state)
{
    (void)state;
    peer.stop_on_data = true;
    assert_int_equal(write(far_end, "hello", 5), 5);
    run();
    assert_int_equal(peer.bytes, 5);
    assert_int_equal(conn->bytes_in, 5);
    put(3);
    assert_int_equal(far_read(), 0); /* nothing leaves before the turn's end */
    conn_close(conn, CONN_CLOSE_FLUSH, 0);
    assert_int_equal(peer.closed, 0); /* never inline */
    run();
    assert_int_equal(far_read(), 3);
    assert_int_equal(peer.why, CONN_CLOSE_LOCAL);
    assert_int_equal(peer.closed, 1);
}

static void trickle_shares_a_block(void **state)
{
    (void)state;
    peer.stop_on_data = peer.keep = true;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(write(far_end, "x", 1), 1);
        run();
    }
    assert_int_equal(conn->in.bytes, 100);
    assert_int_equal(conn->in.count, 1);
}

/* Bytes that tell where they belong. */
static void far_write(size_t from, size_t n)
{
    char bytes[4096];
    while (n > 0) {
        size_t part = n < sizeof(bytes) ? n : sizeof(bytes);
        for (size_t i = 0; i < part; i++)
            bytes[i] = (char)((from + i) % 251);
        assert_int_equal(write(far_end, bytes, part), part);
        from += part;
        n -= part;
    }
}

static void assert_in_order(size_t n)
{
    char bytes[1000];
    assert_int_equal(conn->in.bytes, n);
    for (size_t at = 0; at < n; at += sizeof(bytes)) {
        size_t part = chain_copy_out(&conn->in, at, bytes, sizeof(bytes));
        for (size_t i = 0; i < part; i++)
            assert_int_equal((unsigned char)bytes[i], (at + i) % 251);
    }
}

/* Much is read at once, behind what is there, and no more than the owner's watermark. */
static void bulk_in_one_event(void **state)
{
    (void)state;
    int room = 1 << 20;
    assert_int_equal(setsockopt(far_end, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    peer.stop_on_data = peer.keep = true;
    conn->high_watermark = 1 << 20;
    far_write(0, 10);
    run();
    for (size_t at = 10, n = 50000; at < 200000; at += n) {
        unsigned events_before = peer.data;
        far_write(at, n);
        run();
        assert_int_equal(peer.data, events_before + 1);
        assert_in_order(at + n);
    }
    size_t had = conn->in.bytes;
    assert_true(conn->in.count <= had / BLOCK_BYTES + 5); /* the free ends were filled */
    conn->high_watermark = 32768;
    far_write(had, 100000);
    while (conn->in.bytes < had + 100000) {
        size_t before = conn->in.bytes;
        run();
        assert_true(conn->in.bytes - before <= 32768 + BLOCK_BYTES);
    }
    assert_in_order(had + 100000);
    peer.stop_on_eof = true;
    close(far_end);
    far_end = -1;
    run(); /* the end is not taken for more */
    assert_int_equal(peer.eof, 1);
    assert_in_order(had + 100000);
}

static void watermarks(void **state)
{
    (void)state;
    peer.stop_on_high = true;
    put(4 << 20); /* far more than the socket takes */
    assert_int_equal(peer.high, 0);
    run();
    assert_int_equal(peer.high, 1);
    assert_int_equal(peer.low, 0);
    peer.stop_on_low = true;
    size_t total = 0;
    while (peer.low == 0) {
        total += far_read();
        loop.stopping = false;
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    assert_true(conn->out.bytes <= 32768);
    while (!chain_empty(&conn->out)) {
        total += far_read();
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    total += far_read();
    assert_int_equal(total, 4 << 20);
    assert_int_equal(peer.high, 1);
    assert_int_equal(conn->bytes_out, 4 << 20);
}

static void pause_and_resume(void **state)
{
    (void)state;
    peer.stop_on_data = peer.keep = true;
    assert_int_equal(write(far_end, "abc", 3), 3);
    run();
    conn_pause(conn, CONN_PAUSE_CODEC);
    conn_pause(conn, CONN_PAUSE_FILTER);
    assert_int_equal(write(far_end, "defg", 4), 4);
    for (int i = 0; i < 5; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(peer.data, 1);
    conn_resume(conn, CONN_PAUSE_FILTER);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(peer.data, 1); /* one reason is left */
    peer.keep = false;
    conn_resume(conn, CONN_PAUSE_CODEC);
    assert_int_equal(peer.data, 1); /* offered later, not inline */
    while (peer.bytes < 7)
        run();
    assert_int_equal(peer.bytes, 7);
}

/* The server side notices a peer that leaves while reading is paused. */
static void close_seen_while_paused(void **state)
{
    (void)state;
    conn_pause(conn, CONN_PAUSE_WATERMARK);
    close(far_end);
    far_end = -1;
    run();
    assert_int_equal(peer.closed, 1);
    assert_int_equal(peer.why, CONN_CLOSE_REMOTE);
}

/* The client side does not lose what the peer sent before it closed. */
static void eof_waits_for_resume(void **state)
{
    (void)state;
    conn->detect_close = false;
    peer.stop_on_data = peer.stop_on_eof = true;
    conn_pause(conn, CONN_PAUSE_WATERMARK);
    assert_int_equal(write(far_end, "rest", 4), 4);
    close(far_end);
    far_end = -1;
    for (int i = 0; i < 5; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(peer.data + peer.eof + peer.closed, 0);
    conn_resume(conn, CONN_PAUSE_WATERMARK);
    while (peer.eof == 0)
        run();
    assert_int_equal(peer.bytes, 4);
    assert_int_equal(peer.closed, 0);
}

static void half_close(void **state)
{
    (void)state;
    peer.stop_on_eof = true;
    assert_int_equal(shutdown(far_end, SHUT_WR), 0);
    run();
    assert_int_equal(peer.eof, 1);
    put(10);
    conn_shutdown_write(conn);
    for (int i = 0; i < 3; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(far_read(), 10);
    char c;
    assert_int_equal(read(far_end, &c, 1), 0);
    assert_int_equal(peer.eof, 1);
}

static void delayed_close_ends_with_the_peer(void **state)
{
    (void)state;
    put(5);
    conn_close(conn, CONN_CLOSE_DELAYED, 5000);
    for (int i = 0; i < 3; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(far_read(), 5);
    assert_int_equal(write(far_end, "late", 4), 4); /* dropped, no event */
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(peer.closed + peer.data, 0);
    close(far_end);
    far_end = -1;
    run();
    assert_int_equal(peer.closed, 1);
    assert_int_equal(peer.why, CONN_CLOSE_LOCAL);
}

static void delayed_close_ends_by_time(void **state)
{
    (void)state;
    put(5);
    conn_close(conn, CONN_CLOSE_DELAYED, 30);
    uint64_t before = uv_hrtime();
    run();
    assert_int_equal(peer.closed, 1);
    assert_true(uv_hrtime() - before >= 25 * UINT64_C(1000000));
}

static void flush_gives_up_on_a_stuck_peer(void **state)
{
    (void)state;
    put(4 << 20);
    conn_close(conn, CONN_CLOSE_FLUSH, 30);
    run();
    assert_int_equal(peer.closed, 1);
    assert_int_equal(peer.high, 0);
}

static void connect_refused(void **state)
{
    (void)state;
    struct address a;
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &a));
    int fd = listen_socket_open(&a, &(struct listen_options){.backlog = 1});
    assert_true(fd >= 0);
    assert_true(listen_socket_address(fd, &a));
    close(fd); /* now nobody listens there */
    conn_close(conn, CONN_CLOSE_NOW, 0);
    run();
    memset(&peer, 0, sizeof(peer));
    conn = conn_connect(&loop, &a, 1000, &events, &peer, 65536);
    assert_non_null(conn);
    assert_int_equal(peer.closed, 0);
    run();
    assert_int_equal(peer.why, CONN_CLOSE_CONNECT_FAILED);
    assert_int_equal(peer.error, ECONNREFUSED);
}

struct taker {
    unsigned count;
    int fds[8];
    struct address remote;
};
static void taken(struct acceptor *a, int fd, const struct address *remote)
{
    struct taker *t = a->owner;
    assert_true(t->count < 8);
    t->fds[t->count++] = fd;
    t->remote = *remote;
    loop_stop(&loop);
}

static void connect_and_accept(void **state)
{
    (void)state;
    struct address a;
    struct acceptor acceptor;
    struct taker taker = {0};
    conn_close(conn, CONN_CLOSE_NOW, 0);
    run();
    memset(&peer, 0, sizeof(peer));
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &a));
    int fd = listen_socket_open(&a, &(struct listen_options){.backlog = 8, .reuse_port = true});
    assert_true(fd >= 0);
    assert_true(listen_socket_address(fd, &a));
    assert_int_equal(acceptor_start(&acceptor, &loop, fd, 4, taken, &taker), 0);
    conn = conn_connect(&loop, &a, 1000, &events, &peer, 65536);
    while (!peer.connected || !taker.count)
        run();
    assert_int_equal(address_port(&conn->local), address_port(&taker.remote));
    int no_delay = 0;
    socklen_t len = sizeof(no_delay);
    assert_int_equal(getsockopt(taker.fds[0], IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    assert_int_equal(no_delay, 1); /* from the listening socket */
    close(taker.fds[0]);
    acceptor_stop(&acceptor);
}

static void listen_in_use(void **state)
{
    (void)state;
    struct address a;
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &a));
    int fd = listen_socket_open(&a, &(struct listen_options){.backlog = 1});
    assert_true(listen_socket_address(fd, &a));
    assert_int_equal(listen_socket_open(&a, &(struct listen_options){.backlog = 1, .reuse_port = true}),
                     -EADDRINUSE);
    close(fd);
}

static int raw_client(const struct address *a)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &a->sa, a->len), 0);
    return fd;
}

/* Without descriptors accepting pauses instead of spinning, and goes on when there are some again. */
static void out_of_descriptors(void **state)
{
    (void)state;
    struct address a;
    struct acceptor acceptor;
    struct taker taker = {0};
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &a));
    int fd = listen_socket_open(&a, &(struct listen_options){.backlog = 8});
    assert_true(listen_socket_address(fd, &a));
    assert_int_equal(acceptor_start(&acceptor, &loop, fd, 4, taken, &taker), 0);
    int client = raw_client(&a);
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int top = dup(0);
    close(top);
    low = (struct rlimit){(rlim_t)top, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    uint64_t turns = 0, until = uv_hrtime() + 150 * UINT64_C(1000000);
    while (uv_hrtime() < until) {
        uv_run(&loop.uv, UV_RUN_ONCE);
        turns++;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(acceptor.out_of_fds >= 1 && acceptor.out_of_fds <= 4);
    assert_true(turns < 20);
    assert_int_equal(taker.count, 0);
    run();
    assert_int_equal(taker.count, 1);
    close(taker.fds[0]);
    close(client);
    acceptor_stop(&acceptor);
}

static void drain_takes_the_queue(void **state)
{
    (void)state;
    struct address a;
    struct acceptor acceptor;
    struct taker taker = {0};
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &a));
    int fd = listen_socket_open(&a, &(struct listen_options){.backlog = 8});
    assert_true(listen_socket_address(fd, &a));
    int clients[3];
    for (int i = 0; i < 3; i++)
        clients[i] = raw_client(&a);
    assert_int_equal(acceptor_start(&acceptor, &loop, fd, 1, taken, &taker), 0);
    acceptor_drain(&acceptor);
    assert_int_equal(taker.count, 3);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, &a.sa, a.len), -1);
    close(late);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
        close(taker.fds[i]);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(echo),
        T(trickle_shares_a_block),
        T(bulk_in_one_event),
        T(watermarks),
        T(pause_and_resume),
        T(close_seen_while_paused),
        T(eof_waits_for_resume),
        T(half_close),
        T(delayed_close_ends_with_the_peer),
        T(delayed_close_ends_by_time),
        T(flush_gives_up_on_a_stuck_peer),
        T(connect_refused),
        T(connect_and_accept),
        T(listen_in_use),
        T(out_of_descriptors),
        T(drain_takes_the_queue),
    };
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
