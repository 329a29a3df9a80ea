/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection manager over real sockets: bad requests first, then keep-alive, pipelining, bodies, early
 * answers, aborts, timeouts, trust headers, paths, local replies, upgrades and draining.
 */
#include "rig.h"

static struct rig rig;

/* --- A terminal filter: /echo gives the body back, /hang never answers, /headers lists what it got --- */

struct responder {
    bool hang;
    bool echo;
    bool slow;
    struct filter *self;
    struct timer timer;
};

static atomic_uint destroyed, completed;
static atomic_uint_fast64_t last_flags;
static char last_details[128];
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;

static struct header_map *ok_headers(struct filter *f)
{
    struct header_map *m = ARENA_NEW(&f->stream->arena, struct header_map);
    header_map_init(m, &f->stream->arena, 100, 65536);
    header_map_set_id(m, HDR_STATUS, SLICE_LIT("200"));
    return m;
}

static void reply_text(struct filter *f, struct slice text)
{
    struct local_reply reply = {
        .status = 200, .body = text, .details = SLICE_LIT("direct_response"), .grpc_status = -1};
    assert_true(filter_local_reply(f, &reply));
}

static void list_headers(struct filter *f, const struct header_map *m)
{
    char text[8192];
    size_t n = 0;
    uint32_t cursor = 0;
    for (const struct header *h = header_map_next(m, &cursor); h; h = header_map_next(m, &cursor)) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, SLICE_FMT "=" SLICE_FMT "\n", SLICE_ARG(h->name),
                              SLICE_ARG(h->value));
        assert_true(n < sizeof(text));
    }
    char remote[ADDRESS_TEXT_MAX];
    n += (size_t)snprintf(text + n, sizeof(text) - n, "remote=%s\n",
                          address_format_ip(f->stream->info.downstream_remote, remote));
    reply_text(f, slice_of(text, n));
}

static void slow_fires(struct timer *t)
{
    struct responder *r = WEIR_CONTAINER_OF(t, struct responder, timer);
    reply_text(r->self, SLICE_LIT("slow"));
}

static enum filter_headers_status responder_headers(struct filter *f, struct header_map *headers, bool end)
{
    struct responder *r = f->state;
    struct slice path = header_map_get_id(headers, HDR_PATH);
    (void)end;
    r->self = f;
    if (slice_eq(path, SLICE_LIT("/hang"))) {
        r->hang = true;
    } else if (slice_eq(path, SLICE_LIT("/slow"))) {
        timer_init(&r->timer, slow_fires);
        timer_set(&f->stream->worker->loop, &r->timer, 20);
    } else if (slice_eq(path, SLICE_LIT("/echo"))) {
        r->echo = true;
        filter_encode_headers(f, ok_headers(f), end);
    } else if (slice_eq(path, SLICE_LIT("/upgrade"))) {
        struct header_map *m = ok_headers(f);
        header_map_set_id(m, HDR_STATUS, SLICE_LIT("101"));
        header_map_set_id(m, HDR_UPGRADE, SLICE_LIT("websocket"));
        r->echo = true;
        filter_encode_headers(f, m, false);
    } else if (slice_eq(path, SLICE_LIT("/bad"))) {
        struct header_map *m = ok_headers(f);
        header_map_remove_id(m, HDR_STATUS);
        filter_encode_headers(f, m, true);
    } else if (slice_eq(path, SLICE_LIT("/hello"))) {
        reply_text(f, SLICE_LIT("hello"));
    } else if (slice_starts_with(path, SLICE_LIT("/begin"))) {
        struct chain data;
        filter_encode_headers(f, ok_headers(f), false);
        chain_init(&data);
        chain_append_copy(&data, &f->stream->worker->loop.blocks, SLICE_LIT("part"));
        filter_encode_data(f, &data, false);
        chain_fini(&data);
    } else {
        list_headers(f, headers);
    }
    return FILTER_HEADERS_STOP;
}

static enum filter_data_status responder_data(struct filter *f, struct chain *data, bool end)
{
    struct responder *r = f->state;
    if (r->echo)
        filter_encode_data(f, data, end);
    return FILTER_DATA_STOP_NO_BUFFER;
}

