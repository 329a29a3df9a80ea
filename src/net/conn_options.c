/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying options to a client socket. A source that cannot be bound is a failure to connect, never ignored:
 * the peer may let only that one in.
 */
#include "net/conn_options.h"

#include <errno.h>
#include <netinet/in.h>

static bool switch_on(int fd, int level, int name)
{
    const int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on)) == 0;
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
    if (o->freebind && !switch_on(fd, SOL_IP, IP_FREEBIND))
        return -errno;
    int rc = socket_options_apply(&o->keepalive, fd, SOCKET_OPTION_PREBIND);
    return rc == 0 && from ? socket_options_apply(&from->options, fd, SOCKET_OPTION_PREBIND) : rc;
}

/* One of another family than the peer's fails here (Envoy): the peer may let only that one in. */
int conn_options_bind(const struct conn_options *o, int fd, const struct address *to)
{
    const struct conn_source *from = conn_options_source(o, to);
    if (!from || from->address.len == 0 || to->sa.sa_family == AF_UNIX)
        return 0;
    /* Without a port the kernel chooses one when it knows the peer: many more are possible then. */
    if (address_port(&from->address) == 0)
        (void)switch_on(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
    return bind(fd, &from->address.sa, from->address.len) == 0 ? 0 : -errno;
}
