/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters that follow a script: every status in every phase, continuing from inside and outside of callbacks,
 * buffers and their limits, local replies and resets from anywhere, trailers made on the way. What is called,
 * in which order and with what, is compared as text.
 */
#include "rig.h"

static struct rig rig;

enum action {
    ACT_NONE,
    ACT_CONTINUE_INSIDE, /* asks to go on before it returns its stop */
    ACT_CONTINUE_LATER,  /* asks 5 ms later */
    ACT_REPLY,
    ACT_REPLY_LATER,
    ACT_RESET,
    ACT_ADD_TRAILERS,
    ACT_ADD_BODY,       /* to a message that has none */
    ACT_CONTINUE_OTHER, /* the other direction */
};

/* What to do at one callback. */
struct step {
    int status;
    enum action action;
};

struct script {
    const char *name;
    struct step headers, data, trailers;       /* request */
    struct step r_headers, r_data, r_trailers; /* response */
    bool fail_init;
    bool terminal;      /* answers when the request is complete */
    const char *answer; /* body of the terminal's answer */
    bool answer_trailers;
};

struct state {
    struct filter *self;
    struct timer timer;
    enum action later;
    bool later_response;
};

static char trace[8192];
static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint destroyed;

static __attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&trace_lock);
    size_t n = strlen(trace);
    va_start(args, format);
    vsnprintf(trace + n, sizeof(trace) - n, format, args);
    va_end(args);
    pthread_mutex_unlock(&trace_lock);
}

static size_t trace_length(void)
{
    pthread_mutex_lock(&trace_lock);
    size_t n = strlen(trace);
    pthread_mutex_unlock(&trace_lock);
    return n;
}

static void reply(struct filter *f)
{
    struct local_reply r = {
        .status = 418, .body = SLICE_LIT("local"), .details = SLICE_LIT("test"), .grpc_status = -1};
    note("(%s)", filter_local_reply(f, &r) ? "reply" : "too late");
}

static void later(struct timer *t)
{
    struct state *st = WEIR_CONTAINER_OF(t, struct state, timer);
    if (st->later == ACT_REPLY_LATER) {
        reply(st->self);
        return;
    }
    note("(go)");
    if (st->later_response)
        filter_continue_response(st->self);
    else
        filter_continue_request(st->self);
}

static void add_trailers(struct filter *f, bool response)
{
    struct header_map *m = response ? filter_add_response_trailers(f) : filter_add_request_trailers(f);
    note("%s", m ? "(+trailers)" : "(no trailers)");
    if (m)
        assert_int_equal(header_map_add(m, SLICE_LIT("x-made"), SLICE_LIT("1")), HEADER_OK);
}

static void go_on(struct filter *f, bool response)
{
    if (response)
        filter_continue_response(f);
    else
        filter_continue_request(f);
}

static int act(struct filter *f, const struct step *step, bool response)
{
    struct state *st = f->state;
    switch (step->action) {
    case ACT_NONE:
        break;
    case ACT_CONTINUE_INSIDE:
        go_on(f, response);
        break;
    case ACT_CONTINUE_OTHER:
        go_on(f, !response);
        break;
    case ACT_CONTINUE_LATER:
    case ACT_REPLY_LATER:
        st->later = step->action;
        st->later_response = response;
        timer_set(&f->stream->worker->loop, &st->timer, 5);
        break;
    case ACT_REPLY:
        reply(f);
        break;
    case ACT_RESET:
        note("(reset)");
        filter_reset_stream(f, "test_reset");
        break;
    case ACT_ADD_TRAILERS:
        add_trailers(f, response);
        break;
    case ACT_ADD_BODY:
        assert_true(chain_append_copy(response ? filter_response_body(f) : filter_request_body(f), NULL,
                                      SLICE_LIT("made")));
        break;
    }
    return step->status;
}

static const struct script *script_of(struct filter *f)
{
    return f->config->config;
}

static bool do_init(struct filter *f)
{
    struct state *st = f->state;
    st->self = f;
    timer_init(&st->timer, later);
    return !script_of(f)->fail_init;
}

static struct header_map *new_map(struct filter *f)
{
    struct arena *arena = &f->stream->arena;
    struct header_map *m = ARENA_NEW(arena, struct header_map);
    header_map_init(m, arena, 50, 10000);
    return m;
}

