/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying options to a client socket. A source that cannot be bound is a failure to connect, never ignored:
 * the peer may let only that one in.
 */
#include "net/conn_options.h"

#include <errno.h>
#include <netinet/tcp.h>

static bool set_int(int fd, int level, int name, uint32_t value)
{
    int v = value > INT32_MAX ? INT32_MAX : (int)value;
    return setsockopt(fd, level, name, &v, sizeof(v)) == 0;
}

static bool set_keepalive(const struct conn_options *o, int fd)
{
    return set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           (!o->keepalive_probes || set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepalive_probes)) &&
           (!o->keepalive_time_s || set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_time_s)) &&
           (!o->keepalive_period_s || set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepalive_period_s));
}

static bool bind_source(const struct conn_options *o, int fd, const struct address *to)
{
    for (size_t i = 0; i < o->sources_count; i++) {
        const struct address *from = &o->sources[i];
        if (from->sa.sa_family != to->sa.sa_family)
            continue;
        if (o->freebind && !set_int(fd, SOL_IP, IP_FREEBIND, 1))
            return false;
        /* Without a port the kernel chooses one when it knows the peer: many more are possible then. */
        if (address_port(from) == 0)
            (void)set_int(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        return bind(fd, &from->sa, from->len) == 0;
    }
    return true;
}

int conn_options_apply(const struct conn_options *o, int fd, const struct address *to)
{
    if (to->sa.sa_family == AF_UNIX)
        return 0;
    if (o->keepalive && !set_keepalive(o, fd))
        return -errno;
    return bind_source(o, fd, to) ? 0 : -errno;
}
