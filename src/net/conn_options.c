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

const struct conn_source *conn_options_source(const struct conn_options *o, const struct address *to)
{
    for (size_t i = 0; i < o->sources_count; i++) {
        const struct address *from = &o->sources[i].address;
        if (from->len && from->sa.sa_family == to->sa.sa_family)
            return &o->sources[i];
    }
    return o->sources_count > 0 ? &o->sources[0] : NULL;
}

int conn_options_apply(const struct conn_options *o, int fd, const struct address *to)
{
    const struct conn_source *from = conn_options_source(o, to);
    if (to->sa.sa_family == AF_UNIX)
        return 0;
    if ((o->freebind && !set_int(fd, SOL_IP, IP_FREEBIND, 1)) || (o->keepalive && !set_keepalive(o, fd)))
        return -errno;
    return from ? socket_options_apply(&from->options, fd, SOCKET_OPTION_PREBIND) : 0;
}

/* One of another family than the peer's fails here (Envoy): the peer may let only that one in. */
int conn_options_bind(const struct conn_options *o, int fd, const struct address *to)
{
    const struct conn_source *from = conn_options_source(o, to);
    if (!from || from->address.len == 0 || to->sa.sa_family == AF_UNIX)
        return 0;
    /* Without a port the kernel chooses one when it knows the peer: many more are possible then. */
    if (address_port(&from->address) == 0)
        (void)set_int(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, &from->address.sa, from->address.len) == 0 ? 0 : -errno;
}
