/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libuv's polls of the sockets of one loop. Making one and closing it takes four system calls more than using
 * one again, so those of closed sockets wait for the next socket with the same number, which the kernel gives
 * out lowest first. A poll that waits is stopped and knows nobody.
 */
#ifndef WEIR_NET_POLL_CACHE_H
#define WEIR_NET_POLL_CACHE_H

#include "net/limits.h"

#include <uv.h>

struct loop;

struct poll_cache {
    uv_poll_t *idle[NET_IDLE_POLLS_MAX]; /* by descriptor */
};

/* For a non-blocking socket that nobody else polls on this loop; NULL: memory is out, or it is not one. */
uv_poll_t *poll_take(struct loop *loop, int fd);
/* Stops it and gives it back, before the socket is closed. */
void poll_give(struct loop *loop, uv_poll_t **poll, int fd);
/* Before the loop closes; those that wait are freed in its next turn. */
void poll_cache_fini(struct loop *loop);

#endif