static void answer(struct filter *f)
{
    const struct script *sc = script_of(f);
    struct header_map *m = new_map(f);
    header_map_set_id(m, HDR_STATUS, SLICE_LIT("200"));
    filter_encode_headers(f, m, sc->answer == NULL);
    if (sc->answer) {
        struct chain data;
        chain_init(&data);
        chain_append_copy(&data, NULL, slice_str(sc->answer));
        filter_encode_data(f, &data, !sc->answer_trailers);
        chain_fini(&data);
    }
    if (sc->answer_trailers) {
        struct header_map *t = new_map(f);
        header_map_add(t, SLICE_LIT("x-up"), SLICE_LIT("1"));
        filter_encode_trailers(f, t);
    }
}

static enum filter_headers_status on_headers(struct filter *f, struct header_map *h, bool end)
{
    (void)h;
    note(" %s.H%s", script_of(f)->name, end ? "!" : "");
    int status = act(f, &script_of(f)->headers, false);
    if (!script_of(f)->terminal)
        return (enum filter_headers_status)status;
    if (end)
        answer(f);
    return FILTER_HEADERS_STOP;
}

static enum filter_data_status on_data(struct filter *f, struct chain *data, bool end)
{
    char text[8];
    size_t n = chain_copy_out(data, 0, text, sizeof(text));
    note(" %s.D%zu:%.*s%s", script_of(f)->name, data->bytes, (int)n, text, end ? "!" : "");
    int status = act(f, &script_of(f)->data, false);
    if (!script_of(f)->terminal)
        return (enum filter_data_status)status;
    if (end)
        answer(f);
    return FILTER_DATA_STOP_NO_BUFFER;
}

static enum filter_trailers_status on_trailers(struct filter *f, struct header_map *t)
{
    note(" %s.T%u", script_of(f)->name, t->count);
    int status = act(f, &script_of(f)->trailers, false);
    if (!script_of(f)->terminal)
        return (enum filter_trailers_status)status;
    answer(f);
    return FILTER_TRAILERS_STOP;
}

static enum filter_headers_status on_r_headers(struct filter *f, struct header_map *h, bool end)
{
    note(" %s.h" SLICE_FMT "%s", script_of(f)->name, SLICE_ARG(header_map_get_id(h, HDR_STATUS)),
         end ? "!" : "");
    return (enum filter_headers_status)act(f, &script_of(f)->r_headers, true);
}

static enum filter_data_status on_r_data(struct filter *f, struct chain *data, bool end)
{
    note(" %s.d%zu%s", script_of(f)->name, data->bytes, end ? "!" : "");
    return (enum filter_data_status)act(f, &script_of(f)->r_data, true);
}

static enum filter_trailers_status on_r_trailers(struct filter *f, struct header_map *t)
{
    note(" %s.t%u", script_of(f)->name, t->count);
    return (enum filter_trailers_status)act(f, &script_of(f)->r_trailers, true);
}

static void on_complete(struct filter *f)
{
    note(" %s.c", script_of(f)->name);
}

static void on_destroy(struct filter *f)
{
    struct state *st = f->state;
    timer_stop(&f->stream->worker->loop, &st->timer);
    note(" %s.x", script_of(f)->name);
    destroyed++;
}

static const struct filter_ops ops = {
    .name = "scripted",
    .state_bytes = sizeof(struct state),
    .init = do_init,
    .request_headers = on_headers,
    .request_data = on_data,
    .request_trailers = on_trailers,
    .response_headers = on_r_headers,
    .response_data = on_r_data,
    .response_trailers = on_r_trailers,
    .complete = on_complete,
    .destroy = on_destroy,
};

#define HEAD    " / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
#define CHUNKED "POST" HEAD "transfer-encoding: chunked\r\n\r\n"
#define GET     "GET" HEAD "\r\n"
#define POST    "POST" HEAD "content-length: 4\r\n\r\nbody"
#define PIECES  CHUNKED "4\r\nbody\r\n|3\r\nend\r\n|0\r\n\r\n"
#define TRAILED CHUNKED "4\r\nbody\r\n0\r\nx-t: 1\r\n\r\n"

