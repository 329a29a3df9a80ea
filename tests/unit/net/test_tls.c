/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS transport in both roles over loopback TCP: handshakes, what is known afterwards, large bodies with
 * back-pressure, ends of every kind, resumption, refused peers, broken peers; and what is wrong with
 * settings.
 */
#include "net/acceptor.h"
#include "net/tls.h"
#include "net/tls_context_private.h"
#include "net/tls_verify.h"
#include "tls_cert.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct side {
    struct conn *conn;
    unsigned connected, secured, eof, high, low, closed;
    size_t got;
    size_t most; /* bytes of one event */
    bool wrong_bytes;
    enum conn_close why;
    int error;
    struct tls_info *info;
};

static struct loop loop;
static struct timer watchdog;
static struct side server, client;
static struct acceptor acceptor;
static struct address at;
static const struct tls_context *server_context, *client_context;
static struct tls_stats *server_stats, *client_stats;
static uint64_t handshake_timeout_ms;
static struct tls_tickets *tickets;
static SSL_SESSION *session;
static bool (*done)(void);

/* --- the owner --- */

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

static void put(struct side *s, size_t bytes)
{
    char part[5000];
    for (size_t at_byte = 0; at_byte < bytes;) {
        size_t n = bytes - at_byte < sizeof(part) ? bytes - at_byte : sizeof(part);
        for (size_t i = 0; i < n; i++)
            part[i] = (char)byte_at(at_byte + i);
        assert_true(chain_append_copy(&s->conn->out, &loop.blocks, slice_of(part, n)));
        at_byte += n;
    }
    conn_flush_later(s->conn);
}

static struct side *side_of(struct conn *c)
{
    return c->owner;
}
static void check(void)
{
    if (done && done())
        loop_stop(&loop);
}
static void take_info(struct side *s)
{
    if (!s->info && tls_info_of(s->conn))
        s->info = tls_info_ref(tls_info_of(s->conn));
}
static void ev_connected(struct conn *c)
{
    side_of(c)->connected++;
    check();
}
static void ev_secured(struct conn *c)
{
    side_of(c)->secured++;
    assert_int_equal(side_of(c)->got, 0);
    check();
}
static void ev_data(struct conn *c)
{
    struct side *s = side_of(c);
    s->most = c->in.bytes > s->most ? c->in.bytes : s->most;
    while (!chain_empty(&c->in)) {
        struct slice part = chain_front(&c->in);
        for (size_t i = 0; i < part.len; i++)
            s->wrong_bytes |= (uint8_t)part.ptr[i] != byte_at(s->got + i);
        s->got += part.len;
        chain_drain(&c->in, part.len);
    }
    check();
}
static void ev_eof(struct conn *c)
{
    side_of(c)->eof++;
    check();
}
static void ev_high(struct conn *c)
{
    side_of(c)->high++;
}
static void ev_low(struct conn *c)
{
    side_of(c)->low++;
}
static void ev_closed(struct conn *c, enum conn_close why)
{
    struct side *s = side_of(c);
    s->closed++;
    s->why = why;
    s->error = c->error;
    s->conn = NULL;
    check();
}
static const struct conn_events events = {ev_connected, ev_data,   ev_eof,    ev_high,
                                          ev_low,       ev_closed, ev_secured};

static void accepted(struct acceptor *a, int fd, const struct address *remote)
{
    (void)a;
    server.conn = conn_accepted(&loop, fd, remote, NULL, &events, &server, 65536);
    assert_non_null(server.conn);
    assert_true(tls_start_server(server.conn, server_context, handshake_timeout_ms));
    take_info(&server);
}

/* --- set-up --- */

static void watchdog_fires(struct timer *t)
{
    (void)t;
    fail_msg("the loop waited for 20 s");
}

static void run_until(bool (*condition)(void))
{
    done = condition;
    if (condition())
        return;
    loop.stopping = false;
    loop_run(&loop);
    done = NULL;
}

static void tick_fires(struct timer *t)
{
    check();
    timer_set(&loop, t, 1);
}

/* For what no event tells. */
static void poll_until(bool (*condition)(void))
{
    struct timer tick;
    timer_init(&tick, tick_fires);
    timer_set(&loop, &tick, 1);
    run_until(condition);
    timer_stop(&loop, &tick);
}

