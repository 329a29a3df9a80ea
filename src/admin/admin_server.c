/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin interface's HTTP server: one loop, one thread, the proxy's own codec. Bodies of requests are
 * dropped. Nothing here may wait for a worker; pages that ask workers bound their wait themselves.
 */
#include "admin/admin.h"

#include "admin/page.h"
#include "base/assert.h"
#include "base/thread.h"
#include "http/date.h"
#include "http/h1.h"
#include "net/acceptor.h"
#include "net/conn.h"
#include "telemetry/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ADMIN_CONNECTIONS_MAX  256u         /* curl, Prometheus and probes need a handful */
#define ADMIN_ARENA_MAX        (256u << 10) /* headers of one request and its answer */
#define ADMIN_WATERMARK        (1u << 20)   /* answers are made whole; reading stops while one is unsent */
#define ADMIN_DELAYED_CLOSE_MS 1000u
#define ACCEPTS_PER_EVENT      16u

struct admin {
    struct admin_process process;
    struct loop loop;
    pthread_t thread;
    struct acceptor acceptor;
    struct address bound;
    struct list conns;
    uint32_t conns_count;
};

struct admin_conn {
    struct list node;
    struct admin *admin;
    struct conn *conn;
    struct http_codec *codec;
    struct arena arena;
    struct codec_stream *stream;
    struct header_map *headers;
    struct turn_task again_task; /* the next request, once the last answers have left */
    struct turn_task destroy_task;
    bool closing;
};

/* --- answering --- */

static const struct admin_page *find_page(struct slice path)
{
    for (size_t i = 0; i < admin_pages_count; i++) {
        if (slice_eq(path, slice_str(admin_pages[i].path)))
            return &admin_pages[i];
    }
    return NULL;
}

static void run_page(const struct admin_request *request, struct slice method,
                     struct admin_response *response)
{
    const struct admin_page *page = find_page(request->path);
    bool get = slice_eq(method, SLICE_LIT("GET")) || slice_eq(method, SLICE_LIT("HEAD"));
    if (!page) {
        admin_fail(response, 404, "invalid path. admin commands are listed at /help");
        return;
    }
    if (page->post ? !request->post : !get && !request->post) {
        admin_fail(response, 405, "Method Not Allowed: use %s", page->post ? "POST" : "GET");
        return;
    }
    page->run(request, response);
    if (response->body.failed)
        admin_fail(response, 500, "the answer is larger than %u bytes, or memory is out",
                   ADMIN_RESPONSE_BYTES_MAX);
}

static void respond(struct admin_conn *c)
{
    struct admin_response response = {.status = 200, .content_type = "text/plain; charset=UTF-8"};
    struct slice method = header_map_get_id(c->headers, HDR_METHOD);
    struct slice target = header_map_get_id(c->headers, HDR_PATH);
    ptrdiff_t at = slice_find_char(target, '?');
    const struct admin_request request = {
        .process = &c->admin->process,
        .path = at < 0 ? target : slice_take(target, (size_t)at),
        .query = at < 0 ? SLICE_EMPTY : slice_skip(target, (size_t)at + 1),
        .post = slice_eq(method, SLICE_LIT("POST")),
    };
    strbuf_init(&response.body, ADMIN_RESPONSE_BYTES_MAX);
    run_page(&request, method, &response);

    struct header_map headers;
    char number[24];
    char date[DATE_BYTES];
    header_map_init(&headers, &c->arena, HEADERS_COUNT_MAX, HEADERS_BYTES_MAX);
    snprintf(number, sizeof(number), "%u", response.status);
    header_map_set_id(&headers, HDR_STATUS, slice_str(number));
    header_map_set_id(&headers, HDR_CONTENT_TYPE, slice_str(response.content_type));
    header_map_add(&headers, SLICE_LIT("cache-control"), SLICE_LIT("no-cache, max-age=0"));
    header_map_add(&headers, SLICE_LIT("x-content-type-options"), SLICE_LIT("nosniff"));
    if (response.status == 405)
        header_map_add(&headers, SLICE_LIT("allow"),
                       request.post ? SLICE_LIT("GET, HEAD") : SLICE_LIT("POST"));
    header_map_set_id(&headers, HDR_DATE, date_format((uint64_t)time(NULL), date));
    snprintf(number, sizeof(number), "%zu", response.body.len);
    header_map_set_id(&headers, HDR_CONTENT_LENGTH, slice_str(number));

    struct codec_stream *stream = c->stream;
    struct chain body;
    chain_init(&body);
    bool with_body = response.body.len > 0 && !slice_eq(method, SLICE_LIT("HEAD"));
    if (with_body && !chain_append_copy(&body, &c->admin->loop.blocks, strbuf_slice(&response.body)))
        c->closing = true; /* out of memory: the connection ends without a full answer */
    codec_send_headers(stream, &headers, !with_body);
    if (with_body)
        codec_send_data(stream, &body, true);
    chain_fini(&body);
    strbuf_fini(&response.body);
    /* Pipelined requests wait: one read of them could ask for gigabytes. */
    c->codec->hold = c->conn->out.bytes > ADMIN_WATERMARK;
}

