/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network filters in front of the connection manager: order, stopping and going on, bytes changed and added
 * both ways, the end of the client's side, closing from anywhere, the limit of what is kept.
 */
#include "proxy/listener/network_chain.h"
#include "rig.h"

#include <ctype.h>

static struct rig rig;

enum what {
    DO_NOTHING,
    DO_STOP,
    DO_STOP_CONTINUE,
    DO_STOP_LATER,
    DO_CLOSE,
    DO_CLOSE_LATER,
    DO_REPLACE,
    DO_ADD
};

struct script {
    const char *name;
    enum what fresh;   /* new connection */
    enum what data[2]; /* by direction */
    size_t want;       /* downstream data are stopped until so many bytes are there */
};

struct state {
    struct network_filter *self;
    struct timer timer;
    enum what later;
    enum network_direction direction;
    bool done;
};

static char trace[4096];
static size_t trace_len;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t held_most;

static __attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&lock);
    va_start(args, format);
    trace_len += (size_t)vsnprintf(trace + trace_len, sizeof(trace) - trace_len, format, args);
    va_end(args);
    pthread_mutex_unlock(&lock);
}

static bool traced(const char *text)
{
    pthread_mutex_lock(&lock);
    bool found = strstr(trace, text) != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}

static const struct script *script_of(const struct network_filter *f)
{
    return f->config->config;
}

static void later(struct timer *t)
{
    struct state *st = WEIR_CONTAINER_OF(t, struct state, timer);
    note("%s later; ", script_of(st->self)->name);
    if (st->later == DO_CLOSE_LATER)
        network_filter_close(st->self, CONN_CLOSE_NOW);
    else
        network_filter_continue(st->self, st->direction);
}

static void init(struct network_filter *f)
{
    struct state *st = f->state;
    st->self = f;
    timer_init(&st->timer, later);
}

static enum network_status act(struct network_filter *f, enum what what, enum network_direction d)
{
    struct state *st = f->state;
    switch (what) {
    case DO_STOP:
        return NETWORK_STOP;
    case DO_STOP_CONTINUE:
        network_filter_continue(f, d);
        return NETWORK_STOP;
    case DO_STOP_LATER:
    case DO_CLOSE_LATER:
        if (st->done)
            return NETWORK_CONTINUE;
        st->done = true;
        st->later = what;
        st->direction = d;
        timer_set(&f->chain->worker->loop, &st->timer, 5);
        return NETWORK_STOP;
    case DO_CLOSE:
        network_filter_close(f, CONN_CLOSE_NOW);
        return NETWORK_STOP;
    default:
        return NETWORK_CONTINUE;
    }
}

static enum network_status new_connection(struct network_filter *f)
{
    note("%s new; ", script_of(f)->name);
    return act(f, script_of(f)->fresh, NETWORK_DOWNSTREAM_DATA);
}

static void replace(struct chain *data)
{
    char text[1024];
    assert_true(data->bytes <= sizeof(text));
    size_t n = chain_copy_out(data, 0, text, sizeof(text));
    chain_clear(data);
    for (size_t i = 0; i + 5 <= n; i++) {
        if (memcmp(text + i, "/from", 5) == 0)
            memcpy(text + i, "/into", 5);
    }
    assert_true(chain_append_copy(data, NULL, slice_of(text, n)));
}

static enum network_status data(struct network_filter *f, enum network_direction d, struct chain *bytes,
                                bool end)
{
    const struct script *s = script_of(f);
    note("%s %s%s; ", s->name, d == NETWORK_DOWNSTREAM_DATA ? "in" : "out", end ? " end" : "");
    if (bytes->bytes > held_most)
        held_most = bytes->bytes;
    if (d == NETWORK_DOWNSTREAM_DATA && bytes->bytes < s->want && !end)
        return NETWORK_STOP;
    if (s->data[d] == DO_REPLACE)
        replace(bytes);
    if (s->data[d] == DO_ADD) {
        struct chain more;
        chain_init(&more);
        assert_true(chain_append_copy(&more, NULL, SLICE_LIT("ADDED")));
        struct state *st = f->state;
        if (!st->done)
            assert_true(network_filter_inject(f, d, &more));
        st->done = true;
        chain_fini(&more);
    }
    return act(f, s->data[d], d);
}

