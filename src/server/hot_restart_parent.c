/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side of a hot restart that serves already: answers its successor, on the main loop, and finishes once
 * that serves. A successor that fails before it serves leaves everything as it was.
 */
#include "proxy/listener/drain.h"
#include "server/hot_restart_impl.h"
#include "server/server_impl.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"

#include <stdlib.h>
#include <unistd.h>

/* Bytes of all statistics' names and values: 100,000 of them. */
#define STATS_BYTES_MAX ((size_t)16 << 20)

/* --- answers --- */

/* The message without descriptors is the end. */
static bool send_sockets(struct server *s, struct slice wanted)
{
    /* After /drain_listeners the numbers of the sockets may be something else's. */
    size_t count = atomic_load(&s->listeners_drained) ? 0 : s->listeners_count;
    int to = s->hot_restart.child_fd;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct server_listener *l = &s->listeners[i];
        struct strbuf key;
        strbuf_init(&key, FD_CHANNEL_BYTES_MAX);
        hot_restart_listener_key(l->config, l->at, &key);
        bool same = l->fds && slice_eq(strbuf_slice(&key), wanted);
        strbuf_fini(&key);
        for (uint32_t at = 0; same && ok && at < l->fds_count; at += FD_CHANNEL_FDS_MAX) {
            uint32_t rest = l->fds_count - at;
            ok = fd_channel_send(to, WIRE_SOCKETS, SLICE_EMPTY, l->fds + at,
                                 rest < FD_CHANNEL_FDS_MAX ? rest : FD_CHANNEL_FDS_MAX);
        }
        l->taken = l->taken || same;
    }
    return ok && fd_channel_send(to, WIRE_SOCKETS, SLICE_EMPTY, NULL, 0);
}

static bool send_admin(struct server *s, struct slice address)
{
    struct hot_restart *hr = &s->hot_restart;
    char text[ADDRESS_TEXT_MAX];
    if (!s->admin || hr->admin_fd >= 0 ||
        !slice_eq(slice_str(address_format(&s->resources->admin, text)), address))
        return fd_channel_send(hr->child_fd, WIRE_ADMIN, SLICE_EMPTY, NULL, 0);
    hr->admin_fd = admin_release(s->admin);
    return fd_channel_send(hr->child_fd, WIRE_ADMIN, SLICE_EMPTY, &hr->admin_fd, hr->admin_fd >= 0 ? 1 : 0);
}

static void add_stat(void *arg, const struct stat_view *view)
{
    struct strbuf *b = arg;
    if (!hot_restart_imports(view->type, view->name) || !view->used)
        return;
    const struct wire_stat row = {view->value, (uint32_t)view->type, (uint32_t)view->name.len};
    strbuf_append(b, slice_of((const char *)&row, sizeof(row)));
    strbuf_append(b, view->name);
}

/* Whole rows in each message; an empty one at the end. */
static bool send_stats(struct hot_restart *hr)
{
    struct strbuf all;
    bool ok = true;
    strbuf_init(&all, STATS_BYTES_MAX);
    stats_for_each(add_stat, &all);
    for (struct slice rest = strbuf_slice(&all); ok && rest.len > 0;) {
        size_t n = 0;
        while (rest.len - n >= sizeof(struct wire_stat)) {
            struct wire_stat row;
            memcpy(&row, rest.ptr + n, sizeof(row));
            size_t next = n + sizeof(row) + row.name_len;
            if (next > FD_CHANNEL_BYTES_MAX || next > rest.len)
                break;
            n = next;
        }
        if (n == 0)
            break; /* the last row was cut off by the cap */
        ok = fd_channel_send(hr->child_fd, WIRE_STATS, slice_take(rest, n), NULL, 0);
        rest = slice_skip(rest, n);
    }
    strbuf_fini(&all);
    return ok && fd_channel_send(hr->child_fd, WIRE_STATS, SLICE_EMPTY, NULL, 0);
}

/* --- handing over --- */

struct hand_over {
    struct server *server;
    struct worker *worker;
};

static void worker_empty_on_main(void *arg)
{
    struct server *s = arg;
    if (++s->workers_drained == s->workers_started) {
        log_write(MAIN, INFO, "hot restart: the last connection has ended");
        server_stop(s);
    }
}

/* On the worker's thread. */
static void worker_empty(struct worker *w, void *arg)
{
    struct server *s = arg;
    (void)w;
    loop_post(&s->loop, worker_empty_on_main, s);
}

static bool was_taken(const struct server *s, const struct listener *l)
{
    for (size_t i = 0; i < s->listeners_count; i++) {
        if (s->listeners[i].at == l->at)
            return s->listeners[i].taken;
    }
    return false;
}

/* On the worker's thread. */
static void hand_over_here(void *arg)
{
    struct hand_over *h = arg;
    struct worker *w = h->worker;
    struct list *node, *tmp;
    w->drained = worker_empty;
    w->drained_arg = h->server;
    list_for_each(node, tmp, &w->listeners)
    {
        struct listener *l = list_entry(node, struct listener, base.node);
        listener_hand_over(l, was_taken(h->server, l));
    }
    if (w->connections == 0 && w->drained) {
        w->drained = NULL;
        worker_empty(w, h->server);
    }
    free(h);
}

/* On the worker's thread. */
static void go_away_here(void *arg)
{
    struct worker *w = arg;
    struct list *node, *tmp;
    list_for_each(node, tmp, &w->listeners) listener_go_away(list_entry(node, struct listener, base.node));
}