/* The exchange of one row; "|" in a request is a pause that lets the proxy see what is before it. */
static const char *converse(const char *request)
{
    static char got[1 << 18];
    struct client *c = client_open(&rig);
    char part[512];
    while (*request) {
        size_t n = strcspn(request, "|"), before = trace_length();
        assert_true(n < sizeof(part));
        memcpy(part, request, n);
        part[n] = '\0';
        client_send(c, part);
        request += n + (request[n] == '|');
        if (*request)
            RIG_AWAIT(trace_length() > before && strstr(trace, "Z.D"));
    }
    client_rest(c);
    memcpy(got, c->buf, c->len + 1);
    client_close(c);
    return got;
}

struct row {
    const char *what;
    struct script a, b, z; /* z is the terminal filter */
    const char *request;
    const char *trace;    /* expected, of callbacks and actions */
    const char *response; /* must be in the answer; NULL: not looked at */
};

/* clang-format off */
#define A(...) {.name = "A", __VA_ARGS__}
#define B(...) {.name = "B", __VA_ARGS__}
#define Z_PLAIN {.name = "Z", .terminal = true, .answer = "answer"}
#define Z_EMPTY {.name = "Z", .terminal = true}
#define Z_TRAILERS {.name = "Z", .terminal = true, .answer = "answer", .answer_trailers = true}
#define ENDS   " A.c B.c Z.c A.x B.x Z.x"
#define ANSWER " Z.h200 B.h200 A.h200 Z.d6! B.d6! A.d6!"
#define LOCAL  " Z.h418 B.h418 A.h418 Z.d5! B.d5! A.d5!"