static const struct tls_context *make(const struct tls_settings *settings, struct tls_stats *stats)
{
    struct tls_setting_error error;
    const struct tls_context *c = tls_context_create(settings, stats, &error);
    if (!c)
        fail_msg("%s", error.text);
    return c;
}

static const struct tls_context *make_server(struct tls_settings s, const struct test_cert *certs,
                                             size_t count)
{
    struct tls_certificate_pem pems[3] = {0};
    for (size_t i = 0; i < count; i++)
        pems[i] =
            (struct tls_certificate_pem){.chain = slice_str(certs[i].chain), .key = slice_str(certs[i].key)};
    s.server = true;
    s.version_min = s.version_min ? s.version_min : TLS1_2_VERSION;
    s.version_max = s.version_max ? s.version_max : TLS1_3_VERSION;
    s.certificates = pems;
    s.certificates_count = count;
    s.tickets = tickets;
    return make(&s, server_stats);
}

static const struct tls_context *make_client(struct tls_settings s)
{
    s.version_min = s.version_min ? s.version_min : TLS1_2_VERSION;
    s.version_max = s.version_max ? s.version_max : TLS1_3_VERSION;
    return make(&s, client_stats);
}

static int setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    memset(&client, 0, sizeof(client));
    handshake_timeout_ms = 0;
    assert_int_equal(loop_init(&loop), 0);
    timer_init(&watchdog, watchdog_fires);
    timer_set(&loop, &watchdog, 20000);
    server_stats = tls_stats_create(SLICE_LIT("listener.test."));
    client_stats = tls_stats_create(SLICE_LIT("cluster.test."));
    tickets = tls_tickets_create(3600);
    struct address any;
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &any));
    struct listen_options options = {.backlog = 16};
    int fd = listen_socket_open(&any, &options);
    assert_true(fd >= 0 && listen_socket_address(fd, &at));
    assert_int_equal(acceptor_start(&acceptor, &loop, fd, 16, accepted, NULL), 0);
    return 0;
}

static bool both_closed(void)
{
    return !server.conn && !client.conn;
}

static int teardown(void **state)
{
    (void)state;
    if (client.conn)
        conn_close(client.conn, CONN_CLOSE_NOW, 0);
    if (server.conn)
        conn_close(server.conn, CONN_CLOSE_NOW, 0);
    run_until(both_closed);
    timer_stop(&loop, &watchdog);
    acceptor_stop(&acceptor);
    tls_info_unref(&server.info);
    tls_info_unref(&client.info);
    tls_context_unref(&server_context);
    tls_context_unref(&client_context);
    tls_stats_unref(&server_stats);
    tls_stats_unref(&client_stats);
    tls_tickets_unref(&tickets);
    SSL_SESSION_free(session);
    session = NULL;
    loop_fini(&loop);
    return 0;
}

/* Ready for another connection. */
static void again(void)
{
    if (client.conn)
        conn_close(client.conn, CONN_CLOSE_FLUSH, 0);
    if (server.conn)
        conn_close(server.conn, CONN_CLOSE_FLUSH, 0);
    run_until(both_closed);
    tls_info_unref(&client.info);
    tls_info_unref(&server.info);
    memset(&server, 0, sizeof(server));
    memset(&client, 0, sizeof(client));
}

static void connect_client(struct tls_client_options options)
{
    client.conn = conn_connect(&loop, &at, 5000, &events, &client, 65536);
    assert_non_null(client.conn);
    options.session = session;
    assert_true(tls_start_client(client.conn, client_context, &options));
    take_info(&client);
}

static struct test_cert ec_cert(const char *sans)
{
    return test_cert_make(&(struct test_cert_options){.common_name = "server", .sans = sans});
}

/* Default contexts. */
static void start(struct tls_settings s, struct tls_settings c)
{
    struct test_cert cert = ec_cert("DNS:a.example,DNS:b.example,URI:spiffe://weir/x");
    server_context = make_server(s, &cert, 1);
    client_context = make_client(c);
    test_cert_fini(&cert);
    connect_client((struct tls_client_options){.server_name = SLICE_LIT("a.example")});
}

static bool shaken(void)
{
    return client.connected && server.secured;
}
static bool client_closed(void)
{
    return client.closed;
}
static bool server_closed(void)
{
    return server.closed;
}

#define assert_slice(s, text)                                                                                \
    do {                                                                                                     \
        struct slice got_ = (s);                                                                             \
        if (!slice_eq(got_, SLICE_LIT(text)))                                                                \
            fail_msg("got '" SLICE_FMT "', not '%s'", SLICE_ARG(got_), text);                                \
    } while (0)

