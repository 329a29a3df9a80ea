/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams between a process and its successor, with descriptors beside them. Blocks only as long as it is
 * told to, and never for a peer of another user.
 */
#include "net/fd_channel.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_TIMEOUT_MS 2000

static int name_of(struct sockaddr_un *un, socklen_t *len, const char *name)
{
    size_t n = strlen(name);
    if (n > FD_CHANNEL_NAME_MAX)
        return -ENAMETOOLONG;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(un->sun_path + 1, name, n); /* a zero first: abstract */
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

int fd_channel_listen(const char *name)
{
    struct sockaddr_un un;
    socklen_t len;
    int fd = name_of(&un, &len, name);
    if (fd < 0)
        return fd;
    if (bind(fd, (struct sockaddr *)&un, len) == 0 && listen(fd, 1) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static bool same_user(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (cred.uid == geteuid() || cred.uid == 0);
}

int fd_channel_connect(const char *name)
{
    struct sockaddr_un un;
    socklen_t len;
    int fd = name_of(&un, &len, name);
    if (fd < 0)
        return fd;
    int error = connect(fd, (struct sockaddr *)&un, len) != 0 ? errno : same_user(fd) ? 0 : EACCES;
    if (!error)
        return fd;
    close(fd);
    return -error;
}

int fd_channel_accept(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || same_user(fd))
        return fd;
    close(fd);
    return -1;
}

static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n == 1 && (p.revents & events);
}

bool fd_channel_send(int fd, uint32_t kind, struct slice text, const int *fds, uint32_t fds_count)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * FD_CHANNEL_FDS_MAX)];
    } control = {0};
    uint32_t head[2] = {kind, (uint32_t)text.len};
    struct iovec iov[2] = {{head, sizeof(head)}, {(void *)text.ptr, text.len}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = text.len ? 2 : 1};
    if (text.len > FD_CHANNEL_BYTES_MAX || fds_count > FD_CHANNEL_FDS_MAX ||
        !wait_for(fd, POLLOUT, SEND_TIMEOUT_MS))
        return false;
    if (fds_count) {
        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
        memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * fds_count);
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(sizeof(head) + text.len);
}

static void take_fds(struct msghdr *h, struct fd_message *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t n = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (uint32_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (m->fds_count < FD_CHANNEL_FDS_MAX)
                m->fds[m->fds_count++] = fd;
            else
                close(fd);
        }
    }
}

bool fd_channel_receive(int fd, struct fd_message *m, int timeout_ms)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * FD_CHANNEL_FDS_MAX)];
    } control;
    uint32_t head[2] = {0, 0};
    struct iovec iov[2] = {{head, sizeof(head)}, {m->text, sizeof(m->text)}};
    struct msghdr h = {.msg_iov = iov,
                       .msg_iovlen = 2,
                       .msg_control = control.space,
                       .msg_controllen = sizeof(control.space)};
    m->fds_count = 0;
    if (timeout_ms > 0 && !wait_for(fd, POLLIN, timeout_ms))
        return false;
    ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n > 0)
        take_fds(&h, m);
    m->kind = head[0];
    m->len = head[1];
    if (n >= (ssize_t)sizeof(head) && m->len == (size_t)n - sizeof(head) &&
        !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return true;
    fd_message_fini(m);
    return false;
}

void fd_message_fini(struct fd_message *m)
{
    for (uint32_t i = 0; i < m->fds_count; i++) {
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    }
    m->fds_count = 0;
}