static void closed(struct network_filter *f, bool remote)
{
    note("%s closed %s; ", script_of(f)->name, remote ? "remote" : "local");
}

static void log_it(struct network_filter *f)
{
    note("%s log %d; ", script_of(f)->name, network_filter_stream(f)->info.request_body_bytes > 0);
}

static void destroy(struct network_filter *f)
{
    struct state *st = f->state;
    timer_stop(&f->chain->worker->loop, &st->timer);
    note("%s destroyed; ", script_of(f)->name);
}

static const struct network_filter_ops ops = {
    .name = "test",
    .state_bytes = sizeof(struct state),
    .init = init,
    .new_connection = new_connection,
    .data = data,
    .closed = closed,
    .log = log_it,
    .destroy = destroy,
};

/* Answers with the path. */
static enum filter_headers_status answer(struct filter *f, struct header_map *headers, bool end)
{
    (void)end;
    struct local_reply r = {.status = 200,
                            .body = header_map_get_id(headers, HDR_PATH),
                            .details = SLICE_LIT("test"),
                            .grpc_status = -1};
    filter_local_reply(f, &r);
    return FILTER_HEADERS_STOP;
}
static const struct filter_ops answering = {.name = "answering", .request_headers = answer};

static struct network_filter_config configs[3];

static void begin(const struct script *scripts, size_t count, uint32_t limit)
{
    trace_len = 0;
    trace[0] = '\0';
    held_most = 0;
    rig_init(&rig);
    rig_filter(&rig, &answering, NULL);
    if (limit)
        rig.listener->per_connection_buffer_limit_bytes = limit;
    for (size_t i = 0; i < count; i++)
        configs[i] = (struct network_filter_config){.ops = &ops, .config = &scripts[i]};
    rig_start_network(&rig, configs, count);
}

static void finish(struct client *c)
{
    client_close(c);
    RIG_AWAIT(traced("a destroyed"));
    rig_stop(&rig);
}

static const char request[] = "GET /from HTTP/1.1\r\nhost: h\r\n\r\n";

static void everything_passes_in_order(void **state)
{
    (void)state;
    static const struct script scripts[] = {{.name = "a"}, {.name = "b"}};
    begin(scripts, 2, 0);
    struct client *c = client_open(&rig);
    client_send(c, request);
    client_until(c, "/from");
    finish(c);
    assert_string_equal(trace, "a new; b new; a in; b in; b out; a out; a in end; b in end; a closed remote; "
                               "b closed remote; a log 1; a destroyed; b log 1; b destroyed; ");
}

static void stop_at_the_beginning(void **state)
{
    (void)state;
    static const struct script later_on[] = {{.name = "a", .fresh = DO_STOP_LATER}, {.name = "b"}};
    begin(later_on, 2, 0);
    struct client *c = client_open(&rig);
    RIG_AWAIT(traced("b new"));
    assert_string_equal(trace, "a new; a later; b new; ");
    client_send(c, request);
    client_until(c, "/from");
    finish(c);
    /* Data make it go on, too. */
    static const struct script stays[] = {{.name = "a", .fresh = DO_STOP}, {.name = "b"}};
    begin(stays, 2, 0);
    c = client_open(&rig);
    client_send(c, request);
    client_until(c, "/from");
    assert_memory_equal(trace, "a new; a in; b new; b in; ", 26);
    finish(c);
    static const struct script inside[] = {{.name = "a", .fresh = DO_STOP_CONTINUE}, {.name = "b"}};
    begin(inside, 2, 0);
    c = client_open(&rig);
    RIG_AWAIT(traced("b new"));
    finish(c);
}