/* --- codec events --- */

static bool on_stream_begin(void *owner, struct codec_stream *stream)
{
    struct admin_conn *c = owner;
    WEIR_ASSERT(!c->stream);
    arena_fini(&c->arena);
    arena_init(&c->arena, ADMIN_ARENA_MAX, &c->admin->loop.arenas);
    stream->user = c;
    stream->arena = &c->arena;
    c->stream = stream;
    c->headers = NULL;
    return true;
}

static void on_headers(struct codec_stream *stream, struct header_map *headers, bool end_of_stream)
{
    struct admin_conn *c = stream->user;
    c->headers = headers;
    if (end_of_stream)
        respond(c);
}

static void on_data(struct codec_stream *stream, struct chain *data, bool end_of_stream)
{
    chain_clear(data);
    if (end_of_stream)
        respond(stream->user);
}

static void on_trailers(struct codec_stream *stream, struct header_map *trailers)
{
    (void)trailers;
    respond(stream->user);
}

static void on_reset(struct codec_stream *stream, const struct http_error *error)
{
    struct admin_conn *c = stream->user;
    c->stream = NULL;
    c->closing = true;
    log_write(ADMIN, DEBUG, "bad request on the admin interface: %s", error->text);
}

static void on_stream_closed(struct codec_stream *stream)
{
    ((struct admin_conn *)stream->user)->stream = NULL;
}

static const struct codec_events codec_events = {
    .stream_begin = on_stream_begin,
    .headers = on_headers,
    .data = on_data,
    .trailers = on_trailers,
    .reset = on_reset,
    .closed = on_stream_closed,
};

/* --- connections --- */

static void drive(struct admin_conn *c)
{
    const struct http_error *error = codec_recv(c->codec, &c->conn->in);
    conn_flush_later(c->conn);
    if (error || c->closing || codec_wants_close(c->codec))
        conn_close(c->conn, CONN_CLOSE_DELAYED, ADMIN_DELAYED_CLOSE_MS);
    else if (c->codec->hold)
        loop_at_turn_end(&c->admin->loop, &c->again_task);
}

/* Behind the connection's flush. What did not leave is waited for: on_write_low. */
static void drive_again(struct turn_task *task)
{
    struct admin_conn *c = WEIR_CONTAINER_OF(task, struct admin_conn, again_task);
    if (c->conn->out.bytes > ADMIN_WATERMARK)
        return;
    c->codec->hold = false;
    drive(c);
}

static void on_conn_data(struct conn *conn)
{
    drive(conn->owner);
}

static void on_conn_eof(struct conn *conn)
{
    struct admin_conn *c = conn->owner;
    drive(c);
    codec_recv_eof(c->codec);
    conn_close(conn, CONN_CLOSE_FLUSH, ADMIN_DELAYED_CLOSE_MS); /* a client that does not read goes too */
}

static void on_write_high(struct conn *conn)
{
    conn_pause(conn, CONN_PAUSE_WATERMARK);
}

static void on_write_low(struct conn *conn)
{
    struct admin_conn *c = conn->owner;
    c->codec->hold = false;
    conn_resume(conn, CONN_PAUSE_WATERMARK);
}

static void admin_conn_free(struct turn_task *task)
{
    struct admin_conn *c = WEIR_CONTAINER_OF(task, struct admin_conn, destroy_task);
    list_remove(&c->node);
    c->admin->conns_count--;
    codec_destroy(&c->codec);
    arena_fini(&c->arena);
    free(c);
}

static void on_conn_closed(struct conn *conn, enum conn_close why)
{
    struct admin_conn *c = conn->owner;
    (void)why;
    c->conn = NULL;
    list_remove(&c->again_task.node);
    loop_defer_destroy(&c->admin->loop, &c->destroy_task);
}

static const struct conn_events conn_events = {
    .data = on_conn_data,
    .eof = on_conn_eof,
    .write_high = on_write_high,
    .write_low = on_write_low,
    .closed = on_conn_closed,
};

/* When all places are taken, the oldest connection without a request gives its own up, so that silent ones
 * cannot lock the operator out. */