static enum filter_trailers_status responder_trailers(struct filter *f, struct header_map *trailers)
{
    struct responder *r = f->state;
    if (r->echo)
        filter_encode_trailers(f, trailers);
    return FILTER_TRAILERS_STOP;
}

static void responder_complete(struct filter *f)
{
    pthread_mutex_lock(&last_lock);
    snprintf(last_details, sizeof(last_details), SLICE_FMT, SLICE_ARG(f->stream->info.details));
    pthread_mutex_unlock(&last_lock);
    atomic_store(&last_flags, f->stream->info.flags);
    completed++;
}

static void responder_destroy(struct filter *f)
{
    struct responder *r = f->state;
    timer_stop(&f->stream->worker->loop, &r->timer);
    destroyed++;
}

static void responder_backpressure(struct filter *f, bool on)
{
    filter_request_backpressure(f, on);
}

static const struct filter_ops responder_ops = {
    .name = "test.responder",
    .state_bytes = sizeof(struct responder),
    .request_headers = responder_headers,
    .request_data = responder_data,
    .request_trailers = responder_trailers,
    .complete = responder_complete,
    .destroy = responder_destroy,
    .response_backpressure = responder_backpressure,
};

static int setup(void **state)
{
    (void)state;
    destroyed = completed = 0;
    rig_init(&rig);
    rig.hcm->delayed_close_timeout_ms = 100;
    rig_filter(&rig, &responder_ops, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static void await_completed(unsigned n)
{
    RIG_AWAIT(atomic_load(&destroyed) >= n);
}

static void expect_details(const char *text)
{
    pthread_mutex_lock(&last_lock);
    assert_string_equal(last_details, text);
    pthread_mutex_unlock(&last_lock);
}

/* One request on a connection of its own; the answer to the end of the connection. */
static char *exchange(const char *request)
{
    static char answer[1 << 18];
    struct client *c = client_open(&rig);
    client_send(c, request);
    client_rest(c);
    memcpy(answer, c->buf, c->len + 1);
    client_close(c);
    return answer;
}

/* --- Bad requests --- */

static void malformed(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        const char *status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "HTTP/1.1 400"},
        {"GET / HTTP/1.1\r\nhost: a\r\nx : b\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
         "HTTP/1.1 400"},
        {"GET / HTTP/1.0\r\nhost: a\r\n\r\n", "HTTP/1.1 426"},
        {"GARBAGE\r\n\r\n", "HTTP/1.1 400"},
        {"\x16\x03\x01", "HTTP/1.1 400"},
    };
    rig_start(&rig);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char *answer = exchange(rows[i].request);
        if (strncmp(answer, rows[i].status, strlen(rows[i].status)) != 0)
            fail_msg("row %zu: %s", i, answer);
        assert_has(answer, "connection: close\r\n");
    }
}

static void too_large(void **state)
{
    (void)state;
    rig.hcm->max_headers_count = 10;
    rig_start(&rig);
    char request[2048] = "GET / HTTP/1.1\r\nhost: a\r\n";
    for (int i = 0; i < 12; i++)
        strncat(request, "a: b\r\n", sizeof(request) - strlen(request) - 1);
    strncat(request, "\r\n", sizeof(request) - strlen(request) - 1);
    assert_has(exchange(request), "HTTP/1.1 431");
}

static void bad_body_after_headers(void **state)
{
    (void)state;
    rig_start(&rig);
    const char *answer =
        exchange("POST /hang HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    assert_has(answer, "HTTP/1.1 400 Bad Request\r\n");
    assert_has(answer, "connection: close\r\n");
    await_completed(1);
    assert_true(last_flags & RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR));
}

static void absolute_path(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_has(client_until(c, "\r\n\r\n"), "HTTP/1.1 404 Not Found\r\n");
    client_forget(c);
    client_send(c, "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n"); /* the connection goes on */
    assert_has(client_until(c, "\r\n\r\n"), "HTTP/1.1 400");
    client_close(c);
}