/* --- handshakes --- */

static void a_handshake_says_what_was_agreed_on(void **state)
{
    (void)state;
    static const struct slice alpn[] = {SLICE_LIT("h2"), SLICE_LIT("http/1.1")};
    static const struct slice offer[] = {SLICE_LIT("http/1.1")};
    start((struct tls_settings){.alpn = alpn, .alpn_count = 2},
          (struct tls_settings){.alpn = offer, .alpn_count = 1});
    run_until(shaken);
    assert_slice(server.info->version, "TLSv1.3");
    assert_slice(client.info->version, "TLSv1.3");
    assert_slice(server.info->alpn, "http/1.1");
    assert_slice(client.info->alpn, "http/1.1");
    assert_slice(server.info->server_name, "a.example");
    assert_slice(server.info->local.subject, "CN=server,O=Weir");
    assert_slice(client.info->peer.subject, "CN=server,O=Weir");
    assert_slice(client.info->peer.issuer, "CN=server,O=Weir");
    assert_slice(client.info->peer.serial, "1234");
    assert_slice(client.info->peer.dns_san, "a.example");
    assert_slice(client.info->peer.uri_san, "spiffe://weir/x");
    assert_int_equal(client.info->peer.dns_sans_count, 2);
    assert_int_equal(client.info->peer_sha256.len, 64);
    assert_true(client.info->peer_presented);
    assert_false(server.info->peer_presented);
    assert_int_equal(stat_value(server_stats->handshake) > 0, 1);
}

static void tls12_is_spoken_too(void **state)
{
    (void)state;
    start((struct tls_settings){.version_max = TLS1_2_VERSION}, (struct tls_settings){0});
    run_until(shaken);
    assert_slice(server.info->version, "TLSv1.2");
    assert_true(slice_starts_with(client.info->cipher, SLICE_LIT("ECDHE-ECDSA-")));
}

static void versions_that_do_not_meet_fail(void **state)
{
    (void)state;
    start((struct tls_settings){.version_min = TLS1_3_VERSION},
          (struct tls_settings){.version_max = TLS1_2_VERSION});
    run_until(both_closed);
    assert_int_equal(server.why, CONN_CLOSE_ERROR);
    assert_int_equal(client.why, CONN_CLOSE_CONNECT_FAILED);
    assert_true(slice_find(server.info->failure, SLICE_LIT("UNSUPPORTED_PROTOCOL")) >= 0);
    assert_true(slice_find(client.info->failure, SLICE_LIT("TLSV1_ALERT_PROTOCOL_VERSION")) >= 0);
    assert_true(slice_starts_with(server.info->failure, SLICE_LIT("TLS_error:|")));
    assert_true(slice_ends_with(server.info->failure, SLICE_LIT(":TLS_error_end")));
}

/* --- certificates --- */