static bool make_room(struct admin *admin)
{
    struct list *node, *tmp;
    if (admin->conns_count < ADMIN_CONNECTIONS_MAX)
        return true;
    list_for_each(node, tmp, &admin->conns)
    {
        struct admin_conn *c = list_entry(node, struct admin_conn, node);
        if (c->conn && !c->stream && !c->closing) {
            c->closing = true;
            conn_close(c->conn, CONN_CLOSE_NOW, 0);
            return admin->conns_count < 2 * ADMIN_CONNECTIONS_MAX; /* it goes at the end of the turn */
        }
    }
    return false;
}

static void on_accepted(struct acceptor *acceptor, int fd, const struct address *remote)
{
    struct admin *admin = acceptor->owner;
    struct admin_conn *c = make_room(admin) ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    const struct h1_settings settings = {.accept_http_10 = true, .allow_absolute_url = true};
    c->admin = admin;
    arena_init(&c->arena, ADMIN_ARENA_MAX, &admin->loop.arenas);
    turn_task_init(&c->again_task, drive_again);
    turn_task_init(&c->destroy_task, admin_conn_free);
    list_push_back(&admin->conns, &c->node);
    admin->conns_count++;
    c->conn = conn_accepted(&admin->loop, fd, remote, &admin->bound, &conn_events, c, ADMIN_WATERMARK);
    c->codec =
        c->conn ? h1_server_create(&settings, &codec_events, c, &admin->loop.blocks, &c->conn->out) : NULL;
    if (!c->conn)
        admin_conn_free(&c->destroy_task);
    else if (!c->codec)
        conn_close(c->conn, CONN_CLOSE_NOW, 0);
}

/* --- the thread --- */

static void *admin_main(void *arg)
{
    struct admin *admin = arg;
    loop_run(&admin->loop);
    return NULL;
}

struct admin *admin_start(const struct address *address, int fd, const struct admin_process *process,
                          struct address *bound)
{
    const struct listen_options options = {.backlog = 128};
    if (fd < 0)
        fd = listen_socket_open(address, &options);
    struct admin *admin = fd >= 0 ? calloc(1, sizeof(*admin)) : NULL;
    if (!admin) {
        errno = fd < 0 ? -fd : ENOMEM;
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    admin->process = *process;
    list_init(&admin->conns);
    int error = loop_init(&admin->loop);
    if (error) {
        close(fd);
        free(admin);
        errno = -error;
        return NULL;
    }
    listen_socket_address(fd, &admin->bound);
    *bound = admin->bound;
    error = acceptor_start(&admin->acceptor, &admin->loop, fd, ACCEPTS_PER_EVENT, on_accepted, admin);
    if (!error && thread_create(&admin->thread, admin_main, admin) != 0) {
        acceptor_stop(&admin->acceptor);
        error = -EAGAIN;
    }
    if (error) {
        loop_fini(&admin->loop);
        free(admin);
        errno = -error;
        return NULL;
    }
    return admin;
}

/* --- another process's turn --- */

static void release_here(void *arg)
{
    struct admin *admin = arg;
    acceptor_stop(&admin->acceptor);
}

int admin_release(struct admin *admin)
{
    int fd = fcntl(admin->acceptor.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (loop_post(&admin->loop, release_here, admin))
        return fd;
    close(fd);
    return -ENOMEM;
}

struct resume {
    struct admin *admin;
    int fd;
};

static void resume_drop(void *arg)
{
    struct resume *r = arg;
    close(r->fd);
    free(r);
}

static void resume_here(void *arg)
{
    struct resume *r = arg;
    acceptor_start(&r->admin->acceptor, &r->admin->loop, r->fd, ACCEPTS_PER_EVENT, on_accepted, r->admin);
    free(r);
}

void admin_resume(struct admin *admin, int fd)
{
    struct resume *r = malloc(sizeof(*r));
    if (!r) {
        close(fd);
        return;
    }
    *r = (struct resume){admin, fd};
    if (!loop_post_owned(&admin->loop, resume_here, resume_drop, r))
        resume_drop(r);
}

/* On the admin thread. */
static void stop_now(void *arg)
{
    struct admin *admin = arg;
    struct list *node, *tmp;
    acceptor_stop(&admin->acceptor);
    list_for_each(node, tmp, &admin->conns)
    {
        struct admin_conn *c = list_entry(node, struct admin_conn, node);
        if (c->conn)
            conn_close(c->conn, CONN_CLOSE_NOW, 0);
    }
    loop_stop(&admin->loop);
}

void admin_stop(struct admin **admin)
{
    struct admin *dead = *admin;
    *admin = NULL;
    if (!dead)
        return;
    if (!loop_post(&dead->loop, stop_now, dead))
        WEIR_UNREACHABLE();
    pthread_join(dead->thread, NULL);
    struct list *node, *tmp;
    list_for_each(node, tmp, &dead->conns)
    {
        admin_conn_free(&list_entry(node, struct admin_conn, node)->destroy_task);
    }
    loop_fini(&dead->loop);
    free(dead);
}