/* --- The ordinary --- */

static void keep_alive(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    for (int i = 0; i < 3; i++) {
        client_send(c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        const char *answer = client_until(c, "hello");
        assert_has(answer, "HTTP/1.1 200 OK\r\n");
        assert_has(answer, "content-length: 5\r\n");
        assert_has(answer, "content-type: text/plain\r\n");
        assert_has(answer, "server: envoy\r\n");
        assert_has(answer, "date: ");
        assert_has_not(answer, "connection:");
        client_forget(c);
    }
    client_close(c);
    const struct hcm_stats *stats = &rig.hcm->stats;
    RIG_AWAIT(stat_value(stats->downstream_cx_active) == 0);
    assert_true(stat_value(stats->downstream_rq_2xx) >= 3);
    assert_int_equal(stat_value(stats->downstream_rq_active), 0);
}

static void request_in_pieces(void **state)
{
    (void)state;
    static const char request[] = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    rig_start(&rig);
    struct client *c = client_open(&rig);
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        char one[2] = {request[i], 0};
        client_send(c, one);
        poll(NULL, 0, 1);
    }
    assert_has(client_until(c, "0\r\n\r\n"), "1\r\na\r\n");
    client_close(c);
}

static void pipelining(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"
                   "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n"
                   "GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
                   "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    const char *all = client_rest(c);
    const char *first = strstr(all, "slow"), *second = strstr(all, "hello");
    assert_true(first && second && first < second);
    assert_has(second, "slow");
    assert_has(second, "connection: close\r\n");
    assert_null(strstr(second + 5, "hello")); /* what follows a last request is dropped */
    client_close(c);
}

/* More requests in one read than streams may wait for their destruction. */
static void many_pipelined(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static char requests[COUNT * 64];
    size_t used = 0;
    for (int i = 0; i < COUNT; i++)
        used += (size_t)snprintf(requests + used, sizeof(requests) - used,
                                 "GET /hello HTTP/1.1\r\n%shost:a\r\n\r\n",
                                 i < COUNT - 1 ? "" : "connection:close\r\n");
    rig_start(&rig);
    char *answers = exchange(requests);
    int found = 0;
    for (char *p = answers; (p = strstr(p, "hello")); p += 5)
        found++;
    assert_int_equal(found, COUNT);
    await_completed(COUNT);
}

static void head_and_echo_trailers(void **state)
{
    (void)state;
    rig.hcm->http1.enable_trailers = true;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "HEAD /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_has(client_until(c, "\r\n\r\n"), "content-length: 5\r\n");
    assert_has_not(c->buf, "hello");
    client_forget(c);
    client_send(c,
                "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: "
                "v\r\n\r\n");
    assert_has(client_until(c, "x-t: v\r\n\r\n"), "3\r\nabc\r\n0\r\n");
    client_close(c);
}

static void expect_continue(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n");
    assert_has(client_until(c, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(c, "abc");
    client_until(c, "0\r\n\r\n");
    client_close(c);
}

/* --- Ends out of the ordinary --- */

static void early_answer_closes(void **state)
{
    (void)state;
    rig_start(&rig);
    const char *answer = exchange("POST /hello HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\npart");
    assert_has(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "connection: close\r\n");
    assert_has(answer, "hello");
}

static void client_aborts(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "GET /hang HTTP/1.1\r\nhost: a\r\n\r\n");
    RIG_AWAIT(stat_value(rig.hcm->stats.downstream_rq_active) == 1);
    client_close(c);
    await_completed(1);
    assert_true(last_flags & RESPONSE_FLAG(DOWNSTREAM_CONNECTION_TERMINATION));
    expect_details("downstream_remote_disconnect");
}

static void half_close_is_an_abort(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "GET /hang HTTP/1.1\r\nhost: a\r\n\r\n");
    shutdown(c->fd, SHUT_WR);
    assert_string_equal(client_rest(c), "");
    client_close(c);
    await_completed(1);
    c = client_open(&rig);
    client_send(c, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    shutdown(c->fd, SHUT_WR);
    assert_has(client_rest(c), "hello"); /* a complete answer still goes out */
    client_close(c);
}

static void response_without_status(void **state)
{
    (void)state;
    rig_start(&rig);
    assert_has(exchange("GET /bad HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"), "HTTP/1.1 502");
    await_completed(1);
    expect_details("filter_removed_required_response_headers{missing_required_header:_:status}");
}

static void stream_idle_timeout(void **state)
{
    (void)state;
    rig.hcm->stream_idle_timeout_ms = 30;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "GET /hang HTTP/1.1\r\nhost: a\r\n\r\n");
    const char *answer = client_until(c, "stream timeout");
    assert_has(answer, "HTTP/1.1 504");
    client_close(c);
    await_completed(1);
    assert_true(last_flags & RESPONSE_FLAG(STREAM_IDLE_TIMEOUT));
    expect_details("stream_idle_timeout");
    answer = exchange("POST /hang HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n");
    assert_has(answer, "HTTP/1.1 408");
    assert_has(answer, "connection: close");
}

