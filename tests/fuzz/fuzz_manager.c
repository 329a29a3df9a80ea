/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the connection manager and the filter manager. The input's first bytes are a script that two filters
 * and a terminal one follow (statuses, continuing, local replies, resets, bodies and trailers made); the rest
 * is what a client sends, cut at 0xff. What must hold for any of it: no crash, no callback after destroy, one
 * destroy per filter, nothing left when the client has gone.
 */
#include "proxy/downstream.h"
#include "proxy/forwarded.h"
#include "proxy/listener/incoming.h"
#include "proxy/stream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SCRIPT_BYTES    16u
#define INPUT_BYTES_MAX 32768u
#define WAITING_MAX     64u
/* Turns after which a closed connection must be gone. */
#define TURNS_MAX 400

static struct worker *worker;
static struct listener *listener;
static struct hcm_config *hcm;
static uint8_t script[SCRIPT_BYTES];
static unsigned script_at;
static unsigned alive; /* filters between init and destroy */

struct state {
    struct filter *self;
    bool destroyed;
    bool answered;
};

/* Filters that asked to go on later: from outside of any callback. */
static struct {
    struct filter *filter;
    bool response;
    bool reply;
} waiting[WAITING_MAX];
static unsigned waiting_count;

static uint8_t next_step(void)
{
    return script[script_at++ % SCRIPT_BYTES];
}

static void reply(struct filter *f)
{
    static const struct local_reply_header header = {{"x-fuzz", 6}, {"a\nb", 3}};
    struct local_reply r = {.status = 403,
                            .body = SLICE_LIT("no"),
                            .details = SLICE_LIT("fuzz"),
                            .grpc_status = -1,
                            .headers = &header,
                            .headers_count = 1};
    (void)filter_local_reply(f, &r);
}

static void wait_for(struct filter *f, bool response, bool with_reply)
{
    if (waiting_count == WAITING_MAX)
        return;
    waiting[waiting_count].filter = f;
    waiting[waiting_count].response = response;
    waiting[waiting_count].reply = with_reply;
    waiting_count++;
}

static void go_on(struct filter *f, bool response)
{
    if (response)
        filter_continue_response(f);
    else
        filter_continue_request(f);
}

/* The upper bits of a step. */
static void act(struct filter *f, uint8_t step, bool response)
{
    struct state *st = f->state;
    WEIR_ASSERT(!st->destroyed && st->self == f);
    switch (step >> 3 & 15) {
    case 1:
        go_on(f, response);
        break;
    case 2:
    case 3:
        wait_for(f, response, false);
        break;
    case 4:
        wait_for(f, response, true);
        break;
    case 5:
        reply(f);
        break;
    case 6:
        filter_reset_stream(f, "fuzz");
        break;
    case 7:
        (void)(response ? filter_add_response_trailers(f) : filter_add_request_trailers(f));
        break;
    case 8:
        chain_append_copy(response ? filter_response_body(f) : filter_request_body(f), NULL,
                          SLICE_LIT("made"));
        break;
    case 9:
        go_on(f, !response);
        break;
    case 10:
        filter_clear_route(f);
        break;
    default:
        break;
    }
}

static bool on_init(struct filter *f)
{
    struct state *st = f->state;
    st->self = f;
    alive++;
    return true;
}

static void on_destroy(struct filter *f)
{
    struct state *st = f->state;
    WEIR_ASSERT(!st->destroyed && alive > 0);
    st->destroyed = true;
    alive--;
    for (unsigned i = 0; i < waiting_count;) {
        if (waiting[i].filter == f)
            waiting[i] = waiting[--waiting_count];
        else
            i++;
    }
}

static enum filter_headers_status headers_step(struct filter *f, bool response)
{
    uint8_t step = next_step();
    act(f, step, response);
    return (enum filter_headers_status)((step & 7) % 5);
}
static enum filter_headers_status on_headers(struct filter *f, struct header_map *h, bool end)
{
    (void)h;
    (void)end;
    return headers_step(f, false);
}
static enum filter_headers_status on_r_headers(struct filter *f, struct header_map *h, bool end)
{
    (void)h;
    (void)end;
    return headers_step(f, true);
}
static enum filter_data_status data_step(struct filter *f, struct chain *data, bool response)
{
    uint8_t step = next_step();
    if (step & 128)
        chain_append_copy(data, NULL, SLICE_LIT("more"));
    act(f, step, response);
    return (enum filter_data_status)(step & 3);
}
static enum filter_data_status on_data(struct filter *f, struct chain *data, bool end)
{
    (void)end;
    return data_step(f, data, false);
}
static enum filter_data_status on_r_data(struct filter *f, struct chain *data, bool end)
{
    (void)end;
    return data_step(f, data, true);
}
static enum filter_trailers_status on_trailers(struct filter *f, struct header_map *t)
{
    uint8_t step = next_step();
    (void)t;
    act(f, step, false);
    return (enum filter_trailers_status)(step & 1);
}
static enum filter_trailers_status on_r_trailers(struct filter *f, struct header_map *t)
{
    uint8_t step = next_step();
    (void)t;
    act(f, step, true);
    return (enum filter_trailers_status)(step & 1);
}

static const struct filter_ops scripted = {
    .name = "scripted",
    .state_bytes = sizeof(struct state),
    .init = on_init,
    .request_headers = on_headers,
    .request_data = on_data,
    .request_trailers = on_trailers,
    .response_headers = on_r_headers,
    .response_data = on_r_data,
    .response_trailers = on_r_trailers,
    .destroy = on_destroy,
};

