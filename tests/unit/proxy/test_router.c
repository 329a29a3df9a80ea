/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The router against upstreams that behave and that do not: what the client gets, what is logged and counted.
 * The expected texts are Envoy's.
 */
#include "proxy_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"
#define OK_2      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

static struct proxy_fixture f;
static struct heard h;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_fini(&f);
    return 0;
}

static void start_plain(void)
{
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up");
    fixture_start(&f);
}

/* The client sends, the upstream reads it whole and answers with `answer`. Returns the client's socket. */
static int exchange(const char *request, const char *answer, int *upstream)
{
    int c = dial(f.port);
    say(c, request);
    if (*upstream < 0)
        *upstream = accept_upstream(&f);
    assert_heard(*upstream, &h, "\r\n\r\n");
    if (answer)
        say(*upstream, answer);
    return c;
}

static void forwards_and_reuses(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/a?b=1"), OK_2, &u);
    assert_has(&h, "GET /a?b=1 HTTP/1.1\r\n");
    assert_has(&h, "x-envoy-expected-rq-timeout-ms: 15000\r\n");
    assert_heard(c, &h, "ok");
    assert_has(&h, "HTTP/1.1 200 OK\r\n");
    assert_has(&h, "x-envoy-upstream-service-time: ");
    assert_logged(&f, 1, "200 - via_upstream");
    say(c, GET("/second"));
    assert_heard(u, &h, "\r\n\r\n"); /* on the same upstream connection */
    assert_has(&h, "GET /second ");
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    assert_stat("cluster.up.upstream_cx_total", 1);
    assert_stat("cluster.up.upstream_rq_total", 2);
    assert_stat("cluster.up.upstream_rq_200", 2);
    assert_stat("cluster.up.upstream_rq_active", 0);
    close(c);
    close(u);
}

static void body_both_ways(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = dial(f.port);
    say(c, "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    u = accept_upstream(&f);
    assert_heard(u, &h, "3\r\nabc\r\n");
    say(c, "4\r\ndefg\r\n0\r\n\r\n");
    assert_heard(u, &h, "0\r\n\r\n");
    assert_has(&h, "4\r\ndefg\r\n");
    say(u, "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_heard(c, &h, "5\r\nhello\r\n");
    assert_has(&h, "201 Created");
    say(u, "0\r\n\r\n");
    assert_heard(c, &h, "0\r\n\r\n");
    assert_logged(&f, 1, "201 - via_upstream");
    close(c);
    close(u);
}

static void no_route_is_404(void **state)
{
    (void)state;
    add_route(&f, "/only", "up");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, GET("/other"));
    assert_heard(c, &h, "\r\n\r\n");
    assert_has(&h, "404 Not Found");
    assert_logged(&f, 1, "404 NR route_not_found");
    close(c);
}

static void no_cluster_is_503(void **state)
{
    (void)state;
    add_route(&f, "/", "nobody");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, GET("/"));
    assert_heard(c, &h, "\r\n\r\n");
    assert_has(&h, "503 Service Unavailable");
    assert_has(&h, "content-length: 0");
    assert_logged(&f, 1, "503 NC cluster_not_found");
    close(c);
}

static void no_host_is_503(void **state)
{
    (void)state;
    put_cluster(&f, make_cluster("empty", 0));
    add_route(&f, "/", "empty");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, GET("/"));
    assert_heard(c, &h, "no healthy upstream");
    assert_logged(&f, 1, "503 UH no_healthy_upstream");
    assert_stat("cluster.empty.upstream_cx_none_healthy", 1);
    close(c);
}