/* After the response has begun a timeout can only cut the connection. */
static void idle_after_headers(void **state)
{
    (void)state;
    rig.hcm->stream_idle_timeout_ms = 30;
    rig_start(&rig);
    const char *answer = exchange("GET /begin HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_has(answer, "part");
    assert_has_not(answer, "0\r\n\r\n");
    await_completed(1);
    expect_details("stream_idle_timeout");
}

static void request_timeouts(void **state)
{
    (void)state;
    rig.hcm->request_timeout_ms = 30;
    rig_start(&rig);
    assert_has(exchange("POST /hang HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"), "request timeout");
    expect_details("request_overall_timeout");
}

static void request_headers_timeout(void **state)
{
    (void)state;
    rig.hcm->request_headers_timeout_ms = 30;
    rig_start(&rig);
    const char *answer = exchange("GET /hello HTTP/1.1\r\nho");
    assert_has(answer, "HTTP/1.1 408");
    assert_has(answer, "request header timeout");
}

static void connection_idle_timeout(void **state)
{
    (void)state;
    rig.hcm->idle_timeout_ms = 30;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    client_rest(c);
    client_close(c);
    assert_true(stat_value(rig.hcm->stats.downstream_cx_idle_timeout) >= 1);
}

static void max_requests(void **state)
{
    (void)state;
    rig.hcm->max_requests_per_connection = 2;
    rig_start(&rig);
    const char *all =
        exchange("GET /hello HTTP/1.1\r\nhost: a\r\n\r\nGET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    const char *close_at = strstr(all, "connection: close");
    assert_non_null(close_at);
    assert_true(close_at > strstr(all, "hello"));
}

/* --- What the request looks like behind the manager --- */

static void trust_headers_default(void **state)
{
    (void)state;
    rig_start(&rig);
    const char *a =
        exchange("GET /x HTTP/1.1\r\nhost: a.b:80\r\nx-forwarded-for: 9.9.9.9, 8.8.8.8\r\n"
                 "x-envoy-retry-on: 5xx\r\nx-envoy-internal: true\r\nx-envoy-original-path: /y\r\n"
                 "te: gzip\r\nconnection: close\r\n\r\n");
    assert_has(a, ":authority=a.b:80\n");
    assert_has(a, "x-forwarded-for=9.9.9.9, 8.8.8.8\n");
    assert_has(a, "remote=8.8.8.8\n");
    assert_has(a, "x-forwarded-proto=http\n");
    assert_has(a, ":scheme=http\n");
    assert_has(a, "x-envoy-original-path=/y\n"); /* only an edge removes it */
    assert_has_not(a, "x-envoy-retry-on");
    assert_has_not(a, "x-envoy-internal");
    assert_has_not(a, "\nte=");
    const char *id = strstr(a, "x-request-id=");
    assert_non_null(id);
    assert_int_equal(strcspn(id + 13, "\n"), 36);
    assert_int_equal(id[13 + 14], '4');
}

static void trust_headers_edge(void **state)
{
    (void)state;
    rig.hcm->use_remote_address = true;
    rig_start(&rig);
    const char *a =
        exchange("GET /x HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: https\r\n"
                 "x-request-id: mine\r\nx-envoy-original-path: /y\r\nconnection: close\r\n\r\n");
    assert_has(a, "x-forwarded-for=9.9.9.9,");
    assert_has(a, "x-forwarded-proto=http\n");
    assert_has(a, "remote=127.0.0.1\n");
    assert_has(a, "x-envoy-external-address=127.0.0.1\n");
    assert_has_not(a, "x-request-id=mine");
    assert_has_not(a, "original-path");
}

static void user_agent(void **state)
{
    (void)state;
    rig.hcm->add_user_agent = true;
    rig.hcm->service_cluster = SLICE_LIT("front");
    rig_start(&rig);
    const char *a = exchange("GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_has(a, "x-envoy-downstream-service-cluster=front\n");
    assert_has(a, "user-agent=front\n");
    a = exchange("GET /x HTTP/1.1\r\nhost: a\r\nuser-agent: own\r\nconnection: close\r\n\r\n");
    assert_has(a, "user-agent=own\n");
}

static void trust_headers_internal(void **state)
{
    (void)state;
    static struct cidr loopback;
    assert_true(cidr_init(&loopback, SLICE_LIT("127.0.0.0"), 8));
    rig.hcm->use_remote_address = true;
    rig.hcm->internal_ranges = &loopback;
    rig.hcm->internal_ranges_count = 1;
    rig_start(&rig);
    const char *a =
        exchange("GET /x HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\nx-envoy-retry-on: 5xx\r\nconnection: "
                 "close\r\n\r\n");
    assert_has(a, "x-envoy-internal=true\n");
    assert_has(a, "x-request-id=mine\n");
    assert_has(a, "x-envoy-retry-on=5xx\n");
}

static void paths_and_hosts(void **state)
{
    (void)state;
    rig.hcm->normalize_path = true;
    rig.hcm->merge_slashes = true;
    rig.hcm->strip_any_host_port = true;
    rig_start(&rig);
    const char *a =
        exchange("GET /a/../%62//c?x=%2e%2e HTTP/1.1\r\nhost: h:8080\r\nconnection: close\r\n\r\n");
    assert_has(a, ":path=/b/c?x=%2e%2e\n");
    assert_has(a, ":authority=h\n");
}

static void escaped_slashes_redirect(void **state)
{
    (void)state;
    rig.hcm->escaped_slashes = HCM_SLASHES_UNESCAPE_AND_REDIRECT;
    rig_start(&rig);
    const char *a = exchange("GET /a%2Fb HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    assert_has(a, "HTTP/1.1 307");
    assert_has(a, "location: /a/b\r\n");
}

static void underscores(void **state)
{
    (void)state;
    rig.hcm->underscores = HCM_UNDERSCORES_DROP_HEADER;
    rig_start(&rig);
    const char *a = exchange("GET /x HTTP/1.1\r\nhost: h\r\na_b: c\r\nd: e\r\nconnection: close\r\n\r\n");
    assert_has_not(a, "a_b");
    assert_has(a, "d=e\n");
}

/* --- Local replies, upgrades, drain --- */

static void grpc_reply(void **state)
{
    (void)state;
    rig.hcm->stream_idle_timeout_ms = 30;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(
        c, "POST /hang HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n");
    const char *a = client_until(c, "\r\n\r\n");
    assert_has(a, "HTTP/1.1 200 OK\r\n");
    assert_has(a, "grpc-status: 14\r\n");
    assert_has(a, "grpc-message: stream timeout\r\n");
    client_close(c);
}

static void upgrade_refused(void **state)
{
    (void)state;
    rig_start(&rig);
    assert_has(
        exchange("GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        "HTTP/1.1 403");
    await_completed(1);
    expect_details("upgrade_failed");
}

static void upgrade_passes_bytes(void **state)
{
    (void)state;
    static const struct hcm_upgrade websocket = {.type = {"websocket", 9}, .enabled = true};
    rig.hcm->upgrades = &websocket;
    rig.hcm->upgrades_count = 1;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c,
                "GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\r\nearly");
    const char *a = client_until(c, "early");
    assert_has(a, "HTTP/1.1 101 Switching Protocols\r\n");
    assert_has(a, "upgrade: websocket\r\n");
    client_send(c, "GET / bytes");
    client_until(c, "GET / bytes");
    client_close(c);
    await_completed(1);
}

static atomic_bool drained;
static void on_drained(struct worker *w, void *arg)
{
    (void)w;
    (void)arg;
    drained = true;
}

static void drain_ends_connections(void **state)
{
    (void)state;
    rig_start(&rig);
    struct client *idle = client_open(&rig), *busy = client_open(&rig);
    client_send(idle, "GET /hello HTTP/1.1\r\nhost: h\r\n\r\n");
    client_until(idle, "hello");
    client_send(busy, "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    RIG_AWAIT(stat_value(rig.hcm->stats.downstream_rq_active) == 1);
    drained = false;
    worker_drain(rig.worker, on_drained, NULL);
    client_forget(idle);
    assert_string_equal(client_rest(idle), "");
    const char *a = client_rest(busy);
    assert_has(a, "slow");
    assert_has(a, "connection: close\r\n");
    client_close(idle);
    client_close(busy);
    RIG_AWAIT(atomic_load(&drained));
}

/* A client that does not read must not make the proxy hold more than the limit. */
static void slow_reader(void **state)
{
    (void)state;
    rig.listener->per_connection_buffer_limit_bytes = 32768;
    rig_start(&rig);
    struct client *c = client_open(&rig);
    client_send(c, "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    char chunk[4096 + 16];
    int n = snprintf(chunk, sizeof(chunk), "1000\r\n%04096d\r\n", 0);
    size_t sent = 0, got = 0;
    for (int i = 0; i < 2000; i++) { /* 8 MiB, more than the sockets hold */
        size_t off = 0;
        while (off < (size_t)n) {
            struct pollfd p = {.fd = c->fd, .events = POLLOUT | POLLIN};
            assert_true(poll(&p, 1, RIG_DEADLINE_MS) > 0);
            if (p.revents & POLLOUT) {
                ssize_t k = send(c->fd, chunk + off, (size_t)n - off, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (k > 0)
                    off += (size_t)k;
            } else {
                ssize_t k = recv(c->fd, c->buf, sizeof(c->buf), 0);
                assert_true(k > 0);
                got += (size_t)k;
            }
        }
        sent += 4096; /* chunks may be framed anew */
    }
    client_send(c, "0\r\n\r\n");
    char tail[8] = {0};
    while (memcmp(tail + 3, "0\r\n\r\n", 5) != 0) {
        ssize_t k = recv(c->fd, c->buf, sizeof(c->buf), 0);
        assert_true(k > 0);
        got += (size_t)k;
        for (ssize_t i = k > 8 ? k - 8 : 0; i < k; i++) {
            memmove(tail, tail + 1, 7);
            tail[7] = c->buf[i];
        }
    }
    assert_true(got >= sent);
    client_close(c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(malformed),
        T(too_large),
        T(bad_body_after_headers),
        T(absolute_path),
        T(keep_alive),
        T(request_in_pieces),
        T(pipelining),
        T(many_pipelined),
        T(head_and_echo_trailers),
        T(expect_continue),
        T(early_answer_closes),
        T(client_aborts),
        T(half_close_is_an_abort),
        T(response_without_status),
        T(stream_idle_timeout),
        T(idle_after_headers),
        T(request_timeouts),
        T(request_headers_timeout),
        T(connection_idle_timeout),
        T(max_requests),
        T(trust_headers_default),
        T(trust_headers_edge),
        T(trust_headers_internal),
        T(user_agent),
        T(paths_and_hosts),
        T(escaped_slashes_redirect),
        T(underscores),
        T(grpc_reply),
        T(upgrade_refused),
        T(upgrade_passes_bytes),
        T(drain_ends_connections),
        T(slow_reader),
    };
    forwarded_init();
    return cmocka_run_group_tests_name("downstream", tests, NULL, NULL);
}