static const struct row rows[] = {
    {"all continue", A(), B(), Z_PLAIN, GET, " A.H! B.H! Z.H!" ANSWER ENDS, "answer"},
    {"a body and a bodyless answer", A(), B(), Z_EMPTY, POST,
     " A.H B.H Z.H A.D4:body! B.D4:body! Z.D4:body! Z.h200! B.h200! A.h200!" ENDS, "HTTP/1.1 200"},
    {"trailers both ways", A(), B(), Z_TRAILERS, TRAILED,
     " A.H B.H Z.H A.D4:body B.D4:body Z.D4:body A.T1 B.T1 Z.T1"
     " Z.h200 B.h200 A.h200 Z.d6 B.d6 A.d6 Z.t1 B.t1 A.t1" ENDS, "x-up: 1"},

    /* Request headers. */
    {"stop headers, go on inside", A(.headers = {FILTER_HEADERS_STOP, ACT_CONTINUE_INSIDE}), B(), Z_PLAIN, GET,
     " A.H! B.H! Z.H!" ANSWER ENDS, "answer"},
    {"stop headers, go on later", A(.headers = {FILTER_HEADERS_STOP, ACT_CONTINUE_LATER}), B(), Z_PLAIN, GET,
     " A.H!(go) B.H! Z.H!" ANSWER ENDS, "answer"},
    {"data still comes behind held headers, continue lets all go", A(.headers = {FILTER_HEADERS_STOP, ACT_NONE}),
     B(), Z_PLAIN, POST, " A.H A.D4:body! B.H Z.H B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"stop headers, buffer data, go on later",
     A(.headers = {FILTER_HEADERS_STOP, ACT_CONTINUE_LATER}, .data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}), B(),
     Z_PLAIN, POST, " A.H A.D4:body!(go) B.H Z.H B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"stop all: the filter sees the data when it goes on",
     A(.headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_CONTINUE_LATER}), B(), Z_PLAIN, POST,
     " A.H(go) B.H Z.H A.D4:body! B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"stop all with trailers", A(.headers = {FILTER_HEADERS_STOP_ALL_WATERMARK, ACT_CONTINUE_LATER}), B(), Z_PLAIN,
     TRAILED, " A.H(go) B.H Z.H A.D4:body B.D4:body Z.D4:body A.T1 B.T1 Z.T1" ANSWER ENDS, "answer"},
    {"stop all, go on inside", A(), B(.headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_CONTINUE_INSIDE}), Z_PLAIN,
     POST, " A.H B.H Z.H A.D4:body! B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"one after the other stops", A(.headers = {FILTER_HEADERS_STOP, ACT_CONTINUE_LATER}),
     B(.headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_CONTINUE_LATER}), Z_PLAIN, GET,
     " A.H!(go) B.H!(go) Z.H!" ANSWER ENDS, "answer"},
    {"the end is brought forward", A(.headers = {FILTER_HEADERS_CONTINUE_AND_END, ACT_NONE}), B(), Z_PLAIN, POST,
     " A.H B.H! Z.H!" ANSWER ENDS, "answer"},
    {"a body is made for a request without", A(.headers = {FILTER_HEADERS_CONTINUE, ACT_ADD_BODY}), B(), Z_PLAIN,
     GET, " A.H! B.H Z.H B.D4:made! Z.D4:made!" ANSWER ENDS, "answer"},
    {"... and the next filter holds the headers", A(.headers = {FILTER_HEADERS_CONTINUE, ACT_ADD_BODY}),
     B(.headers = {FILTER_HEADERS_STOP, ACT_NONE}), Z_PLAIN, GET,
     " A.H! B.H B.D4:made! Z.H Z.D4:made!" ANSWER ENDS, "answer"},

    /* Request data. */
    {"buffer all data, then go on", A(.data = {FILTER_DATA_STOP_BUFFER, ACT_CONTINUE_LATER}), B(), Z_PLAIN, POST,
     " A.H B.H Z.H A.D4:body!(go) B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"go on inside of data", A(.data = {FILTER_DATA_STOP_BUFFER, ACT_CONTINUE_INSIDE}), B(), Z_PLAIN, POST,
     " A.H B.H Z.H A.D4:body! B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"no buffer: data is gone, the end is not", A(.data = {FILTER_DATA_STOP_NO_BUFFER, ACT_CONTINUE_LATER}), B(),
     Z_PLAIN, POST, " A.H B.H Z.H A.D4:body!(go) B.D0:! Z.D0:!" ANSWER ENDS, "answer"},
    {"watermark buffering", A(.data = {FILTER_DATA_STOP_WATERMARK, ACT_CONTINUE_LATER}), B(), Z_PLAIN, POST,
     " A.H B.H Z.H A.D4:body!(go) B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"trailers are made at the last data", A(.data = {FILTER_DATA_CONTINUE, ACT_ADD_TRAILERS}), B(), Z_PLAIN, POST,
     " A.H B.H Z.H A.D4:body!(+trailers) B.D4:body Z.D4:body B.T1 Z.T1" ANSWER ENDS, "answer"},
    {"trailers are made and held", A(.data = {FILTER_DATA_STOP_BUFFER, ACT_ADD_TRAILERS}),
     B(.headers = {FILTER_HEADERS_CONTINUE, ACT_REPLY_LATER}), Z_PLAIN, POST,
     " A.H B.H Z.H A.D4:body!(+trailers)" LOCAL "(reply)" ENDS, "local"},
    {"no trailers before the last data", A(.headers = {FILTER_HEADERS_CONTINUE, ACT_ADD_TRAILERS}), B(), Z_PLAIN,
     POST, " A.H(no trailers) B.H Z.H A.D4:body! B.D4:body! Z.D4:body!" ANSWER ENDS, "answer"},
    {"data in pieces", A(), B(), Z_PLAIN, PIECES,
     " A.H B.H Z.H A.D4:body B.D4:body Z.D4:body A.D3:end B.D3:end Z.D3:end A.D0:! B.D0:! Z.D0:!" ANSWER ENDS,
     "answer"},

    /* Request trailers. */
    {"stop trailers, go on later", A(.trailers = {FILTER_TRAILERS_STOP, ACT_CONTINUE_LATER}), B(), Z_PLAIN,
     TRAILED, " A.H B.H Z.H A.D4:body B.D4:body Z.D4:body A.T1(go) B.T1 Z.T1" ANSWER ENDS, "answer"},
    {"buffer until the trailers", A(.data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}), B(), Z_PLAIN, TRAILED,
     " A.H B.H Z.H A.D4:body A.T1 B.D4:body Z.D4:body B.T1 Z.T1" ANSWER ENDS, "answer"},
    {"headers held until the trailers",
     A(.headers = {FILTER_HEADERS_STOP, ACT_NONE}, .data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}), B(), Z_PLAIN,
     TRAILED, " A.H A.D4:body A.T1 B.H Z.H B.D4:body Z.D4:body B.T1 Z.T1" ANSWER ENDS, "answer"},

    /* Response. */
    {"stop response headers, go on later", A(), B(.r_headers = {FILTER_HEADERS_STOP, ACT_CONTINUE_LATER},
     .r_data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}), Z_PLAIN, GET,
     " A.H! B.H! Z.H! Z.h200 B.h200 Z.d6! B.d6!(go) A.h200 A.d6!" ENDS, "answer"},
    {"stop all of the response", A(), B(.r_headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_CONTINUE_LATER}), Z_PLAIN,
     GET, " A.H! B.H! Z.H! Z.h200 B.h200 Z.d6!(go) A.h200 B.d6! A.d6!" ENDS, "answer"},
    {"buffer the response body", A(.r_data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}), B(), Z_TRAILERS, GET,
     " A.H! B.H! Z.H! Z.h200 B.h200 A.h200 Z.d6 B.d6 A.d6 Z.t1 B.t1 A.t1" ENDS, "answer"},
    {"response trailers are made", A(.r_data = {FILTER_DATA_CONTINUE, ACT_ADD_TRAILERS}), B(), Z_PLAIN, GET,
     " A.H! B.H! Z.H! Z.h200 B.h200 A.h200 Z.d6! B.d6! A.d6!(+trailers)" ENDS, "x-made: 1"},
    {"a body for a bodyless response", A(), B(.r_headers = {FILTER_HEADERS_CONTINUE, ACT_ADD_BODY}), Z_EMPTY, GET,
     " A.H! B.H! Z.H! Z.h200! B.h200! A.h200 A.d4!" ENDS, "made"},
    {"the response ends with its headers", A(), B(.r_headers = {FILTER_HEADERS_CONTINUE_AND_END, ACT_NONE}),
     Z_PLAIN, GET, " A.H! B.H! Z.H! Z.h200 B.h200 A.h200!" ENDS, "content-length: 0"},
    {"response trailers stop and go on", A(.r_trailers = {FILTER_TRAILERS_STOP, ACT_CONTINUE_LATER}), B(),
     Z_TRAILERS, GET, " A.H! B.H! Z.H! Z.h200 B.h200 A.h200 Z.d6 B.d6 A.d6 Z.t1 B.t1 A.t1(go)" ENDS, "x-up: 1"},
    {"going on with the request after its answer does nothing", A(.headers = {FILTER_HEADERS_STOP, ACT_REPLY_LATER},
     .r_headers = {FILTER_HEADERS_CONTINUE, ACT_CONTINUE_OTHER}), B(), Z_PLAIN, GET,
     " A.H!" LOCAL "(reply)" ENDS, "HTTP/1.1 418"},

    /* Local replies. */
    {"reply in request headers", A(.headers = {FILTER_HEADERS_CONTINUE, ACT_REPLY}), B(), Z_PLAIN, GET,
     " A.H!(reply)" LOCAL ENDS, "local"},
    {"reply later", A(.headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_REPLY_LATER}), B(), Z_PLAIN, GET,
     " A.H!" LOCAL "(reply)" ENDS, "local"},
    {"reply in request data", A(), B(.data = {FILTER_DATA_STOP_BUFFER, ACT_REPLY}), Z_PLAIN, POST,
     " A.H B.H Z.H A.D4:body! B.D4:body!(reply)" LOCAL ENDS, "local"},
    {"reply in request trailers", A(), B(.trailers = {FILTER_TRAILERS_CONTINUE, ACT_REPLY}), Z_PLAIN, TRAILED,
     " A.H B.H Z.H A.D4:body B.D4:body Z.D4:body A.T1 B.T1(reply)" LOCAL ENDS, "local"},
    {"reply in response headers goes past the filters", A(), B(.r_headers = {FILTER_HEADERS_CONTINUE, ACT_REPLY}),
     Z_PLAIN, GET, " A.H! B.H! Z.H! Z.h200 B.h200(reply)" ENDS, "local"},
    {"reply while response headers are held", A(), B(.r_headers = {FILTER_HEADERS_STOP, ACT_REPLY_LATER},
     .r_data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}), Z_PLAIN, GET,
     " A.H! B.H! Z.H! Z.h200 B.h200 Z.d6! B.d6!(reply)" ENDS, "local"},
    {"reply after the response began", A(), B(.r_data = {FILTER_DATA_STOP_BUFFER, ACT_REPLY}), Z_PLAIN, GET,
     " A.H! B.H! Z.H! Z.h200 B.h200 A.h200 Z.d6! B.d6!(too late)" ENDS, "HTTP/1.1 200"},
    {"reply in the response to a reply", A(.headers = {FILTER_HEADERS_CONTINUE, ACT_REPLY}),
     B(.r_headers = {FILTER_HEADERS_CONTINUE, ACT_REPLY}), Z_PLAIN, GET,
     " A.H!(reply) Z.h418 B.h418(reply)" ENDS, "local"},

    /* Resets. */
    {"reset in request headers", A(), B(.headers = {FILTER_HEADERS_CONTINUE, ACT_RESET}), Z_PLAIN, GET,
     " A.H! B.H!(reset)" ENDS, NULL},
    {"reset in response data", A(), B(.r_data = {FILTER_DATA_CONTINUE, ACT_RESET}), Z_PLAIN, GET,
     " A.H! B.H! Z.H! Z.h200 B.h200 A.h200 Z.d6! B.d6!(reset)" ENDS, "HTTP/1.1 200"},

    {"a filter cannot start", A(), B(.fail_init = true), Z_PLAIN, GET, " A.c B.c A.x B.x", "HTTP/1.1 500"},
};
/* clang-format on */