static void kept_bytes_add_up(void **state)
{
    (void)state;
    static const struct script scripts[] = {{.name = "a"}, {.name = "b", .want = sizeof(request) - 1}};
    begin(scripts, 2, 0);
    struct client *c = client_open(&rig);
    client_send(c, "GET /from");
    RIG_AWAIT(traced("b in"));
    client_send(c, " HTTP/1.1\r\nhost: h\r\n\r\n");
    client_until(c, "/from");
    assert_memory_equal(trace, "a new; b new; a in; b in; a in; b in; b out; a out; ", 52);
    assert_int_equal(held_most < sizeof(request) - 1, 0);
    finish(c);
}

static void stopped_data_go_on(void **state)
{
    (void)state;
    static const enum what ways[] = {DO_STOP_CONTINUE, DO_STOP_LATER};
    for (size_t d = 0; d < 2; d++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(ways); i++) {
            struct script scripts[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
            scripts[1].data[d] = ways[i];
            begin(scripts, 3, 0);
            struct client *c = client_open(&rig);
            client_send(c, request);
            client_until(c, "/from");
            finish(c);
        }
    }
}

static void changed_both_ways(void **state)
{
    (void)state;
    static const struct script in[] = {{.name = "a", .data = {DO_REPLACE, DO_NOTHING}}};
    begin(in, 1, 0);
    struct client *c = client_open(&rig);
    client_send(c, request);
    client_until(c, "/into");
    finish(c);
    static const struct script out[] = {{.name = "a", .data = {DO_NOTHING, DO_REPLACE}}};
    begin(out, 1, 0);
    c = client_open(&rig);
    client_send(c, request);
    client_until(c, "/into");
    finish(c);
    static const struct script added[] = {{.name = "a", .data = {DO_NOTHING, DO_ADD}}, {.name = "b"}};
    for (size_t count = 1; count <= 2; count++) {
        begin(added, count, 0);
        c = client_open(&rig);
        client_send(c, request);
        client_until(c, "ADDED");
        finish(c);
    }
}

static void closing(void **state)
{
    (void)state;
    static const struct script all[] = {
        {.name = "a", .fresh = DO_CLOSE},
        {.name = "a", .fresh = DO_CLOSE_LATER},
        {.name = "a", .data = {DO_CLOSE, DO_NOTHING}},
        {.name = "a", .data = {DO_CLOSE_LATER, DO_NOTHING}},
        {.name = "a", .data = {DO_NOTHING, DO_CLOSE}},
        {.name = "a", .data = {DO_NOTHING, DO_CLOSE_LATER}},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++) {
        begin(&all[i], 1, 0);
        struct client *c = client_open(&rig);
        if (all[i].fresh == DO_NOTHING) /* data would make a stopped new connection go on */
            (void)!send(c->fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
        assert_string_equal(client_rest(c), "");
        RIG_AWAIT(traced("a closed local"));
        finish(c);
    }
}

static void limit_pushes_back(void **state)
{
    (void)state;
    static const struct script scripts[] = {{.name = "a", .data = {DO_STOP, DO_NOTHING}}};
    const uint32_t limit = 65536;
    begin(scripts, 1, limit);
    struct client *c = client_open(&rig);
    char block[16384];
    memset(block, 'x', sizeof(block));
    size_t sent = 0;
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    while (sent < (64u << 20) && poll(&p, 1, 300) > 0) {
        ssize_t n = send(c->fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
    }
    assert_true(sent < (64u << 20));
    rig_stop(&rig); /* with the connection open and full; the worker that counted is gone */
    assert_true(held_most >= limit);
    assert_true(held_most < 3 * limit);
    assert_true(traced("a closed local"));
    client_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_passes_in_order), cmocka_unit_test(stop_at_the_beginning),
        cmocka_unit_test(kept_bytes_add_up),          cmocka_unit_test(stopped_data_go_on),
        cmocka_unit_test(changed_both_ways),          cmocka_unit_test(closing),
        cmocka_unit_test(limit_pushes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
