/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors between two processes of one user: datagrams that keep their bounds
 * (SOCK_SEQPACKET) on an abstract Unix socket. The other end's user is checked; still none of its lengths is
 * trusted.
 */
#ifndef WEIR_NET_FD_CHANNEL_H
#define WEIR_NET_FD_CHANNEL_H

#include "base/slice.h"

/* Bytes of one message: well below what a socket's buffer holds by default. */
#define FD_CHANNEL_BYTES_MAX 32768u
/* Descriptors in one message; the kernel's limit is 253. */
#define FD_CHANNEL_FDS_MAX 128u
/* Bytes of a name. */
#define FD_CHANNEL_NAME_MAX 96u

struct fd_message {
    uint32_t kind;
    uint32_t len;
    char text[FD_CHANNEL_BYTES_MAX];
    uint32_t fds_count; /* owned by the receiver; -1 where it took one */
    int fds[FD_CHANNEL_FDS_MAX];
};

/* Listens under a name of the network namespace, or connects to it: the fd or a negative errno. Nothing is
 * left behind when the process dies. */
int fd_channel_listen(const char *name);
int fd_channel_connect(const char *name);
/* A connection of the same user (or root); -1: none. */
int fd_channel_accept(int listen_fd);
/* Waits a moment for room. false: the other end is gone or does not read. */
bool fd_channel_send(int fd, uint32_t kind, struct slice text, const int *fds, uint32_t fds_count);
/* Waits up to `timeout_ms`, 0 for only what is there. false: nothing came, the end, or nonsense. */
bool fd_channel_receive(int fd, struct fd_message *m, int timeout_ms);
/* Closes what nobody took. */
void fd_message_fini(struct fd_message *m);

#endif