static void start(const struct script *a, const struct script *b, const struct script *z)
{
    rig_init(&rig);
    rig.hcm->delayed_close_timeout_ms = 50;
    rig.hcm->http1.enable_trailers = true;
    rig_filter(&rig, &ops, a);
    rig_filter(&rig, &ops, b);
    rig_filter(&rig, &ops, z);
    destroyed = 0;
    trace[0] = '\0';
}

static void scripted(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        start(&row->a, &row->b, &row->z);
        rig_start(&rig);
        const char *got = converse(row->request);
        RIG_AWAIT(atomic_load(&destroyed) >= (row->b.fail_init ? 2u : 3u));
        if (strcmp(trace, row->trace) != 0)
            fail_msg("%s:\n  got      %s\n  expected %s", row->what, trace, row->trace);
        if (row->response && !strstr(got, row->response))
            fail_msg("%s: answer: %s", row->what, got);
        rig_stop(&rig);
    }
}

static char *big_post(size_t bytes)
{
    char *text = malloc(bytes + 256);
    assert_non_null(text);
    int n = snprintf(text, 256, "POST" HEAD "content-length: %zu\r\n\r\n", bytes);
    memset(text + n, 'x', bytes);
    text[(size_t)n + bytes] = '\0';
    return text;
}

/* A filter that wants the whole body, which is above the limit. */
static void request_too_large(void **state)
{
    (void)state;
    struct script a = {.name = "A", .data = {FILTER_DATA_STOP_BUFFER, ACT_NONE}}, b = {.name = "B"};
    struct script z = Z_PLAIN;
    start(&a, &b, &z);
    rig.listener->per_connection_buffer_limit_bytes = 16384;
    rig_start(&rig);
    uint64_t before = stat_value(rig.hcm->stats.downstream_rq_too_large);
    struct client *c = client_open(&rig);
    char *post = big_post(100000);
    client_send(c, post);
    assert_has(client_rest(c), "HTTP/1.1 413 Payload Too Large\r\n");
    assert_int_equal(stat_value(rig.hcm->stats.downstream_rq_too_large), before + 1);
    free(post);
    client_close(c);
    RIG_AWAIT(atomic_load(&destroyed) >= 3);
    rig_stop(&rig);
}