/* The terminal filter answers at headers, or at the end of the request. */
static void answer(struct filter *f)
{
    struct state *st = f->state;
    struct chain data;
    uint8_t step = next_step();
    struct header_map *m = ARENA_NEW(&f->stream->arena, struct header_map);
    if (!m || st->answered)
        return;
    st->answered = true;
    header_map_init(m, &f->stream->arena, 20, 4096);
    header_map_set_id(m, HDR_STATUS, step & 1 ? SLICE_LIT("200") : SLICE_LIT("204"));
    if (step & 2)
        header_map_set_id(m, HDR_CONTENT_LENGTH, SLICE_LIT("6"));
    filter_encode_headers(f, m, !(step & 4));
    if (!(step & 4))
        return;
    chain_init(&data);
    chain_append_copy(&data, NULL, SLICE_LIT("answer"));
    filter_encode_data(f, &data, !(step & 8));
    chain_fini(&data);
    struct header_map *t = ARENA_NEW(&f->stream->arena, struct header_map);
    if (!t || !(step & 8))
        return;
    header_map_init(t, &f->stream->arena, 20, 4096);
    filter_encode_trailers(f, t);
}

static enum filter_headers_status end_headers(struct filter *f, struct header_map *h, bool end)
{
    (void)h;
    if (end || next_step() & 1)
        answer(f);
    return FILTER_HEADERS_STOP;
}
static enum filter_data_status end_data(struct filter *f, struct chain *data, bool end)
{
    (void)data;
    if (end)
        answer(f);
    return FILTER_DATA_STOP_NO_BUFFER;
}
static enum filter_trailers_status end_trailers(struct filter *f, struct header_map *t)
{
    (void)t;
    answer(f);
    return FILTER_TRAILERS_STOP;
}

static const struct filter_ops terminal = {
    .name = "terminal",
    .state_bytes = sizeof(struct state),
    .init = on_init,
    .request_headers = end_headers,
    .request_data = end_data,
    .request_trailers = end_trailers,
    .destroy = on_destroy,
};

static void set_up(void)
{
    static struct filter_config filters[] = {
        {.ops = &scripted, .name = {"a", 1}}, {.ops = &scripted, .name = {"b", 1}}, {.ops = &terminal}};
    struct listener_config *config = listener_config_create();
    int fd;
    struct address bound = {0};
    forwarded_init();
    hcm = hcm_config_create();
    worker = worker_create(0);
    WEIR_ASSERT(hcm && worker && config);
    hcm->stat_prefix = SLICE_LIT("fuzz");
    hcm->filters.items = filters;
    hcm->filters.count = 3;
    hcm->http1.enable_trailers = true;
    hcm->http1.accept_http_10 = true;
    hcm->use_remote_address = true;
    hcm->normalize_path = true;
    hcm->stream_idle_timeout_ms = 0;
    hcm_config_seal(hcm);
    config->chains = arena_calloc(&config->arena, 1, sizeof(struct filter_chain));
    config->chains[0].hcm = hcm;
    config->chains_count = 1;
    config->per_connection_buffer_limit_bytes = 256;
    WEIR_ASSERT(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &config->main.where));
    listener_config_seal(config);
    WEIR_ASSERT(listener_open(config, &config->main, 1, &fd, &bound) == 0);
    listener = listener_create(worker, config, &config->main, fd);
    WEIR_ASSERT(listener);
}

static void turns(unsigned n, int far, bool read_answers)
{
    char buf[4096];
    for (unsigned i = 0; i < n; i++) {
        uv_run(&worker->loop.uv, UV_RUN_NOWAIT);
        while (read_answers && far >= 0 && read(far, buf, sizeof(buf)) > 0)
            ;
    }
}

/* One filter that waits goes on, from outside. */
static void wake_one(void)
{
    if (waiting_count == 0)
        return;
    unsigned i = next_step() % waiting_count;
    struct filter *f = waiting[i].filter;
    bool response = waiting[i].response, with_reply = waiting[i].reply;
    waiting[i] = waiting[--waiting_count];
    if (with_reply)
        reply(f);
    else
        go_on(f, response);
}

static void send_piece(int far, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(far, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            return; /* the other side is gone, or takes no more for now: the rest is lost */
        data += n;
        size -= (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct address none = {.len = 0};
    int fds[2];
    if (!worker)
        set_up();
    if (size < SCRIPT_BYTES || size > INPUT_BYTES_MAX)
        return 0;
    memcpy(script, data, SCRIPT_BYTES);
    script_at = 0;
    bool read_answers = !(data[0] & 64);
    data += SCRIPT_BYTES;
    size -= SCRIPT_BYTES;
    WEIR_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    WEIR_ASSERT(incoming_accept(listener, fds[0], &none));
    stat_inc(listener->config->stats.downstream_cx_active);
    listener->connections_count++;
    worker->connections++;
    while (size > 0) {
        const uint8_t *cut = memchr(data, 0xff, size);
        size_t n = cut ? (size_t)(cut - data) : size;
        send_piece(fds[1], data, n);
        turns(2, fds[1], read_answers);
        wake_one();
        turns(1, fds[1], read_answers);
        n += cut != NULL;
        data += n;
        size -= n;
    }
    for (unsigned i = 0; i < 4; i++) {
        wake_one();
        turns(1, fds[1], read_answers);
    }
    close(fds[1]);
    for (unsigned i = 0; worker->connections > 0; i++) {
        WEIR_ASSERT(i < TURNS_MAX); /* the client has gone: so must its connection */
        turns(1, -1, false);
    }
    WEIR_ASSERT(alive == 0 && waiting_count == 0);
    return 0;
}
