/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of setsockopt() as they are written in a configuration, for listening sockets and for those of
 * upstream connections. Plain data of the configuration.
 */
#ifndef WEIR_NET_SOCKET_OPTION_H
#define WEIR_NET_SOCKET_OPTION_H

#include "base/slice.h"

enum socket_option_when { SOCKET_OPTION_PREBIND, SOCKET_OPTION_BOUND, SOCKET_OPTION_LISTENING };

struct socket_option {
    enum socket_option_when when;
    int level;
    int name;
    struct slice value; /* its bytes */
};

struct socket_options {
    const struct socket_option *list;
    size_t count;
};

/* Sets those of the moment: 0, or the negative errno of the first that failed. */
int socket_options_apply(const struct socket_options *o, int fd, enum socket_option_when when);

#endif