static void refused_connection(void **state)
{
    (void)state;
    uint16_t port;
    close(listen_any(&port, 1));
    put_cluster(&f, make_cluster("up", port));
    add_route(&f, "/", "up");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, GET("/"));
    assert_heard(c, &h,
                 "upstream connect error or disconnect/reset before headers. reset reason: remote connection "
                 "failure");
    assert_has(&h, "503 Service Unavailable");
    assert_logged(
        &f, 1,
        "503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_"
        "Connection_refused}");
    assert_stat("cluster.up.upstream_cx_connect_fail", 1);
    assert_stat("cluster.up.upstream_rq_pending_failure_eject", 1);
    assert_stat("cluster.up.upstream_cx_active", 0);
    close(c);
}

/* A listener whose queue is full never answers the handshake. */
static void connect_timeout(void **state)
{
    (void)state;
    uint16_t port;
    int full = listen_any(&port, 0), fill[8];
    for (int i = 0; i < 8; i++) {
        struct sockaddr_in a = {
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (struct sockaddr *)&a, sizeof(a));
    }
    struct cluster_config *config = make_cluster("up", port);
    config->connect_timeout_ms = 100;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, GET("/"));
    assert_heard(c, &h, "reset reason: connection timeout");
    assert_logged(&f, 1, "503 UF upstream_reset_before_response_started{connection_timeout}");
    assert_stat("cluster.up.upstream_cx_connect_timeout", 1);
    close(c);
    for (int i = 0; i < 8; i++)
        close(fill[i]);
    close(full);
}

static void closed_before_answer(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/"), NULL, &u);
    close(u);
    assert_heard(c, &h, "reset reason: connection termination");
    assert_has(&h, "503 Service Unavailable");
    assert_logged(&f, 1, "503 UC upstream_reset_before_response_started{connection_termination}");
    assert_stat("cluster.up.upstream_cx_destroy_remote_with_active_rq", 1);
    close(c);
}

