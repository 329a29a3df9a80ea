/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting connections. Must never spin: an error that does not go away by itself pauses the acceptor.
 */
#include "net/acceptor.h"

#include "net/limits.h"
#include "telemetry/log.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCEPT_DRAIN_MAX 65536u /* connections: more than any backlog */

static void remove_stale_socket(const struct address *a)
{
    struct stat st;
    if (a->un.sun_path[0] && lstat(a->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(a->un.sun_path);
}

static int set_options(int fd, const struct address *a, const struct listen_options *options)
{
    int one = 1;
    if (a->sa.sa_family == AF_UNIX) {
        remove_stale_socket(a);
        return 0;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
        return -errno;
    /* Accepted sockets inherit it: one system call less per connection. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        return -errno;
    if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0)
        return -errno;
    if (options->freebind && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one)) != 0)
        return -errno;
    if (options->transparent && setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one)) != 0)
        return -errno;
    /* As Envoy: an IPv6 listener takes no IPv4 unless it is asked to. */
    int only = !options->ipv4_compat;
    if (a->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0)
        return -errno;
    return 0;
}

static int bind_and_listen(int fd, const struct address *a, const struct listen_options *options)
{
    int rc = socket_options_apply(&options->options, fd, SOCKET_OPTION_PREBIND);
    if (rc == 0 && bind(fd, &a->sa, a->len) != 0)
        rc = -errno;
    bool file = a->sa.sa_family == AF_UNIX && a->un.sun_path[0];
    if (rc == 0 && file && options->mode && chmod(a->un.sun_path, options->mode) != 0)
        rc = -errno;
    if (rc == 0)
        rc = socket_options_apply(&options->options, fd, SOCKET_OPTION_BOUND);
    if (rc == 0 && listen(fd, (int)(options->backlog ? options->backlog : SOMAXCONN)) != 0)
        rc = -errno;
    return rc == 0 ? socket_options_apply(&options->options, fd, SOCKET_OPTION_LISTENING) : rc;
}

int listen_socket_open(const struct address *a, const struct listen_options *options)
{
    WEIR_ASSERT(a->len > 0);
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = set_options(fd, a, options);
    if (rc == 0)
        rc = bind_and_listen(fd, a, options);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

bool listen_socket_address(int fd, struct address *out)
{
    out->len = sizeof(out->un);
    if (getsockname(fd, &out->sa, &out->len) == 0)
        return true;
    out->len = 0;
    return false;
}

static void acceptor_polled(uv_poll_t *poll, int status, int events);

static void acceptor_poll_update(struct acceptor *a)
{
    bool on = a->fd >= 0 && !a->paused && !timer_active(&a->pause_timer);
    int rc = on ? uv_poll_start(a->poll, UV_READABLE, acceptor_polled) : uv_poll_stop(a->poll);
    WEIR_ASSERT(rc == 0);
}

/* What an accept error means: true when the next connection may be tried at once. */
static bool accept_error(struct acceptor *a, int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
        return true;
    case EAGAIN:
        return false;
    default:
        /* EMFILE, ENFILE, ENOBUFS, ENOMEM and what we do not know: wait. */
        a->out_of_fds++;
        if (a->out_of_fds % 100 == 1)
            log_write(CONN_HANDLER, WARN, "accept failed (%s), pausing for %u ms", strerror(error),
                      NET_ACCEPT_PAUSE_MS);
        timer_set(a->loop, &a->pause_timer, NET_ACCEPT_PAUSE_MS);
        acceptor_poll_update(a);
        return false;
    }
}

/* Returns whether there may be more. */
static bool accept_batch(struct acceptor *a, uint32_t max)
{
    for (uint32_t i = 0; i < max && a->fd >= 0 && !a->paused; i++) {
        struct address remote;
        remote.len = sizeof(remote.un);
        int fd = accept4(a->fd, &remote.sa, &remote.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            a->accepted(a, fd, &remote);
        else if (!accept_error(a, errno))
            return false;
    }
    return true;
}

/* An accept that finds nobody costs the kernel about what one does that finds a connection. So the first
 * event takes one; when the very next turn tells that there are more, twice as many as before. */
static void accept_event(struct acceptor *a)
{
    bool crowd = a->loop->turns == a->turn + 1;
    uint32_t max = crowd ? a->at_once : 1;
    a->turn = a->loop->turns;
    a->at_once = 1;
    if (accept_batch(a, max))
        a->at_once = max <= a->per_event_max / 2 ? 2 * max : a->per_event_max;
}

static void acceptor_polled(uv_poll_t *poll, int status, int events)
{
    struct acceptor *a = poll->data;
    (void)events;
    if (!a)
        return;
    loop_refresh(a->loop);
    if (status < 0) { /* libuv stopped the poll; a listening socket recovers */
        timer_set(a->loop, &a->pause_timer, NET_ACCEPT_PAUSE_MS);
        return;
    }
    accept_event(a);
}

static void acceptor_pause_over(struct timer *t)
{
    acceptor_poll_update(WEIR_CONTAINER_OF(t, struct acceptor, pause_timer));
}

static void poll_freed(uv_handle_t *h)
{
    free(h);
}

int acceptor_start(struct acceptor *a, struct loop *loop, int fd, uint32_t per_event_max,
                   void (*accepted)(struct acceptor *a, int fd, const struct address *remote), void *owner)
{
    *a = (struct acceptor){.loop = loop,
                           .fd = fd,
                           .per_event_max = per_event_max ? per_event_max : 1,
                           .at_once = 1,
                           .accepted = accepted,
                           .owner = owner};
    timer_init(&a->pause_timer, acceptor_pause_over);
    a->poll = malloc(sizeof(*a->poll));
    int rc = a->poll ? uv_poll_init(&loop->uv, a->poll, fd) : -ENOMEM;
    if (rc != 0) {
        free(a->poll);
        a->poll = NULL;
        close(fd);
        a->fd = -1;
        return rc;
    }
    a->poll->data = a;
    acceptor_poll_update(a);
    return 0;
}

void acceptor_pause(struct acceptor *a, bool paused)
{
    if (a->fd < 0 || a->paused == paused)
        return;
    a->paused = paused;
    acceptor_poll_update(a);
}

void acceptor_drain(struct acceptor *a)
{
    a->paused = false;
    if (a->fd >= 0)
        (void)accept_batch(a, ACCEPT_DRAIN_MAX);
    acceptor_stop(a);
}

void acceptor_stop(struct acceptor *a)
{
    if (a->fd < 0)
        return;
    timer_stop(a->loop, &a->pause_timer);
    a->poll->data = NULL;
    uv_close((uv_handle_t *)a->poll, poll_freed);
    a->poll = NULL;
    close(a->fd);
    a->fd = -1;
}
