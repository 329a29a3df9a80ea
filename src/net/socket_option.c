/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting what a configuration says. What a number means is the kernel's business.
 */
#include "net/socket_option.h"

#include <errno.h>
#include <sys/socket.h>

int socket_options_apply(const struct socket_options *o, int fd, enum socket_option_when when)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct socket_option *s = &o->list[i];
        if (s->when == when && setsockopt(fd, s->level, s->name, s->value.ptr, (socklen_t)s->value.len) != 0)
            return -errno;
    }
    return 0;
}