static void response_too_large(void **state)
{
    (void)state;
    static char body[50001];
    memset(body, 'y', sizeof(body) - 1);
    struct script a = {.name = "A"}, z = {.name = "Z", .terminal = true, .answer = body};
    struct script b = {.name = "B", .r_headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_NONE}};
    start(&a, &b, &z);
    rig.listener->per_connection_buffer_limit_bytes = 16384;
    rig_start(&rig);
    assert_has(converse(GET), "HTTP/1.1 500 Internal Server Error\r\n");
    rig_stop(&rig);
}

/* Above the limit a watermark filter holds the client back; nothing is lost when it goes on. */
static void watermark_pushes_back(void **state)
{
    (void)state;
    struct script a = {.name = "A", .headers = {FILTER_HEADERS_STOP_ALL_WATERMARK, ACT_CONTINUE_LATER}};
    struct script b = {.name = "B"}, z = Z_PLAIN;
    start(&a, &b, &z);
    rig.listener->per_connection_buffer_limit_bytes = 16384;
    rig_start(&rig);
    stat_id paused = rig.hcm->stats.downstream_flow_control_paused_reading_total;
    stat_id resumed = rig.hcm->stats.downstream_flow_control_resumed_reading_total;
    uint64_t before = stat_value(paused);
    struct client *c = client_open(&rig);
    char *post = big_post(200000);
    client_send(c, post);
    assert_has(client_rest(c), "answer");
    assert_true(stat_value(paused) > before);
    assert_int_equal(stat_value(paused), stat_value(resumed));
    free(post);
    client_close(c);
    RIG_AWAIT(atomic_load(&destroyed) >= 3);
    rig_stop(&rig);
}