static void the_certificate_follows_the_name(void **state)
{
    (void)state;
    struct test_cert certs[3] = {ec_cert("DNS:first.example"), ec_cert("DNS:b.example"),
                                 ec_cert("DNS:*.w.example")};
    server_context = make_server((struct tls_settings){0}, certs, 3);
    client_context = make_client((struct tls_settings){0});
    for (size_t i = 0; i < 3; i++)
        test_cert_fini(&certs[i]);
    static const char *const names[][2] = {{"b.example", "b.example"},
                                           {"X.w.example", "*.w.example"},
                                           {"w.example", "first.example"},
                                           {"a.b.w.example", "first.example"},
                                           {"", "first.example"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        connect_client((struct tls_client_options){.server_name = slice_str(names[i][0])});
        run_until(shaken);
        assert_true(slice_eq(client.info->peer.dns_san, slice_str(names[i][1])));
        assert_true(slice_eq(server.info->local.dns_san, slice_str(names[i][1])));
        again();
    }
}

static void ecdsa_goes_to_those_who_can(void **state)
{
    (void)state;
    struct test_cert certs[2] = {
        test_cert_make(&(struct test_cert_options){.common_name = "r", .sans = "DNS:s.example", .rsa = true}),
        ec_cert("DNS:s.example")};
    server_context = make_server((struct tls_settings){0}, certs, 2);
    for (size_t i = 0; i < 2; i++)
        test_cert_fini(&certs[i]);
    static const char *const ciphers[] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"};
    for (size_t i = 0; i < 2; i++) {
        client_context = make_client(
            (struct tls_settings){.version_max = TLS1_2_VERSION, .cipher_suites = slice_str(ciphers[i])});
        connect_client((struct tls_client_options){.server_name = SLICE_LIT("s.example")});
        run_until(shaken);
        assert_true(slice_eq(client.info->cipher, slice_str(ciphers[i])));
        again();
        tls_context_unref(&client_context);
    }
}

static void a_name_may_be_required(void **state)
{
    (void)state;
    struct test_cert cert = ec_cert(NULL);
    server_context = make_server((struct tls_settings){.require_sni = true}, &cert, 1);
    client_context = make_client((struct tls_settings){0});
    test_cert_fini(&cert);
    connect_client((struct tls_client_options){.server_name = SLICE_EMPTY});
    run_until(both_closed);
    assert_int_equal(client.why, CONN_CLOSE_CONNECT_FAILED);
}

/* --- bytes --- */

static bool all_arrived(void)
{
    return server.got == 12000000 && client.got == 12000000;
}

static void bodies_go_both_ways_at_once(void **state)
{
    (void)state;
    start((struct tls_settings){0}, (struct tls_settings){0});
    run_until(shaken);
    put(&client, 12000000);
    put(&server, 12000000);
    run_until(all_arrived);
    assert_false(client.wrong_bytes || server.wrong_bytes);
    assert_true(client.high > 0 && client.low > 0);
    assert_true(server.high > 0 && server.low > 0);
    assert_int_equal(client.conn->bytes_in, 12000000);
    assert_int_equal(client.conn->bytes_out, 12000000);
}

static bool client_has_10(void)
{
    return client.got == 10;
}
static bool server_has_10(void)
{
    return server.got == 10;
}

/* What came before the handshake's end and what came while reading was paused is not lost. */
static void paused_bytes_wait(void **state)
{
    (void)state;
    start((struct tls_settings){0}, (struct tls_settings){0});
    put(&client, 10); /* before the connection is there */
    run_until(shaken);
    conn_pause(server.conn, CONN_PAUSE_CODEC);
    put(&server, 10);
    run_until(client_has_10);
    size_t before = server.got;
    assert_true(before == 0 || before == 10);
    conn_resume(server.conn, CONN_PAUSE_CODEC);
    run_until(server_has_10);
}

static bool server_has_all(void)
{
    return server.got == 200000;
}

/* Much waits in the socket: an event reads little more than the owner's watermark. */
static void an_event_reads_what_the_owner_wants(void **state)
{
    (void)state;
    start((struct tls_settings){0}, (struct tls_settings){0});
    run_until(shaken);
    int room = 1 << 20;
    assert_int_equal(setsockopt(client.conn->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    assert_int_equal(setsockopt(server.conn->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    conn_pause(server.conn, CONN_PAUSE_CODEC);
    put(&client, 200000);
    put(&server, 10);
    run_until(client_has_10); /* by then it is in the socket */
    conn_resume(server.conn, CONN_PAUSE_CODEC);
    run_until(server_has_all);
    assert_false(server.wrong_bytes);
    assert_true(server.most <= 65536 + 2 * BLOCK_BYTES);
}

/* --- ends --- */

static bool server_eof(void)
{
    return server.eof > 0;
}
static bool client_eof_and_bytes(void)
{
    return client.eof > 0 && client.got == 500000;
}

static void each_side_ends_on_its_own(void **state)
{
    (void)state;
    start((struct tls_settings){0}, (struct tls_settings){0});
    run_until(shaken);
    put(&client, 10);
    conn_shutdown_write(client.conn);
    run_until(server_eof);
    assert_int_equal(server.got, 10);
    /* The other direction is open. */
    put(&server, 500000);
    conn_shutdown_write(server.conn);
    run_until(client_eof_and_bytes);
    assert_false(client.wrong_bytes);
    assert_int_equal(client.closed + server.closed, 0);
}

static void a_flushing_close_sends_all_and_says_so(void **state)
{
    (void)state;
    start((struct tls_settings){0}, (struct tls_settings){0});
    run_until(shaken);
    put(&server, 60000);
    conn_close(server.conn, CONN_CLOSE_FLUSH, 0);
    run_until(server_closed);
    client.conn->detect_close = false;
    while (!client.eof && !client.closed)
        run_until(client_closed);
    assert_int_equal(client.got, 60000);
}

static bool server_sent_all(void)
{
    return chain_empty(&server.conn->out) && !server.conn->sealed_bytes;
}
static bool server_lingers(void)
{
    return server.conn->write_shut;
}

/* The next byte, in a record to whose packet the kernel adds no other: it would take one however full. */
static void put_record(struct side *s, size_t sent)
{
    struct tls_conn *t = s->conn->transport_state;
    const uint8_t byte = byte_at(sent);
    struct iovec iov[4];
    assert_int_equal(SSL_write(t->ssl, &byte, 1), 1);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = chain_iov(&t->sealed, iov, 4)};
    assert_int_equal(sendmsg(s->conn->fd, &msg, MSG_EOR | MSG_NOSIGNAL), t->sealed.bytes);
    chain_clear(&t->sealed);
}

/* A lingering close waits with the end of TCP until the socket has taken the close_notify before it. */
static bool client_eof(void)
{
    return client.eof;
}
static void a_full_socket_delays_the_end(void **state)
{
    enum { BODY = 100000 };
    const int large = 1 << 20, small = 4096;
    int queued;
    (void)state;
    start((struct tls_settings){0}, (struct tls_settings){0});
    run_until(shaken);
    conn_pause(client.conn, CONN_PAUSE_CODEC);
    assert_int_equal(setsockopt(client.conn->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_int_equal(setsockopt(server.conn->fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large)), 0);
    put(&server, BODY);
    poll_until(server_sent_all);
    put_record(&server, BODY);
    assert_int_equal(setsockopt(server.conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_int_equal(ioctl(server.conn->fd, SIOCOUTQ, &queued), 0);
    assert_true(queued > 4 * small); /* the kernel doubles it */
    conn_close(server.conn, CONN_CLOSE_DELAYED, 15000);
    poll_until(server_lingers);
    conn_resume(client.conn, CONN_PAUSE_CODEC);
    run_until(client_eof);
    assert_int_equal(client.got, BODY + 1);
    const struct tls_conn *t = client.conn->transport_state;
    assert_false(t->ended); /* it was told before the end of TCP */
    conn_close(client.conn, CONN_CLOSE_NOW, 0);
    run_until(both_closed); /* the end of TCP has followed, or the server would wait for its timer */
}

/* The handshake by hand on the far side: a socket of our own and the library's memory. */
static int raw_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &at.sa, at.len), 0);
    return fd;
}

static void start_server_only(struct tls_settings s)
{
    struct test_cert cert = ec_cert(NULL);
    server_context = make_server(s, &cert, 1);
    test_cert_fini(&cert);
}

static void clear_text_is_told(void **state)
{
    (void)state;
    start_server_only((struct tls_settings){0});
    uint64_t before = stat_value(server_stats->connection_error);
    int fd = raw_connect();
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    run_until(server_closed);
    assert_int_equal(server.why, CONN_CLOSE_ERROR);
    assert_int_equal(server.error, EPROTO);
    assert_true(slice_find(server.info->failure, SLICE_LIT("HTTP_REQUEST")) >= 0);
    assert_int_equal(stat_value(server_stats->connection_error), before + 1);
    close(fd);
}

static void a_cut_hello_is_a_close(void **state)
{
    (void)state;
    start_server_only((struct tls_settings){0});
    int fd = raw_connect();
    static const char part[] = "\x16\x03\x01\x02\x00\x01\x00";
    assert_int_equal(write(fd, part, 7), 7);
    close(fd);
    run_until(server_closed);
    assert_int_equal(server.why, CONN_CLOSE_REMOTE);
}

static void silence_ends_by_the_timeout(void **state)
{
    (void)state;
    handshake_timeout_ms = 30;
    start_server_only((struct tls_settings){0});
    int fd = raw_connect();
    run_until(server_closed);
    assert_int_equal(server.why, CONN_CLOSE_CONNECT_TIMEOUT);
    close(fd);
}

static void a_giant_hello_is_refused(void **state)
{
    (void)state;
    start_server_only((struct tls_settings){0});
    int fd = raw_connect();
    static char record[5 + 16384];
    /* A ClientHello that claims 16 MiB - 1. */
    memcpy(record, "\x16\x03\x01\x40\x00\x01\xff\xff\xff", 9);
    assert_int_equal(write(fd, record, sizeof(record)), sizeof(record));
    run_until(server_closed);
    assert_int_equal(server.why, CONN_CLOSE_ERROR);
    assert_true(slice_find(server.info->failure, SLICE_LIT("EXCESSIVE_MESSAGE_SIZE")) >= 0);
    close(fd);
}

/* --- sessions --- */

static int keep_session(SSL *ssl, SSL_SESSION *fresh)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = fresh;
    return 1;
}
static bool have_session(void)
{
    return session != NULL && client.got == 10;
}

static void resume(uint16_t version, bool renew_context)
{
    struct test_cert cert = ec_cert("DNS:a.example");
    server_context = make_server((struct tls_settings){0}, &cert, 1);
    client_context = make_client((struct tls_settings){.version_max = version});
    SSL_CTX *ctx = tls_context_ssl_ctx(client_context);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    for (unsigned i = 0; i < 2; i++) {
        connect_client((struct tls_client_options){.server_name = SLICE_LIT("a.example")});
        run_until(shaken);
        assert_int_equal(server.info->resumed, i == 1);
        assert_int_equal(client.info->resumed, i == 1);
        assert_slice(client.info->peer.dns_san, "a.example");
        put(&server, 10); /* tickets of TLS 1.3 go along */
        run_until(have_session);
        if (i == 1)
            break;
        again();
        if (renew_context) { /* the same names, new keys: a reload */
            struct test_cert other = ec_cert("DNS:a.example");
            tls_context_unref(&server_context);
            server_context = make_server((struct tls_settings){0}, &other, 1);
            test_cert_fini(&other);
        }
    }
    test_cert_fini(&cert);
}

static void tls13_resumes(void **state)
{
    (void)state;
    resume(TLS1_3_VERSION, false);
}
static void tls12_resumes(void **state)
{
    (void)state;
    resume(TLS1_2_VERSION, false);
}
static void a_session_outlives_a_reload(void **state)
{
    (void)state;
    resume(TLS1_3_VERSION, true);
}

/* --- the verifier --- */

/* `cert` is the authority; NULL: none, and any certificate will do. */
static struct tls_verify *verify_by(const struct test_cert *cert)
{
    struct tls_verify_config config = {.trusted_ca = cert ? slice_str(cert->chain) : SLICE_EMPTY,
                                       .accept_untrusted = !cert};
    struct tls_verify *v;
    assert_int_equal(tls_verify_create(&config, &v), TLS_VERIFY_OK);
    return v;
}

static void a_peer_may_be_refused(void **state)
{
    (void)state;
    uint64_t before = stat_value(client_stats->fail_verify_error);
    struct test_cert other = ec_cert(NULL);
    start((struct tls_settings){0}, (struct tls_settings){.verify = verify_by(&other)});
    test_cert_fini(&other);
    run_until(both_closed);
    assert_int_equal(client.why, CONN_CLOSE_CONNECT_FAILED);
    assert_true(slice_find(client.info->failure, SLICE_LIT("CERTIFICATE_VERIFY_FAILED")) >= 0);
    assert_int_equal(stat_value(client_stats->fail_verify_error), before + 1);
    assert_true(slice_find(server.info->failure, SLICE_LIT("UNKNOWN_CA")) >= 0);
}

static void a_client_without_certificate_is_refused(void **state)
{
    (void)state;
    uint64_t before = stat_value(server_stats->fail_verify_no_cert);
    struct test_cert ca = ec_cert(NULL);
    start((struct tls_settings){.require_client_certificate = true,
                                .version_max = TLS1_2_VERSION,
                                .verify = verify_by(&ca)},
          (struct tls_settings){0});
    test_cert_fini(&ca);
    run_until(both_closed);
    assert_true(slice_find(server.info->failure, SLICE_LIT("PEER_DID_NOT_RETURN_A_CERTIFICATE")) >= 0);
    assert_int_equal(stat_value(server_stats->fail_verify_no_cert), before + 1);
}

static void a_client_certificate_is_known(void **state)
{
    (void)state;
    for (unsigned trusted = 0; trusted < 2; trusted++) {
        struct test_cert cert = ec_cert(NULL), mine = ec_cert("URI:spiffe://weir/client");
        struct tls_certificate_pem pem = {.chain = slice_str(mine.chain), .key = slice_str(mine.key)};
        server_context =
            make_server((struct tls_settings){.verify = verify_by(trusted ? &mine : NULL)}, &cert, 1);
        client_context = make_client((struct tls_settings){.certificates = &pem, .certificates_count = 1});
        test_cert_fini(&cert);
        test_cert_fini(&mine);
        SSL_CTX *ctx = tls_context_ssl_ctx(client_context);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
        for (unsigned resumed = 0; resumed < 2; resumed++) {
            connect_client((struct tls_client_options){.server_name = SLICE_EMPTY});
            run_until(shaken);
            assert_int_equal(server.info->resumed, resumed);
            assert_true(server.info->peer_presented);
            assert_int_equal(server.info->peer_validated, trusted);
            assert_slice(server.info->peer.uri_san, "spiffe://weir/client");
            assert_true(
                slice_starts_with(server.info->peer_pem, SLICE_LIT("-----BEGIN%20CERTIFICATE-----%0A")));
            put(&server, 10); /* the ticket goes along */
            run_until(have_session);
            again();
        }
        SSL_SESSION_free(session);
        session = NULL;
        tls_context_unref(&server_context);
        tls_context_unref(&client_context);
    }
}

/* --- settings --- */

static void expect(struct tls_settings s, enum tls_setting setting, const char *part)
{
    struct tls_setting_error error;
    s.version_min = s.version_min ? s.version_min : TLS1_2_VERSION;
    s.version_max = s.version_max ? s.version_max : TLS1_3_VERSION;
    s.server = true;
    s.tickets = tickets;
    const struct tls_context *c = tls_context_create(&s, server_stats, &error);
    assert_null(c);
    if (error.setting != setting || !strstr(error.text, part))
        fail_msg("%d: '%s'", (int)error.setting, error.text);
}

static void settings_are_checked(void **state)
{
    (void)state;
    struct test_cert a = ec_cert(NULL), b = ec_cert(NULL);
    struct tls_certificate_pem good = {.chain = slice_str(a.chain), .key = slice_str(a.key)};
    struct tls_settings base = {.certificates = &good, .certificates_count = 1};
    struct tls_settings s = base;
    struct tls_certificate_pem bad = good;
    s.certificates = &bad;
    bad.key = slice_str(b.key);
    expect(s, TLS_SETTING_KEY, "not that of the certificate");
    bad.key = SLICE_LIT("nonsense");
    expect(s, TLS_SETTING_KEY, "no PEM private key");
    bad = good;
    bad.chain = SLICE_LIT("");
    expect(s, TLS_SETTING_CHAIN, "no PEM certificate");
    bad.chain = SLICE_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect(s, TLS_SETTING_CHAIN, "cannot be read");
    s = base;
    s.cipher_suites = SLICE_LIT("ECDHE-RSA-AES128-GCM-SHA256:NO-SUCH");
    expect(s, TLS_SETTING_CIPHERS, "unknown");
    s = base;
    s.groups = SLICE_LIT("P-256:no");
    expect(s, TLS_SETTING_GROUPS, "unknown");
    s = base;
    s.sigalgs = SLICE_LIT("no");
    expect(s, TLS_SETTING_SIGALGS, "unknown");
    s = base;
    s.version_min = TLS1_3_VERSION;
    s.version_max = TLS1_2_VERSION;
    expect(s, TLS_SETTING_VERSIONS, "above");
    static const struct slice empty_alpn[] = {SLICE_LIT("")};
    s = base;
    s.alpn = empty_alpn;
    s.alpn_count = 1;
    expect(s, TLS_SETTING_ALPN, "1 to 255");
    test_cert_fini(&a);
    test_cert_fini(&b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_handshake_says_what_was_agreed_on),
        T(tls12_is_spoken_too),
        T(versions_that_do_not_meet_fail),
        T(the_certificate_follows_the_name),
        T(ecdsa_goes_to_those_who_can),
        T(a_name_may_be_required),
        T(bodies_go_both_ways_at_once),
        T(an_event_reads_what_the_owner_wants),
        T(paused_bytes_wait),
        T(each_side_ends_on_its_own),
        T(a_flushing_close_sends_all_and_says_so),
        T(a_full_socket_delays_the_end),
        T(clear_text_is_told),
        T(a_cut_hello_is_a_close),
        T(silence_ends_by_the_timeout),
        T(a_giant_hello_is_refused),
        T(tls13_resumes),
        T(tls12_resumes),
        T(a_session_outlives_a_reload),
        T(a_peer_may_be_refused),
        T(a_client_without_certificate_is_refused),
        T(a_client_certificate_is_known),
        T(settings_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
