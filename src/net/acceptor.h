/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets and the acceptor that takes connections from one of them on a loop. When descriptors run
 * out it pauses for a moment instead of spinning; connections wait in the kernel's queue.
 */
#ifndef WEIR_NET_ACCEPTOR_H
#define WEIR_NET_ACCEPTOR_H

#include "net/address.h"
#include "net/loop.h"
#include "net/socket_option.h"

struct listen_options {
    uint32_t backlog;
    bool reuse_port;
    bool freebind;
    bool transparent;
    bool ipv4_compat; /* an IPv6 socket takes IPv4 too */
    uint32_t mode;    /* of a Unix socket's file; 0: as the umask has it */
    struct socket_options options;
};

/* Binds and listens; the fd, or a negative errno. A stale Unix socket at the path is removed first. */
int listen_socket_open(const struct address *a, const struct listen_options *options);
/* The bound address (port 0 resolved). false when the socket cannot say. */
bool listen_socket_address(int fd, struct address *out);

struct acceptor {
    struct loop *loop;
    int fd; /* owned; -1: closed */
    uv_poll_t *poll;
    struct timer pause_timer;
    uint32_t per_event_max;
    uint32_t at_once;    /* how many the next event tries to take */
    uint64_t turn;       /* of the loop, when the last event came */
    bool paused;         /* by the owner */
    uint64_t out_of_fds; /* how often accepting paused for lack of descriptors */
    /* Takes the fd over (non-blocking, close-on-exec). */
    void (*accepted)(struct acceptor *a, int fd, const struct address *remote);
    void *owner;
};

/* Takes the fd over and starts accepting; on failure (negative errno) the fd is closed. */
int acceptor_start(struct acceptor *a, struct loop *loop, int fd, uint32_t per_event_max,
                   void (*accepted)(struct acceptor *a, int fd, const struct address *remote), void *owner);
void acceptor_pause(struct acceptor *a, bool paused);
/* Accepts what is queued already, then closes the socket. */
void acceptor_drain(struct acceptor *a);
/* Closes the socket; the struct may be freed after it. */
void acceptor_stop(struct acceptor *a);

#endif