/* The client leaves while filters are stopped and timers are set: nothing is called after destroy. */
static void abort_while_stopped(void **state)
{
    (void)state;
    struct script a = {.name = "A", .headers = {FILTER_HEADERS_STOP, ACT_CONTINUE_LATER}};
    struct script b = {.name = "B", .headers = {FILTER_HEADERS_STOP_ALL_BUFFER, ACT_NONE}}, z = Z_PLAIN;
    start(&a, &b, &z);
    rig_start(&rig);
    for (int i = 0; i < 20; i++) {
        struct client *c = client_open(&rig);
        client_send(c, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\npart");
        poll(NULL, 0, i % 8);
        client_close(c);
    }
    RIG_AWAIT(stat_value(rig.hcm->stats.downstream_cx_active) == 0);
    rig_stop(&rig);
}

/* One filter ends the message early; those before it still get it whole, also what one of them had held. */
static void the_end_is_early_only_behind(void **state)
{
    (void)state;
    struct script a = {.name = "A", .data = {FILTER_DATA_STOP_BUFFER, ACT_CONTINUE_INSIDE}},
                  b = {.name = "B"};
    struct script c = {.name = "C", .headers = {FILTER_HEADERS_CONTINUE_AND_END, ACT_NONE}};
    struct script z = {.name = "Z", .headers = {FILTER_HEADERS_STOP, ACT_REPLY_LATER}};
    start(&a, &b, &c);
    rig_filter(&rig, &ops, &z);
    rig_start(&rig);
    struct client *client = client_open(&rig);
    client_send(client, CHUNKED "4\r\nbody\r\n");
    assert_has(client_rest(client), "local");
    client_close(client);
    RIG_AWAIT(atomic_load(&destroyed) >= 4);
    assert_has(trace, " A.H B.H C.H Z.H! A.D4:body B.D4:body Z.h418");
    rig_stop(&rig);
}

static void disabled_filter(void **state)
{
    (void)state;
    struct script a = {.name = "A"}, b = {.name = "B"}, z = Z_PLAIN;
    start(&a, &b, &z);
    rig.filters[0].disabled = true;
    rig_start(&rig);
    assert_has(converse(GET), "answer");
    RIG_AWAIT(atomic_load(&destroyed) >= 2);
    assert_has_not(trace, "A.");
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripted),
        cmocka_unit_test(request_too_large),
        cmocka_unit_test(response_too_large),
        cmocka_unit_test(watermark_pushes_back),
        cmocka_unit_test(abort_while_stopped),
        cmocka_unit_test(the_end_is_early_only_behind),
        cmocka_unit_test(disabled_filter),
    };
    forwarded_init();
    return cmocka_run_group_tests_name("filter_manager", tests, NULL, NULL);
}