/* By now every answer has ended its connection. HTTP/2 can be told without one. */
static void drain_time_over(struct timer *timer)
{
    struct server *s = WEIR_CONTAINER_OF(timer, struct server, hot_restart.go_away_timer);
    for (uint32_t i = 0; i < s->workers_started; i++)
        loop_post(&s->workers[i]->loop, go_away_here, s->workers[i]);
}

static void hand_over(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    uint32_t drain_s = s->options->drain_immediate ? 0 : s->options->drain_time_s;
    hr->handed_over = true;
    atomic_store(&s->state, ADMIN_DRAINING);
    drain_begin(drain_s);
    timer_init(&hr->go_away_timer, drain_time_over);
    timer_set(&s->loop, &hr->go_away_timer, (uint64_t)drain_s * 1000);
    log_write(MAIN, WARN, "hot restart: the successor serves; finishing what is here");
    if (hr->admin_fd >= 0)
        close(hr->admin_fd);
    hr->admin_fd = -1;
    for (uint32_t i = 0; i < s->workers_started; i++) {
        struct hand_over *h = malloc(sizeof(*h));
        if (h)
            *h = (struct hand_over){s, s->workers[i]};
        if (!h || !loop_post_owned(&s->workers[i]->loop, hand_over_here, free, h)) {
            free(h); /* the successor's WIRE_TERMINATE ends it */
        }
    }
}

/* --- the connection --- */

static void poll_freed(uv_handle_t *handle)
{
    free(handle);
}

static void close_poll(uv_poll_t **poll, int *fd)
{
    if (*poll)
        uv_close((uv_handle_t *)*poll, poll_freed);
    *poll = NULL;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void lose_child(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    close_poll(&hr->child_poll, &hr->child_fd);
    if (s->stopping)
        return;
    if (hr->handed_over) {
        log_write(MAIN, ERROR, "hot restart: the successor is gone; draining");
        server_drain(s);
        return;
    }
    log_write(MAIN, WARN, "hot restart: the successor ended before it served; nothing has changed");
    for (size_t i = 0; i < s->listeners_count; i++)
        s->listeners[i].taken = false;
    if (hr->admin_fd >= 0 && s->admin)
        admin_resume(s->admin, hr->admin_fd);
    hr->admin_fd = -1;
}

/* false: the connection is of no use any more. */
static bool answer(struct server *s, const struct fd_message *m)
{
    struct hot_restart *hr = &s->hot_restart;
    struct slice text = slice_of(m->text, m->len);
    switch (m->kind) {
    case WIRE_HELLO:
        return fd_channel_send(hr->child_fd, WIRE_HELLO, slice_str(HOT_RESTART_VERSION), NULL, 0);
    case WIRE_SOCKETS:
        return !s->stopping && !hr->handed_over && send_sockets(s, text);
    case WIRE_ADMIN:
        return !s->stopping && !hr->handed_over && send_admin(s, text);
    case WIRE_DRAIN:
        if (!s->stopping && !hr->handed_over)
            hand_over(s);
        return fd_channel_send(hr->child_fd, WIRE_DRAIN, SLICE_EMPTY, NULL, 0);
    case WIRE_STATS:
        return send_stats(hr);
    case WIRE_TERMINATE:
        log_write(MAIN, WARN, "hot restart: the time of this process is over");
        server_stop(s);
        return true;
    default:
        return false;
    }
}

static void child_readable(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    struct fd_message *m = malloc(sizeof(*m));
    (void)events;
    loop_refresh(&s->loop);
    bool ok = m && status == 0 && fd_channel_receive(s->hot_restart.child_fd, m, 0) && answer(s, m);
    if (m)
        fd_message_fini(m);
    free(m);
    if (!ok)
        lose_child(s);
}

static uv_poll_t *poll_new(struct server *s, int fd, uv_poll_cb callback)
{
    uv_poll_t *poll = malloc(sizeof(*poll));
    if (!poll || uv_poll_init(&s->loop.uv, poll, fd) != 0) {
        free(poll);
        return NULL;
    }
    poll->data = s;
    if (uv_poll_start(poll, UV_READABLE, callback) == 0)
        return poll;
    uv_close((uv_handle_t *)poll, poll_freed);
    return NULL;
}

static void child_connects(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    struct hot_restart *hr = &s->hot_restart;
    (void)status;
    (void)events;
    loop_refresh(&s->loop);
    int fd = fd_channel_accept(hr->listen_fd);
    if (fd < 0)
        return;
    if (hr->child_fd >= 0 || hr->handed_over) { /* one at a time */
        close(fd);
        return;
    }
    hr->child_fd = fd;
    hr->child_poll = poll_new(s, fd, child_readable);
    if (!hr->child_poll)
        lose_child(s);
    else
        log_write(MAIN, INFO, "hot restart: a successor has come");
}

bool hot_restart_listen(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    if (hr->listen_fd >= 0)
        hr->listen_poll = poll_new(s, hr->listen_fd, child_connects);
    return hr->listen_fd < 0 || hr->listen_poll;
}

void hot_restart_leave(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    /* The last counts: the workers have ended, nothing is added any more. */
    if (hr->child_fd >= 0 && hr->handed_over)
        send_stats(hr);
    close_poll(&hr->child_poll, &hr->child_fd);
    close_poll(&hr->listen_poll, &hr->listen_fd);
    if (hr->admin_fd >= 0)
        close(hr->admin_fd);
    hr->admin_fd = -1;
}
