/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Polls that wait for the next socket with their number. Must never hold one that is active: its number may
 * belong to anybody meanwhile.
 */
#include "net/poll_cache.h"

#include "base/assert.h"
#include "net/loop.h"

#include <stdlib.h>

uv_poll_t *poll_take(struct loop *loop, int fd)
{
    uv_poll_t *poll = NULL;
    WEIR_ASSERT(fd >= 0);
    if ((unsigned)fd < NET_IDLE_POLLS_MAX && loop->polls.idle[fd]) {
        poll = loop->polls.idle[fd];
        loop->polls.idle[fd] = NULL;
        return poll;
    }
    poll = malloc(sizeof(*poll));
    if (!poll || uv_poll_init(&loop->uv, poll, fd) != 0) {
        free(poll);
        return NULL;
    }
    return poll;
}

static void poll_freed(uv_handle_t *h)
{
    free(h);
}

void poll_give(struct loop *loop, uv_poll_t **poll, int fd)
{
    uv_poll_t *done = *poll;
    *poll = NULL;
    done->data = NULL;
    if ((unsigned)fd < NET_IDLE_POLLS_MAX && !loop->polls.idle[fd]) {
        if (uv_is_active((uv_handle_t *)done))
            uv_poll_stop(done);
        loop->polls.idle[fd] = done;
        return;
    }
    uv_close((uv_handle_t *)done, poll_freed);
}

void poll_cache_fini(struct loop *loop)
{
    for (size_t i = 0; i < NET_IDLE_POLLS_MAX; i++) {
        if (loop->polls.idle[i])
            uv_close((uv_handle_t *)loop->polls.idle[i], poll_freed);
        loop->polls.idle[i] = NULL;
    }
}