static void reset_before_answer(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/"), NULL, &u);
    struct linger l = {1, 0};
    setsockopt(u, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    close(u);
    assert_heard(c, &h, "reset reason: connection termination");
    assert_logged(&f, 1, "503 UC upstream_reset_before_response_started{connection_termination}");
    close(c);
}

static void garbage_is_502(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/"), "blah blah\r\n\r\n", &u);
    assert_heard(c, &h, "reset reason: protocol error");
    assert_has(&h, "502 Bad Gateway");
    assert_logged(&f, 1, "502 UPE upstream_reset_before_response_started{protocol_error}");
    assert_stat("cluster.up.upstream_cx_protocol_error", 1);
    close(c);
    close(u);
}

static void head_cut_short_is_502(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/"), "HTTP/1.1 200 OK\r\ncont", &u);
    close(u);
    assert_heard(c, &h, "reset reason: protocol error");
    assert_logged(&f, 1, "502 UPE upstream_reset_before_response_started{protocol_error}");
    close(c);
}

static void body_cut_short_closes(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/"), "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", &u);
    close(u);
    assert_heard(c, &h, NULL);
    assert_has(&h, "\r\n\r\nabc");
    assert_logged(&f, 1, "200 UPE upstream_reset_after_response_started{protocol_error}");
    assert_stat("http.t.rq_reset_after_downstream_response_started", 1);
    close(c);
}

static void timeout_before_answer(void **state)
{
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up")->action.timeout_ms = 1000;
    fixture_start(&f);
    int u = -1, c = exchange(GET("/"), NULL, &u);
    assert_has(&h, "x-envoy-expected-rq-timeout-ms: 1000\r\n");
    assert_heard(c, &h, "upstream request timeout");
    assert_has(&h, "504 Gateway Timeout");
    assert_logged(&f, 1, "504 UT response_timeout");
    assert_stat("cluster.up.upstream_rq_timeout", 1);
    assert_heard(u, &h, NULL); /* the connection is not used again */
    close(c);
    close(u);
}

static void timeout_inside_answer(void **state)
{
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up")->action.timeout_ms = 1000;
    fixture_start(&f);
    int u = -1, c = exchange(GET("/"), "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", &u);
    assert_heard(c, &h, NULL);
    assert_has(&h, "\r\n\r\nabc");
    assert_logged(&f, 1, "200 UT response_timeout");
    close(c);
    close(u);
}

/* Only an internal client may steer the router. */
static void trust_loopback(struct hcm_config *hcm)
{
    struct cidr *range = ARENA_NEW(&hcm->arena, struct cidr);
    assert_true(cidr_init(range, SLICE_LIT("127.0.0.0"), 8));
    hcm->use_remote_address = true;
    hcm->internal_ranges = range;
    hcm->internal_ranges_count = 1;
}

static void timeout_header(void **state)
{
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up");
    fixture_start_with(&f, trust_loopback);
    int u = -1, c = exchange("GET / HTTP/1.1\r\nhost: a\r\nx-envoy-upstream-rq-timeout-ms: 1000\r\n"
                             "x-envoy-retry-on: 5xx\r\n\r\n",
                             NULL, &u);
    assert_has(&h, "x-envoy-expected-rq-timeout-ms: 1000\r\n");
    assert_has_not(&h, "x-envoy-upstream-rq-timeout-ms");
    assert_has_not(&h, "x-envoy-retry-on");
    assert_heard(c, &h, "upstream request timeout");
    close(c);
    close(u);
}

static void answer_before_the_request_ended(void **state)
{
    (void)state;
    start_plain();
    int c = dial(f.port);
    say(c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    int u = accept_upstream(&f);
    assert_heard(u, &h, "abc");
    say(u, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    assert_heard(c, &h, NULL); /* answered, then closed */
    assert_has(&h, "403 Forbidden");
    assert_has_not(&h, "x-envoy-upstream-service-time");
    assert_heard(u, &h, NULL);
    assert_logged(&f, 1, "403 - via_upstream");
    close(c);
    close(u);
}

static void client_gone_resets_upstream(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/"), NULL, &u);
    close(c);
    assert_heard(u, &h, NULL);
    assert_stat("cluster.up.upstream_cx_destroy_local_with_active_rq", 1);
    assert_stat("cluster.up.upstream_rq_active", 0);
    close(u);
}

static void stale_connection_is_not_used(void **state)
{
    (void)state;
    start_plain();
    int u = -1, c = exchange(GET("/1"), OK_2, &u);
    assert_heard(c, &h, "ok");
    close(u);
    assert_stat("cluster.up.upstream_cx_active", 0);
    say(c, GET("/2"));
    u = accept_upstream(&f);
    assert_heard(u, &h, "GET /2 ");
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    close(c);
    close(u);
}

static void connection_close_is_honoured(void **state)
{
    (void)state;
    start_plain();
    int u = -1,
        c = exchange(GET("/1"), "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", &u);
    assert_heard(c, &h, "ok");
    assert_has_not(&h, "connection: close"); /* hop by hop */
    assert_heard(u, &h, NULL);
    close(u);
    say(c, GET("/2"));
    u = accept_upstream(&f);
    assert_heard(u, &h, "GET /2 ");
    say(u, "HTTP/1.1 200 OK\r\n\r\nto the end");
    close(u);
    assert_heard(c, &h, "0\r\n\r\n");
    assert_has(&h, "to the end");
    assert_logged(&f, 2, "200 - via_upstream");
    close(c);
}

static void informational_and_trailers(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->http1_enable_trailers = true;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1,
        c = exchange(GET("/"),
                     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
                     "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n",
                     &u);
    assert_heard(c, &h, "0\r\n");
    assert_true(strncmp(h.text, "HTTP/1.1 200 OK\r\n", 17) == 0); /* Envoy passes no 1xx on by default */
    close(c);
    close(u);
}

static void too_many_requests(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->breakers[BREAKER_DEFAULT].max_requests = 1;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1, c = exchange(GET("/1"), NULL, &u);
    int c2 = dial(f.port);
    say(c2, GET("/2"));
    int u2 = accept_upstream(&f);
    assert_heard(c2, &h, "reset reason: overflow");
    assert_has(&h, "x-envoy-overloaded: true");
    assert_logged(&f, 1, "503 UO upstream_reset_before_response_started{overflow}");
    assert_stat("cluster.up.upstream_rq_active_overflow", 1);
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    close(c);
    close(c2);
    close(u);
    close(u2);
}

static void pending_queue_and_overflow(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->breakers[BREAKER_DEFAULT].max_connections = 1;
    config->breakers[BREAKER_DEFAULT].max_pending_requests = 1;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1, c = exchange(GET("/1"), NULL, &u);
    int c2 = dial(f.port);
    say(c2, GET("/2"));
    assert_stat("cluster.up.upstream_rq_pending_active", 1);
    int c3 = dial(f.port);
    say(c3, GET("/3"));
    assert_heard(c3, &h, "reset reason: overflow");
    assert_stat("cluster.up.upstream_rq_pending_overflow", 1);
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    assert_heard(u, &h, "GET /2 "); /* the one connection serves the waiting request */
    say(u, OK_2);
    assert_heard(c2, &h, "ok");
    assert_stat("cluster.up.upstream_cx_total", 1);
    assert_stat("cluster.up.upstream_cx_overflow", 1);
    close(c);
    close(c2);
    close(c3);
    close(u);
}

static void waiting_client_goes(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->breakers[BREAKER_DEFAULT].max_connections = 1;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1, c = exchange(GET("/1"), NULL, &u);
    int c2 = dial(f.port);
    say(c2, GET("/2"));
    assert_stat("cluster.up.upstream_rq_pending_active", 1);
    close(c2);
    assert_stat("cluster.up.upstream_rq_pending_active", 0);
    assert_stat("cluster.up.upstream_rq_cancelled", 1);
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    close(c);
    close(u);
}

static void limited_requests_per_connection(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->max_requests_per_connection = 1;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1, c = exchange(GET("/1"), OK_2, &u);
    assert_heard(c, &h, "ok");
    assert_heard(u, &h, NULL);
    close(u);
    assert_stat("cluster.up.upstream_cx_max_requests", 1);
    close(c);
}

static void idle_connection_times_out(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->idle_timeout_ms = 100;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1, c = exchange(GET("/1"), OK_2, &u);
    assert_heard(c, &h, "ok");
    assert_heard(u, &h, NULL);
    assert_stat("cluster.up.upstream_cx_idle_timeout", 1);
    close(u);
    close(c);
}

static void redirect_and_direct_response(void **state)
{
    (void)state;
    struct route *r = add_route(&f, "/r", "");
    r->kind = ROUTE_REDIRECT;
    r->redirect.path = SLICE_LIT("/new");
    r->redirect.status = 302;
    r = add_route(&f, "/d", "");
    r->kind = ROUTE_DIRECT_RESPONSE;
    r->response.status = 200;
    r->response.body = SLICE_LIT("hello");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, GET("/r?a=1"));
    assert_heard(c, &h, "\r\n\r\n");
    assert_has(&h, "302 Found");
    assert_has(&h, "location: http://a/new?a=1\r\n");
    assert_logged(&f, 1, "302 - direct_response");
    say(c, GET("/d"));
    assert_heard(c, &h, "hello");
    assert_has(&h, "content-type: text/plain");
    assert_logged(&f, 2, "200 - direct_response");
    close(c);
}

/* A slow client must not make the proxy swallow a whole answer: the upstream is stopped instead. */
/* Fills the sockets' buffers and our limit, and says how much that took: no more is taken, and `paused` was
 * counted. A worker that gets no time just now takes nothing either. */
static size_t send_until_paused(int fd, size_t total, const char *paused)
{
    static const char block[65536];
    const struct timeval short_wait = {0, 300000};
    size_t sent = 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &short_wait, sizeof(short_wait));
    for (int waits = 0; sent < total && waits < 100; waits++) {
        ssize_t n;
        while (sent < total && (n = send(fd, block, sizeof(block), MSG_NOSIGNAL)) > 0)
            sent += (size_t)n;
        if (stat_now(paused) > 0)
            break;
    }
    assert_true(sent < total);
    assert_true(stat_now(paused) > 0);
    set_deadline(fd);
    return sent;
}

static void slow_client_stops_the_upstream(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->buffer_bytes_max = 65536;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int u = -1, c = exchange(GET("/"), "HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n", &u);
    static char block[65536];
    size_t total = 67108864;
    size_t sent = send_until_paused(u, total, "cluster.up.upstream_flow_control_paused_reading_total");
    size_t got = 0;
    while (got < total) {
        while (sent < total) {
            size_t ask = total - sent < sizeof(block) ? total - sent : sizeof(block);
            ssize_t n = send(u, block, ask, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n <= 0)
                break;
            sent += (size_t)n;
        }
        ssize_t n = TEMP_FAILURE_RETRY(recv(c, block, sizeof(block), 0));
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_logged(&f, 1, "200 - via_upstream");
    close(c);
    close(u);
}

static void slow_upstream_stops_the_client(void **state)
{
    (void)state;
    struct cluster_config *config = make_cluster("up", f.upstream_port);
    config->buffer_bytes_max = 65536;
    put_cluster(&f, config);
    add_route(&f, "/", "up");
    fixture_start(&f);
    int c = dial(f.port);
    say(c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 67108864\r\n\r\n");
    int u = accept_upstream(&f);
    static char block[65536];
    size_t total = 67108864;
    size_t sent = send_until_paused(c, total, "http.t.downstream_flow_control_paused_reading_total");
    assert_heard(u, &h, "\r\n\r\n");
    size_t got = h.len - (size_t)(strstr(h.text, "\r\n\r\n") + 4 - h.text);
    while (got < total) {
        while (sent < total) {
            size_t ask = total - sent < sizeof(block) ? total - sent : sizeof(block);
            ssize_t n = send(c, block, ask, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n <= 0)
                break;
            sent += (size_t)n;
        }
        ssize_t n = TEMP_FAILURE_RETRY(recv(u, block, sizeof(block), 0));
        assert_true(n > 0);
        got += (size_t)n;
    }
    say(u, OK_2);
    assert_heard(c, &h, "ok");
    close(c);
    close(u);
}

static void allow_websocket(struct hcm_config *hcm)
{
    struct hcm_upgrade *upgrade = ARENA_NEW(&hcm->arena, struct hcm_upgrade);
    upgrade->type = SLICE_LIT("websocket");
    upgrade->enabled = true;
    hcm->upgrades = upgrade;
    hcm->upgrades_count = 1;
}

#define HANDSHAKE "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"

static void start_websocket(void)
{
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up")->action.timeout_ms = 1000; /* does not end an upgraded stream */
    fixture_start_with(&f, allow_websocket);
}

static void websocket(void **state)
{
    (void)state;
    start_websocket();
    int u = -1,
        c = exchange(HANDSHAKE,
                     "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                     "\r\nfrom upstream",
                     &u);
    assert_has(&h, "upgrade: websocket\r\n");
    assert_heard(c, &h, "from upstream");
    assert_has(&h, "101 Switching Protocols");
    say(c, "from client");
    assert_heard(u, &h, "from client");
    poll(NULL, 0, 1100);
    say(u, "still there");
    assert_heard(c, &h, "still there");
    close(u);
    assert_heard(c, &h, NULL);
    close(c);
}

static void websocket_answered_with_200(void **state)
{
    (void)state;
    start_websocket();
    int u = -1, c = exchange(HANDSHAKE, OK_2, &u);
    assert_heard(c, &h, "\r\n\r\n");
    assert_has(&h, "HTTP/1.1 200 OK");
    assert_has(&h, "content-length: 0");
    assert_logged(&f, 1, "200 - websocket_handshake_unsuccessful");
    assert_heard(u, &h, NULL);
    close(c);
    close(u);
}

static void websocket_answered_with_403(void **state)
{
    (void)state;
    start_websocket();
    int u = -1, c = exchange(HANDSHAKE, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", &u);
    assert_heard(c, &h, "\r\n\r\nno");
    assert_logged(&f, 1, "403 - via_upstream");
    close(c);
    close(u);
}

/* A filter as a broken plugin would be. */
static enum filter_headers_status remove_path(struct filter *filter, struct header_map *headers, bool end)
{
    (void)filter;
    (void)end;
    header_map_remove_id(headers, HDR_PATH);
    return FILTER_HEADERS_CONTINUE;
}

/* One that changes the body but not its length. */
static enum filter_data_status lengthen_body(struct filter *filter, struct chain *data, bool end)
{
    (void)filter;
    (void)end;
    chain_append_copy(data, NULL, SLICE_LIT("more than was said"));
    return FILTER_DATA_CONTINUE;
}

static const struct filter_ops remove_path_ops = {.name = "remove-path", .request_headers = remove_path};
static const struct filter_ops lengthen_ops = {.name = "lengthen", .request_data = lengthen_body};

static void prepend(struct hcm_config *hcm, const struct filter_ops *ops)
{
    struct filter_config router = hcm->filters.items[0];
    hcm->filters.items = ARENA_NEW_N(&hcm->arena, struct filter_config, 2);
    hcm->filters.items[0] = (struct filter_config){.ops = ops, .name = SLICE_LIT("broken")};
    hcm->filters.items[1] = router;
    hcm->filters.count = 2;
}

static void with_remove_path(struct hcm_config *hcm)
{
    prepend(hcm, &remove_path_ops);
}

static void with_lengthen(struct hcm_config *hcm)
{
    prepend(hcm, &lengthen_ops);
}

static void filter_removes_the_path(void **state)
{
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up");
    fixture_start_with(&f, with_remove_path);
    int c = dial(f.port);
    say(c, GET("/"));
    assert_heard(c, &h, "missing required header: :path");
    assert_has(&h, "503 Service Unavailable");
    assert_logged(&f, 1, "503 DPE filter_removed_required_request_headers{missing_required_header:_:path}");
    close(c);
}

static void filter_lengthens_the_body(void **state)
{
    (void)state;
    put_cluster(&f, make_cluster("up", f.upstream_port));
    add_route(&f, "/", "up");
    fixture_start_with(&f, with_lengthen);
    int c = dial(f.port);
    say(c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
    int u = accept_upstream(&f);
    assert_heard(c, &h, "reset reason: local reset");
    assert_has(&h, "503 Service Unavailable");
    assert_logged(&f, 1, "503 LR upstream_reset_before_response_started{local_reset}");
    assert_heard(u, &h, NULL);
    assert_has_not(&h, "more than was said"); /* no second request hides in it */
    close(c);
    close(u);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(filter_removes_the_path),
        T(filter_lengthens_the_body),
        T(no_route_is_404),
        T(no_cluster_is_503),
        T(no_host_is_503),
        T(refused_connection),
        T(connect_timeout),
        T(closed_before_answer),
        T(reset_before_answer),
        T(garbage_is_502),
        T(head_cut_short_is_502),
        T(body_cut_short_closes),
        T(timeout_before_answer),
        T(timeout_inside_answer),
        T(timeout_header),
        T(answer_before_the_request_ended),
        T(client_gone_resets_upstream),
        T(stale_connection_is_not_used),
        T(connection_close_is_honoured),
        T(informational_and_trailers),
        T(too_many_requests),
        T(pending_queue_and_overflow),
        T(waiting_client_goes),
        T(limited_requests_per_connection),
        T(idle_connection_times_out),
        T(redirect_and_direct_response),
        T(websocket),
        T(websocket_answered_with_200),
        T(websocket_answered_with_403),
        T(slow_client_stops_the_upstream),
        T(slow_upstream_stops_the_client),
        T(forwards_and_reuses),
        T(body_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
